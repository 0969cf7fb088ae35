"""Swath's own sample store as a format among others: its samples streamed out, and a store made of streamed samples."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.splits import SPLITS
from swath.core.statistics import BandStatistics
from swath.core.windows import Window
from swath.disk.formats.foreign import Facts, ForeignSample, ForeignSamples, fingerprint, with_legend
from swath.disk.publish import make_directory, require_space, sweep
from swath.disk.stores.recordspool import RecordSpool
from swath.disk.stores.sample import Mark, Place, Sample, class_counts
from swath.disk.stores.schema import Schema
from swath.disk.stores.store import StoreSamples, publish_store, read_card
from swath.disk.stores.storecard import store_card, write_footprints

_PLACED = re.compile(r"^(?P<scene>.+)_i(?P<row>\d{1,9})_j(?P<col>\d{1,9})(?:_\d+)?$")
_STATISTICS_PIXELS = 2_000_000


def read_store(path: Path) -> ForeignSamples:
    """The samples of a store; labels are class ids. Raises DataError (store-missing, store-version, store-corrupt)."""
    card = read_card(path)
    legend = Legend.from_dict(card["legend"])
    grids = [Grid.from_dict(g) if g else None for g in card["grids"]]

    def stream() -> Iterator[ForeignSample]:
        seen: Counter[str] = Counter()
        for split in SPLITS:
            samples = StoreSamples(path, split)
            for i, place in enumerate(samples.places):
                found, grid = samples.read(i), grids[place.scene]
                name = f"{card['scenes'][place.scene]}_i{place.read.row}_j{place.read.col}"
                seen[name] += 1
                yield ForeignSample(
                    name if seen[name] == 1 else f"{name}_{seen[name]}", split, found.image,
                    legend.to_ids(found.labels), found.valid,
                    None if grid is None or _nowhere(grid) else grid.window(place.read), _label(samples, i),
                )  # fmt: skip

    facts = Facts(tuple(card["bands"]["names"]), np.dtype(card["schema"]["dtype"]).name, legend, legend.nodata)
    return ForeignSamples(path, facts, stream)


def _label(samples: StoreSamples, number: int) -> int | None:
    """The class id of the point that a sample lies around."""
    if not samples.schema.points:
        return None
    index = int(samples.index["label"][number])
    return None if index < 0 else samples.legend.ids[index]


@dataclass
class Survey:
    """What a first pass over samples tells: their places and scenes, the statistics of trn, and a hash of the content."""

    facts: Facts
    places: list[Place] = field(default_factory=list)
    scenes: dict[str, Grid | None] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    statistics: BandStatistics | None = None
    side: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    pending: list[NDArray[Any]] = field(default_factory=list)

    def add(self, sample: ForeignSample) -> str | None:
        """Takes a sample in; what is wrong with its size, or None."""
        height, width = sample.labels.shape
        self.side = self.side or height
        if (height, width) != (self.side, self.side):
            return f"{sample.name} is {width} x {height} pixels"
        name, window = self._scene(sample)
        number = self.numbers.setdefault(name, len(self.numbers))
        self.places.append(Place(number, sample.split, window, window, self._mark(sample)))
        print_ = fingerprint(sample, self.facts.ignore)
        self.digest.update(f"{sample.name} {sample.split} {print_} {sample.mask.tobytes()!r}".encode())
        if sample.split == "trn":
            self.pending.append(sample.image[:, sample.mask])
            if sum(p.shape[1] for p in self.pending) > _STATISTICS_PIXELS:
                self.fit()
        return None

    def _mark(self, sample: ForeignSample) -> Mark | None:
        """The label of a whole patch as that of a point in its middle."""
        if sample.label is None or self.facts.legend is None:
            return None
        middle = sample.labels.shape[0] // 2
        return Mark(len(self.places) + 1, self.facts.legend.ids.index(sample.label), middle, middle, sparse=False)

    def fit(self) -> BandStatistics:
        """The statistics of the training pixels so far."""
        total = self.statistics or BandStatistics.empty(len(self.facts.bands), self.facts.dtype)
        if self.pending:
            total = total + BandStatistics.of(np.concatenate(self.pending, axis=1)[:, None])
        self.statistics, self.pending = total, []
        return total

    def _scene(self, sample: ForeignSample) -> tuple[str, Window]:
        """The scene and window that the sample's name tells; a scene of its own where names and grids disagree."""
        name, grid, window = scene_place(sample)
        known = self.scenes.get(name, grid)
        if name != sample.name and _agree(known, grid):
            self.scenes[name] = _joined(known, grid)
            return name, window
        name, n = sample.name, 2
        while name in self.scenes:
            name, n = f"{sample.name} ({n})", n + 1
        self.scenes[name] = sample.grid
        return name, Window(0, 0, *sample.labels.shape)


