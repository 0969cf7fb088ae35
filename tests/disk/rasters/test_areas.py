"""Areas on the ellipsoid, compared with pyproj's geodesic polygons and with the globe."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS, Geod, Transformer

from swath.core.grid import Grid
from swath.core.outlines import Rings
from swath.disk.rasters.areas import areas_m2

WGS84 = Geod(ellps="WGS84")
GLOBE = 4 * np.pi * 6371007.1809**2  # authalic radius of WGS 84


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def outline(*rings: list[list[int]]) -> Rings:
    """One region: an exterior and its holes."""
    ends = np.cumsum([0, *map(len, rings)])
    return Rings(np.array([p for r in rings for p in r], np.int32), ends, np.array([0, len(rings)]))


def grid(crs: str | int, transform: Affine, size: int = 2000) -> Grid:
    return Grid(CRS(crs).to_wkt(), transform, size, size)


def densified(place: Grid, cols: tuple[int, int], rows: tuple[int, int]) -> float:
    """The area of a box by a geodesic polygon with 200 points a side."""
    s, n = np.linspace(0, 1, 200, endpoint=False), np.zeros(200)
    u = np.concatenate([s, n + 1, 1 - s, n]) * (cols[1] - cols[0]) + cols[0]
    v = np.concatenate([n, s, n + 1, 1 - s]) * (rows[1] - rows[0]) + rows[0]
    x, y = place.transform @ (u, v)
    to_degrees = Transformer.from_crs(place.crs, CRS(place.crs).geodetic_crs, always_xy=True)
    return abs(WGS84.polygon_area_perimeter(*to_degrees.transform(x, y))[0])


PLACES = [
    pytest.param(4326, Affine(1e-5, 0, 7, 0, -1e-5, 47), id="degrees"),
    pytest.param(4326, Affine(0.005, 0.002, 7, 0.002, -0.005, 47), id="degrees-rotated"),
    pytest.param(32618, Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000), id="utm-half-metre"),
    pytest.param(32618, Affine(30, 0, 200_000, 0, -30, 6_007_000), id="utm-30-m"),
    pytest.param(32618, Affine(8, 5, 400_000, 5, -8, 4_507_000), id="utm-rotated"),
    pytest.param(3857, Affine(0.3, 0, 1e6, 0, -0.3, 8e6), id="web-mercator"),
    pytest.param(32601, Affine(100, 0, 150_000, 0, -100, 7e6), id="antimeridian"),
    pytest.param(3413, Affine(100, 0, -100_000, 0, -100, 100_000), id="around-the-pole"),
]


@pytest.mark.parametrize(("crs", "transform"), PLACES)
def test_a_box_has_the_area_of_the_geodesic_polygon(crs: int, transform: Affine) -> None:
    place = grid(crs, transform)
    found = areas_m2(outline(box(100, 200, 1900, 1800)), place)
    assert found == pytest.approx([densified(place, (100, 1900), (200, 1800))], rel=2e-6)


def test_a_single_pixel_keeps_its_digits() -> None:
    place = grid(32618, Affine(0.1, 0, 500_000, 0, -0.1, 4_507_000))
    assert areas_m2(outline(box(3, 3, 4, 4)), place) == pytest.approx([0.01 / 0.9996**2], rel=1e-6)


def test_holes_are_taken_out_and_regions_kept_apart() -> None:
    place = grid(32618, Affine(1, 0, 500_000, 0, -1, 4_507_000))
    whole, hole = outline(box(0, 0, 10, 10)), outline(box(2, 2, 5, 5))
    both = Rings(
        np.concatenate([whole.points, hole.points, hole.points]), np.array([0, 5, 10, 15]), np.array([0, 2, 3])
    )
    assert areas_m2(both, place) == pytest.approx(np.array([91, 9]) / 0.9996**2, rel=1e-6)


def test_the_globe_is_whole() -> None:
    place = Grid(CRS(4326).to_wkt(), Affine(0.5, 0, -180, 0, -0.5, 90.25), 361, 720)
    assert areas_m2(outline(box(0, 0, 720, 361)), place) == pytest.approx([GLOBE], rel=1e-9)


def test_a_sphere_counts_as_one() -> None:
    place = Grid(CRS("+proj=longlat +R=6371000").to_wkt(), Affine(1, 0, 0, 0, -1, 90), 180, 360)
    assert areas_m2(outline(box(0, 0, 360, 180)), place) == pytest.approx([4 * np.pi * 6371000.0**2], rel=1e-12)


def test_grads_are_no_degrees() -> None:
    place = grid(27572, Affine(10, 0, 600_000, 0, -10, 2_200_000), 100)
    assert areas_m2(outline(box(0, 0, 100, 100)), place) == pytest.approx([1e6], rel=1e-3)


def test_without_place_there_is_no_area_and_beyond_the_domain_none_is_known() -> None:
    assert areas_m2(outline(box(0, 0, 1, 1)), Grid(None, Affine.identity(), 1, 1)) is None
    world = Grid(CRS("ESRI:54009").to_wkt(), Affine(10_000, 0, -18_040_000, 0, -10_000, 9_020_000), 1804, 3608)
    found = areas_m2(outline(box(0, 0, 10, 10)), world)
    assert found is not None
    assert np.isnan(found).all()


def test_no_regions_have_no_areas() -> None:
    nothing = Rings(np.empty((0, 2), np.int32), np.array([0]), np.array([0]))
    found = areas_m2(nothing, grid(4326, Affine(1e-5, 0, 7, 0, -1e-5, 47)))
    assert found is not None
    assert len(found) == 0
