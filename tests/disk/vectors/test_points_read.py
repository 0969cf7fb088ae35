"""Points of a file on the pixels of many scenes: those that each holds, whatever their system, and anew where the file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.disk.rasters.crs import parse_crs
from swath.disk.vectors.points import holds_points, read_points

UTM, LONLAT = "EPSG:32618", "EPSG:4326"
LEGEND = Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000")))
EAST, NORTH = 500_000, 5_000_000


def grids() -> list[Grid]:
    """Tiles side by side, a rotated one that overlaps them, and one without a point."""
    crs = parse_crs(UTM, "test").to_wkt()
    places = [Affine(2, 0, EAST + 80 * c, 0, -2, NORTH - 60 * r) for r in range(4) for c in range(3)]
    turned = Affine.translation(EAST + 50, NORTH - 40) @ Affine.rotation(30) @ Affine.scale(1, -1)
    return [Grid(crs, t, 30, 40) for t in (*places, turned, Affine(2, 0, EAST + 10**5, 0, -2, NORTH))]


@pytest.mark.parametrize("system", [UTM, LONLAT])
def test_each_scene_gets_the_points_that_lie_on_it(make_vector: Callable[..., Path], system: str) -> None:
    chance = np.random.default_rng(5)
    east, north = EAST + chance.uniform(-30, 280, 500), NORTH + chance.uniform(-280, 30, 500)
    there = Transformer.from_crs(UTM, system, always_xy=True).transform(east, north)
    file = make_vector("p.gpkg", [shapely.Point(p) for p in zip(*there, strict=True)], {"class": [1] * 500}, crs=system)
    points, whole = read_points(file, LEGEND), set[int]()
    for grid in grids():
        numbers, rows, cols = points.on_grid(grid, "any")
        inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
        a = ~grid.transform
        wanted = [n for n, p in enumerate(zip(east, north, strict=True)) if 0 <= (a @ p)[0] < grid.width and 0 <= (a @ p)[1] < grid.height]
        assert numbers[inside].tolist() == wanted
        for n, row, col in zip(numbers[inside].tolist(), rows[inside].tolist(), cols[inside].tolist(), strict=True):
            x, y = a @ (east[n], north[n])
            assert (row, col) == (int(y), int(x))
        whole |= set(wanted)
    assert 200 < len(whole) < 400


def test_a_file_that_changes_is_read_again(make_vector: Callable[..., Path]) -> None:
    file = make_vector("p.gpkg", [shapely.Point(EAST, NORTH)], {"class": [1]}, crs=UTM)
    assert holds_points(file)
    assert read_points(file, LEGEND) is read_points(file, LEGEND)
    file.unlink()
    make_vector("p.gpkg", [shapely.Point(EAST, NORTH), shapely.Point(EAST + 1, NORTH)], {"class": [1, 0]}, crs=UTM)
    assert read_points(file, LEGEND).indices.tolist() == [1, 0]
    file.unlink()
    make_vector("p.gpkg", [shapely.box(EAST, NORTH, EAST + 1, NORTH + 1)], {"class": [1]}, crs=UTM)
    assert not holds_points(file)
