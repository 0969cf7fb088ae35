"""Pixels come out as they are, with what is valid; files that cannot be read are named, and inputs stay untouched."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.windows import Window
from swath.disk import GDAL_SETTINGS
from swath.disk.rasters.raster import RasterReader, open_raster, raster_info

MakeRaster = Callable[..., Path]
RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def pixels(dtype: str = "uint8", bands: int = 3, height: int = 40, width: int = 50) -> NDArray[Any]:
    """Values 1 to 240 of a type, negative ones too where it has them."""
    values = np.random.default_rng(7).integers(1, 240, (bands, height, width))
    return (values - 120 if np.dtype(dtype).kind in "if" else values).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
def test_pixels_come_out_in_their_type(make_raster: MakeRaster, dtype: str, layout: dict[str, Any]) -> None:
    array = pixels(dtype)
    reader = RasterReader(make_raster("a.tif", array, **layout))
    raw, valid = reader.read(Window(5, 7, 20, 30))
    assert raw.dtype == array.dtype
    assert np.array_equal(raw, array[:, 5:25, 7:37])
    assert valid.all()
    assert valid.shape == (20, 30)


@pytest.fixture
def whole(make_raster: MakeRaster) -> tuple[RasterReader, NDArray[Any]]:
    """A reader with the raster in a frame of zeros: 70 rows and 80 columns on each side."""
    return RasterReader(make_raster("a.tif", pixels())), np.pad(pixels(), ((0, 0), (70, 70), (80, 80)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-30, 60), st.integers(-30, 70), st.integers(0, 40), st.integers(0, 50))
def test_windows_may_reach_beyond_the_edge(
    whole: tuple[RasterReader, NDArray[Any]], row: int, col: int, height: int, width: int
) -> None:
    reader, framed = whole
    window = Window(row, col, height, width)
    raw, valid = reader.read(window)
    assert np.array_equal(raw, framed[(slice(None), *window.slices(Window(-70, -80, 0, 0)))])
    assert np.array_equal(valid, raw[0] > 0)


def test_the_header_tells_what_is_there(make_raster: MakeRaster) -> None:
    transform = Affine(2, 0, 500_000, 0, -2, 4_000_000)
    path = make_raster(
        "a.tif", pixels("int16", 2), transform=transform, nodata=-9999, descriptions=["nir", "swir"],
        tiled=True, blockxsize=16, blockysize=32, compress="lzw",
    )  # fmt: skip
    info = raster_info(path)
    assert (info.path, info.driver, info.count, info.dtype) == (path, "GTiff", 2, "int16")
    assert (info.grid.transform, info.grid.shape) == (transform, (40, 50))
    assert info.grid.crs is not None
    assert "32618" in info.grid.crs
    assert info.names == ("nir", "swir")
    assert info.nodata == (-9999, -9999)
    assert (info.block, info.compression) == ((32, 16), "LZW")
    assert (info.alpha, info.masked, info.palette) == (None, False, False)


def test_a_raster_without_georeference_says_so(make_raster: MakeRaster) -> None:
    grid = raster_info(make_raster("a.tif", pixels(), crs=None, transform=None)).grid
    assert not grid.georeferenced
    assert grid.transform == Affine.identity()


def test_bands_without_names_are_numbered_and_colours_named(make_raster: MakeRaster) -> None:
    assert raster_info(make_raster("grey.tif", pixels(bands=2))).names == ("b1", "b2")
    assert raster_info(make_raster("rgb.tif", pixels(), photometric="rgb")).names == ("red", "green", "blue")
    described = make_raster("d.tif", pixels(), photometric="rgb", descriptions=["r", "", "b"])
    assert raster_info(described).names == ("r", "green", "b")


def test_bands_are_chosen_in_order(make_raster: MakeRaster) -> None:
    array = pixels()
    path = make_raster("a.tif", array)
    raw, _ = RasterReader(path, (3, 1, 3)).read(Window(0, 0, 40, 50))
    assert np.array_equal(raw, array[[2, 0, 2]])
    with pytest.raises(DataError, match="band 4 is wanted, the file has 3 bands") as error:
        RasterReader(path, (1, 4))
    assert error.value.code == "band-missing"
    with pytest.raises(DataError, match="band 0 is wanted"):
        RasterReader(path, (0,))


def test_the_reader_of_a_models_bands_takes_its_rules(make_raster: MakeRaster) -> None:
    array = pixels()
    array[1, :5] = 9
    path = make_raster("a.tif", array)
    reader = RasterReader.of(path, Bands((2,), ("green",), (1.0,), (0.0,), nodata="any", nodata_value=9))
    raw, valid = reader.read(Window(0, 0, 40, 50))
    assert np.array_equal(raw, array[[1]])
    assert np.array_equal(valid, array[1] != 9)


@pytest.mark.parametrize(("rule", "expected"), [("all", [0, 1, 1, 1]), ("any", [0, 0, 0, 1]), ("none", [1, 1, 1, 1])])
@pytest.mark.parametrize("declared", [True, False])
def test_nodata_rules(make_raster: MakeRaster, rule: str, expected: list[int], declared: bool) -> None:
    array = np.array([[[255, 255, 3, 4]], [[255, 6, 255, 8]]], np.uint8)
    path = make_raster("a.tif", array, nodata=255 if declared else None)
    raw, valid = RasterReader(path, rule=rule, nodata_value=None if declared else 255).read(Window(0, 0, 1, 4))
    assert valid.tolist() == [[bool(v) for v in expected]]
    assert np.array_equal(raw, array)


def test_the_files_tag_wins_over_the_value_that_stands_in(make_raster: MakeRaster) -> None:
    path = make_raster("a.tif", np.array([[[0, 255]]], np.uint8), nodata=0)
    assert RasterReader(path, nodata_value=255).read(Window(0, 0, 1, 2))[1].tolist() == [[False, True]]


def test_nan_is_invalid_with_and_without_a_tag(make_raster: MakeRaster) -> None:
    array = np.array([[[np.nan, 1, 2]], [[3, 4, np.inf]]], np.float32)
    for name, nodata in (("tag.tif", np.nan), ("none.tif", None)):
        path = make_raster(name, array, nodata=nodata)
        for rule in ("all", "none"):
            assert RasterReader(path, rule=rule).read(Window(0, 0, 1, 3))[1].tolist() == [[False, True, False]]


def rgba() -> NDArray[np.uint8]:
    """A raster of one row: opaque, transparent, half, opaque; the first pixel has 255 in red only."""
    colours = [[[255, 10, 20, 255]], [[1, 10, 20, 255]], [[2, 10, 20, 255]]]
    return np.array([*colours, [[255, 0, 128, 255]]], np.uint8)


def test_alpha_is_a_mask_and_no_band(make_raster: MakeRaster) -> None:
    path = make_raster("a.tif", rgba(), colorinterp=RGBA)
    reader = RasterReader(path)
    assert reader.info.alpha == 4
    raw, valid = reader.read(Window(0, 0, 1, 4))
    assert len(raw) == 3
    assert valid.tolist() == [[True, False, True, True]]
    assert RasterReader(path, rule="none").read(Window(0, 0, 1, 4))[1].all()


def test_alpha_beside_a_nodata_tag_leaves_the_rule_as_it_is(make_raster: MakeRaster) -> None:
    """GDAL's mask of band 1 would be "red is not 255": a bright roof is no hole."""
    reader = RasterReader(make_raster("a.tif", rgba(), colorinterp=RGBA, nodata=255))
    assert reader.read(Window(0, 0, 1, 4))[1].tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_of_its_own_counts(tmp_path: Path, internal: bool) -> None:
    path = tmp_path / "a.tif"
    mask = np.zeros((40, 50), bool)
    mask[10:30] = True
    profile = {"driver": "GTiff", "count": 3, "height": 40, "width": 50, "dtype": "uint8", "nodata": 7}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "w", **profile) as sink:
        sink.write(pixels())
        sink.write_mask(mask)
    reader = RasterReader(path)
    assert reader.info.masked
    assert np.array_equal(reader.read(Window(0, 0, 40, 50))[1], mask)


