"""A config together with its data: scenes opened, everything left open decided from what they hold, with reasons."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.config import Config, load_config, omitted
from swath.core.bands import Bands, Scope
from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.events import Events
from swath.core.filters import Filter
from swath.core.legend import Legend
from swath.core.splits import Region, Split
from swath.core.statistics import KEEP, BandStatistics
from swath.core.windows import Window, grid_windows
from swath.disk.readahead import read_ahead
from swath.disk.remote.access import is_remote, remote_access
from swath.disk.scenes.manifest import Scene, config_scenes
from swath.disk.scenes.sources import with_sources
from swath.disk.sources.stack import Stack
from swath.disk.sources.stamp import file_stamp, image_stamp
from swath.disk.stores.store import fitting_card
from swath.disk.vectors.points import Points, read_points

if TYPE_CHECKING:  # GDAL is loaded where a scene is opened: training from a store does without
    from swath.disk.rasters.raster import RasterInfo
    from swath.disk.scenes.labels import Labels
    from swath.disk.sources.images import Reader

Reason = tuple[str, Any, str]
SAMPLE_SECTIONS = (
    "sources",
    "bands",
    "labels",
    "split",
    "sample",
    "classes",
)  # of the config: what decides the samples
SCENE_SECTIONS = ("sources", "bands", "labels", "split", "sample")  # without a meaning where a store is named
_FIT_PIXELS = 8_000_000  # pixels per band that the scaling is fitted on; beyond it, evenly spread blocks are read


@dataclass
class Project:
    """A config with its legend, scenes and the decisions taken from the data; the root of every step on a config.

    `card` is that of the store that `train.store` names; then no scene is opened.
    """

    path: Path
    config: Config
    legend: Legend
    scenes: tuple[Scene, ...]
    reasons: list[Reason] = field(default_factory=list)
    events: Events = field(default_factory=Events)
    card: dict[str, Any] | None = field(default=None, repr=False)
    _opened: set[int] = field(default_factory=set, repr=False)

    @property
    def run_dir(self) -> Path:
        """The directory of the run: `output`, or runs/<config stem> beside the config."""
        given = self.config.output
        return (self.path.parent / given if given else self.path.parent / "runs" / self.path.stem).absolute()

    @property
    def store_dir(self) -> Path:
        """Where `sample` puts its store."""
        return self.run_dir / "samples.store"

    @cached_property
    def infos(self) -> tuple[RasterInfo, ...]:
        """The header of every scene's image."""
        from swath.disk.sources.images import image_info

        return tuple(image_info(s.image) for s in self.scenes)

    @cached_property
    def bands(self) -> Bands:
        """The selected bands, scaling not yet fitted."""
        return select_bands(self.config, self.infos[self._first], self.scenes[self._first])

    @property
    def _first(self) -> int:
        return next((i for i, s in enumerate(self.scenes) if s.split in (None, "trn")), 0)

    def reader(self, scene: int) -> Reader:
        """The reader of a scene's selected bands."""
        from swath.disk.sources.images import open_image

        return open_image(self.scenes[scene].image, self.bands)

    def labels(self, scene: int) -> Labels:
        """The labels of a scene on its grid; what happens to them is counted at the first opening only."""
        from swath.disk.scenes.labels import open_labels

        events = Events() if scene in self._opened else self.events
        self._opened.add(scene)
        mine, grid = self.scenes[scene], self.infos[scene].grid
        alone = self._sharing[mine.labels] == 1
        return open_labels(mine, grid, self.legend, self.config.labels, events, alone=alone)

    @cached_property
    def _sharing(self) -> Counter[Path | None]:
        """How many scenes have each file of labels."""
        return Counter(s.labels for s in self.scenes)

    @property
    def points_path(self) -> Path | None:
        """The file of the points that samples are cut around, if the config names one."""
        return points_path(self.config, self.path)

    @cached_property
    def points(self) -> Points | None:
        """The points that samples are cut around; None: samples lie on a grid."""
        return None if self.points_path is None else read_points(self.points_path, self.legend)

    @cached_property
    def placed(self) -> tuple[dict[Split, list[Any]], dict[str, int]]:
        """The samples around the points per split, and the numbers of points refused by reason."""
        from swath.disk.projects.point_places import place_points

        places, refused = place_points(self)
        shown = ", ".join(f"{n} {reason}" for reason, n in refused.items())
        self._decided("sample.points", sum(map(len, places.values())), f"samples around points; refused: {shown or 'none'}")
        return places, refused

    @cached_property
    def tile(self) -> int:
        """The side of samples in pixels."""
        if self.card is not None:
            return int(self.card["schema"]["side"])
        if self.config.sample.tile != "auto":
            return self.config.sample.tile
        if self.points_path is not None:
            tile = min(64, *(n for i in self.infos for n in i.grid.shape))
            self._decided("sample.tile", tile, "patches around points; at most the smallest scene")
            return tile
        side = int(np.median([min(i.grid.shape) for i in self.infos]))
        tile = max(32, min(512, -(-side // 16) * 16))
        self._decided("sample.tile", tile, f"scenes are about {side} pixels wide; at most 512")
        return tile

    @cached_property
    def crop(self) -> int:
        """The side of training crops in pixels."""
        wanted = self.config.train.crop
        if wanted != "auto":
            if wanted > self.tile:
                self._decided("train.crop", self.tile, f"a sample has no more; {wanted} was asked for")
            return min(wanted, self.tile)
        crop = min(256, self.tile)
        self._decided("train.crop", crop, "enough context at a cost small enough for many steps; at most a sample")
        return crop

    @cached_property
    def regions(self) -> tuple[tuple[Region, ...], ...]:
        """Per scene, which label pixels belong to which split; empty for a scene without labels."""
        from swath.disk.projects.allotment import decide_regions  # which needs this class

        if self.points is not None:
            from swath.disk.projects.point_places import own_regions

            own = own_regions(self)
            if own is not None:
                return own
        return decide_regions(self)

    def region(self, scene: int, split: Split) -> Region | None:
        """The region of one split in one scene, if it has one."""
        return next((r for r in self.regions[scene] if r.split == split), None)

    @cached_property
    def filter(self) -> Filter:
        """The sampling filter, classes by index."""
        spec = self.config.sample
        floors = {self.legend.index(name): floor for name, floor in spec.class_min.items()}
        return Filter(spec.min_annotated, floors, spec.class_mode, spec.max_nodata)

    @property
    def stride(self) -> int:
        """The step between training samples in pixels."""
        overlap = self.config.sample.overlap
        pixels = round(self.tile * overlap) if overlap < 1 else int(overlap)
        if pixels >= self.tile:
            raise ConfigError("overlap", "sample.overlap", f"{pixels} pixels is no less than the tile of {self.tile}",
                              "use a fraction below 1 or fewer pixels")  # fmt: skip
        return self.tile - pixels

    def settle(self) -> list[Reason]:
        """Every setting that the config left out, with its value and reason; decisions from the data first."""
        if self.card is not None:
            _ = self.crop
            unused: tuple[str, ...] = SCENE_SECTIONS
        else:
            _ = self.tile, self.crop, self.regions, self.bands
            unused = ()
        decided = {key for key, _, _ in self.reasons}
        rest = [r for r in omitted(self.config) if r[0] not in decided and r[0].split(".")[0] not in unused]
        return self.reasons + rest

    def _decided(self, key: str, value: Any, because: str) -> None:
        self.reasons.append((key, value, because))

    def fingerprint(self, *sections: str) -> str:
        """A hash of config sections and of the inputs (their content and their names relative to the config)."""
        if self.card is not None:
            return str(self.card["fingerprint"])
        dumped = self.config.model_dump(mode="json")
        files = [p for s in self.scenes for p in s.files]
        files += [] if self.points_path is None else [self.points_path]
        files += [p.with_suffix(".dbf") for p in files if p.suffix.lower() == ".shp" and p.with_suffix(".dbf").exists()]
        home = self.path.parent
        stamps = [(str(p) if is_remote(p) else os.path.relpath(p, home), file_stamp(p)) for p in files]
        rows = [[s.split, s.group, s.field, s.layer] for s in self.scenes]
        stacks = [image_stamp(s.image) for s in self.scenes if isinstance(s.image, Stack)]
        text = json.dumps([{k: dumped[k] for k in sections}, stamps, rows, self.legend.as_dict(), stacks], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_project(path: str | Path, overrides: Sequence[str] = ()) -> Project:
    """The project of a config file. Raises ConfigError or DataError; nothing but headers is read yet."""
    path = Path(path)
    config = load_config(path, overrides)
    if config.scenes is None:
        raise ConfigError("config-missing-key", path, "the key 'scenes' is missing; `train.store` is enough for `swath train` "
                          "alone", "add it: a manifest, or rows with image and labels")  # fmt: skip
    points = points_path(config, path.absolute())
    if points is not None and not points.exists():
        raise DataError("file-missing", points, "no such file", "check sample.points: its path is relative to the config")
    with remote_access(config.runtime.remote):
        scenes = with_points(config_scenes(config.scenes, path), points)
        if config.inputs():
            scenes = tuple(with_sources(s, config.inputs(), (path.parent,)) for s in scenes)
    return Project(path.absolute(), config, config.legend(), scenes)


def load_training(path: str | Path, overrides: Sequence[str] = ()) -> Project:
    """The project that is trained: as `load_project`, but with `train.store` the scenes are neither read nor needed.

    Raises ConfigError or DataError, such as for a store that does not fit the config.
    """
    path = Path(path)
    config = load_config(path, overrides)
    if config.train.store is None:
        return load_project(path, overrides)
    legend, spec = config.legend(), config.sample
    card = fitting_card(
        path.parent / config.train.store, legend, config.bands.select, None if spec.tile == "auto" else spec.tile
    )
    return Project(path.absolute(), config, legend, (), card=card)


def points_path(config: Config, path: Path) -> Path | None:
    """The file that `sample.points` names, relative to the config at `path`."""
    return None if config.sample.points is None else path.parent / config.sample.points


def with_points(scenes: Sequence[Scene], points: Path | None) -> tuple[Scene, ...]:
    """The scenes; points are the labels of those that have no others."""
    return tuple(s if points is None or s.labels else replace(s, labels=points, layer=None) for s in scenes)


def select_bands(config: Config, info: RasterInfo, scene: Scene) -> Bands:
    """The config's bands as 1-based indexes into the first training scene, unfitted (gain 1, offset 0)."""
    wanted = config.bands.select
    indexes = (
        tuple(i for i in range(1, info.count + 1) if i != info.alpha)
        if wanted is None
        else tuple(_band(b, info, scene) for b in wanted)
    )
    names = tuple(info.names[i - 1] for i in indexes)
    spec = config.bands
    scope: Scope = "dataset" if spec.scope == "auto" else spec.scope
    n = len(indexes)
    from swath.disk.sources.images import plain_bands

    plain = plain_bands(scene.image, indexes)
    return Bands(indexes, names, (1.0,) * n, (0.0,) * n, spec.method, scope, spec.nodata, spec.nodata_value, plain)


def _band(band: int | str, info: RasterInfo, scene: Scene) -> int:
    if isinstance(band, str):
        names = [n.lower() for n in info.names]
        if band.lower() not in names:
            raise DataError("band-missing", scene.image, f"has no band '{band}'", did_you_mean(band, info.names))
        return names.index(band.lower()) + 1
    if not 1 <= band <= info.count:
        raise DataError(
            "band-missing", scene.image, f"has no band {band}, only 1 to {info.count}", "correct bands.select"
        )
    return band


def fit_bands(project: Project) -> tuple[Bands, BandStatistics]:
    """The bands with their scaling fitted on the training pixels, and the statistics behind it.

    Only pixels of training scenes outside the held-out blocks are read; beyond 8 million per band, evenly spread
    blocks of 512. Raises DataError where no valid pixel was found.
    """
    total = BandStatistics.empty(len(project.bands), project.infos[project._first].dtype)
    means = []
    chosen = [i for i in range(len(project.scenes)) if project.region(i, "trn")]
    area = sum(project.infos[i].grid.height * project.infos[i].grid.width for i in chosen)
    skip = max(1, round(area / _FIT_PIXELS))
    for i in chosen:
        part = _scene_statistics(project, i, skip)
        total = total + part
        if part.count:
            means.append(part.mean)
    if total.count == 0:
        raise DataError("pixels-none", project.path, "the training scenes hold no valid pixel", "check bands.nodata")
    bands = _with_scope(project, means, total).fitted(total)
    return bands, total


def _scene_statistics(project: Project, scene: int, skip: int) -> BandStatistics:
    reader, region = project.reader(scene), project.region(scene, "trn")
    shape = reader.grid.shape
    found = BandStatistics.empty(len(reader.indexes), reader.info.dtype)
    windows = grid_windows(*shape, 512, 512, "keep")[::skip]
    keep = max(2048, 2 * KEEP // len(windows))

    def of(window: Window) -> BandStatistics:
        raw, valid = reader.read(window)
        assert region is not None
        valid &= Region("trn", region.inside, region.outside).mask(window)
        return BandStatistics.of(raw, valid, keep)

    with closing(read_ahead(of, windows)) as parts:
        for part in parts:
            found = found + part
    return found


def _with_scope(project: Project, means: list[Any], total: BandStatistics) -> Bands:
    bands = project.bands
    if project.config.bands.scope != "auto":
        return bands
    if len(means) < 8:
        project._decided("bands.scope", "dataset", f"{len(means)} training scenes: too few to tell how they differ")
        return replace(bands, scope="dataset")
    share = float(np.median(np.std(means, axis=0) / np.maximum(total.std, 1e-12)))
    scope: Scope = "image" if share > 0.5 else "dataset"
    project._decided("bands.scope", scope, f"the scenes' means differ by {share:.2f} standard deviations")
    return replace(bands, scope=scope)
