"""Polygons of a class raster: exact, valid, placed, the same for every strip, and refused where it is no map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from rasterio.features import shapes

from swath.core.errors import DataError, ResourceError
from swath.core.legend import ClassEntry, Legend
from swath.disk.vectors.polygons import Polygons, class_raster, confidence_raster, map_polygons

Maker = Callable[..., Path]
LEGEND = Legend((ClassEntry(0, "other", "#000000"), ClassEntry(1, "roof", "#ff0000"), ClassEntry(7, "tree", "#00ff00")))
RASTERS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 3))
ROTATED = Affine.translation(583_000, 4_507_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
SOUTH_UP = Affine(0.5, 0.0, 583_000.0, 0.0, 0.5, 4_507_000.0)


def smooth(height: int, width: int, classes: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random patches with holes, islands and single pixels."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, classes, (height // 4 + 1, width // 5 + 1)), np.ones((4, 5), int))[:height, :width]
    noise = rng.random((height, width)) < 0.1
    return np.where(noise, rng.integers(0, classes, (height, width)), coarse).astype(np.uint8)


def joined(batches: list[Polygons]) -> list[tuple[Any, ...]]:
    columns = [(shapely.to_wkb(b.geometry), b.classes, b.pixels, b.area_m2, b.confidence.astype(str)) for b in batches]
    return [row for c in columns for row in zip(*c, strict=True)]


def reference(values: NDArray[Any], transform: Affine, background: bool = False) -> set[tuple[int, bytes]]:
    """(class, normalised geometry in tenths of a millimetre) by GDAL, of the whole image at once."""
    mask = np.ones(values.shape, bool) if background else values != 0
    found = shapes(values, mask=mask, connectivity=4, transform=transform)
    return {(int(v), canonical(shapely.geometry.shape(s))) for s, v in found}


def canonical(geometry: shapely.Geometry) -> bytes:
    return shapely.to_wkb(shapely.normalize(shapely.set_precision(geometry, 1e-4)))


@pytest.mark.parametrize("strip", [1, 7, 64, None])
@pytest.mark.parametrize("transform", [None, ROTATED, SOUTH_UP], ids=["north-up", "rotated", "south-up"])
def test_polygons_are_those_of_the_whole_image(make_raster: Maker, strip: int | None, transform: Affine | None) -> None:
    values = smooth(130, 97, 4)
    path = make_raster("map.tif", values, tiled=True, blockxsize=16, blockysize=16, **_given(transform))
    source = class_raster(path)
    batches = list(map_polygons(source, strip=strip))
    found = {(int(c), canonical(g)) for b in batches for g, c in zip(b.geometry, b.classes, strict=True)}
    assert found == reference(values, source.grid.transform)
    assert sum(int(b.pixels.sum()) for b in batches) == np.count_nonzero(values)
    for b in batches:
        assert shapely.is_valid(b.geometry).all()
        assert shapely.is_ccw(shapely.get_exterior_ring(b.geometry)).all()
        np.testing.assert_allclose(shapely.area(b.geometry), b.pixels * 0.25, rtol=1e-6)
        np.testing.assert_allclose(b.area_m2, b.pixels * 0.25, rtol=2e-3)  # the UTM scale


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(RASTERS, st.integers(1, 9))
def test_strips_change_no_byte(make_raster: Maker, values: NDArray[np.uint8], strip: int) -> None:
    source = class_raster(make_raster("map.tif", values))
    whole, cut = list(map_polygons(source, strip=len(values))), list(map_polygons(source, strip=strip))
    assert joined(whole) == joined(cut)
    assert [len(b) for b in whole] == [len(b) for b in cut]
    for value in (1, 2, 3):
        assert sum(int(b.pixels[b.classes == value].sum()) for b in whole) == np.count_nonzero(values == value)


def test_wanted_values_nodata_and_masked_pixels(make_raster: Maker) -> None:
    values = np.array([[0, 0, 7, 7], [1, 1, 255, 7]], np.uint8)
    source = class_raster(make_raster("map.tif", values, nodata=255))
    assert ids(map_polygons(source)) == [1, 7]
    assert ids(map_polygons(source, legend=LEGEND)) == [1, 7]
    assert ids(map_polygons(source, wanted=[0, 7], legend=LEGEND)) == [0, 7]
    assert ids(map_polygons(source, wanted=[])) == []
    with rasterio.open(source.path, "r+") as dataset:
        dataset.nodata = None
        dataset.write_mask(values < 7)
    assert ids(map_polygons(class_raster(source.path))) == [1]


def ids(batches: Any) -> list[int]:
    return sorted(int(c) for b in batches for c in b.classes)


def test_uint16_ids_are_kept(make_raster: Maker) -> None:
    source = class_raster(make_raster("map.tif", np.array([[300, 0], [0, 65534]], np.uint16), nodata=65535))
    assert ids(map_polygons(source)) == [300, 65534]


def test_a_value_that_is_no_class_is_named(make_raster: Maker) -> None:
    source = class_raster(make_raster("map.tif", np.array([[0, 1, 9]], np.uint8)))
    with pytest.raises(DataError, match=r"map\.tif: label values without a class: 9; .*7 tree"):
        list(map_polygons(source, legend=LEGEND))


def test_confidence_is_the_mean_of_each_polygon(make_raster: Maker) -> None:
    source = class_raster(make_raster("map.tif", np.array([[1, 1, 0, 2], [1, 1, 0, 3]], np.uint8)))
    percent = np.array([[100, 50, 7, 255], [60, 255, 7, 0]], np.uint8)
    shares = confidence_raster(make_raster("confidence.tif", percent, nodata=255), source.grid)
    [batch] = map_polygons(source, confidence=shares)
    found = dict(zip(batch.classes.tolist(), batch.confidence.tolist(), strict=True))
    assert found[1] == pytest.approx(0.7)
    assert np.isnan(found[2])
    assert found[3] == 0


@pytest.mark.parametrize("strip", [1, None])
def test_simplified_polygons_are_valid_near_and_fewer_points(make_raster: Maker, strip: int | None) -> None:
    y, x = np.mgrid[:200, :200]
    values = (np.hypot(x - 100, y - 90) < 80).astype(np.uint8) - (np.hypot(x - 110, y - 95) < 30)
    source = class_raster(make_raster("map.tif", values.astype(np.uint8)))
    [exact], [simple] = (list(map_polygons(source, simplify_m=m, strip=strip)) for m in (0.0, 1.0))
    assert shapely.is_valid(simple.geometry).all()
    assert shapely.get_num_coordinates(simple.geometry)[0] < shapely.get_num_coordinates(exact.geometry)[0] / 4
    assert shapely.hausdorff_distance(exact.geometry[0], simple.geometry[0]) <= 1.0
    np.testing.assert_array_equal(simple.area_m2, exact.area_m2)


def test_metres_of_simplification_are_metres_in_degrees_too(make_raster: Maker) -> None:
    stairs = np.tril(np.ones((100, 100), np.uint8))
    transform = Affine(2e-5, 0, 10.0, 0, -1e-5, 60.0)  # about 1.1 m both ways at 60 degrees
    source = class_raster(make_raster("map.tif", stairs, crs="EPSG:4326", transform=transform))
    points = {m: shapely.get_num_coordinates(next(map_polygons(source, simplify_m=m)).geometry[0]) for m in (0.4, 1.5)}
    assert points[0.4] > 150
    assert points[1.5] < 10


def test_memory_is_a_limit(make_raster: Maker) -> None:
    board = np.indices((300, 300)).sum(0) % 2 + 1
    source = class_raster(make_raster("map.tif", board.astype(np.uint8)))
    with pytest.raises(ResourceError, match="outlines need"):
        list(map_polygons(source, memory=2_000_000))


def test_progress_counts_every_row(make_raster: Maker) -> None:
    rows: list[int] = []
    source = class_raster(make_raster("map.tif", np.ones((20, 4), np.uint8)))
    list(map_polygons(source, strip=7, advance=rows.append))
    assert sum(rows) == 20


@pytest.mark.parametrize(
    ("array", "code", "fix"),
    [
        (np.zeros((3, 4, 4), np.uint8), "map-bands", "gdal_translate -b"),
        (np.zeros((4, 4), np.float32), "map-dtype", "gdal_translate -ot"),
        (np.zeros((4, 4), np.int32), "map-dtype", "gdal_translate -ot"),
    ],
)
def test_what_is_no_class_raster_is_refused(make_raster: Maker, array: NDArray[Any], code: str, fix: str) -> None:
    with pytest.raises(DataError) as e:
        class_raster(make_raster("image.tif", array))
    assert (e.value.code, fix in e.value.fix) == (code, True)


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        class_raster(tmp_path / "none.tif")


@pytest.mark.parametrize(
    ("array", "options", "code"),
    [
        (np.zeros((4, 4), np.float32), {}, "confidence-dtype"),
        (np.zeros((2, 4, 4), np.uint8), {}, "confidence-dtype"),
        (np.zeros((4, 5), np.uint8), {}, "confidence-grid"),
        (np.zeros((4, 4), np.uint8), {"transform": SOUTH_UP}, "confidence-grid"),
    ],
)
def test_a_confidence_of_another_kind_or_grid_is_refused(
    make_raster: Maker, array: NDArray[Any], options: dict[str, Any], code: str
) -> None:
    source = class_raster(make_raster("map.tif", np.ones((4, 4), np.uint8)))
    with pytest.raises(DataError) as e:
        confidence_raster(make_raster("confidence.tif", array, **options), source.grid)
    assert e.value.code == code


def test_a_confidence_above_100_percent_is_refused(make_raster: Maker) -> None:
    source = class_raster(make_raster("map.tif", np.ones((4, 4), np.uint8)))
    shares = confidence_raster(make_raster("confidence.tif", np.full((4, 4), 130, np.uint8)), source.grid)
    with pytest.raises(DataError, match=r"confidence\.tif: holds 130"):
        list(map_polygons(source, confidence=shares))


def _given(transform: Affine | None) -> dict[str, Any]:
    return {} if transform is None else {"transform": transform}
