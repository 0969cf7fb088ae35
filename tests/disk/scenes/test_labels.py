"""Labels of every kind arrive as class indices on the image's grid; what does not fit is refused with numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.windows import Window
from swath.disk.rasters.crs import project
from swath.disk.scenes.labels import open_labels
from swath.disk.scenes.manifest import Scene
from swath.specs import LabelsSpec

Make = Callable[..., Path]
UTM = "EPSG:32618"
CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)
H, W = 60, 80
GRID = Grid(UTM, CORNER, H, W)
IGNORE = 255


def legend(*entries: tuple[Any, ...], **settings: Any) -> Legend:
    """The legend of (id, name, *sources) entries."""
    return Legend(tuple(ClassEntry(i, name, "#112233", tuple(source)) for i, name, *source in entries), **settings)


ROOFS = legend((0, "ground"), (1, "roof"), field="class")


def box(row: float, col: float, height: float, width: float, transform: Affine = CORNER) -> shapely.Polygon:
    """The rectangle of a pixel box, in CRS units."""
    left, top = transform @ (col, row)
    right, bottom = transform @ (col + width, row + height)
    return shapely.box(left, bottom, right, top)


def read(
    labels: Path, table: Legend = ROOFS, *, grid: Grid = GRID, spec: dict[str, Any] | None = None,
    window: Window | None = None, events: Events | None = None, **scene: Any,
) -> NDArray[Any]:  # fmt: skip
    """The class indices of a window (default: all) of the image's grid."""
    found = Scene("scene", Path("image.tif"), labels, **scene)
    opened = open_labels(found, grid, table, LabelsSpec(**(spec or {})), events or Events())
    return opened.read(window or Window(0, 0, *grid.shape))


def test_pixel_centres_are_burnt_or_all_touched(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(5.4, 10.4, 10, 20)], {"class": [1]})
    expected = np.zeros((H, W), np.uint8)
    expected[5:15, 10:30] = 1
    assert np.array_equal(read(path), expected)
    expected[5:16, 10:31] = 1
    assert np.array_equal(read(path, spec={"all_touched": True}), expected)


def test_any_window_is_a_part_of_the_whole_and_ignored_beyond_the_edge(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(5, 10, 30, 40), box(33, 41, 20, 20)], {"class": [1, 1]})
    whole = np.pad(read(path), 20, constant_values=IGNORE)
    for window in (Window(0, 0, 7, 9), Window(30, 35, 20, 30), Window(-10, -20, 40, 50), Window(50, 70, 30, 30)):
        rows, cols = window.slices(Window(-20, -20, 0, 0))
        assert np.array_equal(read(path, window=window), whole[rows, cols])


def test_labels_in_degrees_burn_like_labels_in_metres(make_vector: Make) -> None:
    grid = Grid(UTM, CORNER, 400, 400)
    rng = np.random.default_rng(3)
    shapes = [shapely.Point(*(CORNER @ rng.uniform(20, 380, 2))).buffer(rng.uniform(4, 20)) for _ in range(30)]
    classes = {"class": [1] * len(shapes)}
    metres = read(make_vector("m.gpkg", shapes, classes), grid=grid)
    moved = [shapely.transform(s, lambda xy: project(xy, UTM, "EPSG:4326")) for s in shapes]
    degrees = read(make_vector("d.gpkg", moved, classes, crs="EPSG:4326"), grid=grid)
    assert metres.sum() > 10_000
    assert (metres == degrees).mean() >= 0.999


def test_the_higher_class_id_wins_wherever_it_stands(make_vector: Make) -> None:
    table = legend((0, "ground"), (3, "road"), (7, "roof"), field="class")
    shapes, classes = [box(0, 0, 20, 20), box(10, 10, 20, 20)], [7, 3]
    for order in ([0, 1], [1, 0]):
        path = make_vector(f"{order[0]}.gpkg", [shapes[i] for i in order], {"class": [classes[i] for i in order]})
        found = read(path, table)
        assert (found[:20, :20] == table.index("roof")).all()
        assert (found[20:30, 10:30] == table.index("road")).all()


def test_a_field_decides_who_wins(make_vector: Make) -> None:
    table = legend((0, "ground"), (1, "road"), (2, "roof"), field="class")
    shapes = [box(0, 0, 20, 20), box(10, 10, 20, 20)]
    path = make_vector("a.gpkg", shapes, {"class": [1, 2], "rank": [5.0, 1.0]})
    assert read(path, table)[15, 15] == 2
    assert read(path, table, spec={"priority": "rank"})[15, 15] == 1
    with pytest.raises(DataError, match=r"no field 'rang'; did you mean 'rank'\?"):
        read(path, table, spec={"priority": "rang"})


