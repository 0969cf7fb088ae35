"""`points` draws what it says: on its class, in its polygon, in the CRS of the image, the same every time."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyogrio.raw import read
from tiny_town import UTM, corner, write_image

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.projects.project import load_project
from swath.disk.samples import candidates

pytest_plugins = ["fixtures_run"]
Make = Callable[..., Path]
CORNER = Affine(2.0, 0, 583_000, 0, -2.0, 4_507_000)


def table(path: Path, layer: str = "points") -> dict[str, NDArray[Any]]:
    """The columns of a point file, with `xy` (n, 2) of the geometries."""
    meta, _, wkb, data = read(path, layer=layer)
    found = {str(n): v for n, v in zip(meta["fields"], data, strict=True)}
    shapes = shapely.from_wkb(wkb)
    return {**found, "xy": np.column_stack([shapely.get_x(shapes), shapely.get_y(shapes)])}


def pixels(xy: NDArray[Any], transform: Affine = CORNER) -> tuple[NDArray[Any], NDArray[Any]]:
    """(row, column) as floats."""
    inverse = ~transform
    cols, rows = np.array([inverse @ (x, y) for x, y in xy]).reshape(-1, 2).T
    return rows, cols


@pytest.fixture
def classes(make_raster: Make) -> tuple[Path, NDArray[Any]]:
    """A label image of 100 x 100: classes 2 and 5, nodata 255 in a corner."""
    values = np.where(np.random.default_rng(0).random((100, 100)) < 0.2, 5, 2).astype(np.uint8)
    values[:10, :30] = 255
    return make_raster("classes.tif", values, transform=CORNER, nodata=255), values


def test_a_label_image_keeps_its_ids(classes: tuple[Path, NDArray[Any]], tmp_path: Path) -> None:
    path, values = classes
    result = swath.points(path, out=tmp_path / "p.gpkg", strategy="constant", number=1000)
    found, counts = table(tmp_path / "p.gpkg"), Counter(values.ravel().tolist())
    assert Counter(found["class"].tolist()) == {2: 1000, 5: 1000}
    assert result["classes"]["5"] == {"id": 5, "available": counts[5], "points": 1000, "rate": 1000 / counts[5],
                                      "trn": 1000, "val": 0, "tst": 0}  # fmt: skip
    assert result["events"] == {"pixel that is no candidate": 300}
    rows, cols = pixels(found["xy"])
    assert np.allclose(rows % 1, 0.5)
    assert np.allclose(cols % 1, 0.5)
    assert np.array_equal(values[rows.astype(int), cols.astype(int)], found["class"])
    assert len({*zip(rows, cols, strict=True)}) == 2000
    assert sorted(found["id"].tolist()) == list(range(1, 2001))
    assert np.allclose(found["xy"], np.column_stack([found["x"], found["y"]]))
    assert set(found["scene"]) == {"classes"}
    assert rasterio.crs.CRS.from_user_input(pyogrio.read_info(tmp_path / "p.gpkg")["crs"]).to_epsg() == 32618


def test_constant_is_lowered_with_a_note(classes: tuple[Path, NDArray[Any]], tmp_path: Path) -> None:
    path, values = classes
    least = int((values == 5).sum())
    result = swath.points(path, out=tmp_path / "p.gpkg", strategy="constant", number=9000)
    assert result["splits"] == {"trn": 2 * least, "val": 0, "tst": 0}
    assert result["notes"] == [f"9000 per class lowered to {least}, all that 5 has"]


def test_smallest_is_the_default(classes: tuple[Path, NDArray[Any]], tmp_path: Path) -> None:
    swath.points(classes[0], out=tmp_path / "p.gpkg")
    least = int((classes[1] == 5).sum())
    assert Counter(table(tmp_path / "p.gpkg")["class"].tolist()) == {2: least, 5: least}


@pytest.mark.parametrize("sampler", ["periodic", "random"])
@pytest.mark.parametrize("strategy", ["total", "percent", "all", "byclass", "smallest"])
def test_memory_does_not_change_the_points(
    classes: tuple[Path, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, sampler: str
) -> None:
    more: dict[str, Any] = {"number": 13, "counts": {2: 30, 5: 7}, "jitter": 0.7, "split": "proportions", "order": "random"}
    swath.points(classes[0], out=tmp_path / "a.gpkg", strategy=strategy, sampler=sampler, **more)
    monkeypatch.setattr(candidates, "_STRIP_VALUES", 100)
    swath.points(classes[0], out=tmp_path / "b.gpkg", strategy=strategy, sampler=sampler, **more)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_patches_of_label_points_fit_inside(classes: tuple[Path, NDArray[Any]], tmp_path: Path) -> None:
    result = swath.points(classes[0], out=tmp_path / "p.gpkg", strategy="all", patch=9)
    rows, cols = pixels(table(tmp_path / "p.gpkg")["xy"])
    inside = classes[1][4:-4, 4:-4]
    assert result["count"] == (inside != 255).sum()
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (4.5, 95.5, 4.5, 95.5)


def test_scenes_without_labels_give_no_point(own_town: Path) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text(manifest.read_text().replace("west.tif,west.gpkg,tst", "west.tif,,"))
    own_town.write_text(own_town.read_text().replace("sample: {", "sample: {points: p.gpkg, "))  # not made yet
    result = swath.points(own_town, out=own_town.parent / "p.gpkg", strategy="constant", number=50)
    assert result["events"]["scene without labels"] == 1
    assert set(table(own_town.parent / "p.gpkg")["scene"]) == {"north", "south"}
    assert sum(swath.sample(own_town, "sample.tile=16")["samples"].values()) > 50


def test_the_seed_decides(classes: tuple[Path, NDArray[Any]], tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        swath.points(classes[0], out=tmp_path / f"{name}.gpkg", strategy="total", number=50, sampler="random", seed=seed)
        drawn.append(table(tmp_path / f"{name}.gpkg")["xy"])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_point_lies_in_a_polygon_of_its_class(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder, rng = tmp_path_factory.mktemp("polygons"), np.random.default_rng(seed)
    shapes = [shapely.Point(583_000 + 200 * x, 4_506_800 + 200 * y).buffer(10 + 20 * r) for x, y, r in rng.random((8, 3))]
    kinds = np.array(["wood", "field", "lake"], object)[rng.integers(0, 3, 8)]
    write_image(folder / "image.tif", np.ones((1, 100, 100), np.uint8), CORNER)
    pyogrio.raw.write(folder / "p.gpkg", geometry=shapely.to_wkb(np.array(shapes)), fields=["kind"], field_data=[kinds],
                      crs=UTM, geometry_type="Polygon", driver="GPKG", layer="p")  # fmt: skip
    swath.points(folder / "image.tif", labels=folder / "p.gpkg", field="kind", out=folder / "out.gpkg",
                 strategy="percent", number=20, sampler="random", seed=seed % 100)  # fmt: skip
    found = table(folder / "out.gpkg")
    for name, xy in zip(found["name"], found["xy"], strict=True):
        mine = [s for s, k in zip(shapes, kinds, strict=True) if k == name]
        assert any(s.contains(shapely.Point(xy)) for s in mine)
    assert {n: i for n, i in zip(found["name"], found["class"], strict=True)} == {
        n: i for n, i in {k: j for j, k in enumerate(sorted(set(kinds)), 1)}.items() if n in set(found["name"])
    }


def test_statistics_count_valid_pixels(make_raster: Make, make_vector: Make, tmp_path: Path) -> None:
    """Counts per class and per polygon equal NumPy's; overlaps count once per class, in each polygon by itself."""
    image = np.ones((50, 60), np.uint8)
    image[:5] = 0
    path = make_raster("image.tif", image, transform=CORNER, nodata=0)

    def box(row: int, col: int, height: int, width: int) -> Any:
        return shapely.box(*(CORNER @ (col, row + height)), *(CORNER @ (col + width, row)))

    polygons = [box(0, 0, 10, 10), box(20, 20, 10, 20), box(25, 30, 10, 20), box(40, 0, 30, 8)]
    labels = make_vector("l.gpkg", polygons, {"class": [7, 3, 7, 3]})
    result = swath.points(path, labels=labels, statistics=tmp_path / "s.json")
    truth = np.zeros((50, 60), int)
    truth[40:, :8] = 3
    truth[20:30, 20:40] = 3
    truth[:10, :10] = 7
    truth[25:35, 30:50] = 7
    told = json.loads((tmp_path / "s.json").read_text())
    for i in (3, 7):
        assert told["classes"][str(i)]["pixels"] == int(((truth == i) & (image > 0)).sum()) == result["classes"][str(i)]["available"]
        assert told["classes"][str(i)]["polygons"] == 2
    assert [(p["class"], p["pixels"]) for p in told["polygons"]] == [(7, 50), (3, 200), (7, 200), (3, 80)]
    assert result["points"] is None
    swath.points(path, labels=labels, statistics=tmp_path / "s.csv", out=tmp_path / "p.gpkg")
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [int(r["pixels"]) for r in rows if r["polygon"]] == [50, 200, 200, 80]
    assert [int(r["pixels"]) for r in rows if not r["polygon"]] == [told["classes"][k]["pixels"] for k in ("3", "7")]


