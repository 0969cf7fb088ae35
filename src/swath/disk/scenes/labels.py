"""Labels of a scene as class indices on the image's grid, whatever they were: polygons, class rasters, colour masks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import Legend, is_missing, unknown_values
from swath.core.windows import Window
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.point_labels import PointLabels
from swath.disk.scenes.raster_labels import RasterLabels, refuse_disjoint
from swath.disk.vectors import vector
from swath.disk.vectors.burning import OnPixels
from swath.disk.vectors.points import holds_points
from swath.specs import LabelsSpec


class Labels(Protocol):
    """Class indices of any window of a scene."""

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w) of the legend's dtype; `legend.ignore` where nothing counts and beyond the edge."""
        ...


def open_labels(
    scene: Scene, grid: Grid, legend: Legend, spec: LabelsSpec, events: Events, *, alone: bool = False
) -> Labels:
    """The labels of a scene on its image's grid. Raises DataError.

    `alone`: no other scene has this vector file, so polygons that all lie elsewhere are a mistake, not a scene without.
    """
    if scene.labels is None:
        raise DataError("labels-none", scene.name, "the scene has no labels", "fill the manifest's column `labels`")
    layer, files = scene.layer or spec.layer, scene.label_files
    vectors = [f.suffix.lower() in vector.SUFFIXES for f in files]
    if len(files) > 1 and not all(vectors):
        raise DataError("labels-many", files[vectors.index(False)], "is a label raster and joined with other files",
                        "name one raster, or vectors")  # fmt: skip
    points = [is_vector and holds_points(f, layer) for f, is_vector in zip(files, vectors, strict=True)]
    if len(files) > 1 and any(points):
        raise DataError("labels-many", files[points.index(True)], "holds points and is joined with other files",
                        "join them into one layer: ogr2ogr -append")  # fmt: skip
    base: Labels
    if points[0]:
        base = PointLabels(scene, scene.labels, grid, legend, layer)
    elif vectors[0]:
        base = VectorLabels(scene, grid, legend, spec, events)
        if alone and len(base.geometry) == 0:
            for file in files:
                _refuse_elsewhere(file, layer, grid)
    else:
        base = RasterLabels(scene.labels, grid, legend, events)
    return base if scene.aoi is None else InsideArea(base, scene.aoi, grid, legend.ignore, events)


class VectorLabels:
    """Polygons burnt on windows: pixel centres (or all touched), later polygons over earlier ones.

    Overlaps are won by the higher class id, or by the larger value of the field that `labels.priority` names, whatever
    file a polygon is of; among equal ones by the later.
    """

    def __init__(self, scene: Scene, grid: Grid, legend: Legend, spec: LabelsSpec, events: Events) -> None:
        self.grid, self.legend, self.all_touched = grid, legend, spec.all_touched
        layer = scene.layer or spec.layer
        parts = [_burnable(replace(scene, labels=f, further=(), layer=layer), grid, legend, spec, events) for f in scene.label_files]
        geometry, indices, fids = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
        order = _burn_order(legend, indices, [rank for part in parts for rank in part[3]], spec.priority)
        self.geometry, self.indices, self.fids = geometry[order], indices[order], fids[order]
        self.shapes = OnPixels(self.geometry, grid)
        self.extents = [self._extent(part[0]) for part in parts] if spec.extent == "labels" else None

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        legend, inside = self.legend, window.clip(*self.grid.shape)
        out = np.full(window.shape, legend.ignore, legend.index_dtype)
        if inside.area == 0:
            return out
        burnt = np.full(inside.shape, legend.fill, legend.index_dtype)
        self.shapes.burn(inside, self.indices, burnt, all_touched=self.all_touched)
        if self.extents is not None:
            burnt = _only(burnt, self.extents, inside, legend.ignore)
        out[inside.slices(window)] = burnt
        return out

    def _extent(self, geometry: NDArray[Any]) -> Window:
        """The box of a file's polygons."""
        return self.grid.window_of(tuple(shapely.total_bounds(geometry))) if len(geometry) else Window(0, 0, 0, 0)


