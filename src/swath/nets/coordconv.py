"""Convolutions that also see where they are: coordinate channels at every layer (CoordConv, Liu et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class CoordConv2d(nn.Module):
    """A convolution with row and column of its own input as further channels, and with `radius` their distance.

    `centered` subtracts the middle, `normalized` divides by (size - 1), `scale` multiplies; `noise` is the standard
    deviation of a jitter while training.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        centered: bool = True,
        normalized: bool = True,
        scale: float = 1.0,
        radius: bool = False,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.centered, self.normalized, self.scale = centered, normalized, scale
        self.radius, self.noise = radius, noise
        self.conv = nn.Conv2d(
            conv.in_channels + 2 + radius, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # type: ignore[arg-type]
            conv.dilation, bias=conv.bias is not None, padding_mode=conv.padding_mode,  # type: ignore[arg-type]
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of `x` (B, C, H, W) with its coordinates."""
        return self.conv(torch.cat([x, self.coordinates(x)], 1))

    def coordinates(self, x: Tensor) -> Tensor:
        """Coordinate channels (B, 2 or 3, H, W) of a tensor."""
        axes = [self._axis(size, x) for size in x.shape[2:]]
        rows, cols = torch.meshgrid(*axes, indexing="ij")
        planes = [rows, cols]
        if self.radius:
            planes.append(torch.hypot(rows - rows.mean(), cols - cols.mean()))
        out = torch.stack(planes).expand(len(x), -1, -1, -1)
        if self.training and self.noise:
            out = out + torch.randn_like(out) * self.noise
        return out

    def _axis(self, size: int, x: Tensor) -> Tensor:
        at = torch.arange(size, dtype=x.dtype, device=x.device)
        if self.centered:
            at = at - (size - 1) / 2
        if self.normalized:
            at = at / max(size - 1, 1)
        return at * self.scale


def with_coordinates(net: nn.Module, options: Mapping[str, Any]) -> nn.Module:
    """The network with every ordinary convolution replaced by one with coordinates, weights new.

    Grouped convolutions stay: their channels belong to groups. Changes `net` in place.
    """
    for name, child in list(net.named_children()):
        if isinstance(child, nn.Conv2d) and child.groups == 1:
            setattr(net, name, CoordConv2d(child, **options))
        else:
            with_coordinates(child, options)
    return net
