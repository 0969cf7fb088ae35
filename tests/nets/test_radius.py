"""How far networks look: hand calculation, an independent measurement, and the promise that the margin keeps."""

import pytest
import torch
from torch import nn

from swath.core.errors import DataError
from swath.nets.radius import Radius, measure_radius
from swath.nets.zoo import build_net

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("convs", [1, 2, 5])
def test_a_stack_of_convolutions_looks_one_pixel_each(convs):
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(convs)))
    assert measure_radius(net, 2, 1) == Radius(convs, convs, convs, convs)


def test_a_lopsided_kernel_has_lopsided_sides():
    net = nn.Sequential(nn.ZeroPad2d((2, 0, 0, 1)), nn.Conv2d(1, 1, (2, 3)))  # left, right, top, bottom
    radius = measure_radius(net, 1, 1)
    assert radius == Radius(top=0, bottom=1, left=2, right=0)
    assert radius.pixels == 2


def by_hand(depth, up):
    """Radius of a U-Net of radius r one level down: two convolutions on each side, the grid of pairs, and twice r."""
    r = 2  # the deepest level: two convolutions
    for _ in range(depth):
        r = 2 + 2 * r + 2 + (1 if up != "bilinear" else 2)  # bilinear takes a neighbour of the pair as well
    return r


@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_unet_by_hand(depth, up):
    assert by_hand(1, "nearest") == 9
    assert by_hand(2, "nearest") == 23
    net = build_net("unet", 3, 2, {"depth": depth, "width": 4, "up": up})
    expected = by_hand(depth, up)
    assert measure_radius(net, 3, net.stride) == Radius(expected, expected, expected, expected)
    assert expected == (8 * 2**depth - 6 if up == "bilinear" else 7 * 2**depth - 5)


def test_the_default_unet():
    assert measure_radius(build_net("unet", 3, 2, {}), 3, 16).pixels == 107


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4)), "global"),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)),
            "position",
        ),
    ],
    ids=["global", "position"],
)
def test_no_finite_radius(net, reason):
    radius = measure_radius(net, 1, 2)
    assert (radius.pixels, radius.reason) == (None, reason)


def test_one_axis_may_be_global_alone():
    class RowMean(nn.Module):
        def forward(self, x):
            return x + x.mean(3, keepdim=True)

    radius = measure_radius(RowMean(), 1, 1, limit=64)
    assert (radius.top, radius.left, radius.pixels) == (0, None, None)


def test_beyond_the_limit_is_not_finite():
    net = nn.Conv2d(1, 1, 41, padding=20)
    assert measure_radius(net, 1, 1, limit=20).pixels == 20
    assert measure_radius(net, 1, 1, limit=19).pixels is None


def test_modes_are_left_as_they_were():
    net = build_net("unet", 1, 1, {"depth": 1, "width": 2})
    net.train()
    net.down[0].eval()
    before = [m.training for m in net.modules()]
    measure_radius(net, 1, net.stride)
    assert [m.training for m in net.modules()] == before
    assert all(p.grad is None for p in net.parameters())


def test_errors_name_what_is_wrong():
    with pytest.raises(DataError, match="not the same grid"):
        measure_radius(nn.MaxPool2d(2), 1, 2)
    net = nn.Conv2d(1, 1, 1)
    nn.init.constant_(net.weight, 3e38)
    with pytest.raises(DataError, match="not finite"):
        measure_radius(net, 1, 1)


def test_tiles_with_this_margin_are_exact_and_with_less_they_are_not():
    torch.manual_seed(0)
    net = build_net("unet", 2, 3, {"depth": 2, "width": 4, "norm": "none"}).eval()
    x = torch.randn(1, 2, 8, 160)
    r = measure_radius(net, 2, net.stride).pixels
    with torch.no_grad():
        whole = net(x)

        def differs(margin):
            """Largest difference of a core whose tile begins `margin` before it, over all positions in the stride."""
            begin = 40
            tile = net(x[..., begin:])
            return (tile - whole[..., begin:])[..., margin:].abs().max().item()

        assert differs(r) < 1e-6
        assert differs(r - 2) > 1e-6 or differs(r - 4) > 1e-6


@pytest.mark.parametrize(("name", "sides"), [("smp-unet", (311, 280)), ("smp-linknet", (279, 248)), ("smp-fpn", None)])
def test_smp_networks(name, sides):
    pytest.importorskip("segmentation_models_pytorch")
    net = build_net(name, 3, 2, {})
    radius = measure_radius(net, 3, net.stride)
    if sides is None:
        assert radius.pixels is None
    else:
        assert (radius.left, radius.right) == (radius.top, radius.bottom) == sides


def test_smp_unet_against_the_slope_of_its_outputs():
    pytest.importorskip("segmentation_models_pytorch")
    net = build_net("smp-unet", 1, 1, {}).double().eval()
    for p in net.parameters():  # positive weights that sum to one: no cancellation, so a slope shows all that is seen
        p.data = p.data.abs() + 1e-3
        if p.ndim == 4:
            p.data /= p.data.flatten(1).sum(1).view(-1, 1, 1, 1)
    x = torch.ones(1, 1, 32, 704, dtype=torch.double, requires_grad=True)
    net(x)[..., 352 + 30].sum().backward()  # the phase of the stride that looks farthest to the left
    assert 352 + 30 - int((x.grad[0, 0] != 0).any(0).nonzero()[0]) == 311
