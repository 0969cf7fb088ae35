"""The native U-Net: few parts, no dependency, and a graph that an executor can walk node by node."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from swath.core.errors import ConfigError, did_you_mean


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(channels, 8), channels)


NORMS: dict[str, Callable[[int], nn.Module] | None] = {"batch": nn.BatchNorm2d, "group": _group_norm, "none": None}
UPS = ("transpose", "nearest", "bilinear")


def build(
    in_channels: int,
    out_channels: int,
    depth: int = 4,
    width: int = 32,
    norm: str = "batch",
    dropout: float = 0.0,
    up: str = "transpose",
) -> nn.Module:
    """A U-Net: float32 (B, in_channels, H, W) to logits (B, out_channels, H, W), with H and W multiples of 2**depth.

    `width` channels at full resolution, doubled at each of the `depth` halvings. Two 3x3 convolutions per level,
    each with zero padding, `norm` (batch, group or none) and ReLU; skips by concatenation; a 1x1 head. `dropout` acts
    on the deepest level only. `up`: transpose (2x2, stride 2), nearest or bilinear. Ronneberger et al. 2015.
    With batch or no norm the network looks 7 * 2**depth - 5 pixels far (bilinear: 8 * 2**depth - 6); group norm looks
    at the whole image.
    Raises ConfigError (model-option) for a value outside these.
    """
    _check(depth, width, norm, dropout, up)
    return UNet(in_channels, out_channels, depth, width, norm, dropout, up)


def _check(depth: int, width: int, norm: str, dropout: float, up: str) -> None:
    for key, number in (("depth", depth), ("width", width)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ConfigError("model-option", f"model.{key}", f"{number!r} is no whole number of 1 or more")
    for key, word, known in (("norm", norm, tuple(NORMS)), ("up", up, UPS)):
        if word not in known:
            raise ConfigError("model-option", f"model.{key}", f"unknown value {word!r}", did_you_mean(word, known))
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ConfigError("model-option", "model.dropout", f"{dropout!r} is no fraction of 0 or more and below 1")


class UNet(nn.Module):
    """Encoder levels `down`, decoder levels `rise` and `join`, and a 1x1 `head`; no branch depends on the input."""

    def __init__(
        self, in_channels: int, out_channels: int, depth: int, width: int, norm: str, dropout: float, up: str
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.stride = 2**depth
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            _double(before, after, norm) for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.rise = nn.ModuleList(_rise(channels, up) for channels in reversed(widths[:-1]))
        self.join = nn.ModuleList(_double(2 * channels, channels, norm) for channels in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, out_channels, 1)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, H, W) on the input grid."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        x = self.drop(skips.pop())
        for rise, join in zip(self.rise, self.join, strict=True):
            x = join(torch.cat([skips.pop(), rise(x)], 1))
        return self.head(x)

    def _initialise(self) -> None:
        """Keep the variance of the signal: gain 2 before a ReLU, 1 elsewhere (He et al. 2015); biases 0."""
        before_relu = {id(m) for block in [*self.down, *self.join] for m in block}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # each output of a 2x2, stride 2 transposed convolution sums over the input channels of one pixel
                taps = 1 if isinstance(module, nn.ConvTranspose2d) else math.prod(module.kernel_size)
                gain = 2.0 if id(module) in before_relu else 1.0
                nn.init.normal_(module.weight, std=math.sqrt(gain / (module.in_channels * taps)))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _double(before: int, after: int, norm: str) -> nn.Sequential:
    """(conv 3x3, norm, ReLU) twice; the bias is left to the norm where there is one."""
    make_norm = NORMS[norm]
    parts: list[nn.Module] = []
    for channels in (before, after):
        parts.append(nn.Conv2d(channels, after, 3, padding=1, bias=make_norm is None))
        if make_norm is not None:
            parts.append(make_norm(after))
        parts.append(nn.ReLU(inplace=True))
    return nn.Sequential(*parts)


def _rise(channels: int, up: str) -> nn.Module:
    """Twice the size, from 2 * channels to channels.

    The 1x1 convolution commutes with an interpolation, and before it there is a quarter of the work.
    """
    if up == "transpose":
        return nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
    return nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.Upsample(scale_factor=2.0, mode=up))
