"""Networks by name: one test over the table, then what is particular to the native U-Net and to smp."""

import sys

import pytest
import torch
from torch import nn

from swath.core.errors import ConfigError, DataError
from swath.nets.zoo import ZOO, build_net, init_head_bias, option_names

pytestmark = pytest.mark.usefixtures("one_thread")
smp_installed = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('segmentation_models_pytorch')")

NATIVE = [
    ("unet", {}),
    ("unet", {"depth": 1, "width": 5, "norm": "none", "up": "nearest"}),
    ("unet", {"depth": 2, "width": 6, "norm": "group", "up": "bilinear", "dropout": 0.3}),
]
SMP = [(name, {}) for name in ZOO if name.startswith("smp-")] + [
    ("smp-unet", {"encoder": "tu-resnet18", "encoder_depth": 3, "decoder_channels": [32, 16, 8]}),
    ("smp-fpn", {"encoder": "mobilenet_v2"}),
]


@pytest.mark.parametrize(
    ("name", "options"), [*NATIVE, *(pytest.param(*case, marks=smp_installed) for case in SMP)], ids=str
)
def test_logits_on_the_input_grid(name, options):
    bands, classes = 5, 1 + len(name) % 3
    net = build_net(name, bands, classes, options)
    assert net.training
    assert all(p.dtype == torch.float32 for p in net.parameters())
    x = torch.randn(1, bands, net.stride, 2 * net.stride)
    with torch.no_grad():
        y = net.eval()(x)
    assert y.shape == (1, classes, *x.shape[2:])
    assert torch.isfinite(y).all()
    assert set(options) <= set(option_names(name))


def test_unet_trains_and_is_a_graph_of_modules():
    net = build_net("unet", 3, 2, {"depth": 2, "width": 4})
    net(torch.randn(2, 3, 16, 24)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    graph = torch.fx.symbolic_trace(net)
    x = torch.randn(1, 3, 32, 8)
    assert torch.equal(graph.eval()(x), net.eval()(x))
    assert {n.op for n in graph.graph.nodes} == {"placeholder", "call_module", "call_function", "output"}
    assert {n.target for n in graph.graph.nodes if n.op == "call_function"} == {torch.cat}


def test_unet_parameter_count_by_hand():
    # width 4, depth 1, 3 bands, 2 classes; each norm has 2 numbers per channel, no convolution before it a bias
    down = (3 * 4 * 9 + 8) + (4 * 4 * 9 + 8) + (4 * 8 * 9 + 16) + (8 * 8 * 9 + 16)
    rise, join, head = 8 * 4 * 4 + 4, (8 * 4 * 9 + 8) + (4 * 4 * 9 + 8), 4 * 2 + 2
    net = build_net("unet", 3, 2, {"depth": 1, "width": 4})
    assert sum(p.numel() for p in net.parameters()) == down + rise + join + head


def test_unet_keeps_the_variance_of_the_signal():
    torch.manual_seed(0)
    net = build_net("unet", 4, 3, {"norm": "none"})
    with torch.no_grad():
        assert 0.2 < net(torch.randn(1, 4, 128, 128)).std() < 5


def test_interpolation_commutes_with_the_convolution_before_it():
    rise = build_net("unet", 3, 2, {"depth": 1, "width": 4, "up": "bilinear"}).rise[0]
    nn.init.normal_(rise[0].bias)
    x = torch.randn(1, 8, 6, 6)
    assert torch.allclose(rise(x), rise[0](rise[1](x)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "code", "fix"),
    [
        ("unte", {}, "model-unknown", "'unet'"),
        ("unet", {"widht": 3}, "model-option", "'width'"),
        ("unet", {"norm": "bach"}, "model-option", "'batch'"),
        ("unet", {"depth": 0}, "model-option", ""),
        ("unet", {"dropout": 1.0}, "model-option", ""),
        ("swath.nets.zoo.unet:nothing", {}, "model-unknown", "package.module"),
        pytest.param("smp-unte", {}, "model-unknown", "'smp-unet'", marks=smp_installed),
        pytest.param("smp-unet", {"encoder": "resnet81"}, "model-option", "'resnet", marks=smp_installed),
        pytest.param("smp-unet", {"encoder": "tu-nothing-like-it"}, "model-option", "", marks=smp_installed),
        pytest.param("smp-unet", {"encodr": "resnet18"}, "model-option", "'encoder'", marks=smp_installed),
        pytest.param("smp-unet", {"pretrained": "imagnet"}, "model-option", "'imagenet'", marks=smp_installed),
        pytest.param("smp-unet", {"encoder_depth": 4}, "model-option", "", marks=smp_installed),
        pytest.param("smp-dpt", {"encoder": "resnet18"}, "model-option", "", marks=smp_installed),
    ],
)
def test_wrong_names_and_options(name, options, code, fix):
    with pytest.raises(ConfigError) as caught:
        build_net(name, 3, 2, options)
    assert caught.value.code == code
    assert fix in caught.value.fix


def test_without_smp_the_names_stay_and_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    assert "smp-unet" in ZOO
    with pytest.raises(ConfigError) as caught:
        build_net("smp-unet", 3, 2, {})
    assert (caught.value.code, caught.value.fix) == ("extra-missing", "pip install 'swath[smp]'")
    with pytest.raises(ConfigError, match="did you mean 'smp-unet'"):
        build_net("smp-unte", 3, 2, {})


def own_net(in_channels, out_channels, kernel=3, **more):
    net = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    net.stride_of_input = more
    return net


def test_a_function_of_the_user(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_nets", sys.modules[__name__])
    assert option_names("own_nets:own_net") == ["kernel"]
    with pytest.raises(DataError, match="stride"):  # the stride of a convolution is a pair
        build_net("own_nets:own_net", 3, 2, {"kernel": 5, "anything": 1})


@pytest.mark.parametrize("name", ["unet", *(pytest.param(n, marks=smp_installed) for n in ("smp-unet", "smp-fpn"))])
def test_head_bias_gives_the_priors(name):
    net = build_net(name, 3, 3, {})
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert init_head_bias(net, [0.7, 0.3, 0.0])
    changed = [k for k, v in net.state_dict().items() if not torch.equal(v, before[k])]
    assert len(changed) == 1
    assert torch.allclose(net.state_dict()[changed[0]].exp(), torch.tensor([0.7, 0.3, 1e-4]))


def test_head_bias_of_a_binary_head_and_of_no_head():
    net = build_net("unet", 3, 1, {"depth": 1, "width": 2})
    for priors in ([0.2], [0.8, 0.2], [8, 2]):
        assert init_head_bias(net, priors)
        assert torch.sigmoid(net.head.bias).item() == pytest.approx(0.2, abs=1e-6)
    with pytest.raises(ConfigError, match="3 class shares"):
        init_head_bias(net, [0.2, 0.3, 0.5])
    assert not init_head_bias(nn.ReLU(), [0.5])
