"""Rows that pass through a traced network strip by strip come out as those of the whole image."""

import weakref
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from row_nets import Applied, eager, lively, random_heights, streamed
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from swath.engines.rowgraph import BLOCK, trace_rows
from swath.engines.rowstream import RowStream
from swath.nets.zoo import build_net

pytestmark = pytest.mark.usefixtures("one_thread")
NETS = [
    ("unet", {"depth": 3, "width": 8}),
    ("unet", {"depth": 2, "width": 6, "norm": "none", "up": "nearest"}),
    ("unet", {"depth": 3, "width": 8, "up": "bilinear", "dropout": 0.3}),
    ("smp-unet", {"encoder": "resnet18"}),
    ("smp-unet", {"encoder": "resnet34"}),
    ("smp-unet", {"encoder": "vgg11_bn"}),
    ("smp-unet", {"encoder": "resnet18", "decoder_interpolation": "bilinear"}),
    ("smp-unetplusplus", {"encoder": "resnet18"}),
    ("smp-linknet", {"encoder": "resnet18"}),
]


def whole(net, image):
    with torch.no_grad():
        return net(image.clone())  # some networks write into their image


def noise(*shape, dtype=torch.float32):
    return torch.randn(1, *shape, dtype=dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "options"), NETS, ids=str)
def test_networks_give_the_whole_image(name, options):
    if name.startswith("smp"):
        pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    net = lively(build_net(name, 3, 2, options))
    graph = trace_rows(net, net.stride, channels=3)
    image = noise(3, 256, 96)
    expected = whole(net, image)
    for heights in (1, 37, 64, random_heights(1, 90), 300):
        result = streamed(graph, image, heights)
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert (result - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max())
    for height in (net.stride, 2 * net.stride, 3 * net.stride):
        result = streamed(eager(graph), image[:, :, :height], 11, block=1 << 16)
        expected = whole(net, image[:, :, :height])
        assert (result - expected).abs().max() <= 2e-5 * max(1.0, expected.abs().max())


def test_double_precision_leaves_no_doubt():
    pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    net = lively(build_net("smp-unet", 3, 2, {"encoder": "resnet18"})).double()
    image = noise(3, 416, 32, dtype=torch.float64)
    expected = whole(net, image)
    for heights, block in ((random_heights(2, 50), BLOCK), (32, 1), (64, 1 << 15)):
        result = streamed(eager(trace_rows(net, 32)), image, heights, block=block)
        assert result.dtype == torch.float64
        assert (result - expected).abs().max() <= 1e-12 * expected.abs().max()


class Drawn(nn.Module):
    """A network of drawn layers; each works on the last result, joins take an earlier one of the same size."""

    def __init__(self, layers):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Conv2d(4, 4, 1)])  # parameters, which tell the dtype
        self.joins = [None]
        self.levels = [0, 0]
        for kind, earlier in layers:
            level = self.levels[-1]
            change = KINDS[kind][0]
            if not 0 <= level + change <= 3:
                continue
            same = [i for i, other in enumerate(self.levels) if other == level + change]
            self.joins.append(same[earlier % len(same)] if same and kind in ("add", "cat") else None)
            alone = kind in ("add", "cat") and self.joins[-1] is None
            self.layers.append(nn.ReLU() if alone else KINDS[kind][1]())
            self.levels.append(level + change)

    def forward(self, x):
        results = [x]
        for layer, join in zip(self.layers, self.joins, strict=True):
            value = results[-1]
            if join is not None:
                other = results[join]
                value = value + other if isinstance(layer, nn.ReLU) else torch.cat([value, other], 1)
            results.append(layer(value))
        return results[-1]


