"""Samples straight from rasters: kept in memory where they fit, else cut from regions that are decoded once for many crops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.samplers import Population, members_of
from swath.core.splits import Split
from swath.core.threads import OwnLock
from swath.core.windows import Window, up
from swath.disk.projects.project import Project
from swath.disk.samples.plan import SceneWindows, beyond_limit, plan_places, project_schema
from swath.disk.samples.strips import read_places
from swath.disk.stores.sample import Place, Sample, Samples, cut

REGION = 1024  # least side in pixels of what is decoded at once
CROPS = 16  # crops per decoded region and epoch, at most
THREADS = 2


class RasterSamples(Samples):
    """The samples of one split that the config's filters let pass; all of them are read once, to be counted.

    `cache`: `ram` keeps them, `none` decodes anew, `auto` keeps them where they fit into `memory`. Which of them fit, not
    whether they are kept, decides the order in which they are best drawn (`direct`).
    """

    def __init__(self, project: Project, split: Split, memory: int, cache: str = "auto") -> None:
        self.source = SceneWindows(project)
        self.scene_names: Sequence[str] = [s.name for s in project.scenes]
        self.schema = project_schema(project)
        planned = plan_places(project, split)
        self.direct = len(planned) * self.schema.record_bytes > memory
        self.keep = cache == "ram" or (cache == "auto" and not self.direct)
        self._kept: list[Sample] = []
        self.places: Sequence[Place]
        self.places, self.counts = self._filtered(planned)
        self.regions = region_numbers(project, self.places)
        members = members_of(self.regions) if self.places else []
        boxes = [_around([self.places[i].read for i in m.tolist()]) for m in members]
        firsts = [self.places[int(m[0])] for m in members]
        self._decoded = Decoded(self.source, firsts, self.regions, boxes, memory, self.schema.record_bytes / self.schema.side**2)
        self._largest = max((len(m) for m in members), default=1)

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it."""
        if self.keep:
            return cut(self._kept[index], part)
        place = self.places[index]
        box = place.read if part is None else _inside(place.read, part)
        found = self._decoded.window(index, box)
        return found if found is not None else self.source.read(place, box)

    def population(self, crop: int) -> Population:
        """What samplers draw from; `blocks` draws each sample until its crops cover it, at most `CROPS` in a region."""
        return Population(self.counts, self.regions, visits(self.schema.side, crop, self._largest))

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Decodes the regions of the samples that are wanted soon."""
        if not self.keep:
            self._decoded.expect(dict.fromkeys(self.regions[indices].tolist()))

    def release(self) -> None:
        """Ends the decoding threads and forgets what they decoded."""
        self._decoded.release()

    def _filtered(self, planned: list[Place]) -> tuple[list[Place], NDArray[np.int64]]:
        passed: list[Place] = []
        counts = []
        with closing(read_places(self.source, planned, _copied if self.keep else _nothing)) as decided:
            for place, (reason, pixels, sample) in zip(planned, decided, strict=False):
                if beyond_limit(self.source.project, place.split, len(passed)):
                    break
                if reason is None:
                    passed.append(place)
                    counts.append(pixels)
                    if self.keep and sample is not None:
                        self._kept.append(sample)
        return passed, np.array(counts, np.int64).reshape(-1, self.schema.classes)


class Decoded:
    """The regions decoded last, by threads of their own; as many as fit into `memory` bytes.

    `firsts` are the first places of the regions, `boxes` their windows, `regions` the region of each sample.
    """

    def __init__(
        self, source: SceneWindows, firsts: Sequence[Place], regions: NDArray[np.int64], boxes: Sequence[Window],
        memory: int, pixel_bytes: float,
    ) -> None:  # fmt: skip
        self.source, self.firsts, self.regions, self.boxes = source, firsts, regions, boxes
        largest = max((b.area for b in boxes), default=1) * pixel_bytes
        self.capacity = max(1, int(memory / largest))
        self._futures: OrderedDict[int, Future[Sample]] = OrderedDict()
        self._lock = OwnLock()
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy in another process begins with: nothing decoded, no threads."""
        return {**self.__dict__, "_futures": OrderedDict(), "_pool": None}

    def window(self, index: int, box: Window) -> Sample | None:
        """The pixels of a window of a sample, if its region was expected."""
        region = int(self.regions[index])
        with self._lock:
            future = self._futures.get(region)
        if future is None:
            return None
        whole = self.boxes[region]
        return cut(future.result(), Window(box.row - whole.row, box.col - whole.col, *box.shape))

    def expect(self, regions: dict[int, None]) -> None:
        """Begins to decode regions, in the order in which they are wanted; forgets those that were wanted longest ago."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "swath-decode")
            for region in list(regions)[: self.capacity]:
                if region not in self._futures:
                    self._futures[region] = self._pool.submit(self._decode, region)
                self._futures.move_to_end(region)
            while len(self._futures) > self.capacity:
                self._futures.popitem(last=False)

    def release(self) -> None:
        """Ends the threads."""
        with self._lock:
            pool, self._pool = self._pool, None
            for future in self._futures.values():
                future.cancel()
            self._futures.clear()
        if pool is not None:
            pool.shutdown()

    def _decode(self, region: int) -> Sample:
        first, box = self.firsts[region], self.boxes[region]
        return self.source.read(first if box == first.read else Place(first.scene, first.split, box, box), box)


def region_numbers(project: Project, places: Sequence[Place]) -> NDArray[np.int64]:
    """The region of each place, int64 (n,): the square of a grid, aligned with the raster's blocks, where it begins.

    Squares are at least `REGION` and one sample wide; on rasters stored in strips they are flatter and as wide as a strip.
    Samples around points have labels of their own, so each is a region of its own.
    """
    if any(p.point is not None for p in places):
        return np.arange(len(places))
    sides = [_sides(project.infos[s].block, project.infos[s].grid.width, project.tile) for s in range(len(project.infos))]
    keys = [(p.scene, p.read.row // sides[p.scene][0], p.read.col // sides[p.scene][1]) for p in places]
    numbers = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[k] for k in keys], np.int64)


def _sides(block: tuple[int, int], width: int, tile: int) -> tuple[int, int]:
    wide = up(max(REGION, tile), min(block[1], width))
    tall = max(tile, REGION * REGION // wide)
    return up(tall, block[0]) if block[0] < 4 * REGION else tall, wide


def visits(side: int, crop: int, members: int) -> int:
    """How often an epoch draws each sample of a region of `members`: until its crops cover it, at most `CROPS` in all."""
    return max(1, min((side // crop) ** 2 if crop < side else 1, CROPS // members))


def _around(boxes: Sequence[Window]) -> Window:
    return Window.span(
        min(b.row for b in boxes), min(b.col for b in boxes), max(b.row_end for b in boxes), max(b.col_end for b in boxes)
    )


def _inside(read: Window, part: Window) -> Window:
    return Window(read.row + part.row, read.col + part.col, *part.shape)


def _copied(sample: Sample) -> Sample:
    return Sample(np.array(sample.image), np.array(sample.labels), np.array(sample.valid))


def _nothing(sample: Sample) -> None:
    return None