def test_features_without_a_rank_lie_below_all_others(make_vector: Make) -> None:
    table = legend((0, "ground"), (1, "road"), (2, "roof"), field="class")
    shapes = [box(0, 0, 20, 20), box(10, 10, 20, 20)]
    path = make_vector("a.gpkg", shapes, {"class": [2, 1], "rank": np.array([None, "b"], object)})
    assert read(path, table, spec={"priority": "rank"})[15, 15] == 1


def test_text_classes_by_name_or_source(make_vector: Make) -> None:
    table = legend((0, "ground"), (1, "tree", "forest", "woods"), (2, "lake"), field="kind")
    shapes = [box(0, 0, 5, 5), box(0, 10, 5, 5), box(0, 20, 5, 5)]
    found = read(make_vector("a.gpkg", shapes, {"kind": ["forest", "woods", "lake"]}), table)
    assert [found[2, c] for c in (2, 12, 22, 32)] == [1, 1, 2, 0]


def test_unknown_classes_are_listed(make_vector: Make, make_raster: Make) -> None:
    shapes = [box(0, 0, 5, 5), box(0, 10, 5, 5), box(0, 20, 5, 5)]
    with pytest.raises(DataError, match="without a class: 2, 9") as caught:
        read(make_vector("a.gpkg", shapes, {"class": [1, 9, 2]}))
    assert "classes are 0 ground, 1 roof" in caught.value.fix
    with pytest.raises(DataError, match=r"m\.tif: label values without a class: 4"):
        read(make_raster("m.tif", np.full((H, W), 4, np.uint8)))


def test_a_missing_class_is_ignored(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(0, 0, 5, 5), box(0, 10, 5, 5)], {"class": np.array(["1", None], object)})
    found = read(path)
    assert (found[:5, :5] == 1).all()
    assert (found[:5, 10:15] == IGNORE).all()


@pytest.mark.parametrize("missing", [np.nan, None, "", "  "])
def test_features_without_a_class_are_ignored_and_counted(make_vector: Make, missing: Any) -> None:
    kind = float if missing is not None and missing != missing else object
    path = make_vector("a.gpkg", [box(2, 2, 4, 4), box(10, 2, 4, 4), box(20, 2, 4, 4)], {"class": np.array([1, missing, missing], kind)})
    events = Events()
    found = read(path, events=events)
    assert (found[2:6, 2:6] == 1).all()
    assert (found[10:14, 2:6] == IGNORE).all()
    assert (found == IGNORE).sum() == 32
    assert events.as_dict() == {"feature without a class ignored": 2}


def test_a_date_is_a_class_by_its_text(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(2, 2, 4, 4)], {"day": np.array(["2020-01-01"], "datetime64[ms]")})
    with pytest.raises(DataError, match="label values without a class: 2020-01-01"):
        read(path, legend((0, "ground"), (1, "roof"), field="day"))


@pytest.mark.parametrize("coordinate", [np.nan, np.inf, -np.inf, 1e300])
def test_a_polygon_with_a_coordinate_that_is_no_number_lies_nowhere(make_vector: Make, coordinate: float) -> None:
    x, y = CORNER @ (30, 30)
    with np.errstate(invalid="ignore"):
        torn = shapely.Polygon([(x, y), (x + 5, coordinate), (x + 5, y + 5)])
    path = make_vector("a.gpkg", [torn, box(2, 2, 4, 4)], {"class": [1, 1]})
    events = Events()
    assert (read(path, events=events) == 1).sum() == 16
    assert events.as_dict() == {"null or empty geometry skipped": 1}


