"""Areas on the ellipsoid of outlines on a pixel grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from swath.core.grid import Grid
from swath.core.outlines import Rings
from swath.disk.crs import metres_per_pixel, parse_crs

Floats = NDArray[np.float64]

STEP_M = 1000.0  # straight lines on the map are followed on the ellipsoid in steps of this length


def areas_m2(rings: Rings, grid: Grid) -> Floats | None:
    """(n) square metres on the CRS's ellipsoid; NaN beyond the CRS's domain; None for a grid without place on earth.

    In geographic systems the area between parallels and meridians is exact, whatever its extent. In projected ones the
    rings are geodesic polygons (pyproj.Geod), their long edges followed in steps of a kilometre.
    """
    metres = metres_per_pixel(grid)
    if grid.crs is None or metres is None:
        return None
    crs = parse_crs(grid.crs)
    points, starts = _followed(rings.points, rings.rings, max(1.0, STEP_M / max(metres)))
    per_ring = (_between_parallels if crs.is_geographic else _geodesic)(points, starts, grid, crs)
    exterior = rings.parts[:-1]
    per_ring = -per_ring
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


def _between_parallels(points: Floats, starts: NDArray[Any], grid: Grid, crs: CRS) -> Floats:
    """(r) areas of rings in longitude and latitude: the integral of q(latitude) over longitude, times a^2 / 2.

    q as in Snyder, Map Projections (1987), equation 3-12: a^2 / 2 q is the area from the equator to a latitude per
    radian of longitude.
    """
    t, ellipsoid = grid.transform, _geod(crs)
    radians = crs.axis_info[0].unit_conversion_factor
    latitude = np.clip((t.d * points[:, 0] + t.e * points[:, 1] + t.f) * radians, -np.pi / 2, np.pi / 2)
    across = (t.a * np.diff(points[:, 0]) + t.b * np.diff(points[:, 1])) * radians
    sine, e2 = np.sin(latitude), ellipsoid.es
    e = np.sqrt(e2)
    q = 2 * sine if e2 == 0 else (1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
    terms = np.append((q[1:] + q[:-1]) / 2 * across, 0.0)
    terms[starts[1:] - 1] = 0.0  # from ring to ring
    return np.abs(np.add.reduceat(terms, starts[:-1])) * ellipsoid.a**2 / 2 if len(starts) > 1 else np.empty(0)


def _geodesic(points: Floats, starts: NDArray[Any], grid: Grid, crs: CRS) -> Floats:
    """(r) areas of geodesic polygons; NaN where a point has no longitude and latitude."""
    t, geod = grid.transform, _geod(crs)
    geodetic = crs.geodetic_crs or CRS(4326)
    degrees = np.rad2deg(geodetic.axis_info[0].unit_conversion_factor)  # some count in grads
    x, y = t.a * points[:, 0] + t.b * points[:, 1] + t.c, t.d * points[:, 0] + t.e * points[:, 1] + t.f
    lon, lat = Transformer.from_crs(crs, geodetic, always_xy=True).transform(x, y)
    lon, lat = lon * degrees, lat * degrees
    inside = np.isfinite(lon) & np.isfinite(lat)
    areas = np.full(len(starts) - 1, np.nan)
    for i, (a, b) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        if inside[a:b].all():
            areas[i] = abs(geod.polygon_area_perimeter(lon[a:b], lat[a:b])[0])
    return areas


def _geod(crs: CRS) -> Geod:
    return crs.get_geod() or Geod(ellps="WGS84")
