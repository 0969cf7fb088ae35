"""The GeoPackage of a map: its polygons, fields, style, classes, and what happens to bad input."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.legend import ClassEntry, Legend
from swath.disk.rasters.maps import PREFIX
from swath.disk.vectors import geopackage
from swath.specs import VectorizeSpec
from swath.steps.vectorize import vectorize

Maker = Callable[..., Path]
CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)
LEGEND = Legend(
    (
        ClassEntry(0, "other", "#000000"),
        ClassEntry(1, "roof", "#efcd08"),
        ClassEntry(2, "water & <ice>", "#0000ff"),
        ClassEntry(5, "tree", "#0f0"),
    )
)


@pytest.fixture
def make_map(make_raster: Maker) -> Maker:
    """A class map as predict writes it: nodata 255 and the class table inside."""

    def make(path: str, values: Any, legend: Legend | None = LEGEND, **options: Any) -> Path:
        target = make_raster(path, np.asarray(values, np.uint8), nodata=255, **options)
        if legend is not None:
            with rasterio.open(target, "r+") as dataset:
                dataset.update_tags(**{f"{PREFIX}LEGEND": json.dumps(legend.as_dict())})
        return target

    return make


def layer(path: str | Path) -> tuple[dict[str, Any], list[shapely.Geometry], dict[str, NDArray[Any]]]:
    """(meta, geometries, fields) of the polygons."""
    meta, _, wkb, data = pyogrio.raw.read(path, layer="polygons")
    return meta, list(shapely.from_wkb(wkb)), dict(zip(meta["fields"].tolist(), data, strict=True))


def squares() -> NDArray[np.uint8]:
    values = np.zeros((60, 80), np.uint8)
    values[5:25, 5:25] = values[5:25, 40:60] = 1
    values[35:55, 20:40] = 5
    return values


def test_three_squares_are_three_polygons_in_the_map_s_crs(make_map: Maker, tmp_path: Path) -> None:
    result = vectorize(make_map("town_map.tif", squares()), tmp_path / "out" / "town.gpkg")
    meta, found, fields = layer(result["vectors"])
    assert CRS(meta["crs"]) == CRS("EPSG:32618")
    truth = [shapely.box(*(CORNER @ (c, r + 20)), *(CORNER @ (c + 20, r))) for r, c in ((5, 5), (5, 40), (35, 20))]
    assert len(found) == 3
    for square, polygon in zip(truth, found, strict=True):
        assert square.intersection(polygon).area / square.union(polygon).area > 0.98
    assert fields["class"].tolist() == [1, 1, 5]
    assert fields["name"].tolist() == ["roof", "roof", "tree"]
    assert fields["pixels"].tolist() == [400, 400, 400]
    assert fields["area_m2"] == pytest.approx([100] * 3, rel=1e-3)
    assert np.isnan(fields["confidence"]).all()
    assert result["classes"]["roof"] == {
        "polygons": 2, "pixels": 800, "area_m2": pytest.approx(float(fields["area_m2"][:2].sum()))
    }  # fmt: skip
    assert result["classes"]["water & <ice>"] == {"polygons": 0, "pixels": 0, "area_m2": 0.0}
    assert list(result["classes"]) == ["roof", "water & <ice>", "tree"]
    assert result["vectors"] == str(tmp_path / "out" / "town.gpkg")
    assert result["dropped"] == {}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["town.gpkg"]


def test_holes_and_diagonal_neighbours(make_map: Maker, tmp_path: Path) -> None:
    values = np.zeros((12, 12), np.uint8)
    values[0:6, 0:6] = 1
    values[2:4, 2:4] = 5
    values[6:12, 6:12] = 1
    _, found, fields = layer(vectorize(make_map("map.tif", values), tmp_path / "o.gpkg")["vectors"])
    assert sorted(zip(fields["class"].tolist(), fields["pixels"].tolist(), strict=True)) == [(1, 32), (1, 36), (5, 4)]
    assert sum(len(g.interiors) for g in found) == 1
    assert all(g.is_valid and g.geom_type == "Polygon" for g in found)


def test_areas_of_a_map_in_degrees_are_geodesic(make_map: Maker, tmp_path: Path) -> None:
    step = 1e-5
    values = np.zeros((300, 300), np.uint8)
    values[50:250, 100:200] = 1
    path = make_map("map.tif", values, crs="EPSG:4326", transform=Affine(step, 0, 6.1, 0, -step, 49.6))
    result = vectorize(path, tmp_path / "o.gpkg")
    west, east, north, south = 6.1 + 100 * step, 6.1 + 200 * step, 49.6 - 50 * step, 49.6 - 250 * step
    known = abs(Geod(ellps="WGS84").polygon_area_perimeter([west, east, east, west], [south, south, north, north])[0])
    assert result["classes"]["roof"]["area_m2"] == pytest.approx(known, rel=1e-3)
    assert layer(result["vectors"])[2]["area_m2"] == pytest.approx([known], rel=1e-6)


@pytest.mark.parametrize("transform", [None, Affine.identity()])
def test_a_map_without_georeference_is_written_in_pixels(
    make_map: Maker, tmp_path: Path, transform: Affine | None
) -> None:
    path = make_map("map.tif", [[0, 1], [0, 1]], crs=None, transform=transform)
    result = vectorize(path, tmp_path / "o.gpkg")
    meta, found, fields = layer(result["vectors"])
    assert meta["crs"] is None
    assert found[0].equals(shapely.box(1, 0, 2, 2))
    assert np.isnan(fields["area_m2"]).all()
    assert result["classes"]["roof"] == {"polygons": 1, "area_m2": None, "pixels": 2}
    for spec in (VectorizeSpec(min_area_m2=1), VectorizeSpec(simplify_m=1)):
        with pytest.raises(ConfigError, match="has no georeference"):
            vectorize(path, tmp_path / "p.gpkg", spec=spec)


def test_the_confidence_beside_the_map_or_a_named_one(make_map: Maker, make_raster: Maker, tmp_path: Path) -> None:
    path = make_map("town_map.tif", [[1, 1, 0, 5]])
    make_raster("town_confidence.tif", np.array([[80, 90, 10, 255]], np.uint8), nodata=255)
    named = make_raster("other.tif", np.array([[10, 20, 30, 40]], np.uint8))
    beside = layer(vectorize(path, tmp_path / "a.gpkg")["vectors"])[2]["confidence"]
    other = layer(vectorize(path, tmp_path / "b.gpkg", confidence=named)["vectors"])[2]["confidence"]
    assert beside[0] == pytest.approx(0.85)
    assert np.isnan(beside[1])
    assert other == pytest.approx([0.15, 0.4])
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as db:
        assert db.execute("SELECT count(*) FROM polygons WHERE confidence IS NULL").fetchone() == (1,)


def describe(path: Path, **tags: Any) -> Path:
    """What `predict` writes into a map of how it was made."""
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{f"{PREFIX}{k}": json.dumps(v) for k, v in tags.items()})
    return path


@pytest.mark.parametrize(
    ("theirs", "used"),
    [
        ({}, True),
        ({"SETTINGS": {"save": ["classes", "confidence"], "tile": 64}}, True),
        ({"SETTINGS": {"save": ["classes"], "tile": 32}}, False),
        ({"MODEL": "b"}, False),
        ({"INPUT_STAMP": "y"}, False),
    ],
)
def test_a_confidence_of_another_prediction_is_left_out(
    make_map: Maker, make_raster: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str], theirs: dict[str, Any], used: bool
) -> None:
    made = {"MODEL": "a", "INPUT_STAMP": "x", "SETTINGS": {"save": ["classes"], "tile": 64}}
    path = describe(make_map("town_map.tif", [[1, 1, 0, 5]]), **made)
    describe(make_raster("town_confidence.tif", np.array([[80, 90, 10, 70]], np.uint8), nodata=255), **{**made, **theirs})
    found = layer(vectorize(path, tmp_path / "a.gpkg")["vectors"])[2]["confidence"]
    assert np.isnan(found).all() != used
    assert ("town_confidence.tif: was made with another model" in capsys.readouterr().err) != used


def test_a_confidence_on_another_grid_is_refused(make_map: Maker, make_raster: Maker, tmp_path: Path) -> None:
    path = make_map("town_map.tif", [[1, 1, 0, 5]])
    make_raster("town_confidence.tif", np.array([[80, 90, 10]], np.uint8))
    with pytest.raises(DataError, match=r"town_confidence\.tif: does not lie on the grid"):
        vectorize(path, tmp_path / "a.gpkg")


def test_classes_are_chosen_by_name(make_map: Maker, tmp_path: Path) -> None:
    path = make_map("map.tif", squares())
    result = vectorize(path, tmp_path / "a.gpkg", spec=VectorizeSpec(classes=("tree", "other")))
    assert {n: c["polygons"] for n, c in result["classes"].items()} == {"other": 1, "tree": 1}
    assert sum(c["pixels"] for c in result["classes"].values()) == 60 * 80 - 800
    with pytest.raises(ConfigError, match="did you mean 'roof'"):
        vectorize(path, tmp_path / "b.gpkg", spec=VectorizeSpec(classes=("rooof",)))


def test_small_polygons_are_dropped_and_counted(make_map: Maker, tmp_path: Path) -> None:
    values = squares()
    values[0, 0] = values[59, 79] = 2
    result = vectorize(make_map("map.tif", values), tmp_path / "a.gpkg", spec=VectorizeSpec(min_area_m2=0.3))
    assert result["dropped"] == {"smaller than min_area_m2": 2}
    assert result["classes"]["water & <ice>"] == {"polygons": 0, "pixels": 0, "area_m2": 0.0}
    assert len(layer(result["vectors"])[1]) == 3


def test_simplified_outlines_keep_the_areas_of_the_map(make_map: Maker, tmp_path: Path) -> None:
    values = np.tril(np.ones((50, 50), np.uint8))
    path = make_map("map.tif", values)
    exact, simple = (
        layer(vectorize(path, tmp_path / f"{m}.gpkg", spec=VectorizeSpec(simplify_m=m))["vectors"]) for m in (0, 2)
    )
    assert len(simple[1][0].exterior.coords) < 8 < len(exact[1][0].exterior.coords)
    assert simple[2]["area_m2"] == pytest.approx(exact[2]["area_m2"])


def test_simplified_neighbours_share_their_borders(make_map: Maker, tmp_path: Path) -> None:
    y, x = np.mgrid[:90, :90]
    values = np.digitize(np.hypot(x - 40, y - 50), [20, 23, 40]) % 3 + 1
    path = make_map("map.tif", values.astype(np.uint8), legend=None)
    result = vectorize(path, tmp_path / "a.gpkg", spec=VectorizeSpec(simplify_m=2))
    found = layer(result["vectors"])[1]
    assert shapely.coverage_is_valid(found)
    assert shapely.area(found).sum() == pytest.approx(90 * 90 * 0.25, rel=1e-9)
    assert shapely.get_num_coordinates(found).sum() < 120


def test_simplifying_needs_memory_for_the_borders(make_map: Maker, tmp_path: Path) -> None:
    path = make_map("map.tif", squares())
    with pytest.raises(ResourceError, match=r"simplifying needs .* leave vectorize\.simplify_m at 0"):
        vectorize(path, tmp_path / "a.gpkg", spec=VectorizeSpec(simplify_m=1), memory=100)


def test_a_map_without_class_table(make_map: Maker, tmp_path: Path) -> None:
    path = make_map("map.tif", [[0, 3, 255, 9]], legend=None)
    plain = vectorize(path, tmp_path / "a.gpkg")
    assert {n: c["polygons"] for n, c in plain["classes"].items()} == {"3": 1, "9": 1}
    assert layer(plain["vectors"])[2]["name"].tolist() == ["3", "9"]
    chosen = vectorize(path, tmp_path / "b.gpkg", spec=VectorizeSpec(classes=("0", "9", "200")))
    assert {n: c["polygons"] for n, c in chosen["classes"].items()} == {"0": 1, "9": 1, "200": 0}
    assert VectorizeSpec.model_validate({"classes": [0, "9", 200]}).classes == ("0", "9", "200")
    with pytest.raises(ConfigError, match="no class table and no class 'roof'"):
        vectorize(path, tmp_path / "c.gpkg", spec=VectorizeSpec(classes=("roof",)))
    with pytest.raises(DataError, match="values without a class: 3, 9"):
        vectorize(path, tmp_path / "c.gpkg", legend=LEGEND)


def test_a_legend_can_be_given_and_the_map_s_own_comes_first(make_map: Maker, tmp_path: Path) -> None:
    other = Legend((ClassEntry(0, "no", "#000000"), ClassEntry(1, "house", "#ffffff")))
    bare, own = make_map("bare.tif", [[0, 1]], legend=None), make_map("own.tif", [[0, 1]])
    assert list(vectorize(bare, tmp_path / "a.gpkg", legend=other)["classes"]) == ["house"]
    assert list(vectorize(own, tmp_path / "b.gpkg", legend=other)["classes"]) == ["roof", "water & <ice>", "tree"]


def test_a_nodata_tag_that_is_a_class_is_told_and_not_applied(
    make_map: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_map("map.tif", [[1, 1, 5]])
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = 1
    assert vectorize(path, tmp_path / "a.gpkg")["classes"]["roof"]["pixels"] == 2
    assert "nodata tag 1 is a class" in capsys.readouterr().err


def test_a_map_without_regions_is_an_empty_layer(make_map: Maker, tmp_path: Path) -> None:
    result = vectorize(make_map("map.tif", np.zeros((5, 5))), tmp_path / "a.gpkg")
    assert result["classes"]["roof"] == {"polygons": 0, "area_m2": 0.0, "pixels": 0}
    info = pyogrio.read_info(result["vectors"], layer="polygons")
    assert (info["features"], info["geometry_type"]) == (0, "Polygon")
    assert info["fields"].tolist() == ["class", "name", "area_m2", "pixels", "confidence"]


@pytest.mark.filterwarnings("error")
def test_the_style_colours_every_class_and_the_file_opens_without_a_warning(make_map: Maker, tmp_path: Path) -> None:
    path = vectorize(make_map("map.tif", squares()), tmp_path / "a.gpkg")["vectors"]
    assert len(layer(path)[1]) == 3
    assert pyogrio.list_layers(path).tolist() == [["polygons", "Polygon"], ["layer_styles", None]]
    meta, _, _, data = pyogrio.raw.read(path, layer="layer_styles")
    style = dict(zip(meta["fields"].tolist(), (d[0] for d in data), strict=True))
    assert (style["f_table_name"], style["f_geometry_column"]) == ("polygons", "geom")
    assert style["useAsDefault"]
    root = ElementTree.fromstring(style["styleQML"])
    assert root.find("renderer-v2").get("attr") == "class"  # type: ignore[union-attr]
    shown = {c.get("label"): (c.get("value"), c.get("symbol")) for c in root.iter("category")}
    fills = {s.get("name"): s.find(".//Option[@name='color']").get("value") for s in root.iter("symbol")}  # type: ignore[union-attr]
    assert {label: (value, fills[symbol]) for label, (value, symbol) in shown.items()} == {
        "roof": ("1", "239,205,8,255"), "water & <ice>": ("2", "0,0,255,255"), "tree": ("5", "0,255,0,255")
    }  # fmt: skip
    with closing(sqlite3.connect(path)) as db:
        kinds = dict(db.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
        [told] = db.execute("SELECT description FROM gpkg_contents WHERE table_name = 'polygons'").fetchone()
    assert kinds == {"polygons": "features", "layer_styles": "attributes"}
    assert told.startswith("polygons of map.tif by swath")


def test_equal_maps_give_equal_files_whatever_the_memory(make_map: Maker, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = make_map("map.tif", rng.choice([0, 1, 2, 5, 255], (500, 300)), tiled=True, blockxsize=64, blockysize=64)
    files = [tmp_path / "a" / "o.gpkg", tmp_path / "b" / "o.gpkg"]
    for file, memory in zip(files, (2 * 10**9, 25 * 10**6), strict=True):
        vectorize(path, file, memory=memory)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(layer(files[0])[1]) > 20_000  # more than one batch


def test_an_existing_output_is_kept_unless_told(make_map: Maker, tmp_path: Path) -> None:
    path, out = make_map("map.tif", squares()), tmp_path / "a.gpkg"
    out.write_text("precious")
    with pytest.raises(ResourceError, match="--overwrite") as e:
        vectorize(path, out)
    assert (e.value.code, out.read_text()) == ("exists", "precious")
    vectorize(path, out, overwrite=True)
    assert len(layer(out)[1]) == 3


@pytest.mark.parametrize("name", ["a.shp", "a.geojson", "a"])
def test_other_formats_are_refused(make_map: Maker, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.gpkg"):
        vectorize(make_map("map.tif", squares()), tmp_path / name)


def test_a_damaged_class_table_is_told(make_map: Maker, tmp_path: Path) -> None:
    path = make_map("map.tif", squares(), legend=None)
    for text in ("{", "[1]", "{}", '{"classes": [{"id": 1}]}'):
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(**{f"{PREFIX}LEGEND": text})
        with pytest.raises(DataError, match="class table inside the map is damaged"):
            vectorize(path, tmp_path / "a.gpkg")


@pytest.mark.parametrize("spoil", ["feature", "pixels"])
def test_a_file_that_reads_back_otherwise_is_not_published(
    make_map: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    sql = {"feature": "DELETE FROM polygons WHERE fid = 2", "pixels": "UPDATE polygons SET pixels = 1"}[spoil]
    add_style = geopackage.add_style

    def add_and_spoil(path: Path, *args: Any) -> None:
        add_style(path, *args)
        with closing(sqlite3.connect(path)) as db, db:
            for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {trigger}")
            db.execute(sql)

    monkeypatch.setattr("swath.steps.vectorize.add_style", add_and_spoil)
    path = make_map("map.tif", squares())
    with pytest.raises(DataError, match="reads back other than it was written"):
        vectorize(path, tmp_path / "out" / "a.gpkg")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failure_of_the_disk_is_told_and_leaves_nothing(
    make_map: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise pyogrio.errors.FeatureError("failed to execute insert : database or disk is full")

    path, out = make_map("map.tif", squares()), tmp_path / "out" / "a.gpkg"
    monkeypatch.setattr("pyogrio.raw.write", full)
    with pytest.raises(ResourceError, match=r"out/a\.gpkg: cannot be written .*disk is full"):
        vectorize(path, out)
    assert list(out.parent.iterdir()) == []


def test_remains_of_a_killed_run_are_swept(make_map: Maker, tmp_path: Path) -> None:
    stale = tmp_path / ".a.999999999-0a0b0c0d.part.gpkg"
    stale.write_text("half")
    vectorize(make_map("map.tif", squares()), tmp_path / "a.gpkg")
    assert not stale.exists()


def test_progress_is_told_in_rows(make_map: Maker, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = make_map("map.tif", squares())
    vectorize(path, tmp_path / "a.gpkg", progress=lambda done, rows: told.append((done, rows)))
    assert told[-1] == (60, 60)


def test_an_output_that_would_land_elsewhere_is_refused(make_map: Maker, tmp_path: Path) -> None:
    (tmp_path / "!new").mkdir()
    with pytest.raises(ConfigError, match=r"a\.gpkg: its path holds '!'"):
        vectorize(make_map("town_map.tif", [[1]]), tmp_path / "!new" / "a.gpkg")
    assert not list((tmp_path / "!new").iterdir())
