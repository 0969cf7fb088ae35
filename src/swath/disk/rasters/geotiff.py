"""GeoTIFFs made from other rasters: blocks stream into a temporary, which is read back and compared before it counts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as rio_copy
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError, ResourceError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.publish import publish
from swath.disk.rasters.raster import RasterInfo, RasterReader, band_descriptions, open_raster, raster_info
from swath.messages import warn
from swath.progress import Progress

BLOCK = 512
_UNKEPT = "STATISTICS_"  # tags of the whole raster's pixels, wrong for any other raster
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

Colours = dict[int, tuple[int, int, int, int]]
Block = tuple[Window, NDArray[Any], NDArray[np.bool_] | None]  # pixels (C, h, w) and, where there is a mask, (h, w)


@dataclass(frozen=True)
class Header:
    """What a GeoTIFF says beside its pixels. `mask`: it has a mask of its own; `colours` is the first band's table."""

    grid: Grid
    count: int
    dtype: str
    nodata: float | None = None
    names: tuple[str | None, ...] = ()
    meaning: tuple[ColorInterp, ...] = ()
    colours: Colours | None = None
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    band_tags: tuple[dict[str, str], ...] = ()
    mask: bool = False

    @property
    def alpha(self) -> int | None:
        """The 1-based alpha band, if there is one."""
        return self.meaning.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in self.meaning else None

    @property
    def tells_nodata(self) -> bool:
        """True where a pixel can be marked as holding no data: by a value, a mask or an alpha band."""
        return self.nodata is not None or self.mask or self.alpha is not None


def read_header(path: str | Path) -> Header:
    """The header of a raster, to be kept by what is made from it. Raises DataError where GeoTIFF cannot hold it."""
    info = raster_info(path)
    with open_raster(path) as source:
        if info.grid.crs is None and (source.gcps[0] or source.rpcs):
            warn(f"{path}: has its place by control points or RPCs alone, which are not kept; rectify it first: gdalwarp IN OUT")
        palette = ColorInterp.palette in source.colorinterp[:1]
        return Header(
            grid=info.grid,
            count=info.count,
            dtype=info.dtype,
            nodata=_one_nodata(info),
            names=band_descriptions(source),
            meaning=tuple(source.colorinterp),
            colours=source.colormap(1) if palette and info.dtype in ("uint8", "uint16") else None,
            scales=tuple(source.scales),
            offsets=tuple(source.offsets),
            units=tuple(source.units),
            tags=_kept(source.tags()),
            band_tags=tuple(_kept(source.tags(i)) for i in source.indexes),
            mask=info.masked,
        )


class WholeReader:
    """All bands of a raster, alpha included, with what the file says of their validity."""

    def __init__(self, path: str | Path) -> None:
        count = raster_info(path).count
        self._reader = RasterReader(path, range(1, count + 1))
        self.info = self._reader.info

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Raw pixels (C, h, w) in the file's type and `valid` (h, w); 0 and invalid beyond the edge."""
        raw, valid = self._reader.read(window)
        if self.info.alpha:
            valid &= raw[self.info.alpha - 1] > 0
        return raw, valid


def publish_geotiff(
    target: Path, header: Header, blocks: Callable[[], Iterable[Block]], *, cog: bool = False, resampling: str = "AVERAGE",
    shown: bool = False,
) -> Path:  # fmt: skip
    """The published GeoTIFF of all blocks, losslessly compressed, read back and compared by checksum.

    `blocks` yields each pixel once; windows on multiples of `BLOCK` are written best. `cog`: Cloud-Optimized, with
    overviews by `resampling`. `shown`: progress is shown of what follows the blocks, where no other bar is.

    Raises DataError where the blocks cannot be made, ResourceError where they cannot be written.
    """
    sums: list[tuple[Window, int, int]] = []

    def write(part: Path) -> None:
        sums.clear()
        if not cog:
            _write(part, header, blocks(), sums)
            return
        tiles = part.with_name(f"{part.name}.tiles.tif")  # a name that `sweep` knows
        try:
            _write(tiles, header, blocks(), sums)
            _compare(tiles, sums, target, shown=shown)
            with Progress(f"overviews of {target.name}", 1, "file") if shown else nullcontext() as bar:
                _to_cog(tiles, part, header, resampling)
                if bar is not None:
                    bar.advance(1)
        finally:
            tiles.unlink(missing_ok=True)

    return publish(target, write, verify=lambda part: _compare(part, sums, target, shown=shown), expected_bytes=0)


def require_free(targets: Iterable[Path], sources: Iterable[Path], *, overwrite: bool) -> None:
    """Nothing, or an error where an output is there already (without `overwrite`), is an input, or a directory."""
    inputs = {p.resolve() for p in sources}
    for target in targets:
        if target.resolve() in inputs:
            raise ResourceError("out-input", target, "is an input, it would be replaced", "name another output")
        if target.is_dir():
            raise ResourceError("out-directory", target, "is a directory", "name a file")
        if target.exists() and not overwrite:
            raise ResourceError("exists", target, "is there already", "add --overwrite to replace it")


