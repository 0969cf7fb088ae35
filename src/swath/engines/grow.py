"""Nodata of the image grown in its map: near missing pixels a network has guessed from what was not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from swath.core.stitch import Rows
from swath.core.windows import Window
from swath.disk.sources.images import Reader


def grown(found: Iterator[Rows], reader: Reader, radius: int) -> Iterator[Rows]:
    """The rows with `valid` False wherever the image has a pixel without data at most `radius` rows and columns away.

    The masks are read once more, so that the result depends neither on tiles nor on where a prediction goes on. Beyond
    the image's edge nothing is missing.
    """
    from scipy.ndimage import maximum_filter

    for rows in found:
        box = Window(rows.start, rows.col, *rows.scores.shape[1:])
        around = box.pad(radius).clip(*reader.grid.shape)
        _, valid = reader.read(around)
        missing = maximum_filter((~valid).view(np.uint8), 2 * radius + 1, mode="constant", cval=0)
        yield replace(rows, valid=missing[box.slices(around)] == 0)