@pytest.mark.parametrize("size", [1e7, 1e10, 1e15, 1e100])
def test_a_polygon_far_larger_than_the_image_covers_it(make_vector: Make, size: float) -> None:
    hole = box(10, 10, 20, 30)
    path = make_vector("a.geojson", [shapely.box(-size, -size, size, size).difference(hole)], {"class": [1]})
    found = read(path)
    assert (found[10:30, 10:40] == 0).all()
    assert (found == 0).sum() == 600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([
    CORNER, Affine(0.1, 0, 500_000.05, 0, -0.1, 5_000_000.15), Affine(1 / 3, 0, 500_000.7, 0, -1 / 3, 4_999_999.9),
    Affine.translation(500_000.3, 5_000_000.1) @ Affine.rotation(30) @ Affine.scale(0.7, -0.7),
]))  # fmt: skip
def test_edges_through_pixel_centres_are_burnt_alike_by_every_window(make_vector: Make, seed: int, transform: Affine) -> None:
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 55, (30, 2)) + 0.5
    size = rng.integers(1, 9, (30, 2))
    shapes = [
        shapely.Polygon([(c, r), (c + w, r + h), (c, r + h)]) if n % 2 else shapely.box(c, r, c + w, r + h)
        for n, ((r, c), (h, w)) in enumerate(zip(at.tolist(), size.tolist(), strict=True))
    ]
    placed = [shapely.transform(s, lambda xy: np.column_stack(transform @ (xy[:, 0], xy[:, 1]))) for s in shapes]
    grid = Grid(UTM, transform, H, W)
    path = make_vector(f"{seed}.gpkg", placed, {"class": rng.integers(1, 4, 30)})
    table = legend((0, "ground"), (1, "a"), (2, "b"), (3, "c"), field="class")
    opened = open_labels(Scene("scene", Path("image.tif"), path), grid, table, LabelsSpec(), Events())
    path.unlink()
    whole = opened.read(Window(0, 0, H, W))
    for row in range(0, H, 7):
        for col in range(0, W, 11):
            window = Window(row, col, 7, 11).clip(H, W)
            assert np.array_equal(opened.read(window), whole[window.slices()])


def test_unlabelled_may_be_ignored_and_counts_inside_the_labels_only(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(10, 20, 5, 5), box(30, 50, 10, 10)], {"class": [1, 1]})
    found = read(path, legend((0, "ground"), (1, "roof"), field="class", unlabelled="ignore"))
    assert sorted(np.unique(found).tolist()) == [1, IGNORE]
    inside = read(path, spec={"extent": "labels"})
    expected = np.full((H, W), IGNORE, np.uint8)
    expected[10:40, 20:60] = read(path)[10:40, 20:60]
    assert np.array_equal(inside, expected)


def test_an_area_of_interest_ignores_what_lies_outside(make_vector: Make, make_raster: Make) -> None:
    path = make_vector("a.gpkg", [box(0, 0, 30, 30)], {"class": [1]})
    aoi = make_vector("aoi.gpkg", [box(10, 10, 40, 40)])
    found = read(path, aoi=aoi)
    expected = np.full((H, W), IGNORE, np.uint8)
    expected[10:50, 10:50] = read(path)[10:50, 10:50]
    assert np.array_equal(found, expected)
    mask = make_raster("m.tif", read(path))
    assert np.array_equal(read(mask, aoi=aoi), expected)
    far = make_vector("far.gpkg", [box(1000, 1000, 40, 40)])
    with pytest.raises(DataError, match=r"far\.gpkg: no polygon touches the image"):
        read(path, aoi=far)


def test_repairs_of_an_area_of_interest_are_counted(make_vector: Make) -> None:
    x, y = CORNER @ (10, 30)
    bow = shapely.Polygon([(x, y), (x + 10, y + 10), (x + 10, y), (x, y + 10)])
    events = Events()
    found = read(make_vector("a.gpkg", [box(0, 0, H, W)], {"class": [1]}), events=events, aoi=make_vector("aoi.gpkg", [bow]))
    assert events.as_dict() == {"invalid geometry repaired": 1}
    assert 0 < (found == 1).sum() < H * W


def test_invalid_polygons_are_repaired_skipped_or_refused(make_vector: Make) -> None:
    (left, top), (right, bottom) = CORNER @ (10, 10), CORNER @ (30, 30)
    bow = shapely.Polygon([(left, top), (right, bottom), (right, top), (left, bottom)])
    path = make_vector("a.gpkg", [bow, None, box(40, 40, 5, 5)], {"class": [1, 1, 1]})
    events = Events()
    repaired = read(path, events=events)
    assert events.as_dict()["invalid geometry repaired"] == 1
    assert 150 < repaired[10:30, 10:30].sum() < 250
    events = Events()
    assert read(path, spec={"invalid": "skip"}, events=events).sum() == 25
    assert events.as_dict()["invalid geometry skipped"] == 1
    with pytest.raises(DataError, match="1 invalid geometries"):
        read(path, spec={"invalid": "error"})


