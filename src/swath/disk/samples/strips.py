"""Places of rasters read strip by strip: neighbours share one read of the image and one burning of the labels.

Two threads with their own handles read ahead; what comes out is in the order of the places, whatever the threads do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.core.windows import Window
from swath.disk.readahead import read_ahead
from swath.disk.samples.plan import SceneWindows, refusal
from swath.disk.stores.sample import Place, Sample, class_counts, cut

STRIP_PIXELS = 2**21  # of a strip at most, unless a single sample has more: memory must not follow the raster's width
T = TypeVar("T")
Decided = tuple[str | None, NDArray[np.int64], T | None]


def read_places(source: SceneWindows, places: Sequence[Place], make: Callable[[Sample], T]) -> Generator[Decided[T], None, None]:
    """For every place in order: why the config's filters refuse it or None, its label pixels per class, `make(sample)`.

    `make` runs in the reading threads on arrays that are views of a strip; it is not called for refused places.
    """
    for scene in dict.fromkeys(p.scene for p in places):  # opened here: what is repaired in labels is counted once
        source.labels(scene)
        source.reader(scene)
    with closing(read_ahead(lambda group: _read_strip(source, group, make), strips(places))) as decided:
        for group in decided:
            yield from group


def strips(places: Sequence[Place]) -> list[list[Place]]:
    """Runs of places of the same scene, split and rows that lie close together, none of them too large."""
    found: list[list[Place]] = []
    for place in places:
        if found and _joins(found[-1], place):
            found[-1].append(place)
        else:
            found.append([place])
    return found


def _joins(group: list[Place], place: Place) -> bool:
    first, last, new = group[0].read, group[-1].read, place.read
    same = (place.scene, place.split, new.row, new.height) == (group[0].scene, group[0].split, first.row, first.height)
    near = last.col <= new.col <= last.col_end
    alone = place.point is not None or group[0].point is not None  # labels of a point are its own
    return same and near and not alone and new.height * (new.col_end - first.col) <= STRIP_PIXELS


def _read_strip(source: SceneWindows, group: list[Place], make: Callable[[Sample], T]) -> list[Decided[T]]:
    boxes = [p.read for p in group]
    strip = Window.span(boxes[0].row, boxes[0].col, boxes[0].row_end, max(b.col_end for b in boxes))
    whole = source.read(replace(group[0], read=strip, core=strip), strip)
    found: list[Decided[T]] = []
    for place in group:
        sample = source.inside_core(place, place.read, cut(whole, _within(place.read, strip)))
        counts = class_counts(sample.labels, source.legend)
        reason = refusal(source.project, place, sample, counts)
        found.append((reason, counts, None if reason else make(sample)))
    return found


def _within(window: Window, strip: Window) -> Window:
    """The window relative to the strip's first pixel."""
    return Window(window.row - strip.row, window.col - strip.col, *window.shape)
