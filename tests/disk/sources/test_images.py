"""Stacks read as one raster: bands in order, sources of other grids aligned to the pixel, every window the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.sources.images import image_info, image_reader, open_image, plain_bands
from swath.disk.sources.stack import Constant, Files, Plugin, Position, Stack, band_names

MakeRaster = Callable[..., Path]
FINE = Affine(1, 0, 500_000, 0, -1, 4_500_000)
COARSE = Affine(4, 0, 500_000, 0, -4, 4_500_000)
ALL = Window(0, 0, 40, 48)


def fine(bands: int = 1, seed: int = 1) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(1, 4000, (bands, 40, 48)).astype(np.uint16)


@pytest.fixture
def pair(make_raster: MakeRaster) -> tuple[Stack, NDArray[Any], NDArray[Any]]:
    """A panchromatic image and four bands at a quarter of its resolution, taken at the nearest pixel."""
    pan, ms = fine(), np.random.default_rng(2).integers(1, 4000, (4, 10, 12)).astype(np.uint16)
    stack = Stack((
        Files("image", (make_raster("pan.tif", pan, transform=FINE),)),
        Files("ms", (make_raster("ms.tif", ms, transform=COARSE),), resample="nearest"),
    ))  # fmt: skip
    return stack, pan, ms


def test_a_coarser_source_lies_on_the_reference_grid(pair: tuple[Stack, NDArray[Any], NDArray[Any]]) -> None:
    stack, pan, ms = pair
    raw, valid = image_reader(stack).read(ALL)
    assert image_info(stack).names == ("b1", "ms:b1", "ms:b2", "ms:b3", "ms:b4")
    assert np.array_equal(raw[:1], pan)
    assert np.array_equal(raw[1:], ms.repeat(4, 1).repeat(4, 2))
    assert valid.all()
    assert image_info(stack).grid.shape == (40, 48)


def test_bilinear_resampling_is_that_of_pixel_centres(make_raster: MakeRaster) -> None:
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32) * 4 + 2, (1, 10, 12))  # the x of each coarse centre
    stack = Stack((
        Files("image", (make_raster("pan.tif", fine(), transform=FINE),)),
        Files("dem", (make_raster("dem.tif", ramp, transform=COARSE),)),
    ))  # fmt: skip
    raw, _ = image_reader(stack, [2]).read(ALL)
    assert image_info(stack).names == ("b1", "dem")
    centres = np.arange(48) + 0.5
    assert np.abs(raw[0, 8:32, 4:44] - centres[4:44]).max() < 1e-3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.integers(-4, 39), st.integers(-4, 47), st.integers(1, 30), st.integers(1, 30), st.sampled_from(["bilinear", "cubic", "average"]))
def test_windows_of_a_resampled_source_are_parts_of_the_whole(
    pair: tuple[Stack, NDArray[Any], NDArray[Any]], row: int, col: int, height: int, width: int, how: Any
) -> None:
    stack = pair[0]
    ms = stack.parts[1]
    assert isinstance(ms, Files)
    stack = stack.with_part(Files("ms", ms.files, resample=how))
    window = Window(row, col, height, width)
    inside = window.clip(40, 48)
    rows, cols = inside.slices()
    expected, valid = image_reader(stack).read(ALL)
    raw, good = image_reader(stack).read(window)
    within = inside.slices(window)
    assert np.array_equal(raw[(slice(None), *within)], expected[:, rows, cols])
    assert np.array_equal(good[within], valid[rows, cols])
    assert good.sum() == valid[rows, cols].sum()


def test_another_crs_is_placed_to_half_a_pixel(make_raster: MakeRaster) -> None:
    """A marker of the neighbouring UTM zone falls on the same ground."""
    from pyproj import Transformer

    marker = np.zeros((1, 40, 48), np.uint8)
    marker[0, 20, 24] = 200
    x, y = FINE @ (24.5, 20.5)
    there = Transformer.from_crs(32618, 32617, always_xy=True).transform(x, y)
    other = np.zeros((1, 41, 41), np.uint8)
    other[0, 20, 20] = 200
    stack = Stack((
        Files("image", (make_raster("a.tif", marker, crs="EPSG:32618", transform=FINE),)),
        Files("b", (make_raster("b.tif", other, crs="EPSG:32617",
                                transform=Affine(1, 0, there[0] - 20.5, 0, -1, there[1] + 20.5)),), resample="nearest"),
    ))  # fmt: skip
    raw, _ = image_reader(stack).read(ALL)
    found = np.argwhere(raw[1] == 200)
    assert len(found)
    assert np.abs(found - [20, 24]).max() <= 1
    assert raw[1, 20, 24] == 200


def test_where_a_source_ends_the_pixels_are_invalid(make_raster: MakeRaster) -> None:
    part = np.full((1, 5, 6), 7, np.uint8)
    stack = Stack((
        Files("image", (make_raster("a.tif", fine(), transform=FINE),)),
        Files("b", (make_raster("b.tif", part, transform=COARSE),), resample="nearest"),
    ))  # fmt: skip
    raw, valid = image_reader(stack).read(ALL)
    assert valid[:20, :24].all()
    assert valid.sum() == 20 * 24
    assert (raw[1, :20, :24] == 7).all()
    only_image, valid = image_reader(stack, [1]).read(ALL)
    assert valid.all()
    assert only_image.shape == (1, 40, 48)


def test_nodata_of_a_resampled_source_spreads_to_no_neighbour(make_raster: MakeRaster) -> None:
    dem = np.full((1, 10, 12), 100, np.float32)
    dem[0, 4, 5] = -9999
    stack = Stack((
        Files("image", (make_raster("a.tif", fine(), transform=FINE),)),
        Files("dem", (make_raster("dem.tif", dem, transform=COARSE, nodata=-9999),)),
    ))  # fmt: skip
    raw, valid = image_reader(stack).read(ALL)
    assert set(np.unique(raw[1][valid])) == {100.0}
    assert 0 < (~valid).sum() <= 16


@pytest.mark.parametrize("how", ["bilinear", "cubic", "average"])
def test_nodata_of_one_band_spreads_to_no_neighbour_where_the_other_has_data(make_raster: MakeRaster, how: Any) -> None:
    both = np.full((2, 10, 12), 100, np.float32)
    both[0, 4, 5] = both[1, 7, 2] = -9999
    stack = Stack((
        Files("image", (make_raster("a.tif", fine(), transform=FINE),)),
        Files("b", (make_raster("b.tif", both, transform=COARSE, nodata=-9999),), resample=how),
    ))  # fmt: skip
    raw, valid = image_reader(stack, rule="any").read(ALL)
    assert set(np.unique(raw[1:, valid])) == {100.0}
    assert 0 < (~valid).sum() <= 2 * 16
    assert set(np.unique(raw[1:])) == {-9999.0, 100.0}


def test_every_band_of_a_resampled_source_has_its_own_nodata_value(make_raster: MakeRaster, tmp_path: Path) -> None:
    parts = []
    for n, nodata in enumerate((7, 250), 1):
        band = np.full((1, 10, 12), 100, np.uint8)
        band[0, 2 * n : 2 * n + 2] = nodata
        parts.append(make_raster(f"p{n}.tif", band, transform=COARSE, nodata=nodata))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{part.name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
        for n, (part, nodata) in enumerate(zip(parts, (7, 250), strict=True), 1)
    )
    (tmp_path / "b.vrt").write_text(
        '<VRTDataset rasterXSize="12" rasterYSize="10"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>500000, 4, 0, 4500000, 0, -4</GeoTransform>{bands}</VRTDataset>"
    )
    image = make_raster("a.tif", fine(), crs="EPSG:32618", transform=FINE)
    raw, valid = image_reader(Stack((Files("image", (image,)), Files("b", (tmp_path / "b.vrt",)))), rule="any").read(ALL)
    assert set(np.unique(raw[1:, valid])) == {100}
    assert set(np.unique(raw[1])) == {7, 100}
    assert set(np.unique(raw[2])) == {250, 100}
    assert (~valid).all(1).tolist() == [8 <= row < 24 for row in range(40)]


def test_a_mask_of_a_resampled_source_spreads_to_no_neighbour(make_raster: MakeRaster) -> None:
    path = make_raster("b.tif", np.full((1, 10, 12), 100, np.uint8), transform=COARSE)
    hidden = np.full((10, 12), 255, np.uint8)
    hidden[4:6] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
        pixels = sink.read()
        pixels[0, 4:6] = 1
        sink.write(pixels)
        sink.write_mask(hidden)
    raw, valid = image_reader(Stack((Files("image", (make_raster("a.tif", fine(), transform=FINE),)), Files("b", (path,))))).read(ALL)
    assert set(np.unique(raw[1, valid])) == {100}
    assert (valid.all(1) == hidden.any(1).repeat(4)).all()


def test_files_of_one_image_are_stacked_by_band(make_raster: MakeRaster) -> None:
    arrays = [fine(seed=s) for s in (1, 2, 3)]
    files = tuple(make_raster(f"2018, S2, B0{n}.tif", a, nodata=0) for n, a in enumerate(arrays, 2))
    stack = Stack((Files("image", files),))
    assert image_info(stack).names == ("B02", "B03", "B04")
    assert stack.stem == "2018, S2"
    raw, valid = image_reader(stack, [3, 1]).read(Window(30, 40, 20, 20))
    assert np.array_equal(raw[:, :10, :8], np.concatenate([arrays[2], arrays[0]])[:, 30:, 40:])
    assert valid.sum() == 80


@pytest.mark.parametrize(("rule", "count"), [("all", 1), ("any", 3), ("none", 0)])
def test_the_nodata_rule_spans_the_files_of_an_image(make_raster: MakeRaster, rule: str, count: int) -> None:
    first, second = fine(seed=1), fine(seed=2)
    first[0, 0, :2] = 0
    second[0, 0, 1:3] = 0
    stack = Stack((Files("image", (make_raster("a.tif", first, nodata=0), make_raster("b.tif", second, nodata=0))),))
    _, valid = image_reader(stack, None, rule).read(ALL)
    assert (~valid).sum() == count


def test_files_of_other_sizes_are_named(make_raster: MakeRaster) -> None:
    stack = Stack((Files("image", (make_raster("a.tif", fine()), make_raster("b.tif", fine()[:, :20]))),))
    with pytest.raises(DataError, match=r"is 48 x 20 pixels of 0.5, a.tif of the same source 'image' is 48 x 40"):
        image_info(stack)


def test_sources_that_do_not_meet_are_refused(make_raster: MakeRaster) -> None:
    image = Files("image", (make_raster("a.tif", fine(), transform=FINE),))
    far = Files("dem", (make_raster("b.tif", fine(), transform=FINE @ Affine.translation(5000, 0)),))
    with pytest.raises(DataError, match="the source 'dem' lies off the image"):
        image_info(Stack((image, far)))
    bare = Files("dem", (make_raster("c.tif", fine()[:, :20], crs=None, transform=None),))
    with pytest.raises(DataError, match="cannot be aligned"):
        image_info(Stack((image, bare)))


def test_a_band_beyond_the_stack_is_told_with_the_names(pair: tuple[Stack, NDArray[Any], NDArray[Any]]) -> None:
    with pytest.raises(DataError, match="band 6 is wanted, the image has 5 bands: b1, ms:b1"):
        image_reader(pair[0], [6])


def test_bands_are_found_by_name_whatever_their_order(make_raster: MakeRaster) -> None:
    """Two STAC items may list the same assets in different order."""
    red, nir = fine(seed=1), fine(seed=2)
    files = make_raster("r.tif", red), make_raster("n.tif", nir)
    bands = Bands((1, 2), ("red", "nir"), (1.0, 1.0), (0.0, 0.0))
    for stack in (Stack((Files("image", files, ("red", "nir")),)), Stack((Files("image", files[::-1], ("nir", "red")),))):
        raw, _ = open_image(stack, bands).read(ALL)
        assert np.array_equal(raw, np.concatenate([red, nir]))


@pytest.mark.parametrize(("names", "indexes", "taken", "refused"), [
    (("red", "green", "nir"), (1, 3), ("red", "nir"), False),
    (("red", "green", "nir"), (3, 1), ("nir", "red"), False),
    (("NIR", "green", "Red"), (1, 3), ("red", "nir"), True),
    (("red", "nir", "green"), (1, 3), ("red", "nir"), True),
    (("b1", "b2", "b3"), (1, 3), ("red", "nir"), False),
    (("red", "red", "nir"), (2, 3), ("nir", "red"), False),
    (("red", "green", "blue"), (1, 3), ("red", "nir"), False),
])  # fmt: skip
def test_a_file_whose_names_contradict_the_numbers_of_the_bands_is_refused(
    make_raster: MakeRaster, names: tuple[str, ...], indexes: tuple[int, ...], taken: tuple[str, ...], refused: bool
) -> None:
    path = make_raster("a.tif", np.arange(1, 4, dtype=np.uint8).repeat(12).reshape(3, 3, 4), descriptions=names)
    bands = Bands(indexes, taken, (1.0,) * 2, (0.0,) * 2)
    if not refused:
        assert open_image(path, bands).read(Window(0, 0, 1, 1))[0].ravel().tolist() == list(indexes)
        return
    with pytest.raises(DataError, match="the model takes red, nir") as caught:
        open_image(path, bands)
    assert caught.value.code == "bands-order"
    order = " ".join(f"-b {[n.lower() for n in names].index(n) + 1}" for n in taken)
    assert order in caught.value.fix


def test_alpha_is_no_band_of_a_source(make_raster: MakeRaster) -> None:
    from rasterio.enums import ColorInterp

    rgba = np.concatenate([fine(3), np.full((1, 40, 48), 65535, np.uint16)])
    rgba[3, :10] = 0
    names = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    stack = Stack((Files("image", (make_raster("a.tif", rgba, colorinterp=names),)), Constant("gsd", 0.5)))
    raw, valid = image_reader(stack).read(ALL)
    assert image_info(stack).names == ("red", "green", "blue", "gsd")
    assert valid.sum() == 30 * 48
    assert raw.dtype == np.float32
    assert plain_bands(stack, (4, 1)) == (0,)


READER = '''
import numpy as np
from affine import Affine
import swath


class Ramp:
    names = ("up", "down")
    dtype = "float32"

    def __init__(self, size):
        self.grid = swath.Grid(None, Affine.identity(), size, size)

    def read(self, window):
        rows = np.arange(window.row, window.row + window.height, dtype="float32")[:, None]
        up = np.broadcast_to(rows, window.shape)
        return np.stack([up, -up])


def ramp(location, size=20):
    return Ramp(size)


def wrong(location, what="shape"):
    own = Ramp(20)
    own.dtype = {"complex": "complex64", "text": "U3", "narrow": "uint8"}.get(what, "float32")
    own.read = lambda window: {
        "shape": np.zeros((1, 2, 2)),
        "valid": (np.zeros((2, *window.shape)), np.ones((2, *window.shape), bool)),
        "three": (np.zeros((2, *window.shape)),) * 3,
        "narrow": np.full((2, *window.shape), 300.7),
        "words": np.full((2, *window.shape), "x"),
    }[what]
    return own
'''


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's module of readers."""
    (tmp_path / "my_readers.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_readers", None)


