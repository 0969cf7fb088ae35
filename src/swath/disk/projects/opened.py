"""A config with its scenes opened: their headers, bands, readers, labels and points, and the sizes that follow from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.config import Config
from swath.core.bands import Bands, Scope
from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.events import Events
from swath.core.filters import Filter
from swath.core.legend import Legend
from swath.disk.scenes.manifest import Scene
from swath.disk.vectors.points import Points, read_points

if TYPE_CHECKING:  # GDAL is loaded where a scene is opened: training from a store does without
    from swath.disk.rasters.raster import RasterInfo
    from swath.disk.scenes.labels import Labels
    from swath.disk.sources.images import Reader

Reason = tuple[str, Any, str]



@dataclass
class Opened:
    """A config with its legend, its scenes, and what follows from the config and the headers of the images alone.

    `reasons` are the decisions taken so far: (key, value, because). `card` is that of the store that `train.store` names;
    then no scene is opened. `buffered` is the share of the labelled pixels of scenes without a split that lie between splits
    and train nothing; known with the regions.
    """

    path: Path
    config: Config
    legend: Legend
    scenes: tuple[Scene, ...]
    reasons: list[Reason] = field(default_factory=list)
    events: Events = field(default_factory=Events)
    card: dict[str, Any] | None = field(default=None, repr=False)
    buffered: float = 0.0
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
        alone = self._sharing[mine.label_files] == 1
        return open_labels(mine, grid, self.legend, self.config.labels, events, alone=alone)

    @cached_property
    def _sharing(self) -> Counter[tuple[Path, ...]]:
        """How many scenes have the same files of labels."""
        return Counter(s.label_files for s in self.scenes)

    @property
    def points_path(self) -> Path | None:
        """The file of the points that samples are cut around, if the config names one."""
        return points_path(self.config, self.path)

    @cached_property
    def points(self) -> Points | None:
        """The points that samples are cut around; None: samples lie on a grid."""
        return None if self.points_path is None else read_points(self.points_path, self.legend)

    @cached_property
    def tile(self) -> int:
        """The side of samples in pixels."""
        if self.card is not None:
            return int(self.card["schema"]["side"])
        if self.config.sample.tile != "auto":
            return self.config.sample.tile
        if self.points_path is not None:
            tile = min(64, *(n for i in self.infos for n in i.grid.shape))
            self.decided("sample.tile", tile, "patches around points; at most the smallest scene")
            return tile
        side = int(np.median([min(i.grid.shape) for i in self.infos]))
        tile = max(32, min(512, -(-side // 16) * 16))
        self.decided("sample.tile", tile, f"scenes are about {side} pixels wide; at most 512")
        return tile

    @cached_property
    def crop(self) -> int:
        """The side of training crops in pixels."""
        wanted = self.config.train.crop
        if wanted != "auto":
            if wanted > self.tile:
                self.decided("train.crop", self.tile, f"a sample has no more; {wanted} was asked for")
            return min(wanted, self.tile)
        crop = min(256, self.tile)
        self.decided("train.crop", crop, "enough context at a cost small enough for many steps; at most a sample")
        return crop

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

    def decided(self, key: str, value: Any, because: str) -> None:
        """Notes a decision for a setting that was left out, with its reason."""
        self.reasons.append((key, value, because))


def points_path(config: Config, path: Path) -> Path | None:
    """The file that `sample.points` names, relative to the config at `path`."""
    return None if config.sample.points is None else path.parent / config.sample.points


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
