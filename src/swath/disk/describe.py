"""What rasters, maps and vectors say of themselves, as plain JSON values."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.core.legend import Legend
from swath.disk.rasters.crs import crs_name, metres_per_pixel
from swath.disk.rasters.maps import MapInfo, read_map_info
from swath.disk.rasters.raster import RasterInfo, open_raster, raster_info
from swath.disk.rasters.tally import LabelValues, tally
from swath.disk.remote.download import local_copy
from swath.disk.sources.probe import probe, spread_windows
from swath.disk.vectors import geoparquet, vector

FEW_VALUES, READ_FEATURES, READ_PIXELS = 20, 100_000, 20_000_000


def describe_raster(path: Path) -> dict[str, Any]:
    """A raster, or a map if Swath made it."""
    header = raster_info(path)
    seen = probe(path, range(1, header.count + 1), nodata_value=None)
    with open_raster(path) as source:
        overviews = [int(n) for n in source.overviews(1)]
    metres = metres_per_pixel(header.grid)
    found = {
        "kind": "raster",
        "driver": header.driver,
        "grid": header.grid.as_dict(),
        "crs": crs_name(header.grid.crs),
        "bounds": list(header.grid.bounds),
        "metres_per_pixel": None if metres is None else list(metres),
        "bands": [
            {"number": b.number, "name": b.name, "dtype": t, "nodata": _plain(n), **b.range()}
            for b, t, n in zip(seen.bands, header.dtypes, header.nodata, strict=True)
        ],
        "valid_share": seen.valid / seen.looked if seen.looked else None,
        "ranges_exact": seen.whole,
        "block": list(header.block),
        "compression": header.compression,
        "overviews": overviews,
        "alpha": header.alpha,
        "bytes": path.stat().st_size,
    }
    made = read_map_info(path)
    return found if made.legend is None else {**found, **_map(header, made, made.legend)}


def _map(header: RasterInfo, made: MapInfo, legend: Legend) -> dict[str, Any]:
    """What a map says of its classes and of its making."""
    product = (
        "probabilities"
        if header.dtype.startswith("float")
        else "confidence"
        if header.names[0] != "class"
        else "classes"
    )
    tags = {k.lower(): v for k, v in made.tags.items()}
    found: dict[str, Any] = {
        "kind": "map",
        "product": product,
        "model": tags.get("model"),
        "exact": tags.get("exact"),
        "provenance": tags,
    }
    found["classes"] = {c.name: {"id": c.id, "color": c.color} for c in legend.classes}
    if product == "classes":
        windows = spread_windows(header, READ_PIXELS)
        source = LabelValues(header.path)
        counts = tally(source, header.grid, windows)["all"]
        source.close()
        total = sum(n for v, (n, _) in counts.items() if v in legend.ids)
        whole = sum(w.area for w in windows) == header.grid.height * header.grid.width
        for entry in legend.classes:
            pixels, area = counts.get(entry.id, (0, 0.0))
            square = area if whole and math.isfinite(area) and header.grid.crs else None
            found["classes"][entry.name] |= {"share": pixels / total if total else None, "area_m2": square}
    return found


def describe_vector(path: Path) -> dict[str, Any]:
    """A vector file: its layers with fields, and the values of fields that have few."""
    first = vector.vector_info(path)
    layers = [_layer(first if name == first.layer else vector.vector_info(path, name)) for name in first.layers]
    return {"kind": "vector", "driver": first.driver, "layers": layers, "bytes": path.stat().st_size}


def _layer(header: vector.VectorInfo) -> dict[str, Any]:
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read

    file, fields = local_copy(header.path), header.fields
    try:
        if geoparquet.is_geoparquet(header.path):
            columns = geoparquet.read_columns(header.path, file, READ_FEATURES)
        else:
            meta, _, _, columns = read(file, layer=header.layer, read_geometry=False, max_features=READ_FEATURES)
            fields = tuple(str(f) for f in meta["fields"])
    except (DataSourceError, DataLayerError, ValueError) as e:
        raise DataError("vector-unreadable", header.path, f"cannot be read ({e})", "is it a whole vector file?") from e
    return {
        "name": header.layer,
        "features": header.features,
        "geometry": header.geometry,
        "crs": crs_name(header.crs),
        "bounds": None if header.bounds is None else list(header.bounds),
        "fields": [{"name": f, **_field(c)} for f, c in zip(fields, columns, strict=True)],
    }


def _field(column: Any) -> dict[str, Any]:
    """Type of a field, and how often each of its values occurs where they are few texts or integers."""
    kind = {"O": "text", "i": "integer", "u": "integer", "f": "real", "M": "date", "b": "boolean"}.get(
        column.dtype.kind, "other"
    )
    if kind not in ("text", "integer"):
        return {"type": kind, "values": None}
    counts = Counter("null" if v is None else str(v) for v in column.tolist())
    return {"type": kind, "values": dict(counts.most_common()) if len(counts) <= FEW_VALUES else None}


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