def test_which_field_is_asked_where_it_is_not_clear(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [box(0, 0, 5, 5)], {"type": [1], "height": [3.5]})
    assert read(path, legend((0, "ground"), (1, "roof"))).sum() == 25
    two = legend((0, "ground"), (1, "roof"), (2, "road"))
    with pytest.raises(DataError, match=r"which field holds the class.*type, height"):
        read(path, two)
    assert read(path, two, field="type").sum() == 25
    with pytest.raises(DataError, match="no field 'typ'"):
        read(path, two, field="typ")


def test_a_label_raster_on_the_grid_is_taken_as_it_is(make_raster: Make) -> None:
    values = np.random.default_rng(1).choice(np.array([0, 5, 9], np.uint8), (H, W))
    table = legend((0, "ground"), (5, "roof"), ignored=(9,))
    events = Events()
    found = read(make_raster("m.tif", values), table, events=events)
    assert np.array_equal(found, np.select([values == 0, values == 5], [0, 1], IGNORE))
    assert events.as_dict() == {}


def test_a_label_raster_on_another_grid_is_warped_and_told(make_raster: Make) -> None:
    coarse = np.random.default_rng(1).integers(0, 2, (H // 2, W // 2)).astype(np.uint8)
    events = Events()
    found = read(make_raster("m.tif", coarse, transform=CORNER @ Affine.scale(2)), events=events)
    assert np.array_equal(found, np.kron(coarse, np.ones((2, 2), np.uint8)))
    assert events.as_dict() == {"label raster warped by nearest neighbour": 1}


@pytest.mark.parametrize("nodata", [None, 0, 1, 7])
def test_beyond_a_smaller_label_raster_nothing_counts(make_raster: Make, nodata: int | None) -> None:
    part = np.random.default_rng(1).integers(0, 2, (20, 30)).astype(np.uint8)
    path = make_raster("m.tif", part, transform=CORNER @ Affine.translation(10, 5), nodata=nodata)
    found = read(path)
    assert np.array_equal(found[5:25, 10:40], part)
    found[5:25, 10:40] = IGNORE
    assert (found == IGNORE).all()


def test_trap_1_a_nodata_tag_that_is_a_class_is_told_and_not_applied(make_raster: Make) -> None:
    values = np.zeros((H, W), np.uint8)
    values[10:20, 10:20] = 1
    events = Events()
    found = read(make_raster("m.tif", values, nodata=1), events=events)
    assert np.array_equal(found, values)
    assert events.as_dict() == {"nodata tag equal to a class not applied": 1}
    values[0, 0] = 7
    found = read(make_raster("n.tif", values, nodata=7))
    assert found[0, 0] == IGNORE
    assert found.sum() == 100 + IGNORE


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_what_the_mask_of_a_label_raster_hides_does_not_count(make_raster: Make, shift: float) -> None:
    values = np.zeros((H, W), np.uint8)
    values[10:20] = 1
    path = make_raster("labels.tif", values, transform=Affine.translation(shift, 0) @ CORNER)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
        sink.write_mask(np.repeat(np.arange(W) >= 30, H).reshape(W, H).T.astype(np.uint8) * 255)
    found = read(path)
    assert (found[:, :30] == IGNORE).all()
    assert (found[:, 31:] == values[:, 31:]).all()


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_what_the_alpha_band_of_a_label_raster_hides_does_not_count(make_raster: Make, shift: float) -> None:
    values = np.full((2, H, W), 255, np.uint8)
    values[0] = 1
    values[1, 20:] = 0
    path = make_raster("labels.tif", values, transform=Affine.translation(shift, 0) @ CORNER,
                       ALPHA="YES")  # fmt: skip
    found = read(path)
    assert (found[20:] == IGNORE).all()
    assert (found[:20, 1:] == 1).all()


@pytest.mark.parametrize("value", [0xFF00, -1, 256])
def test_a_colour_beyond_eight_bits_is_no_colour(make_raster: Make, value: int) -> None:
    mask = np.zeros((3, H, W), np.int32)
    mask[2, 5:9] = value
    with pytest.raises(DataError, match="a colour mask of int32 with values beyond 0 to 255") as caught:
        read(make_raster("mask.tif", mask), legend((0, "ground"), (1, "green", "#00ff00")))
    assert caught.value.code == "labels-colours"


@pytest.mark.parametrize("shift", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_palette_is_read_by_its_colours_where_classes_are_colours(make_raster: Make, shift: float, dtype: Any) -> None:
    numbers = np.zeros((H, W), dtype)
    numbers[5:20], numbers[30:40], numbers[50:] = 3, 1, 7
    path = make_raster("mask.tif", numbers, transform=Affine.translation(shift, 0) @ CORNER, photometric="palette")
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 3: (0, 255, 0, 255), 7: (255, 0, 0, 255)})
    by_colour = read(path, legend((0, "ground"), (4, "green", "#00ff00"), (9, "red", "#ff0000")))[:, 1:]
    expected = np.zeros((H, W - 1), np.uint8)
    expected[5:20], expected[30:40], expected[50:] = 1, 2, 2
    assert np.array_equal(by_colour, expected)
    by_number = read(path, legend((0, "ground", 0), (4, "green", 3, "#00ff00"), (9, "red", 1, 7)))[:, 1:]
    assert np.array_equal(by_number, expected)
    with pytest.raises(DataError, match="#ff0000"):
        read(path, legend((0, "ground"), (4, "green", "#00ff00")))


def test_grey_thresholds(make_raster: Make) -> None:
    values = np.arange(H * W, dtype=np.int64).reshape(H, W) % 256
    table = legend((0, "ground"), (1, "roof", ">127"))
    found = read(make_raster("m.tif", values.astype(np.uint8), nodata=0), table)
    assert np.array_equal(found, values > 127)


def test_colour_masks(make_raster: Make) -> None:
    table = legend((0, "ground", "#ffffff"), (1, "roof", "#ff0000"), (2, "tree", "#00ff00"))
    classes = np.random.default_rng(2).integers(0, 3, (H, W))
    colours = np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0]], np.uint8)
    rgb = np.moveaxis(colours[classes], 2, 0)
    assert np.array_equal(read(make_raster("m.tif", rgb), table), classes)
    rgb = rgb.copy()
    rgb[:, 3, 4], rgb[:, 5, 6] = (1, 2, 3), (0, 0, 0)
    with pytest.raises(DataError, match="without a class: #010203;"):
        read(make_raster("n.tif", rgb), table)
    rgb[:, 3, 4] = (0, 0, 0)
    assert read(make_raster("o.tif", rgb), table)[5, 6] == 0


