"""Points of any vector file, with class, split and scene: what samples are cut around, or sparse labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.legend import Legend, is_missing, unknown_values
from swath.core.selection import pixel_of
from swath.core.splits import SPLIT_OF, SPLITS
from swath.disk.rasters.crs import crs_name, project
from swath.disk.remote.download import local_copy
from swath.disk.vectors import geoparquet, vector
from swath.disk.vectors.shapefile import text_encoding

FIELDS = ("id", "class", "name", "split", "x", "y", "scene")  # a layer that has all of them is one of ours


@dataclass(frozen=True)
class Points:
    """Points of a vector file in its own CRS, (n,) each, in the file's order.

    `ids` are the file's own (column `id`, else the feature id); `indices` the class indices, `ignore` where there is no
    class; `splits` 0..2, -1 where the file names none; `scenes` the scene's name, None where any will do.
    """

    path: Path
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ids: NDArray[np.int64]
    indices: NDArray[np.int64]
    splits: NDArray[np.int64]
    scenes: NDArray[Any]
    systems: NDArray[Any]
    empty: int

    def __len__(self) -> int:
        return len(self.x)

    @property
    def own_splits(self) -> bool:
        """True where the file says to which split points belong."""
        return bool((self.splits >= 0).any())

    def on_grid(
        self, grid: Grid, scene: str | None, reach: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(numbers, rows, columns) of the points that are meant for a scene (None: for any), as pixels of its grid.

        Of those beyond the grid all within `reach` pixels are given, and perhaps others. Raises DataError where only one of
        points and image has a CRS.
        """
        found: list[list[NDArray[np.int64]]] = []
        for crs, named in self._names.items():
            if scene is not None and None not in named and scene not in named:
                continue
            own, xy = self._near(crs, grid, reach)
            mine = np.array([scene is None or s is None or s == scene for s in self.scenes[own].tolist()], bool)
            t = ~grid.transform
            cols, rows = (a * xy[mine, 0] + b * xy[mine, 1] + c for a, b, c in ((t.a, t.b, t.c), (t.d, t.e, t.f)))
            found.append([own[mine], *pixel_of(rows, cols)])
        nothing: NDArray[np.int64] = np.empty(0, np.int64)
        numbers, rows, cols = (np.concatenate([nothing, *column]) for column in (zip(*found, strict=True) if found else ((),) * 3))
        order = np.argsort(numbers, kind="stable")
        return numbers[order], rows[order], cols[order]

    @cached_property
    def _names(self) -> dict[str | None, set[str | None]]:
        """The scenes that points of each coordinate system are meant for."""
        found: dict[str | None, set[str | None]] = {}
        for crs, name in zip(self.systems.tolist(), self.scenes.tolist(), strict=True):
            found.setdefault(crs, set()).add(name)
        return found

    def _near(self, crs: str | None, grid: Grid, reach: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(numbers, coordinates in the CRS of the grid) of the points of a system within `reach` pixels of a grid."""
        if (crs is None) != (grid.crs is None):
            which = "the points have no CRS" if crs is None else "the image has no CRS"
            raise DataError("crs-missing", self.path, f"{which}, the other has {crs_name(crs or grid.crs)}",
                            "assign the right one, such as with ogr2ogr -a_srs or gdal_edit.py -a_srs")  # fmt: skip
        if (crs, grid.crs) not in self._placed:
            self._placed[crs, grid.crs] = self._along_x(crs, grid.crs)
        numbers, xy = self._placed[crs, grid.crs]
        (left, bottom, right, top), wide = grid.bounds, reach * max(grid.pixel_size)
        low, high = np.searchsorted(xy[:, 0], [left - wide, right + wide])
        y = xy[low:high, 1]
        near = low + np.flatnonzero((y >= bottom - wide) & (y <= top + wide))
        return numbers[near], xy[near]

    @cached_property
    def _placed(self) -> dict[tuple[str | None, str | None], tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """What `_along_x` gave: many scenes of one coordinate system ask for it."""
        return {}

    def _along_x(self, crs: str | None, target: str | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(numbers, coordinates) of the points of a system in another one, sorted by x, without those that have no place there."""
        own = np.flatnonzero([s == crs for s in self.systems.tolist()])
        xy = np.column_stack([self.x[own], self.y[own]])
        if crs is not None and target is not None and crs != target:
            try:
                xy = project(xy, crs, target)
            except ProjError as e:
                raise DataError("labels-crs", self.path, f"{crs_name(crs)} cannot be transformed", "check its CRS") from e
        there = np.isfinite(xy).all(1)
        own, xy = own[there], xy[there]
        order = np.argsort(xy[:, 0], kind="stable")
        return own[order], xy[order]


def holds_points(path: Path, layer: str | None = None) -> bool:
    """True for a vector layer whose geometries are points by its header, or by all its features where that says nothing."""
    return _holds_points(path, layer, vector.file_state(path))


@lru_cache(maxsize=64)
def _holds_points(path: Path, layer: str | None, state: object) -> bool:
    geometry = vector.vector_info(path, layer).geometry
    if geometry is None or "Unknown" not in geometry:
        return geometry is not None and geometry.removeprefix("2.5D ").replace("Multi", "").split(" ")[0] == "Point"
    kinds = shapely.get_type_id(vector.read_features(path, layer=layer).geometry)
    there = kinds[kinds >= 0]  # -1: none
    return bool(len(there)) and bool(np.isin(there, (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT)).all())


def read_points(path: Path, legend: Legend, *, layer: str | None = None, field: str | None = None) -> Points:
    """The points of a file; the class is looked up in `field`, the legend's field, or `class`, whichever is there.

    A file of `swath points` is known by its columns: its layers belong together, and its classes are class ids. Of
    polygons and lines the centroid is taken, or where it lies outside a point on them; parts of multi-points are points.
    Raises DataError where the file cannot be read or holds a value that no class stands for. The points are kept for the
    next scene that asks for them, as long as the file does not change.
    """
    return _read(path, legend, layer, field, vector.file_state(path))


@lru_cache(maxsize=2)
def _read(path: Path, legend: Legend, layer: str | None, field: str | None, state: object) -> Points:
    info = vector.vector_info(path, layer)
    ours = layer is None and set(FIELDS) <= set(info.fields)
    chosen = "class" if ours else _class_field(info.fields, field or legend.field)
    parts = [_layer(path, name, chosen, legend, ours=ours) for name in (info.layers if ours else [info.layer])]
    joined = [np.concatenate(column) for column in zip(*[p[:-1] for p in parts], strict=True)]
    x, y, ids, indices, splits, scenes, systems = joined
    return Points(path, x, y, ids, indices, splits, scenes, systems, sum(p[-1] for p in parts))


def _class_field(fields: Sequence[str], wanted: str | None) -> str | None:
    if wanted in fields:
        return wanted
    return next((f for f in fields if f.lower() == "class"), None)


def _layer(path: Path, layer: str, field: str | None, legend: Legend, *, ours: bool) -> tuple[Any, ...]:
    geometry, fids, columns, crs = _table(path, layer)
    x, y, row, empty = _positions(geometry)
    nothing = np.full(len(fids), None, object)
    ids = columns.get("id", fids)
    ids = np.asarray(fids if ids.dtype.kind not in "iu" else ids, np.int64)
    values = columns[field] if field else nothing
    indices = _indices(values, legend, path, ours=ours)
    splits = _splits(columns.get("split", nothing), path)
    scenes = np.asarray(columns["scene"], object) if ours else nothing
    systems = np.full(len(x), crs, object)
    return x, y, ids[row], indices[row], splits[row], scenes[row], systems, empty


def _table(path: Path, layer: str) -> tuple[NDArray[Any], NDArray[np.int64], dict[str, NDArray[Any]], str | None]:
    """The geometries (n,) of a layer, their feature ids, all columns, and the CRS. Raises DataError."""
    file = local_copy(path)
    if geoparquet.is_geoparquet(path):
        header = geoparquet.read_header(path, file)
        geometry, rows, _ = geoparquet.read_rows(path, file, None, None)
        return geometry, rows, dict(zip(header.fields, geoparquet.read_columns(path, file, header.rows), strict=True)), header.crs
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a measured geometry is a point like others
            meta, fids, wkb, data = read(file, layer=layer, return_fids=True, force_2d=True, encoding=text_encoding(file))
    except (DataSourceError, DataLayerError, ValueError) as e:
        text = " ".join(str(e).split())[:160]
        raise DataError("vector-unreadable", path, f"cannot be read ({text})", "is it a whole vector file?") from e
    if wkb is None:
        raise DataError("vector-no-geometry", path, f"layer '{layer}' holds no geometries", "name another layer")
    crs = meta["crs"] if meta["crs"] and "Undefined" not in meta["crs"] else None
    columns = {str(n): v for n, v in zip(meta["fields"], data, strict=True)}
    return geoparquet.geometries(wkb), np.asarray(fids, np.int64), columns, crs


def _positions(geometry: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], int]:
    """(x, y, feature row, number of empty geometries) of one point per geometry, several for multi-points."""
    usable = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    empty = int((~usable).sum())
    row, geometry = np.flatnonzero(usable), geometry[usable]
    if (shapely.get_type_id(geometry) == shapely.GeometryType.MULTIPOINT).any():
        geometry, row = _parts(geometry, row)
    extended = shapely.get_dimensions(geometry) > 0
    shapes = geometry[extended]
    centres = shapely.centroid(shapes)
    astray = ~shapely.intersects(shapes, centres)
    centres[astray] = shapely.point_on_surface(shapes[astray])
    geometry = geometry.copy()
    geometry[extended] = centres
    return shapely.get_x(geometry), shapely.get_y(geometry), row.astype(np.int64), empty


