"""A grid answers for its pixels: bounds, pixel size, windows of it, and the window that covers a box."""

from __future__ import annotations

import json

import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st

from swath.core.grid import Grid
from swath.core.windows import Window

NORTH_UP = Grid("EPSG:32618", Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000), 40, 60)
TURNED = Grid("EPSG:32618", Affine.translation(583_000, 4_507_000) @ Affine.rotation(30) @ Affine.scale(2, -3), 40, 60)
windows = st.builds(Window, st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60))


def test_bounds_and_pixel_size_of_a_north_up_grid() -> None:
    assert NORTH_UP.bounds == (583_000, 4_506_980, 583_030, 4_507_000)
    assert NORTH_UP.pixel_size == (0.5, 0.5)
    assert NORTH_UP.shape == (40, 60)
    assert NORTH_UP.georeferenced


def test_a_turned_grid_has_positive_pixels_and_a_box_around_its_corners() -> None:
    assert TURNED.pixel_size == pytest.approx((2, 3))
    left, bottom, right, top = TURNED.bounds
    assert right - left == pytest.approx(60 * 2 * 0.75**0.5 + 40 * 3 * 0.5)
    assert top - bottom == pytest.approx(60 * 2 * 0.5 + 40 * 3 * 0.75**0.5)


def test_a_grid_without_crs_says_so() -> None:
    assert not Grid(None, Affine.identity(), 2, 3).georeferenced
    assert Grid(None, Affine.identity(), 2, 3).bounds == (0, 0, 3, 2)


@pytest.mark.parametrize("grid", [NORTH_UP, TURNED], ids=["north-up", "turned"])
def test_the_grid_of_a_window_puts_its_pixels_at_the_same_place(grid: Grid) -> None:
    part = grid.window(Window(3, 5, 7, 11))
    assert part.shape == (7, 11)
    assert part.crs == grid.crs
    assert part.transform @ (2, 1) == pytest.approx(grid.transform @ (7, 4))
    beyond = grid.window(Window(-4, -4, 8, 8))
    assert beyond.transform @ (4, 4) == pytest.approx(grid.transform @ (0, 0))


@given(windows)
def test_the_window_of_a_windows_bounds_is_that_window(window: Window) -> None:
    inside = window.clip(*NORTH_UP.shape)
    assert NORTH_UP.window_of(NORTH_UP.window(inside).bounds) == inside


@given(windows)
def test_the_window_of_a_turned_box_covers_it(window: Window) -> None:
    inside = window.clip(*TURNED.shape)
    assert TURNED.window_of(TURNED.window(inside).bounds).contains(inside)


@given(st.floats(0.01, 19.9), st.floats(0.01, 19.9), st.floats(0.02, 5), st.floats(0.02, 5))
def test_window_of_is_the_smallest_that_covers(x: float, y: float, wide: float, tall: float) -> None:
    box = (583_000 + x, 4_507_000 - y - tall, 583_000 + x + wide, 4_507_000 - y)
    assume(box[1] > 4_506_980)
    found = NORTH_UP.window_of(box)
    left, bottom, right, top = NORTH_UP.window(found).bounds
    slack = 1e-5  # an edge within 1e-6 pixels of a pixel border counts as on it
    assert left <= box[0] + slack
    assert bottom <= box[1] + slack
    assert right >= box[2] - slack
    assert top >= box[3] - slack
    assert box[0] - left < 0.5 + slack
    assert right - box[2] < 0.5 + slack


def test_a_box_elsewhere_has_an_empty_window() -> None:
    assert NORTH_UP.window_of((0, 0, 10, 10)).area == 0


@pytest.mark.parametrize("grid", [NORTH_UP, TURNED, Grid(None, Affine.identity(), 2, 3)])
def test_a_grid_survives_json(grid: Grid) -> None:
    assert Grid.from_dict(json.loads(json.dumps(grid.as_dict()))) == grid
