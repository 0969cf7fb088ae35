"""VRTs of plain rasters read like the rasters; whatever else stands in one is refused by its name, and nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy
from tiny_town import write_town

import swath
from swath.core.errors import ConfigError, DataError
from swath.core.windows import Window
from swath.disk.rasters import vrt_guard
from swath.disk.rasters.raster import RasterReader, raster_info
from swath.disk.scenes.manifest import expand_inputs
from swath.disk.sources.stamp import file_stamp
from swath.steps.chip import chip
from swath.steps.mosaic import mosaic

pytest_plugins = ["fixtures_run"]
MakeRaster = Callable[..., Path]
HEAD = '<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{more}'
SOURCE = """<{kind}><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="6" ySize="5"/><DstRect xOff="0" yOff="0" xSize="6" ySize="5"/>{more}</{kind}>"""


def source(name: str = "a.tif", band: str = "1", kind: str = "SimpleSource", more: str = "") -> str:
    return SOURCE.format(name=name, band=band, kind=kind, more=more)


def vrt(path: Path, bands: str, *, width: int = 6, height: int = 5, more: str = "") -> Path:
    """A VRT with `bands`: whole elements, or the sources of a single byte band."""
    plain = f'<VRTRasterBand dataType="Byte" band="1">{bands}</VRTRasterBand>'
    body = bands if "<VRTRasterBand" in bands else plain
    path.write_text(f"{HEAD.format(width=width, height=height, more=more)}{body}</VRTDataset>")
    return path


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        raster_info(path)
    assert "\n" not in caught.value.line()
    assert str(path) in caught.value.line()
    return caught.value


def pixels(path: Path) -> NDArray[Any]:
    reader = RasterReader(path)
    return reader.read(Window(0, 0, *reader.grid.shape))[0]


@pytest.fixture
def a(make_raster: MakeRaster) -> NDArray[np.uint8]:
    """The pixels (5, 6) of `a.tif`."""
    array = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    make_raster("a.tif", array)
    return array


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_a_mosaic_reads_like_the_image(make_raster: MakeRaster, tmp_path: Path, dtype: str, nodata: float | None) -> None:
    raw = np.random.default_rng(3).integers(0, 200, (3, 61, 83)).astype(dtype)
    image = make_raster("a.tif", raw, nodata=nodata, descriptions=["x", "y", "z"])
    chip(image, tmp_path / "chips", size=20, stride=20)
    mosaic(tmp_path / "chips", tmp_path / "m.vrt", kind="vrt")
    made, whole = RasterReader(tmp_path / "m.vrt"), RasterReader(image)
    assert made.grid == whole.grid
    assert (made.info.dtypes, made.info.names, made.info.nodata) == (whole.info.dtypes, whole.info.names, whole.info.nodata)
    for window in (Window(-3, -3, 70, 90), Window(17, 15, 9, 40), Window(60, 82, 1, 1)):
        for got, want in zip(made.read(window), whole.read(window), strict=True):
            assert np.array_equal(got, want)


def test_complex_sources_scale_and_leave_nodata_out(a: NDArray[np.uint8], tmp_path: Path) -> None:
    more = "<ScaleOffset>3</ScaleOffset><ScaleRatio>2</ScaleRatio><NODATA>7</NODATA>"
    band = f'<VRTRasterBand dataType="Int16" band="1"><NoDataValue>-5</NoDataValue>{source(kind="ComplexSource", more=more)}</VRTRasterBand>'
    reader = RasterReader(vrt(tmp_path / "x.vrt", band))
    raw, valid = reader.read(Window(0, 0, 5, 6))
    assert raw.dtype == np.int16
    assert np.array_equal(raw[0], np.where(a == 7, -5, 3 + 2 * a.astype(np.int16)))
    assert np.array_equal(valid, a != 7)


def test_elements_count_whatever_their_capitals(a: NDArray[np.uint8], tmp_path: Path) -> None:
    path = vrt(tmp_path / "x.vrt", "<NodataValue>7</NodataValue>" + source().replace("SrcRect", "srcrect"))
    assert raster_info(path).nodata == (7,)
    assert np.array_equal(pixels(path)[0], a)


def test_a_mask_band_hides_pixels(a: NDArray[np.uint8], make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster("m.tif", np.where(a > 20, 255, 0).astype(np.uint8))
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{source("m.tif")}</VRTRasterBand></MaskBand>'
    reader = RasterReader(vrt(tmp_path / "x.vrt", source(), more=mask))
    assert reader.info.masked
    assert np.array_equal(reader.read(Window(0, 0, 5, 6))[1], a > 20)


def test_place_and_coordinate_system_are_those_that_gdal_writes(make_raster: MakeRaster, tmp_path: Path) -> None:
    image = make_raster("a.tif", np.ones((2, 30, 40), np.uint16), nodata=3)
    copy(str(image), str(tmp_path / "x.vrt"), driver="VRT")
    found, want = raster_info(tmp_path / "x.vrt"), raster_info(image)
    assert found.grid == want.grid
    assert (found.dtypes, found.nodata) == (want.dtypes, want.nodata)


def test_vrts_stand_in_vrts_two_deep(a: NDArray[np.uint8], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    vrt(tmp_path / "in" / "1.vrt", source("../a.tif"))
    vrt(tmp_path / "2.vrt", source("in/1.vrt"))
    assert np.array_equal(pixels(vrt(tmp_path / "3.vrt", source("2.vrt")))[0], a)
    assert "deeper than 2" in refused(vrt(tmp_path / "4.vrt", source("3.vrt"))).message
    vrt(tmp_path / "in" / "1.vrt", source("../3.vrt"))
    assert "is a source of itself" in refused(tmp_path / "3.vrt").message
    assert "is a source of itself" in refused(vrt(tmp_path / "me.vrt", source("me.vrt"))).message


RAW = """<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand"><SourceFilename>/etc/passwd</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>6</LineOffset></VRTRasterBand>"""
CODE = """<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>f</PixelFunctionType>
<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>print(1)</PixelFunctionCode></VRTRasterBand>"""


