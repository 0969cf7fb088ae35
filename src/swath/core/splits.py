"""Which label pixels belong to training, validation and test; no label pixel belongs to two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.windows import Window, grid_windows

Split = Literal["trn", "val", "tst"]
SPLITS: tuple[Split, ...] = ("trn", "val", "tst")
SPLIT_OF: dict[str, Split] = {  # the words of manifests, folders and columns
    "trn": "trn", "train": "trn", "training": "trn", "val": "val", "valid": "val", "validation": "val",
    "tst": "tst", "test": "tst", "testing": "tst",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A candidate for validation: a window of a scene with its labelled pixels per class, int64 (C,)."""

    scene: int
    window: Window
    pixels: NDArray[np.int64] = field(compare=False)


class _Near:
    """The boxes that meet a window, found among hundreds of thousands: only those that begin near its rows are compared."""

    def __init__(self, boxes: Sequence[Window]) -> None:
        self.boxes = sorted(boxes, key=lambda b: b.row)
        self.table = np.array([(b.row, b.row_end, b.col, b.col_end) for b in self.boxes], np.int64).reshape(-1, 4).T
        self.tallest = max((b.height for b in boxes), default=0)

    def __call__(self, window: Window) -> list[Window]:
        low, high = np.searchsorted(self.table[0], [window.row - self.tallest, window.row_end])
        _, bottom, left, right = self.table[:, low:high]
        meets = (bottom > window.row) & (left < window.col_end) & (right > window.col)
        return [self.boxes[low + i] for i in np.flatnonzero(meets).tolist()]


@dataclass(frozen=True)
class Region:
    """The label pixels of one scene that one split may use: inside `inside` (None: everywhere), outside `outside`."""

    split: Split
    inside: tuple[Window, ...] | None = None
    outside: tuple[Window, ...] = ()

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """True (h, w) where the window's labels count for this split."""
        counts = np.full(window.shape, self.inside is None)
        near_inside, near_outside = self._near
        for box in near_inside(window):
            counts[(box & window).slices(window)] = True
        for box in near_outside(window):
            counts[(box & window).slices(window)] = False
        return counts

    @cached_property
    def _near(self) -> tuple[_Near, _Near]:
        return _Near(self.inside or ()), _Near(self.outside)

    def touches(self, window: Window) -> bool:
        """True where any label pixel of the window counts."""
        return bool(self.mask(window).any())

    def as_dict(self) -> dict[str, Any]:
        """The region as plain JSON values."""
        boxes = {"inside": self.inside, "outside": self.outside}
        listed = {k: None if v is None else [[b.row, b.col, b.height, b.width] for b in v] for k, v in boxes.items()}
        return {"split": self.split, **listed}


