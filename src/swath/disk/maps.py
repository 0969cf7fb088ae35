"""Maps as Cloud-Optimized GeoTIFFs: rows stream into a temporary, which is verified, copied and verified again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy as rio_copy
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.stitch import Rows
from swath.disk import raster
from swath.disk.publish import part_name, publish

BLOCK = 512
PREFIX = "SWATH_"  # of the tags in the default domain: the COG driver copies no other
CONFIDENCE_NODATA = 255
PROBABILITY_NODATA = -1.0


@dataclass(frozen=True)
class Product:
    """One kind of output raster: its file suffix, bands, dtype, nodata, overview resampling, and how rows become it."""

    suffix: str
    bands: int
    dtype: str
    nodata: float
    resampling: str
    make: Callable[[Rows], NDArray[Any]]


def products(legend: Legend, names: tuple[str, ...]) -> dict[str, Product]:
    """The named products: `classes` (ids), `confidence` (percent of the best class), `probabilities` (a band a class)."""

    def classes(rows: Rows) -> NDArray[Any]:
        best = best_class(rows.scores).astype(legend.index_dtype)
        if rows.valid is not None:
            best[~rows.valid] = legend.ignore
        return legend.to_ids(best)[None]

    def confidence(rows: Rows) -> NDArray[Any]:
        percent = np.rint(rows.scores.max(0) * 100).astype(np.uint8)
        return _blank(percent[None], rows.valid, CONFIDENCE_NODATA)

    def scores(rows: Rows) -> NDArray[Any]:
        return _blank(rows.scores, rows.valid, PROBABILITY_NODATA)

    dtype = np.dtype(legend.map_dtype).name
    known = {
        "classes": Product("_map.tif", 1, dtype, legend.nodata, "MODE", classes),
        "confidence": Product("_confidence.tif", 1, "uint8", CONFIDENCE_NODATA, "AVERAGE", confidence),
        "probabilities": Product("_probabilities.tif", len(legend), "float32", PROBABILITY_NODATA, "AVERAGE", scores),
    }
    return {n: known[n] for n in dict.fromkeys(("classes", *names))}


def best_class(scores: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The index (h, w) of the largest score of (K, h, w), the first of equals, by a running compare."""
    best, index = scores[0].copy(), np.zeros(scores.shape[1:], np.uint16)
    for i in range(1, len(scores)):
        better = scores[i] > best
        index[better] = i
        np.maximum(best, scores[i], out=best)
    return index