@pytest.mark.parametrize(
    ("bands", "named"),
    [
        (RAW, "VRTRawRasterBand"),
        (CODE, "VRTDerivedRasterBand"),
        ('<VRTRasterBand dataType="Byte" band="1" SUBCLASS="VRTRawRasterBand"/>', "VRTRawRasterBand"),
        ("<PixelFunctionType>sum</PixelFunctionType>", "<PixelFunctionType>"),
        (source(kind="AveragedSource"), "<AveragedSource>"),
        (source(kind="KernelFilteredSource"), "<KernelFilteredSource>"),
        ("<ArraySource/>", "<ArraySource>"),
        (source(kind="ComplexSource", more="<LUT>0:1,255:2</LUT>"), "<LUT>"),
        (source(kind="ComplexSource", more="<Exponent>2</Exponent>"), "<Exponent>"),
        (source(more="<OpenOptions><OOI key='X'>Y</OOI></OpenOptions>"), "<OpenOptions>"),
        (source() + "<MaskBand/>", "<MaskBand>"),
        (source(band="2"), "takes band 2 of a.tif, which has 1"),
        (source(band="mask,9"), "takes band mask,9"),
        (source().replace('xSize="6"', 'xSize="nan"'), "<SrcRect>"),
        (source().replace(">a.tif<", "><"), "without file"),
        (source().replace("Source>", 'Source resampling="bilinear">', 1)
         .replace('DstRect xOff="0" yOff="0" xSize="6"', 'DstRect xOff="0" yOff="0" xSize="0.1"'), "more than 32 times"),
    ],
)
@pytest.mark.usefixtures("a")
def test_what_is_no_plain_raster_is_refused_by_its_name(tmp_path: Path, bands: str, named: str) -> None:
    error = refused(vrt(tmp_path / "x.vrt", bands))
    assert error.code == "vrt-refused"
    assert named in error.message