@pytest.mark.parametrize("bands", [3, 4])
def test_a_warped_colour_mask_counts_nothing_beyond_its_edge(make_raster: Make, bands: int) -> None:
    table = legend((0, "ground", "#ffffff"), (1, "roof", "#ff0000"))
    colours = np.zeros((bands, 20, 30), np.uint8)
    colours[[0, 3] if bands == 4 else 0] = 255
    place = CORNER @ Affine.translation(10, 5)
    kinds = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)[:bands]
    found = read(make_raster("m.tif", colours, transform=place, colorinterp=kinds), table)
    assert (found[5:25, 10:40] == 1).all()
    found[5:25, 10:40] = IGNORE
    assert (found == IGNORE).all()


def test_labels_without_place_fit_by_their_size_alone(make_raster: Make, make_vector: Make) -> None:
    values = np.random.default_rng(1).integers(0, 2, (H, W)).astype(np.uint8)
    plain = make_raster("m.png.tif", values, crs=None, transform=None)
    bare = Grid(None, Affine.identity(), H, W)
    assert np.array_equal(read(plain, grid=bare), values)
    assert np.array_equal(read(plain), values)
    with pytest.raises(DataError, match=r"is 80 x 60 pixels, the image 50 x 40"):
        read(plain, grid=Grid(None, Affine.identity(), 40, 50))
    polygons = make_vector("a.gpkg", [box(0, 0, 5, 5)], {"class": [1]})
    with pytest.raises(DataError, match="the image has no CRS, the other has EPSG:32618"):
        read(polygons, grid=bare)


def test_labels_elsewhere_are_refused_with_both_places(make_raster: Make) -> None:
    far = make_raster("m.tif", np.zeros((H, W), np.uint8), transform=CORNER @ Affine.translation(5000, 0))
    with pytest.raises(DataError, match="do not overlap") as caught:
        read(far)
    assert "585500" in caught.value.message
    assert "583000" in caught.value.message


def test_polygons_elsewhere_are_refused_where_no_other_scene_has_them(make_vector: Make) -> None:
    far, none = make_vector("far.gpkg", [box(0, 5000, 9, 9)], {"class": [1]}), make_vector("none.gpkg", [], {"class": []})
    around = make_vector("around.gpkg", [box(-50, -50, 9, 9), box(90, 90, 9, 9)], {"class": [1, 1]})
    for path in (far, none, around):
        assert (read(path) == 0).all()
    for path in (none, around):
        open_labels(Scene("scene", Path("a.tif"), path), GRID, ROOFS, LabelsSpec(), Events(), alone=True)
    with pytest.raises(DataError, match=r"far\.gpkg: covers 585500 4506995\.5 585504\.5 4507000, the image 583000 4506970 "):
        open_labels(Scene("scene", Path("a.tif"), far), GRID, ROOFS, LabelsSpec(), Events(), alone=True)


