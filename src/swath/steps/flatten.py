"""The result of `swath flatten` is a table of the pixels of rasters: where each lies, its values, and its label."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.windows import Window, strips
from swath.disk.publish import sweep
from swath.disk.rasters.crs import on_grid, transformer
from swath.disk.rasters.geotiff import off_grid, require_free
from swath.disk.rasters.raster import SUFFIXES, RasterInfo, RasterReader
from swath.disk.rows import Columns, publish_rows, require_format
from swath.disk.scenes.burn import label_files, open_burnt
from swath.disk.scenes.manifest import Scene, expand_scenes
from swath.disk.sources.images import Reader, image_info, image_reader
from swath.progress import Progress
from swath.specs import LabelsSpec

_CHUNK = 200_000  # pixels
_DECIMALS = 9  # of degrees: a tenth of a millimetre
_PLACE = ("image", "x", "y", "latitude", "longitude", "row", "column", "band", "value", "label")


def flatten(
    images: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    labels: Sequence[str | Path] | str | Path | None = None,
    legend: Legend | None = None,
    labels_spec: LabelsSpec | None = None,
    form: Literal["long", "wide"] = "long",
    bands: Sequence[int | str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The table of rasters: `table` (path), `rows`, `columns`, `pixels`, `images` [{image, path, pixels}], `events`,
    `seconds`.

    `images`: a file, folders, globs, manifests; with more than one raster, `image` (its name) is the first column.
    long: latitude, longitude, row, column, band (its name), value, a row per pixel and band; wide: x, y, latitude,
    longitude, row, column and a column per band, a row per pixel. Places are those of pixel centres: x and y in the
    CRS, degrees in WGS 84, -180 to 180 (empty without georeference). `label`: the class id of `labels` (default: those of a
    manifest) by `legend`, or without one the value of a label raster on the image's grid; empty where no label counts.
    `bands`: numbers from 1, or names (default: all but alpha). Pixels without data in these bands are left out and
    counted. `out`: .csv, or .parquet where pyarrow is installed. Pixels are streamed.

    Raises ConfigError for settings and where pyarrow is missing, DataError for rasters that cannot be used (off the
    grid: with numbers; with other bands than the first, in wide form), ResourceError where `out` is there.
    """
    started = time.monotonic()
    target, events = Path(out).absolute(), Events()
    require_format(target)
    files = label_files(labels)
    scenes = _scenes([images] if isinstance(images, str | Path) else images, files)
    require_free([target], [p for s in scenes for p in (*s.files, *files)], overwrite=overwrite)
    work = _Work(scenes, files, legend, labels_spec or LabelsSpec(), form, bands, events)
    sweep(target.parent)
    rows = publish_rows(target, work.chunks)
    told = [{"image": s.name, "path": str(s.image.absolute()), "pixels": n} for s, n in zip(scenes, work.pixels, strict=True)]
    return {"table": str(target), "rows": rows, "columns": work.columns, "pixels": sum(work.pixels), "images": told,
            "events": events.as_dict(), "seconds": round(time.monotonic() - started, 3)}  # fmt: skip


def _scenes(images: Sequence[str | Path], files: Sequence[Path]) -> list[Scene]:
    """One scene per raster, with the labels that are named, else those of its manifest. Raises DataError."""
    scenes = [replace(s, labels=files[0]) if files else s for s in expand_scenes(images, SUFFIXES)]
    names = [s.name for s in scenes]
    twice = next((s for s in scenes if names.count(s.name) > 1), None)
    if twice is not None:
        raise DataError("flatten-names", twice.image, f"another image is called {twice.name} too", "name them in a manifest")
    return scenes


