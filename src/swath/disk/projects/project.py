"""A config together with its data: scenes opened, everything left open decided from what they hold, with reasons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.config import load_config, omitted
from swath.core.bands import Bands, Scope, stretched
from swath.core.errors import ConfigError, DataError
from swath.core.splits import Region, Split
from swath.core.statistics import KEEP, BandStatistics
from swath.core.windows import Window, grid_windows
from swath.disk.projects.opened import Opened, Reason, points_path
from swath.disk.readahead import read_ahead
from swath.disk.remote.access import is_remote, remote_access
from swath.disk.scenes.manifest import Scene, config_scenes
from swath.disk.scenes.sources import with_sources
from swath.disk.sources.stack import Stack
from swath.disk.sources.stamp import file_stamp, image_stamp
from swath.disk.stores.store import fitting_card
from swath.messages import warn

if TYPE_CHECKING:  # GDAL is loaded where a scene is opened: training from a store does without
    pass

SAMPLE_SECTIONS = ("sources", "bands", "labels", "split", "sample", "classes")  # of the config: what decides the samples
SCENE_SECTIONS = ("sources", "bands", "labels", "split", "sample")  # without a meaning where a store is named
_FIT_PIXELS = 8_000_000  # pixels per band that the scaling is fitted on; beyond it, evenly spread blocks are read


@dataclass
class Project(Opened):
    """The root of every step on a config: what is decided from the labels as well, such as which pixels each split uses."""

    @cached_property
    def placed(self) -> tuple[dict[Split, list[Any]], dict[str, int]]:
        """The samples around the points per split, and the numbers of points refused by reason."""
        from swath.disk.projects.point_places import place_points

        places, refused = place_points(self, self.regions)
        shown = ", ".join(f"{n} {reason}" for reason, n in refused.items())
        self.decided("sample.points", sum(map(len, places.values())), f"samples around points; refused: {shown or 'none'}")
        return places, refused

    @cached_property
    def regions(self) -> tuple[tuple[Region, ...], ...]:
        """Per scene, which label pixels belong to which split; empty for a scene without labels."""
        from swath.disk.projects.allotment import decide_regions

        if self.points is not None:
            from swath.disk.projects.point_places import own_regions

            own = own_regions(self)
            if own is not None:
                return own
        return decide_regions(self)

    def region(self, scene: int, split: Split) -> Region | None:
        """The region of one split in one scene, if it has one."""
        return next((r for r in self.regions[scene] if r.split == split), None)

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

    def fingerprint(self, *sections: str) -> str:
        """A hash of config sections and of the inputs: their content and their names, wherever they lie."""
        if self.card is not None:
            return str(self.card["fingerprint"])
        dumped = self.config.model_dump(mode="json")
        files = [p for s in self.scenes for p in s.files]
        files += [] if self.points_path is None else [self.points_path]
        stamps = [(str(p) if is_remote(p) else p.name, file_stamp(p)) for p in files]
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


def with_points(scenes: Sequence[Scene], points: Path | None) -> tuple[Scene, ...]:
    """The scenes; points are the labels of those that have no others."""
    return tuple(s if points is None or s.labels else replace(s, labels=points, layer=None) for s in scenes)


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
    bands = _with_scope(project, means, total)
    for i in stretched(total, bands.method) if bands.scope == "dataset" else ():
        low, high = total.quantiles((0.02, 0.98))[:, i]
        warn(f"band {bands.indexes[i]} ({bands.names[i]}): a few values up to {_farthest(total, i):g} lie so far from the others "
             f"({low:g} to {high:g}) that scaling leaves nothing of those: declare them as nodata, or set bands.method=percentile")  # fmt: skip
    return bands.fitted(total), total


def _farthest(found: BandStatistics, band: int) -> float:
    """The smallest or largest value of a band, whichever lies farther from its mean."""
    ends = (float(found.minimum[band]), float(found.maximum[band]))
    return max(ends, key=lambda v: abs(v - float(found.mean[band])))


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
        project.decided("bands.scope", "dataset", f"{len(means)} training scenes: too few to tell how they differ")
        return replace(bands, scope="dataset")
    share = float(np.median(np.std(means, axis=0) / np.maximum(total.std, 1e-12)))
    scope: Scope = "image" if share > 0.5 else "dataset"
    project.decided("bands.scope", scope, f"the scenes' means differ by {share:.2f} standard deviations")
    return replace(bands, scope=scope)
