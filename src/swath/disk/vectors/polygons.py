"""Polygons of a class raster: one per connected region, read strip by strip, in the coordinates of the map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import GeometryType

from swath.core.errors import DataError, ResourceError
from swath.core.grid import Grid
from swath.core.legend import Legend, unknown_values
from swath.core.outlines import Rings
from swath.core.regions import NO_CONFIDENCE, Regions, RegionTracer
from swath.core.simplify import Borders, simplified
from swath.core.windows import Window, strips
from swath.disk.rasters.areas import areas_m2
from swath.disk.rasters.crs import metres_per_pixel, on_grid
from swath.disk.rasters.raster import RasterReader

STRIP_PIXELS, STRIP_BYTES = 2_000_000, 200  # pixels of a strip, and the memory that one needs at most
NO_CLASS, UNKNOWN = -1, -2


@dataclass(frozen=True)
class Polygons:
    """A batch of n polygons, in order of their last pixel.

    `geometry`: valid shapely polygons in CRS units, exteriors counter-clockwise; `classes`: ids; `pixels`: counts;
    `confidence`: mean 0..1 and `area_m2`: of the pixel outline on the ellipsoid, NaN where not known.
    """

    geometry: NDArray[Any]
    classes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    area_m2: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.geometry)

    def take(self, which: NDArray[np.bool_]) -> Polygons:
        """The chosen polygons."""
        return Polygons(self.geometry[which], self.classes[which], self.pixels[which], self.confidence[which],
                        self.area_m2[which])  # fmt: skip


@dataclass(frozen=True)
class _Simpler:
    """How outlines become simpler: to a tolerance in metres, with pixels of `metres`, where `borders` allow it."""

    borders: Borders
    metres: tuple[float, float]
    tolerance: float

    @classmethod
    def of(cls, grid: Grid, tolerance: float, memory: int, path: Path) -> _Simpler | None:
        """None where the grid has no metres. Raises ResourceError where the borders take more than half the memory."""
        metres, need = metres_per_pixel(grid), Borders.bytes(*grid.shape)
        if need > memory // 2:
            raise ResourceError("memory", path, f"simplifying needs {need / 1e6:,.0f} MB of memory for where borders lie, "
                                f"{memory / 2e6:,.0f} MB are allowed", "leave vectorize.simplify_m at 0, or split the map")  # fmt: skip
        return None if metres is None else cls(Borders(*grid.shape), metres, tolerance)

    def rings(self, rings: Rings) -> Rings:
        """The simpler rings."""
        return simplified(rings, self.borders, self.metres, self.tolerance)


def class_raster(path: str | Path) -> RasterReader:
    """The reader of a raster of class values: one band, uint8 or uint16. Raises DataError for any other raster."""
    reader = RasterReader(path)
    info = reader.info
    if info.count != 1:
        raise DataError("map-bands", path, f"has {info.count} bands, a class raster has one",
                        "name the class map, or take its band out: gdal_translate -b N IN OUT")  # fmt: skip
    if info.dtype not in ("uint8", "uint16"):
        raise DataError("map-dtype", path, f"pixels of type {info.dtype} are no class values",
                        "name the class map, or convert it: gdal_translate -ot UInt16 IN OUT")  # fmt: skip
    return reader


def confidence_raster(path: str | Path, grid: Grid) -> RasterReader:
    """The reader of the confidence of a map on `grid`: one band uint8, percent, 255 where there is none.

    Raises DataError for a raster of another type or on another grid.
    """
    reader = RasterReader(path, nodata_value=NO_CONFIDENCE)
    if reader.info.dtype != "uint8" or reader.info.count != 1:
        kind = f"{reader.info.count} bands of {reader.info.dtype}"
        raise DataError("confidence-dtype", path, f"has {kind}, confidence is one band of uint8 in percent",
                        "name the raster that swath predict wrote")  # fmt: skip
    if not on_grid(reader.grid, grid):
        raise DataError("confidence-grid", path, "does not lie on the grid of the map",
                        "predict map and confidence together, or move the file away")  # fmt: skip
    return reader


def map_polygons(
    source: RasterReader,
    *,
    wanted: Collection[int] | None = None,
    legend: Legend | None = None,
    confidence: RasterReader | None = None,
    simplify_m: float = 0.0,
    memory: int = 2_000_000_000,
    strip: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> Iterator[Polygons]:
    """The polygons of a class raster in batches; they are the same, in the same order, for every height of strips.

    `wanted` are the class values that become polygons (None: all but 0); with a `legend` no other values may occur than
    its ids. `simplify_m` > 0 simplifies outlines to that many metres on the ground at the centre of the map; polygons
    stay valid, and what they share stays shared. `strip` sets the rows of a strip, else `memory` (bytes) does;
    `advance` is told of rows done.

    Raises DataError for values that are no class, ResourceError where outlines outgrow the memory.
    """
    table = _table(wanted, legend)
    grid = source.grid
    simpler = _Simpler.of(grid, simplify_m, memory, source.path) if simplify_m > 0 else None
    borders = None if simpler is None else simpler.borders
    tracer = RegionTracer(grid.width, limit=memory, where=source.path, borders=borders)
    for values, valid, percent in _read(source, confidence, memory, strip):
        codes = table[values]
        codes[~valid] = NO_CLASS
        if legend is not None and (codes == UNKNOWN).any():
            raise unknown_values(np.unique(values[codes == UNKNOWN]).tolist(), source.path, legend)
        for regions in tracer.feed(codes, percent):
            yield _polygons(regions, grid, simpler)
        if advance is not None:
            advance(len(codes))
    for regions in tracer.finish():
        yield _polygons(regions, grid, simpler)


def _table(wanted: Collection[int] | None, legend: Legend | None) -> NDArray[np.int32]:
    """(65536) int32: what a value becomes: itself where wanted, NO_CLASS, or UNKNOWN."""
    ids = range(65536) if legend is None else legend.ids
    table = np.full(65536, UNKNOWN, np.int32)
    table[list(ids)] = NO_CLASS
    own = [i for i in ids if i != 0] if wanted is None else list(wanted)
    table[own] = own
    return table


def _read(
    source: RasterReader, confidence: RasterReader | None, memory: int, strip: int | None
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8] | None]]:
    """(values, valid, percent) (h, width) of strips from top to bottom; the raster is read in whole rows of blocks."""
    height, width = source.grid.shape
    rows = strip or max(1, min(STRIP_PIXELS, memory // STRIP_BYTES) // width)
    block = -(-rows // source.info.block[0]) * source.info.block[0]
    chunk = block if block * width * 8 <= memory // 4 else rows
    for top, bottom in strips(height, chunk):
        window = Window(top, 0, bottom - top, width)
        raw, valid = source.read(window)
        percent = None if confidence is None else _percent(confidence, window)
        for a, b in strips(bottom - top, rows):
            yield raw[0, a:b], valid[a:b], None if percent is None else percent[a:b]


def _percent(confidence: RasterReader, window: Window) -> NDArray[np.uint8]:
    raw, valid = confidence.read(window)
    percent = np.where(valid, raw[0], NO_CONFIDENCE).astype(np.uint8, copy=False)
    if ((percent > 100) & (percent != NO_CONFIDENCE)).any():
        high = int(percent[percent != NO_CONFIDENCE].max())
        raise DataError("confidence-range", confidence.path, f"holds {high}, confidence is 0 to 100 percent",
                        "name the raster that swath predict wrote")  # fmt: skip
    return percent


def _polygons(regions: Regions, grid: Grid, simpler: _Simpler | None) -> Polygons:
    n = len(regions.values)
    areas = areas_m2(regions.rings, grid)
    rings = regions.rings if simpler is None else simpler.rings(regions.rings)
    total, count = regions.percent.T
    share = np.divide(total, 100 * count, out=np.full(n, np.nan), where=count > 0)
    unknown = np.full(n, np.nan)
    return Polygons(_geometry(rings, grid), regions.values, regions.pixels, share, unknown if areas is None else areas)


def _geometry(rings: Rings, grid: Grid) -> NDArray[Any]:
    """Shapely polygons with counter-clockwise exteriors in the map's coordinates."""
    points = _placed(rings.points.astype(np.float64), grid)
    if grid.transform.determinant < 0:  # rows go down: every ring runs the other way round
        sizes = np.diff(rings.rings)
        points = points[np.repeat(rings.rings[:-1] + rings.rings[1:] - 1, sizes) - np.arange(len(points))]
    return shapely.from_ragged_array(GeometryType.POLYGON, points, (rings.rings, rings.parts))


def _placed(points: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Pixel corners (column, row) in CRS units."""
    t, (cols, rows) = grid.transform, points.T
    return np.column_stack([t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f])
