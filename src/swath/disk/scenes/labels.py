"""Labels of a scene as class indices on the image's grid, whatever they were: polygons, class rasters, colour masks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Bounds, Grid
from swath.core.legend import Legend, unknown_values
from swath.core.threads import PerThread
from swath.core.windows import Window
from swath.disk.rasters import raster
from swath.disk.rasters.crs import crs_name, on_grid
from swath.disk.remote.access import redacted
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.point_labels import PointLabels
from swath.disk.vectors import vector
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
    base: Labels
    if scene.labels.suffix.lower() in vector.SUFFIXES and holds_points(scene.labels, scene.layer or spec.layer):
        base = PointLabels(scene, scene.labels, grid, legend, scene.layer or spec.layer)
    elif scene.labels.suffix.lower() in vector.SUFFIXES:
        base = VectorLabels(scene, grid, legend, spec, events)
        if alone and len(base.geometry) == 0:
            _refuse_elsewhere(scene.labels, scene.layer or spec.layer, grid)
    else:
        base = RasterLabels(scene.labels, grid, legend, events)
    return base if scene.aoi is None else InsideArea(base, scene.aoi, grid, legend.ignore)


class VectorLabels:
    """Polygons burnt on windows: pixel centres (or all touched), later polygons over earlier ones.

    Overlaps are won by the higher class id, or by the larger value of the field that `labels.priority` names.
    """

    def __init__(self, scene: Scene, grid: Grid, legend: Legend, spec: LabelsSpec, events: Events) -> None:
        assert scene.labels is not None
        self.grid, self.legend, self.all_touched = grid, legend, spec.all_touched
        layer = scene.layer or spec.layer
        field = class_field(replace(scene, layer=layer), legend)
        features = vector.features_on_grid(scene.labels, grid, layer=layer, field=field)
        features = vector.repaired(features, spec.invalid, scene.labels, events)
        indices = class_indices(features, legend, scene.labels)
        order = _burn_order(scene, grid, legend, spec, features, indices)
        self.geometry, self.indices, self.fids = features.geometry[order], indices[order], features.fids[order]
        self.tree = shapely.STRtree(self.geometry)
        self.extent = self._extent() if spec.extent == "labels" else None

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        legend, inside = self.legend, window.clip(*self.grid.shape)
        out = np.full(window.shape, legend.ignore, legend.index_dtype)
        if inside.area == 0:
            return out
        place = self.grid.window(inside)
        hits = np.sort(self.tree.query(shapely.box(*place.bounds)))
        burnt = np.full(inside.shape, legend.fill, legend.index_dtype)
        if len(hits):
            shapes = zip(vector.geojson(self.geometry[hits]), self.indices[hits].tolist(), strict=True)
            rasterize(shapes, out=burnt, transform=place.transform, all_touched=self.all_touched)
        if self.extent is not None:
            burnt = _only(burnt, self.extent, inside, legend.ignore)
        out[inside.slices(window)] = burnt
        return out

    def _extent(self) -> Window:
        if len(self.geometry) == 0:
            return Window(0, 0, 0, 0)
        return self.grid.window_of(tuple(shapely.total_bounds(self.geometry)))


class RasterLabels:
    """A label raster on the image's grid; on another grid it is warped by nearest neighbour, without one refused."""

    def __init__(self, path: Path, grid: Grid, legend: Legend, events: Events) -> None:
        self.path, self.grid, self.legend = path, grid, legend
        self.info = raster.raster_info(path)
        self.warp = not on_grid(self.info.grid, grid)
        if self.warp:
            _refuse_unplaced(path, self.info.grid, grid)
            events.count("label raster warped by nearest neighbour")
        self.coloured = bool(legend.colours) and self.info.count >= 3
        self.nodata, self.nodata_is_class = _label_nodata(self.info, legend)
        events.count("nodata tag equal to a class not applied", int(self.nodata_is_class))
        warped = partial(_warped, path, grid, add_alpha=self.info.alpha is None)
        self._handle = PerThread(warped if self.warp else partial(raster.open_dataset, path))

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        inside = window.clip(*self.grid.shape)
        out = np.full(window.shape, self.legend.ignore, self.legend.index_dtype)
        if inside.area:
            values, covered = self._values(inside)
            found = self._from_colours(values) if self.coloured else self._from_values(values, covered)
            found[~covered] = self.legend.ignore
            out[inside.slices(window)] = found
        return out

    def _from_values(self, values: NDArray[Any], covered: NDArray[np.bool_]) -> NDArray[Any]:
        band = values[0]
        empty = np.isnan(band) | ~covered if band.dtype.kind == "f" else ~covered
        if self.nodata is not None and not self.nodata_is_class:
            empty |= band == self.nodata
        out = np.full(band.shape, self.legend.ignore, self.legend.index_dtype)
        out[~empty] = self.legend.from_values(band[~empty], self.path)
        return out

    def _from_colours(self, values: NDArray[Any]) -> NDArray[Any]:
        packed = (values[0].astype(np.int64) << 16) | (values[1].astype(np.int64) << 8) | values[2].astype(np.int64)
        table = {(r << 16) | (g << 8) | b: i for (r, g, b), i in self.legend.colours.items()}
        out = np.full(packed.shape, self.legend.fill, self.legend.index_dtype)
        unknown = []
        for colour in np.unique(packed).tolist():
            if colour in table:
                out[packed == colour] = table[colour]
            elif colour != 0:
                unknown.append(f"#{colour:06x}")
        if unknown:
            raise unknown_values(unknown, self.path, self.legend)
        return out

    def _values(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The raw values (C, h, w) and where the label raster has any (h, w): a warped one may end inside the image."""
        box = RioWindow(window.col, window.row, window.width, window.height)
        handle = self._handle()
        try:
            values = handle.read([1, 2, 3] if self.coloured else [1], window=box)
            covered = np.ones(window.shape, bool)
            if self.warp:
                covered = handle.read(self.info.alpha or handle.count, window=box) > 0
            return values, covered
        except raster.RasterioError as e:
            cause = redacted(str(e.__cause__ or e), self.path)
            raise DataError("raster-corrupt", self.path, f"cannot be read ({cause})", "replace the file") from e


def _warped(path: Path, grid: Grid, *, add_alpha: bool) -> Any:
    """A label raster on the image's grid, with an alpha band that tells what it covers; no nodata tag is applied."""
    return WarpedVRT(raster.open_dataset(path), crs=grid.crs, transform=grid.transform, height=grid.height,
                     width=grid.width, resampling=Resampling.nearest, src_nodata=None, nodata=None,
                     add_alpha=add_alpha, tolerance=1e-6)  # fmt: skip


class InsideArea:
    """Labels that count only inside the polygons of an area of interest."""

    def __init__(self, base: Labels, aoi: Path, grid: Grid, ignore: int) -> None:
        self.base, self.grid, self.ignore = base, grid, ignore
        found = vector.repaired(vector.features_on_grid(aoi, grid), "fix", aoi, Events())
        if len(found) == 0:
            raise DataError("aoi-disjoint", aoi, "no polygon touches the image", "check the file and its CRS")
        self.area = shapely.union_all(found.geometry)

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        out = self.base.read(window)
        transform = self.grid.window(window).transform
        inside = rasterize([(self.area, 1)], out_shape=window.shape, transform=transform, dtype="uint8")
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


def class_indices(features: vector.Features, legend: Legend, where: object) -> NDArray[np.int64]:
    """The class index of each feature; without a field every feature is the one foreground class."""
    if features.values is None:
        only = next(i for i, c in enumerate(legend.classes) if c.id != 0)
        return np.full(len(features), only, np.int64)
    found: dict[Any, int | None] = {}
    for value in set(features.values.tolist()):
        missing = value is None or value != value
        found[value] = legend.ignore if missing else legend.match(value)
    unknown = [v for v, i in found.items() if i is None]
    if unknown:
        raise unknown_values(unknown, where, legend)
    return np.array([found[v] for v in features.values.tolist()], np.int64)


def _refuse_unplaced(path: Path, labels: Grid, image: Grid) -> None:
    if labels.crs is None or image.crs is None:
        raise DataError("labels-grid", path, f"is {labels.width} x {labels.height} pixels, the image "
                        f"{image.width} x {image.height}, and without georeference they cannot be aligned",
                        "give the labels the image's size")  # fmt: skip
    _refuse_disjoint(path, labels.bounds, labels.crs, image)


def _refuse_elsewhere(path: Path, layer: str | None, image: Grid) -> None:
    """Nothing, or a DataError where a layer has features and all of them lie off the image."""
    info = vector.vector_info(path, layer)
    if info.bounds is not None:
        _refuse_disjoint(path, info.bounds, info.crs, image)


def _refuse_disjoint(path: Path, bounds: Bounds, crs: str | None, image: Grid) -> None:
    try:
        placed = bounds if crs is None or image.crs is None else vector.transform_bounds(bounds, crs, image.crs)
    except ProjError as e:
        raise DataError("labels-crs", path, f"{crs_name(crs)} cannot be transformed", "check its CRS") from e
    left, bottom, right, top = placed
    a, b, c, d = image.bounds
    if right <= a or left >= c or top <= b or bottom >= d:
        own, other = (" ".join(f"{x:.10g}" for x in box) for box in (placed, image.bounds))
        raise DataError("labels-disjoint", path, f"covers {own}, the image {other}: they do not overlap",
                        "check the pair and both CRS")  # fmt: skip


def _label_nodata(info: raster.RasterInfo, legend: Legend) -> tuple[float | None, bool]:
    nodata = info.nodata[0]
    if nodata is None or nodata != nodata:
        return None, False
    return nodata, legend.match(nodata) not in (None, legend.ignore) or legend.thresholds


def _burn_order(
    scene: Scene, grid: Grid, legend: Legend, spec: LabelsSpec, features: vector.Features, indices: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The order in which features are burnt: the last one wins; equal ones keep the file's order."""
    if spec.priority != "id":
        assert scene.labels is not None
        ranks = vector.features_on_grid(scene.labels, grid, layer=scene.layer or spec.layer, field=spec.priority)
        assert ranks.values is not None
        rank = dict(zip(ranks.fids.tolist(), ranks.values.tolist(), strict=True))

        def above(i: int) -> tuple[bool, Any, int]:
            """A missing rank (None or NaN) lies below all others."""
            value = rank[features.fids[i]]
            known = value is not None and value == value
            return known, value if known else 0, i

        return np.array(sorted(range(len(features)), key=above), np.int64)
    ids = np.array([*legend.ids], np.int64)
    keys = np.where(indices < len(legend), ids[np.minimum(indices, len(legend) - 1)], -1)
    return np.argsort(keys, kind="stable")


def _only(burnt: NDArray[Any], extent: Window, window: Window, ignore: int) -> NDArray[Any]:
    out = np.full_like(burnt, ignore)
    part = extent & window
    if part.area:
        out[part.slices(window)] = burnt[part.slices(window)]
    return out
