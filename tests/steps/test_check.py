"""Everything wrong with a data set is planted and found at once, by its code; sound data has no warning."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from check_site import (
    CLASSES,
    SETTINGS,
    SIDE,
    SPLITS,
    UTM,
    Site,
    bands,
    corner,
    levels,
    only,
    polygons,
    told,
    truth,
)

from swath.core.errors import ConfigError
from swath.steps.check import check_files, check_project, render

pytest_plugins = ["fixtures_check"]


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


# splits and classes


def test_trap_9_labels_of_another_scene(site: Site) -> None:
    site.rows["north"]["labels"], site.rows["south"]["labels"] = "south.gpkg", "north.gpkg"
    result = site.check()
    assert [f["level"] for f in result["findings"] if f["code"] == "labels-disjoint"] == ["error", "error"]
    assert "named like another scene's image" in only(result, "labels-pair")["message"]


def test_classes_that_are_rare_absent_or_never_there(site: Site) -> None:
    site.text = "classes: {field: class, 1: roof, 2: tree, 3: water}\n" + SETTINGS
    boxes, _ = polygons(2)
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
    told(site.check("train.crop=128", "sample.tile=128"), "warning", "samples-few", "fewer than four crops of 128 x 128")


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
    assert lines[0] == f"in {site.folder}:"
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
    started = time.process_time()
    result = check_project(config)
    assert time.process_time() - started < 3
    assert sum(c["pixels"] for c in result["classes"]["val"].values()) == side**2 + SIDE**2
