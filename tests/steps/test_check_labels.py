"""What is wrong with labels is planted and found: geometries, fields and classes of vectors, values of label rasters."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from check_site import SETTINGS, SIDE, SPLITS, UTM, Site, bands, corner, levels, polygons, told, truth

from swath.steps.check import check_files

pytest_plugins = ["fixtures_check"]


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
    result = site.check()
    assert "class-absent" in levels(result, "warning")
    told(result, "error", "classes-one", "every training pixel is background")


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