class RasterSink:
    """A tiled temporary GeoTIFF that takes bands of rows in any order of columns; `finish` publishes it as a COG."""

    def __init__(self, target: Path, grid: Grid, product: Product, legend: Legend, tags: dict[str, Any]) -> None:
        self.target, self.grid, self.product, self.legend, self.tags = target, grid, product, legend, tags
        target.parent.mkdir(parents=True, exist_ok=True)
        self.part = part_name(target)
        self.crcs: dict[tuple[int, int, int, int], int] = {}
        self._pending: dict[int, list[NDArray[Any]]] = {}
        self._starts: dict[int, int] = {}
        compact = {"compress": "deflate", "zlevel": 1}
        self.file = rasterio.open(
            self.part, "w", driver="GTiff", height=grid.height, width=grid.width, count=product.bands,
            dtype=product.dtype, crs=grid.crs, transform=grid.transform, nodata=product.nodata, tiled=True,
            blockxsize=BLOCK, blockysize=BLOCK, bigtiff="IF_SAFER", num_threads=2, **compact,
        )  # fmt: skip
        self._describe()

    def write(self, rows: Rows) -> None:
        """Takes finished rows; they reach the file in whole rows of blocks."""
        made = self.product.make(rows)
        col = rows.col
        self._starts.setdefault(col, rows.start)
        self._pending.setdefault(col, []).append(made)
        held = sum(a.shape[1] for a in self._pending[col])
        end = self._starts[col] + held
        whole = end if end >= self.grid.height else end // BLOCK * BLOCK
        if whole > self._starts[col]:
            self._flush(col, whole - self._starts[col])

    def _flush(self, col: int, count: int) -> None:
        joined = np.concatenate(self._pending[col], axis=1)
        ready, rest = joined[:, :count], joined[:, count:]
        start = self._starts[col]
        for row in range(0, count, BLOCK):
            strip = np.ascontiguousarray(ready[:, row : row + BLOCK])
            box = (start + row, col, strip.shape[1], strip.shape[2])
            self.crcs[box] = zlib.crc32(strip)
            self.file.write(strip, window=RioWindow(box[1], box[0], box[3], box[2]))
        self._pending[col], self._starts[col] = [rest], start + count

    def finish(self) -> Path:
        """The published COG: pixels compared with what was written, overviews not empty, GDAL metadata in place."""
        self.file.close()
        try:
            self._compare(self.part)
            publish(self.target, self._to_cog, verify=self._verify)
        finally:
            self.part.unlink(missing_ok=True)
        return self.target

    def discard(self) -> None:
        """Leaves nothing behind."""
        self.file.close()
        self.part.unlink(missing_ok=True)

    def _to_cog(self, part: Path) -> None:
        floating = self.product.dtype.startswith("float")
        predictor = {"PREDICTOR": "3" if floating else "2"}
        rio_copy(
            str(self.part), str(part), driver="COG", BLOCKSIZE=str(BLOCK), COMPRESS="DEFLATE", LEVEL="6", BIGTIFF="IF_SAFER",
            OVERVIEW_RESAMPLING=self.product.resampling, NUM_THREADS="2", **predictor,
        )  # fmt: skip

    def _verify(self, part: Path) -> None:
        self._compare(part)
        with rasterio.open(part) as found:
            if f"{PREFIX}LEGEND" not in found.tags():
                raise DataError("write-unverified", self.target, "the class table was not written", "report this")

    def _compare(self, part: Path) -> None:
        """Nothing, or a DataError where a strip reads back other than it was written."""
        with rasterio.open(part) as found:
            for (row, col, height, width), crc in self.crcs.items():
                back = found.read(window=RioWindow(col, row, width, height))
                if zlib.crc32(np.ascontiguousarray(back)) != crc:
                    raise DataError("write-unverified", self.target, f"rows {row} to {row + height} read back wrong",
                                    "the disk is full or faulty: free some space and try again")  # fmt: skip

    def _describe(self) -> None:
        legend = self.legend
        tags = {"LEGEND": json.dumps(legend.as_dict()), **{k: _text(v) for k, v in self.tags.items()}}
        self.file.update_tags(**{f"{PREFIX}{k}": v for k, v in tags.items()})
        if self.product.suffix == "_map.tif":
            if self.product.dtype == "uint8":
                self.file.write_colormap(1, {c.id: (*c.rgb, 255) for c in legend.classes} | {legend.nodata: (0, 0, 0, 0)})
            self.file.set_band_description(1, "class")
            self.file.update_tags(1, **{f"CLASS_{c.id}": c.name for c in legend.classes})
        elif self.product.bands == len(legend) and self.product.suffix == "_probabilities.tif":
            for i, c in enumerate(legend.classes, 1):
                self.file.set_band_description(i, c.name)
        else:
            self.file.set_band_description(1, "confidence in percent")


@dataclass(frozen=True)
class MapInfo:
    """What a map says of itself: grid, legend (None if it is no map of Swath) and the tags of its making."""

    path: Path
    grid: Grid
    legend: Legend | None
    tags: dict[str, Any]


def read_map_info(path: str | Path) -> MapInfo:
    """The description inside a map. Raises DataError where it is no raster."""
    with raster.open_raster(path) as source:
        tags = {k.removeprefix(PREFIX): v for k, v in source.tags().items() if k.startswith(PREFIX)}
        crs = source.crs.to_wkt() if source.crs else None
        grid = Grid(crs, source.transform, source.height, source.width)
    legend = Legend.from_dict(json.loads(tags["LEGEND"])) if "LEGEND" in tags else None
    rest = {k: _value(v) for k, v in tags.items() if k != "LEGEND"}
    return MapInfo(Path(path), grid, legend, rest)


def _blank(values: NDArray[Any], valid: NDArray[np.bool_] | None, nodata: float) -> NDArray[Any]:
    if valid is None or valid.all():
        return values
    out = values.copy()
    out[:, ~valid] = nodata
    return out


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
