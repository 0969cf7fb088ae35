"""Samples straight from rasters: pixels, class indices and valid masks of tiles, each label pixel of one split only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.legend import Legend
from swath.core.splits import SPLITS, Split, sample_windows
from swath.core.statistics import BandStatistics
from swath.core.windows import Window, grid_windows
from swath.disk.images import Reader
from swath.disk.labels import Labels
from swath.disk.project import Project

BEYOND = "beyond sample.limit"  # why a sample is dropped without a look at it


@dataclass(frozen=True)
class Sample:
    """Named arrays of a window: raw `image` (C, h, w), class indices `labels` (h, w), `valid` (h, w) bool."""

    image: NDArray[Any]
    labels: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Mark:
    """The point that a sample lies around: its `id`, class index `label` (`ignore`: none) and pixel.

    `sparse`: its pixel is the sample's only label. `taken`: windows whose labels count in earlier samples.
    """

    id: int
    label: int
    row: int
    col: int
    sparse: bool
    taken: tuple[Window, ...] = ()

    def apply(self, labels: NDArray[Any], window: Window, ignore: int) -> None:
        """Leaves of `labels` (h, w) of a window what counts in this sample."""
        for box in self.taken:
            labels[(box & window).slices(window)] = ignore
        if self.sparse:
            labels[:] = ignore
            if window.contains(Window(self.row, self.col, 1, 1)):
                labels[self.row - window.row, self.col - window.col] = self.label


@dataclass(frozen=True)
class Place:
    """Where a sample lies: scene number, split, the pixels read, the core whose labels count, the point it is around."""

    scene: int
    split: Split
    read: Window
    core: Window
    point: Mark | None = None

    def after(self, earlier: Sequence[Window]) -> Place:
        """The place with the windows of earlier samples whose labels count there."""
        return self if self.point is None else replace(self, point=replace(self.point, taken=tuple(earlier)))


class Samples(Protocol):
    """Random access to samples: a store, or rasters."""

    places: Sequence[Place]
    scene_names: Sequence[str]

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it (relative to the sample's first pixel)."""
        ...


def plan_places(project: Project, split: Split) -> list[Place]:
    """The samples of a split, scene by scene, row by row; nothing is filtered yet.

    With `sample.limit` they come in random order, so that the first ones that the filters keep are a random subset.
    """
    if project.points is not None:
        return _drawn(project, split, project.placed[0][split])
    edge = project.config.sample.edge
    places = [
        Place(i, split, read, core)
        for i, info in enumerate(project.infos)
        if (region := project.region(i, split))
        for read, core in sample_windows(*info.grid.shape, region, size=project.tile, stride=project.stride, edge=edge)
    ]
    return _drawn(project, split, places)


def _drawn(project: Project, split: Split, places: list[Place]) -> list[Place]:
    """The places in random order where `sample.limit` keeps only some of a split."""
    if split not in project.config.sample.limit:
        return places
    chance = np.random.default_rng([project.config.split.seed, SPLITS.index(split)])
    return [places[i] for i in chance.permutation(len(places)).tolist()]


class SceneWindows:
    """Pixels and labels of any window of a project's scenes, with the labels that a split may use."""

    def __init__(self, project: Project) -> None:
        self.project, self.legend = project, project.legend
        self._readers: dict[int, Reader] = {}
        self._labels: dict[int, Labels] = {}

    def read(self, place: Place, window: Window) -> Sample:
        """The sample of a window; labels outside the split's region, the place's core, or valid pixels are ignored."""
        image, valid = self.reader(place.scene).read(window)
        labels = self.labels(place.scene).read(window)
        if place.point is not None:
            place.point.apply(labels, window, self.legend.ignore)
        region = self.project.region(place.scene, place.split)
        assert region is not None
        counts = region.mask(window) & valid
        if place.core != place.read:
            inside = np.zeros(window.shape, bool)
            inside[(place.core & window).slices(window)] = True
            counts &= inside
        labels[~counts] = self.legend.ignore
        return Sample(image, labels, valid)

    def reader(self, scene: int) -> Reader:
        """The image reader of a scene."""
        if scene not in self._readers:
            self._readers[scene] = self.project.reader(scene)
        return self._readers[scene]

    def labels(self, scene: int) -> Labels:
        """The labels of a scene."""
        if scene not in self._labels:
            self._labels[scene] = self.project.labels(scene)
        return self._labels[scene]


