"""Coordinate channels inside a network: their values, where they are added, and that tiles are then blended."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.nets.coordconv import CoordConv2d, with_coordinates
from swath.nets.radius import measure_radius
from swath.nets.zoo import build_net
from swath.specs import CoordConvSpec, ModelSpec


def conv(**options: object) -> CoordConv2d:
    return CoordConv2d(nn.Conv2d(3, 4, 3, padding=1), **options)  # type: ignore[arg-type]


def test_coordinates_run_from_minus_a_half_to_a_half() -> None:
    rows, cols, radius = conv(radius=True).coordinates(torch.zeros(2, 3, 5, 9))[1]
    assert rows[:, 0].tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    assert cols[0, [0, 4, 8]].tolist() == [-0.5, 0, 0.5]
    assert radius[2, 4] == 0
    assert radius[0, 0] == pytest.approx(0.5**0.5)


def test_scale_takes_effect() -> None:
    """The older system dropped this value."""
    assert conv(scale=0.4).coordinates(torch.zeros(1, 3, 5, 5)).max() == pytest.approx(0.2)


def test_plain_coordinates_count_pixels() -> None:
    rows, cols = conv(centered=False, normalized=False).coordinates(torch.zeros(1, 3, 3, 4))[0]
    assert rows[:, 0].tolist() == [0, 1, 2]
    assert cols[0].tolist() == [0, 1, 2, 3]


def test_noise_only_while_training() -> None:
    own = conv(noise=0.1)
    x = torch.zeros(1, 3, 8, 8)
    assert not torch.equal(own.train().coordinates(x), own.coordinates(x))
    assert torch.equal(own.eval().coordinates(x), own.coordinates(x))


@pytest.mark.parametrize(("radius", "more"), [(False, 2), (True, 3)])
def test_every_convolution_is_replaced(radius: bool, more: int) -> None:
    plain = build_net("unet", 3, 2, {"depth": 2, "width": 4})
    net = build_net("unet", 3, 2, {"depth": 2, "width": 4, "coordconv": {"radius": radius}})
    before = [m.in_channels for m in plain.modules() if isinstance(m, nn.Conv2d)]
    after = [m.conv.in_channels for m in net.modules() if isinstance(m, CoordConv2d)]
    assert [n + more for n in before] == after
    assert net(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 16, 16)
    assert len([m for m in net.modules() if isinstance(m, nn.Conv2d)]) == len(after)


def test_grouped_convolutions_stay() -> None:
    net = with_coordinates(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1)), {})
    assert [type(m).__name__ for m in net] == ["Conv2d", "CoordConv2d"]


def test_no_margin_makes_such_a_network_exact() -> None:
    """The result depends on the place in the tile: prediction blends tiles and says so."""
    torch.manual_seed(0)
    radius = measure_radius(build_net("unet", 1, 2, {"depth": 1, "width": 4, "coordconv": {}}), 1, 2)
    assert radius.pixels is None
    assert radius.reason == "position"


def test_the_config_says_where() -> None:
    assert ModelSpec(coordconv=CoordConvSpec(where="all", radius=True)).given()["coordconv"]["radius"] is True
    assert "coordconv" not in ModelSpec(coordconv=CoordConvSpec()).given()
    with pytest.raises(ValueError, match="noise needs where: all"):
        CoordConvSpec(noise=0.1)
