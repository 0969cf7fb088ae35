"""Tiles in, finished rows out: what has been answered for by all its tiles leaves at once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.core.windows import Window

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Finished rows of a raster, or of a band of its columns from `col` on.

    `scores` float32 (K, h, w) for rows [start, start + h); `valid` (h, w) False where the image has no data (None: all
    of it has).
    """

    start: int
    scores: Scores
    valid: NDArray[np.bool_] | None = None
    col: int = 0

    @property
    def stop(self) -> int:
        """The first row after these."""
        return self.start + self.scores.shape[1]


class Stitcher:
    """A rolling band of rows in which weighted tiles are averaged.

    Tiles come ordered by their first row. `add` puts one in; `finished(before)` gives the rows above `before` that no
    later tile will touch; the first row is `start`. The band is as tall as the tallest tile, so memory grows with width only.
    """

    def __init__(self, height: int, width: int, start: int = 0) -> None:
        self.height, self.width = height, width
        self.start = start
        self.sums: Scores | None = None
        self.weights: NDArray[np.float32] | None = None

    def add(self, window: Window, scores: Scores, weight: NDArray[np.float32] | None = None) -> None:
        """Scores (K, h, w) of a window, with weights (h, w); parts beyond the raster are cut off."""
        inside = window.clip(self.height, self.width)
        if inside.area == 0:
            return
        if inside.row < self.start:
            raise ValueError(f"rows from {inside.row} come after rows up to {self.start} were given out")
        self._grow(inside.row_end - self.start, scores.shape[0])
        assert self.sums is not None
        assert self.weights is not None
        rows, cols = inside.slices(Window(self.start, 0, 0, 0))
        cut = (slice(None), *inside.slices(window))
        share = np.ones(inside.shape, np.float32) if weight is None else weight[cut[1:]]
        self.sums[:, rows, cols] += scores[cut] * share
        self.weights[rows, cols] += share

    def finished(self, before: int) -> Iterator[Rows]:
        """The averaged rows [start, before), if any; every pixel must have been answered for."""
        stop = min(before, self.height)
        if stop <= self.start or self.sums is None or self.weights is None:
            return
        count = stop - self.start
        if count > self.sums.shape[1] or not (self.weights[:count] > 0).all():
            raise ValueError(f"rows {self.start} to {stop} are not covered by the tiles added so far")
        done = Rows(self.start, self.sums[:, :count] / self.weights[:count])
        self.sums, self.weights, self.start = self.sums[:, count:].copy(), self.weights[count:].copy(), stop
        yield done

    def _grow(self, rows: int, channels: int) -> None:
        have = 0 if self.sums is None else self.sums.shape[1]
        if rows <= have:
            return
        sums = np.zeros((channels, rows, self.width), np.float32)
        counts = np.zeros((rows, self.width), np.float32)
        if self.sums is not None and self.weights is not None:
            sums[:, :have], counts[:have] = self.sums, self.weights
        self.sums, self.weights = sums, counts
