"""Planes made of vectors, numbers and positions: golden values, the same whatever window is read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyogrio.raw import write as write_vector

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.sources.planes import ConstantPlane, PositionPlanes, ShapePlanes, signed_distance
from swath.disk.sources.stack import Constant, Position, Shapes

UTM = "EPSG:32618"
GRID = Grid(UTM, Affine(1, 0, 500_000, 0, -1, 4_500_000), 40, 50)


def write_shapes(path: Path, shapes: list[shapely.Geometry], kinds: list[int | str]) -> Path:
    """A GeoPackage with shapes in pixel coordinates (column, row) of GRID and the field `kind`."""
    placed = [shapely.transform(s, lambda xy: np.column_stack([500_000 + xy[:, 0], 4_500_000 - xy[:, 1]])) for s in shapes]
    values = np.array(kinds, object if isinstance(kinds[0], str) else np.int64)
    write_vector(path, geometry=shapely.to_wkb(np.array(placed, object)), fields=["kind"], field_data=[values], crs=UTM,
                 geometry_type="Unknown", driver="GPKG", layer="aux")  # fmt: skip
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A line down column 20, a square, and a point."""
    line = shapely.LineString([(20.5, -5), (20.5, 45)])
    return write_shapes(tmp_path_factory.mktemp("aux") / "aux.gpkg",
                        [line, shapely.box(30, 10, 40, 20), shapely.Point(5.5, 5.5)], [1, 2, 1])  # fmt: skip


@cache
def whole(part: Shapes, band: int = 0) -> np.ndarray:
    return ShapePlanes(part, GRID).read(Window(0, 0, 40, 50), [band])[0][0]


def test_binary_bands_of_ids_stand_in_the_listed_order(shapes: Path) -> None:
    planes = ShapePlanes(Shapes("aux", shapes, field="kind", ids=(2, 1)), GRID)
    (second, first), valid = planes.read(Window(0, 0, 40, 50), [0, 1])
    assert planes.names == ("aux:2", "aux:1")
    assert valid.all()
    expected = np.zeros((40, 50), np.uint8)
    expected[10:20, 30:40] = 1
    assert np.array_equal(second, expected)
    assert first[:, 20].all()
    assert first[5, 5] == 1
    assert first.sum() == 41


def test_without_ids_all_features_make_one_band(shapes: Path) -> None:
    assert whole(Shapes("aux", shapes)).sum() == 40 + 100 + 1


def test_distance_to_a_line_is_that_of_geo_deep_learning(shapes: Path) -> None:
    """The centre column is -2, the two widened columns -1, then 1, 2 and so on (its documentation and code)."""
    row = whole(Shapes("aux", shapes, field="kind", ids=(1,), encode="distance"))[30]
    assert row[15:26].tolist() == [4, 3, 2, 1, -1, -2, -1, 1, 2, 3, 4]


def test_log_and_scale(shapes: Path) -> None:
    part = Shapes("aux", shapes, field="kind", ids=(1,), encode="distance", log=True)
    row = whole(part)[39]
    assert row[21 + 9] == pytest.approx(np.log(10))
    assert row[20] == pytest.approx(-np.log(3))
    scaled = whole(Shapes("aux", shapes, field="kind", ids=(1,), encode="distance", scale=0.1))[39]
    assert scaled[30] == np.float32(0.9)


def test_distances_end_at_the_limit(shapes: Path) -> None:
    row = whole(Shapes("aux", shapes, field="kind", ids=(2,), encode="distance", limit=7))[39]
    assert row.min() == row.max() == 7
    nothing = signed_distance(np.zeros((5, 5), bool), 3)
    assert (nothing == 3).all()
    everything = signed_distance(np.ones((5, 5), bool), 3)
    assert (everything == -3).all()


@given(st.integers(-5, 39), st.integers(-5, 49), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_every_window_is_a_part_of_the_whole(shapes: Path, row: int, col: int, height: int, width: int, log: bool) -> None:
    window = Window(row, col, height, width).clip(40, 50)
    if window.area == 0:
        return
    for part in (Shapes("aux", shapes, encode="distance", limit=9, log=log), Shapes("aux", shapes)):
        rows, cols = window.slices()
        found = ShapePlanes(part, GRID).read(window, [0])[0][0]
        assert np.array_equal(found, whole(part)[rows, cols])


def test_an_absent_field_is_told_with_those_there_are(shapes: Path) -> None:
    with pytest.raises(DataError, match="has no field 'kinds'; it has kind"):
        ShapePlanes(Shapes("aux", shapes, field="kinds", ids=(1,)), GRID)


def test_text_ids(tmp_path: Path) -> None:
    file = write_shapes(tmp_path / "t.gpkg", [shapely.box(0, 0, 5, 5), shapely.box(10, 0, 15, 5)], ["road", "rail"])
    planes, _ = ShapePlanes(Shapes("aux", file, field="kind", ids=("rail",)), GRID).read(Window(0, 0, 40, 50), [0])
    assert planes[0][:5, 10:15].all()
    assert planes[0].sum() == 25


def test_positions_run_from_minus_a_half_to_a_half() -> None:
    planes = PositionPlanes(Position("at", radius=True), Grid(None, Affine.identity(), 5, 9))
    (row, col, radius), _ = planes.read(Window(0, 0, 5, 9), [0, 1, 2])
    assert planes.names == ("at:row", "at:column", "at:radius")
    assert row[:, 3].tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    assert col[2].tolist() == [-0.5, -0.375, -0.25, -0.125, 0, 0.125, 0.25, 0.375, 0.5]
    assert radius[2, 4] == 0
    assert radius[0, 0] == pytest.approx(np.hypot(0.5, 0.5))


def test_scale_and_raw_positions() -> None:
    grid = Grid(None, Affine.identity(), 5, 9)
    (row, _), _ = PositionPlanes(Position("at", scale=0.4), grid).read(Window(0, 0, 5, 9), [0, 1])
    assert row.max() == np.float32(0.2)
    (row, col), _ = PositionPlanes(Position("at", centered=False, normalized=False), grid).read(Window(1, 2, 2, 2), [0, 1])
    assert row.tolist() == [[1, 1], [2, 2]]
    assert col.tolist() == [[2, 3], [2, 3]]


def test_a_constant_fills_its_plane() -> None:
    (plane,), valid = ConstantPlane(Constant("gsd", 0.4)).read(Window(3, 3, 4, 5), [0])
    assert plane.dtype == np.float32
    assert (plane == np.float32(0.4)).all()
    assert valid.shape == (4, 5)
