"""Connected regions of a class raster, strip by strip and free of seams.

    strip of rows -> runs of equal pixels -> components -> corners of their outlines, counts, links to the last strip
    now and then  -> links joined -> regions that no run of the last row continues -> Regions

Two pixels belong to one region where they have the same value and share a side. What is kept of a region that is still
open are its counts and the corners of its outline, so memory follows the strip and the open regions, not the raster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ResourceError
from swath.core.outlines import Corners, Ints, Rings, find_corners, trace
from swath.core.simplify import Borders

NO_CONFIDENCE = 255
POOL_BYTES, TRACE_BYTES = 40, 240  # memory per corner: of open regions, and of a region that is being written


@dataclass(frozen=True)
class Regions:
    """Finished regions (n) in order of their last pixel in the raster.

    `values` and `pixels` (n); `percent` (n, 2): sum and number of their pixels' confidences; `rings`: outlines.
    """

    values: Ints
    pixels: Ints
    percent: Ints
    rings: Rings


@dataclass(frozen=True)
class _Tally:
    """What is known of regions (n): value, `sums` (n, 3) of pixels, percent, pixels with percent, and last pixel."""

    value: Ints
    sums: Ints
    last: Ints

    def take(self, which: NDArray[Any]) -> _Tally:
        return _Tally(self.value[which], self.sums[which], self.last[which])


class RegionTracer:
    """Takes strips of a raster of `width` from top to bottom and gives its regions as they end.

    Regions come in batches of at most `batch` (regions, corners), or of one region; order and batches do not depend on
    the strips. `limit` is the memory in bytes that outlines may take; ResourceError, naming `where`, beyond. `borders`,
    if given, are told of every grid row before a region above it ends.
    """

    def __init__(
        self, width: int, *, limit: int = 2_000_000_000, batch: tuple[int, int] = (20_000, 400_000), where: object = "",
        borders: Borders | None = None,
    ) -> None:  # fmt: skip
        self.borders = borders
        self.width, self.limit, self.batch, self.where = width, limit, batch, where
        self._row = 0
        self._codes = np.full(width, -1, np.int32)  # the last row
        self._ids = np.full(width, -1, np.int64)  # and its regions
        self._restart(_Tally(np.empty(0, np.int64), np.empty((0, 3), np.int64), np.empty(0, np.int64)), None)

    def _restart(self, tally: _Tally, corners: Corners | None) -> None:
        self._tallies, self._links = [tally], list[tuple[Ints, Ints]]()
        self._corners = [] if corners is None else [corners]
        self._count, self._held, self._fresh = len(tally.value), sum(map(len, self._corners)), 0

    def feed(self, codes: Ints, percent: NDArray[np.uint8] | None = None) -> Iterator[Regions]:
        """The regions that are known to have ended.

        `codes` (h, width) int32: values, negative where there is no region; `percent` (h, width): confidence 0..100,
        255 where there is none.
        """
        self._add(codes, percent)
        self._row += len(codes)
        self._within_limit((self._held + self._fresh) * POOL_BYTES)
        if self._fresh >= max(2 * self.batch[1], self._held // 2):
            yield from self._harvest(final=False)

    def finish(self) -> Iterator[Regions]:
        """The regions that were still open; afterwards the tracer is spent."""
        self._add(np.full((1, self.width), -1, np.int32), None)
        yield from self._harvest(final=True)

    def _add(self, codes: Ints, percent: NDArray[np.uint8] | None) -> None:
        """Takes up the regions of a strip under provisional numbers, and their links to those of the row above."""
        wide = self.width + 2
        stack = np.full((len(codes) + 1, wide), -1, np.int32)
        stack[0, 1:-1], stack[1:, 1:-1] = self._codes, codes
        starts = np.ones(stack.shape, bool)
        np.not_equal(stack[:, 1:], stack[:, :-1], out=starts[:, 1:])
        below = stack[1:] != stack[:-1]
        if self.borders is not None:
            self.borders.add(self._row, starts[:, 1:], below)
        run = np.cumsum(starts, dtype=np.int32)
        run -= 1
        first = np.flatnonzero(starts)
        value = stack.ravel()[first]
        meet = np.flatnonzero((starts[1:] | starts[:-1]) & ~below & (stack[1:] >= 0))
        ids = self._number(components(len(first), run[meet], run[meet + wide]), value)
        above = np.flatnonzero(value[: np.searchsorted(first, wide)] >= 0)
        self._links.append((ids[above], self._ids[first[above] - 1]))
        self._tallies.append(self._tally(first, value, ids, percent))
        self._corners.append(find_corners(stack, starts[:, 1:], below, lambda at: ids[run[at]], self._row))
        self._fresh += len(self._corners[-1]) + len(self._tallies[-1].value)
        self._codes, self._ids = stack[-1, 1:-1].copy(), ids[run[-wide + 1 : -1]]

    def _number(self, root: Ints, value: Ints) -> Ints:
        """The provisional region of every run, -1 for runs that are no region."""
        inside = value >= 0
        own = inside & (root == np.arange(len(root)))
        number = np.cumsum(own) + (self._count - 1)
        self._count += int(np.count_nonzero(own))
        return np.where(inside, number[root], -1)

    def _tally(self, first: Ints, value: Ints, ids: Ints, percent: NDArray[np.uint8] | None) -> _Tally:
        """The counts of the provisional regions of this strip; the row above was counted before."""
        wide = self.width + 2
        base = sum(len(t.value) for t in self._tallies)
        n = self._count - base
        inside = np.flatnonzero(value >= 0)
        values = np.zeros(n, np.int64)
        values[ids[inside] - base] = value[inside]
        stop = np.append(first[1:], first[-1] + 1)  # the last run is the column beside the raster
        new = inside[first[inside] >= wide]
        region = ids[new] - base
        row, col = np.divmod(stop[new] - 1, wide)
        last = np.full(n, -1, np.int64)
        last[region] = (row + self._row - 1) * self.width + (col - 1)  # runs ascend, the last one stays
        sums = np.zeros((n, 3), np.int64)
        sums[:, 0] = _sums(region, (stop - first)[new], n)
        if percent is not None:
            for i, amount in enumerate(_percent_per_run(percent, first[first >= wide] - wide), 1):
                sums[:, i] = _sums(region, amount[new - (len(first) - len(amount))], n)
        return _Tally(values, sums, last)

    def _harvest(self, final: bool) -> Iterator[Regions]:
        """Joins what belongs together, gives regions that have ended and keeps the others under new numbers."""
        links = [np.concatenate([link[i] for link in self._links]) for i in (0, 1)]
        root = components(self._count, links[0], links[1])
        tally = _merged(self._tallies, root)
        is_root = root == np.arange(len(root))
        ended = is_root.copy()
        ended[root[self._ids[self._ids >= 0]]] = False
        order = np.flatnonzero(ended)
        order = order[np.argsort(tally.last[order])]
        corners, self._corners = Corners.joined(self._corners), []
        corners = corners.take(slice(None), root[corners.region])
        sizes = np.bincount(corners.region, minlength=len(root))[order]
        cuts = _batches(sizes, self.batch, final)
        given = order[: cuts[-1]]
        leaving = self._part(corners, root, is_root, given, tally)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for a, b in pairwise(cuts):
            own = slice(int(starts[a]), int(starts[b]))
            self._within_limit((own.stop - own.start) * TRACE_BYTES)
            rings = trace(leaving.take(own, leaving.region[own] - np.int32(a)), b - a)
            batch = tally.take(given[a:b])
            yield Regions(batch.value, batch.sums[:, 0], batch.sums[:, 1:], rings)

    def _part(self, corners: Corners, root: Ints, is_root: NDArray[np.bool_], given: Ints, tally: _Tally) -> Corners:
        """The corners of the given regions, region by region; everything else is kept."""
        number = np.full(len(root), -1, np.int32)
        number[given] = np.arange(len(given))
        rank = number[corners.region]
        leave = np.flatnonzero(rank >= 0)
        leave = leave[np.argsort(rank[leave], kind="stable")]
        stays = is_root & (number < 0)
        number = np.cumsum(stays, dtype=np.int32) - 1
        keep = np.flatnonzero(rank < 0)
        inside = self._ids >= 0
        self._ids[inside] = number[root[self._ids[inside]]]
        self._restart(tally.take(stays), corners.take(keep, number[corners.region[keep]]))
        return corners.take(leave, rank[leave])

    def _within_limit(self, size: int) -> None:
        if size > self.limit:
            message = f"outlines need {size / 1e6:,.0f} MB of memory, {self.limit / 1e6:,.0f} MB are allowed"
            raise ResourceError("memory", self.where, message, "allow more memory or choose fewer classes")


def components(n: int, a: Ints, b: Ints) -> Ints:
    """(n) int64: for every node the smallest node that the edges a[i] - b[i] connect it to."""
    parent = np.arange(n)
    while True:
        a, b = parent[a], parent[b]
        apart = a != b
        if not apart.any():
            return parent
        a, b = a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(above := parent[parent], parent):
            parent = above


def _merged(tallies: list[_Tally], root: Ints) -> _Tally:
    """The counts of provisional regions, summed at their roots."""
    value, sums, last = (np.concatenate([getattr(t, f) for t in tallies]) for f in ("value", "sums", "last"))
    latest = np.full(len(root), -1, np.int64)
    np.maximum.at(latest, root, last)
    return _Tally(value, np.stack([_sums(root, s, len(root)) for s in sums.T], 1), latest)


def _sums(group: Ints, amount: Ints, n: int) -> Ints:
    """(n) int64 sums per group; exact, as sums stay below 2^53."""
    return np.bincount(group, amount, n).astype(np.int64)


def _percent_per_run(percent: NDArray[np.uint8], first: Ints) -> tuple[Ints, Ints]:
    """Sum and number of the confidences of every run; `first` are flat indices with a column added on both sides."""
    padded = np.pad(percent, ((0, 0), (1, 1)), constant_values=NO_CONFIDENCE).ravel()
    known = padded != NO_CONFIDENCE
    total = np.add.reduceat(np.where(known, padded, 0), first, dtype=np.int64)
    return total, np.add.reduceat(known, first, dtype=np.int64)


def _batches(sizes: Ints, most: tuple[int, int], final: bool) -> list[int]:
    """Where batches begin and end: as many regions as fit; the last one only if it is complete or `final`."""
    ends = np.cumsum(sizes)
    cuts = [0]
    while cuts[-1] < len(sizes):
        begin = cuts[-1]
        full = int(ends[begin - 1]) if begin else 0
        stop = int(np.searchsorted(ends, full + most[1], side="right"))
        stop = max(begin + 1, min(stop, begin + most[0]))
        if stop >= len(sizes) and not final:
            break
        cuts.append(stop)
    return cuts
