"""How many pixels two sets of boxes have in common, counted cell by cell: exact, and in linear time of the boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.core.windows import Window

Boxes = NDArray[np.int64]  # (n, 4): first row, first column, end of rows, end of columns
_SHARE, _LEAST = 64, 32  # boxes per cell; pixels of a cell's side


@dataclass(frozen=True)
class Cover:
    """The pixels inside any box of `inside` and outside all of `outside`."""

    inside: Boxes
    outside: Boxes

    @classmethod
    def of(cls, inside: Iterable[Window], outside: Iterable[Window] = ()) -> Cover:
        """The cover of windows; empty ones add nothing."""
        return cls(_boxes(inside), _boxes(outside))


def shared_pixels(a: Cover, b: Cover) -> int:
    """The number of pixels that lie in both covers."""
    groups = [a.inside, b.inside, a.outside, b.outside]
    if not len(groups[0]) or not len(groups[1]):
        return 0
    low = np.maximum(groups[0][:, :2].min(0), groups[1][:, :2].min(0))
    high = np.minimum(groups[0][:, 2:].max(0), groups[1][:, 2:].max(0))
    if (high <= low).any():
        return 0
    groups = [_clipped(g, low, high) for g in groups]
    every = np.concatenate(groups)
    if not len(every):
        return 0
    usual = float((every[:, 2:] - every[:, :2]).mean())  # so that a box lies in a few cells
    side = int(max(_LEAST, usual / 2, np.sqrt(float(np.prod(high - low)) * _SHARE / len(every))))
    placed = [_by_cell(g, low, high, side) for g in groups]
    none = np.empty((0, 4), np.int64)
    return sum(_count([p.get(cell, none) for p in placed]) for cell in placed[0].keys() & placed[1].keys())


def _boxes(windows: Iterable[Window]) -> Boxes:
    found = np.array([(w.row, w.col, w.row_end, w.col_end) for w in windows], np.int64).reshape(-1, 4)
    return found[(found[:, 2:] > found[:, :2]).all(1)]


def _clipped(boxes: Boxes, low: NDArray[np.int64], high: NDArray[np.int64]) -> Boxes:
    cut = np.concatenate([np.maximum(boxes[:, :2], low), np.minimum(boxes[:, 2:], high)], 1)
    return np.unique(cut[(cut[:, 2:] > cut[:, :2]).all(1)], axis=0)


def _by_cell(boxes: Boxes, low: NDArray[np.int64], high: NDArray[np.int64], side: int) -> dict[int, Boxes]:
    """The boxes cut along the cells of a grid from `low`, by the number of the cell."""
    if not len(boxes):
        return {}
    first, last = (boxes[:, :2] - low) // side, (boxes[:, 2:] - 1 - low) // side
    tall, wide = (last - first + 1).T
    own = np.repeat(np.arange(len(boxes)), tall * wide)
    n = np.arange(len(own)) - np.repeat(np.cumsum(tall * wide) - tall * wide, tall * wide)
    cells = first[own] + np.stack([n // wide[own], n % wide[own]], 1)
    corner = low + cells * side
    cut = np.concatenate([np.maximum(boxes[own, :2], corner), np.minimum(boxes[own, 2:], corner + side)], 1)
    numbers = cells[:, 0] * (-(-int(high[1] - low[1]) // side)) + cells[:, 1]
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return dict(zip(numbers[order][starts].tolist(), np.split(cut[order], starts[1:]), strict=True))


def _count(groups: list[Boxes]) -> int:
    """Pixels inside boxes of the first two groups and outside those of the others, on the grid of all their edges."""
    edges = np.concatenate(groups)
    rows, cols = np.unique(edges[:, [0, 2]]), np.unique(edges[:, [1, 3]])
    both = _mask(groups[0], rows, cols) & _mask(groups[1], rows, cols)
    for boxes in groups[2:]:
        if len(boxes) and both.any():
            both &= ~_mask(boxes, rows, cols)
    return int(np.diff(rows) @ both @ np.diff(cols))


def _mask(boxes: Boxes, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True (rows - 1, columns - 1) between edges that a box holds."""
    shape = len(rows), len(cols)
    top, bottom = np.searchsorted(rows, boxes[:, 0]), np.searchsorted(rows, boxes[:, 2])
    left, right = np.searchsorted(cols, boxes[:, 1]), np.searchsorted(cols, boxes[:, 3])
    steps = np.zeros(shape[0] * shape[1], np.int64)
    for sign, at in ((1, (top, left)), (1, (bottom, right)), (-1, (top, right)), (-1, (bottom, left))):
        steps += sign * np.bincount(at[0] * shape[1] + at[1], minlength=len(steps))
    return np.asarray(steps.reshape(shape).cumsum(0).cumsum(1)[:-1, :-1] > 0)