def square(width, stride=1, dilation=1, **options):
    return lambda: nn.Conv2d(4, 4, width, stride, dilation * (width - 1) // 2, dilation, **options)


KINDS = {  # name -> (change of level, layer); all keep four channels
    "conv3": (0, square(3)),
    "conv5": (0, square(5, groups=2)),
    "conv13": (0, lambda: nn.Conv2d(4, 4, (1, 3), padding=(0, 1))),
    "conv31": (0, lambda: nn.Conv2d(4, 4, (3, 1), padding="same")),
    "conv1": (0, square(1)),
    "dilated": (0, square(3, dilation=3)),
    "padded": (0, lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 2, 0)), nn.Conv2d(4, 4, (3, 2)))),
    "cropped": (0, lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=3), nn.ZeroPad2d((-2, -2, -1, -3)))),
    "outside": (0, lambda: nn.Sequential(nn.Conv2d(4, 4, 1, padding=2), nn.ZeroPad2d(-2))),
    "norm": (0, lambda: lively(nn.BatchNorm2d(4))),
    "relu": (0, lambda: nn.ReLU(inplace=True)),
    "prelu": (0, lambda: nn.PReLU(4)),
    "silu": (0, lambda: nn.SiLU(inplace=True)),
    "max3": (0, lambda: nn.MaxPool2d(3, 1, 1)),
    "mean3": (0, lambda: nn.AvgPool2d(3, 1, 1)),
    "mean5": (0, lambda: nn.AvgPool2d(5, 1, 2, count_include_pad=False)),
    "down3": (1, square(3, 2)),
    "down1": (1, square(1, 2)),
    "max2": (1, lambda: nn.MaxPool2d(2)),
    "max32": (1, lambda: nn.MaxPool2d(3, 2, 1)),
    "mean32": (1, lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "unshuffled": (1, lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 1))),
    "up2": (-1, lambda: nn.ConvTranspose2d(4, 4, 2, 2)),
    "up3": (-1, lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1)),
    "up4": (-1, lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1)),
    "up1": (-1, lambda: nn.ConvTranspose2d(4, 4, 1, 2, 0, output_padding=1)),
    "nearest": (-1, lambda: nn.Upsample(scale_factor=2)),
    "bilinear": (-1, lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "bicubic": (-1, lambda: nn.Upsample(scale_factor=2, mode="bicubic")),
    "shuffled": (-1, lambda: nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2))),
    "add": (0, nn.ReLU),
    "cat": (0, lambda: nn.Conv2d(8, 4, 1)),
}
KIND = st.sampled_from([*sorted(KINDS), "add", "cat", "add", "cat"])
LAYERS = st.lists(st.tuples(KIND, st.integers(0, 9)), min_size=1, max_size=9)


@settings(max_examples=150)
@given(LAYERS, st.integers(1, 5), st.integers(0, 99), st.sampled_from([1, 500, 3000, BLOCK]), st.booleans())
@example([(kind, 0) for kind in KINDS], 4, 1, BLOCK, True)
@example([("down3", 0), ("down3", 0), ("bilinear", 0), ("add", 1), ("up3", 0), ("cat", 1)], 5, 2, 1, False)
def test_drawn_networks_give_the_whole_image(layers, blocks, seed, block, last):
    net = Drawn(layers).double().eval()
    graph = trace_rows(net, 8, channels=4)
    image = noise(4, 8 * blocks, 16, dtype=torch.float64)
    image = image if last else image.contiguous()
    expected = whole(net, image)
    result = streamed(eager(graph), image, random_heights(seed, 1 + seed % 9), block=block)
    assert result.shape == expected.shape
    assert torch.allclose(result, expected, rtol=0, atol=1e-12 * max(1.0, expected.abs().max()))


