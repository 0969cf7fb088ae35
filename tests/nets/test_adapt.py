"""Filters of three bands serve any number of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.core.errors import ConfigError
from swath.nets.adapt import adapted, widened


def test_each_rule_gives_its_filters() -> None:
    weight = torch.randn(8, 3, 7, 7)
    assert torch.equal(widened(weight, 4, "copy:2")[:, 3], weight[:, 1])
    assert torch.equal(widened(weight, 5, "mean")[:, 4], weight.mean(1))
    assert torch.equal(widened(weight, 7, "repeat")[:, 3:], weight[:, [0, 1, 2, 0]])
    for how in ("repeat", "mean", "copy:1"):
        assert torch.equal(widened(weight, 6, how)[:, :3], weight)
        assert torch.equal(widened(weight, 2, how), weight[:, :2])


@pytest.mark.parametrize("how", ["copy:4", "copy", "green", ""])
def test_an_unknown_rule_is_refused(how: str) -> None:
    with pytest.raises(ConfigError, match=r"model.adapter: unknown value"):
        widened(torch.zeros(1, 3, 1, 1), 4, how)


def test_the_fourth_band_gets_the_filter_of_green() -> None:
    """As geo-deep-learning starts its near infrared band; an smp network stands for a pretrained one."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    net = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=2)
    before = net.encoder.conv1.weight.detach().clone()
    adapted(net, 4, "copy:2")
    assert torch.equal(net.encoder.conv1.weight[:, :3], before)
    assert torch.equal(net.encoder.conv1.weight[:, 3], before[:, 1])
    assert net.eval()(torch.zeros(1, 4, 64, 64)).shape == (1, 2, 64, 64)


def test_a_built_network_takes_the_bands() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    from swath.nets.zoo import build_net

    net = build_net("smp-unet", 5, 2, {"adapter": "mean"})
    assert net.eval()(torch.zeros(1, 5, 64, 64)).shape == (1, 2, 64, 64)


def test_a_network_without_such_a_convolution_is_told() -> None:
    with pytest.raises(ConfigError, match="no first convolution of three bands"):
        adapted(nn.Sequential(nn.Conv2d(4, 2, 1)), 5, "mean")
