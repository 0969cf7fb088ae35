"""Square metres on the ellipsoid of rasters, of their pixels row by row, and of polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from swath.core.grid import Grid
from swath.core.outlines import Rings
from swath.core.windows import Window
from swath.disk.rasters.areas import areas_m2
from swath.disk.rasters.crs import metres_per_pixel, parse_crs, project

_STEP_M = 1000.0  # edges of polygons are followed on the ellipsoid in steps of this length


def grid_area_m2(grid: Grid) -> float | None:
    """The area of a whole raster; None without georeference or beyond the domain of its CRS."""
    rows = _boxes(0, grid.width, np.array([0]), grid.height)
    found = areas_m2(rows, grid)
    return float(found[0]) if found is not None and np.isfinite(found[0]) else None


def pixel_areas_m2(grid: Grid, window: Window) -> NDArray[np.float64] | None:
    """(h) the mean area of a pixel in each row of a window, in square metres; None without georeference."""
    rows = np.arange(window.row, window.row_end)
    found = areas_m2(_boxes(window.col, window.col_end, rows, 1), grid)
    return None if found is None else found / window.width


def polygon_areas_m2(geometry: NDArray[Any], grid: Grid) -> NDArray[np.float64] | None:
    """(n) the geodesic areas of polygons in the CRS of a grid; None without georeference."""
    metres = metres_per_pixel(grid)
    if grid.crs is None or metres is None:
        return None
    crs = parse_crs(grid.crs)
    geodetic = str((crs.geodetic_crs or parse_crs("EPSG:4326")).to_wkt())
    step = _STEP_M * min(grid.pixel_size) / max(metres)
    fine = shapely.segmentize(geometry, step)
    degrees = shapely.transform(fine, lambda xy: project(xy, str(grid.crs), geodetic))
    geod = crs.get_geod() or Geod(ellps="WGS84")
    return np.array([abs(geod.geometry_area_perimeter(shapely.orient_polygons(g))[0]) for g in degrees], np.float64)


def _boxes(col: int, col_end: int, rows: NDArray[Any], height: int) -> Rings:
    """The outlines of boxes that begin at `rows` and span the same columns."""
    n = len(rows)
    points = np.empty((n, 5, 2), np.int64)
    points[:, :, 0] = [col, col_end, col_end, col, col]
    points[:, :, 1] = rows[:, None] + np.array([0, 0, height, height, 0])
    return Rings(points.reshape(-1, 2), np.arange(0, 5 * n + 1, 5), np.arange(n + 1))
