"""`info` says what a thing is, for every kind of thing that Swath reads or makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from tiny_town import corner, pixels, squares, truth, write_image

import swath
from swath.core.errors import ConfigError, DataError
from swath.disk.bundle import read_bundle
from swath.steps.info import ACCEPTS, info, render

pytest_plugins = ["fixtures_run"]
Make = Callable[..., Path]


def seen(thing: Path, kind: str) -> dict[str, Any]:
    """The info of a thing of a kind, which is plain JSON and has a text."""
    found = info(thing)
    assert found["kind"] == kind
    assert Path(found["path"]).is_absolute()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert render(found).startswith(f"{kind}: {found['path']}\n")
    return found


def test_a_raster(make_raster: Make) -> None:
    array = np.random.default_rng(0).integers(1, 4000, (2, 300, 200)).astype("uint16")
    path = make_raster(
        "a.tif",
        array,
        nodata=0,
        descriptions=["red", "nir"],
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    found = seen(path, "raster")
    assert (found["driver"], found["crs"], found["compression"]) == ("GTiff", "EPSG:32618", "DEFLATE")
    assert (found["grid"]["height"], found["grid"]["width"], found["block"]) == (300, 200, [64, 64])
    assert found["overviews"] == [2, 4]
    assert found["metres_per_pixel"] == pytest.approx([0.5, 0.5], rel=1e-3)
    assert found["ranges_exact"]
    assert found["valid_share"] == 1
    assert [(b["number"], b["name"], b["dtype"], b["nodata"]) for b in found["bands"]] == [
        (1, "red", "uint16", 0),
        (2, "nir", "uint16", 0),
    ]
    for band, values in zip(found["bands"], array, strict=True):
        expected = [values.min(), *np.quantile(values, (0.02, 0.5, 0.98)), values.max()]
        assert [band[k] for k in ("min", "p2", "p50", "p98", "max")] == pytest.approx(expected)


def test_a_raster_without_place_or_data(make_raster: Make) -> None:
    found = seen(
        make_raster("a.tif", np.full((8, 8), np.nan, "float32"), crs=None, transform=None, nodata=np.nan), "raster"
    )
    assert (found["crs"], found["metres_per_pixel"], found["valid_share"]) == (None, None, 0)
    assert found["bands"][0]["nodata"] == "nan"
    assert found["bands"][0]["min"] is None


def test_a_vector_with_layers_and_fields(make_vector: Make) -> None:
    boxes = [shapely.box(n, 0, n + 1, 1) for n in range(30)]
    path = make_vector(
        "a.gpkg", boxes, {"class": ["roof", "tree", None] * 10, "id": list(range(30)), "size": [0.5] * 30}, layer="one"
    )
    make_vector("a.gpkg", boxes[:2], {"level": [1, 1]}, layer="two", append=True)
    found = seen(path, "vector")
    one, two = found["layers"]
    assert (one["name"], one["features"], one["crs"], one["bounds"]) == ("one", 30, "EPSG:32618", [0, 0, 30, 1])
    fields = {f["name"]: f for f in one["fields"]}
    assert fields["class"] == {"name": "class", "type": "text", "values": {"roof": 10, "tree": 10, "null": 10}}
    assert (fields["id"]["type"], fields["id"]["values"]) == ("integer", None)
    assert (fields["size"]["type"], fields["size"]["values"]) == ("real", None)
    assert (two["name"], two["features"], two["fields"][0]["values"]) == ("two", 2, {"1": 2})


def test_a_manifest_and_a_config(town: Path) -> None:
    assert seen(town.parent / "scenes.csv", "manifest")["splits"] == {"trn": 2, "tst": 1}
    found = seen(town, "config")
    assert found["classes"]["roof"] == {"id": 1, "color": "#efcd08", "source": []}
    assert found["classes"]["background"]["id"] == 0
    assert (found["field"], found["model"], found["length"]) == ("class", "unet", {"steps": 40})
    assert (found["scenes"], found["labelled"], found["problems"]) == (3, 3, [])
    assert found["settings"]["sample"] == {"tile": 32}
    assert found["output"] == str(town.parent / "runs" / "roofs")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".gpkg"])
def test_a_manifest_tells_what_is_known_of_its_scenes(own_town: Path, make_vector: Make, suffix: str) -> None:
    folder = own_town.parent
    (folder / "north.yaml").write_text("sun: {elevation: 44.5, date: 2020-01-02}\nbands: [1, 2]\nsensor: other\n")
    rows: dict[str, list[Any]] = {
        "image": ["north.tif", "south.tif;west.tif"], "labels": ["north.gpkg", None], "split": ["trn", None],
        "metadata": ["north.yaml", None], "sensor": ["wv3", "ge1"],
    }  # fmt: skip
    path = folder / f"listed{suffix}"
    if suffix == ".gpkg":
        make_vector(path, None, rows)
    elif suffix == ".json":
        path.write_text(json.dumps({"scenes": [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]}))
    else:
        lines = [",".join(v or "" for v in row) for row in zip(*rows.values(), strict=True)]
        path.write_text("\n".join([",".join(rows), *lines]) + "\n")
    found = seen(path, "manifest")
    assert (found["scenes"], found["splits"], found["labelled"]) == (2, {"trn": 1, "undecided": 1}, 1)
    north, south = found["listed"]
    assert north == {"name": "north", "split": "trn", "image": [str(folder / "north.tif")], "labels": str(folder / "north.gpkg")}
    assert south["image"] == [str(folder / "south.tif"), str(folder / "west.tif")]
    assert (south["split"], south["labels"]) == (None, None)
    known = found["known"]["north"]
    assert known["sun.elevation"] == 44.5
    assert (known["sensor"], known["bands"]) == ("wv3", [1, 2]), "columns stand over the file"
    assert found["known"][south["name"]] == {"sensor": "ge1"}
    text = render(found)
    assert "      sun.elevation: 44.5" in text.splitlines()
    assert "south.tif, west.tif" in text
    (folder / "north.yaml").unlink()
    found = seen(path, "manifest")
    assert "no such metadata file" in found["problems"][0]
    assert "north" not in found["known"]


def test_long_lists_are_cut_on_the_terminal_alone(own_town: Path) -> None:
    folder = own_town.parent
    (folder / "many.csv").write_text("image,name,sensor\n" + "".join(f"north.tif,n{i},s{i}\n" for i in range(60)))
    found = seen(folder / "many.csv", "manifest")
    assert len(found["listed"]) == len(found["known"]) == 60
    assert render(found).count("... and 20 more") == 2


def stac(path: Path, assets: dict[str, Any]) -> Path:
    """A STAC item of GeoTIFFs."""
    listed = {name: {"href": href, "type": "image/tiff", "eo:bands": [{"name": name, "common_name": common}]}
              for name, (href, common) in assets.items()}  # fmt: skip
    path.write_text(json.dumps({
        "type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": listed, "geometry": None,
        "properties": {"datetime": "2020-01-02T03:04:05Z", "view:off_nadir": 3.5, "nested": {"a": None}},
    }))  # fmt: skip
    return path


def test_a_stac_item(make_raster: Make, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_raster(f"{name}.tif", np.ones((9, 8), np.uint16))
    item = stac(tmp_path / "i.json", {"B1": ("a.tif", "red"), "B2": ("b.tif", "nir"), "B3": ("https://x.org/c.tif?key=secret", "pan")})
    found = seen(item, "item")
    assert (found["id"], found["version"]) == ("x", "1.0.0")
    assert [(a["name"], a["bands"], a["at_hand"]) for a in found["assets"]] == [
        ("B1", ["red"], True), ("B2", ["nir"], True), ("B3", ["pan"], False),
    ]  # fmt: skip
    assert "secret" not in json.dumps(found)
    assert found["properties"]["view:off_nadir"] == 3.5
    assert (found["image"]["bands"], found["image"]["dtype"]) == (["red", "nir"], "uint16")
    assert (found["image"]["grid"]["height"], found["image"]["crs"]) == (9, "EPSG:32618")
    (tmp_path / "s.csv").write_text("image,sensor\ni.json,z\n")
    manifest = seen(tmp_path / "s.csv", "manifest")
    assert manifest["known"]["i"]["view:off_nadir"] == 3.5
    assert manifest["listed"][0]["item"] == str(item)


def test_a_stac_item_without_files_is_still_told(tmp_path: Path) -> None:
    found = seen(stac(tmp_path / "i.json", {"B1": ("https://x.org/a.tif", "red"), "B2": ("absent.tif", "nir")}), "item")
    assert found["image"] is None
    assert len(found["problems"]) == 1
    assert [a["at_hand"] for a in found["assets"]] == [False, False]


def test_a_config_whose_files_are_missing_is_still_told(own_town: Path) -> None:
    (own_town.parent / "north.tif").unlink()
    assert "no such file" in seen(own_town, "config")["problems"][0]
    (own_town.parent / "scenes.csv").unlink()
    assert "no such manifest" in seen(own_town, "config")["problems"][0]
    own_town.write_text("clases: {}")
    with pytest.raises(ConfigError):
        info(own_town)


def test_a_store(trained: Path) -> None:
    found = seen(trained.parent / "runs" / "roofs" / "samples.store", "store")
    assert set(found["samples"]) == {"trn", "val", "tst"}
    assert found["samples"]["trn"] > 0
    assert found["classes"]["trn"]["roof"]["share"] > 0
    assert (found["schema"]["bands"], found["schema"]["side"]) == (3, 32)
    assert [b["number"] for b in found["bands"]] == [1, 2, 3]
    assert found["scenes"] == ["north", "south", "west"]
    assert found["bytes"] > found["schema"]["side"] ** 2


def test_a_bundle_and_its_card(bundle: Path) -> None:
    found = seen(bundle, "bundle")
    assert info(bundle / "card.json") == found
    assert found["identity"] == read_bundle(bundle).identity
    assert (found["model"]["name"], found["stride"]) == ("unet", 4)
    assert found["radius"] == found["margin"] > 0
    assert found["bands"][0]["gain"] > 0
    assert found["scaling"]["method"] == "standard"
    assert found["scores"]["classes"]["roof"]["iou"] > 0.5
    assert found["provenance"]["swath"] == swath.__version__


def test_a_run(trained: Path) -> None:
    found = seen(trained.parent / "runs" / "roofs", "run")
    assert (found["state"], found["steps_trained"]) == ("trained", 40)
    assert found["best"]["mean_iou"] > 0.5
    assert found["progress"]["step"] == 40
    assert found["bundle"]["model"]["name"] == "unet"
    assert found["store"]["samples"]["trn"] > 0
    assert {"best/", "last/", "train.json"} <= set(found["files"])


def test_a_run_that_was_stopped(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.parent / "runs" / "roofs", run)
    (run / "train.json").unlink()
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4')
    found = seen(run, "run")
    assert found["state"].startswith("unfinished")
    assert found["progress"]["step"] == 40


def test_a_map(bundle: Path, tmp_path: Path) -> None:
    labels = truth(squares(7))
    image = write_image(tmp_path / "seven.tif", pixels(labels, 7), corner(7))
    made = swath.predict(bundle, image, "predict.save=[classes, confidence, probabilities]", out=tmp_path / "out")[
        "maps"
    ][0]
    found = seen(Path(made["map"]), "map")
    assert (found["product"], found["exact"], found["model"]) == ("classes", True, read_bundle(bundle).identity)
    assert found["provenance"]["input"] == "seven.tif"
    roof = found["classes"]["roof"]
    assert (roof["id"], roof["color"]) == (1, "#efcd08")
    assert roof["share"] == pytest.approx(labels.mean(), abs=0.1)
    assert roof["area_m2"] == pytest.approx(roof["share"] * labels.size * 0.25, rel=1e-2)
    assert seen(Path(made["confidence"]), "map")["product"] == "confidence"
    assert seen(Path(made["probabilities"]), "map")["product"] == "probabilities"


def test_unknown_things(tmp_path: Path, make_raster: Make) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name, code in (("notes.txt", "info-unknown"), ("folder", "info-unknown"), ("nothing", "file-missing")):
        with pytest.raises(DataError) as caught:
            info(tmp_path / name)
        assert (caught.value.code, caught.value.fix) == (code, ACCEPTS)
    (tmp_path / "broken.tif").write_text("no raster")
    with pytest.raises(DataError, match="cannot be opened as a raster"):
        info(tmp_path / "broken.tif")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="names no column `image`"):
        info(tmp_path / "table.csv")
    (tmp_path / "folder" / "card.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        info(tmp_path / "folder")


def test_the_text_has_tables(make_raster: Make, make_vector: Make) -> None:
    text = render(info(make_raster("a.tif", np.arange(64, dtype="uint8").reshape(8, 8))))
    assert any(
        line.split() == ["number", "name", "dtype", "nodata", "min", "p2", "p50", "p98", "max"]
        for line in text.splitlines()
    )
    text = render(info(make_vector("a.gpkg", [shapely.box(0, 0, 1, 1)], {"class": [1]})))
    assert any(line.split() == ["class", "integer", "1:", "1"] for line in text.splitlines())


@pytest.mark.real
def test_real_things(data_dir: Path) -> None:
    found = seen(data_dir / "massachusetts" / "23429155_15.tif", "raster")
    assert (found["bands"][0]["dtype"], found["bands"][1]["max"]) == ("uint16", 255)
    found = seen(data_dir / "new_brunswick" / "BakerLake_2017_clipped.gpkg", "vector")
    values = {f["name"]: f["values"] for f in found["layers"][0]["fields"]}
    assert values["Quatreclasses"] == {"4": 28, "1": 6, "3": 4, "2": 3, "255": 1}
    folder = data_dir / "nc_coast"
    found = seen(next(iter(sorted(folder.iterdir()))), "raster")
    assert (found["grid"]["width"], found["grid"]["height"]) == (2629, 2201)


def test_scores_of_a_model_trained_before_are_not_those_of_the_run(bundle: Path, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.parent / "runs" / "roofs", run)
    scores = swath.evaluate(bundle, trained.parent / "scenes.csv", "runtime.device=cpu")
    (run / "scores.json").write_text(json.dumps(scores))
    assert info(run)["scores"]["mean_iou"] == scores["mean_iou"]
    scores["model"]["identity"] = "another"
    (run / "scores.json").write_text(json.dumps(scores))
    assert "scores" not in info(run)
