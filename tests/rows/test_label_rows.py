"""Rows of the requirements on labels, masks and pairs, as a user meets them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read as read_vector
from pyogrio.raw import write as write_vector
from pyproj import Transformer
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError

Maker = Callable[..., Path]
CLASSES = 'classes: {field: class, 1: {name: roof, color: "#efcd08"}, 2: {name: shed, color: "#ff0000"}}\n'


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file that holds a class table and nothing else."""
    (tmp_path / "classes.yaml").write_text(CLASSES)
    return tmp_path / "classes.yaml"


def box(row: int, col: int, height: int, width: int) -> Any:
    place = corner(0)
    return shapely.box(*(place @ (col, row + height)), *(place @ (col + width, row)))


def image(folder: Path, side: int = 96) -> Path:
    return write_image(folder / "a.tif", pixels(truth(squares(1, side), side, side), 1), corner(0))


def ids(path: str | Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


# GDL-060: a bow-tie is reported with its feature id; `fix` burns both halves
def test_gdl_060_a_bow_tie_is_named_and_both_halves_are_burnt(
    make_vector: Maker, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, top = corner(0) @ (20, 20)
    bow = shapely.Polygon([(left, top), (left + 10, top - 10), (left + 10, top), (left, top - 10)])
    labels = make_vector("bow.gpkg", [box(60, 60, 10, 10), bow], {"class": [1, 1]})
    (tmp_path / "site.yaml").write_text(f"scenes: [{{image: a.tif, labels: bow.gpkg}}]\n{CLASSES}")
    made = swath.mask(image(tmp_path), labels, config=table, out=tmp_path / "fixed")
    found = ids(made["masks"][0]["mask"])[20:40, 20:40]
    assert found[:, :5].any()
    assert found[:, 15:].any()
    assert found.sum() == pytest.approx(200, abs=20)
    assert made["events"] == {"invalid geometry repaired": 1}
    told = next(f for f in swath.check(tmp_path / "site.yaml")["findings"] if f["code"] == "geometry-invalid")
    assert "feature ids 2" in told["message"]
    assert main(["mask", str(tmp_path / "a.tif"), "--labels", str(labels), "--config", str(table), "--out",
                 str(tmp_path / "refused"), "labels.invalid=error"]) == 3  # fmt: skip
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert "feature ids 2" in error


# GDL-062: polygons in degrees on a raster in metres
def test_gdl_062_real_labels_in_degrees_burn_as_those_in_metres(data_dir: Path, tmp_path: Path, table: Path) -> None:
    folder = data_dir / "massachusetts"
    meta, _, wkb, columns = read_vector(folder / "massachusetts_buildings.gpkg")
    place = Transformer.from_crs("EPSG:26986", "EPSG:4326", always_xy=True)
    degrees = shapely.transform(shapely.from_wkb(wkb), place.transform, interleaved=False)
    write_vector(tmp_path / "degrees.geojson", geometry=shapely.to_wkb(degrees), fields=["class"],
                 field_data=[columns[list(meta["fields"]).index("class")]], crs="EPSG:4326", geometry_type="Polygon",
                 driver="GeoJSON", layer="l", COORDINATE_PRECISION=12)  # fmt: skip
    masks = {}
    for name in ("massachusetts_buildings.gpkg", "degrees.geojson"):
        labels = folder / name if name.endswith("gpkg") else tmp_path / name
        made = swath.mask(folder / "22978945_15.tif", labels, config=table, out=tmp_path / Path(name).stem)
        masks[name] = ids(made["masks"][0]["mask"])
    metres, others = masks.values()
    assert metres.any()
    assert (metres == others).mean() >= 0.999


# GDL-063: a disjoint pair ends with both extents
def test_gdl_063_disjoint_pairs_are_refused_with_both_extents(
    make_vector: Maker, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = make_vector("far.gpkg", [shapely.box(700_000, 4_000_000, 700_010, 4_000_010)], {"class": [1]})
    assert main(["mask", str(image(tmp_path)), "--labels", str(far), "--config", str(table), "--out", str(tmp_path / "m")]) == 3
    error = capsys.readouterr().err
    for extent in ("700000", "583000"):
        assert extent in error.replace(" ", "").replace(",", "")
    assert not list(tmp_path.glob("m/*"))


# GDL-064: the higher id wins wherever it stands in the file
@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_gdl_064_the_higher_id_wins(make_vector: Maker, table: Path, tmp_path: Path, order: list[int]) -> None:
    boxes = {1: box(0, 0, 20, 20), 2: box(10, 10, 20, 20)}
    labels = make_vector("l.gpkg", [boxes[i] for i in order], {"class": order})
    made = swath.mask(image(tmp_path), labels, config=table, out=tmp_path / "m")
    found = ids(made["masks"][0]["mask"])
    assert (found[5, 5], found[15, 15], found[25, 25]) == (1, 2, 2)


# GDL-066, TRAP-7: [2, 1] maps 2 to 1 and 1 to 2
def test_gdl_066_target_ids_are_exchanged_without_a_collision(make_vector: Maker, tmp_path: Path) -> None:
    labels = make_vector("l.gpkg", [box(0, 0, 8, 8), box(20, 20, 8, 8)], {"class": [1, 2]})
    (tmp_path / "c.yaml").write_text("classes: {field: class, 1: {name: a, source: 2}, 2: {name: b, source: 1}}\n")
    made = swath.mask(image(tmp_path), labels, config=tmp_path / "c.yaml", out=tmp_path / "m")
    found = ids(made["masks"][0]["mask"])
    assert (found[4, 4], found[24, 24]) == (2, 1)


# ROOF-019: three files of one folder are their union; ROOF-020: the null one of them is counted
@pytest.mark.parametrize("named", ["v", "v/*.geojson"])
def test_roof_019_three_files_are_their_union(make_vector: Maker, table: Path, tmp_path: Path, named: str) -> None:
    for n in range(3):
        make_vector(f"v/{n}.geojson", [box(20 * n, 20 * n, 10, 10), *([None] if n == 1 else [])],
                    {"class": [1] * (2 if n == 1 else 1)}, crs="EPSG:32618")  # fmt: skip
    made = swath.mask(image(tmp_path), tmp_path / named, config=table, out=tmp_path / "m")
    assert made["masks"][0]["classes"]["roof"] == 300
    assert made["events"] == {"null or empty geometry skipped": 1}


@pytest.mark.parametrize("cell", ["v", "v/*.gpkg", "v/a.gpkg;v/b.gpkg"])
def test_a_row_of_a_manifest_takes_several_label_files(make_vector: Maker, tmp_path: Path, cell: str) -> None:
    for n, name in enumerate("ab"):
        make_vector(f"v/{name}.gpkg", [box(0, 20 * n, 9, 9)], {"class": [1]})
    image(tmp_path)
    (tmp_path / "scenes.csv").write_text(f"image,labels\na.tif,{cell}\n")
    (tmp_path / "s.yaml").write_text(f"scenes: scenes.csv\n{CLASSES}")
    result = swath.check(tmp_path / "s.yaml")
    assert {i["path"] for i in result["inputs"]} == {str(tmp_path / f) for f in ("a.tif", "v/a.gpkg", "v/b.gpkg")}
    assert not {"manifest-labels", "labels-disjoint"} & {f["code"] for f in result["findings"]}
    made = swath.mask(tmp_path / "scenes.csv", config=tmp_path / "s.yaml", out=tmp_path / "m")
    assert made["masks"][0]["classes"]["roof"] == 162


# ROOF-021, ROOF-022, TRAP-1, TRAP-19: a mask can be seen, says its share, and its nodata is no class
def test_trap_19_the_share_is_told_and_the_preview_has_colours(
    make_vector: Maker, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = make_vector("l.gpkg", [box(0, 0, 12, 24)], {"class": [1]})
    words = ["mask", str(image(tmp_path)), "--labels", str(labels), "--config", str(table), "--out", str(tmp_path / "m"), "--preview"]
    assert main(words) == 0
    assert "foreground 3.1 %" in capsys.readouterr().out  # 288 of 9,216 pixels
    with rasterio.open(tmp_path / "m" / "a.tif") as file, rasterio.open(tmp_path / "m" / "a.png") as picture:
        assert file.nodata not in (0, 1, 2)
        assert file.colormap(1)[1][:3] == (0xEF, 0xCD, 0x08)
        seen = picture.read()
        assert seen.shape == (3, 96, 96)
        assert np.array_equal(seen.transpose(1, 2, 0)[file.read(1) == 1], np.tile([0xEF, 0xCD, 0x08], (288, 1)))
        assert not seen.transpose(1, 2, 0)[file.read(1) == 0].any()
    assert main(words) == 5  # neither mask nor picture is replaced unasked
    assert main([*words, "--overwrite", "labels.extent=labels", "classes.unlabelled=ignore"]) == 0
    assert "foreground 100.0 %" in capsys.readouterr().out


def test_a_big_preview_is_thinned_alike_in_every_window(make_raster: Maker, table: Path, tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 3, (1500, 2100)).astype(np.uint8)
    picture = make_raster("p.tif", np.zeros((1, 1500, 2100), np.uint8))
    made = swath.mask(picture, make_raster("m.tif", classes), config=table, out=tmp_path / "m", preview=True)
    with rasterio.open(made["masks"][0]["preview"]) as file:
        colours = np.array([[0, 0, 0], [0xEF, 0xCD, 0x08], [255, 0, 0]])
        assert np.array_equal(file.read().transpose(1, 2, 0), colours[classes[::3, ::3]])


def test_the_first_class_is_not_dark_on_black(make_vector: Maker, tmp_path: Path) -> None:
    """TRAP-19: colours of its own, where the table names none."""
    (tmp_path / "c.yaml").write_text("classes: {1: roof}\n")
    labels = make_vector("l.gpkg", [box(0, 0, 12, 24)])
    made = swath.mask(image(tmp_path), labels, config=tmp_path / "c.yaml", out=tmp_path / "m")
    with rasterio.open(made["masks"][0]["mask"]) as file:
        assert max(file.colormap(1)[1][:3]) > 200
        assert file.colormap(1)[0][:3] == (0, 0, 0)


def test_tools_take_a_class_table_alone(make_vector: Maker, table: Path, tmp_path: Path) -> None:
    labels = make_vector("l.gpkg", [box(0, 0, 4, 4)], {"class": [2]})
    picture = image(tmp_path)
    found = swath.summarize(picture, labels=labels, config=table)["images"][0]
    assert found["classes"]["shed"]["pixels"] == 16
    assert swath.flatten(picture, labels=labels, config=table, out=tmp_path / "t.csv", form="wide")["rows"] == 96 * 96
    with pytest.raises(ConfigError, match="the key 'scenes' is missing"):
        swath.sample(table)


# TRAP-9: swapped lists of images and masks without a place
def cells(folder: Path, order: list[int]) -> Path:
    rng = np.random.default_rng(4)
    for n in range(4):
        mask = (rng.random((64, 64)) < 0.3).astype(np.uint8)
        write_image(folder / f"img/{n}.tif", (rng.normal(100, 5, (1, 64, 64)) + 80 * mask).astype(np.uint8), None)
        write_image(folder / f"msk/{n}.tif", mask[None], None)
    rows = "".join(f"img/{n}.tif,msk/{k}.tif\n" for n, k in enumerate(order))
    (folder / "scenes.csv").write_text(f"image,labels\n{rows}")
    (folder / "cells.yaml").write_text("scenes: scenes.csv\nclasses: {1: cell}\nsample: {tile: 32}\nmodel: {depth: 2}\n")
    return folder / "cells.yaml"


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [1, 2, 3, 0]])
def test_trap_9_swapped_masks_without_a_place_stop_a_run(tmp_path: Path, order: list[int]) -> None:
    config = cells(tmp_path, order)
    found = [f for f in swath.check(config)["findings"] if f["level"] == "error"]
    assert [f["code"] for f in found] == ["labels-pair"] * sum(n != k for n, k in enumerate(order))
    with pytest.raises(DataError, match="another row"):
        swath.run(config)
    assert not (tmp_path / "runs").exists()


def test_one_mask_for_several_images_is_no_swap(tmp_path: Path) -> None:
    found = [f for f in swath.check(cells(tmp_path, [0, 0, 2, 2]))["findings"] if f["code"] == "labels-pair"]
    assert {f["level"] for f in found} == {"warning"}


def test_placed_labels_may_be_named_as_they_like(tmp_path: Path) -> None:
    for n in (1, 2):
        write_image(tmp_path / f"{n}.tif", pixels(truth(squares(n)), n), corner(n))
        write_squares(tmp_path / f"{3 - n}.gpkg", squares(n), corner(n))
    (tmp_path / "s.yaml").write_text(
        "scenes: [{image: 1.tif, labels: 2.gpkg}, {image: 2.tif, labels: 1.gpkg}]\nclasses: {field: class, 1: roof}\n"
        "sample: {tile: 32}\nmodel: {depth: 2}\n")  # fmt: skip
    result = swath.check(tmp_path / "s.yaml")
    assert result["ok"], result["findings"]
    assert "labels-pair" in {f["code"] for f in result["findings"] if f["level"] == "warning"}


# GDL-059: float images and GeoJSON labels; ROOF-038: .TIF and .jp2
@pytest.mark.parametrize("name", ["a.TIF", "a.jp2", "a.png", "a.tif"])
def test_gdl_059_any_raster_and_geojson_sample(make_vector: Maker, tmp_path: Path, name: str) -> None:
    found = squares(3)
    bands = pixels(truth(found), 3)
    driver = {"a.jp2": "JP2OpenJPEG", "a.png": "PNG"}.get(name, "GTiff")
    values = bands.astype(np.float32) / 7 if driver == "GTiff" else bands
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(tmp_path / name, "w", driver=driver, width=96, height=96, count=3, dtype=values.dtype,
                       **({} if driver == "PNG" else {"crs": "EPSG:32618", "transform": corner(0)}), **lossless) as file:  # fmt: skip
        file.write(values)
    if driver == "PNG":
        write_image(tmp_path / "labels.tif", truth(found)[None], None)
    else:
        write_squares(tmp_path / "l.gpkg", found, corner(0))
        _, _, wkb, columns = read_vector(tmp_path / "l.gpkg")
        make_vector("labels.geojson", list(shapely.from_wkb(wkb)), {"class": columns[0]})
    labels = "labels.tif" if driver == "PNG" else "labels.geojson"
    (tmp_path / "s.yaml").write_text(f"scenes: [{{image: {name}, labels: {labels}}}]\n{CLASSES}sample: {{tile: 32}}\nmodel: {{depth: 2}}\n")
    made = swath.sample(tmp_path / "s.yaml")
    assert made["samples"]["trn"] > 0
    assert made["classes"]["trn"]["roof"]["share"] > 0.1
    assert sum(c["share"] for c in made["classes"]["trn"].values()) == pytest.approx(1)  # GDL-075


# OTB-019, OTB-020: counts per class equal those of the mask, by either verb
def test_otb_020_the_counts_of_points_and_summarize_agree(table: Path, tmp_path: Path) -> None:
    picture, found = image(tmp_path), squares(1)
    labels = write_squares(tmp_path / "l.gpkg", found, corner(0), [1 + n % 2 for n in range(len(found))])
    areas = [sum(n * n for k, (_, _, n) in enumerate(found) if 1 + k % 2 == i) for i in (1, 2)]
    classes = swath.summarize(picture, labels=labels, config=table)["images"][0]["classes"]
    assert [classes[n]["pixels"] for n in ("roof", "shed")] == areas
    swath.points(picture, labels=labels, field="class", statistics=tmp_path / "s.csv", out=tmp_path / "p.gpkg")
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["pixels"]) for r in rows if not r["polygon"]] == areas
    assert sum(int(r["pixels"]) for r in rows if r["polygon"]) == sum(areas)
