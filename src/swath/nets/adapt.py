"""Pretrained networks of three bands made to take any number of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swath.core.errors import ConfigError

ADAPTERS = "repeat, mean or copy:BAND"


def adapted(net: nn.Module, in_channels: int, how: str) -> nn.Module:
    """The network with its first convolution widened from three to `in_channels` bands, in place.

    The first three bands keep their filters. Further ones get: `repeat` those of bands 1, 2, 3, 1 ...; `mean` the
    mean of the three; `copy:K` those of band K (1 to 3; 2 is green, as geo-deep-learning has it for near infrared).
    Fewer bands take the first filters. Raises ConfigError (model-option).
    """
    found = next(((m, n) for m in net.modules() for n, c in m.named_children() if _first(c)), None)
    if found is None:
        raise ConfigError("model-option", "model.adapter", "the network has no first convolution of three bands",
                          "leave model.adapter out")  # fmt: skip
    parent, name = found
    old: nn.Conv2d = getattr(parent, name)
    new = nn.Conv2d(
        in_channels, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None, padding_mode=old.padding_mode,  # type: ignore[arg-type]
    )  # fmt: skip
    with torch.no_grad():
        new.weight.copy_(widened(old.weight, in_channels, how))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    setattr(parent, name, new)
    return net


def widened(weight: Tensor, bands: int, how: str) -> Tensor:
    """Filters (out, bands, h, w) of filters (out, 3, h, w). Raises ConfigError."""
    kind, _, band = how.partition(":")
    if kind == "repeat":
        more = [weight[:, i % 3] for i in range(3, bands)]
    elif kind == "mean":
        more = [weight.mean(1) for _ in range(3, bands)]
    elif kind == "copy" and band in ("1", "2", "3"):
        more = [weight[:, int(band) - 1] for _ in range(3, bands)]
    else:
        raise ConfigError("model-option", "model.adapter", f"unknown value '{how}'", f"write {ADAPTERS} with BAND 1 to 3")
    return torch.stack([*weight[:, : min(3, bands)].unbind(1), *more], 1)


def _first(child: nn.Module) -> bool:
    return isinstance(child, nn.Conv2d) and child.in_channels == 3 and child.groups == 1
