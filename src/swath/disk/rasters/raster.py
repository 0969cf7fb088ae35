"""Pixels of rasters, through rasterio: guarded opening, windows that may reach beyond the edge, valid masks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # GDAL's own errors, which some properties let through
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import ensure_env
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RioWindow

from swath.core.bands import Bands, valid_pixels
from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters.handles import Handle
from swath.disk.rasters.vrt_guard import GDAL_TYPES, PlainVrt, Source, plain_vrt
from swath.disk.remote.access import Remote, location, redacted
from swath.disk.remote.replies import changed
from swath.disk.remote.virtual import open_virtual

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

DRIVERS = (
    "GTiff", "COG", "JP2OpenJPEG", "PNG", "JPEG", "HFA", "ENVI", "EHdr", "AAIGrid", "BMP", "GIF", "WEBP", "ERS",
    "RST", "SAGA", "SRTMHGT", "USGSDEM", "NITF", "PCIDSK", "ILWIS", "GSAG", "GSBG", "GS7BG", "KRO", "PNM", "RMF",
)  # fmt: skip
SUFFIXES = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".bmp", ".gif", ".webp", ".asc", ".dem", ".hgt", ".gtif", ".gtiff",
            ".vrt"}  # fmt: skip
MAX_PIXELS, MAX_BANDS, MAX_BLOCK_BYTES = 10**12, 512, 128_000_000


@dataclass(frozen=True)
class RasterInfo:
    """What a raster's header says. `nodata` per band, `alpha` the 1-based alpha band, `masked`: has a mask of its own,
    `control`: what tells its place where it has no grid on earth.
    """

    path: Path
    driver: str
    grid: Grid
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    nodata: tuple[float | None, ...]
    block: tuple[int, int]
    compression: str | None
    alpha: int | None
    masked: bool
    palette: bool
    control: str | None = None

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.dtypes)

    @property
    def dtype(self) -> str:
        """The type that holds every band."""
        return np.result_type(*[np.dtype(t) for t in self.dtypes]).name


def raster_info(path: str | Path) -> RasterInfo:
    """The header of a raster. Raises DataError where it cannot be opened or is beyond the limits."""
    with open_raster(path) as source:
        try:
            return _info(location(path), source)
        except CPLE_BaseError as e:
            raise _unreadable(location(path), e) from e


@contextmanager
def open_raster(path: str | Path) -> Iterator[Any]:
    """An open rasterio dataset, by an allowed driver and within the limits of size. Raises DataError."""
    source = open_dataset(location(path))
    try:
        yield source
    finally:
        source.close()


class RasterReader:
    """Windows of one raster; every thread has its own handle.

    `indexes` are the 1-based bands to read (default: all but alpha), `nodata_value` stands in where the file has no tag.
    """

    def __init__(
        self,
        path: str | Path,
        indexes: Sequence[int] | None = None,
        rule: str = "all",
        nodata_value: float | None = None,
    ) -> None:
        self.path = location(path)
        self.info = raster_info(path)
        self.indexes = tuple(indexes or (i for i in range(1, self.info.count + 1) if i != self.info.alpha))
        over = [i for i in self.indexes if not 1 <= i <= self.info.count]
        if over:
            raise DataError("band-missing", self.path, f"band {over[0]} is wanted, the file has {self.info.count} bands",
                            "correct `bands.select` or the file")  # fmt: skip
        self.rule: Any = rule
        self.nodata = [
            self.info.nodata[i - 1] if self.info.nodata[i - 1] is not None else nodata_value for i in self.indexes
        ]
        self._handle = Handle(_opened, self.path)

    @classmethod
    def of(cls, path: str | Path, bands: Bands) -> RasterReader:
        """The reader of a model's bands."""
        return cls(path, bands.indexes, bands.nodata, bands.nodata_value)

    @property
    def grid(self) -> Grid:
        """The raster's grid."""
        return self.info.grid

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Raw pixels (C, h, w) in the file's type and `valid` (h, w); beyond the edge pixels are 0 and invalid."""
        inside = window.clip(*self.grid.shape)
        if inside == window and inside.area:
            return self._read_inside(inside)
        dtype = self.info.dtype
        raw = np.zeros((len(self.indexes), *window.shape), dtype)
        valid = np.zeros(window.shape, bool)
        if inside.area:
            pixels, good = self._read_inside(inside)
            rows, cols = inside.slices(window)
            raw[:, rows, cols], valid[rows, cols] = pixels, good
        return raw, valid

    def _read_inside(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        source = self._handle.get()
        box = RioWindow(window.col, window.row, window.width, window.height)
        try:
            pixels = source.read(list(self.indexes), window=box, out_dtype=self.info.dtype)
            valid = valid_pixels(pixels, self.rule, self.nodata)
            if (
                self.info.alpha and self.info.alpha not in self.indexes and self.rule != "none"
            ):  # not GDAL's mask: a nodata tag shadows the alpha band there
                valid &= source.read(self.info.alpha, window=box) > 0
            elif self.info.masked and self.rule != "none":
                valid &= source.read_masks(1, window=box) > 0
        except (RasterioError, CPLE_BaseError) as e:
            raise unread(self.path, e, window) from e
        return pixels, valid


def _opened(path: Path) -> tuple[Any, tuple[Any, ...]]:
    source = open_dataset(path)
    return source, (source,)


def unread(path: Path, error: Exception, window: Window | None = None) -> DataError:
    """The error of pixels that cannot be read, and what to do about it; of a remote file that is another one by now, that."""
    if isinstance(path, Remote) and path.has_changed():
        return changed(path)
    where = f"{path} rows {window.row}-{window.row_end}, columns {window.col}-{window.col_end}" if window else path
    fix = "try again, or copy it first: swath fetch" if isinstance(path, Remote) else "replace the file with a whole copy"
    return DataError("raster-corrupt", where, f"cannot be read ({redacted(str(error.__cause__ or error).strip(), path)})", fix)


def open_dataset(path: Path) -> Any:
    """An open rasterio dataset that the caller closes. Raises DataError."""
    if not path.exists():
        raise DataError("file-missing", path, "no such file", "check the path in the manifest or on the command line")
    if path.is_dir():
        raise DataError("raster-unreadable", path, "is a directory, no raster", "name the file")
    if path.stat().st_size == 0:
        raise DataError("raster-unreadable", path, "the file is empty", "replace it with a whole copy")
    try:
        source = _dataset(path)
    except (RasterioError, CPLE_BaseError) as e:
        raise _unreadable(path, e) from e
    try:
        _within_limits(path, source)
    except DataError:
        source.close()
        raise
    return source


def _unreadable(path: Path, error: Exception) -> DataError:
    ask = "is it a GeoTIFF, JPEG 2000, PNG, JPEG or another plain raster?"
    if isinstance(path, Remote):
        if path.has_changed():
            return changed(path)
        ask += " If so, copy it first: swath fetch"
    return DataError("raster-unreadable", path, f"cannot be opened as a raster ({_short(error, path)})", ask)


@ensure_env
def _dataset(path: Path) -> Any:
    """An open dataset, tried with the allowed drivers only, whatever the file's name says."""
    if isinstance(path, Remote):
        return open_virtual(path, lambda name: DatasetReader(name, driver=list(DRIVERS)))
    if path.suffix.lower() == ".vrt":
        return DatasetReader(guarded_vrt(path).text, driver=["VRT"])
    return DatasetReader(str(path.absolute()), driver=list(DRIVERS))


def guarded_vrt(path: Path) -> PlainVrt:
    """The plain form of a VRT whose sources are allowed. Raises DataError (`vrt-refused`, `vrt-source`)."""
    beside = path.with_name(f"{path.name}.msk")
    if beside.exists():
        raise DataError("vrt-refused", path, f"has its mask in {beside.name}, which is not read",
                        "write its pixels out: gdal_translate IN.vrt OUT.tif")  # fmt: skip
    return plain_vrt(path, _look)


def _look(path: Path) -> Source:
    state = path.stat()
    return _source(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(100_000)
def _source(path: Path, state: tuple[int, ...]) -> Source:  # `state`: a file that changed is looked at anew
    source = open_dataset(path)
    with source:
        kinds = tuple(GDAL_TYPES[t] for t in source.dtypes)
        return Source(source.width, source.height, kinds, tuple(source.block_shapes[0]))


def _within_limits(path: Path, source: Any) -> None:
    if source.count == 0:
        raise DataError("raster-empty", path, "the raster has no bands", "name one of its subdatasets")
    if source.count > MAX_BANDS or source.width * source.height > MAX_PIXELS:
        raise DataError("raster-limits", path, f"{source.width} x {source.height} x {source.count} is beyond the limits",
                        f"at most {MAX_PIXELS:.0e} pixels and {MAX_BANDS} bands")  # fmt: skip
    if not all(t.startswith(("int", "uint", "float")) for t in source.dtypes):
        raise DataError("raster-dtype", path, f"pixels of type {source.dtypes[0]} are no numbers of a map",
                        "convert it to integers or floats, such as amplitude")  # fmt: skip
    rows, cols = source.block_shapes[0]
    per_block = source.count if source.interleaving and source.interleaving.name == "pixel" else 1
    size = rows * cols * np.dtype(source.dtypes[0]).itemsize * per_block
    if size > MAX_BLOCK_BYTES and source.driver == "GTiff":
        raise DataError("raster-block", path, f"one block of {cols} x {rows} pixels decodes to {size / 1e6:,.0f} MB",
                        "rewrite it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT")  # fmt: skip


def _info(path: Path, source: Any) -> RasterInfo:
    crs = source.crs.to_wkt() if source.crs else None
    alpha = next((i for i, c in enumerate(source.colorinterp, 1) if c == ColorInterp.alpha), None)
    names = tuple(d or c.name if c.name in ("red", "green", "blue", "alpha") else d or f"b{i}"
                  for i, (d, c) in enumerate(zip(band_descriptions(source), source.colorinterp, strict=True), 1))  # fmt: skip
    flags = source.mask_flag_enums[0]
    return RasterInfo(
        path=path,
        driver=source.driver,
        grid=Grid(crs, source.transform, source.height, source.width),
        dtypes=tuple(source.dtypes),
        names=names,
        nodata=tuple(source.nodatavals),
        block=tuple(source.block_shapes[0]),
        compression=getattr(source.compression, "value", source.compression),  # rare ones are plain text
        alpha=alpha if source.count > 1 else None,
        masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        palette=source.colorinterp[0] == ColorInterp.palette,
        control=_control(source) if crs is None else None,
    )


def _control(source: Any) -> str | None:
    """The ground control points or rational polynomials by which an image could be warped."""
    if source.gcps[0]:
        return f"{len(source.gcps[0])} ground control points"
    return "rational polynomials (RPC)" if source.rpcs else None


def band_descriptions(source: Any) -> tuple[str | None, ...]:
    """The names that the file gives its bands; none where they are no UTF-8, as in files of older programs."""
    try:
        return tuple(source.descriptions)
    except UnicodeDecodeError:
        return (None,) * int(source.count)


def _short(error: Exception, path: Path) -> str:
    text = redacted(" ".join(str(error).split()), path).replace(str(path), path.name).partition("<VRTDataset")[0]
    return text[:160]
