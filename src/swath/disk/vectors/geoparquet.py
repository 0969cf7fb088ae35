"""GeoParquet through pyarrow: the header, and geometries with one field, read in batches of rows.

What the `geo` metadata says holds: the primary column, WKB, the CRS (none stated: OGC:CRS84; null: none), coordinates as
x, y in that order whatever the CRS says. Groups of rows whose covering lies off the wanted place are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from swath.core.errors import ConfigError, DataError
from swath.core.grid import Bounds

SUFFIXES = {".parquet", ".geoparquet"}
_BATCH = 65_536  # rows
_FIX = "write it anew as GeoParquet with WKB, or as a GeoPackage: ogr2ogr out.gpkg IN"


@dataclass(frozen=True)
class Header:
    """What the metadata of a file says. `covering`: paths of the columns with left, bottom, right and top, if any."""

    geometry: str
    kinds: tuple[str, ...]
    fields: tuple[str, ...]
    crs: str | None
    rows: int
    bounds: Bounds | None
    covering: tuple[str, ...] | None


def is_geoparquet(path: Path) -> bool:
    """True where the name says so."""
    return path.suffix.lower() in SUFFIXES


def read_header(path: Path, file: Path) -> Header:
    """The header of `file`, called `path` in errors. Raises DataError, ConfigError where pyarrow is missing."""
    with _opened(path, file) as source:
        return _header(path, source)


def read_rows(
    path: Path, file: Path, field: str | None, bounds: Bounds | None
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any] | None]:
    """Geometries (n,) that touch `bounds`, their row numbers, and the values of a field. Raises DataError."""
    shapes, rows, values = [np.empty(0, object)], [np.empty(0, np.int64)], []
    with _opened(path, file) as source:
        header = _header(path, source)
        wanted = [header.geometry] + ([field] if field else [])
        for first, batch in _batches(source, wanted, header.covering, bounds):
            wkb = batch.column(header.geometry).to_numpy(zero_copy_only=False)
            found = shapely.force_2d(geometries(wkb))
            keep = np.ones(len(found), bool) if bounds is None else _touch(found, bounds)
            shapes.append(found[keep])
            rows.append(first + np.flatnonzero(keep))
            if field:
                values.append(_plain(batch.column(field))[keep])
    column = None if field is None else np.concatenate(values) if values else np.empty(0, object)
    return np.concatenate(shapes), np.concatenate(rows), column


def geometries(wkb: NDArray[Any]) -> NDArray[Any]:
    """Geometries (n,) of WKB, None where it is none; coordinates that are no numbers are kept for `nowhere` to find."""
    with np.errstate(invalid="ignore"):
        return np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), object)


def read_columns(path: Path, file: Path, most: int) -> list[NDArray[Any]]:
    """The values of all fields in the first `most` rows. Raises DataError."""
    with _opened(path, file) as source:
        fields = list(_header(path, source).fields)
        parts: list[list[NDArray[Any]]] = [[] for _ in fields]
        for first, batch in _batches(source, fields, None, None) if fields else ():
            if first >= most:
                break
            for part, name in zip(parts, fields, strict=True):
                part.append(_plain(batch.column(name))[: most - first])
        return [np.concatenate(p) if p else np.empty(0, object) for p in parts]


@contextmanager
def _opened(path: Path, file: Path) -> Iterator[Any]:
    if find_spec("pyarrow") is None:
        raise ConfigError("extra-missing", path, "GeoParquet is read by pyarrow, which is not installed",
                          "pip install pyarrow, or write a GeoPackage: ogr2ogr out.gpkg IN")  # fmt: skip
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as source:
            yield source
    except (ArrowException, OSError) as e:
        text = " ".join(str(e).split()).replace(str(file), path.name)[:160]
        raise DataError("vector-unreadable", path, f"cannot be read ({text})", "is it a whole Parquet file?") from e


def _header(path: Path, source: Any) -> Header:
    schema = source.schema_arrow
    geo, name = _geo(path, schema)
    told = geo["columns"][name]
    if str(told.get("encoding", "WKB")).upper() != "WKB":
        raise DataError("vector-format", path, f"its geometries are encoded as {str(told['encoding'])[:40]}, not WKB", _FIX)
    kind = schema.field(name).type
    storage = getattr(kind, "storage_type", kind)
    if str(storage) not in ("binary", "large_binary", "binary_view"):
        raise DataError("vector-format", path, f"its column '{name}' holds {str(storage)[:40]}, no WKB", _FIX)
    paths = _covering(told)
    hidden = {*geo["columns"], *({paths[0].partition(".")[0]} if paths else ())}
    fields = tuple(f.name for f in schema if f.name not in hidden and not f.type.num_fields)
    kinds = tuple(str(k).removesuffix(" Z") for k in told.get("geometry_types") or ())
    return Header(name, kinds, fields, _crs(path, told), source.metadata.num_rows, _bounds(told), paths)


def _geo(path: Path, schema: Any) -> tuple[dict[str, Any], str]:
    """The `geo` metadata and the name of the primary column."""
    text = (schema.metadata or {}).get(b"geo")
    if text is None:
        raise DataError("vector-format", path, "is Parquet without `geo` metadata: nothing says where its geometries are", _FIX)
    try:
        geo = json.loads(text)
        name = geo["primary_column"]
        if not isinstance(geo["columns"][name], dict):
            raise TypeError("no column metadata")
    except (ValueError, KeyError, TypeError) as e:
        raise DataError("vector-unreadable", path, "its `geo` metadata names no primary column", _FIX) from e
    if schema.get_field_index(name) < 0:
        raise DataError("vector-unreadable", path, f"has no column '{name}', which its `geo` metadata names", _FIX)
    return geo, name


def _crs(path: Path, told: dict[str, Any]) -> str | None:
    """The stated system: PROJJSON, or the text that files before version 0.5 hold."""
    stated = told.get("crs", "OGC:CRS84")
    if stated is None:
        return None
    try:
        crs = CRS.from_json_dict(stated) if isinstance(stated, dict) else CRS.from_user_input(stated)
    except CRSError as e:
        raise DataError("crs-unknown", path, "its coordinate system is not understood", "assign one and write it anew") from e
    return str(crs.to_wkt())


def _bounds(told: dict[str, Any]) -> Bounds | None:
    """The stated extent, where it is one: two corners, the left one first."""
    box = told.get("bbox")
    if not isinstance(box, list) or len(box) not in (4, 6) or not all(isinstance(v, int | float) for v in box):
        return None
    half = len(box) // 2
    left, bottom, right, top = float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    return (left, bottom, right, top) if left <= right and bottom <= top else None


def _covering(told: dict[str, Any]) -> tuple[str, ...] | None:
    box = (told.get("covering") or {}).get("bbox") or {}
    paths: list[Any] = [box.get(side) for side in ("xmin", "ymin", "xmax", "ymax")]
    fit = all(isinstance(p, list) and p and all(isinstance(part, str) for part in p) for p in paths)
    return tuple(".".join(p) for p in paths) if fit else None


def _batches(
    source: Any, columns: list[str], covering: tuple[str, ...] | None, bounds: Bounds | None
) -> Iterator[tuple[int, Any]]:
    """(number of the first row, rows), without the groups that lie off the bounds."""
    first = 0
    for group in range(source.num_row_groups):
        told = source.metadata.row_group(group)
        if bounds is None or covering is None or not _is_off(told, covering, bounds):
            row = first
            for batch in source.iter_batches(_BATCH, row_groups=[group], columns=columns):
                yield row, batch
                row += batch.num_rows
        first += told.num_rows


def _is_off(group: Any, covering: tuple[str, ...], bounds: Bounds) -> bool:
    """True where the statistics of a group of rows say that none touches the bounds."""
    known: dict[str, Any] = {(c := group.column(i)).path_in_schema: c.statistics for i in range(group.num_columns)}
    sides: list[Any] = [known.get(path) for path in covering]
    if not all(s is not None and s.has_min_max for s in sides):
        return False
    left, bottom, right, top = sides[0].min, sides[1].min, sides[2].max, sides[3].max
    return bool(left > bounds[2] or right < bounds[0] or bottom > bounds[3] or top < bounds[1])


def _touch(shapes: NDArray[Any], bounds: Bounds) -> NDArray[np.bool_]:
    """(n,) where the box of a geometry touches the bounds; null and empty ones have none."""
    left, bottom, right, top = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = (left <= bounds[2]) & (right >= bounds[0]) & (bottom <= bounds[3]) & (top >= bounds[1])
    return inside


def _plain(column: Any) -> NDArray[Any]:
    """The values of a column: numbers (NaN for null among them), else objects."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.dictionary_decode()
    elif types.is_decimal(kind):
        column = column.cast("float64")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