@pytest.mark.parametrize("kind", ["VRTWarpedDataset", "VRTPansharpenedDataset", "VRTProcessedDataset"])
@pytest.mark.usefixtures("a")
def test_other_kinds_of_vrts_are_refused(tmp_path: Path, kind: str) -> None:
    path = vrt(tmp_path / "x.vrt", source())
    path.write_text(path.read_text().replace("<VRTDataset", f'<VRTDataset subClass="{kind}"'))
    assert kind in refused(path).message


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("<SRS>/etc/passwd</SRS>", "<SRS>"),
        ("<SRS>http://example.com/x.wkt</SRS>", "<SRS>"),
        ("<GeoTransform>1, 2, 3</GeoTransform>", "<GeoTransform>"),
        ("<GeoTransform>1, 2, 3, 4, 5, inf</GeoTransform>", "<GeoTransform>"),
        ("<PansharpeningOptions/>", "<PansharpeningOptions>"),
        ("<Group name='/'/>", "<Group>"),
    ],
)
@pytest.mark.usefixtures("a")
def test_other_elements_of_the_whole_are_refused(tmp_path: Path, more: str, named: str) -> None:
    error = refused(vrt(tmp_path / "x.vrt", source(), more=more))
    assert (error.code, named in error.message) == ("vrt-refused", True)