def block_size(areas: Sequence[int], largest: int, blocks: int = 16, step: int = 32) -> int:
    """The side of square blocks, in pixels, that gives about `blocks` of them over all scenes; at most `largest`."""
    side = (sum(areas) / blocks) ** 0.5
    return int(max(step, min(largest, (side + step / 2) // step * step)))


def block_windows(height: int, width: int, side: int) -> list[Window]:
    """Blocks that partition a scene; a remainder under half a side is joined to its neighbour."""
    rows, cols = _edges(height, side), _edges(width, side)
    return [Window.span(r0, c0, r1, c1) for r0, r1 in pairwise(rows) for c0, c1 in pairwise(cols)]


def carve(blocks: Sequence[Block], fraction: float) -> list[Block]:
    """The blocks for validation: about `fraction` of the labelled pixels, with class shares close to those of all.

    Deterministic and greedy: each step takes the block after which the shares of the chosen pixels differ least from
    the shares of all (sum of squares), the first of equal ones, until the fraction is reached. No class is taken whole
    where that can be helped, and blocks are exchanged for others that hold a class which the chosen ones lack.
    """
    total = np.sum([b.pixels for b in blocks], axis=0).astype(float)
    if total.sum() == 0:
        return []
    wanted, shares = fraction * total.sum(), total / total.sum()
    rest = sorted((b for b in blocks if b.pixels.sum() > 0), key=lambda b: (b.scene, b.window))
    pixels = np.array([b.pixels for b in rest], float)
    free, have = np.ones(len(rest), bool), np.zeros_like(total)
    while have.sum() < wanted and free.sum() > 1:
        open_ = np.flatnonzero(free)
        spared = _spares(have + pixels[open_], total)
        open_ = open_[spared] if spared.any() else open_
        best = int(open_[_costs(have + pixels[open_], shares, wanted).argmin()])
        if not free.all() and abs(have.sum() + pixels[best].sum() - wanted) > abs(have.sum() - wanted):
            break
        have += pixels[best]
        free[best] = False
    while (change := _exchange(pixels, free, shares, wanted)) is not None:
        free[list(change)] = True, False
    return [b for b, left in zip(rest, free.tolist(), strict=True) if not left]


def _spares(have: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) True where the chosen pixels (n, C) leave some of every class."""
    return np.asarray(((have < total) | (total == 0)).all(1))


def _exchange(
    pixels: NDArray[np.float64], free: NDArray[np.bool_], shares: NDArray[np.float64], wanted: float
) -> tuple[int, int] | None:
    """(chosen, free) blocks to exchange, so that more classes are held out, at the least cost; None where there are none.

    The amount stays about what it is, and no class is taken whole.
    """
    chosen, total = np.flatnonzero(~free), pixels.sum(0)
    have = pixels[chosen].sum(0)
    lacking = (have == 0) & (total > 0)
    useful = np.flatnonzero(free & (pixels[:, lacking] > 0).any(1))
    room = max(abs(have.sum() - wanted), float(pixels.sum(1).mean()))
    best: tuple[float, float] = (int((have > 0).sum()), np.inf)  # classes held, and how cheaply
    change = None
    for out in chosen.tolist() if len(useful) else ():
        then = have - pixels[out] + pixels[useful]
        fits = _spares(then, total) & (abs(then.sum(1) - wanted) <= room)
        held = np.where(fits, (then > 0).sum(1), 0)
        costs = np.where(held == held.max(), _costs(then, shares, wanted), np.inf)
        found = (int(held.max()), -float(costs.min()))
        if found > best:
            best, change = found, (out, int(useful[costs.argmin()]))
    return change


def _costs(have: NDArray[np.float64], shares: NDArray[np.float64], wanted: float) -> NDArray[np.float64]:
    """(n,) how far chosen pixels (n, C) are from the wanted shares and amount."""
    whole = have.sum(1)
    overshoot = np.maximum(0.0, whole / wanted - 1)
    return np.asarray(((have / whole[:, None] - shares) ** 2).sum(1) + 0.1 * overshoot**2)


def _edges(length: int, side: int) -> list[int]:
    inner = [s for s in range(side, length, side) if length - s >= side / 2]
    return [0, *inner, length]


def sample_windows(
    height: int, width: int, region: Region, *, size: int, stride: int, edge: Literal["shift", "pad", "drop"]
) -> list[tuple[Window, Window]]:
    """(read, core) windows of a region's samples: the labels inside `core` count, each once outside of training.

    Training samples lie on a grid of `stride`, core = read. For validation and test the region is partitioned into
    cores, and each is read with as much context as a sample of `size` has.
    """
    if region.split == "trn":
        boxes = grid_windows(height, width, size, stride, edge)
        return [(b, b) for b in boxes if region.touches(b.clip(height, width))]
    placed_boxes = []
    for part in region.inside if region.inside is not None else (Window(0, 0, height, width),):
        for core in grid_windows(part.height, part.width, size, size, "keep"):
            placed = Window(part.row + core.row, part.col + core.col, core.height, core.width)
            placed_boxes.append((_around(placed, size, height, width), placed))
    return placed_boxes


def _around(core: Window, size: int, height: int, width: int) -> Window:
    """The window of `size` around a core, slid inside the scene where it fits."""

    def first(start: int, length: int, total: int) -> int:
        return max(0, min(start - (size - length) // 2, total - size))

    return Window(first(core.row, core.height, height), first(core.col, core.width, width), size, size)
