"""Where sample points may lie: the valid and labelled pixels of scenes, of a config or of files, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend, palette
from swath.core.selection import Draw, patch_room
from swath.core.splits import SPLITS
from swath.core.windows import Window, grid_windows, strips
from swath.disk.projects.project import Project
from swath.disk.rasters.crs import on_grid
from swath.disk.rasters.geotiff import off_grid
from swath.disk.rasters.raster import SUFFIXES, RasterReader
from swath.disk.rasters.tally import MOST_VALUES, LabelValues
from swath.disk.samples.plan import SceneWindows
from swath.disk.scenes.burn import burnt_polygons, label_files, label_scenes
from swath.disk.scenes.labels import Labels, open_labels
from swath.disk.scenes.manifest import Scene, expand_inputs
from swath.disk.sources.images import Reader, image_info, image_reader
from swath.disk.sources.stack import image_files
from swath.disk.vectors import vector
from swath.specs import LabelsSpec

Classed = tuple[NDArray[Any], NDArray[np.bool_]]
_STRIP_VALUES = 4_000_000  # pixels times bands read at once
_MANIFESTS = {".csv", ".tsv", ".json", ".gpkg", ".geojson"}


@dataclass
class Source:
    """The candidates of one scene.

    `classes(window)` gives class ids (h, w) and where there are any; None: the scene has no labels. `valid(window)` is
    where the image has data, None for a label raster by itself. `splits(window)` int8 (h, w): 0..2, -1 outside of all
    splits; None for files. `names` class id -> name; `inputs` the files read; `values` what a pixel costs in memory.
    """

    name: str
    grid: Grid
    block: int
    inputs: list[Path]
    classes: Callable[[Window], Classed] | None
    valid: Callable[[Window], NDArray[np.bool_]] | None
    splits: Callable[[Window], NDArray[np.int8]] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    values: int = 1
    labels: Labels | None = None
    legend: Legend | None = None
    all_touched: bool = False

    def strips(self, least: int = 1) -> Iterator[Window]:
        """Windows over the whole width, from top to bottom; their height follows the raster's blocks and the memory."""
        block = max(1, min(self.block, 512))
        rows = _STRIP_VALUES // (self.grid.width * self.values) // block * block
        for start, stop in strips(self.grid.height, max(rows, block, least)):
            yield Window(start, 0, stop - start, self.grid.width)

    def candidates(self, window: Window, draw: Draw) -> Classed:
        """Class ids (h, w) of a window and which of its pixels may be drawn. Raises DataError without labels.

        With `draw.patch` the patch around a pixel must lie inside the image.
        """
        if self.classes is None:
            raise DataError("labels-none", self.name, "has no labels to draw points from", "name them, or use --strategy grid")
        ids, known = self.classes(window)
        if self.valid is not None:
            known = known & self.valid(window)
        if draw.patch is not None:
            height, width = self.grid.shape
            inside = patch_room(height, draw.patch)[window.row : window.row_end, None] & patch_room(width, draw.patch)[None]
            known = known & inside
        if draw.split == "regions" and self.splits is not None:
            known = known & (self.splits(window) >= 0)
        return ids, known

    def polygons(self) -> Iterator[tuple[int, int, int]]:
        """(feature id, class id, valid pixels) of every polygon, each burnt by itself, in the order of feature ids."""
        assert self.legend is not None
        for burnt in burnt_polygons(self.labels) if self.labels is not None else ():
            for i in np.argsort(burnt.fids, kind="stable"):
                index = int(burnt.indices[i])
                if index < len(self.legend):
                    yield int(burnt.fids[i]), self.legend.ids[index], self._pixels(burnt.geometry[i])

    def _pixels(self, shape: Any) -> int:
        box = self.grid.window_of(shape.bounds)
        total = 0
        for part in grid_windows(box.height, box.width, 2048, 2048, "keep"):
            window = Window(box.row + part.row, box.col + part.col, *part.shape)
            place = self.grid.window(window)
            inside = rasterize([(shape, 1)], out_shape=window.shape, transform=place.transform, dtype="uint8",
                               all_touched=self.all_touched) > 0  # fmt: skip
            total += int((inside & self.valid(window)).sum() if self.valid is not None else inside.sum())
        return total


