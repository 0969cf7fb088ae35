"""What can be traced, what is refused and by which name, and how far a traced network sees."""

import pytest
import torch
import torch.nn.functional as F
from row_nets import Applied, lively
from torch import nn

from swath.engines.rowgraph import Untraceable, trace_rows
from swath.nets.zoo import build_net

pytestmark = pytest.mark.usefixtures("one_thread")
CONV = nn.Conv2d(3, 4, 3, padding=1)


def smp_net(architecture, encoder, **options):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    return lively(getattr(smp, architecture)(encoder, encoder_weights=None, **options))


def refusal(function, *parts):
    with pytest.raises(Untraceable) as caught:
        trace_rows(Applied(lambda x, conv, *rest: function(conv(x), *rest), CONV, *parts).eval(), 8)
    return caught.value


@pytest.mark.parametrize(
    ("architecture", "encoder", "options", "layer", "word"),
    [
        ("FPN", "resnet18", {}, "decoder.seg_blocks.0.block.0.block.1", "group_norm"),
        ("DeepLabV3Plus", "resnet18", {}, "decoder.aspp.0.convs.4.0", "adaptive_avg_pool2d"),
        ("Unet", "efficientnet-b0", {}, "encoder._blocks.0", "adaptive_avg_pool2d"),
        ("Unet", "resnet18", {"decoder_attention_type": "scse"}, "attention1.attention.cSE.0", "adaptive_avg_pool2d"),
        ("Unet", "mit_b0", {}, "encoder.patch_embed1", "rows of the image"),
    ],
)
def test_smp_refusals_name_the_layer(architecture, encoder, options, layer, word):
    net = smp_net(architecture, encoder, **options)
    with pytest.raises(Untraceable, match=word) as caught:
        trace_rows(net, 32)
    assert layer in caught.value.layer
    assert caught.value.layer in dict(net.named_modules())
    assert str(caught.value) == f"{caught.value.layer}: {caught.value.reason}"


def test_group_norm_of_the_native_unet_is_refused():
    with pytest.raises(Untraceable, match=r"down\.0\.1: group_norm takes statistics over the whole image"):
        trace_rows(build_net("unet", 3, 2, {"depth": 2, "width": 8, "norm": "group"}).eval(), 4, channels=3)


REFUSED = {
    "layer norm": (lambda x: F.layer_norm(x, x.shape[1:]), "statistics"),
    "instance norm": (F.instance_norm, "statistics"),
    "batch norm without statistics": (lambda x: F.batch_norm(x, None, None, training=True), "statistics"),
    "flatten": (lambda x: x.flatten(2), "rows"),
    "mean over pixels": (lambda x: x - x.mean((2, 3), keepdim=True), "only along channels"),
    "softmax over columns": (lambda x: x.softmax(-1), "only along channels"),
    "rows taken": (lambda x: x[:, :, 1:], "only channels can be taken"),
    "pixel decides": (lambda x: x if x[:, :1].tolist() else -x, "pixel values"),
    "numpy": (lambda x: torch.from_numpy(x.numpy()), "pixel values"),
    "unknown": (lambda x: x.cumsum(2), "no known form"),
    "dropout in training": (lambda x: F.dropout(x, 0.5, True), "training mode"),
    "dropout by torch": (lambda x: torch.dropout(x, 0.5, True), "changes values"),
    "positions added": (lambda x: x + torch.arange(x.shape[2])[:, None], "varies over the image"),
    "size as a factor": (lambda x: x * x.shape[2], "another size"),
    "size as a switch": (lambda x: x.relu() if x.shape[2] > 80 else x.sigmoid(), "another size"),
    "weights of the image": (lambda x: F.conv2d(x, x), "computed from the image"),
    "half a pixel": (lambda x: F.interpolate(x, scale_factor=1.5), "whole factor"),
    "corners": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), "align_corners=True"),
    "bilinear by 3": (lambda x: F.interpolate(x, scale_factor=3, mode="bilinear"), "depends on the position"),
    "nearest by 47": (lambda x: F.interpolate(x, scale_factor=47), "depends on the position"),
    "reflection": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "only a constant"),
    "ceil mode": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), "ceil_mode"),
    "positions of maxima": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], "positions of the maxima"),
    "even kernel": (lambda x: F.conv2d(x, torch.ones(2, 4, 2, 2), padding="same"), "one side"),
    "several results": (lambda x: (x, x), "not one tensor"),
    "no result": (lambda x: torch.ones(1, 1, 8, 8), "cannot be seen"),
    "compiled": (lambda x, part: part(x), "compiled"),
    "view in place": (lambda x: x[:, :2].relu_(), "in place"),
    "failure": (lambda x: F.conv2d(x, torch.ones(1, 9, 1, 1)), "fails on an image of shape"),
}