def test_polygons_in_degrees_give_the_same_points(make_raster: Make, make_vector: Make, tmp_path: Path) -> None:
    from swath.disk.rasters.crs import project

    path = make_raster("image.tif", np.ones((50, 60), np.uint8), transform=CORNER)
    shape = shapely.Point(CORNER @ (30, 25)).buffer(31)
    there = shapely.transform(shape, lambda xy: project(xy, UTM, "EPSG:4326"))
    for name, geometry, crs in (("utm", shape, UTM), ("wgs", there, "EPSG:4326")):
        swath.points(path, labels=make_vector(f"{name}.gpkg", [geometry], {"class": [1]}, crs=crs), out=tmp_path / f"{name}_p.gpkg")
    assert np.array_equal(table(tmp_path / "utm_p.gpkg")["xy"], table(tmp_path / "wgs_p.gpkg")["xy"])


@pytest.mark.parametrize(("side", "step", "offset"), [(16, None, (0, 0)), (15, 10, (3, 0)), (7, 20, (0, 30)), (1, 1, (0, 0)), (100, 5, (0, 0))])
def test_grid_points_by_formula(make_raster: Make, tmp_path: Path, side: int, step: int | None, offset: tuple[int, int]) -> None:
    path = make_raster("image.tif", np.ones((100, 100), np.uint8), transform=CORNER)
    result = swath.points(path, out=tmp_path / "g.gpkg", strategy="grid", patch=side, step=step, offset=offset)
    per_axis = [(100 - o - side) // (step or side) + 1 for o in offset]
    assert result["count"] == per_axis[0] * per_axis[1]
    rows, cols = pixels(table(tmp_path / "g.gpkg")["xy"])
    fraction = 0.5 if side % 2 else 0.0  # odd: a pixel's centre, even: a corner
    assert np.allclose(rows % 1, fraction)
    assert np.allclose((rows - side / 2 - offset[0]) % (step or side), 0)
    assert np.allclose((cols - side / 2 - offset[1]) % (step or side), 0)


def test_no_patch_of_a_grid_touches_an_invalid_pixel(make_raster: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalid is a pixel whose bands all hold nodata, or that the mask leaves out; equals erosion by brute force."""
    rng = np.random.default_rng(4)
    image = rng.integers(1, 9, (2, 80, 90)).astype(np.uint8)
    image[0][rng.random((80, 90)) < 0.2] = 0  # one band alone is no nodata
    image[:, 40, 33] = image[:, 71, 5] = 0
    mask = np.ones((80, 90), np.uint8)
    mask[10:14, 60:] = 0
    path, mask_path = make_raster("image.tif", image, transform=CORNER), make_raster("mask.tif", mask, transform=CORNER)
    good = image.any(0) & (mask > 0)
    wanted = {(r + 4, c + 4) for r in range(0, 80 - 8 + 1, 3) for c in range(0, 90 - 8 + 1, 3) if good[r : r + 8, c : c + 8].all()}
    for strip in (4_000_000, 100):
        monkeypatch.setattr(candidates, "_STRIP_VALUES", strip)
        swath.points(path, out=tmp_path / f"{strip}.gpkg", strategy="grid", patch=8, step=3, nodata=0, mask=mask_path)
        rows, cols = pixels(table(tmp_path / f"{strip}.gpkg")["xy"])
        assert {*zip(rows.round().astype(int).tolist(), cols.round().astype(int).tolist(), strict=True)} == wanted
    with pytest.raises(DataError, match="its grid"):
        swath.points(path, out=tmp_path / "x.gpkg", strategy="grid", mask=make_raster("m.tif", mask[1:]))


def test_balanced_patches_hold_the_classes_more_evenly(make_raster: Make, tmp_path: Path) -> None:
    values = np.full((120, 120), 2, np.uint8)
    values[:24, :24] = 9
    path = make_raster("classes.tif", values, transform=CORNER)
    shares = {}
    for strategy in ("grid", "balanced"):
        swath.points(path, labels=path, out=tmp_path / f"{strategy}.gpkg", strategy=strategy, patch=8, seed_share=0.1)
        found = table(tmp_path / f"{strategy}.gpkg")
        shares[strategy] = (found["class"] == 9).mean()
    assert shares["grid"] == pytest.approx(9 / 225)
    assert shares["balanced"] > 0.25
    (tmp_path / "m.csv").write_text("image\nclasses.tif\n")
    with pytest.raises(DataError, match="has no labels"):
        swath.points(tmp_path / "m.csv", out=tmp_path / "c.gpkg", strategy="balanced")


def test_splits_of_points(classes: tuple[Path, NDArray[Any]], make_raster: Make, tmp_path: Path) -> None:
    path = make_raster("image.tif", np.ones((80, 80), np.uint8), transform=CORNER)
    grid = swath.points(path, out=tmp_path / "c.gpkg", strategy="grid", patch=8, split="chessboard")
    assert grid["splits"] == {"trn": 50, "val": 50, "tst": 0}
    found = table(tmp_path / "c.gpkg")
    rows, cols = ((p // 8).astype(int) for p in pixels(found["xy"]))
    board = np.empty((10, 10), object)
    board[rows, cols] = found["split"]
    assert (board[1:] != board[:-1]).all()
    assert (board[:, 1:] != board[:, :-1]).all()
    for order in ("interleave", "random"):
        dealt = swath.points(path, out=tmp_path / f"{order}.gpkg", strategy="grid", patch=8, split="proportions", order=order)
        assert dealt["splits"] == {"trn": 50, "val": 25, "tst": 25}
    assert table(tmp_path / "interleave.gpkg")["split"].tolist()[:4] == ["trn", "val", "tst", "trn"]
    everything = swath.points(path, out=tmp_path / "n.gpkg", strategy="grid", patch=8, split="none")
    assert everything["splits"] == {"trn": 100, "val": 0, "tst": 0}
    each = swath.points(classes[0], out=tmp_path / "k.gpkg", strategy="constant", number=40, split="proportions")
    assert [(c["trn"], c["val"], c["tst"]) for c in each["classes"].values()] == [(20, 10, 10)] * 2
    with pytest.raises(ConfigError, match="no regions"):
        swath.points(classes[0], out=tmp_path / "r.gpkg", split="regions")


def test_points_of_a_config_lie_in_the_regions_of_their_split(own_town: Path) -> None:
    result = swath.points(own_town, out=own_town.parent / "p.gpkg", strategy="total", number=3000, sampler="random")
    assert min(result["splits"].values()) > 50
    found, town = table(own_town.parent / "p.gpkg"), load_project(own_town)
    for n, scene in enumerate(town.scenes):
        mine = found["scene"] == scene.name
        rows, cols = (p.astype(int) for p in pixels(found["xy"][mine], corner(n)))
        labels = town.labels(n).read(candidates.Window(0, 0, *town.infos[n].grid.shape))
        assert np.array_equal(np.array(town.legend.ids)[labels[rows, cols]], found["class"][mine])
        for split in ("trn", "val", "tst"):
            region = town.region(n, split)
            own = found["split"][mine] == split
            if region is None:
                assert not own.any()
            else:
                whole = region.mask(candidates.Window(0, 0, *town.infos[n].grid.shape))
                assert whole[rows[own], cols[own]].all()


def test_a_layer_per_coordinate_system(make_raster: Make, tmp_path: Path) -> None:
    make_raster("a.tif", np.ones((20, 20), np.uint8), transform=CORNER)
    make_raster("b.tif", np.ones((20, 20), np.uint8), transform=CORNER, crs="EPSG:32619")
    swath.points(tmp_path / "a.tif", tmp_path / "b.tif", out=tmp_path / "p.gpkg", strategy="total", number=10)
    assert [str(n) for n, _ in pyogrio.list_layers(tmp_path / "p.gpkg")] == ["points", "points_2"]
    both = [*table(tmp_path / "p.gpkg")["id"], *table(tmp_path / "p.gpkg", "points_2")["id"]]
    assert both == list(range(1, 11))


def test_wrong_input_is_one_clear_error(classes: tuple[Path, NDArray[Any]], make_raster: Make, make_vector: Make, tmp_path: Path) -> None:
    path, out = classes[0], tmp_path / "p.gpkg"
    swath.points(path, out=out)
    with pytest.raises(ResourceError, match="--overwrite"):
        swath.points(path, out=out)
    with pytest.raises(ConfigError, match="GeoPackage"):
        swath.points(path, out=tmp_path / "p.shp")
    with pytest.raises(ConfigError, match="neither"):
        swath.points(path)
    with pytest.raises(DataError, match="not whole"):
        swath.points(make_raster("f.tif", np.random.default_rng(0).random((9, 9)).astype("f4")), out=tmp_path / "a.gpkg")
    with pytest.raises(DataError, match="3 bands"):
        swath.points(make_raster("rgb.tif", np.ones((3, 9, 9), np.uint8)), out=tmp_path / "a.gpkg")
    with pytest.raises(DataError, match="no candidate"):
        swath.points(make_raster("e.tif", np.full((9, 9), 255, np.uint8), nodata=255), out=tmp_path / "a.gpkg")
    far = make_vector("far.gpkg", [shapely.box(0, 0, 9, 9)], {"class": [1]})
    with pytest.raises(DataError, match="do not overlap"):
        swath.points(path, labels=far, out=tmp_path / "a.gpkg")
    assert not (tmp_path / "a.gpkg").exists()


def test_the_command_line(classes: tuple[Path, NDArray[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["points", str(classes[0]), "--out", str(tmp_path / "p.gpkg")]
    assert main([*words, "--strategy", "byclass", "--counts", "2:5", "5:3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {n: c["points"] for n, c in told["classes"].items()} == {"2": 5, "5": 3}
    assert main([*words, "--strategy", "byclass", "--counts", "2=5", "--overwrite"]) == 2
    assert main([*words, "--overwrite"]) == 0
    assert "points (" in capsys.readouterr().out


def test_periodic_points_in_step_with_the_width_are_told_of(make_raster: Make, tmp_path: Path) -> None:
    """A class that is 380 pixels wide everywhere, and every 380th pixel of it."""
    labels = np.ones((300, 400), np.uint8)
    labels[:, 380:] = 2
    file = make_raster("l.tif", labels)
    found: dict[float, list[str]] = {}
    for jitter in (0.0, 1.0):
        made = swath.points(file, out=tmp_path / "p.gpkg", strategy="constant", number=300, jitter=jitter, overwrite=True)
        assert made["count"] == 600
        found[jitter] = made["notes"]
    assert [n.split(":")[0] for n in found[0.0]] == [f"299 of 300 points of {i} stand in the column of the one before" for i in (1, 2)]
    assert found[1.0] == []


@pytest.mark.parametrize("strategy", ["smallest", "total", "all"])
def test_yucatan(data_dir: Path, tmp_path: Path, strategy: str) -> None:
    """Five named classes of a shapefile: the counts equal a burn of each class by itself."""
    folder = data_dir / "yucatan"
    image = folder / "LE70220491999322EDC01_stack.gtif"
    result = swath.points(image, labels=folder / "training_data.shp", out=tmp_path / "p.gpkg", strategy=strategy, number=200)
    meta, _, wkb, data = read(folder / "training_data.shp")
    kinds, shapes = data[list(meta["fields"]).index("class")], shapely.from_wkb(wkb)
    assert list(result["classes"]) == sorted(set(kinds)) == ["barren", "forest", "herbaceous", "urban", "water"]
    found = table(tmp_path / "p.gpkg")
    for name, xy in zip(found["name"], found["xy"], strict=True):
        assert any(s.contains(shapely.Point(xy)) for s in shapes[kinds == name])
    with rasterio.open(image) as source:
        for name in ("forest", "water"):  # no polygon of another class overlaps these
            inside = rasterio.features.rasterize(shapes[kinds == name], source.shape, transform=source.transform)
            assert result["classes"][name]["available"] == inside.sum()


def test_new_brunswick(data_dir: Path, tmp_path: Path) -> None:
    """Class ids that are texts keep their number, 255 too; points of two images in one file."""
    folder = data_dir / "new_brunswick"
    result = swath.points(folder, labels=folder / "BakerLake_2017_clipped.gpkg", field="Quatreclasses", out=tmp_path / "p.gpkg")
    assert [c["id"] for c in result["classes"].values()] == [1, 2, 3, 4, 255]
    assert len({c["points"] for c in result["classes"].values()}) == 1
    assert len(set(table(tmp_path / "p.gpkg")["scene"])) == 2