def project_sources(project: Project) -> list[Source]:
    """The scenes of a config: its labels inside valid pixels, with the splits of its regions."""
    windows, legend = SceneWindows(project), project.legend
    found = []
    for i, scene in enumerate(project.scenes):
        reader = windows.reader(i)
        labels = windows.labels(i) if scene.labels is not None else None
        found.append(Source(
            scene.name, reader.grid, project.infos[i].block[0], [*image_files(scene.image), *scene.label_files],
            None if labels is None else _of_indices(labels, legend), _valid(reader), _region_splits(project, i),
            dict(zip(legend.ids, legend.names, strict=True)), len(project.bands), labels, legend,
            project.config.labels.all_touched,
        ))  # fmt: skip
    return found


def file_sources(
    images: Sequence[str | Path], labels: Sequence[str | Path] | str | Path | None, *, field_name: str | None,
    nodata: float | None, mask: str | Path | None, label_images: bool, events: Events,
) -> list[Source]:  # fmt: skip
    """The scenes of files. `labels`: polygons or a class raster on the images' grid; None: those of manifests, or with
    `label_images` the images are class rasters themselves. Ids are those of the files; texts are numbered from 1 in
    alphabetical order. `nodata` stands in where a file has no tag; `mask` is a raster whose 0 and nodata are left out.

    Raises DataError for files that cannot be used, ConfigError where several label files are named.
    """
    files = label_files(labels)
    if len(files) > 1:
        raise ConfigError("labels-many", "labels", "points are drawn from one file of labels", "join them, or write a manifest")
    named = bool(files) or any(Path(i).suffix.lower() in _MANIFESTS for i in images)
    plain = [Scene(p.stem, p, p if label_images else None) for p in expand_inputs(images, SUFFIXES)] if not named else []
    scenes = plain or label_scenes(images, files)
    legend = _found_legend([s for s in scenes if s.labels is not None and s.labels.suffix.lower() in vector.SUFFIXES], field_name)
    return [_file_source(s, legend, field_name, nodata, None if mask is None else Path(mask), events) for s in scenes]


def _file_source(
    scene: Scene, legend: Legend | None, field_name: str | None, nodata: float | None, mask: Path | None, events: Events
) -> Source:
    info = image_info(scene.image)
    alone = scene.labels == scene.image
    reader = None if alone else image_reader(scene.image, nodata_value=nodata)
    source = Source(
        scene.name, info.grid, info.block[0], [*image_files(scene.image), *scene.label_files, *([] if mask is None else [mask])], None,
        None if reader is None else _valid(reader), values=1 if reader is None else len(reader.indexes),
    )  # fmt: skip
    if mask is not None:
        source = replace(source, valid=_masked(source, mask))
    if scene.labels is None:
        return source
    if scene.labels.suffix.lower() not in vector.SUFFIXES:
        return replace(source, classes=_of_values(scene.labels, info.grid, nodata if alone else None))
    assert legend is not None
    own = replace(scene, field=field_name or scene.field)
    labels = open_labels(own, info.grid, legend, LabelsSpec(), events, alone=True)
    return replace(source, classes=_of_indices(labels, legend), labels=labels, legend=legend,
                   names=dict(zip(legend.ids, legend.names, strict=True)))  # fmt: skip


def _valid(reader: Reader) -> Callable[[Window], NDArray[np.bool_]]:
    return lambda window: reader.read(window)[1]


