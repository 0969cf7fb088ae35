"""Areas on the ellipsoid of outlines on a pixel grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from swath.core.grid import Grid
from swath.core.outlines import Rings
from swath.disk.rasters.crs import metres_per_pixel, parse_crs

Floats = NDArray[np.float64]

STEP_M = 100.0  # straight lines of the map are followed on the ellipsoid in steps of this length
POLAR = np.deg2rad(85)


def areas_m2(rings: Rings, grid: Grid) -> Floats | None:
    """(n) square metres on the CRS's ellipsoid; NaN beyond the CRS's domain; None for a grid without place on earth.

    Exact between parallels and meridians; else within 1e-6 of the densified geodesic polygon (pyproj.Geod), which
    itself is taken near the poles of projected systems.
    """
    metres = metres_per_pixel(grid)
    if grid.crs is None or metres is None:
        return None
    crs = parse_crs(grid.crs)
    points, starts = _followed(rings.points, rings.rings, max(1.0, STEP_M / max(metres)))
    lon, lat = _radians(points, grid, crs)
    per_ring = -_ring_areas(lon, lat, starts, crs)
    exterior = rings.parts[:-1]
    per_ring[exterior] *= -1
    return np.add.reduceat(per_ring, exterior) if len(exterior) else np.empty(0)


def _followed(points: NDArray[Any], starts: NDArray[Any], step: float) -> tuple[Floats, NDArray[Any]]:
    """The rings with points put in wherever an edge is longer than `step` pixels."""
    ahead = np.diff(points, axis=0, append=points[-1:]).astype(np.float64)
    ahead[starts[1:] - 1] = 0  # from ring to ring there is no edge
    pieces = np.maximum(1, np.ceil(np.abs(ahead).max(1) / step)).astype(np.int64)
    if (pieces == 1).all():
        return points.astype(np.float64), starts
    begin = np.cumsum(pieces) - pieces
    part = (np.arange(int(pieces.sum())) - np.repeat(begin, pieces)) / np.repeat(pieces, pieces)
    fine = np.repeat(points, pieces, 0) + np.repeat(ahead, pieces, 0) * part[:, None]
    return fine, np.append(begin[starts[:-1]], len(fine))


def _radians(points: Floats, grid: Grid, crs: CRS) -> tuple[Floats, Floats]:
    """Longitude and latitude of pixel corners; not finite beyond the domain of a projection."""
    t, (cols, rows) = grid.transform, points.T
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    geodetic = crs if crs.is_geographic else crs.geodetic_crs or CRS(4326)
    if geodetic is not crs:
        x, y = Transformer.from_crs(crs, geodetic, always_xy=True).transform(x, y)
    unit = geodetic.axis_info[0].unit_conversion_factor  # degrees, or grads
    return x * unit, np.clip(y * unit, -np.pi / 2, np.pi / 2)


def _ring_areas(lon: Floats, lat: Floats, starts: NDArray[Any], crs: CRS) -> Floats:
    """(r) areas of rings: the integral of q(latitude) over longitude, times a^2 / 2.

    a^2 / 2 q is the area from the equator to a latitude per radian of longitude; q as in Snyder, Map Projections
    (1987), equation 3-12. It is taken from the latitude of the ring's first point: small rings need every digit.
    """
    if len(starts) < 2:
        return np.empty(0)
    geod = crs.get_geod() or Geod(ellps="WGS84")
    sine, e = np.sin(lat), np.sqrt(geod.es)
    q = (1 - geod.es) * (sine / (1 - geod.es * sine**2) + np.arctanh(e * sine) / e) if e else 2 * sine
    q -= np.repeat(q[starts[:-1]], np.diff(starts))
    with np.errstate(invalid="ignore"):  # infinite beyond the domain
        across = np.diff(lon, append=lon[-1:])
        if not crs.is_geographic:
            across = (across + np.pi) % (2 * np.pi) - np.pi  # steps are short: the way over the antimeridian
        terms = (q + np.append(q[1:], 0.0)) / 2 * across
    terms[starts[1:] - 1] = 0.0  # from ring to ring
    areas = np.abs(np.add.reduceat(terms, starts[:-1])) * geod.a**2 / 2
    for i in _polar(lat, starts, crs):
        own = slice(starts[i], starts[i + 1])
        areas[i] = abs(geod.polygon_area_perimeter(lon[own], lat[own], radians=True)[0])
    return areas


def _polar(lat: Floats, starts: NDArray[Any], crs: CRS) -> list[int]:
    """The rings that a projection draws near a pole, perhaps around it."""
    if crs.is_geographic:
        return []
    near = np.isfinite(lat) & (np.abs(lat) > POLAR)
    return np.flatnonzero(np.logical_or.reduceat(near, starts[:-1])).tolist()
