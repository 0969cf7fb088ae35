"""Simplified outlines fit together: shapely finds no gap and no overlap, and no border moves further than allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from swath.core.outlines import Rings
from swath.core.regions import RegionTracer
from swath.core.simplify import Borders, simplified

RASTERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(-1, 2))
TOLERANCES = st.sampled_from([0.5, 0.75, 1.0, 1.5, 2.5, 6.0, 100.0])


def outlines(
    codes: NDArray[Any], tolerance: float, rows: int = 10**6, scale: tuple[float, float] = (1.0, 1.0), **options: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(exact, simpler) polygons in columns and rows of pixels, of the regions in their order."""
    borders = Borders(*codes.shape)
    tracer = RegionTracer(codes.shape[1], borders=borders, **options)
    batches = [b for top in range(0, len(codes), rows) for b in _both(tracer.feed(codes[top : top + rows]), borders, scale, tolerance)]
    batches += _both(tracer.finish(), borders, scale, tolerance)
    return tuple(np.concatenate([np.empty(0, object), *(b[i] for b in batches)]) for i in (0, 1))  # type: ignore[return-value]


def _both(regions: Any, borders: Borders, scale: tuple[float, float], tolerance: float) -> list[tuple[Any, Any]]:
    return [(polygons(r.rings), polygons(simplified(r.rings, borders, scale, tolerance))) for r in regions]


def polygons(rings: Rings) -> NDArray[Any]:
    return shapely.from_ragged_array(shapely.GeometryType.POLYGON, rings.points.astype(float), (rings.rings, rings.parts))


def patches(seed: int, side: int, classes: int) -> NDArray[np.int32]:
    """Smooth areas of classes, with some pixels that are of another."""
    rng = np.random.default_rng(seed)
    smooth = rng.random((side + 24, side + 24))
    for _ in range(2):
        smooth = np.lib.stride_tricks.sliding_window_view(smooth, (13, 13)).mean((2, 3))
    cuts = np.quantile(smooth, np.linspace(0, 1, classes + 1)[1:-1])
    codes = np.digitize(smooth, cuts)
    other = rng.random(codes.shape) < 0.01
    return np.where(other, rng.integers(0, classes, codes.shape), codes).astype(np.int32)


def assert_fit(exact: NDArray[Any], simple: NDArray[Any], tolerance: float) -> None:
    assert shapely.is_valid(simple).all()
    assert not shapely.is_empty(simple).any()
    assert (shapely.get_num_interior_rings(simple) == shapely.get_num_interior_rings(exact)).all()
    assert shapely.coverage_is_valid(simple)
    # no slivers: together they are one area, from which every hole and gap is a hole of the map
    assert shapely.area(shapely.union_all(simple)) == pytest.approx(shapely.area(simple).sum(), abs=1e-6)
    for before, after in zip(exact, simple, strict=True):
        corners = shapely.points(shapely.get_coordinates(before))
        assert shapely.distance(corners, after.boundary).max() <= tolerance + 1e-9


@given(RASTERS, TOLERANCES)
def test_polygons_stay_valid_and_fit_together(codes: NDArray[np.int32], tolerance: float) -> None:
    exact, simple = outlines(codes, tolerance)
    if len(exact):
        assert_fit(exact, simple, tolerance)


@given(RASTERS, TOLERANCES, st.integers(1, 5))
def test_strips_and_batches_change_nothing(codes: NDArray[np.int32], tolerance: float, rows: int) -> None:
    _, whole = outlines(codes, tolerance)
    _, cut = outlines(codes, tolerance, rows, batch=(2, 30))
    assert [g.wkb for g in whole] == [g.wkb for g in cut]


@pytest.mark.parametrize("tolerance", [0.8, 2.0, 6.0])
def test_a_map_of_patches_loses_most_of_its_points_and_no_area(tolerance: float) -> None:
    codes = patches(3, 180, 4)
    exact, simple = outlines(codes, tolerance)
    assert_fit(exact, simple, tolerance)
    assert shapely.get_num_coordinates(simple).sum() < shapely.get_num_coordinates(exact).sum() * 0.6
    assert shapely.area(simple).sum() == pytest.approx(codes.size)  # all of the raster has a class
    one_by_one = shapely.simplify(exact, tolerance)
    assert not shapely.coverage_is_valid(one_by_one)  # what shapely would find otherwise


def test_mirrored_classes_do_not_matter() -> None:
    codes = patches(4, 60, 3)
    _, simple = outlines(codes, 1.5)
    _, renamed = outlines(2 - codes, 1.5)
    assert sorted(g.wkb for g in simple) == sorted(g.wkb for g in renamed)


def test_a_stair_becomes_its_diagonal_and_the_frame_stays() -> None:
    codes = np.tril(np.ones((40, 40), np.int32))
    exact, simple = outlines(codes, 1.0)
    assert_fit(exact, simple, 1.0)
    assert shapely.get_num_coordinates(exact).min() > 80
    assert shapely.get_num_coordinates(simple).max() <= 7
    assert shapely.union_all(simple).equals(shapely.box(0, 0, 40, 40))


def test_an_island_keeps_its_extent_whatever_the_tolerance() -> None:
    codes = np.zeros((30, 30), np.int32)
    codes[10:20, 12:17], codes[4, 4] = 1, 1
    _, simple = outlines(codes, 1000.0)
    assert [g.bounds for g in simple[:2]] == [(4, 4, 5, 5), (12, 10, 17, 20)]
    assert [g.area for g in simple[:2]] == [1, 50]


def test_two_ways_between_the_same_nodes_do_not_become_one() -> None:
    codes = np.zeros((12, 40), np.int32)
    codes[6:] = 1
    codes[5:7, 8:32] = 2  # a bar upon the border of two classes: both of its sides run between two nodes
    exact, simple = outlines(codes, 50.0)
    assert len(simple) == 3
    assert_fit(exact, simple, 50.0)
    assert shapely.area(simple).min() > 0


def test_a_thin_region_is_not_jumped_over() -> None:
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(x - 40, y - 40)
    codes = (np.digitize(distance, [20, 21, 22, 30])).astype(np.int32)  # rings of one pixel
    exact, simple = outlines(codes, 5.0)
    assert_fit(exact, simple, 5.0)


def test_the_tolerance_is_in_the_unit_of_the_pixels() -> None:
    codes = np.zeros((60, 60), np.int32)
    codes[20:40, 20:40], codes[30, 40:43] = 1, 1  # a spur of three pixels to the right
    [_, *_], [wide, *_] = outlines(codes, 2.0, scale=(10.0, 0.1))
    assert wide.bounds[2] == 43
    counts = [shapely.get_num_coordinates(outlines(patches(5, 60, 2), 3.0, scale=s)[1]).sum() for s in ((1, 1), (3, 3), (9, 9))]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
