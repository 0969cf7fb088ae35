"""Outlines of pixel regions from their corners alone.

Along a column, the corners of one region in order of rows are the ends of its vertical edges, two by two; along a row
they are the ends of its horizontal edges. So corners can be collected strip by strip in any order, and outlines have no
collinear points wherever a strip ended. Where a region meets itself diagonally, its rings part instead of crossing,
which keeps every ring simple; where two regions of one class meet diagonally they stay apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
SECOND_IN_COLUMN, SECOND_IN_ROW, LEAVES = 1, 2, 4

# For each pixel of the 2 x 2 block around a grid corner: its place (row, column), the two edges that bound it there,
# and the bits of the region's corner at this point. A region of two diagonal pixels has two corners here; the one with
# the edge above comes first in the column, and along the row those edges are joined that keep the rings apart. LEAVES:
# walking with the region on the right (rows growing downward), one leaves the corner along the vertical edge.
_QUADRANTS = (
    ((0, 0), UP | LEFT, SECOND_IN_ROW),
    ((0, 1), UP | RIGHT, LEAVES),
    ((1, 0), DOWN | LEFT, SECOND_IN_COLUMN | SECOND_IN_ROW | LEAVES),
    ((1, 1), DOWN | RIGHT, SECOND_IN_COLUMN),
)


@dataclass(frozen=True)
class Corners:
    """Corners of outlines (n): number of the region, row and column of the grid corner (int32), bits (uint8)."""

    region: Ints
    row: Ints
    col: Ints
    bits: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.region)

    def take(self, which: NDArray[Any] | slice, region: Ints) -> Corners:
        """The chosen corners under new region numbers."""
        return Corners(region.astype(np.int32, copy=False), self.row[which], self.col[which], self.bits[which])

    @classmethod
    def joined(cls, parts: list[Corners]) -> Corners:
        """All corners of several collections."""
        return cls(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("region", "row", "col", "bits")))


@dataclass(frozen=True)
class Rings:
    """Outlines of n regions as closed rings.

    `points` (p, 2) int32: (column, row) of pixel corners, ring after ring, first point repeated; the shoelace area is
    positive for exteriors and negative for holes, with columns as x and rows as y. `rings` (r + 1): where each ring
    begins in `points`; `parts` (n + 1): where each region begins in `rings`, its exterior first.
    """

    points: Ints
    rings: Ints
    parts: Ints


def find_corners(
    codes: Ints, across: NDArray[np.bool_], below: NDArray[np.bool_], region_at: Callable[[Ints], Ints], row: int
) -> Corners:
    """The corners on the grid rows inside a strip.

    `codes` (h + 1, w + 2): the row above and the strip, a column without regions on both sides; negative: no region.
    `across` (h + 1, w + 1) and `below` (h, w + 2): where horizontal and vertical neighbours differ. `region_at` gives
    the regions of flat indices into `codes`; `row` is the grid row between the first two rows of `codes`.
    """
    wide = codes.shape[1]
    i, j = np.nonzero((across[:-1] | across[1:]) & (below[:, :-1] | below[:, 1:]))
    edges = UP * across[i, j] + DOWN * across[i + 1, j] + LEFT * below[i, j] + RIGHT * below[i, j + 1]
    first, flat = i * wide + j, codes.ravel()
    found = []
    for (down, right), bound, bits in _QUADRANTS:
        convex, opposite = down * wide + right, (1 - down) * wide + (1 - right)
        kinds = ((edges & bound) == bound, convex, bits), (edges == bound, opposite, bits ^ LEAVES)
        for mask, step, kind in kinds:
            here = np.flatnonzero(mask)
            here = here[flat[first[here] + step] >= 0]
            found.append(
                Corners(
                    region_at(first[here] + step).astype(np.int32, copy=False),
                    (i[here] + row).astype(np.int32),
                    j[here].astype(np.int32),
                    np.full(len(here), kind, np.uint8),
                )
            )
    return Corners.joined(found)


def trace(corners: Corners, n: int) -> Rings:
    """The rings of all corners of regions 0..n-1.

    A ring begins at the upper or lower end of its leftmost, then topmost edge, and rings are in the order of these
    edges; so equal regions have equal rings, and the exterior comes first.
    """
    high, wide = int(corners.row.max(initial=0)) + 1, int(corners.col.max(initial=0)) + 1
    second = (corners.bits & SECOND_IN_COLUMN) > 0
    order = np.argsort(((corners.region.astype(np.int64) * wide + corners.col) * high + corners.row) * 2 + second)
    corners = corners.take(order, corners.region[order])
    second = (corners.bits & SECOND_IN_ROW) > 0
    order = np.argsort(((corners.region.astype(np.int64) * high + corners.row) * wide + corners.col) * 2 + second)
    leaves = (corners.bits & LEAVES) > 0
    return _rings(corners, leaves, _followers(order, leaves), n)


def _followers(order: Ints, leaves: NDArray[np.bool_]) -> Ints:
    """For each vertical edge (corners 2k and 2k + 1) the next one, across the horizontal edges `order` pairs up."""
    a, b = order[0::2], order[1::2]
    forward = leaves[b]
    following = np.empty(len(a), np.int64)
    following[np.where(forward, a, b) // 2] = np.where(forward, b, a) // 2
    return following


def _rings(corners: Corners, leaves: NDArray[np.bool_], following: Ints, n: int) -> Rings:
    place, heads, sizes = cycles(following)
    starts = np.concatenate([[0], np.cumsum(2 * sizes + 1)])
    at = 2 * place + np.repeat(np.arange(len(heads)), sizes)[place]  # every ring before repeats its first point
    upper, lower, down = corners.row[0::2], corners.row[1::2], leaves[0::2]
    points = np.empty((int(starts[-1]), 2), np.int32)
    points[at, 0] = points[at + 1, 0] = corners.col[0::2]
    points[at, 1], points[at + 1, 1] = np.where(down, upper, lower), np.where(down, lower, upper)
    points[starts[1:] - 1] = points[starts[:-1]]
    per_region = np.bincount(corners.region[0::2][heads], minlength=n)
    return Rings(points, starts, np.concatenate([[0], np.cumsum(per_region)]))


def cycles(following: Ints) -> tuple[Ints, Ints, Ints]:
    """(place, heads, sizes) of the cycles of a permutation (n).

    `heads` are the smallest nodes of the cycles, ascending, `sizes` their lengths, `place` (n) where each node stands
    when the cycles are written one after another, each from its head. By pointer doubling: the smallest node within
    2^k steps, then the steps left to the end of the cycle.
    """
    nodes = np.arange(len(following))
    head, jump = nodes, following
    while True:
        least = np.minimum(head, head[jump])
        if np.array_equal(least, head):
            break
        head, jump = least, jump[jump]
    last = following == head
    steps, jump = (~last).astype(np.int64), np.where(last, nodes, following)
    while (further := steps[jump]).any():
        steps, jump = steps + further, jump[jump]
    heads = np.flatnonzero(head == nodes)
    sizes = steps[heads] + 1
    ends = np.zeros(len(following), np.int64)
    ends[heads] = np.cumsum(sizes)
    return ends[head] - 1 - steps, heads, sizes
