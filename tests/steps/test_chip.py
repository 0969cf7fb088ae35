"""Chips: place, values, edges, names, counts, and what is kept of the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.rasters.raster import RasterReader
from swath.steps.chip import chip

Maker = Callable[..., Path]


def image(height: int, width: int, bands: int = 2, dtype: str = "uint16") -> Any:
    """Pixels that are all different and never 0."""
    return (np.arange(bands * height * width).reshape(bands, height, width) + 1).astype(dtype)


def test_a_chip_lies_where_its_pixels_do(make_raster: Maker, tmp_path: Path) -> None:
    raw = image(65, 65)
    source = make_raster("a.tif", raw, nodata=0, descriptions=["red edge", "nir"])
    result = chip(source, tmp_path / "out", size=40, stride=30)
    assert [Path(f["file"]).name for f in result["files"]] == [
        "a_0_0.tif", "a_0_30.tif", "a_30_0.tif", "a_30_30.tif",
    ]  # fmt: skip
    with rasterio.open(source) as whole, rasterio.open(tmp_path / "out" / "a_30_0.tif") as one:
        assert one.transform @ (0, 0) == whole.transform @ (0, 30)
        assert one.crs == whole.crs
        assert (one.dtypes, one.nodata, one.descriptions) == (whole.dtypes, 0.0, whole.descriptions)
        assert np.array_equal(one.read(), raw[:, 30:65, 0:40])
    assert result["events"] == {"chip cut at the edge": 3}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [Path(f["file"]).name for f in result["files"]]


def test_edges(make_raster: Maker, tmp_path: Path) -> None:
    source = make_raster("a.tif", image(65, 65), nodata=0)
    shapes = {}
    for edge in ("keep", "pad", "shift", "drop"):
        result = chip(source, tmp_path / edge, size=64, edge=edge)  # type: ignore[arg-type]
        shapes[edge] = [(f["row"], f["col"], f["height"], f["width"]) for f in result["files"]]
        if edge == "pad":
            assert result["events"] == {"padded pixel": 3 * 64 * 64 - 64 - 64 - 1}
        if edge == "drop":
            assert result["events"] == {"pixel dropped at the edge": 65 * 65 - 64 * 64}
    assert shapes["keep"] == [(0, 0, 64, 64), (0, 64, 64, 1), (64, 0, 1, 64), (64, 64, 1, 1)]
    assert shapes["pad"] == [(0, 0, 64, 64), (0, 64, 64, 64), (64, 0, 64, 64), (64, 64, 64, 64)]
    assert shapes["shift"] == [(0, 0, 64, 64), (0, 1, 64, 64), (1, 0, 64, 64), (1, 1, 64, 64)]
    assert shapes["drop"] == [(0, 0, 64, 64)]


@pytest.mark.parametrize(("edge", "begins"), [
    ("keep", [0, 30, 60, 90]), ("pad", [0, 30, 60, 90]), ("shift", [0, 30, 60, 90, 95]), ("drop", [0, 30, 60, 90]),
])  # fmt: skip
def test_chips_further_apart_than_their_size(make_raster: Maker, tmp_path: Path, edge: Any, begins: list[int]) -> None:
    source = make_raster("a.tif", image(105, 105, 1), nodata=0)
    result = chip(source, tmp_path / "out", size=10, stride=30, edge=edge)
    assert [(f["row"], f["height"], f["padded"]) for f in result["files"] if f["col"] == 0] == [(b, 10, 0) for b in begins]
    seen = 45 if edge == "shift" else 40
    assert result["events"] == {"pixel between chips left out": 105**2 - seen**2}


@pytest.mark.parametrize("pattern", ["{stem}{row.tif", "{row!x}{col}.tif", "{row:zz}{col}.tif", "{row:{x}}.tif", "{}.tif", "{row}.png"])
def test_a_pattern_that_cannot_be_filled_in_is_told(make_raster: Maker, tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ConfigError) as e:
        chip(make_raster("a.tif", image(20, 20, 1)), tmp_path / "out", size=10, pattern=pattern)
    assert e.value.code == "chip-pattern"
    assert not (tmp_path / "out").exists()


def test_digits_in_a_pattern(make_raster: Maker, tmp_path: Path) -> None:
    result = chip(make_raster("a.tif", image(20, 20, 1)), tmp_path / "out", size=10, pattern="{stem}/{row:03d}_{col:03d}.tif")
    assert [str(Path(f["file"]).relative_to(tmp_path / "out")) for f in result["files"]][-1] == "a/010_010.tif"


def test_nonsense_sizes_are_refused_before_any_work(make_raster: Maker, tmp_path: Path) -> None:
    source = make_raster("a.tif", image(1100, 1100, 1), nodata=0)
    for edge in ("pad", "shift"):
        with pytest.raises(ConfigError, match=r"chips of 100,000 pixels would hold 9,998,790,000 pixels of padding beside 1,210,000"):
            chip(source, tmp_path / "out", size=100_000, edge=edge)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"stride: 1,083,681 chips would be written"):
        chip(source, tmp_path / "out", size=60, stride=1)
    assert not (tmp_path / "out").exists()
    assert chip(source, tmp_path / "out", size=100_000)["chips"] == 1


@pytest.mark.parametrize("nodata", [7, None])
def test_padding_is_nodata_with_and_without_a_value_for_it(make_raster: Maker, tmp_path: Path, nodata: Any) -> None:
    raw = np.full((3, 20, 20), 50, np.uint8)
    raw[:, 0, 0] = 0  # black, and still data
    source = make_raster("a.tif", raw, nodata=nodata)
    chip(source, tmp_path / "out", size=32, edge="pad")
    with rasterio.open(tmp_path / "out" / "a_0_0.tif") as one:
        assert one.shape == (32, 32)
        assert (one.read(1)[20:] == (nodata or 0)).all()
        assert (one.dataset_mask() > 0).sum() == 400
    _, valid = RasterReader(tmp_path / "out" / "a_0_0.tif").read(RasterReader(source).grid.window_of((0, 0, 1e9, 1e9)))
    assert valid.all()


def test_colours_alpha_and_tags_are_kept(make_raster: Maker, tmp_path: Path) -> None:
    classes = make_raster("c.tif", np.ones((1, 10, 10), np.uint8), nodata=255)
    with rasterio.open(classes, "r+") as file:
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (9, 8, 7, 255)})
        file.update_tags(ORIGIN="here")
        file.update_tags(1, STATISTICS_MEAN="4")
    kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    rgba = make_raster("r.tif", image(10, 10, 4, "uint8"), colorinterp=kinds)
    chip([classes, rgba], tmp_path / "out", size=8, edge="pad")
    with rasterio.open(tmp_path / "out" / "c_0_0.tif") as one:
        assert one.colormap(1)[1] == (9, 8, 7, 255)
        assert one.tags()["ORIGIN"] == "here"
        assert "STATISTICS_MEAN" not in one.tags(1)
    with rasterio.open(tmp_path / "out" / "r_8_8.tif") as one:
        assert list(one.colorinterp) == kinds
        assert (one.read(4)[2:] == 0).all()


def test_names_that_meet_are_told_before_any_work(make_raster: Maker, tmp_path: Path) -> None:
    first, second = make_raster("x/a.tif", image(9, 9)), make_raster("y/a.tif", image(9, 9))
    with pytest.raises(DataError, match=r"a_0_0\.tif"):
        chip([first, second], tmp_path / "out", size=9)
    with pytest.raises(DataError, match="two windows"):
        chip(first, tmp_path / "out", size=5, pattern="{stem}_{row}.tif")
    with pytest.raises(DataError, match="4 chips, 5 are expected"):
        chip(first, tmp_path / "out", size=5, expect=5)
    with pytest.raises(ConfigError, match="unknown slot"):
        chip(first, tmp_path / "out", size=5, pattern="{name}.tif")
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced_unasked_and_no_input_ever(make_raster: Maker, tmp_path: Path) -> None:
    source = make_raster("a_0_0.tif", image(9, 9))
    with pytest.raises(ResourceError, match="is an input"):
        chip(source, tmp_path, size=9, pattern="{stem}.tif", overwrite=True)
    chip(source, tmp_path / "out", size=9)
    with pytest.raises(ResourceError, match="there already"):
        chip(source, tmp_path / "out", size=9)
    assert chip(source, tmp_path / "out", size=9, overwrite=True)["chips"] == 1


def test_a_broken_image_does_not_stop_the_others(make_raster: Maker, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 255, (1, 600, 600), np.uint8)
    bad, good = make_raster("bad.tif", noise, tiled=True, blockxsize=256, blockysize=256), make_raster("good.tif", noise)
    bad.write_bytes(bad.read_bytes()[:200_000])
    with pytest.raises(DataError, match=r"bad\.tif.*chips are written"):
        chip([bad, good], tmp_path / "out", size=300)
    assert len(list((tmp_path / "out").glob("good_*.tif"))) == 4


def test_the_roofs_of_the_book_keep_four_chips(data_dir: Path, tmp_path: Path) -> None:
    frame = data_dir / "roofs" / "frame.tif"
    result = chip(frame, tmp_path / "keep", size=640, expect=4)
    assert [(f["height"], f["width"]) for f in result["files"]] == [(640, 640), (640, 10), (10, 640), (10, 10)]
    padded = chip(frame, tmp_path / "pad", size=640, edge="pad", expect=4)
    assert {(f["height"], f["width"]) for f in padded["files"]} == {(640, 640)}


def test_control_points_alone_are_not_kept_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corners = [GroundControlPoint(0, 0, 5e5, 4e6), GroundControlPoint(0, 9, 5e5 + 9, 4e6), GroundControlPoint(9, 0, 5e5, 4e6 - 9)]
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", height=9, width=9, count=1, dtype="uint8") as file:
        file.gcps = corners, rasterio.crs.CRS.from_epsg(32618)
    chip(path, tmp_path / "out", size=9)
    assert "control points or RPCs alone, which are not kept" in capsys.readouterr().err
