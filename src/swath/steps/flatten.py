"""The result of `swath flatten` is a table of a raster's pixels: where each lies, its values, and its label."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, did_you_mean
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.windows import Window, strips
from swath.disk.burn import label_files, open_burnt
from swath.disk.crs import on_grid, transformer
from swath.disk.geotiff import off_grid, require_free
from swath.disk.publish import sweep
from swath.disk.raster import SUFFIXES, RasterInfo, RasterReader, raster_info
from swath.disk.remote import location
from swath.disk.rows import Columns, publish_rows, require_format
from swath.disk.scenes import Scene
from swath.progress import Progress
from swath.specs import LabelsSpec

_CHUNK = 200_000  # pixels
_DECIMALS = 9  # of degrees: a tenth of a millimetre
_PLACE = ("x", "y", "latitude", "longitude", "row", "column", "band", "value", "label")


def flatten(
    image: str | Path,
    out: str | Path,
    *,
    labels: Sequence[str | Path] | str | Path | None = None,
    legend: Legend | None = None,
    labels_spec: LabelsSpec | None = None,
    form: Literal["long", "wide"] = "long",
    bands: Sequence[int | str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The table of a raster: `table` (path), `rows`, `columns`, `pixels`, `events`, `seconds`.

    long: latitude, longitude, row, column, band (its name), value, a row per pixel and band; wide: x, y, latitude,
    longitude, row, column and a column per band, a row per pixel. Places are those of pixel centres: x and y in the
    CRS, degrees in WGS 84 (empty without georeference). `label`: the class id of `labels` by `legend`, or without one
    the value of a label raster on the image's grid; empty where no label counts. `bands`: numbers from 1, or names
    (default: all but alpha). Pixels without data in these bands are left out and counted. `out`: .csv, or .parquet
    where pyarrow is installed. Pixels are streamed.

    Raises ConfigError for settings and where pyarrow is missing, DataError for rasters that cannot be used (off the
    grid: with numbers), ResourceError where `out` is there.
    """
    started = time.monotonic()
    target, source, events = Path(out).absolute(), location(image), Events()
    require_format(target)
    files = label_files(labels)
    require_free([target], [source, *files], overwrite=overwrite)
    reader = RasterReader(source, _indexes(raster_info(source), bands))
    names = _names(reader)
    truth = _Truth(source, files, reader.grid, legend, labels_spec or LabelsSpec(), events) if files else None
    sweep(target.parent)
    pixels, names_written = 0, [""]

    def chunks() -> Iterator[Columns]:
        nonlocal pixels
        for window, raw, valid in _strips(reader):
            events.count("nodata pixel left out", int(valid.size - np.count_nonzero(valid)))
            pixels += int(np.count_nonzero(valid))
            label = None if truth is None else truth.read(window)[valid]
            if label is not None:
                events.count("pixel without label", int(np.isnan(label).sum()))
            place = _place(reader.grid, window, valid)
            values = raw[:, valid]
            columns = _long(place, values, names, label) if form == "long" else _wide(place, values, names, label)
            names_written[:] = columns
            yield columns

    rows = publish_rows(target, chunks)
    if reader.grid.crs is None:
        events.count("pixel without latitude and longitude", pixels)
    return {"table": str(target), "rows": rows, "columns": names_written, "pixels": pixels,
            "events": events.as_dict(), "seconds": round(time.monotonic() - started, 3)}  # fmt: skip


