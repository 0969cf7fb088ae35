"""Tables of pixels: columns, places, values to the bit, labels, nodata."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from shapely import box

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.legend import ClassEntry, Legend
from swath.steps import flatten as module
from swath.steps.flatten import flatten

Maker = Callable[..., Path]
LEGEND = Legend((ClassEntry(0, "other", "#000000"), ClassEntry(4, "roof", "#efcd08")), unlabelled="ignore")


def rows_of(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_long_has_the_six_columns_and_pixel_centres(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    source = make_raster("a.tif", raw, descriptions=["nir", ""])
    result = flatten(source, tmp_path / "t.csv")
    rows = rows_of(tmp_path / "t.csv")
    assert list(rows[0]) == result["columns"] == ["latitude", "longitude", "row", "column", "band", "value"]
    assert (len(rows), result["rows"], result["pixels"]) == (24, 24, 12)
    lon, lat = Transformer.from_crs("EPSG:32618", "EPSG:4326", always_xy=True).transform(583_000.25, 4_506_999.75)
    assert (float(rows[0]["latitude"]), float(rows[0]["longitude"])) == pytest.approx((lat, lon), abs=1e-9)
    assert 40 < float(rows[0]["latitude"]) < 41  # latitude is latitude
    for row in rows:
        band = {"nir": 0, "b2": 1}[row["band"]]
        assert int(row["value"]) == raw[band, int(row["row"]), int(row["column"])]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_wide_keeps_every_bit_in_chunks(
    make_raster: Maker, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 50)
    raw = (np.random.default_rng(2).normal(100, 20, (3, 17, 11)) / 3).astype(dtype)
    turned = Affine(0.5, 0.1, 583_000, 0.2, -0.5, 4_507_000)
    flatten(make_raster("a.tif", raw, transform=turned), tmp_path / "t.csv", form="wide", bands=[3, "1"])
    rows = rows_of(tmp_path / "t.csv")
    names = ["blue", "red"] if dtype == "uint8" else ["b3", "b1"]
    assert list(rows[0]) == ["x", "y", "latitude", "longitude", "row", "column", *names]
    for name, band in zip(names, (raw[2], raw[0]), strict=True):
        assert np.array_equal(np.array([r[name] for r in rows]).astype(dtype).reshape(17, 11), band)
    for r in rows:
        x, y = turned @ (int(r["column"]) + 0.5, int(r["row"]) + 0.5)
        assert (float(r["x"]), float(r["y"])) == pytest.approx((x, y), abs=1e-6)


def test_nodata_is_left_out_and_labels_stay_with_their_pixels(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4)
    raw[0, 0, :3] = 255
    classes = np.arange(16, dtype=np.uint8).reshape(4, 4)
    classes[3, 3] = 200
    source, labels = make_raster("a.tif", raw, nodata=255), make_raster("m.tif", classes, nodata=200)
    result = flatten(source, tmp_path / "t.csv", labels=labels, form="wide")
    rows = rows_of(tmp_path / "t.csv")
    assert result["events"] == {"nodata pixel left out": 3, "pixel without label": 1}
    assert [r["label"] for r in rows] == [*map(str, range(3, 15)), ""]
    assert all(int(r["b1"]) == int(r["label"]) + 1 for r in rows[:-1])
    other = make_raster("o.tif", classes, transform=Affine(1, 0, 583_000, 0, -1, 4_507_000))
    with pytest.raises(DataError, match="4 x 4 pixels of 1 x 1"):
        flatten(source, tmp_path / "u.csv", labels=other)


def test_polygons_by_a_legend(make_raster: Maker, make_vector: Maker, tmp_path: Path) -> None:
    source = make_raster("a.tif", np.ones((1, 4, 4), np.uint8))
    labels = make_vector("l.gpkg", [box(583_000, 4_506_999, 583_001, 4_507_000)])
    flatten(source, tmp_path / "t.csv", labels=labels, legend=LEGEND)
    assert [r["label"] for r in rows_of(tmp_path / "t.csv")].count("4") == 4
    with pytest.raises(ConfigError, match="class table"):
        flatten(source, tmp_path / "u.csv", labels=labels)


def test_without_place_and_without_pixels(make_raster: Maker, tmp_path: Path) -> None:
    plain = make_raster("a.tif", np.ones((1, 2, 2), np.uint8), crs=None, transform=None)
    result = flatten(plain, tmp_path / "t.csv")
    assert rows_of(tmp_path / "t.csv")[0]["latitude"] == ""
    assert result["events"] == {"pixel without latitude and longitude": 4}
    empty = flatten(make_raster("e.tif", np.zeros((1, 2, 2), np.uint8), nodata=0), tmp_path / "e.csv")
    assert (empty["rows"], (tmp_path / "e.csv").read_text().count("\n")) == (0, 1)


def test_what_is_refused(make_raster: Maker, tmp_path: Path) -> None:
    source = make_raster("a.tif", np.ones((1, 2, 2), np.uint8))
    with pytest.raises(ConfigError, match="no band 'nir'"):
        flatten(source, tmp_path / "t.csv", bands=["nir"])
    with pytest.raises(DataError, match="band 2 is wanted"):
        flatten(source, tmp_path / "t.csv", bands=[2])
    with pytest.raises(ConfigError, match="CSV or Parquet"):
        flatten(source, tmp_path / "t.txt")
    flatten(source, tmp_path / "t.csv")
    with pytest.raises(ResourceError, match="there already"):
        flatten(source, tmp_path / "t.csv")


def test_parquet_needs_pyarrow(make_raster: Maker, tmp_path: Path) -> None:
    raw: Any = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    source = make_raster("a.tif", raw)
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(ConfigError, match="pyarrow") as caught:
            flatten(source, tmp_path / "t.parquet")
        assert caught.value.code == "extra-missing"
        return
    from pyarrow import parquet

    flatten(source, tmp_path / "t.parquet", form="wide")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table["b2"].to_pylist() == raw[1].ravel().tolist()


def test_longitudes_over_the_antimeridian_are_within_180_degrees(make_raster: Maker, tmp_path: Path) -> None:
    transform = Affine(0.01, 0.0, 179.985, 0.0, -0.01, 50.0)
    source = make_raster("a.tif", np.arange(4, dtype=np.uint8).reshape(1, 1, 4), crs="EPSG:4326", transform=transform)
    flatten(source, tmp_path / "a.csv", form="wide")
    rows = rows_of(tmp_path / "a.csv")
    assert [float(r["longitude"]) for r in rows] == [179.99, 180.0, -179.99, -179.98]
    assert [round(float(r["x"]), 9) for r in rows] == [179.99, 180.0, 180.01, 180.02]
