"""How often each label value occurs, and on how much ground: whole label rasters and burnt polygons, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.outlines import Rings
from swath.core.splits import Region
from swath.core.windows import Window, grid_windows
from swath.disk.rasters.areas import areas_m2
from swath.disk.rasters.raster import RasterInfo, open_dataset, open_raster, raster_info
from swath.disk.remote.access import redacted

Counts = dict[str, dict[Any, tuple[int, float]]]  # split -> value -> (pixels, square metres; NaN without georeference)
MOST_VALUES = 4096
_EXACT_PIXELS = 100_000_000  # polygons on a larger image are burnt on a coarser grid
_AREA_BLOCK = 2048


class Values(Protocol):
    """Label values of windows: `LabelValues`, or class indices as `disk.labels` gives them."""

    def read(self, window: Window) -> NDArray[Any]:
        """Values (h, w)."""
        ...


class LabelValues:
    """The values that a label raster holds: its first band, or colours as 0xRRGGBB where these are its classes."""

    def __init__(self, path: Path, legend: Legend | None = None) -> None:
        self.path, self.info = path, raster_info(path)
        self.coloured = legend is not None and is_coloured(self.info, legend)
        self.palette = palette(self.info) if self.coloured else None
        self._source: Any = None

    def read(self, window: Window) -> NDArray[Any]:
        """Values (h, w) of a window inside the raster; NaN where a mask or an alpha band hides them. Raises DataError."""
        self._source = self._source or open_dataset(self.path)
        box = RioWindow(window.col, window.row, window.width, window.height)
        try:
            bands = self._source.read([1, 2, 3] if self.coloured and self.palette is None else [1], window=box)
            hidden = self._source.read_masks(1, window=box) == 0 if self.info.masked else None
            hidden = self._source.read(self.info.alpha, window=box) == 0 if self.info.alpha else hidden
        except RasterioError as e:
            where = f"{self.path} rows {window.row}-{window.row_end}"
            raise DataError("raster-corrupt", where, f"cannot be read ({redacted(str(e.__cause__ or e), self.path)})", "replace the file") from e
        if not self.coloured:
            return bands[0] if hidden is None or not hidden.any() else np.where(hidden, np.nan, bands[0].astype(np.float64))
        return packed_colours(bands if self.palette is None else self.palette[:, bands[0]], self.path)

    def close(self) -> None:
        """Closes the file."""
        if self._source is not None:
            self._source.close()
            self._source = None


def is_coloured(info: RasterInfo, legend: Legend) -> bool:
    """True where the colours of a label raster are its classes: the legend names colours, and it has three bands, or a
    palette whose numbers stand for no class.
    """
    numbers = any(isinstance(s, int) for c in legend.classes for s in c.source)
    return bool(legend.colours) and (info.count >= 3 or (info.palette and not numbers))


def palette(info: RasterInfo) -> NDArray[np.uint8] | None:
    """The colours (3, n) of the values 0 to n - 1 of a raster with a palette; black where it names none."""
    if not info.palette or info.count >= 3:
        return None
    table = np.zeros((3, 1 << 8 * np.dtype(info.dtypes[0]).itemsize), np.uint8)
    with open_raster(info.path) as source:
        for value, colour in source.colormap(1).items():
            table[:, value] = colour[:3]
    return table


def packed_colours(bands: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """0xRRGGBB (h, w) of three bands (3, h, w). Raises DataError for values that no colour has."""
    if bands.dtype != np.uint8 and not ((bands >= 0) & (bands <= 255)).all():
        raise DataError("labels-colours", path, f"a colour mask of {bands.dtype} with values beyond 0 to 255",
                        "write it as 8 bit: gdal_translate -ot Byte")  # fmt: skip
    red, green, blue = bands.astype(np.int64)
    return red << 16 | green << 8 | blue


def tally(source: Values, grid: Grid, windows: Iterable[Window], regions: Sequence[Region] | None = None) -> Counts:
    """Pixels and ground of every value per split (`all` without regions), streamed.

    Raises DataError where there are more values than labels can have.
    """
    found: Counts = {r.split: {} for r in regions} if regions is not None else {"all": {}}
    ground = PixelArea(grid)
    for window in windows:
        values = source.read(window)
        square = ground.of(window)
        for region in regions if regions is not None else (None,):
            mask = None if region is None or (region.inside is None and not region.outside) else region.mask(window)
            table = found[region.split if region else "all"]
            for value, n in zip(*_counted(values if mask is None else values[mask]), strict=True):
                pixels, area = table.get(value, (0, 0.0))
                table[value] = pixels + n, area + n * square
        if max(len(t) for t in found.values()) > MOST_VALUES:
            raise DataError("labels-continuous", "labels", f"more than {MOST_VALUES:,} different values: amounts, no classes",
                            "name the label raster, or give classes as thresholds (source: \">127\")")  # fmt: skip
    return found


def tally_classes(labels: Values, grid: Grid, legend: Legend, regions: Sequence[Region]) -> tuple[Counts, bool]:
    """Pixels and ground per class index and split, and whether they are exact.

    On images beyond 100 million pixels `labels` must answer for `coarse(grid)`: its pixels count as the many that they
    stand for.
    """
    small = coarse(grid)
    step = grid.width / small.width
    if step > 1:
        regions = [Region(r.split, _scaled(r.inside, step), _scaled(r.outside, step) or ()) for r in regions]
    windows = grid_windows(*small.shape, _AREA_BLOCK, _AREA_BLOCK, "keep")
    found = tally(labels, small, windows, regions)
    factor = grid.height * grid.width / (small.height * small.width)
    return {
        s: {v: (round(n * factor), area) for v, (n, area) in t.items() if v != legend.ignore} for s, t in found.items()
    }, step == 1


def coarse(grid: Grid) -> Grid:
    """The grid itself, or one over the same ground with at most 100 million pixels."""
    step = math.sqrt(grid.height * grid.width / _EXACT_PIXELS)
    if step <= 1:
        return grid
    height, width = max(1, int(grid.height / step)), max(1, int(grid.width / step))
    larger = Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, grid.transform @ larger, height, width)


class PixelArea:
    """The mean ground of a pixel in square metres, measured on the ellipsoid for blocks of 2048 pixels."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._known: dict[tuple[int, int], float] = {}

    def of(self, window: Window) -> float:
        """Square metres per pixel around a window's middle; NaN without georeference."""
        if self.grid.crs is None:
            return math.nan
        middle = (window.row + window.row_end) // 2 // _AREA_BLOCK, (window.col + window.col_end) // 2 // _AREA_BLOCK
        if middle not in self._known:
            block = Window(middle[0] * _AREA_BLOCK, middle[1] * _AREA_BLOCK, _AREA_BLOCK, _AREA_BLOCK).clip(
                *self.grid.shape
            )
            self._known[middle] = self._measured(block)
        return self._known[middle]

    def _measured(self, box: Window) -> float:
        corners = [(box.col, box.row), (box.col_end, box.row), (box.col_end, box.row_end), (box.col, box.row_end)]
        ring = np.array([*corners, corners[0]], np.int32)
        area = areas_m2(Rings(ring, np.array([0, 5]), np.array([0, 1])), self.grid)
        return math.nan if area is None else float(area[0]) / box.area


def _counted(values: NDArray[Any]) -> tuple[list[Any], list[int]]:
    """The distinct values with their counts; NaN is left out."""
    flat = values.ravel()
    if flat.dtype.kind == "f":
        flat = flat[~np.isnan(flat)]
    if flat.size == 0:
        return [], []
    if flat.dtype.kind == "f" or flat.dtype.itemsize > 2:
        unique, counts = np.unique(flat, return_counts=True)
        return unique.tolist(), counts.tolist()
    lowest = int(flat.min()) if flat.dtype.kind == "i" else 0
    counts = np.bincount(flat.astype(np.int32) - lowest if lowest else flat)
    unique = np.flatnonzero(counts)
    return (unique + lowest).tolist(), counts[unique].tolist()


def _scaled(boxes: tuple[Window, ...] | None, step: float) -> tuple[Window, ...] | None:
    if boxes is None:
        return None
    return tuple(Window.span(*(round(n / step) for n in (b.row, b.col, b.row_end, b.col_end))) for b in boxes)