class _Truth:
    """The label of every pixel: class ids by a legend, or the raster's own values; NaN where none counts."""

    def __init__(
        self, image: Path, files: Sequence[Path], grid: Grid, legend: Legend | None, spec: LabelsSpec, events: Events
    ) -> None:
        self.legend, self.values = legend, None
        if legend is not None:
            scene = Scene(image.stem, image, files[0])
            self.labels = open_burnt(scene, files, grid, legend, spec, events, alone=True)
            return
        if len(files) > 1 or files[0].suffix.lower() not in SUFFIXES:
            raise ConfigError("classes-missing", "classes", "vector labels need a class table", "name the classes")
        self.values = RasterReader(files[0], [1])
        if not on_grid(self.values.grid, grid):
            raise off_grid(files[0], self.values.grid, image, grid)

    def read(self, window: Window) -> NDArray[np.float64]:
        """Labels (h, w)."""
        if self.values is not None:
            raw, valid = self.values.read(window)
            return np.where(valid, raw[0], np.nan)
        assert self.legend is not None
        indices = self.labels.read(window)
        ids = self.legend.to_ids(indices).astype(np.float64)
        ids[indices == self.legend.ignore] = np.nan
        return ids


def _indexes(info: RasterInfo, bands: Sequence[int | str] | None) -> list[int] | None:
    """1-based band numbers of numbers and names."""
    if bands is None:
        return None
    out = []
    for band in bands:
        if isinstance(band, str) and not band.isdigit():
            if band not in info.names:
                raise ConfigError("band-unknown", info.path, f"has no band '{band}'", did_you_mean(band, info.names))
            out.append(info.names.index(band) + 1)
        else:
            out.append(int(band))
    if not out:
        raise ConfigError("bands-none", "bands", "no band is named", "leave it out for all bands")
    return out


def _names(reader: RasterReader) -> list[str]:
    """A name of its own for every band: the file's, else b and its number."""
    named = [reader.info.names[i - 1] for i in reader.indexes]
    return [
        n if named.count(n) == 1 and n not in _PLACE else f"b{i}" for n, i in zip(named, reader.indexes, strict=True)
    ]


def _strips(reader: RasterReader) -> Iterator[tuple[Window, NDArray[Any], NDArray[np.bool_]]]:
    height, width = reader.grid.shape
    with Progress(f"flatten {reader.path.name}", height * width, "pixels") as bar:
        for start, stop in strips(height, max(1, _CHUNK // (width * len(reader.indexes)))):
            window = Window(start, 0, stop - start, width)
            yield window, *reader.read(window)
            bar.advance(window.area)


def _place(grid: Grid, window: Window, valid: NDArray[np.bool_]) -> Columns:
    """x, y, latitude, longitude, row and column of the valid pixels' centres, row by row."""
    rows, cols = np.nonzero(valid)
    rows, cols = rows + window.row, cols + window.col
    t = grid.transform
    across, down = cols + 0.5, rows + 0.5
    x, y = t.a * across + t.b * down + t.c, t.d * across + t.e * down + t.f
    lon = lat = np.full(len(x), np.nan)
    if grid.crs is not None and len(x):
        lon, lat = transformer(grid.crs, "EPSG:4326").transform(x, y)
    return {"x": x, "y": y, "latitude": np.round(lat, _DECIMALS), "longitude": np.round(lon, _DECIMALS),
            "row": rows, "column": cols}  # fmt: skip


def _wide(place: Columns, values: NDArray[Any], names: Sequence[str], label: NDArray[Any] | None) -> Columns:
    out = {**place, **dict(zip(names, values, strict=True))}
    return out if label is None else {**out, "label": _whole(label)}


def _long(place: Columns, values: NDArray[Any], names: Sequence[str], label: NDArray[Any] | None) -> Columns:
    n = len(names)
    kept = {k: np.repeat(place[k], n) for k in ("latitude", "longitude", "row", "column")}
    out = {**kept, "band": np.tile(np.array(names), values.shape[1]), "value": values.T.ravel()}
    return out if label is None else {**out, "label": _whole(np.repeat(label, n))}


def _whole(label: NDArray[np.float64]) -> NDArray[Any]:
    """Labels as objects: whole numbers without a decimal point, None where there is none."""
    return np.array([None if v != v else int(v) if v.is_integer() else v for v in label.tolist()], object)