@pytest.mark.parametrize(
    "name",
    [
        "/vsicurl/http://127.0.0.1:9/a.tif", "/vsizip/a.zip/a.tif", "http://127.0.0.1:9/a.tif", "vrt://a.tif?bands=1",
        "&lt;VRTDataset/&gt;", "NETCDF:a.nc:x", "GTIFF_DIR:1:a.tif", "MEM:::DATAPOINTER=1", "WMS:http://x", "absent.tif",
        ".", "..", "/dev/zero", "/etc/passwd", "PG:dbname=x", "notes.txt", "polyglot.tif", "fake.tif",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("a")
def test_sources_are_local_rasters(make_raster: MakeRaster, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("dear raster")
    vrt(tmp_path / "fake.tif", RAW)
    made = make_raster("polyglot.tif", np.ones((5, 6), np.uint8))
    with rasterio.open(made, "r+") as file:
        file.update_tags(TIFFTAG_SOFTWARE="<VRTDataset rasterXSize='5' rasterYSize='5'/>")
    error = refused(vrt(tmp_path / "x.vrt", source(name)))
    assert error.code == "vrt-source"
    assert "x:" not in error.message, "no line of the file named is shown"


def test_limits_of_rasters_hold_for_sources(make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster("a.tif", np.ones((5, 6), np.complex64))
    assert "complex64" in refused(vrt(tmp_path / "x.vrt", source())).message
    options = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": 20_000, "height": 20_000, "SPARSE_OK": True}
    with rasterio.open(tmp_path / "b.tif", "w", **options, tiled=True, blockxsize=16_384, blockysize=16_384):
        pass
    assert "one block" in refused(vrt(tmp_path / "x.vrt", source("b.tif"))).message
    assert refused(vrt(tmp_path / "x.vrt", "", width=2_000_000, height=2_000_000)).code == "raster-limits"
    assert "no size" in refused(vrt(tmp_path / "x.vrt", "", width=-1)).message


@pytest.mark.usefixtures("a")
def test_texts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = vrt(tmp_path / "x.vrt", source())
    path.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + path.read_text())
    assert "document type" in refused(path).message
    path.write_bytes(path.read_text().encode("utf-16"))
    assert "is no XML" in refused(path).message
    path.write_text("<VRTDataset")
    assert "is no XML" in refused(path).message
    path.write_text("<OGRVRTDataSource/>")
    assert "<OGRVRTDataSource>" in refused(path).message
    path.write_text("<VRTDataset>" + "<Metadata>" * 200_000 + "</Metadata>" * 200_000 + "</VRTDataset>")
    assert "longer than 4 MB" in refused(path).message
    monkeypatch.setattr(vrt_guard, "MAX_SOURCES", 2)
    assert "more than 2 sources" in refused(vrt(path, source() * 3)).message


def test_nested_vrts_do_not_multiply(a: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vrt_guard, "MAX_XML", 10_000)
    vrt(tmp_path / "1.vrt", source() * 20)
    assert np.array_equal(pixels(vrt(tmp_path / "2.vrt", source("1.vrt")))[0], a)
    assert "too long" in refused(vrt(tmp_path / "2.vrt", source("1.vrt") * 30)).message


@pytest.mark.usefixtures("a")
def test_a_mask_beside_it_is_refused(tmp_path: Path) -> None:
    path = vrt(tmp_path / "x.vrt", source())
    (tmp_path / "x.vrt.msk").write_bytes(b"x")
    assert "x.vrt.msk" in refused(path).message


def test_the_stamp_tells_changes_of_sources(a: NDArray[np.uint8], make_raster: MakeRaster, tmp_path: Path) -> None:
    vrt(tmp_path / "1.vrt", source())
    path = vrt(tmp_path / "x.vrt", source("1.vrt"))
    before = file_stamp(path)
    assert file_stamp(path) == before
    assert np.array_equal(pixels(path)[0], a)
    make_raster("a.tif", a[::-1])
    assert file_stamp(path) != before
    assert np.array_equal(pixels(path)[0], a[::-1]), "what changed is read anew"


def test_a_folder_counts_its_rasters_once(a: NDArray[np.uint8], tmp_path: Path) -> None:
    path = vrt(tmp_path / "x.vrt", source())
    assert expand_inputs([tmp_path], {".tif", ".vrt"}) == [tmp_path / "a.tif"]
    assert expand_inputs([path], {".tif", ".vrt"}) == [path]
    (tmp_path / "only").mkdir()
    vrt(tmp_path / "only" / "y.vrt", source("../a.tif"))
    assert expand_inputs([tmp_path / "only"], {".tif", ".vrt"}) == [tmp_path / "only" / "y.vrt"]


def test_truncated_sources_are_found(a: NDArray[np.uint8], tmp_path: Path) -> None:
    path = vrt(tmp_path / "x.vrt", source())
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:-10])
    found = swath.check(path)
    codes = {f["code"] for f in found["findings"] if f["level"] == "error"}
    assert codes & {"raster-truncated", "raster-corrupt", "vrt-source"}
    assert a.size > 10


def test_a_mosaic_that_could_not_be_read_again_is_not_written(
    make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip(make_raster("a.tif", np.ones((40, 40), np.uint8)), tmp_path / "chips", size=10, stride=10)
    monkeypatch.setattr("swath.disk.rasters.vrt.MAX_SOURCES", 15)
    with pytest.raises(ConfigError, match="longer than Swath reads"):
        mosaic(tmp_path / "chips", tmp_path / "m.vrt", kind="vrt")
    assert not (tmp_path / "m.vrt").exists()


def test_samples_of_a_vrt_are_those_of_the_image(tmp_path: Path) -> None:
    records = []
    for name in ("plain", "virtual"):
        config = write_town(tmp_path / name)
        manifest = config.with_name("scenes.csv")
        for image in ("north", "south", "west") if name == "virtual" else ():
            chip(config.with_name(f"{image}.tif"), tmp_path / image, size=40, stride=40)
            mosaic(tmp_path / image, config.with_name(f"{image}.vrt"), kind="vrt")
            manifest.write_text(manifest.read_text().replace(f"{image}.tif", f"{image}.vrt"))
        assert swath.check(config)["ok"]
        records.append((Path(swath.sample(config)["store"]) / "records.bin").read_bytes())
    assert records[0] == records[1] != b""


def test_the_map_of_a_vrt_is_that_of_the_image(trained: Path, tmp_path: Path) -> None:
    image = trained.with_name("west.tif")
    chip(image, tmp_path / "chips", size=40, stride=40)
    mosaic(tmp_path / "chips", tmp_path / "west.vrt", kind="vrt")
    maps = []
    for n, path in enumerate((image, tmp_path / "west.vrt")):
        made = swath.predict(trained.parent / "runs" / "roofs", path, out=tmp_path / str(n))
        maps.append(pixels(Path(made["maps"][0]["map"])))
    assert np.array_equal(*maps)
    assert len(np.unique(maps[0])) > 1
