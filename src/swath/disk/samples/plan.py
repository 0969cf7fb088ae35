"""Samples straight from rasters: pixels, class indices and valid masks of tiles, each label pixel of one split only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import ConfigError
from swath.core.splits import SPLITS, Split, sample_windows
from swath.core.statistics import BandStatistics
from swath.core.windows import Window, grid_windows
from swath.disk.projects.project import Project
from swath.disk.scenes.labels import Labels
from swath.disk.sources.images import Reader
from swath.disk.stores.sample import Place, Sample
from swath.disk.stores.schema import Schema
from swath.specs import RuntimeSpec

BEYOND = "beyond sample.limit"  # why a sample is dropped without a look at it


def plan_places(project: Project, split: Split) -> list[Place]:
    """The samples of a split, scene by scene, row by row; nothing is filtered yet.

    With `sample.limit` they come in random order, so that the first ones that the filters keep are a random subset.
    """
    require_memory(project)
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


def require_memory(project: Project) -> None:
    """Nothing, or a ConfigError: a single sample must fit in `runtime.memory`, or in what that is by default."""
    size, most = project_schema(project).record_bytes, max(project.config.runtime.memory, RuntimeSpec().memory)
    if size > most:
        side = f"{project.tile:,} x {project.tile:,} pixels"
        raise ConfigError("tile-memory", "sample.tile", f"a sample of {side} takes {size / 1e9:,.1f} GB, more than the "
                          f"{most / 1e9:,.1f} GB of runtime.memory", "use a smaller sample.tile, such as 512")  # fmt: skip


def project_schema(project: Project, codec: str = "none") -> Schema:
    """The shape of a project's samples; the type of the image holds the pixels of every scene."""
    dtype, labels = np.result_type(*[i.dtype for i in project.infos]).name, np.dtype(project.legend.index_dtype).name
    return Schema(len(project.bands), dtype, project.tile, labels, len(project.legend), project.points is not None, codec)


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
        counts = region.mask(window)
        counts &= valid
        if not counts.all():
            labels[~counts] = self.legend.ignore
        return self.inside_core(place, window, Sample(image, labels, valid))

    def inside_core(self, place: Place, window: Window, sample: Sample) -> Sample:
        """The sample of a window with the labels outside the place's core ignored; the labels are a copy where any are."""
        core = place.core & window
        if core == window:
            return sample
        labels = np.full_like(sample.labels, self.legend.ignore)
        labels[core.slices(window)] = sample.labels[core.slices(window)]
        return Sample(sample.image, labels, sample.valid)

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
    """The bands fitted on one raster as a whole, streamed; beyond 8 million pixels evenly spread blocks are read."""
    height, width = reader.grid.shape
    found = BandStatistics.empty(len(bands), reader.info.dtype)
    for window in grid_windows(height, width, 512, 512, "keep")[:: max(1, round(height * width / 8_000_000))]:
        found = found + BandStatistics.of(*reader.read(window))
    return bands.fitted(found) if found.count else bands


def refused_points(project: Project) -> dict[str, int]:
    """The points that give no sample at all, by reason; empty without points."""
    return {} if project.points is None else dict(project.placed[1])
