"""Polygons of vector files, through pyogrio (GeoParquet: pyarrow): guarded reading, repair, reprojection."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray

from swath.core.errors import DataError, did_you_mean
from swath.core.events import Events
from swath.core.grid import Bounds, Grid
from swath.disk.publish import require_plain
from swath.disk.rasters.crs import crs_name, parse_crs, same_place, transform_bounds, transformer, turns
from swath.disk.remote.access import location
from swath.disk.remote.download import local_copy
from swath.disk.vectors import geoparquet
from swath.disk.vectors.shapefile import require_index, text_encoding

SUFFIXES = {".gpkg", ".shp", ".geojson", ".json", ".fgb", ".geojsonl", ".kml", ".gml", ".sqlite", *geoparquet.SUFFIXES}
_MAGIC = {".gpkg": b"SQLite format 3\0", ".sqlite": b"SQLite format 3\0"}


@dataclass(frozen=True)
class VectorInfo:
    """What a vector layer's header says."""

    path: Path
    driver: str
    layer: str
    layers: tuple[str, ...]
    geometry: str | None
    features: int
    fields: tuple[str, ...]
    crs: str | None
    bounds: Bounds | None


@dataclass(frozen=True)
class Features:
    """Geometries (n,) with their feature ids and the values of one field (None without)."""

    geometry: NDArray[Any]
    fids: NDArray[np.int64]
    values: NDArray[Any] | None
    crs: str | None

    def __len__(self) -> int:
        return len(self.geometry)


def file_state(path: Path) -> tuple[tuple[int, int, int], ...]:
    """(number, time, size) of a file and of those that belong to it: what tells that it is as it was when it was read before."""
    file = local_copy(path)
    parts = [file, *(file.with_suffix(s) for s in (".dbf", ".shx", ".prj", ".cpg") if file.suffix.lower() == ".shp")]
    parts += [Path(f"{file}-wal")] if file.suffix.lower() == ".gpkg" else []  # what SQLite has not yet written into the file
    found = [p.stat() for p in parts if p.exists()]
    return tuple((f.st_ino, f.st_mtime_ns, f.st_size) for f in found)


def vector_info(path: str | Path, layer: str | None = None) -> VectorInfo:
    """The header of a vector layer (default: the first), kept as long as the file does not change. Raises DataError."""
    path = location(path)
    _guard(path, local_copy(path))
    return _header(path, layer, file_state(path))


@lru_cache(maxsize=256)
def _header(path: Path, layer: str | None, state: object) -> VectorInfo:
    file = local_copy(path)
    if geoparquet.is_geoparquet(path):
        return _parquet_info(path, file, layer)
    require_plain(file, DataError)
    from pyogrio import list_layers, read_info
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curves and measured geometries are told of by `prepare`
            layers = tuple(str(name) for name, _ in list_layers(file))
            name = _layer(path, layers, layer)
            info = read_info(file, layer=name, encoding=text_encoding(file), force_feature_count=True, force_total_bounds=True)
    except (DataSourceError, DataLayerError) as e:
        raise _unreadable(path, e) from e
    bounds = info["total_bounds"]
    box: Bounds | None = None
    if bounds is not None and np.isfinite(bounds).all():
        left, bottom, right, top = (float(b) for b in bounds)
        box = left, bottom, right, top
    return VectorInfo(
        path, info["driver"], name, layers, info["geometry_type"], int(info["features"]),
        tuple(str(f) for f in info["fields"]), info["crs"], box,
    )  # fmt: skip