@pytest.mark.usefixtures("readers")
def test_a_users_own_reader_is_a_source(make_raster: MakeRaster) -> None:
    stack = Stack((Plugin("image", "my_readers:ramp", "x", (("size", 30),)), Position("at")))
    info = image_info(stack)
    assert info.grid.shape == (30, 30)
    assert info.names == ("up", "down", "at:row", "at:column")
    raw, _ = image_reader(stack, [2, 1]).read(Window(28, 0, 4, 3))
    assert raw[:, :, 0].tolist() == [[-28, -29, 0, 0], [28, 29, 0, 0]]
    image = make_raster("a.tif", np.ones((1, 20, 20), np.uint8), crs=None, transform=None)
    beside = Stack((Files("image", (image,)), Plugin("own", "my_readers:ramp", None)))
    assert image_info(beside).names == ("b1", "own:up", "own:down")


@pytest.mark.usefixtures("readers")
def test_a_reader_of_another_shape_is_told() -> None:
    with pytest.raises(DataError, match=r"read gave \(1, 2, 2\) for a window of \(5, 5\)"):
        image_reader(Stack((Plugin("image", "my_readers:wrong", None),))).read(Window(0, 0, 5, 5))


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize(("what", "code", "told"), [
    ("valid", "reader-shape", r"where there is data as \(2, 5, 5\) for a window of \(5, 5\)"),
    ("three", "reader-shape", r"read gave \(3, 2, 5, 5\)"),
    ("narrow", "reader-dtype", "read gave float64, its reader's dtype is uint8"),
    ("words", "reader-dtype", "read gave <U1"),
    ("complex", "reader-dtype", "complex64, no integers or floats"),
    ("text", "reader-dtype", "no integers or floats"),
])  # fmt: skip
def test_what_a_reader_may_not_give_is_told(what: str, code: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        image_reader(Stack((Plugin("image", "my_readers:wrong", None, (("what", what),)),))).read(Window(0, 0, 5, 5))
    assert caught.value.code == code


@pytest.mark.parametrize(("stems", "names"), [
    (["S2 B02", "S2 B03", "S2 B08"], ("B02", "B03", "B08")),
    (["WV03-R", "WV03-G"], ("R", "G")),
    (["B1_10m", "B2_10m"], ("B1", "B2")),
    (["same", "same"], ("same", "same")),
    (["only"], ("only",)),
])  # fmt: skip
def test_what_tells_files_apart_names_their_bands(stems: list[str], names: tuple[str, ...]) -> None:
    assert band_names([Path(f"{s}.tif") for s in stems]) == names


def test_grid_is_public() -> None:
    import swath

    assert swath.Grid is Grid