@pytest.mark.filterwarnings("ignore:.*jit.script:FutureWarning", "ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refusals_give_the_reason(name):
    function, reason = REFUSED[name]
    parts = [torch.jit.script(nn.ReLU())] if name == "compiled" else []
    error = refusal(function, *parts)
    assert reason in error.reason
    assert error.layer in ("Applied", "parts.1")


def test_networks_that_are_not_ready_are_refused():
    with pytest.raises(Untraceable, match="training mode"):
        trace_rows(nn.Conv2d(3, 3, 3), 8)
    with pytest.raises(Untraceable, match="number of input channels"):
        trace_rows(nn.ReLU().eval(), 8)
    assert trace_rows(nn.ReLU().eval(), 8, channels=5).channels == (5, 5)


def test_hooks_are_gone_after_tracing():
    net = Applied(lambda x, conv: conv(x), CONV).eval()
    trace_rows(net, 8)
    with pytest.raises(Untraceable):
        trace_rows(Applied(lambda x, conv: conv(x).mean(), CONV).eval(), 8)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in [*net.modules(), CONV])


def test_only_what_the_result_needs_is_kept():
    def function(x, conv):
        F.max_pool2d(conv(x), 2)
        return torch.relu_(x + 1) + x.contiguous()

    graph = trace_rows(Applied(function, CONV).eval(), 8)
    assert [node.operation.name for node in graph.nodes] == ["input", "add", "relu", "add"]
    assert graph.radius_rows == graph.radius_columns == (0, 0)


def probed_radius(net, stride, axis, radius, channels=3):
    """(before, after) as seen by one NaN row or column for each phase of the stride."""
    size = 2 * -(-(radius + 1) // stride) * stride + stride
    image = torch.zeros(stride, channels, size, stride)
    at = size // 2 // stride * stride
    for phase in range(stride):
        image[phase, :, at + phase] = torch.nan
    image = image if axis == 2 else image.transpose(2, 3)
    with torch.no_grad():
        hit = net(image.contiguous(memory_format=torch.channels_last)).isnan().any(1).any(4 - axis)
    before = max(int(rows.nonzero().max()) - at - phase for phase, rows in enumerate(hit))
    after = max(at + phase - int(rows.nonzero().min()) for phase, rows in enumerate(hit))
    return before, after


def test_radius_of_an_smp_unet_as_probed():
    net = smp_net("Unet", "resnet18")
    graph = trace_rows(net, 32)
    assert graph.radius_rows == graph.radius_columns == (311, 280)
    assert probed_radius(net, 32, 2, 311) == graph.radius_rows


@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear"])
def test_radius_of_the_native_unet_as_its_page_says(up):
    net = lively(build_net("unet", 3, 2, {"depth": 3, "width": 4, "up": up}))
    graph = trace_rows(net, 8)
    expected = 8 * 2**3 - 6 if up == "bilinear" else 7 * 2**3 - 5
    assert graph.radius_rows == (expected, expected)
    assert probed_radius(net, 8, 2, expected) == graph.radius_rows


def test_radius_differs_by_axis_and_side():
    net = nn.Sequential(
        nn.Conv2d(3, 4, (3, 7), padding=(1, 3)),
        nn.ZeroPad2d((0, 2, 3, 0)),
        nn.Conv2d(4, 4, (4, 3), dilation=(1, 2), padding=(0, 1)),
        nn.Conv2d(4, 4, 2, 2),
        nn.ConvTranspose2d(4, 4, 3, 2, padding=1, output_padding=1),
        nn.AvgPool2d(3, 1, 1),
    ).eval()
    graph = trace_rows(net, 2)
    assert graph.radius_rows == probed_radius(net, 2, 2, 20)
    assert graph.radius_columns == probed_radius(net, 2, 3, 20)
    assert graph.radius_rows != graph.radius_columns


def test_output_rows_and_sizes_that_do_not_fit():
    graph = trace_rows(Applied(lambda x, conv: F.avg_pool2d(conv(x), 4), CONV).eval(), 8)
    assert graph.output_rows(24) == 6
    for height in (0, 12):
        with pytest.raises(ValueError, match="no multiple of the stride 8"):
            graph.output_rows(height)
    with pytest.raises(ValueError, match="gives 0 rows"):
        trace_rows(nn.Conv2d(3, 3, 9).eval(), 8).output_rows(8)


def test_the_best_strip_fits_into_the_memory():
    graph = trace_rows(lively(build_net("unet", 3, 2, {"depth": 3, "width": 16})), 8)
    peaks = {strip: graph.peak_bytes(512, strip) for strip in (8, 16, 32, 64)}
    assert graph.best_strip(512, 1) == 8
    assert graph.best_strip(512, max(peaks.values())) == 64
    assert all(graph.peak_bytes(512, graph.best_strip(512, peak)) <= peak for peak in peaks.values())
    assert 1.5 < graph.peak_bytes(1024, 32) / peaks[32] < 2.5
