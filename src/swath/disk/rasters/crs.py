"""Coordinate reference systems compared by what they do, not by what they are called."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from swath.core.errors import DataError
from swath.core.grid import Bounds, Grid


@lru_cache(maxsize=256)
def parse_crs(definition: str, where: str = "CRS") -> CRS:
    """The pyproj CRS of WKT or an authority code. Raises DataError."""
    try:
        return CRS.from_user_input(definition)
    except CRSError as e:
        raise DataError(
            "crs-unknown", where, "its coordinate system is not understood", "assign one, such as EPSG:32618"
        ) from e


@lru_cache(maxsize=256)  # a search that takes up to a second
def crs_name(definition: str | None) -> str | None:
    """A short name: `EPSG:32618`, else the system's own name."""
    if definition is None:
        return None
    crs = parse_crs(definition)
    authority = crs.to_authority(min_confidence=70)
    return ":".join(authority) if authority else crs.name


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Transformer:
    """The transformation of (x, y) from one CRS to another. Raises DataError where there is none."""
    try:
        return Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)
    except ProjError as e:
        names = f"{crs_name(source)} cannot be transformed into {crs_name(target)}"
        raise DataError("crs-apart", "CRS", names, "assign the right coordinate systems") from e


def same_place(source: str, target: str, bounds: Bounds, tolerance: float) -> bool:
    """True where two CRS give the same coordinates inside `bounds` (in `target` units) to within `tolerance`.

    Codes and names are not compared: a private id may stand for a well-known system.
    """
    if source == target or parse_crs(source).equals(parse_crs(target), ignore_axis_order=True):
        return True
    left, bottom, right, top = bounds
    xs = np.array([left, right, left, right, (left + right) / 2])
    ys = np.array([bottom, top, top, bottom, (bottom + top) / 2])
    try:
        x, y = transformer(source, target).transform(xs, ys, errcheck=True)
    except (ProjError, DataError):
        return False
    return bool(np.isfinite(x).all() and np.max(np.abs(x - xs)) <= tolerance and np.max(np.abs(y - ys)) <= tolerance)


def on_grid(mine: Grid, image: Grid, tolerance: float = 0.01) -> bool:
    """True where two grids have the same pixels (to a hundredth of a pixel); one without place fits by its size."""
    if mine.shape != image.shape:
        return False
    if mine.crs is None and mine.transform == Affine.identity():
        return True
    if image.crs is None:
        return True
    limit = tolerance * min(image.pixel_size)
    if mine.crs is not None and not same_place(mine.crs, image.crs, image.bounds, limit):
        return False
    corners = [(0, 0), (image.width, 0), (0, image.height)]
    return all(
        abs(a - b) <= limit for c in corners for a, b in zip(mine.transform @ c, image.transform @ c, strict=True)
    )


def turns(grid: Grid) -> tuple[float, ...]:
    """What to add to longitudes from -180 to 180 to meet a grid in degrees that goes on beyond: 0, and a turn of the globe."""
    if grid.crs is None or not (crs := parse_crs(grid.crs)).is_geographic:
        return (0.0,)
    whole = 2 * np.pi / crs.axis_info[0].unit_conversion_factor
    left, _, right, _ = grid.bounds
    return (0.0, *([whole] if right > whole / 2 else []), *([-whole] if left < -whole / 2 else []))


def transform_bounds(bounds: Bounds, source: str, target: str) -> Bounds:
    """The box around the transformed edges, densified; may hold infinities where the systems do not meet."""
    return transformer(source, target).transform_bounds(*bounds)


def project(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """(n, 2) coordinates in the target CRS."""
    x, y = transformer(source, target).transform(points[:, 0], points[:, 1])
    return np.column_stack([x, y])


def metres_per_pixel(grid: Grid) -> tuple[float, float] | None:
    """(width, height) of the central pixel in metres on the ellipsoid; None without georeference."""
    if grid.crs is None:
        return None
    crs = parse_crs(grid.crs)
    middle = grid.transform @ (grid.width / 2, grid.height / 2)
    right = grid.transform @ (grid.width / 2 + 1, grid.height / 2)
    below = grid.transform @ (grid.width / 2, grid.height / 2 + 1)
    try:
        to_lonlat = Transformer.from_crs(crs, crs.geodetic_crs or CRS(4326), always_xy=True)
        xs, ys = np.transpose([middle, right, below])
        lon, lat = to_lonlat.transform(xs, ys, errcheck=True)
    except (ProjError, CRSError):
        return None
    geod = _geod(crs)
    _, _, wide = geod.inv(lon[0], lat[0], lon[1], lat[1])
    _, _, tall = geod.inv(lon[0], lat[0], lon[2], lat[2])
    return (float(wide), float(tall)) if np.isfinite([wide, tall]).all() else None


def _geod(crs: CRS) -> Any:
    return crs.get_geod() or Geod(ellps="WGS84")
