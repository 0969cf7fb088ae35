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

from swath.core.errors import DataError, ResourceError
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.stitch import Rows
from swath.core.windows import Window
from swath.disk.publish import part_name, publish
from swath.disk.rasters import raster
from swath.disk.rasters.spool import Spool
from swath.disk.remote.access import location

BLOCK = 512
PREFIX = "SWATH_"  # of the tags in the default domain: the COG driver copies no other
PRODUCT_SUFFIXES = ("_map.tif", "_confidence.tif", "_probabilities.tif")
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
    of_map, of_confidence, of_probabilities = PRODUCT_SUFFIXES
    known = {
        "classes": Product(of_map, 1, dtype, legend.nodata, "MODE", classes),
        "confidence": Product(of_confidence, 1, "uint8", CONFIDENCE_NODATA, "AVERAGE", confidence),
        "probabilities": Product(of_probabilities, len(legend), "float32", PROBABILITY_NODATA, "AVERAGE", scores),
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


def spool_path(target: Path) -> Path:
    """Where the finished rows of a raster lie until it is published."""
    return target.with_name(f".{target.stem}.spool")


class RasterSink:
    """Takes finished rows into a spool that survives a kill; `finish` publishes them as a COG, verified.

    `key` names the job: a spool of the same key is gone on with, `stops` says from where.
    """

    def __init__(
        self, target: Path, grid: Grid, product: Product, legend: Legend, tags: dict[str, Any], key: str = ""
    ) -> None:
        self.target, self.grid, self.product, self.legend, self.tags = target, grid, product, legend, tags
        self.part = part_name(target)
        self._pending: dict[int, NDArray[Any]] = {}
        self._stops: dict[int, int] = {}
        self.spool = Spool(spool_path(target), key, product.bands, product.dtype)

    def resume(self, stops: dict[int, int]) -> None:
        """Goes on after `stops` (first column of a band -> first row not done): what is stored beyond is dropped."""
        self.spool.cut(stops)
        self._stops = self.spool.stops()

    def write(self, rows: Rows) -> None:
        """Takes finished rows of a band of columns, in order; those stored before are passed over."""
        col, skip = rows.col, max(0, self._stops.get(rows.col, 0) - rows.start)
        if skip >= rows.scores.shape[1]:
            return
        made = self.product.make(rows)[:, skip:]
        held = self._pending.get(col)
        self._pending[col] = made if held is None else np.concatenate([held, made], axis=1)
        start = self._stops.get(col, 0)
        end = start + self._pending[col].shape[1]
        whole = end if end >= self.grid.height else end // BLOCK * BLOCK
        for row in range(start, whole, BLOCK):
            self._store(col, min(BLOCK, whole - row))

    def _store(self, col: int, count: int) -> None:
        row = self._stops.get(col, 0)
        ready, self._pending[col] = np.split(self._pending[col], [count], axis=1)
        self.spool.append(Window(row, col, count, ready.shape[2]), ready)
        self._stops[col] = row + count

    def finish(self) -> Path:
        """The published COG: pixels compared with what was computed, description in place."""
        try:
            self._to_tiles()
            self._compare(self.part)
            publish(self.target, self._to_cog, verify=self._verify)
        finally:
            self.part.unlink(missing_ok=True)
        self.spool.close(remove=True)
        return self.target

    def _to_tiles(self) -> None:
        """Writes the spool into a tiled temporary, which the COG driver needs for its overviews."""
        grid, product = self.grid, self.product
        with rasterio.open(
            self.part, "w", driver="GTiff", height=grid.height, width=grid.width, count=product.bands,
            dtype=product.dtype, crs=grid.crs, transform=grid.transform, nodata=product.nodata, tiled=True,
            blockxsize=BLOCK, blockysize=BLOCK, bigtiff="IF_SAFER", num_threads=2, compress="deflate", zlevel=1,
        ) as file:  # fmt: skip
            self._describe(file)
            for chunk in self.spool.chunks:
                box = chunk.window
                file.write(self.spool.read(chunk), window=RioWindow(box.col, box.row, box.width, box.height))

    def discard(self, *, keep: bool) -> None:
        """Leaves no temporary; the finished rows stay for the next start where `keep`."""
        self.part.unlink(missing_ok=True)
        self.spool.close(remove=not keep)

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
            for chunk in self.spool.chunks:
                box = chunk.window
                back = found.read(window=RioWindow(box.col, box.row, box.width, box.height))
                if zlib.crc32(np.ascontiguousarray(back).tobytes()) != chunk.crc:
                    raise ResourceError("write-unverified", self.target, f"rows {box.row} to {box.row_end} read back wrong",
                                        "the disk is full or faulty: free some space and try again")  # fmt: skip

    def _describe(self, file: Any) -> None:
        legend = self.legend
        tags = {"LEGEND": json.dumps(legend.as_dict()), **{k: _text(v) for k, v in self.tags.items()}}
        file.update_tags(**{f"{PREFIX}{k}": v for k, v in tags.items()})
        if self.product.suffix == "_map.tif":
            if self.product.dtype == "uint8":
                file.write_colormap(1, {c.id: (*c.rgb, 255) for c in legend.classes} | {legend.nodata: (0, 0, 0, 0)})
            file.set_band_description(1, "class")
            file.update_tags(1, **{f"CLASS_{c.id}": c.name for c in legend.classes})
        elif self.product.bands == len(legend) and self.product.suffix == "_probabilities.tif":
            for i, c in enumerate(legend.classes, 1):
                file.set_band_description(i, c.name)
        else:
            file.set_band_description(1, "confidence in percent")


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
    return MapInfo(location(path), grid, legend, rest)


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
