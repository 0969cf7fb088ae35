"""Mosaics: the round trip with chips, overlap rules, nodata, what is refused, and VRTs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.steps.chip import chip
from swath.steps.mosaic import mosaic

Maker = Callable[..., Path]
CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)


def at(row: float, col: float) -> Affine:
    """The transform of a raster that begins at a pixel of the common grid."""
    return CORNER @ Affine.translation(col, row)


def read(path: str | Path) -> Any:
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("rule", ["first", "last", "mean", "max", "min"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_chips_become_the_image_again_bit_for_bit(make_raster: Maker, tmp_path: Path, rule: Any, dtype: str) -> None:
    raw = np.random.default_rng(1).integers(0, 250, (3, 131, 77)).astype(dtype)
    if dtype == "float32":
        raw[0, 5, 5] = np.nan  # invalid by one band, and still kept
    source = make_raster("a.tif", raw, nodata=0, descriptions=["x", "y", "z"])
    chip(source, tmp_path / "chips", size=40, stride=30)
    result = mosaic(tmp_path / "chips", tmp_path / "m.tif", on_overlap=rule)
    with rasterio.open(tmp_path / "m.tif") as found, rasterio.open(source) as whole:
        assert found.read().tobytes() == raw.tobytes()
        assert (found.transform, found.crs, found.nodata) == (whole.transform, whole.crs, 0)
        assert found.descriptions == ("x", "y", "z")
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert result["events"]["pixel under several rasters"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "chips", "m.tif"]


def test_overlap_rules_pass_over_nodata(make_raster: Maker, tmp_path: Path) -> None:
    a = make_raster("a.tif", np.full((1, 4, 4), 10, np.uint8), nodata=255)
    values = np.full((1, 4, 4), 21, np.uint8)
    values[0, 0] = 255
    b = make_raster("b.tif", values, nodata=255, transform=at(2, 2))
    seen = {}
    for rule in ("first", "last", "mean", "max", "min"):
        mosaic([a, b], tmp_path / f"{rule}.tif", on_overlap=rule)  # type: ignore[arg-type]
        found = read(tmp_path / f"{rule}.tif")[0]
        assert (found[2, 2:4] == 10).all()  # b is nodata there
        assert (found[2, 4:6] == 255).all()
        assert (found[0, 4:] == 255).all()
        seen[rule] = int(found[3, 3])
    assert seen == {"first": 10, "last": 21, "mean": 16, "max": 21, "min": 10}


def test_a_gap_without_nodata_is_masked(make_raster: Maker, tmp_path: Path) -> None:
    a = make_raster("a.tif", np.zeros((3, 4, 4), np.uint8))
    b = make_raster("b.tif", np.zeros((3, 4, 4), np.uint8), transform=at(0, 6))
    result = mosaic([a, b], tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as found:
        assert (found.dataset_mask() > 0).tolist() == [[True] * 4 + [False] * 2 + [True] * 4] * 4
    assert result["events"] == {"pixel under no raster": 8}


def test_what_differs_is_named_with_numbers(make_raster: Maker, tmp_path: Path) -> None:
    a = make_raster("a.tif", np.ones((2, 4, 4), np.uint8))
    others = {
        "bands: 1": make_raster("bands.tif", np.ones((1, 4, 4), np.uint8), transform=at(0, 4)),
        "pixel type: int16": make_raster("type.tif", np.ones((2, 4, 4), np.int16), transform=at(0, 4)),
        "nodata: 9": make_raster("nodata.tif", np.ones((2, 4, 4), np.uint8), transform=at(0, 4), nodata=9),
        "EPSG:32619": make_raster("crs.tif", np.ones((2, 4, 4), np.uint8), transform=at(0, 4), crs="EPSG:32619"),
        "1 x 1": make_raster("size.tif", np.ones((2, 4, 4), np.uint8), transform=at(0, 4) @ Affine.scale(2)),
        "0.25 pixels": make_raster("off.tif", np.ones((2, 4, 4), np.uint8), transform=at(0.25, 4)),
    }
    for told, path in others.items():
        with pytest.raises(DataError, match=told) as caught:
            mosaic([a, path], tmp_path / "m.tif")
        assert path.name in caught.value.where
    plain = [make_raster(f"{n}.tif", np.ones((1, 4, 4), np.uint8), crs=None, transform=None) for n in "pq"]
    with pytest.raises(DataError, match="georeference"):
        mosaic(plain, tmp_path / "m.tif")
    with pytest.raises(ResourceError, match="input"):
        mosaic([a], a, overwrite=True)
    assert not (tmp_path / "m.tif").exists()


def test_rasters_far_apart_are_refused_and_a_sparse_mosaic_is_warned_of(
    make_raster: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = np.ones((1, 64, 64), np.uint8)
    a, b = make_raster("a.tif", raw, nodata=0), make_raster("b.tif", raw, nodata=0, transform=at(0, 64))
    far = make_raster("far.tif", raw, nodata=0, transform=at(0, 100_000_000))
    with pytest.raises(DataError, match=r"far\.tif: lies far from the others: .* 100,000,064 x 64 pixels .*antimeridian"):
        mosaic([a, far, b], tmp_path / "m.tif")
    assert not (tmp_path / "m.tif").exists()
    some = make_raster("some.tif", raw, nodata=0, transform=at(64, 40_000))
    result = mosaic([a, some, b], tmp_path / "m.tif")
    assert result["events"] == {"pixel under no raster": 128 * 40_064 - 3 * 64 * 64}
    assert "some.tif" in capsys.readouterr().err
    with rasterio.open(tmp_path / "m.tif") as found:
        assert (found.read(1) == 1).sum() == 3 * 64 * 64


def test_rows_that_run_north_are_told(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.ones((1, 8, 8), np.uint8)
    a = make_raster("a.tif", raw)
    b = make_raster("b.tif", raw, transform=Affine(0.5, 0, 583_004.0, 0, 0.5, 4_506_996.0))
    with pytest.raises(DataError, match=r"b\.tif: has other pixels \(.* rows running north\)"):
        mosaic([a, b], tmp_path / "m.tif")


def test_a_vrt_shows_the_same_and_moves_with_its_sources(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.random.default_rng(1).integers(0, 250, (3, 70, 70), np.uint8)
    source = make_raster("a & b.tif", raw, descriptions=["x", "y", "z"])
    chip(source, tmp_path / "set" / "chips", size=40)
    mosaic(tmp_path / "set" / "chips", tmp_path / "set" / "m.vrt", kind="vrt")
    assert str(tmp_path) not in (tmp_path / "set" / "m.vrt").read_text()
    (tmp_path / "set").rename(tmp_path / "moved")
    assert np.array_equal(read(tmp_path / "moved" / "m.vrt"), raw)
    with rasterio.open(tmp_path / "moved" / "m.vrt") as found, rasterio.open(source) as whole:
        assert (found.crs, found.transform, found.descriptions) == (whole.crs, whole.transform, ("x", "y", "z"))


def test_a_vrt_that_would_lie_is_refused(make_raster: Maker, tmp_path: Path) -> None:
    a = make_raster("a.tif", np.full((1, 4, 4), 1, np.uint8), nodata=0)
    b = make_raster("b.tif", np.full((1, 4, 4), 2, np.uint8), nodata=0, transform=at(2, 2))
    with pytest.raises(ConfigError, match="overlap"):
        mosaic([a, b], tmp_path / "m.vrt", kind="vrt")
    with pytest.raises(ConfigError, match="mean"):
        mosaic([a, b], tmp_path / "m.vrt", kind="vrt", on_overlap="mean")
    c, d = (make_raster(n, np.full((1, 4, 4), v, np.uint8), transform=at(v, v)) for n, v in (("c.tif", 0), ("d.tif", 2)))
    for rule, value in (("first", 0), ("last", 2)):
        mosaic([c, d], tmp_path / f"{rule}.vrt", kind="vrt", on_overlap=rule)  # type: ignore[arg-type]
        assert read(tmp_path / f"{rule}.vrt")[0, 3, 3] == value


def test_the_real_frame_comes_back(data_dir: Path, tmp_path: Path) -> None:
    for name in ("roofs/frame.tif", "massachusetts/22978945_15.tif"):
        chip(data_dir / name, tmp_path / name, size=300)
        mosaic(tmp_path / name, tmp_path / "m.tif", overwrite=True)
        assert np.array_equal(read(tmp_path / "m.tif"), read(data_dir / name))