class RasterSamples(Samples):
    """Samples read from the rasters when they are asked for; kept in memory while all of them fit into `memory`."""

    def __init__(self, project: Project, split: Split, memory: int) -> None:
        self.source = SceneWindows(project)
        self.places: Sequence[Place] = plan_places(project, split)
        self.scene_names: Sequence[str] = [s.name for s in project.scenes]
        pixel = np.dtype(project.infos[0].dtype).itemsize * len(project.bands) + 2
        self.keep = len(self.places) * project.tile**2 * pixel <= memory
        self._kept: dict[int, Sample] = {}

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it."""
        place = self.places[index]
        if not self.keep:
            box = (
                place.read
                if part is None
                else Window(place.read.row + part.row, place.read.col + part.col, *part.shape)
            )
            return self.source.read(place, box)
        if index not in self._kept:
            self._kept[index] = self.source.read(place, place.read)
        return cut(self._kept[index], part)

    def filter(self) -> NDArray[np.int64]:
        """Drops the samples that the config's filters refuse; returns the label pixels per class of the others, (C,)."""
        project = self.source.project
        total = np.zeros(len(project.legend), np.int64)
        passed: list[int] = []
        for i, place in enumerate(self.places):
            if beyond_limit(project, place.split, len(passed)):
                break
            sample = self.read(i)
            counts = class_counts(sample.labels, project.legend)
            if refusal(project, place, sample, counts) is None:
                passed.append(i)
                total += counts
        self.places = [self.places[i] for i in passed]
        self._kept = {new: self._kept[old] for new, old in enumerate(passed) if old in self._kept}
        return total


def refusal(project: Project, place: Place, sample: Sample, counts: NDArray[np.int64]) -> str | None:
    """Why a sample is dropped, or None; `counts` (C,) are its label pixels."""
    return refused(project, place, counts, int(sample.valid.size - np.count_nonzero(sample.valid)))


def refused(project: Project, place: Place, counts: NDArray[np.int64], invalid: int) -> str | None:
    """Why a sample with `invalid` pixels without data is dropped, or None. Validation and test keep all with a label."""
    area = place.read.area
    told = None if place.point is None else project.config.sample.refusal(invalid, area)
    if told:
        return told
    if place.split != "trn":
        return None if counts.sum() else "no labelled pixel"
    return project.filter.refusal(counts, area, invalid, project.legend.background)


def beyond_limit(project: Project, split: Split, kept: int) -> bool:
    """True where `kept` samples of a split are all that `sample.limit` wants; others need no look."""
    return kept >= project.config.sample.limit.get(split, np.inf)


def cut(sample: Sample, part: Window | None) -> Sample:
    """A window of a sample, as views."""
    if part is None:
        return sample
    rows, cols = part.slices()
    return Sample(sample.image[:, rows, cols], sample.labels[rows, cols], sample.valid[rows, cols])


def scene_bands(project: Project, bands: Bands) -> Callable[[int], Bands]:
    """The bands of each scene by number: the same for all, or fitted on each raster as a whole (scope `image`)."""
    fitted: dict[int, Bands] = {}

    def of(scene: int) -> Bands:
        if bands.scope == "dataset":
            return bands
        if scene not in fitted:
            fitted[scene] = fit_image(project.reader(scene), bands)
        return fitted[scene]

    return of


def fit_image(reader: Reader, bands: Bands) -> Bands:
    """The bands fitted on one raster as a whole, streamed; beyond 40 million pixels evenly spread blocks are read."""
    height, width = reader.grid.shape
    found = BandStatistics.empty(len(bands), reader.info.dtype)
    for window in grid_windows(height, width, 512, 512, "keep")[:: max(1, round(height * width / 40_000_000))]:
        found = found + BandStatistics.of(*reader.read(window))
    return bands.fitted(found) if found.count else bands


def class_counts(labels: NDArray[Any], legend: Legend) -> NDArray[np.int64]:
    """Labelled pixels per class index, int64 (C,), of an array of indices."""
    return np.bincount(labels.ravel(), minlength=legend.ignore + 1)[: len(legend)].astype(np.int64)


def refused_points(project: Project) -> dict[str, int]:
    """The points that give no sample at all, by reason; empty without points."""
    return {} if project.points is None else dict(project.placed[1])