def read_features(
    path: str | Path, *, layer: str | None = None, field: str | None = None, bounds: Bounds | None = None
) -> Features:
    """The features of a layer that touch `bounds` (in the layer's CRS), with the values of `field`.

    Raises DataError where the file cannot be read or has no such field (naming those it has).
    """
    info = vector_info(path, layer)
    if field is not None and field not in info.fields:
        raise DataError("field-missing", f"{path}", f"has no field '{field}'", did_you_mean(field, info.fields))
    if info.geometry is None:
        raise DataError("vector-no-geometry", path, f"layer '{info.layer}' holds no geometries",
                        f"name another layer; layers are {', '.join(info.layers)}")  # fmt: skip
    if geoparquet.is_geoparquet(info.path):
        shapes, rows, values = geoparquet.read_rows(info.path, local_copy(info.path), field, bounds)
        return Features(shapes, rows, values, info.crs)
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read

    file = local_copy(info.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curves and measured geometries are told of by `prepare`
            meta, fids, wkb, data = read(file, layer=info.layer, columns=[field] if field else [], bbox=bounds, return_fids=True,
                                         force_2d=True, encoding=text_encoding(file))  # fmt: skip
    except (DataSourceError, DataLayerError, ValueError) as e:
        raise _unreadable(info.path, e) from e
    geometry = np.empty(0, object) if wkb is None else geoparquet.geometries(wkb)
    return Features(geometry, np.asarray(fids, np.int64), data[0] if field else None, meta["crs"])


def without_geometry(path: Path, layer: str | None = None) -> NDArray[np.int64]:
    """The ids of features whose geometry is null or empty: they lie nowhere, so no window meets them."""
    info = vector_info(path, layer)
    if geoparquet.is_geoparquet(path):
        found = read_features(path)
        return found.fids[nowhere(found.geometry)]
    if info.geometry is None:
        return np.empty(0, np.int64)
    from pyogrio import read_bounds

    fids, bounds = read_bounds(local_copy(path), layer=info.layer)
    return np.asarray(fids, np.int64)[np.isnan(bounds).any(0)]


def features_on_grid(
    path: str | Path, grid: Grid, *, layer: str | None = None, field: str | None = None, crs: str | None = None
) -> Features:
    """The features that may touch a raster's grid, in the grid's CRS.

    The layer is reprojected unless its CRS puts every corner of the grid at the same place (to a hundredth of a
    pixel); where a grid in degrees goes on beyond the date line, so does the layer. A layer or grid without CRS is an
    error unless neither has one.
    """
    info = vector_info(path, layer)
    own = crs or info.crs
    if (own is None) != (grid.crs is None):
        which = "the vector has no CRS" if own is None else "the image has no CRS"
        raise DataError("crs-missing", path, f"{which}, the other has {crs_name(own or grid.crs)}",
                        "assign the right one, such as with ogr2ogr -a_srs or gdal_edit.py -a_srs")  # fmt: skip
    if own is None or grid.crs is None or same_place(own, grid.crs, grid.bounds, 0.01 * min(grid.pixel_size)):
        left, bottom, right, top = grid.bounds
        parts = [read_features(path, layer=layer, field=field, bounds=(left - t, bottom, right - t, top)) for t in turns(grid)]
        shapes = np.concatenate([_moved(p.geometry, t) for p, t in zip(parts, turns(grid), strict=True)])
        values = None if parts[0].values is None else np.concatenate([p.values for p in parts if p.values is not None])
        return Features(shapes, np.concatenate([p.fids for p in parts]), values, grid.crs)
    parse_crs(own, str(path))
    near = _surroundings(transform_bounds(grid.bounds, grid.crs, own))
    found = read_features(path, layer=layer, field=field, bounds=None if near is None else near.bounds)
    near_ones = found if near is None else _cut(found, near)
    moved = _projected(near_ones.geometry, own, grid.crs)
    lost = near_ones.fids[np.isinf(shapely.bounds(moved)).any(1)]
    if len(lost):
        shown = ", ".join(str(f) for f in lost[:8])
        raise DataError("geometry-beyond", path, f"features (ids {shown}) reach to where {crs_name(grid.crs)} ends",
                        "cut them to the surroundings of the image: ogr2ogr -clipsrc")  # fmt: skip
    return Features(moved, near_ones.fids, near_ones.values, grid.crs)


def nowhere(geometry: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where a geometry is null or empty, or has a coordinate that is no finite number, or has no finite square."""
    missing: NDArray[np.bool_] = shapely.is_missing(geometry) | shapely.is_empty(geometry)
    points, of = shapely.get_coordinates(geometry, return_index=True)
    missing[np.unique(of[~(np.abs(points) < 1e150).all(1)])] = True
    return missing


def repaired(features: Features, policy: str, path: str | Path, events: Events) -> Features:
    """The features with usable areas: null, empty and infinite ones dropped, invalid ones fixed, skipped or refused; counted."""
    usable = ~nowhere(features.geometry)
    events.count("null or empty geometry skipped", int((~usable).sum()))
    areal = shapely.get_dimensions(features.geometry) >= 2
    events.count("point or line skipped", int((usable & ~areal).sum()))
    usable &= areal
    bad = usable & ~shapely.is_valid(features.geometry)
    geometry = features.geometry.copy()
    if bad.any() and policy == "error":
        shown = ", ".join(str(f) for f in features.fids[bad][:8])
        raise DataError("geometry-invalid", path, f"{int(bad.sum())} invalid geometries (feature ids {shown})",
                        "repair them, or set labels.invalid=fix")  # fmt: skip
    if policy == "skip":
        events.count("invalid geometry skipped", int(bad.sum()))
        usable &= ~bad
    else:
        geometry[bad] = shapely.make_valid(geometry[bad])
        flat = bad & (shapely.get_dimensions(geometry) < 2)
        events.count("invalid geometry without area skipped", int(flat.sum()))
        events.count("invalid geometry repaired", int((bad & ~flat).sum()))
        usable &= ~flat
    mixed = usable & (shapely.get_type_id(geometry) == shapely.GeometryType.GEOMETRYCOLLECTION)
    geometry[mixed] = [_areas(g) for g in geometry[mixed]]
    values = None if features.values is None else features.values[usable]
    return Features(geometry[usable], features.fids[usable], values, features.crs)


def _areas(collection: Any) -> Any:
    """The polygons of a collection, without the points and lines that a repair left behind or that came along."""
    parts = shapely.get_parts(collection)
    return shapely.union_all(parts[shapely.get_dimensions(parts) >= 2])


def _surroundings(bounds: Bounds) -> Any:
    """The box around a grid, three times as wide and tall, in two parts across the date line; None if it has no end."""
    if not np.isfinite(bounds).all():
        return None
    left, bottom, right, top = bounds
    wide, tall = (right - left) if left <= right else (right - left + 360), top - bottom
    low, high = bottom - tall, top + tall
    if left <= right:
        return shapely.box(left - wide, low, right + wide, high)
    return shapely.MultiPolygon([shapely.box(left - wide, low, 180, high), shapely.box(-180, low, right + wide, high)])


def _cut(features: Features, near: Any) -> Features:
    """The features with the valid geometries cut to what is near: far vertices may have no place in another system."""
    shapely.prepare(near)
    geometry = features.geometry.copy()
    far = shapely.is_valid(geometry) & ~shapely.covered_by(geometry, near)
    geometry[far] = shapely.intersection(geometry[far], near)
    keep = ~far | ~shapely.is_empty(geometry)
    values = None if features.values is None else features.values[keep]
    return Features(geometry[keep], features.fids[keep], values, features.crs)


def _moved(geometry: NDArray[Any], east: float) -> NDArray[Any]:
    return np.asarray(shapely.transform(geometry, lambda xy: xy + np.array([east, 0.0])), object) if east else geometry


def _projected(geometry: NDArray[Any], source: str, target: str) -> NDArray[Any]:
    move = transformer(source, target)

    def points(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = move.transform(xy[:, 0], xy[:, 1])
        return np.column_stack([x, y])

    return shapely.transform(geometry, points)


def _parquet_info(path: Path, file: Path, layer: str | None) -> VectorInfo:
    found = geoparquet.read_header(path, file)
    kinds, box = found.kinds, found.bounds
    if found.rows and (box is None or not kinds):
        shapes = geoparquet.read_rows(path, file, None, None)[0]
        kinds = kinds or tuple({g.geom_type for g in shapes if g is not None})
        whole = tuple(float(v) for v in shapely.total_bounds(shapes))
        box = (whole[0], whole[1], whole[2], whole[3]) if np.isfinite(whole).all() else None
    name = _layer(path, (path.stem,), layer)
    return VectorInfo(path, "Parquet", name, (path.stem,), _common_kind(kinds), found.rows, found.fields, found.crs, box)


def _common_kind(kinds: tuple[str, ...]) -> str:
    """The type that holds all: `MultiPolygon` for polygons and multipolygons, `Unknown` for others together."""
    single = {k.removeprefix("Multi") for k in kinds}
    if len(single) != 1:
        return "Unknown"
    return f"Multi{single.pop()}" if any(k.startswith("Multi") for k in kinds) else single.pop()


def _layer(path: Path, layers: tuple[str, ...], layer: str | None) -> str:
    if not layers:
        raise DataError("vector-empty", path, "the file has no layers", "export it anew")
    if layer is not None and layer not in layers:
        raise DataError("layer-missing", path, f"has no layer '{layer}'", did_you_mean(layer, layers))
    return layer or layers[0]


def _guard(path: Path, file: Path) -> None:
    if not file.exists():
        raise DataError("file-missing", path, "no such file", "check the path in the manifest or on the command line")
    if file.is_dir() or file.stat().st_size == 0:
        what = "is a directory" if file.is_dir() else "the file is empty"
        raise DataError("vector-unreadable", path, what, "name a whole vector file")
    magic = _MAGIC.get(path.suffix.lower())
    if magic:
        with file.open("rb") as f:
            if f.read(len(magic)) != magic:
                raise DataError("vector-unreadable", path, f"is no {path.suffix[1:]} file inside", "export it anew")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError("vector-format", path, f"'{path.suffix}' is no vector format that Swath reads",
                        "convert it to GeoPackage: ogr2ogr out.gpkg IN")  # fmt: skip
    require_index(path, file)


def _unreadable(path: Path, error: Exception) -> DataError:
    text = " ".join(str(error).split()).replace(str(path), path.name)[:160]
    return DataError("vector-unreadable", path, f"cannot be read ({text})", "is it a whole vector file?")