def test_a_palette_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8") as sink:
        sink.write(np.ones((1, 4, 4), np.uint8))
        sink.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    assert raster_info(path).palette


def test_band_names_in_another_encoding_are_none(make_raster: MakeRaster) -> None:
    path = make_raster("a.tif", pixels(height=4, width=4), descriptions=["bande a", "bande b", "bande c"])
    path.write_bytes(path.read_bytes().replace(b"bande a", b"band\xe9 a"))
    assert raster_info(path).names == ("red", "green", "blue")
    assert RasterReader(path).read(Window(0, 0, 4, 4))[1].all()


def test_threads_have_their_own_handles(make_raster: MakeRaster) -> None:
    array = pixels(height=64, width=64)
    reader = RasterReader(make_raster("a.tif", array, tiled=True, blockxsize=16, blockysize=16, compress="deflate"))
    wrong: list[Window] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for row, col in rng.integers(0, 48, (40, 2)):
            window = Window(int(row), int(col), 16, 16)
            if not np.array_equal(reader.read(window)[0], array[(slice(None), *window.slices())]):
                wrong.append(window)

    threads = [Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as error:
        raster_info(path)
    assert error.value.exit_code == 3
    assert error.value.fix
    assert "\n" not in str(error.value)
    return error.value


def test_files_that_are_no_raster_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "text.tif").write_bytes(b"dear raster,\n" * 50)
    (tmp_path / "half.tif").write_bytes(b"II*\0")
    assert refused(tmp_path / "absent.tif").code == "file-missing"
    assert "is a directory" in refused(tmp_path).message
    assert refused(tmp_path / "empty.tif").message == "the file is empty"
    for name in ("text.tif", "half.tif"):
        error = refused(tmp_path / name)
        assert (error.code, error.where) == ("raster-unreadable", str(tmp_path / name))
        assert "cannot be opened as a raster" in error.message