def _masked(source: Source, mask: Path) -> Callable[[Window], NDArray[np.bool_]]:
    """Where the image has data and a mask of its size is neither 0 nor nodata."""
    reader, valid = RasterReader(mask, [1]), source.valid
    if reader.grid.shape != source.grid.shape:
        raise off_grid(mask, reader.grid, source.inputs[0], source.grid)

    def of(window: Window) -> NDArray[np.bool_]:
        values, good = reader.read(window)
        inside = good & (values[0] != 0)
        return inside if valid is None else inside & valid(window)

    return of


def _of_indices(labels: Labels, legend: Legend) -> Callable[[Window], Classed]:
    def of(window: Window) -> Classed:
        indices = labels.read(window)
        return legend.to_ids(indices), indices != legend.ignore

    return of


def _of_values(path: Path, grid: Grid, nodata: float | None) -> Callable[[Window], Classed]:
    """The values of a class raster as they are, but for its nodata tag (or `nodata` where it has none)."""
    values = LabelValues(path)
    if not on_grid(values.info.grid, grid):
        raise off_grid(path, values.info.grid, path, grid)
    if values.info.count > 1:
        raise DataError("label-image", path, f"has {values.info.count} bands: a class raster has one", "name the labels by --labels")
    empty = values.info.nodata[0] if values.info.nodata[0] is not None else nodata

    def of(window: Window) -> Classed:
        found = values.read(window)
        known = np.ones(found.shape, bool) if empty is None or empty != empty else found != empty
        if found.dtype.kind == "f":
            known &= ~np.isnan(found)
            if (found[known] % 1 != 0).any():
                raise DataError("label-image", path, "holds numbers that are not whole: it is no class raster",
                                "name the labels by --labels, or draw a grid: --strategy grid")  # fmt: skip
            found = np.where(known, found, 0).astype(np.int64)
        return found, known

    return of


def _region_splits(project: Project, scene: int) -> Callable[[Window], NDArray[np.int8]]:
    def of(window: Window) -> NDArray[np.int8]:
        out = np.full(window.shape, -1, np.int8)
        for region in project.regions[scene]:
            out[region.mask(window)] = SPLITS.index(region.split)
        return out

    return of


def _found_legend(scenes: Sequence[Scene], field_name: str | None) -> Legend | None:
    """The classes of the values of a field in all vector files; without one, of a single class 1."""
    values: set[Any] = set()
    for path, layer, own in dict.fromkeys((f, s.layer, s.field) for s in scenes for f in s.label_files):
        fields = vector.vector_info(path, layer).fields
        name = field_name or own or next((f for f in fields if f.lower() == "class"), None)
        found = vector.read_features(path, layer=layer, field=name).values if name else None
        values |= {1} if found is None else {v for v in found.tolist() if v is not None and v == v}
    if not scenes:
        return None
    if len(values) > MOST_VALUES:
        raise DataError("field-values", str(scenes[0].labels), f"the field holds {len(values):,} values", "name the field of the class")
    return _legend(values)


def _legend(values: set[Any]) -> Legend:
    numbers = {v: int(float(v)) for v in values if _whole(v)}
    texts = sorted(str(v) for v in values if v not in numbers)
    free = (i for i in range(1, 65535) if i not in numbers.values())
    named: dict[int, tuple[str, tuple[int | str, ...]]] = {i: (str(i), (i, str(i))) for i in sorted(set(numbers.values()))}
    named |= {i: (t, (t,)) for i, t in zip(free, texts, strict=False)}
    if len(named) < 2:
        spare = 0 if 0 not in named else 1
        named[spare] = ("none", ("",))  # a class table has two classes; no value stands for this one
    colours = palette(len(named))
    entries = [ClassEntry(i, n, c, s) for (i, (n, s)), c in zip(sorted(named.items()), colours, strict=True)]
    return Legend(tuple(entries), unlabelled="ignore")


def _whole(value: Any) -> bool:
    try:
        return float(value).is_integer()
    except (TypeError, ValueError):
        return False
