"""Summaries: equal to NumPy, per class, areas on the ellipsoid, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import box

from swath.core.errors import ConfigError
from swath.core.legend import ClassEntry, Legend
from swath.core.tallies import PERCENTILES
from swath.steps.summarize import summarize

Maker = Callable[..., Path]
LEGEND = Legend((ClassEntry(0, "other", "#000000"), ClassEntry(4, "roof", "#efcd08")))


def agrees(found: dict[str, Any], values: Any) -> None:
    """The numbers of a band are those of NumPy."""
    values = np.asarray(values, np.float64)
    for key, wanted in (("min", values.min()), ("max", values.max()), ("mean", values.mean()), ("std", values.std())):
        assert found[key] == pytest.approx(wanted, rel=1e-12), key
    assert list(found["percentiles"].values()) == pytest.approx(np.percentile(values, PERCENTILES).tolist(), rel=1e-9)
    assert found["pixels"] == sum(found["histogram"]["counts"]) == len(values)
    assert found["exact"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_statistics_equal_numpy(make_raster: Maker, dtype: str) -> None:
    raw = np.random.default_rng(3).normal(-20 if dtype != "uint8" else 90, 15, (2, 300, 520))
    raw = np.clip(raw, 0 if dtype.startswith("u") else -1e9, None).astype(dtype)  # negative data: OTB-030
    raw[1] //= 2
    raw[0, :5] = 99
    result = summarize(make_raster("a.tif", raw, nodata=99))
    for band, values in zip(result["images"][0]["bands"], raw, strict=True):
        agrees(band, values[values != 99])
        assert band["nodata_share"] == pytest.approx((values == 99).mean())
        low, high = values[values != 99].min(), values[values != 99].max()
        assert band["histogram"]["low"] <= low <= high <= band["histogram"]["high"]
        assert band["histogram"]["high"] - band["histogram"]["low"] <= float(high) - float(low) + 1


def test_a_missing_value_in_one_band_says_nothing_of_the_other(make_raster: Maker) -> None:
    raw = np.ones((2, 4, 4), np.float32)
    raw[0, 0, 0] = np.nan
    raw[1, 0, 1] = -9
    first, second = summarize(make_raster("a.tif", raw, nodata=-9))["images"][0]["bands"]
    assert (first["pixels"], second["pixels"]) == (15, 15)
    nothing = summarize(make_raster("b.tif", np.full((1, 4, 4), 7, np.uint8), nodata=7))["images"][0]["bands"][0]
    assert (nothing["pixels"], nothing["mean"], nothing["nodata_share"]) == (0, None, 1.0)


def test_per_class(make_raster: Maker) -> None:
    rng = np.random.default_rng(1)
    raw, classes = rng.integers(0, 60_000, (2, 90, 70), np.uint16), rng.choice([0, 4, 255], (90, 70)).astype(np.uint8)
    image, labels = make_raster("a.tif", raw), make_raster("m.tif", classes, nodata=255)
    found = summarize(image, labels=labels, legend=LEGEND)["images"][0]
    roof = found["classes"]["roof"]
    assert roof["pixels"] == (classes == 4).sum()
    assert roof["share"] == pytest.approx((classes == 4).sum() / (classes != 255).sum())
    assert found["ignored"] == (classes == 255).sum()
    for band, values in zip(roof["bands"], raw, strict=True):
        agrees(band, values[classes == 4])
    with pytest.raises(ConfigError, match="class table"):
        summarize(image, labels=labels)


def test_areas_are_those_of_the_ellipsoid(make_raster: Maker, make_vector: Maker) -> None:
    image = make_raster("a.tif", np.ones((1, 400, 400), np.uint8))
    labels = make_vector("l.gpkg", [box(583_050, 4_506_850, 583_150, 4_506_950)])
    found = summarize(image, labels=labels, legend=LEGEND)["images"][0]
    roof = found["classes"]["roof"]
    for key in ("area_m2", "polygon_area_m2"):
        assert roof[key] == pytest.approx(10_000, rel=1e-3)
    assert roof["area_m2"] == pytest.approx(roof["polygon_area_m2"], rel=1e-6)
    assert (roof["polygons"], roof["pixels"]) == (1, 40_000)
    assert found["area_km2"] == pytest.approx(0.04, rel=1e-3)
    assert found["gsd_m"] == pytest.approx([0.5, 0.5], rel=1e-3)


def test_whole_earth_in_degrees(make_raster: Maker) -> None:
    world = Affine(1, 0, -180, 0, -1, 90)
    classes = np.zeros((180, 360), np.uint8)
    classes[:90] = 4
    labels = make_raster("m.tif", classes, crs="EPSG:4326", transform=world)
    found = summarize(labels, labels=labels, legend=LEGEND)["images"][0]
    assert found["classes"]["roof"]["area_m2"] == pytest.approx(5.10065621724e14 / 2, rel=1e-6)


def test_files(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.random.default_rng(3).normal(0, 1, (2, 40, 50)).astype(np.float32)
    labels = make_raster("m.tif", np.eye(40, 50, dtype=np.uint8) * 4)
    images = [make_raster("a.tif", raw), make_raster("b.tif", raw)]
    result = summarize(images, out=tmp_path / "out", labels=labels, legend=LEGEND)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    wanted = ["{}_b1.png", "{}_b1_classes.png", "{}_b2.png", "{}_b2_classes.png", "{}_summary.json"]
    assert names == [w.format(stem) for stem in "ab" for w in wanted]
    stored = json.loads((tmp_path / "out" / "a_summary.json").read_text())
    assert stored == {k: v for k, v in result["images"][0].items() if k != "files"}
    with rasterio.open(tmp_path / "out" / "a_b1.png") as picture:
        assert picture.width > 300


def test_real_roofs(data_dir: Path) -> None:
    frame = data_dir / "roofs" / "frame.tif"
    found = summarize(frame, labels=data_dir / "roofs" / "mask.tif", legend=Legend(
        (ClassEntry(0, "other", "#000000"), ClassEntry(1, "roof", "#efcd08"))))["images"][0]  # fmt: skip
    with rasterio.open(frame) as file:
        for band, values in zip(found["bands"], file.read(), strict=True):
            agrees(band, values.ravel())
    assert found["classes"]["roof"]["pixels"] == 113_075