VRT = """<VRTDataset rasterXSize="50" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>
</VRTDataset>"""


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a"])
def test_a_vrt_by_another_name_is_refused(make_raster: MakeRaster, tmp_path: Path, name: str) -> None:
    source = make_raster("source.tif", pixels(bands=1))
    disguise = tmp_path / "other" / name
    disguise.parent.mkdir()
    disguise.write_text(VRT.format(source=source))
    with rasterio.open(disguise) as opened:
        assert opened.driver == "VRT", "GDAL itself would open it"
    assert refused(disguise).code == "raster-unreadable"


def test_gdal_runs_no_code_of_a_raster() -> None:
    assert GDAL_SETTINGS["GDAL_VRT_ENABLE_PYTHON"] == "NO"
    assert GDAL_SETTINGS["GDAL_VRT_ENABLE_RAWRASTERBAND"] == "NO"


def broken(path: Path) -> Path:
    """The deflate stream of the last strip is cut short by zeros; the header stays whole."""
    data = bytearray(path.read_bytes())
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
        size = int(source.get_tag_item("BLOCK_SIZE_0_3", "TIFF", bidx=1))
    assert zlib.decompress(data[offset : offset + size])
    data[offset + 10 : offset + size] = bytes(size - 10)
    path.write_bytes(data)
    return path


def test_a_corrupt_block_names_file_and_rows(make_raster: MakeRaster) -> None:
    array = pixels("uint16", 1, 64, 64)
    reader = RasterReader(broken(make_raster("a.tif", array, compress="deflate", blockysize=16)))
    assert np.array_equal(reader.read(Window(0, 0, 48, 64))[0], array[:, :48])
    with pytest.raises(DataError, match=r"cannot be read .*; replace the file with a whole copy") as error:
        reader.read(Window(40, 8, 30, 20))
    assert error.value.code == "raster-corrupt"
    assert error.value.where == f"{reader.path} rows 40-64, columns 8-28"


