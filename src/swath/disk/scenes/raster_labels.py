"""Label rasters as class indices on the image's grid: class rasters, grey masks, colour masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Bounds, Grid
from swath.core.legend import Legend, unknown_values
from swath.core.windows import Window
from swath.disk.rasters import raster
from swath.disk.rasters.crs import crs_name, on_grid, transform_bounds
from swath.disk.rasters.handles import Handle
from swath.disk.rasters.tally import is_coloured, packed_colours, palette


class RasterLabels:
    """A label raster on the image's grid; on another grid it is warped by nearest neighbour, without one refused."""

    def __init__(self, path: Path, grid: Grid, legend: Legend, events: Events) -> None:
        self.path, self.grid, self.legend = path, grid, legend
        self.info = raster.raster_info(path)
        self.warp = not on_grid(self.info.grid, grid)
        if self.warp:
            _refuse_unplaced(path, self.info.grid, grid)
            events.count("label raster warped by nearest neighbour")
        self.coloured = is_coloured(self.info, legend)
        self.palette = palette(self.info) if self.coloured else None
        self.nodata, self.nodata_is_class = _label_nodata(self.info, legend)
        events.count("nodata tag equal to a class not applied", int(self.nodata_is_class))
        self._handle = Handle(_opened, path, grid if self.warp else None, self.info.alpha is None)

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        inside = window.clip(*self.grid.shape)
        out = np.full(window.shape, self.legend.ignore, self.legend.index_dtype)
        if inside.area:
            values, covered = self._values(inside)
            found = self._from_colours(values) if self.coloured else self._from_values(values, covered)
            found[~covered] = self.legend.ignore
            out[inside.slices(window)] = found
        return out

    def _from_values(self, values: NDArray[Any], covered: NDArray[np.bool_]) -> NDArray[Any]:
        band = values[0]
        empty = np.isnan(band) | ~covered if band.dtype.kind == "f" else ~covered
        if self.nodata is not None and not self.nodata_is_class:
            empty |= band == self.nodata
        out = np.full(band.shape, self.legend.ignore, self.legend.index_dtype)
        out[~empty] = self.legend.from_values(band[~empty], self.path)
        return out

    def _from_colours(self, values: NDArray[Any]) -> NDArray[Any]:
        packed = packed_colours(values, self.path)
        table = {(r << 16) | (g << 8) | b: i for (r, g, b), i in self.legend.colours.items()}
        out = np.full(packed.shape, self.legend.fill, self.legend.index_dtype)
        unknown = []
        for colour in np.unique(packed).tolist():
            if colour in table:
                out[packed == colour] = table[colour]
            elif colour != 0:
                unknown.append(f"#{colour:06x}")
        if unknown:
            raise unknown_values(unknown, self.path, self.legend)
        return out

    def _values(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The raw values (C, h, w) and where the label raster has any (h, w).

        A warped one may end inside the image; of one of values its own mask or alpha band hides some, while painted
        colours count by themselves.
        """
        box = RioWindow(window.col, window.row, window.width, window.height)
        handle = self._handle.get()
        try:
            values = handle.read([1, 2, 3] if self.coloured and self.palette is None else [1], window=box)
            values = values if self.palette is None else self.palette[:, values[0]]
            if self.warp or (self.info.alpha and not self.coloured):
                return values, handle.read(self.info.alpha or handle.count, window=box) > 0
            if self.info.masked and not self.coloured:
                return values, handle.read_masks(1, window=box) > 0
            return values, np.ones(window.shape, bool)
        except (raster.RasterioError, raster.CPLE_BaseError) as e:
            raise raster.unread(self.path, e, window) from e


def _opened(path: Path, grid: Grid | None, add_alpha: bool) -> tuple[Any, tuple[Any, ...]]:
    """The open file; on another grid with an alpha band that tells what it covers, and no nodata tag is applied."""
    source = raster.open_dataset(path)
    if grid is None:
        return source, (source,)
    warped = WarpedVRT(source, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width,
                       resampling=Resampling.nearest, src_nodata=None, nodata=None, add_alpha=add_alpha, tolerance=1e-6)  # fmt: skip
    return warped, (warped, source)


def _refuse_unplaced(path: Path, labels: Grid, image: Grid) -> None:
    if labels.crs is None or image.crs is None:
        raise DataError("labels-grid", path, f"is {labels.width} x {labels.height} pixels, the image "
                        f"{image.width} x {image.height}, and without georeference they cannot be aligned",
                        "give the labels the image's size")  # fmt: skip
    refuse_disjoint(path, labels.bounds, labels.crs, image)


def refuse_disjoint(path: Path, bounds: Bounds, crs: str | None, image: Grid) -> None:
    """Nothing, or a DataError where labels within `bounds` lie off the image."""
    try:
        placed = bounds if crs is None or image.crs is None else transform_bounds(bounds, crs, image.crs)
    except ProjError as e:
        raise DataError("labels-crs", path, f"{crs_name(crs)} cannot be transformed", "check its CRS") from e
    left, bottom, right, top = placed
    a, b, c, d = image.bounds
    if right <= a or left >= c or top <= b or bottom >= d:
        own, other = (" ".join(f"{x:.10g}" for x in box) for box in (placed, image.bounds))
        raise DataError("labels-disjoint", path, f"covers {own}, the image {other}: they do not overlap",
                        "check the pair and both CRS")  # fmt: skip


def _label_nodata(info: raster.RasterInfo, legend: Legend) -> tuple[float | None, bool]:
    nodata = info.nodata[0]
    if nodata is None or nodata != nodata:
        return None, False
    return nodata, legend.match(nodata) not in (None, legend.ignore) or legend.thresholds