def off_grid(path: Path, grid: Grid, other: Path, wanted: Grid) -> DataError:
    """The error for a raster that does not lie on another's grid, with the numbers of both."""
    return DataError("grid-differs", path, f"its grid ({grid_text(grid)}) is not that of {other} ({grid_text(wanted)})",
                     "bring it onto that grid: gdalwarp -t_srs ... -te ... -ts WIDTH HEIGHT IN OUT")  # fmt: skip


def grid_text(grid: Grid) -> str:
    """A grid in a few numbers: size, pixel size, first corner, and whether it lies otherwise than north-up."""
    (wide, tall), (x, y), t = grid.pixel_size, grid.transform @ (0, 0), grid.transform
    turned = ", rotated" if t.b or t.d else ", rows running north" if t.e > 0 else ", columns running west" if t.a < 0 else ""
    return f"{grid.width} x {grid.height} pixels of {wide:.10g} x {tall:.10g} at {x:.12g}, {y:.12g}{turned}"


def _write(part: Path, header: Header, blocks: Iterable[Block], sums: list[tuple[Window, int, int]]) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(part, "w", **_profile(header)) as file,
    ):
        _describe(file, header)
        for window, pixels, mask in blocks:
            box = RioWindow(window.col, window.row, window.width, window.height)
            file.write(pixels, window=box)
            if header.mask:
                assert mask is not None
                file.write_mask(mask, window=box)
            sums.append((window, _crc(pixels), _crc(mask) if header.mask and mask is not None else 0))


def _profile(header: Header) -> dict[str, Any]:
    grid = header.grid
    tiled = grid.width > BLOCK or min(grid.shape) >= BLOCK  # a strip across a wide raster would be written piecemeal
    tall = min(BLOCK, -(-grid.height // 16) * 16)
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": tall} if tiled else {"tiled": False}
    rgb = header.meaning[:3] == _RGB and header.dtype in ("uint8", "uint16")
    return {
        "driver": "GTiff", "height": grid.height, "width": grid.width, "count": header.count, "dtype": header.dtype,
        "crs": grid.crs, "transform": grid.transform, "nodata": header.nodata, "compress": "deflate",
        "predictor": _predictor(header.dtype), "bigtiff": "IF_SAFER", **layout,
        **({"photometric": "RGB"} if rgb else {}),
    }  # fmt: skip


def _describe(file: Any, header: Header) -> None:
    if header.colours is not None:
        file.write_colormap(1, header.colours)
    elif header.meaning:
        file.colorinterp = header.meaning
    if header.tags:
        file.update_tags(**header.tags)
    for i, name in enumerate(header.names, 1):
        if name:
            file.set_band_description(i, name)
    for i, tags in enumerate(header.band_tags, 1):
        file.update_tags(i, **tags)
    if any(s != 1 for s in header.scales):
        file.scales = header.scales
    if any(o != 0 for o in header.offsets):
        file.offsets = header.offsets
    if any(header.units):
        file.units = [u or "" for u in header.units]


def _to_cog(tiles: Path, part: Path, header: Header, resampling: str) -> None:
    names = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}
    rio_copy(str(tiles), str(part), driver="COG", BLOCKSIZE=str(BLOCK), COMPRESS="DEFLATE", BIGTIFF="IF_SAFER",
             OVERVIEW_RESAMPLING=resampling, PREDICTOR=names[_predictor(header.dtype)])  # fmt: skip


def _compare(part: Path, sums: Sequence[tuple[Window, int, int]], target: Path, *, shown: bool) -> None:
    """Nothing, or a ResourceError where a block reads back other than it was written."""
    total = sum(w.area for w, _, _ in sums)
    with rasterio.open(part) as found, Progress(f"compare {target.name}", total, "pixels") if shown else nullcontext() as bar:
        for window, pixels, mask in sums:
            box = RioWindow(window.col, window.row, window.width, window.height)
            same = _crc(found.read(window=box)) == pixels
            if same and mask:
                same = _crc(found.read_masks(1, window=box) > 0) == mask
            if not same:
                raise ResourceError("write-unverified", target, f"rows {window.row} to {window.row_end} read back wrong",
                                    "the disk is full or faulty: free some space and try again")  # fmt: skip
            if bar is not None:
                bar.advance(window.area)


def _crc(pixels: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes())


def _predictor(dtype: str) -> int:
    if dtype in ("float32", "float64"):
        return 3
    return 2 if np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize <= 4 else 1


def _one_nodata(info: RasterInfo) -> float | None:
    """The nodata value of all bands; None where the type cannot hold it, so that no pixel has it."""
    colour = [n for i, n in enumerate(info.nodata, 1) if i != info.alpha]
    values = {None if n is None else str(n) for n in colour}
    if len(values) > 1:
        raise DataError("nodata-bands", info.path, f"its bands have different nodata values ({colour}), a GeoTIFF has one",
                        "give all bands one value")  # fmt: skip
    value = colour[0] if colour else None
    return value if value is not None and in_dtype_range(value, info.dtype) else None


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in tags.items() if not k.startswith(_UNKEPT)}
