"""A look into a raster is bounded, exact where it sees everything, and refuses broken files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from audited import noise
from hypothesis import given
from hypothesis import strategies as st

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterInfo, RasterReader
from swath.disk.sources.probe import PIXELS, probe, spread_windows

Make = Callable[..., Path]

@given(
    height=st.integers(1, 5000), width=st.integers(1, 5000), pixels=st.integers(1, 2_000_000), bands=st.integers(1, 40),
    block=st.sampled_from([(1, 10**9), (16, 10**9), (128, 128), (256, 256), (512, 512), (2048, 2048), (10**9, 10**9)]),
)  # fmt: skip
def test_windows_are_disjoint_inside_and_bounded(
    height: int, width: int, pixels: int, bands: int, block: tuple[int, int]
) -> None:
    grid = Grid(None, Affine.identity(), height, width)
    block = min(block[0], height), min(block[1], width)
    info = RasterInfo(Path("a.tif"), "GTiff", grid, ("uint8",), ("b1",), (None,), block, None, None, False, False)
    windows = spread_windows(info, pixels, bands)
    assert len(set(windows)) == len(windows)
    assert all(Window(0, 0, height, width).contains(w) and w.area for w in windows)
    assert windows[0].row == windows[0].col == 0
    assert (max(w.row_end for w in windows), max(w.col_end for w in windows)) == (height, width)
    assert sum(w.area for w in windows) <= max(pixels, 4 * max(w.area for w in windows)) + max(w.area for w in windows)
    if height * width <= pixels:
        assert sum(w.area for w in windows) == height * width


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 256, "blockysize": 256}, {}])
def test_of_a_big_raster_few_blocks_are_decoded(
    tmp_path: Path, layout: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, side = tmp_path / "big.tif", 10_000
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": side,
        "width": side,
        "dtype": "uint8",
        "sparse_ok": True,
        **layout,
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(noise(side=256), window=((0, 256), (0, 256)))
    decoded: list[int] = []
    plain = RasterReader.read

    def counted(self: RasterReader, window: Window) -> Any:
        tall, wide = self.info.block
        rows, cols = (-(-window.row_end // tall) - window.row // tall, -(-window.col_end // wide) - window.col // wide)
        decoded.append(rows * tall * cols * wide)
        return plain(self, window)

    monkeypatch.setattr(RasterReader, "read", counted)
    seen = probe(path)
    assert seen.looked <= sum(decoded) < 1.5 * PIXELS
    assert 1_000_000 < seen.looked <= 1.1 * PIXELS
    assert not seen.whole
    assert seen.sample.shape[1] <= 4096


def test_the_facts_of_a_small_raster_are_exact(make_raster: Make) -> None:
    bands = noise(2)
    seen = probe(make_raster("a.tif", bands))
    assert seen.whole
    assert seen.looked == seen.valid == bands[0].size
    for facts, band in zip(seen.bands, bands, strict=True):
        expected = [band.min(), *np.quantile(band, (0.02, 0.5, 0.98)), band.max()]
        assert list(facts.range().values()) == pytest.approx(expected)


def test_truncated_and_broken_files_are_refused(make_raster: Make, tmp_path: Path) -> None:
    whole = make_raster(
        "a.tif", noise(side=512), tiled=True, blockxsize=128, blockysize=128, compress="deflate"
    ).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="lie beyond the end of the file") as caught:
        probe(tmp_path / "cut.tif")
    assert caught.value.code == "raster-truncated"
    middle = len(whole) // 2
    (tmp_path / "bad.tif").write_bytes(whole[:middle] + bytes(20_000) + whole[middle + 20_000 :])
    with pytest.raises(DataError) as caught:
        probe(tmp_path / "bad.tif")
    assert caught.value.code == "raster-corrupt"


def test_equal_pixels_have_equal_content_whatever_the_file(make_raster: Make) -> None:
    bands = noise(side=256)
    plain = probe(make_raster("a.tif", bands)).content
    assert plain is not None
    assert plain == probe(make_raster("b.tif", bands.astype("uint16"), tiled=True, compress="lzw")).content
    assert plain != probe(make_raster("c.tif", noise(side=256, seed=1))).content
    assert probe(make_raster("d.tif", np.zeros((3, 64, 64), "uint8"))).content is None
