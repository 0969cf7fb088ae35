"""Functions streamed over rasters: equal to NumPy, margins, workers, nodata, faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.steps.apply import apply

Maker = Callable[..., Path]
Arrays = dict[str, NDArray[Any]]
HERE = Path(__file__).parent


def l2_norm(images: Arrays) -> NDArray[Any]:
    """The length of the vector of all bands of both images (OTB-051)."""
    return np.sqrt(sum((a.astype(np.float64) ** 2).sum(0) for a in images.values()))  # type: ignore[call-overload]


def smooth(images: Arrays) -> NDArray[Any]:
    """The mean of each pixel and its four neighbours that exist."""
    a = images["a"].astype(np.float64)
    padded = np.pad(a, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return (a + padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]) / 5


def bright(images: Arrays) -> NDArray[Any]:
    """Truth values."""
    return images["a"] > 100


def cropped(images: Arrays) -> NDArray[Any]:
    """The wrong shape."""
    return images["a"][:, 1:]


def picky(images: Arrays) -> NDArray[Any]:
    """Fails on one pixel's window."""
    if (images["a"] == 255).any():
        raise ValueError("255 is too bright")
    return images["a"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of this file, as a user's own module."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def pair(make_raster: Maker) -> tuple[Path, Path, Any, Any]:
    """Two rasters on one grid, and their pixels."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(1, 250, (3, 90, 130), np.uint8), rng.normal(0, 9, (1, 90, 130)).astype(np.float32)
    return make_raster("a.tif", a, nodata=0), make_raster("b.tif", b), a, b


def read(path: Path) -> Any:
    with rasterio.open(path) as file:
        return file.read()


def test_the_norm_of_two_images_is_that_of_numpy(pair: Any, tmp_path: Path) -> None:
    a_path, b_path, a, b = pair
    result = apply("test_apply:l2_norm", {"a": a_path, "b": b_path}, tmp_path / "n.tif", window=32)
    assert np.array_equal(read(tmp_path / "n.tif")[0], l2_norm({"a": a, "b": b}))
    assert (result["bands"], result["dtype"], result["windows"], result["nodata_pixels"]) == (1, "float64", 15, 0)
    with rasterio.open(tmp_path / "n.tif") as found, rasterio.open(a_path) as whole:
        assert (found.crs, found.transform) == (whole.crs, whole.transform)


def test_processes_and_windows_change_nothing(pair: Any, tmp_path: Path) -> None:
    a_path, _, a, _ = pair
    apply("test_apply:smooth", {"a": a_path}, tmp_path / "one.tif", window=32, margin=1)
    apply("test_apply:smooth", {"a": a_path}, tmp_path / "two.tif", window=32, margin=1, workers=2)
    assert np.array_equal(read(tmp_path / "one.tif"), smooth({"a": a}))
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "two.tif").read_bytes()


def test_types(pair: Any, tmp_path: Path) -> None:
    a_path, _, a, _ = pair
    assert apply("test_apply:bright", {"a": a_path}, tmp_path / "t.tif")["dtype"] == "uint8"
    assert np.array_equal(read(tmp_path / "t.tif"), a > 100)
    apply("test_apply:smooth", {"a": a_path}, tmp_path / "i.tif", dtype="int16")
    assert np.array_equal(read(tmp_path / "i.tif"), np.rint(smooth({"a": a})))
    with pytest.raises(DataError, match=r"int8 does not hold"):
        apply("test_apply:smooth", {"a": a_path}, tmp_path / "x.tif", dtype="int8")
    with pytest.raises(ConfigError, match="complex64"):
        apply("test_apply:smooth", {"a": a_path}, tmp_path / "x.tif", dtype="complex64")


def test_nodata_stays_nodata(make_raster: Maker, tmp_path: Path) -> None:
    raw = np.full((1, 20, 20), 150, np.uint8)
    raw[0, 0] = 0
    source = {"a": make_raster("a.tif", raw, nodata=0)}
    assert apply("test_apply:bright", source, tmp_path / "t.tif")["nodata_pixels"] == 20
    apply("test_apply:l2_norm", source, tmp_path / "f.tif")
    for name in ("t.tif", "f.tif"):
        with rasterio.open(tmp_path / name) as found:
            assert np.array_equal(found.dataset_mask() > 0, raw[0] > 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_names_its_window_and_leaves_nothing(make_raster: Maker, tmp_path: Path, workers: int) -> None:
    raw = np.ones((1, 64, 64), np.uint8)
    raw[0, 40, 5] = 255
    source = {"a": make_raster("a.tif", raw)}
    with pytest.raises(DataError, match="rows 32-64, columns 0-32: raised ValueError: 255 is too bright"):
        apply("test_apply:picky", source, tmp_path / "out" / "x.tif", window=32, workers=workers)
    with pytest.raises(DataError, match=r"returned the shape \(1, 31, 32\)"):
        apply("test_apply:cropped", source, tmp_path / "out" / "x.tif", window=32)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_refused(pair: Any, make_raster: Maker, tmp_path: Path) -> None:
    a_path, b_path, a, _ = pair
    other = make_raster("o.tif", a, transform=Affine(0.5, 0, 583_100, 0, -0.5, 4_507_000))
    with pytest.raises(DataError, match=r"130 x 90 pixels of 0.5 x 0.5 at 583100, 4507000.*at 583000, 4507000"):
        apply("test_apply:l2_norm", {"a": a_path, "o": other}, tmp_path / "x.tif")
    with pytest.raises(ConfigError, match="cannot import"):
        apply("test_apply:nothing", {"a": a_path}, tmp_path / "x.tif")
    with pytest.raises(ResourceError, match="input"):
        apply("test_apply:l2_norm", {"a": a_path, "b": b_path}, a_path, overwrite=True)
