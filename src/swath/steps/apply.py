"""The result of `swath apply` is a raster that any Python function makes of others, window by window."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, SwathError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.registry import Blamed, lookup
from swath.core.windows import Tile, margin_tiles
from swath.disk.publish import make_directory, sweep
from swath.disk.rasters.crs import on_grid
from swath.disk.rasters.geotiff import BLOCK, Block, Header, off_grid, publish_geotiff, require_free
from swath.disk.rasters.raster import RasterInfo, RasterReader, raster_info
from swath.progress import Progress

_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@dataclass(frozen=True)
class _Job:
    """What every process needs to know."""

    function: str | Callable[..., Any]
    sources: tuple[tuple[str, str], ...]
    dtype: str | None

    @property
    def name(self) -> str:
        """What the function is called in messages."""
        return self.function if isinstance(self.function, str) else getattr(_named(self.function), "__qualname__", "function")


@dataclass(frozen=True)
class _Made:
    """The core of one tile: pixels (K, h, w), valid (h, w); or the fault instead."""

    pixels: NDArray[Any] | None
    valid: NDArray[np.bool_] | None
    fault: dict[str, str] | None = None


def apply(
    function: str | Callable[..., Any],
    sources: Mapping[str, str | Path],
    out: str | Path,
    *,
    window: int = 1024,
    margin: int = 0,
    dtype: str | None = None,
    workers: int = 1,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The raster of a function: `raster` (path), `bands`, `dtype`, `windows`, `nodata_pixels`, `seconds`.

    `function` is `package.module:function`, or in Python a function (with several workers one of a module, or a partial
    of one); it is called with {name: (C, h, w)} of raw pixels in the files' types (without alpha) and returns (K, h, w),
    or (h, w) for one band, of the same h and w. What it prints goes to standard error. `sources` lie on one grid, that
    of the first. Windows of `window` pixels are read with `margin` more on each side, cut at the raster's edge; the
    margin is cut off the result. Results do not depend on `workers`, processes that are started afresh.

    A pixel that is nodata in a source is nodata in the result: NaN in floats, under a mask in integers. `dtype`
    (default: what the function returns; truth values become uint8) rounds floats to integers; values that do not fit
    are refused, and so are masked arrays. `nodata_pixels` are those without a value in any band.

    Raises ConfigError for the function or settings, DataError for sources on other grids (with numbers) and, naming
    the window, for what goes wrong in the function.
    """
    started = time.monotonic()
    target = Path(out).absolute()
    job = _Job(function, tuple((name, str(Path(p).absolute())) for name, p in sources.items()), dtype)
    grid, nodata = _checked(job, target, window, margin, workers)
    require_free([target], [Path(p) for _, p in job.sources], overwrite=overwrite)
    make_directory(target.parent)
    sweep(target.parent)
    side = -(-window // BLOCK) * BLOCK if window > BLOCK else window
    tiles = list(margin_tiles(grid.height, grid.width, side, margin))
    events = Events()
    with _made(job, tiles, workers) as made:
        first = _sound(next(made))
        whole = first[0].dtype.kind in "iu"
        header = Header(
            grid, len(first[0]), first[0].dtype.name, None if whole else float("nan"), mask=whole and nodata
        )

        def blocks() -> Iterator[Block]:
            with Progress(f"apply {job.name}", grid.height * grid.width, "pixels") as bar:
                for i, tile in enumerate(tiles):
                    pixels, valid = first if i == 0 else _sound(next(made))
                    _alike(pixels, header, tile, job)
                    events.count("nodata", int(np.count_nonzero(~valid if whole else np.isnan(pixels).all(0))))
                    yield tile.core, pixels, valid if header.mask else None
                    bar.advance(tile.core.area)

        publish_geotiff(target, header, blocks, shown=True)
    return {
        "raster": str(target),
        "bands": header.count,
        "dtype": header.dtype,
        "windows": len(tiles),
        "nodata_pixels": events.as_dict().get("nodata", 0),
        "seconds": round(time.monotonic() - started, 3),
    }


def _checked(job: _Job, target: Path, window: int, margin: int, workers: int) -> tuple[Grid, bool]:
    """The grid of all sources, and whether one of them may have nodata pixels."""
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError("out-suffix", target, "the result is a GeoTIFF", "name it with .tif")
    for key, value, least in (("window", window, 16), ("margin", margin, 0), ("workers", workers, 1)):
        if value < least:
            raise ConfigError("apply-settings", key, f"is {value}", f"give at least {least}")
    if job.dtype is not None and job.dtype not in _TYPES:
        raise ConfigError("dtype-unknown", "dtype", f"'{job.dtype}' is no pixel type", "types are " + ", ".join(_TYPES))
    if not job.sources:
        raise ConfigError("sources-none", "sources", "there is no raster", "name at least one: a=image.tif")
    if isinstance(job.function, str):
        lookup({}, job.function, "function")
    elif workers > 1 and not _sendable(job.function):
        raise ConfigError("function-local", job.name, "is made on the way, other processes cannot import it",
                          "define it at the top of a module, or let one worker do")  # fmt: skip
    infos = [raster_info(path) for _, path in job.sources]
    for info in infos[1:]:
        if not on_grid(info.grid, infos[0].grid):
            raise off_grid(info.path, info.grid, infos[0].path, infos[0].grid)
    return infos[0].grid, any(_may_lack(i) for i in infos)


def _named(function: Callable[..., Any]) -> Any:
    """What has a name in a module: the function, that of a partial, or the class of a callable object."""
    while isinstance(function, partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


def _sendable(function: Callable[..., Any]) -> bool:
    """True where another process finds the function under its name."""
    own = _named(function)
    return getattr(sys.modules.get(own.__module__), own.__qualname__, None) is own


def _may_lack(info: RasterInfo) -> bool:
    return info.masked or info.alpha is not None or any(n is not None for n in info.nodata) or "float" in info.dtype


@contextmanager
def _made(job: _Job, tiles: list[Tile], workers: int) -> Iterator[Iterator[_Made]]:
    """The results of all tiles, in order; with several workers a few are made ahead."""
    if workers == 1:
        call = _Call(job)
        yield (call(tile) for tile in tiles)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(job,))
    try:
        yield _ahead(pool, tiles, 2 * workers)
    except BrokenProcessPool as e:
        raise DataError("function-died", job.name, "ended its process without an answer: it was killed, used all memory, "
                        "or cannot be imported", "try one worker, or a smaller window") from e  # fmt: skip
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, tiles: list[Tile], ahead: int) -> Iterator[_Made]:
    waiting: deque[Future[_Made]] = deque()
    for tile in tiles:
        waiting.append(pool.submit(_work, tile))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Call:
    """The function with its open sources."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        known = job.function
        self.function: Callable[..., Any] = lookup({}, known, "function") if isinstance(known, str) else known
        self.readers = {name: RasterReader(path) for name, path in job.sources}

    def __call__(self, tile: Tile) -> _Made:
        """The result of one tile; errors are returned, for they must travel between processes."""
        try:
            return self._run(tile)
        except SwathError as e:
            return _Made(None, None, e.as_dict())

    def _run(self, tile: Tile) -> _Made:
        arrays, valid = {}, np.ones(tile.read.shape, bool)
        for name, reader in self.readers.items():
            arrays[name], good = reader.read(tile.read)
            valid &= good
        where = f"{self.job.name} {_place(tile)}"
        with Blamed("function", where, "correct the function or the sources"), redirect_stdout(sys.stderr):
            returned = self.function(arrays)
            result = np.asarray(returned)
        if isinstance(returned, np.ma.MaskedArray):
            raise DataError("function-dtype", where, "returned a masked array, whose mask would be lost",
                            "fill it, such as with NaN in floats: array.filled(numpy.nan)")  # fmt: skip
        result = result[None] if result.ndim == 2 else result
        if result.ndim != 3 or result.shape[1:] != tile.read.shape or not len(result):
            raise DataError("function-shape", where, f"returned the shape {result.shape}, "
                            f"the window is {tile.read.shape}", "return (K, h, w) with the height and width given")  # fmt: skip
        valid = valid[tile.core_in_read]
        pixels = _typed(result[:, *tile.core_in_read], valid, self.job, tile)
        return _Made(pixels, valid)


def _typed(pixels: NDArray[Any], valid: NDArray[np.bool_], job: _Job, tile: Tile) -> NDArray[Any]:
    """The pixels in the wanted type, nodata in place. Raises DataError where a valid value does not fit."""
    dtype = np.dtype(job.dtype or _natural(pixels.dtype))
    if dtype.name not in _TYPES or pixels.dtype.kind not in "biuf":
        raise DataError("function-dtype", f"{job.name} {_place(tile)}", f"returned pixels of type {pixels.dtype}",
                        "return integers or floats")  # fmt: skip
    out = np.array(pixels, copy=True)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            out = pixels.astype(dtype)
        if (np.isinf(out) & np.isfinite(pixels))[:, valid].any():
            raise _unfit(pixels, job, tile, dtype)
        out[:, ~valid] = np.nan
        return out
    out[:, ~valid] = 0
    limits = np.iinfo(dtype)
    if out.dtype.kind == "f":
        out = np.rint(out)
    if out.dtype.kind != "b":  # the greatest of 64 bits is no float, the one after it is
        below = out < float(limits.max) + 1 if out.dtype.kind == "f" else out <= limits.max
        if not ((out >= limits.min) & below).all():
            raise _unfit(out, job, tile, dtype)
    return out.astype(dtype)


def _unfit(pixels: NDArray[Any], job: _Job, tile: Tile, dtype: np.dtype[Any]) -> DataError:
    known = pixels[~np.isnan(pixels)]
    span = f"{known.min():g} to {known.max():g}" if known.size else "nothing but NaN"
    also = " and NaN" if 0 < known.size < pixels.size else ""
    return DataError("function-range", f"{job.name} {_place(tile)}", f"returned {span}{also}, which {dtype} does not hold",
                     "choose another dtype")  # fmt: skip


def _natural(dtype: np.dtype[Any]) -> str:
    """The name of the type in which pixels are written; a name of its own for text, which is no number."""
    return {"bool": "uint8", "float16": "float32"}.get(dtype.name, dtype.name if dtype.kind in "iuf" else "object")


def _place(tile: Tile) -> str:
    box = tile.core
    return f"rows {box.row}-{box.row_end}, columns {box.col}-{box.col_end}"


def _sound(made: _Made) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if made.fault is not None:
        raise DataError(**made.fault)
    assert made.pixels is not None
    assert made.valid is not None
    return made.pixels, made.valid


def _alike(pixels: NDArray[Any], header: Header, tile: Tile, job: _Job) -> None:
    if (len(pixels), pixels.dtype.name) != (header.count, header.dtype):
        raise DataError("function-shape", f"{job.name} {_place(tile)}", f"returned {len(pixels)} bands of {pixels.dtype}, "
                        f"before {header.count} of {header.dtype}", "return the same for every window, or name a dtype")  # fmt: skip


_call: _Call | None = None  # of a worker process


def _start(job: _Job) -> None:
    global _call  # noqa: PLW0603
    Thread(target=_outlive_nobody, daemon=True).start()
    _call = _Call(job)


def _outlive_nobody() -> None:
    """Ends this process with the one that started it, also where that was killed and could say nothing."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(tile: Tile) -> _Made:
    assert _call is not None
    return _call(tile)