def _parts(geometry: NDArray[Any], row: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The geometries with multi-points taken apart, and their rows."""
    multi = shapely.get_type_id(geometry) == shapely.GeometryType.MULTIPOINT
    parts, of = shapely.get_parts(geometry[multi], return_index=True)
    joined, rows = np.concatenate([geometry[~multi], parts]), np.concatenate([row[~multi], row[multi][of]])
    order = np.argsort(rows, kind="stable")
    return joined[order], rows[order]


def _indices(values: NDArray[Any], legend: Legend, path: Path, *, ours: bool) -> NDArray[np.int64]:
    """Class indices of label values, `ignore` for missing ones; of our own files the values are class ids."""
    found: dict[Any, int | None] = {}
    for value in set(values.tolist()):
        if is_missing(value):
            found[value] = legend.ignore
        elif ours:
            found[value] = legend.ids.index(int(value)) if int(value) in legend.ids else None
        else:
            found[value] = legend.match(value)
    unknown = [v for v, i in found.items() if i is None]
    if unknown:
        raise unknown_values(unknown, path, legend)
    missing = [is_missing(v) for v in values.tolist()]
    return np.array([legend.ignore if gone else found[v] for v, gone in zip(values.tolist(), missing, strict=True)], np.int64)


def _splits(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    out = np.full(len(values), -1, np.int64)
    for value in {v for v in values.tolist() if isinstance(v, str) and v.strip()}:
        word = SPLIT_OF.get(value.strip().lower())
        if word is None:
            raise DataError("points-split", path, f"unknown split '{value}' in the column `split`", "write trn, val or tst")
        out[values == value] = SPLITS.index(word)
    return out
