"""How far an output pixel looks: the margin that makes a tiled prediction equal the whole-image prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swath.core.errors import DataError

ROWS, COLUMNS = 2, 3  # dimensions of (B, C, H, W)
PIXELS_PER_BATCH = 1 << 18  # bounds the memory of a probe


@dataclass(frozen=True)
class Radius:
    """How many input pixels an output pixel sees beyond itself on each side; None: no finite number is enough.

    The worst over all positions of a pixel within the stride. `reason` says why it is not finite: `global` (some
    operator sees the whole image, or more than the limit) or `position` (the result depends on where in the image
    a pixel lies, as with align_corners, so that no margin makes tiles exact).
    """

    top: int | None
    bottom: int | None
    left: int | None
    right: int | None
    reason: str = ""

    @property
    def pixels(self) -> int | None:
        """The largest of the four sides; None where one has no finite number."""
        sides = [side for side in (self.top, self.bottom, self.left, self.right) if side is not None]
        return max(sides) if len(sides) == 4 else None


def measure_radius(net: nn.Module, in_channels: int, stride: int, limit: int = 2048) -> Radius:
    """The radius of a network on the grid of its input, measured: how far one NaN column (and one NaN row) spreads.

    `stride`: height and width of an input are multiples of it; all its phases are probed. `limit`: a spread beyond
    this many pixels counts as unbounded. A finite result is then checked on numbers: cutting `stride` pixels off
    a random strip must leave everything beyond the radius as it was (to 1e-3 of the standard deviation).
    The network is probed in evaluation mode on its own device, without gradient, and left as it was found.
    NaN spreads through weights of value 0 too, so the figure holds for any weights of the same network.
    Raises DataError: model-contract (output not on the input grid), model-not-finite.
    """
    with _probing(net):
        probe = _Probe(net, in_channels, stride)
        across = probe.reach(COLUMNS, limit)
        down = probe.reach(ROWS, limit)
        for dim, reach in ((COLUMNS, across), (ROWS, down)):
            if reach is not None and not probe.cut_changes_nothing(dim, reach):
                return Radius(None, None, None, None, "position")
    top, bottom = down or (None, None)
    left, right = across or (None, None)
    return Radius(top, bottom, left, right, "" if across and down else "global")


@contextmanager
def _probing(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradient; afterwards each module has its own mode back."""
    modes = [(module, module.training) for module in net.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


class _Probe:
    """A network and the strips it is asked with: long along `dim`, short across."""

    def __init__(self, net: nn.Module, in_channels: int, stride: int) -> None:
        weight = next(net.parameters(), torch.zeros(()))
        self.net, self.channels, self.stride = net, in_channels, stride
        self.device, self.dtype = weight.device, weight.dtype
        self.short = self._short_side()

    def reach(self, dim: int, limit: int) -> tuple[int, int] | None:
        """(before, after): how far an output looks towards lower and higher indices; None beyond the limit."""
        stride = self.stride
        room = 8 * stride
        spread = self._spread(dim, room, [0, stride - 1])
        while spread is None and room < limit + stride:
            room = min(2 * room, -(-(limit + stride) // stride) * stride)
            spread = self._spread(dim, room, [0, stride - 1])
        if spread is None:
            return None
        room = (max(spread) // stride + 2) * stride  # now all phases, on a strip that is just long enough
        spread = self._spread(dim, room, list(range(stride)))
        while spread is None:  # only where the first look missed a phase that sees farther
            room += stride
            spread = self._spread(dim, room, list(range(stride)))
        return spread if max(spread) <= limit else None

    def cut_changes_nothing(self, dim: int, reach: tuple[int, int]) -> bool:
        """Whether a random strip with `stride` pixels cut off either end gives the same result beyond the reach."""
        before, after = reach
        stride = self.stride
        size = (-(-(before + after) // stride) + 4) * stride
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self._shape(dim, 1, size), generator=generator).to(self.device, self.dtype)
        whole = self._ask(x)
        kept = size - stride
        head = self._ask(x.narrow(dim, 0, kept)).narrow(dim, 0, kept - after)
        tail = self._ask(x.narrow(dim, stride, kept)).narrow(dim, before, kept - before)
        worst = torch.maximum(
            (head - whole.narrow(dim, 0, kept - after)).abs().max(),
            (tail - whole.narrow(dim, stride + before, kept - before)).abs().max(),
        )
        if not torch.isfinite(whole).all():
            raise DataError("model-not-finite", "model", "the network gives numbers that are not finite for a random "
                            "input", "look at its weights")  # fmt: skip
        return bool(worst <= 1e-3 * whole.std())

    def _spread(self, dim: int, room: int, phases: list[int]) -> tuple[int, int] | None:
        """The worst (before, after) over NaN lines at room + phase; None where one reaches an end of the strip."""
        size = 2 * room + self.stride
        batch = max(1, PIXELS_PER_BATCH // (size * self.short))
        before = after = 0
        for i in range(0, len(phases), batch):
            lines = [room + phase for phase in phases[i : i + batch]]
            x = torch.zeros(self._shape(dim, len(lines), size), device=self.device, dtype=self.dtype)
            for sample, line in zip(x, lines, strict=True):
                sample.select(dim - 1, line).fill_(torch.nan)
            hit = self._ask(x).isnan().any(dim=1).any(dim=4 - dim)  # (lines, size)
            if bool(hit[:, 0].any() | hit[:, -1].any()):
                return None
            for line, outputs in zip(lines, hit, strict=True):
                seen = outputs.nonzero()
                if len(seen):  # a line that no output looks at spreads nowhere
                    after = max(after, line - int(seen[0]))  # the first output that sees the line looks forward
                    before = max(before, int(seen[-1]) - line)
        return before, after

    def _shape(self, dim: int, batch: int, size: int) -> tuple[int, int, int, int]:
        return (batch, self.channels, self.short, size) if dim == COLUMNS else (batch, self.channels, size, self.short)

    def _short_side(self) -> int:
        """The smallest of 1, 2 and 4 strides that the network takes: reflecting padding needs more than one row."""
        for side in (self.stride, 2 * self.stride):
            x = torch.zeros(1, self.channels, side, side, device=self.device, dtype=self.dtype)
            try:
                self._ask(x)
            except RuntimeError:
                continue
            return side
        return 4 * self.stride

    def _ask(self, x: Tensor) -> Tensor:
        y = self.net(x.contiguous(memory_format=torch.channels_last))
        if y.shape[2:] != x.shape[2:]:
            message = f"an input of {tuple(x.shape)} gives {tuple(y.shape)}: not the same grid"
            raise DataError("model-contract", "model", message)
        return y
