"""The traps of the real data sets are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from check_site import (
    levels,
    only,
    told,
)

from swath.disk.audits.audit import FINDINGS
from swath.steps.check import check_files, check_project, render


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


@pytest.mark.real
def test_odd_files_all_end_in_findings(data_dir: Path) -> None:
    names = [line.split("\t")[0] for line in (data_dir / "odd" / "index.tsv").read_text().splitlines()]
    files = [f for n in names if (f := data_dir / "odd" / n).suffix.lower() not in (".csv", ".json") and f.is_file()]
    result = check_files(files[::12])
    assert {f["code"] for f in result["findings"]} <= set(FINDINGS)
    assert len(result["inputs"]) == len(files[::12])
    json.dumps(result, allow_nan=False)
    assert render(result)
