"""Functions streamed over rasters: equal to NumPy, margins, workers, nodata, faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
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


class OddError(Exception):
    """An error of a user's own class, which does not even travel between processes."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and\n{two}")


def odd(images: Arrays) -> NDArray[Any]:
    """Raises an error of its own."""
    raise OddError(1, 2)


def spent(images: Arrays) -> Any:
    """An iterator that is at its end."""
    return next(iter(()))


def leaving(images: Arrays) -> Any:
    """Ends the program."""
    raise SystemExit(3)


def dying(images: Arrays) -> Any:
    """Ends the process."""
    os._exit(9)


def masked(images: Arrays) -> Any:
    """An array with a mask."""
    return np.ma.masked_greater(images["a"], 100)


def words(images: Arrays) -> Any:
    """No numbers."""
    return np.full(images["a"].shape, "x")


def no_band(images: Arrays) -> Any:
    """Nothing of the right height and width."""
    return images["a"][:0]


def telling(images: Arrays) -> Any:
    """Prints what it does."""
    print("at work")
    return images["a"]


def scaled(factor: int, images: Arrays) -> NDArray[Any]:
    """The pixels, times a factor."""
    return images["a"].astype(np.int32) * factor


@pytest.mark.parametrize(("name", "code", "message"), [
    ("odd", "function-failed", r"raised OddError: 1 and 2 \(test_apply\.py, line \d+\)"),
    ("spent", "function-failed", "raised StopIteration"),
    ("leaving", "function-failed", "raised SystemExit: 3"),
    ("masked", "function-dtype", "a masked array, whose mask would be lost"),
    ("words", "function-dtype", "returned pixels of type <U1"),
    ("no_band", "function-shape", r"returned the shape \(0, "),
])  # fmt: skip
def test_what_a_function_does_wrong_is_the_function_s_fault(
    pair: tuple[Path, Path, Any, Any], tmp_path: Path, name: str, code: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as e:
        apply(f"test_apply:{name}", {"a": pair[0]}, tmp_path / "o.tif", window=32)
    assert e.value.code == code
    assert not (tmp_path / "o.tif").exists()


def test_a_function_that_ends_its_process_is_told(pair: tuple[Path, Path, Any, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test_apply:dying: ended its process without an answer"):
        apply("test_apply:dying", {"a": pair[0]}, tmp_path / "o.tif", window=32, workers=2)
    assert not (tmp_path / "o.tif").exists()


def sleeping(images: Arrays) -> Any:
    """Takes its time, and leaves its process number behind."""
    Path(os.environ["SWATH_TEST_PIDS"], str(os.getpid())).touch()
    time.sleep(0.2)
    return images["a"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_workers_end_with_a_killed_parent(pair: tuple[Path, Path, Any, Any], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    words = [sys.executable, "-m", "swath", "apply", "test_apply:sleeping", "--source", f"a:{pair[0]}",
             "--out", str(tmp_path / "o.tif"), "--window", "16", "--workers", "2"]  # fmt: skip
    paths = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": paths, "SWATH_TEST_PIDS": str(pids)}
    parent = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: any(pids.iterdir()))
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(int(p.name)) for p in pids.iterdir()))
    assert not (tmp_path / "o.tif").exists()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(done: Callable[[], bool]) -> None:
    """Waits; fails after a minute."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("did not happen within a minute")


def test_what_a_function_prints_is_no_data(
    pair: tuple[Path, Path, Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply("test_apply:telling", {"a": pair[0]}, tmp_path / "o.tif")
    shown = capsys.readouterr()
    assert (shown.out, "at work" in shown.err) == ("", True)


def test_functions_themselves_lambdas_and_partials(pair: tuple[Path, Path, Any, Any], tmp_path: Path) -> None:
    here = import_module("test_apply").scaled  # as a user's module has it
    made = {}
    for name, function, workers in (
        ("lambda", lambda images: images["a"].astype(np.int32) * 3, 1),
        ("partial", partial(here, 3), 1),
        ("sent", partial(here, 3), 2),
    ):
        apply(function, {"a": pair[0]}, tmp_path / f"{name}.tif", window=32, workers=workers)
        made[name] = (tmp_path / f"{name}.tif").read_bytes()
    assert made["lambda"] == made["partial"] == made["sent"]
    with rasterio.open(tmp_path / "sent.tif") as file:
        assert (file.read() == pair[2].astype(np.int32) * 3).all()
    with pytest.raises(ConfigError, match="other processes cannot import it"):
        apply(lambda images: images["a"], {"a": pair[0]}, tmp_path / "o.tif", workers=2)


def test_values_beyond_a_float_or_the_last_of_64_bits_are_refused(pair: tuple[Path, Path, Any, Any], tmp_path: Path) -> None:
    for dtype, value in (("float32", 1e300), ("int64", 2.0**63), ("uint8", 255.6)):
        with pytest.raises(DataError, match=f"which {dtype} does not hold"):
            apply(lambda images, v=value: np.full(images["a"].shape, v), {"a": pair[0]}, tmp_path / "o.tif", dtype=dtype)
    apply(lambda images: np.full(images["a"].shape, np.inf), {"a": pair[0]}, tmp_path / "o.tif", dtype="float32")


def test_pixels_without_any_value_are_counted(pair: tuple[Path, Path, Any, Any], tmp_path: Path) -> None:
    def holed(images: Arrays) -> NDArray[Any]:
        out = np.ones((2, *images["a"].shape[1:]))
        out[:, 0], out[0, 1] = np.nan, np.nan
        return out

    result = apply(holed, {"a": pair[0]}, tmp_path / "o.tif", window=4096)
    with rasterio.open(tmp_path / "o.tif") as file:
        assert result["nodata_pixels"] == file.width