class InsideArea:
    """Labels that count only inside the polygons of an area of interest."""

    def __init__(self, base: Labels, aoi: Path, grid: Grid, ignore: int, events: Events) -> None:
        self.base, self.grid, self.ignore = base, grid, ignore
        found = vector.repaired(vector.features_on_grid(aoi, grid), "fix", aoi, events)
        if len(found) == 0:
            raise DataError("aoi-disjoint", aoi, "no polygon touches the image", "check the file and its CRS")
        self.area = OnPixels(np.array([shapely.union_all(found.geometry)], object), grid)

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        out = self.base.read(window)
        inside = np.zeros(window.shape, np.uint8)
        self.area.burn(window, np.ones(1, np.uint8), inside)
        out[inside == 0] = self.ignore
        return out


def class_field(scene: Scene, legend: Legend) -> str | None:
    """The vector field with the class: the config's, the manifest's, or `class` where the layer has it."""
    if legend.field or scene.field:
        return legend.field or scene.field
    assert scene.labels is not None
    fields = vector.vector_info(scene.labels, scene.layer).fields
    found = next((f for f in fields if f.lower() == "class"), None)
    foreground = [i for i in legend.ids if i != 0]
    if found is None and len(foreground) > 1:
        raise DataError("field-none", scene.labels, f"which field holds the class? It has {', '.join(fields) or 'none'}",
                        "write classes.field=NAME")  # fmt: skip
    return found


def class_indices(features: vector.Features, legend: Legend, where: object, events: Events) -> NDArray[np.int64]:
    """The class index of each feature; without a field every feature is the one foreground class. One without a value
    in the field is ignored, and counted.
    """
    if features.values is None:
        only = next(i for i, c in enumerate(legend.classes) if c.id != 0)
        return np.full(len(features), only, np.int64)
    values = ["" if is_missing(v) else v if isinstance(v, Hashable) else str(v) for v in features.values.tolist()]
    found = {value: legend.ignore if value == "" else legend.match(value) for value in dict.fromkeys(values)}
    unknown = [v for v, i in found.items() if i is None]
    if unknown:
        raise unknown_values(unknown, where, legend)
    events.count("feature without a class ignored", values.count(""))
    return np.array([found[v] for v in values], np.int64)


def _refuse_elsewhere(path: Path, layer: str | None, image: Grid) -> None:
    """Nothing, or a DataError where a layer has features and all of them lie off the image."""
    info = vector.vector_info(path, layer)
    if info.bounds is not None:
        refuse_disjoint(path, info.bounds, info.crs, image)


def _burnable(
    scene: Scene, grid: Grid, legend: Legend, spec: LabelsSpec, events: Events
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64], list[Any]]:
    """The usable polygons of a file with their class indices, feature ids, and ranks where a field gives them."""
    assert scene.labels is not None
    features = vector.features_on_grid(scene.labels, grid, layer=scene.layer, field=class_field(scene, legend))
    features = vector.repaired(features, spec.invalid, scene.labels, events)
    indices = class_indices(features, legend, scene.labels, events)
    ranks: list[Any] = []
    if spec.priority != "id":
        found = vector.features_on_grid(scene.labels, grid, layer=scene.layer, field=spec.priority)
        assert found.values is not None
        known = dict(zip(found.fids.tolist(), found.values.tolist(), strict=True))
        ranks = [known[fid] for fid in features.fids.tolist()]
    return features.geometry, indices, features.fids, ranks


def _burn_order(legend: Legend, indices: NDArray[np.int64], ranks: list[Any], priority: str) -> NDArray[np.int64]:
    """The order in which features are burnt: the last one wins; equal ones keep the files' order."""
    if priority != "id":

        def above(i: int) -> tuple[bool, Any, int]:
            """A missing rank lies below all others."""
            known = not is_missing(ranks[i])
            return known, ranks[i] if known else 0, i

        try:
            return np.array(sorted(range(len(ranks)), key=above), np.int64)
        except TypeError as e:
            raise DataError("labels-priority", priority, "holds numbers in one file and texts in another", "write one kind") from e
    ids = np.array([*legend.ids], np.int64)
    keys = np.where(indices < len(legend), ids[np.minimum(indices, len(legend) - 1)], -1)
    return np.argsort(keys, kind="stable")


def _only(burnt: NDArray[Any], extents: Sequence[Window], window: Window, ignore: int) -> NDArray[Any]:
    out = np.full_like(burnt, ignore)
    for extent in extents:
        part = extent & window
        if part.area:
            out[part.slices(window)] = burnt[part.slices(window)]
    return out