FUNCTIONS = {
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "split": lambda x: x.split((1, 3), 1)[1].relu(),
    "channels": lambda x: x[:, 1:3] * x[:, :2],
    "softmax": lambda x: x.softmax(1) + F.log_softmax(x, 1),
    "channel mean": lambda x: torch.cat([x.mean(1, keepdim=True), x.amax((1,), keepdim=True)], 1),
    "arithmetic": lambda x: 1 - (2 / (x.abs() + 3)) ** 2 + x / 2 - x.clamp(-1, 1),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "in place": lambda x: x.relu_().add_(1).mul_(x),
    "constants": lambda x: x * torch.arange(4.0)[:, None, None] + torch.ones(1, 4, 1, 1),
    "instance norm": lambda x: F.instance_norm(x, torch.zeros(4), torch.ones(4), use_input_stats=False),
    "upsample": lambda x: F.interpolate(x, size=(x.shape[2] * 4, x.shape[3] * 2), mode="bilinear"),
    "nearest by 3": lambda x: F.interpolate(x, scale_factor=3),
    "exact by 2": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "conversion": lambda x: x.double().to(torch.float32).float(),
    "constant pad": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), value=2.5), 3, 1),
    "other divisor": lambda x: F.avg_pool2d(x, 3, 1, 1, divisor_override=5),
    "twice": lambda x: torch.cat([x, x], 1) + torch.cat([x + x, x * x], 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_the_whole_image(name):
    net = Applied(lambda x, conv: FUNCTIONS[name](conv(x)), nn.Conv2d(3, 4, 3, padding=1)).eval()
    image = noise(3, 40, 16)
    before = image.clone()
    result = streamed(eager(trace_rows(net, 8)), image, random_heights(3, 7), block=2000)
    assert torch.allclose(result, whole(net, image), rtol=1e-5, atol=1e-5)
    assert torch.equal(image, before)


@pytest.mark.parametrize("function", [lambda x: x, lambda x: x[:, :1]])
def test_a_result_does_not_share_the_memory_of_the_image(function):
    image = noise(2, 16, 8)
    result = streamed(trace_rows(Applied(function).eval(), 8, channels=2), image, 16)
    assert torch.equal(result, function(image))
    result.zero_()
    assert image.any()


def test_rows_may_be_overwritten_after_the_call():
    net = lively(build_net("unet", 3, 2, {"depth": 2, "width": 4}))
    graph, image = eager(trace_rows(net, 4)), noise(3, 32, 16)
    kept, stream, parts = torch.empty(1, 3, 4, 16), RowStream(graph, 32, strip=8), []
    for row in range(0, 32, 4):
        part = stream.push(kept.copy_(image[:, :, row : row + 4]))
        kept.fill_(torch.nan)
        if part is not None:
            parts.append(part.clone())
            part.fill_(torch.nan)
    assert torch.allclose(torch.cat(parts, 2), whole(net, image), atol=1e-5)


def test_rows_wait_for_a_strip():
    net = lively(build_net("unet", 3, 2, {"depth": 2, "width": 4}))
    graph, image = eager(trace_rows(net, 4)), noise(3, 64, 16)
    stream, counts = RowStream(graph, 64, strip=24), []
    with torch.inference_mode():
        for row in range(64):
            part = stream.push(image[:, :, row : row + 1])
            counts.append(0 if part is None else part.shape[2])
    assert sum(counts) == 64
    assert [row + 1 for row, count in enumerate(counts) if count] == [24, 48, 64]


def test_wrong_rows_are_refused():
    graph = trace_rows(lively(build_net("unet", 3, 2, {"depth": 2, "width": 4})), 4)
    with pytest.raises(ValueError, match="stride 4"):
        RowStream(graph, 30)
    stream = RowStream(graph, 32)
    for rows, message in (
        (noise(2, 8, 16), r"expected \(1, 3, h, W\)"),
        (noise(3, 8, 16)[0], r"expected \(1, 3, h, W\)"),
        (noise(3, 0, 16), r"expected \(1, 3, h, W\)"),
        (noise(3, 8, 16).double(), "rows are torch.float64, the network takes torch.float32"),
        (noise(3, 8, 18), "18 columns are no multiple of the stride 4"),
        (noise(3, 36, 16), "36 more rows after 0 of 32"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.push(rows)
    stream.push(noise(3, 8, 16))
    with pytest.raises(ValueError, match="20 columns wide, those before 16"):
        stream.push(noise(3, 8, 20))
    with pytest.raises(ValueError, match="25 more rows after 8 of 32"):
        stream.push(noise(3, 25, 16))


def test_bands_of_columns_join_with_the_radius_as_margin():
    net = lively(build_net("unet", 3, 2, {"depth": 2, "width": 4, "up": "bilinear"})).double()
    graph = eager(trace_rows(net, 4))
    left, right = (-(-columns // 4) * 4 for columns in graph.radius_columns)
    image, parts = noise(3, 40, 160, dtype=torch.float64), []
    for start in range(0, 160, 40):
        first, last = max(0, start - left), min(160, start + 40 + right)
        band = streamed(graph, image[:, :, :, first:last], 13)
        parts.append(band[:, :, :, start - first : start - first + 40])
    assert torch.allclose(torch.cat(parts, 3), whole(net, image), rtol=0, atol=1e-12)


class LiveBytes(TorchDispatchMode):
    """The memory of all tensors made while it is entered, now and at most."""

    def __init__(self):
        super().__init__()
        self.tensors, self.sizes, self.peak = Counter(), {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                memory = tensor.untyped_storage()
                self.sizes[memory.data_ptr()] = memory.nbytes()
                self.tensors[memory.data_ptr()] += 1
                weakref.finalize(tensor, self._gone, memory.data_ptr())
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result

    def _gone(self, address):
        self.tensors[address] -= 1
        if not self.tensors[address]:
            del self.sizes[address]


def test_memory_is_as_estimated_and_does_not_grow_with_the_height():
    net = lively(build_net("unet", 3, 2, {"depth": 3, "width": 8}))
    graph, peaks = trace_rows(net, 8), []
    for height in (512, 1024):
        stream, live = RowStream(graph, height), LiveBytes()
        for _ in range(0, height, 32):
            with live:
                stream.push(noise(3, 32, 256))
        peaks.append(live.peak)
    assert peaks[0] == peaks[1]
    assert peaks[0] <= graph.peak_bytes(256, 32) <= 4 * peaks[0]
