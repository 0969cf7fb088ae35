"""Rasters side by side on one grid: where each lies, checked to be of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters.crs import crs_name, same_place
from swath.disk.rasters.geotiff import Header, grid_text, read_header

TOLERANCE = 0.01  # of a pixel, by which a raster may lie off the common grid


@dataclass(frozen=True)
class Placed:
    """A raster and the window of the common grid that it fills."""

    path: Path
    window: Window
    masked: bool


@dataclass(frozen=True)
class Layout:
    """Rasters on one grid, in the order given. `header` is the common one, its grid covers all."""

    header: Header
    placed: tuple[Placed, ...]
    tree: Any

    def touching(self, window: Window) -> list[Placed]:
        """The rasters that share pixels with a window, in their order."""
        hits = np.sort(self.tree.query(_box(window)))
        return [self.placed[i] for i in hits if (self.placed[i].window & window).area]

    @property
    def uncovered(self) -> int:
        """Pixels of the common grid under no raster."""
        union = shapely.union_all([_box(p.window) for p in self.placed])
        return round(self.header.grid.height * self.header.grid.width - union.area)

    @property
    def furthest(self) -> Placed:
        """The raster that lies furthest from the middle of the others."""
        middles = np.array([(w.row + w.height / 2, w.col + w.width / 2) for w in (p.window for p in self.placed)])
        return self.placed[int(np.abs(middles - np.median(middles, axis=0)).max(1).argmax())]

    @property
    def overlaps(self) -> bool:
        """True where two rasters share a pixel."""
        pairs = self.tree.query([_box(p.window) for p in self.placed])
        return any(i < j and (self.placed[i].window & self.placed[j].window).area for i, j in pairs.T)


def lay_out(paths: Sequence[Path]) -> Layout:
    """The layout of rasters. Raises DataError naming the first that differs from the first raster, with numbers."""
    headers = [read_header(p) for p in paths]
    first = headers[0]
    for path, header in zip(paths[1:], headers[1:], strict=True):
        _same_kind(path, header, paths[0], first)
    boxes = [_placed_window(p, h.grid, paths[0], first.grid) for p, h in zip(paths, headers, strict=True)]
    top, left = min(b.row for b in boxes), min(b.col for b in boxes)
    bottom, right = max(b.row_end for b in boxes), max(b.col_end for b in boxes)
    corner = next((h.grid.transform for h, b in zip(headers, boxes, strict=True) if (b.row, b.col) == (top, left)), None)
    transform = corner if corner is not None else first.grid.transform @ Affine.translation(left, top)
    grid = Grid(first.grid.crs, transform, bottom - top, right - left)
    placed = tuple(
        Placed(path, Window(b.row - top, b.col - left, *b.shape), header.mask)
        for path, header, b in zip(paths, headers, boxes, strict=True)
    )
    tree = shapely.STRtree([_box(p.window) for p in placed])
    return Layout(replace(first, grid=grid, mask=any(h.mask for h in headers)), placed, tree)


def _same_kind(path: Path, header: Header, other: Path, first: Header) -> None:
    facts = (
        ("bands", header.count, first.count),
        ("the pixel type", header.dtype, first.dtype),
        ("nodata", header.nodata, first.nodata),
        ("the alpha band", header.alpha, first.alpha),
        ("a colour table", header.colours is not None, first.colours is not None),
        ("band scales", header.scales, first.scales),
        ("band offsets", header.offsets, first.offsets),
    )
    for what, own, wanted in facts:
        if str(own) != str(wanted):  # text, because NaN is NaN here
            raise DataError("mosaic-mixed", path, f"differs in {what}: {own}, {other} has {wanted}",
                            "bring them into one form first, such as with gdal_translate")  # fmt: skip
    if header.colours != first.colours:
        raise DataError("mosaic-mixed", path, f"its colour table is not that of {other}", "give all the same one")


def _placed_window(path: Path, grid: Grid, other: Path, first: Grid) -> Window:
    """The window of a raster in pixels of the first one's grid."""
    if path != other:
        _same_pixels(path, grid, other, first)
    col, row = ~first.transform @ (grid.transform @ (0, 0))
    off = max(abs(col - round(col)), abs(row - round(row)))
    if off > TOLERANCE:
        raise DataError("mosaic-misaligned", path, f"lies {off:.3g} pixels off the grid of {other} (it begins at column "
                        f"{col:.3f}, row {row:.3f} of it)", "align it: gdalwarp -tap -tr W H IN OUT")  # fmt: skip
    return Window(round(row), round(col), *grid.shape)


def _same_pixels(path: Path, grid: Grid, other: Path, first: Grid) -> None:
    if first.crs is None and grid.crs is None and grid.transform == first.transform == Affine.identity():
        raise DataError("mosaic-unplaced", path, f"has no georeference, nor has {other}: where they lie is unknown",
                        "give each its place, such as with a world file")  # fmt: skip
    drift = max(grid.shape) * max(
        abs(getattr(grid.transform, k) - getattr(first.transform, k)) / min(first.pixel_size) for k in "abde"
    )
    if drift > TOLERANCE:
        raise DataError("mosaic-pixels", path, f"has other pixels ({grid_text(grid)}) than {other} ({grid_text(first)})",
                        "bring it to one pixel size: gdalwarp -tap -tr W H IN OUT")  # fmt: skip
    placed = grid.crs is not None and first.crs is not None
    limit = TOLERANCE * min(first.pixel_size)
    if grid.crs != first.crs and not (placed and same_place(str(grid.crs), str(first.crs), grid.bounds, limit)):
        raise DataError("mosaic-crs", path, f"is in {crs_name(grid.crs)}, {other} in {crs_name(first.crs)}",
                        "bring all into one system: gdalwarp -t_srs CRS IN OUT")  # fmt: skip


def _box(window: Window) -> Any:
    return shapely.box(window.col, window.row, window.col_end, window.row_end)