def scene_place(sample: ForeignSample) -> tuple[str, Grid | None, Window]:
    """(scene, its grid as far as the sample shows it, window in it) by the sample's name; else the sample is its scene."""
    height, width = sample.labels.shape
    found = _PLACED.match(sample.name)
    if not found:
        return sample.name, sample.grid, Window(0, 0, height, width)
    window = Window(int(found["row"]), int(found["col"]), height, width)
    return found["scene"], _scene_grid(sample.grid, window), window


def store_from_samples(samples: ForeignSamples, directory: Path) -> dict[str, Any]:
    """The card of the store made of the samples, which is built as `swath sample` builds it.

    All samples must be squares of one size; the scaling is fitted on the pixels of `trn`. Raises DataError
    (samples-size, samples-none, class-unknown).
    """
    samples = with_legend(samples)
    legend, survey = samples.facts.legend, surveyed(samples)
    assert legend is not None
    statistics = survey.fit()
    if statistics.count == 0:
        raise DataError("samples-none", samples.source, "holds no training pixel: the scaling cannot be fitted",
                        "mark some samples as trn")  # fmt: skip
    bands = _fitted(samples.facts, statistics)
    schema = Schema(len(bands), samples.facts.dtype, survey.side, np.dtype(legend.index_dtype).name, len(legend),
                    points=any(p.point is not None for p in survey.places))  # fmt: skip
    make_directory(directory)
    sweep(directory)
    require_space(directory / "records.bin", len(survey.places) * schema.record_bytes)
    grids = [g or Grid(None, Affine.identity(), survey.side, survey.side) for g in survey.scenes.values()]
    print_ = survey.digest.hexdigest()[:16]
    with RecordSpool(directory, schema, survey.places, print_) as spool:
        for number, s in enumerate(samples):
            if number >= spool.decided:
                record = _record(s, legend)
                spool.keep(schema.record(record), class_counts(record.labels, legend))
        card = store_card(
            spool, print_, legend, bands, [bands] * len(grids), statistics, list(survey.scenes), grids, {}
        )
        card["leakage"] = None  # the ground of foreign samples is not known
        publish_store(directory, spool, card, lambda index, part: write_footprints(index, card, part))
    return card


def surveyed(samples: ForeignSamples) -> Survey:
    """The first pass. Raises DataError listing the samples whose size is not that of the first one."""
    survey, odd = Survey(samples.facts), []
    for s in samples:
        fault = survey.add(s)
        if fault:
            odd.append(fault)
    if odd:
        raise DataError("samples-size", samples.source, f"samples must be {survey.side} x {survey.side} pixels: "
                        f"{'; '.join(odd[:5])}{f' and {len(odd) - 5} more' if len(odd) > 5 else ''}",
                        "list the rasters in a manifest and cut them: swath sample CONFIG")  # fmt: skip
    if not survey.places:
        raise DataError("samples-none", samples.source, "holds no sample", "name another source")
    return survey


def _record(sample: ForeignSample, legend: Legend) -> Sample:
    valid = sample.mask
    labels = np.full(sample.labels.shape, legend.ignore, legend.index_dtype)
    for index, value in enumerate(legend.ids):
        labels[(sample.labels == value) & valid] = index
    return Sample(sample.image, labels, valid)


def _fitted(facts: Facts, statistics: BandStatistics) -> Bands:
    n = len(facts.bands)
    return Bands(tuple(range(1, n + 1)), facts.bands, (1.0,) * n, (0.0,) * n).fitted(statistics)


def _nowhere(grid: Grid) -> bool:
    return grid.crs is None and grid.transform == Affine.identity()


def _scene_grid(grid: Grid | None, window: Window) -> Grid | None:
    """The grid of the scene, as far as the window shows it."""
    if grid is None:
        return None
    return Grid(grid.crs, grid.transform @ Affine.translation(-window.col, -window.row), window.row_end, window.col_end)


def _agree(known: Grid | None, other: Grid | None) -> bool:
    if known is None or other is None:
        return known is other
    apart = [abs(a - b) for a, b in zip(known.transform, other.transform, strict=True)]
    return known.crs == other.crs and max(apart) < 1e-3 * min(known.pixel_size)


def _joined(known: Grid | None, other: Grid | None) -> Grid | None:
    if known is None or other is None:
        return known
    return Grid(known.crs, known.transform, max(known.height, other.height), max(known.width, other.width))
