"""Everything wrong with a data set is planted and found at once, by its code; sound data has no warning."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from swath.core.errors import ConfigError
from swath.disk.audit import FINDINGS
from swath.steps.check import check_files, check_project, render

Make = Callable[..., Path]
UTM, OTHER = "EPSG:32618", "EPSG:32619"
SIDE, PIXEL = 128, 0.5
SPLITS = {"north": "trn", "south": "trn", "east": "val", "west": "tst"}
SETTINGS = "sample: {tile: 32}\ntrain: {crop: 32}\nmodel: {depth: 2}\n"
CLASSES = "classes: {field: class, 1: roof, 2: tree}\n"


def corner(number: int) -> Affine:
    return Affine(PIXEL, 0, 583_000 + 500 * number, 0, -PIXEL, 4_507_000)


def bands(seed: int) -> Any:
    return np.random.default_rng(seed).uniform(40, 200, (3, SIDE, SIDE)).astype(np.uint8)


def polygons(number: int) -> tuple[list[Any], list[int]]:
    """Boxes of 10 m on a grid over the n-th scene, well inside of it, with the classes 1 and 2 in turn."""
    left, top = 583_000 + 500 * number, 4_507_000
    boxes = [
        shapely.box(left + x, top - y - 10, left + x + 10, top - y) for x in (2, 20, 38, 52) for y in (2, 20, 38, 52)
    ]
    return boxes, [1 + n % 2 for n in range(len(boxes))]


class Site:
    """Four scenes with polygons and a config in a folder; parts are replaced before `check`."""

    def __init__(self, folder: Path, make_raster: Make, make_vector: Make, made: Path) -> None:
        self.folder, self.make_raster, self.make_vector = folder, make_raster, make_vector
        self.rows = {
            name: {"image": f"{name}.tif", "labels": f"{name}.gpkg", "split": split} for name, split in SPLITS.items()
        }
        self.text = CLASSES + SETTINGS
        for n, name in enumerate(SPLITS if not any(made.iterdir()) else ()):
            shutil.copy(self.image(name, bands(n)), made)
            shutil.copy(self.labels(name, *polygons(n)), made)
        shutil.copytree(made, folder, dirs_exist_ok=True)

    def image(self, name: str, array: Any, **options: Any) -> Path:
        return self.make_raster(f"{name}.tif", array, **{"transform": corner(list(SPLITS).index(name)), **options})

    def labels(
        self, name: str, boxes: list[Any], values: list[Any] | None, suffix: str = "gpkg", **options: Any
    ) -> Path:
        (self.folder / f"{name}.{suffix}").unlink(missing_ok=True)
        self.rows[name]["labels"] = f"{name}.{suffix}"
        fields = None if values is None else {options.pop("field", "class"): values}
        return self.make_vector(f"{name}.{suffix}", boxes, fields, layer="labels", **options)

    def mask(self, name: str, values: Any, **options: Any) -> Path:
        self.rows[name]["labels"] = f"{name}_mask.tif"
        return self.make_raster(
            f"{name}_mask.tif", values, **{"transform": corner(list(SPLITS).index(name)), **options}
        )

    def config(self) -> Path:
        listed = json.dumps(list(self.rows.values()))
        (self.folder / "site.yaml").write_text(f"scenes: {listed}\n{self.text}")
        return self.folder / "site.yaml"

    def check(self, *overrides: str) -> dict[str, Any]:
        result = check_project(self.config(), overrides)
        assert {f["code"] for f in result["findings"]} <= set(FINDINGS)
        assert result["ok"] == (not levels(result, "error"))
        json.dumps(result, allow_nan=False)
        return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the first site leaves its files for the others."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def site(tmp_path: Path, make_raster: Make, make_vector: Make, made: Path) -> Site:
    return Site(tmp_path, make_raster, make_vector, made)


def levels(result: dict[str, Any], *wanted: str) -> list[str]:
    return [f["code"] for f in result["findings"] if f["level"] in wanted]


def only(result: dict[str, Any], code: str) -> dict[str, Any]:
    """The one finding with a code."""
    found = [f for f in result["findings"] if f["code"] == code]
    assert len(found) == 1, (code, [f["code"] for f in result["findings"]])
    return found[0]


def told(result: dict[str, Any], level: str, code: str, *words: str) -> dict[str, Any]:
    """The one finding with a code; it has this level and these words in its message."""
    finding = only(result, code)
    assert finding["level"] == level
    for word in words:
        assert word in finding["message"], finding["message"]
    return finding


def test_sound_data_has_no_finding(site: Site) -> None:
    result = site.check()
    assert result["ok"]
    assert result["findings"] == []
    assert [i["kind"] for i in result["inputs"]] == ["raster"] * 4 + ["vector"] * 4
    first = result["inputs"][0]
    assert first["path"] == str(site.folder / "north.tif")
    assert (first["bands"], first["dtype"], first["crs"]) == (3, "uint8", UTM)
    assert (first["grid"]["height"], first["grid"]["width"]) == (SIDE, SIDE)
    assert first["ranges"]["red"]["min"] >= 40


def test_nothing_is_written_beside_the_inputs(site: Site, fingerprint: Callable[[Path], dict[str, str]]) -> None:
    config = site.config()
    before = fingerprint(site.folder)
    check_project(config)
    check_files([site.folder])
    assert fingerprint(site.folder) == before


def test_classes_are_counted_per_split_with_their_ground(site: Site) -> None:
    classes = site.check()["classes"]
    assert list(classes) == ["trn", "val", "tst"]
    for split, scenes in (("trn", 2), ("val", 1), ("tst", 1)):
        roof = classes[split]["roof"]
        assert roof["pixels"] == scenes * 8 * 400
        assert roof["share"] == pytest.approx(8 * 400 / SIDE**2)
        assert roof["area_m2"] == pytest.approx(scenes * 8 * 100, rel=2e-3)
        assert sum(c["share"] for c in classes[split].values()) == pytest.approx(1)


# files


def test_all_missing_files_are_told_at_once(site: Site) -> None:
    for name in ("north.tif", "south.gpkg", "west.tif", "west.gpkg"):
        (site.folder / name).unlink()
    result = site.check()
    missing = {f["where"] for f in result["findings"] if f["code"] == "file-missing"}
    assert missing == {str(site.folder / n) for n in ("north.tif", "south.gpkg", "west.tif", "west.gpkg")}
    assert sum(i["kind"] == "unreadable" for i in result["inputs"]) == 4


def test_bad_files_do_not_hide_others(site: Site) -> None:
    (site.folder / "north.tif").write_bytes(b"no raster")
    whole = (site.folder / "east.tif").read_bytes()
    (site.folder / "east.tif").write_bytes(whole[: len(whole) // 2])
    (site.folder / "south.gpkg").write_bytes(b"no vector")
    site.image("west", np.zeros((3, SIDE, SIDE), "uint8"))
    result = site.check()
    assert {"raster-unreadable", "raster-truncated", "vector-unreadable"} <= set(levels(result, "error"))
    assert "band-constant" in levels(result, "warning")


def test_bad_rows_of_a_manifest_are_told_with_the_rest(site: Site) -> None:
    (site.folder / "scenes.csv").write_text(
        "image,labels,split\nnorth.tif,north.gpkg,tran\n,south.gpkg,trn\nsouth.tif,no.gpkg,trn\n"
    )
    site.config().write_text(f"scenes: scenes.csv\n{site.text}")
    result = check_project(site.folder / "site.yaml")
    assert set(levels(result, "error")) == {"manifest-split", "manifest-image", "file-missing"}
    site.config().write_text(f"scenes: none.csv\n{site.text}")
    told(check_project(site.folder / "site.yaml"), "error", "file-missing", "no such manifest")


@pytest.mark.parametrize(
    ("text", "says"),
    [("clases: {1: roof}\n", "clases"), (CLASSES + "sample: {class_min: {rof: 0.1}}\n", "no class is named 'rof'"),
     (CLASSES + "train: {class_weights: {rof: 2}}\n", "rof"), (CLASSES + "sample: {tile: 32, overlap: 40}\n", "no less than the tile")],
)  # fmt: skip
def test_problems_of_the_config_are_errors_of_it(site: Site, text: str, says: str) -> None:
    site.text = text
    with pytest.raises(ConfigError, match=says):
        site.check()


def test_an_empty_list_of_scenes_is_a_config_error(site: Site) -> None:
    site.rows = {}
    with pytest.raises(ConfigError, match="lists nothing"):
        site.check()


# images


def test_scenes_with_fewer_or_more_bands(site: Site) -> None:
    site.image("west", bands(9)[:2])
    site.image("east", np.concatenate([bands(2), bands(3)[:1]]), alpha="no")
    result = site.check()
    assert told(result, "error", "bands-fewer", "has 2 bands")["where"].endswith("west.tif")
    assert told(result, "warning", "bands-more", "bands 1 to 3 are used")["where"].endswith("east.tif")
    assert levels(site.check("bands.select=[1, 2]"), "error", "warning") == []
    told(site.check("bands.select=[nir]"), "error", "band-missing", "no band 'nir'")


def test_only_selected_bands_are_looked_at(site: Site) -> None:
    flat = bands(0)
    flat[2] = 9
    for name in SPLITS:
        site.image(name, flat + np.uint8(list(SPLITS).index(name)))
    assert "band-constant" in levels(site.check(), "warning")
    assert "band-constant" not in levels(site.check("bands.select=[1, 2]"), "warning")


def test_scenes_smaller_than_the_networks_stride(site: Site) -> None:
    site.image("west", bands(3)[:, :20, :20])
    assert told(site.check("model.depth=5"), "warning", "raster-small", "multiples of 32")["where"].endswith("west.tif")


# coordinate systems


def test_labels_in_another_system_are_reprojected(site: Site) -> None:
    boxes, values = polygons(0)
    moved = [
        shapely.transform(b, lambda xy: np.column_stack(rasterio.warp.transform(UTM, "EPSG:4326", xy[:, 0], xy[:, 1])))
        for b in boxes
    ]
    site.labels("north", moved, values, "geojson", crs="EPSG:4326")
    result = site.check()
    told(result, "note", "crs-reprojected", "EPSG:4326", UTM)
    assert levels(result, "error", "warning") == []
    assert result["classes"]["trn"]["roof"]["pixels"] == pytest.approx(2 * 8 * 400, rel=0.01)


def test_trap_73_a_private_code_for_the_same_system(site: Site) -> None:
    with sqlite3.connect(site.folder / "north.gpkg") as source:
        source.execute(
            "UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', organization_coordsys_id = 4327 WHERE srs_id = 32618"
        )
    source.close()
    result = site.check()
    told(result, "warning", "crs-code-differs", "NONE:4327", UTM, "definitions agree, nothing is reprojected")
    assert result["ok"]


def test_one_side_without_a_system(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", boxes, values, "fgb", crs=None)
    site.image("south", bands(1), crs=None)
    result = site.check()
    found = {f["where"]: f["message"] for f in result["findings"] if f["code"] == "crs-missing"}
    assert set(found) == {str(site.folder / "north.fgb"), str(site.folder / "south.tif")}
    assert not result["ok"]


def test_labels_elsewhere_are_an_error_with_both_extents(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", [shapely.affinity.translate(b, 5000) for b in boxes], values)
    told(site.check(), "error", "labels-disjoint", "588002", "583000", UTM, "do not overlap")


def test_labels_on_part_of_the_image(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", boxes[:5], values[:5])
    assert told(site.check(), "warning", "labels-partial", "counts as background")["where"].endswith("north.tif")
    assert levels(site.check("labels.extent=labels"), "warning") == []
    assert levels(site.check("classes.unlabelled=ignore", "classes.0=ground"), "warning") == ["class-never"]


def test_one_file_of_labels_for_several_scenes(site: Site) -> None:
    every = [polygons(n) for n in range(4)]
    far = [shapely.box(590_000, 4_500_000, 590_010, 4_500_010)]
    site.labels("north", [b for p in every[:3] for b in p[0]] + far, [v for p in every[:3] for v in p[1]] + [1])
    for name in SPLITS:
        site.rows[name]["labels"] = "north.gpkg"
    result = site.check()
    assert result["ok"]
    told(result, "warning", "labels-absent", "no polygon of north.gpkg touches it")
    told(result, "note", "labels-partial", "1 of 49 features")
    assert result["classes"]["val"]["roof"]["pixels"] == 8 * 400


def test_polygons_over_the_edge(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", [*boxes, shapely.box(582_995, 4_506_990, 583_001, 4_506_999)], [*values, 1])
    told(site.check(), "note", "labels-cross-edge", "reach over its edge: 1")


# geometries and classes of vectors


def test_geometries_that_are_repaired_or_skipped(site: Site) -> None:
    boxes, values = polygons(0)
    left, top = 583_000, 4_507_000
    bow = shapely.Polygon([(left + 14, top - 40), (left + 18, top - 44), (left + 18, top - 40), (left + 14, top - 44)])
    odd = [
        bow,
        None,
        shapely.Polygon(),
        shapely.Point(left + 9, top - 9),
        shapely.LineString([(left, top), (left + 9, top - 9)]),
        boxes[0],
    ]
    site.labels("north", [*boxes, *odd], [*values, 1, 1, 1, 1, 1, 2])
    result = site.check()
    told(result, "warning", "geometry-invalid", "1 (feature ids 17)", "Self-intersection", "repaired")
    told(result, "warning", "geometry-not-areal", "2 (feature ids 20, 21)", "skipped")
    told(result, "warning", "geometry-twice", "1 = 22", "different classes")
    assert result["ok"]
    told(site.check("labels.invalid=skip"), "warning", "geometry-invalid", "skipped")
    told(site.check("labels.invalid=error"), "error", "geometry-invalid")


def test_null_geometries_are_seen_where_nothing_filters_them(site: Site) -> None:
    boxes, values = polygons(0)
    path = site.labels("north", [*boxes, None, shapely.Polygon()], [*values, 1, 1])
    told(check_files([path]), "warning", "geometry-empty", "2 (feature ids 17, 18)")


def test_gdl_061_values_without_a_class_name_their_features(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", boxes, [7, 9, *values[2:]])
    result = site.check()
    found = told(result, "error", "class-unknown", "7 (1 features: 1)", "9 (1 features: 2)")
    assert "1 roof, 2 tree" in found["fix"]
    assert levels(site.check("classes.ignore=[7, 9]"), "error", "warning") == []


def test_fields_that_are_missing_or_not_named(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", boxes, values, field="kind")
    assert "kind" in told(site.check(), "error", "field-missing", "no field 'class'")["fix"]
    site.text = "classes: {1: roof, 2: tree}\n" + SETTINGS
    told(site.check(), "error", "field-none", "kind")
    site.text = "classes: {1: roof}\n" + SETTINGS
    site.labels("north", boxes, None)
    told(site.check("classes.ignore=[2]"), "note", "field-unused", "every polygon is roof")


def test_values_that_are_text_null_or_background(site: Site) -> None:
    boxes, values = polygons(0)
    site.labels("north", boxes, [None, "0", *(str(v) for v in values[2:])])
    result = site.check()
    told(result, "note", "class-text")
    told(result, "note", "class-zero", "class 0 background: 1")
    told(result, "warning", "class-null", "1 (feature ids 1)")


def test_a_class_field_of_words(site: Site) -> None:
    names = {1: "roof", 2: "tree"}
    for n, name in enumerate(SPLITS):
        boxes, values = polygons(n)
        site.labels(name, boxes, [names[v] for v in values])
    assert site.check()["findings"] == []


def test_empty_layers(site: Site) -> None:
    site.labels("south", [], [], geometry_type="Polygon")
    told(site.check(), "warning", "vector-no-features", "all of its images count as background")
    for name in ("north", "south"):
        site.labels(name, [], [], geometry_type="Polygon")
    assert {"class-absent"} <= set(levels(site.check(), "warning"))


def test_layers_that_are_not_there(site: Site) -> None:
    site.rows["north"]["layer"] = "roofs"
    assert "labels" in told(site.check(), "error", "layer-missing", "no layer 'roofs'")["fix"]


def test_the_layer_of_the_config_decides_the_field(site: Site) -> None:
    """The field is looked for in the layer that `labels.layer` names, not in the first."""
    site.text = "classes: {1: roof, 2: tree}\n" + SETTINGS
    for n, name in enumerate(SPLITS):
        boxes, values = polygons(n)
        path = site.labels(name, boxes, None)
        site.make_vector(path.name, boxes, {"class": values}, layer="second", append=True)
    assert levels(site.check("labels.layer=second"), "error", "warning") == []


# label rasters


def truth() -> Any:
    values = np.zeros((SIDE, SIDE), "uint8")
    values[10:60, 10:60], values[70:120, 70:120] = 1, 2
    return values


def test_trap_1_a_nodata_tag_that_is_a_class(site: Site) -> None:
    site.mask("north", truth(), nodata=1)
    result = site.check()
    told(result, "warning", "labels-nodata-class", "nodata tag 1 is class 1 roof", "not applied, 2,500 pixels count")
    assert result["classes"]["trn"]["roof"]["pixels"] == 2500 + 8 * 400


def test_other_nodata_of_labels_is_ignored(site: Site) -> None:
    values = truth()
    values[:5] = 255
    site.mask("north", values, nodata=255)
    result = site.check()
    told(result, "note", "labels-nodata", f"{5 * SIDE:,} pixels")
    assert sum(c["pixels"] for c in result["classes"]["trn"].values()) == 2 * SIDE**2 - 5 * SIDE


def test_values_of_a_label_raster_without_a_class(site: Site) -> None:
    values = truth().astype("int16")
    values[-1, -1], values[0, :3] = 300, -4
    site.mask("north", values)
    told(site.check(), "error", "class-unknown", "-4 (3 pixels)", "300 (1 pixels)")


def test_nist_002_ids_beyond_a_byte_do_not_wrap(site: Site) -> None:
    site.text = "classes: {field: class, 1: roof, 2: tree, 300: {name: water, source: [300]}}\n" + SETTINGS
    values = truth().astype("uint16")
    values[:, :8] = 300
    site.mask("north", values)
    assert site.check()["classes"]["trn"]["water"]["pixels"] == SIDE * 8


def test_label_rasters_on_other_grids(site: Site) -> None:
    site.mask("north", truth()[:100, :100])
    site.mask("south", np.repeat(np.repeat(truth(), 2, 0), 2, 1), transform=corner(1) @ Affine.scale(0.5))
    site.mask("east", truth(), transform=corner(40))
    site.mask("west", truth()[:50, :50], crs=None, transform=None)
    result = site.check()
    warped = [f for f in result["findings"] if f["code"] == "labels-warped"]
    assert {Path(f["where"]).name for f in warped} == {"north_mask.tif"}
    assert {Path(p).name for p in warped[0]["files"]} == {"north_mask.tif", "south_mask.tif"}
    told(result, "warning", "labels-partial", "61 %")
    told(result, "error", "labels-disjoint", "do not overlap")
    told(result, "error", "labels-grid", "50 x 50", "128 x 128")


def test_masks_of_colours_and_of_greys(site: Site) -> None:
    colours = np.zeros((3, SIDE, SIDE), "uint8")
    colours[1] = truth() * 127
    site.text = (
        'classes: {field: class, 1: {name: roof, source: ["#007f00", 1]}, 2: {name: tree, source: ["#00fe00", 2]}}\n'
        + SETTINGS
    )
    site.mask("north", colours)
    result = site.check()
    assert levels(result, "error", "warning") == []
    assert result["classes"]["trn"]["roof"]["pixels"] == 2500 + 8 * 400
    colours[0, 0, 0] = 255
    site.mask("north", colours)
    told(site.check(), "error", "class-unknown", "#ff0000 (1 pixels)")


def test_a_label_raster_of_several_bands_or_of_amounts(site: Site) -> None:
    site.mask("north", np.stack([truth(), truth()]))
    site.mask("south", np.random.default_rng(0).random((SIDE, SIDE)).astype("float32"))
    result = site.check()
    told(result, "warning", "labels-bands", "the first is used")
    told(result, "error", "labels-continuous")


def test_trap_36_a_mask_of_one_class_is_fine(site: Site) -> None:
    site.mask("north", np.ones((SIDE, SIDE), "uint8"))
    assert levels(site.check(), "error", "warning") == []


def test_areas_of_interest(site: Site) -> None:
    inside = shapely.box(583_000, 4_506_968, 583_064, 4_507_000)
    site.make_vector("aoi.gpkg", [inside])
    site.rows["north"]["aoi"] = "aoi.gpkg"
    result = site.check()
    assert result["ok"]
    assert sum(c["pixels"] for c in result["classes"]["trn"].values()) == SIDE**2 + SIDE**2 // 2
    site.rows["south"]["aoi"] = "aoi.gpkg"
    told(site.check(), "error", "aoi-disjoint")


# splits and classes


def test_trap_9_labels_of_another_scene(site: Site) -> None:
    site.rows["north"]["labels"], site.rows["south"]["labels"] = "south.gpkg", "north.gpkg"
    result = site.check()
    assert [f["level"] for f in result["findings"] if f["code"] == "labels-disjoint"] == ["error", "error"]
    assert "named like another scene's image" in only(result, "labels-pair")["message"]


def test_classes_that_are_rare_absent_or_never_there(site: Site) -> None:
    site.text = "classes: {field: class, 1: roof, 2: tree, 3: water}\n" + SETTINGS
    boxes, values = polygons(2)
    site.labels("east", boxes, [1] * len(boxes))
    for n, name in enumerate(("north", "south")):
        boxes, _ = polygons(n)
        site.labels(
            name, [*boxes, shapely.box(583_062 + 500 * n, 4_506_938, 583_064 + 500 * n, 4_506_940)], [1] * 16 + [2]
        )
    result = site.check()
    told(result, "warning", "class-never", "water")
    told(result, "warning", "class-absent", "tree does not occur in val")
    assert "class_weights" in told(result, "warning", "class-rare", "tree")["fix"]


def test_splits_that_are_carved_are_told(site: Site) -> None:
    for row in site.rows.values():
        row["split"] = "trn"
    result = site.check("split.val=0.2")
    told(result, "note", "split-carved", "no row has split=val", "20 % for val", "by block")
    assert 0.1 < sum(c["pixels"] for c in result["classes"]["val"].values()) / (4 * SIDE**2) < 0.3


def test_splits_without_labels(site: Site) -> None:
    for row in site.rows.values():
        row["split"] = "tst"
    told(site.check(), "error", "split-empty", "no scene is left for training")
    for row in site.rows.values():
        row.pop("labels")
    told(site.check(), "error", "labels-none", "no scene has labels")


def test_a_scene_without_labels_is_only_predicted(site: Site) -> None:
    site.rows["west"].pop("labels")
    result = site.check()
    assert told(result, "note", "labels-none")["where"].endswith("west.tif")
    assert list(result["classes"]) == ["trn", "val"]


def test_few_training_pixels(site: Site) -> None:
    told(site.check("train.crop=128"), "warning", "samples-few", "fewer than four crops of 128 x 128")


def test_polygons_on_little_ground(site: Site) -> None:
    for n, name in enumerate(SPLITS):
        boxes, values = polygons(n)
        site.labels(name, [shapely.buffer(b.centroid, 0.8) for b in boxes], values)
    told(site.check(), "warning", "labels-sparse", "the rest counts as background")


def test_trap_37_leaks_between_splits(site: Site) -> None:
    site.rows["again"] = {"image": "north.tif", "labels": "north.gpkg", "split": "tst"}
    site.rows["twice"] = {"image": "south.tif", "labels": "south.gpkg", "split": "trn"}
    site.image("west", bands(2))
    result = site.check()
    assert told(result, "error", "split-same-image", "trn and tst")["where"].endswith("north.tif")
    assert told(result, "warning", "image-twice", "2 rows of trn")["where"].endswith("south.tif")
    assert told(result, "warning", "split-same-content", "east.tif", "tst and val")["where"].endswith("west.tif")


def test_a_band_that_is_the_label(site: Site) -> None:
    for n, name in enumerate(SPLITS):
        site.mask(name, truth())
        leaky = bands(n)
        leaky[1] = truth() * 90 + 10
        site.image(name, leaky)
    assert told(site.check(), "warning", "band-is-label", "correlation")["where"].endswith("site.yaml band 2")


def test_everything_at_once(site: Site) -> None:
    """One run tells all of it; the good scenes are still counted."""
    (site.folder / "west.tif").unlink()
    site.image("south", bands(1).astype("uint16"))
    boxes, values = polygons(2)
    site.labels("east", boxes, [8, *values[1:]])
    result = site.check()
    assert {"file-missing", "class-unknown"} <= set(levels(result, "error"))
    assert "dtype-differs" in levels(result, "warning")
    assert result["classes"]["trn"]["roof"]["pixels"] == 2 * 8 * 400


# files, folders, manifests


def test_rasters_and_vectors_without_a_config(site: Site) -> None:
    site.image("south", bands(1).astype("uint16"))
    result = check_files(
        [site.folder / "north.tif", site.folder / "south.tif", site.folder / "north.gpkg", site.folder / "none.tif"]
    )
    assert set(levels(result, "error")) == {"file-missing"}
    assert "dtype-differs" in levels(result, "warning")
    assert [i["kind"] for i in result["inputs"]] == ["raster", "raster", "unreadable", "vector"]


def test_folders_globs_and_manifests(site: Site) -> None:
    for given in ([site.folder], [site.folder / "*.tif", site.folder / "*.gpkg"]):
        result = check_files(given)
        assert [i["kind"] for i in result["inputs"]] == ["raster"] * 4 + ["vector"] * 4
        assert levels(result, "error", "warning") == []
    lines = [
        "image,labels,split",
        *(f"{r['image']},{r['labels']},{r['split']}" for r in site.rows.values()),
        "no.tif,,trn",
    ]
    (site.folder / "scenes.csv").write_text("\n".join(lines))
    result = check_files([site.folder / "scenes.csv"])
    assert levels(result, "error", "warning") == ["file-missing"]
    assert len(result["inputs"]) == 8
    told(check_files([site.folder / "none" / "*.tif"]), "error", "inputs-none")


def test_a_vector_that_touches_no_raster(site: Site) -> None:
    result = check_files([site.folder / "north.tif", site.folder / "west.gpkg"])
    told(result, "warning", "labels-absent", "touches none of the rasters")


def test_the_text_groups_the_findings(site: Site) -> None:
    site.image("south", bands(1).astype("uint16"), crs=None)
    (site.folder / "west.gpkg").unlink()
    text = render(site.check())
    lines = text.splitlines()
    order = [line.split(":")[0] for line in lines if line.startswith(("error:", "warning:", "note:"))]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    assert lines[0] == str(site.folder)
    assert any(line.startswith("error: west.gpkg: no such file; ") for line in lines)
    assert any(line.startswith("north.tif") and "128 x 128" in line for line in lines)
    assert lines[-1].startswith("not ready: 2 errors, 1 warning, 2 notes")
    assert render(check_files([])) == "ready: 0 errors, 0 warnings, 0 notes"


def test_a_big_raster_with_labels_is_checked_in_seconds(site: Site, tmp_path: Path) -> None:
    side = 10_000
    profile = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "crs": UTM,
        "tiled": True,
        "sparse_ok": True,
        "dtype": "uint8",
    }
    for name, count in (("big.tif", 3), ("big_mask.tif", 1)):
        with rasterio.open(tmp_path / name, "w", count=count, transform=corner(50), **profile) as sink:
            for row in range(0, side, 2048):
                sink.write(
                    bands(row)[:count] // (1 if count > 1 else 100), window=((row, row + SIDE), (row, row + SIDE))
                )
    site.rows["big"] = {"image": "big.tif", "labels": "big_mask.tif", "split": "val"}
    config = site.config()
    started = time.monotonic()
    result = check_project(config)
    assert time.monotonic() - started < 6  # under 3 on a free core
    assert sum(c["pixels"] for c in result["classes"]["val"].values()) == side**2 + SIDE**2


# real data


def real(data_dir: Path, tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "real.yaml").write_text(text.replace("DATA", str(data_dir)))
    result = check_project(tmp_path / "real.yaml")
    assert {f["code"] for f in result["findings"]} <= set(FINDINGS)
    json.dumps(result, allow_nan=False)
    assert render(result)
    return result


@pytest.mark.real
def test_massachusetts_names_its_three_traps(data_dir: Path, tmp_path: Path) -> None:
    result = real(data_dir, tmp_path, "scenes: DATA/massachusetts/scenes.csv\nclasses: {field: class, 1: building}\n")
    assert result["ok"]
    found = told(
        result, "warning", "dtype-differs", "uint16 holding only 0 to 255, beside uint8", "not from the dtype: handled"
    )
    assert found["where"].endswith("23429155_15.tif")
    told(result, "warning", "nodata-collision", "nodata 255", "2 of 785,546 pixels", "0 in all")
    told(result, "warning", "crs-code-differs", "NONE:4327", "EPSG:26986", "nothing is reprojected")
    told(result, "note", "dtype-range", "255 of 65,535")
    assert len(levels(result, "warning")) == 3
    assert result["classes"]["tst"]["building"]["pixels"] > 50_000


@pytest.mark.real
def test_massachusetts_without_a_config(data_dir: Path) -> None:
    folder = data_dir / "massachusetts"
    result = check_files([*sorted(folder.glob("*.tif")), folder / "massachusetts_buildings.gpkg"])
    assert set(levels(result, "warning")) == {"dtype-differs", "nodata-collision", "crs-code-differs"}


@pytest.mark.real
def test_trap_1_the_roofs_remain(data_dir: Path, tmp_path: Path) -> None:
    result = real(data_dir, tmp_path, "scenes: [{image: DATA/roofs/frame.tif, labels: DATA/roofs/mask.tif}]\nclasses: {1: roof}\n"
                  "split: {val: 0}\n")  # fmt: skip
    told(result, "warning", "labels-nodata-class", "113,075 pixels count")
    assert result["classes"]["trn"]["roof"]["pixels"] == 113_075


@pytest.mark.real
def test_trap_36_cells_are_sound(data_dir: Path, tmp_path: Path) -> None:
    result = real(data_dir, tmp_path, "scenes: DATA/cells/scenes.csv\nclasses: {1: cell}\n")
    assert levels(result, "error", "warning") == []
    assert result["classes"]["trn"]["cell"]["area_m2"] is None


@pytest.mark.real
def test_kampala(data_dir: Path, tmp_path: Path) -> None:
    result = real(data_dir, tmp_path, "scenes: DATA/kampala/scenes.csv\nclasses: {1: building}\n")
    assert levels(result, "error", "warning") == ["geometry-invalid"]
    told(result, "note", "labels-cross-edge", "15")
    told(result, "note", "crs-reprojected", "EPSG:4326", "EPSG:3857")
    told(check_files([data_dir / "kampala"]), "warning", "gsd-differs", "0.149 m")


@pytest.mark.real
def test_yucatan(data_dir: Path, tmp_path: Path) -> None:
    rows = ", ".join(f"{{image: DATA/yucatan/{n}_stack.gtif, labels: DATA/yucatan/training_data.shp, split: {s}}}" for n, s in
                     (("LE70220491999322EDC01", "trn"), ("LE70220492002106EDC00", "tst")))  # fmt: skip
    classes = "classes: {field: class, 1: forest, 2: water, 3: herbaceous, 4: barren, 5: urban}\nsplit: {val: 0}\n"
    result = real(data_dir, tmp_path, f"scenes: [{rows}]\n{classes}")
    assert result["ok"]
    told(result, "warning", "labels-sparse", "1.1 %")
    told(result, "warning", "split-overlap", "62,500 pixels")
    undeclared = [f for f in result["findings"] if f["code"] == "nodata-undeclared"]
    assert len(undeclared) == 4
    assert all("16000" in f["message"] for f in undeclared)
    assert {f["where"].rsplit(" ", 1)[-1] for f in result["findings"] if f["code"] == "band-codes"} == {"8"}


@pytest.mark.real
def test_water(data_dir: Path, tmp_path: Path) -> None:
    result = real(data_dir, tmp_path, "scenes: DATA/water/scenes.csv\nclasses: {1: water}\nsplit: {val: 0}\n")
    told(result, "warning", "nodata-undeclared", "-9999", "4 more of 201")
    assert only(result, "nodata-undeclared")["where"].endswith("band 9")
    assert only(result, "band-follows-label")["where"].endswith("band 12")
    assert {f["where"].rsplit(" ", 1)[-1] for f in result["findings"] if f["code"] == "band-codes"} == {"8", "11"}
    seven = check_project(tmp_path / "real.yaml", ["bands.select=[1, 2, 3, 4, 5, 6, 7]"])
    assert levels(seven, "error", "warning") == ["range-differs"]
    assert only(seven, "range-differs")["where"].endswith("val/images/259.tif")  # clouds


@pytest.mark.real
def test_las_vegas_and_new_brunswick(data_dir: Path, tmp_path: Path) -> None:
    stem = "DATA/las_vegas/SpaceNet_AOI_2_Las_Vegas-056155973080_01_P001-WV03"
    result = real(
        data_dir, tmp_path, f"scenes: [{{image: {stem}-R.tif, labels: {stem}.gpkg}}]\nclasses: {{1: building}}\n"
    )
    told(result, "warning", "labels-partial", "25 %")
    folder = "DATA/new_brunswick"
    rows = ", ".join(f"{{image: {folder}/23322E759967N_clipped_1m_{n}of2.tif, labels: {folder}/BakerLake_2017_clipped.gpkg, split: {s}}}"
                     for n, s in ((1, "trn"), (2, "val")))  # fmt: skip
    text = f"scenes: [{rows}]\nclasses: {{field: Quatreclasses, 1: forest, 2: hydro, 3: road, 4: building}}\n"
    result = real(data_dir, tmp_path, text)
    told(result, "error", "class-unknown", "255 (1 features: 1)")
    told(result, "note", "class-text")
    told(result, "warning", "split-overlap", "8,320 pixels")
    assert check_project(tmp_path / "real.yaml", ["classes.ignore=[255]"])["ok"]