def test_a_scene_without_labels_is_named() -> None:
    with pytest.raises(DataError, match="scene: the scene has no labels"):
        open_labels(Scene("scene", Path("a.tif")), GRID, ROOFS, LabelsSpec(), Events())


def test_a_truncated_label_raster_is_named(make_raster: Make) -> None:
    values = np.random.default_rng(1).integers(0, 2, (H, W)).astype(np.uint8)
    path = make_raster("m.tif", values, compress="deflate")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"m\.tif.*: cannot be (read|opened)"):
        read(path)


def joined(files: Sequence[Path], table: Legend, spec: dict[str, Any] | None = None, events: Events | None = None, **scene: Any) -> NDArray[Any]:
    found = Scene("scene", Path("image.tif"), files[0], further=tuple(files[1:]), **scene)
    return open_labels(found, GRID, table, LabelsSpec(**(spec or {})), events or Events()).read(Window(0, 0, H, W))


THREE = legend((0, "ground"), (1, "a"), (2, "b"), (3, "c"), field="class")


def test_several_files_burn_like_one_layer_of_all_their_features(make_vector: Make) -> None:
    rng = np.random.default_rng(4)
    places = [box(*rng.uniform(0, 50, 2), *rng.uniform(2, 25, 2)) for _ in range(30)]
    ids, rank = rng.integers(1, 4, 30), rng.permutation(30)
    files = [
        make_vector(f"{n}{suffix}", places[10 * n : 10 * n + 10], {"class": ids[10 * n : 10 * n + 10], "rank": rank[10 * n : 10 * n + 10]})
        for n, suffix in enumerate((".gpkg", ".fgb", ".shp"))
    ]
    whole = make_vector("whole.gpkg", places, {"class": ids, "rank": rank})
    for spec in ({}, {"priority": "rank"}, {"all_touched": True}):
        assert np.array_equal(joined(files, THREE, spec), read(whole, THREE, spec=spec))
    by_rank = joined(files, THREE, {"priority": "rank"})
    assert np.array_equal(joined(files[::-1], THREE, {"priority": "rank"}), by_rank)
    assert not np.array_equal(joined(files, THREE), by_rank)


def test_what_happens_to_several_files_is_counted_once_each_and_an_area_cuts_all(make_vector: Make) -> None:
    files = [
        make_vector("a.gpkg", [box(0, 0, 10, 10), None], {"class": [1, 1]}),
        make_vector("b.gpkg", [box(20, 20, 10, 10), shapely.Point(CORNER @ (5, 5))], {"class": [2.0, 1.0]}),
        make_vector("c.gpkg", [box(40, 40, 10, 10)], {"class": np.array([np.nan])}),
    ]
    events = Events()
    found = joined(files, THREE, events=events, aoi=make_vector("aoi.gpkg", [box(0, 0, 30, 25)]))
    assert events.as_dict() == {"point or line skipped": 1, "feature without a class ignored": 1}
    assert (found == 1).sum() == 100
    assert (found == 2).sum() == 50
    assert (found == IGNORE).sum() == H * W - 30 * 25


def test_what_cannot_be_joined_is_named(make_vector: Make, make_raster: Make) -> None:
    polygons = make_vector("a.gpkg", [box(0, 0, 10, 10)], {"class": [1], "rank": [1]})
    points = make_vector("p.gpkg", [shapely.Point(CORNER @ (5, 5))], {"class": [1]}, geometry_type="Point")
    texts = make_vector("t.gpkg", [box(0, 0, 10, 10)], {"class": [1], "rank": ["high"]})
    raster = make_raster("r.tif", np.zeros((H, W), np.uint8))
    for other, told in ((points, "holds points"), (raster, "is a label raster")):
        for files in ([polygons, other], [other, polygons]):
            with pytest.raises(DataError, match=told) as e:
                joined(files, THREE)
            assert e.value.code == "labels-many"
            assert e.value.where == str(other)
    with pytest.raises(DataError, match="numbers in one file and texts in another"):
        joined([polygons, texts], THREE, {"priority": "rank"})
