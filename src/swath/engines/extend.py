"""The raster extended to the network's stride: beyond its right and bottom edge its pixels are mirrored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.windows import Window, up
from swath.disk.sources.images import Reader


def extended_shape(height: int, width: int, stride: int) -> tuple[int, int]:
    """(height, width) rounded up to multiples of `stride`."""
    return up(height, stride), up(width, stride)


def read_extended(reader: Reader, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Raw (C, h, w) and valid (h, w) of a window of the extended raster.

    Row H + k is row H - 1 - k, and so on back and forth for rasters shorter than the extension; columns alike. The
    rule depends on the raster only, so every tile and strip sees the same extended pixels.
    """
    height, width = reader.grid.shape
    if window.row_end <= height and window.col_end <= width:
        return reader.read(window)
    rows, cols = mirrored(window.row, window.row_end, height), mirrored(window.col, window.col_end, width)
    box = Window.span(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
    raw, valid = reader.read(box)
    at = np.ix_(rows - box.row, cols - box.col)
    return np.ascontiguousarray(raw[:, at[0], at[1]]), np.ascontiguousarray(valid[at])


def mirrored(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """The source positions of [start, stop) on an axis of `length`, mirrored at its end with the last one repeated."""
    phase = np.arange(start, stop, dtype=np.int64) % (2 * length)
    return np.where(phase < length, phase, 2 * length - 1 - phase)