class _Work:
    """Rasters on their way into one table; every one is opened when its turn comes."""

    def __init__(
        self, scenes: Sequence[Scene], files: Sequence[Path], legend: Legend | None, spec: LabelsSpec, form: str,
        bands: Sequence[int | str] | None, events: Events,
    ) -> None:  # fmt: skip
        self.scenes, self.files, self.legend, self.spec, self.events = scenes, files, legend, spec, events
        self.form, self.bands = form, bands
        self.alone = len(scenes) == 1
        self.labelled = any(s.labels is not None for s in scenes)
        self.pixels = [0] * len(scenes)
        self.columns: list[str] = []
        readers = [self._reader(s) for s in scenes]
        self.dtype = np.result_type(*(np.dtype(r.info.dtype) for r in readers))
        self.names = _common_names(readers)
        first = self.names[0]
        other = next((r for r, n in zip(readers, self.names, strict=True) if n != first), None)
        if form == "wide" and other is not None:
            raise DataError("flatten-bands", other.path, f"has the bands {', '.join(_names(other))}, "
                            f"{readers[0].path} has {', '.join(first)}",
                            "choose bands that all have with --bands, or take the long form")  # fmt: skip

    def _reader(self, scene: Scene) -> Reader:
        return image_reader(scene.image, _indexes(image_info(scene.image), self.bands))

    def chunks(self) -> Iterator[Columns]:
        """The columns of all pixels, image by image."""
        shape = _long if self.form == "long" else _wide
        for number, scene in enumerate(self.scenes):
            reader = self._reader(scene)
            truth = None
            if scene.labels is not None:
                truth = _Truth(scene, self.files, reader.grid, self.legend, self.spec, self.events, alone=self.alone)
            for place, values, label in self._pieces(reader, truth):
                columns = shape(place, values.astype(self.dtype, copy=False), self.names[number], label)
                if not self.alone:
                    columns = {"image": np.full(len(columns["row"]), scene.name), **columns}
                self.columns = list(columns)
                self.pixels[number] += values.shape[1]
                yield columns
            if reader.grid.crs is None:
                self.events.count("pixel without latitude and longitude", self.pixels[number])

    def _pieces(
        self, reader: Reader, truth: _Truth | None
    ) -> Iterator[tuple[Columns, NDArray[Any], NDArray[np.float64] | None]]:
        """Places, values (C, n) and labels (n,) of the valid pixels, strip by strip."""
        for window, raw, valid in _strips(reader):
            self.events.count("nodata pixel left out", int(valid.size - np.count_nonzero(valid)))
            label = None
            if self.labelled:
                label = np.full(valid.shape, np.nan)[valid] if truth is None else truth.read(window)[valid]
                self.events.count("pixel without label", int(np.isnan(label).sum()))
            yield _place(reader.grid, window, valid), raw[:, valid], label


class _Truth:
    """The label of every pixel: class ids by a legend, or the raster's own values; NaN where none counts."""

    def __init__(
        self, scene: Scene, files: Sequence[Path], grid: Grid, legend: Legend | None, spec: LabelsSpec, events: Events,
        *, alone: bool,
    ) -> None:  # fmt: skip
        self.legend, self.values = legend, None
        assert scene.labels is not None
        if legend is not None:
            self.labels = open_burnt(scene, files, grid, legend, spec, events, alone=alone)
            return
        if len(files) > 1 or scene.labels.suffix.lower() not in SUFFIXES:
            raise ConfigError("classes-missing", "classes", "vector labels need a class table", "name the classes")
        self.values = RasterReader(scene.labels, [1])
        if not on_grid(self.values.grid, grid):
            raise off_grid(scene.labels, self.values.grid, scene.image.absolute(), grid)

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


def _names(reader: Reader) -> list[str]:
    """A name of its own for every band: the file's, else b and its number."""
    named = [reader.info.names[i - 1] for i in reader.indexes]
    return [
        n if named.count(n) == 1 and n not in _PLACE else f"b{i}" for n, i in zip(named, reader.indexes, strict=True)
    ]


def _common_names(readers: Sequence[Reader]) -> list[list[str]]:
    """The names of the bands of every raster; where its file tells none, those of the first that does and has as many."""
    found = [_names(r) for r in readers]
    plain = [[f"b{i}" for i in r.indexes] for r in readers]
    named = next((n for n, p in zip(found, plain, strict=True) if n != p), found[0])
    return [named if n == p and len(n) == len(named) else n for n, p in zip(found, plain, strict=True)]


def _strips(reader: Reader) -> Iterator[tuple[Window, NDArray[Any], NDArray[np.bool_]]]:
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
        lon = np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon)  # grids of 0 to 360 degrees, or over the antimeridian
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
