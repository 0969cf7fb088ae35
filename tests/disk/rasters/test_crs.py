"""Coordinate systems are compared by what they do: names and codes may differ, places may not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.disk.rasters.crs import (
    crs_name,
    metres_per_pixel,
    parse_crs,
    project,
    same_place,
    transform_bounds,
    transformer,
)
from swath.disk.rasters.raster import raster_info
from swath.disk.vectors.vector import vector_info

UTM18, UTM17, LONLAT = "EPSG:32618", "EPSG:32617", "EPSG:4326"
TOWN = (583_000.0, 4_507_000.0, 584_000.0, 4_508_000.0)
BOSTON = (200_000.0, 880_000.0, 201_000.0, 881_000.0)
ENGINEERING = 'LOCAL_CS["site",UNIT["metre",1]]'


def disguised(code: str) -> str:
    """The WKT of a system under another name and a private authority."""
    wkt = CRS(code).to_wkt("WKT1_GDAL", pretty=False)
    name = CRS(code).name
    assert name in wkt
    number = code.split(":")[1]
    private = wkt.replace(f'AUTHORITY["EPSG","{number}"]', 'AUTHORITY["NONE","4327"]')
    assert private != wkt
    return private.replace(name, "Our own grid")


def test_a_private_id_and_name_stand_for_the_same_place() -> None:
    """TRAP-73: comparing codes gives a false alarm."""
    private = disguised("EPSG:26986")
    assert CRS(private).name == "Our own grid"
    assert same_place(private, "EPSG:26986", BOSTON, 0.01)
    assert same_place("EPSG:26986", private, BOSTON, 0.01)


@pytest.mark.parametrize(
    ("source", "target", "bounds", "same"),
    [
        (UTM18, UTM18, TOWN, True),
        (UTM18, CRS(UTM18).to_wkt(), TOWN, True),
        (UTM18, "+proj=utm +zone=18 +datum=WGS84 +units=m", TOWN, True),
        (UTM17, UTM18, TOWN, False),
        (LONLAT, UTM18, TOWN, False),
        (UTM18, LONLAT, (-74.0, 40.0, -73.0, 41.0), False),
        ("EPSG:26918", UTM18, TOWN, True),  # NAD83 and WGS84 lie within a metre
        ("EPSG:26718", UTM18, TOWN, False),  # NAD27 lies 200 m off
        ("OGC:CRS84", LONLAT, (-74.0, 40.0, -73.0, 41.0), True),
        (ENGINEERING, UTM18, TOWN, False),
    ],
)
def test_same_place(source: str, target: str, bounds: tuple[float, float, float, float], same: bool) -> None:
    assert same_place(source, target, bounds, tolerance=3.0 if "269" in source else 0.01) is same


@pytest.mark.parametrize("shift", ["+x_0=500000.3 +y_0=0", "+x_0=500000 +y_0=0.3"])
def test_the_tolerance_decides(shift: str) -> None:
    shifted = f"+proj=tmerc +lat_0=0 +lon_0=-75 +k=0.9996 {shift} +datum=WGS84 +units=m"
    assert same_place(shifted, UTM18, TOWN, 0.5)
    assert not same_place(shifted, UTM18, TOWN, 0.1)


def test_places_outside_the_target_system_are_not_the_same() -> None:
    assert not same_place("EPSG:3857", UTM18, (1e9, 1e9, 2e9, 2e9), 1.0)


@pytest.mark.parametrize("text", ["", "EPSG:0", "UTM of the town", "PROJCS[", "+proj=nowhere"])
def test_what_is_no_system_is_a_data_error(text: str) -> None:
    with pytest.raises(DataError, match="its coordinate system is not understood; assign one") as error:
        parse_crs(text, "town.gpkg")
    assert error.value.where == "town.gpkg"


def test_two_systems_that_never_meet_are_a_data_error() -> None:
    with pytest.raises(DataError, match="cannot be transformed") as error:
        transform_bounds(TOWN, UTM18, ENGINEERING)
    assert error.value.code == "crs-apart"
    with pytest.raises(DataError):
        transformer(ENGINEERING, LONLAT)


def test_names_are_short() -> None:
    assert crs_name(UTM18) == crs_name(CRS(UTM18).to_wkt()) == "EPSG:32618"
    assert crs_name(None) is None
    assert crs_name(ENGINEERING) == "site"


def test_coordinates_are_x_then_y() -> None:
    points = project(np.array([[-73.98, 40.71], [-74.02, 40.73]]), LONLAT, UTM18)
    assert points.shape == (2, 2)
    assert np.allclose(points[:, 0], [586_156, 582_754], atol=2)
    assert np.allclose(points[:, 1], [4_507_100, 4_509_284], atol=200)
    assert np.allclose(project(points, UTM18, LONLAT), [[-73.98, 40.71], [-74.02, 40.73]])


def test_bounds_hold_the_curved_edges() -> None:
    """The middle of a northern edge lies further north than its corners."""
    left, _, right, top = transform_bounds((-80.0, 60.0, -70.0, 61.0), LONLAT, UTM18)
    corners = project(np.array([[-80.0, 61.0], [-70.0, 61.0], [-80.0, 60.0]]), LONLAT, UTM18)
    middle = project(np.array([[-75.0, 60.0]]), LONLAT, UTM18)[0, 1]
    assert left <= corners[:, 0].min()
    assert right >= corners[1, 0]
    assert top >= corners[:2, 1].max() > middle


def grid(crs: str | None, size: float, corner: tuple[float, float]) -> Grid:
    return Grid(crs, Affine(size, 0, corner[0], 0, -size, corner[1]), 100, 100)


def test_metres_per_pixel() -> None:
    assert metres_per_pixel(grid(UTM18, 0.5, (583_000, 4_507_000))) == pytest.approx((0.5, 0.5), rel=1e-3)
    wide, tall = metres_per_pixel(grid(LONLAT, 1e-5, (-74.0, 60.0))) or (0, 0)
    assert wide == pytest.approx(0.5579, rel=1e-3)
    assert tall == pytest.approx(1.1141, rel=1e-3)
    assert metres_per_pixel(grid("EPSG:3857", 1, (-8_237_642, 8_399_737))) == pytest.approx((0.5, 0.5), rel=5e-3)
    feet = metres_per_pixel(grid("EPSG:2263", 1, (983_000, 200_000)))
    assert feet == pytest.approx((0.3048, 0.3048), rel=1e-3)


def test_metres_per_pixel_of_what_is_nowhere() -> None:
    assert metres_per_pixel(Grid(None, Affine.identity(), 9, 9)) is None
    assert metres_per_pixel(grid(ENGINEERING, 1, (0, 0))) is None
    assert metres_per_pixel(grid("EPSG:32618", 1, (1e12, 1e12))) is None
    assert metres_per_pixel(grid(LONLAT, 1e-5, (float("nan"), 40.0))) is None


def test_other_planets_have_their_own_size() -> None:
    moon = "+proj=longlat +a=1737400 +b=1737400 +no_defs"
    assert metres_per_pixel(grid(moon, 0.001, (10, 0.05))) == pytest.approx((30.32, 30.32), rel=1e-3)


@pytest.mark.real
def test_real_labels_with_a_private_id_are_at_the_place_of_their_image(data_dir: Path) -> None:
    folder = data_dir / "massachusetts"
    labels = vector_info(folder / "massachusetts_buildings.gpkg").crs
    assert labels is not None
    for name in ("22978945_15.tif", "23429155_15.tif"):
        image = raster_info(folder / name).grid
        assert image.crs is not None
        assert labels != image.crs
        assert same_place(labels, image.crs, image.bounds, 0.01 * min(image.pixel_size))
        assert not same_place(UTM18, image.crs, image.bounds, 0.01 * min(image.pixel_size))