def test_a_truncated_file_is_an_error_not_pixels(make_raster: MakeRaster) -> None:
    path = make_raster("a.tif", pixels("uint16", 1, 64, 64), compress="deflate", blockysize=16)
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, len(whole) // 23):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError) as error:
            RasterReader(path).read(Window(0, 0, 64, 64))
        assert str(path) in error.value.where


def test_a_huge_block_is_refused_with_the_way_out(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 16384, "width": 16384, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, tiled=True, blockxsize=16384, blockysize=16384, sparse_ok=True):
        pass
    error = refused(path)
    assert error.code == "raster-block"
    assert "one block of 16384 x 16384 pixels decodes to 268 MB" in error.message
    assert "gdal_translate -co TILED=YES" in error.fix


def test_a_block_of_many_interleaved_bands_counts_them_all(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 4096, "width": 4096, "dtype": "uint8", "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096}
    for interleave in ("pixel", "band"):
        with rasterio.open(tmp_path / f"{interleave}.tif", "w", count=9, interleave=interleave, **profile, **tiles):
            pass
    assert refused(tmp_path / "pixel.tif").code == "raster-block"
    assert raster_info(tmp_path / "band.tif").block == (4096, 4096)


def test_a_raster_beyond_all_limits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 2_000_000, "width": 2_000_000, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, tiled=True, sparse_ok=True, bigtiff="yes", blockxsize=16384, blockysize=16384
    ):
        pass
    assert refused(path).code == "raster-limits"


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_pixels_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "radar.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=4, dtype=dtype) as sink:
        sink.write(np.ones((1, 4, 4), np.complex64))
    error = refused(path)
    assert error.code == "raster-dtype"
    assert dtype in error.message


def test_reading_leaves_the_input_alone(
    make_raster: MakeRaster, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]]
) -> None:
    make_raster("a.tif", pixels("int16"), nodata=-9999, compress="deflate")
    make_raster("b.tif", rgba(), colorinterp=RGBA)
    with rasterio.open(tmp_path / "c.png", "w", driver="PNG", count=1, height=4, width=4, dtype="uint8") as sink:
        sink.write(np.ones((1, 4, 4), np.uint8))
    before = fingerprint(tmp_path)
    for name in ("a.tif", "b.tif", "c.png"):
        RasterReader(tmp_path / name).read(Window(-2, -2, 50, 60))
        with open_raster(tmp_path / name) as source:
            source.read(1, masked=True)
    assert fingerprint(tmp_path) == before


@pytest.mark.real
def test_real_rasters_are_read(data_dir: Path, fingerprint: Callable[[Path], dict[str, str]]) -> None:
    folder = data_dir / "massachusetts"
    before = fingerprint(folder)
    train, test = raster_info(folder / "22978945_15.tif"), raster_info(folder / "23429155_15.tif")
    assert (train.dtype, train.grid.shape) == ("uint8", (901, 1182))
    assert (test.dtype, test.grid.shape) == ("uint16", (751, 1046))
    assert train.nodata == test.nodata == (255, 255, 255)
    raw, valid = RasterReader(test.path).read(Window(0, 0, 751, 1046))
    assert raw.max() <= 255
    assert np.array_equal(valid, (raw != 255).any(0))
    strict = RasterReader(test.path, rule="any").read(Window(0, 0, 751, 1046))[1]
    assert strict.sum() < valid.sum(), "bright roofs would be holes"
    assert fingerprint(folder) == before


@pytest.mark.real
def test_messages_that_are_no_utf8_are_not_shown(data_dir: Path) -> None:
    odd = data_dir / "odd" / "rasters" / "gdal" / "gcore" / "data" / "hfa_completedefn_recursion.img"
    told = subprocess.run([sys.executable, "-m", "swath", "check", str(odd)], capture_output=True, text=True, check=False)
    assert told.stderr == ""
    assert odd.name in told.stdout
