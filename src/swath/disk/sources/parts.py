"""The parts of a stack on its reference grid: rasters stacked by band or resampled, and a user's own readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from swath.core.bands import NodataRule, valid_pixels
from swath.core.errors import DataError, did_you_mean
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters import raster
from swath.disk.rasters.crs import crs_name, on_grid
from swath.disk.rasters.handles import Handle
from swath.disk.rasters.raster import RasterInfo, RasterReader, raster_info
from swath.disk.sources.stack import Files, band_names
from swath.disk.vectors import vector

Planes = tuple[list[NDArray[Any]], NDArray[np.bool_]]


class PartReader(Protocol):
    """The bands of one part of a stack on the reference grid; `plain` planes are neither scaled nor toned."""

    plain: bool
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]

    def read(self, window: Window, bands: Sequence[int]) -> Planes:
        """The wanted bands (0-based) of a window inside the grid, each (h, w), and where they hold data (h, w)."""
        ...


class FilesReader:
    """The bands of rasters of one grid, on that grid or resampled to another; `block` are their blocks' (rows, columns)."""

    plain = False

    def __init__(self, part: Files, grid: Grid | None, rule: str, nodata_value: float | None) -> None:
        self.grid: Grid
        self.part, self.rule = part, rule
        infos = [raster_info(f) for f in part.files]
        self._refuse_uneven(infos)
        self.grid, self.block = grid or infos[0].grid, infos[0].block
        self.nodata_value = part.nodata_value if part.nodata_value is not None else nodata_value
        self.resampled = not on_grid(infos[0].grid, self.grid)
        if self.resampled:
            _refuse_apart(part, infos[0], self.grid)
        known = [(file, i) for file, info in enumerate(infos) for i in range(1, info.count + 1) if i != info.alpha]
        self._places = known if part.bands is None else [self._place(b, infos, known) for b in part.bands]  # band -> (file, its band)
        self._readers: dict[tuple[int, tuple[int, ...]], Any] = {}
        self.names = _of_source(part, _names(part, infos, known, self._places))
        self.dtypes = tuple(infos[f].dtypes[i - 1] for f, i in self._places)
        tags = [infos[f].nodata[i - 1] for f, i in self._places]
        self.nodata = tuple(self.nodata_value if t is None else t for t in tags)

    def _place(self, band: int | str, infos: Sequence[RasterInfo], known: list[tuple[int, int]]) -> tuple[int, int]:
        """The file and its band of a band that is told by number, from 1, or by name."""
        source = self.part.source
        if isinstance(band, int):
            if band > len(known):
                raise DataError("band-missing", self.part.files[0], f"the source '{source}' has {len(known)} band{'s' * (len(known) > 1)}, "
                                f"band {band} is wanted", f"correct sources.{source}.bands")  # fmt: skip
            return known[band - 1]
        names = _names(self.part, infos, known, known)
        found = [place for name, place in zip(names, known, strict=True) if name.lower() == band.lower()]
        if len(found) != 1:
            what = f"has no band '{band}'" if not found else f"has {len(found)} bands '{band}'"
            raise DataError("band-missing", self.part.files[0], f"the source '{source}' {what}: it has {', '.join(names)}",
                            did_you_mean(band, names) or f"correct sources.{source}.bands")  # fmt: skip
        return found[0]

    def _refuse_uneven(self, infos: Sequence[RasterInfo]) -> None:
        for info in infos[1:]:
            if not on_grid(info.grid, infos[0].grid):
                raise DataError("source-grid", info.path, f"is {size_text(info.grid)}, {infos[0].path.name} of the same source "
                                f"'{self.part.source}' is {size_text(infos[0].grid)}",
                                "files stacked by band need one grid: choose bands by name, sources."
                                f"{self.part.source}.bands, or make it a source of its own")  # fmt: skip

    def read(self, window: Window, bands: Sequence[int]) -> Planes:
        """The wanted bands of a window inside the grid; together they decide what is valid, by the nodata rule."""
        places = [self._places[b] for b in bands]
        pixels: dict[tuple[int, int], NDArray[Any]] = {}
        masks = []
        for file in dict.fromkeys(f for f, _ in places):
            mine = tuple(dict.fromkeys(i for f, i in places if f == file))
            found, good = self._reader(file, mine).read(window)
            pixels |= {(file, i): plane for i, plane in zip(mine, found, strict=True)}
            masks.append(good)
        valid = np.logical_or.reduce(masks) if self.rule == "all" else np.logical_and.reduce(masks)
        planes = [pixels[place] for place in places]
        for plane in planes:
            if plane.dtype.kind == "f":
                valid &= np.isfinite(plane)
        return planes, valid

    def _reader(self, file: int, indexes: tuple[int, ...]) -> Any:
        key = file, indexes
        if key not in self._readers:
            path, rule, value = self.part.files[file], self.rule, self.nodata_value
            if self.resampled:
                opened: Any = WarpedReader(path, indexes, rule, value, self.grid, self.part.resample)
            else:
                opened = RasterReader(path, indexes, rule, value)
            self._readers.setdefault(key, opened)
        return self._readers[key]


def _names(
    part: Files, infos: Sequence[RasterInfo], known: Sequence[tuple[int, int]], chosen: Sequence[tuple[int, int]]
) -> tuple[str, ...]:
    """Names of bands: what told them, else the files' own."""
    apart = part.names or band_names(part.files)
    single = all(i.count - bool(i.alpha) == 1 for i in infos)
    if len(infos) == 1:
        own = [infos[f].names[i - 1] for f, i in chosen]
    elif single:
        own = [apart[f] for f, _ in chosen]
    else:
        own = [f"{apart[f]}:{infos[f].names[i - 1]}" for f, i in chosen]
    if part.names and len(part.names) == len(known):
        own = [part.names[known.index(place)] for place in chosen]
    return tuple(own)


def _of_source(part: Files, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of bands, of another source than `image` with the source's name."""
    if part.source == "image":
        return names
    return (part.source,) if len(names) == 1 else tuple(f"{part.source}:{n}" for n in names)


class WarpedReader:
    """A raster of another grid on the reference grid, resampled window by window with the exact transformation."""

    def __init__(
        self, path: Any, indexes: Sequence[int], rule: str, nodata_value: float | None, grid: Grid, resample: str
    ) -> None:
        self.path, self.grid, self.indexes, self.resample = path, grid, tuple(indexes), resample
        self.info = raster_info(path)
        self.rule: NodataRule = rule  # type: ignore[assignment]
        tags = [self.info.nodata[i - 1] for i in self.indexes]
        self.nodata = [nodata_value if t is None else t for t in tags]
        self._handle = Handle(_opened, path, grid, resample, self._by_nodata(), self.info.count, self.info.alpha is None)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Raw pixels (C, h, w) of a window inside the grid, and where the raster has any."""
        box = RioWindow(window.col, window.row, window.width, window.height)
        pixels = np.empty((len(self.indexes), *window.shape), self.info.dtype)
        covered = np.ones(window.shape, bool)
        try:
            for warp in self._handle.get():
                bands = [self.indexes[p] for p in warp.places]
                pixels[warp.places] = found = warp.pixels.read(bands, window=box, out_dtype=self.info.dtype)
                if warp.nearest is not None:
                    empty = _equal(warp.nearest.read(bands, window=box, out_dtype=self.info.dtype), warp.nodata)
                    pixels[warp.places] = np.where(empty, np.asarray(warp.nodata, found.dtype), found)
                if warp.nodata is None or self.info.alpha:
                    covered &= warp.pixels.read(self.info.alpha or warp.pixels.count, window=box) > 0
        except (raster.RasterioError, raster.CPLE_BaseError) as e:
            raise raster.unread(self.path, e, window) from e
        return pixels, covered & valid_pixels(pixels, self.rule, self.nodata)

    def _by_nodata(self) -> dict[float | None, list[int]]:
        """Places of the bands by the nodata value to warp with: the warper takes one for all bands."""
        used = self.rule != "none" and not self.info.masked
        groups: dict[float | None, list[int]] = {}
        for place, value in enumerate(self.nodata):
            with np.errstate(all="ignore"):
                fits = value is not None and _equal(np.asarray(value).astype(self.info.dtype), value)
            groups.setdefault(value if used and fits else None, []).append(place)
        return groups


@dataclass(frozen=True)
class _Warp:
    """A raster on the reference grid, for the bands of one nodata value; `places` of them among those read.

    Several bands are interpolated each over its own holes; `nearest` then tells where the holes are. Without a nodata
    value an alpha band tells what is covered.
    """

    pixels: Any
    nearest: Any
    places: list[int]
    nodata: float | None


def _opened(
    path: Any, grid: Grid, resample: str, groups: dict[float | None, list[int]], count: int, add_alpha: bool
) -> tuple[list[_Warp], list[Any]]:
    """A raster of `count` bands on the reference grid, once per nodata value; and what is to be closed."""
    source = raster.open_dataset(path)
    opened: list[Any] = []

    def warped(nodata: float | None, resampling: str) -> Any:
        opened.append(WarpedVRT(
            source, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width,
            resampling=Resampling[resampling], src_nodata=nodata, nodata=nodata, add_alpha=nodata is None and add_alpha,
            tolerance=1e-6,  # exact in each pixel, so that no window differs
            UNIFIED_SRC_NODATA="NO",  # else a band's nodata pixels flow into their neighbours where another band has data
        ))  # fmt: skip
        return opened[-1]

    apart = count > 1 and resample in ("bilinear", "cubic")
    warps = [
        _Warp(warped(v, resample), warped(v, "nearest") if apart and v is not None else None, places, v)
        for v, places in groups.items()
    ]
    return warps, [*opened, source]


def _equal(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    return np.isnan(values) if nodata is not None and nodata != nodata and values.dtype.kind == "f" else np.asarray(values == nodata)


def _refuse_apart(part: Files, info: RasterInfo, grid: Grid) -> None:
    """Raises DataError where a source cannot be placed on the reference grid, or covers nothing of it."""
    if info.grid.crs is None or grid.crs is None:
        raise DataError("source-grid", info.path, f"the source '{part.source}' is {size_text(info.grid)}, the image "
                        f"{size_text(grid)}, and without georeference they cannot be aligned",
                        "give both a coordinate system, or equal sizes")  # fmt: skip
    left, bottom, right, top = vector.transform_bounds(info.grid.bounds, info.grid.crs, grid.crs)
    a, b, c, d = grid.bounds
    if right <= a or left >= c or top <= b or bottom >= d:
        raise DataError("source-disjoint", info.path, f"the source '{part.source}' lies off the image "
                        f"({crs_name(info.grid.crs)} {left:.8g} {bottom:.8g} {right:.8g} {top:.8g})",
                        "check the pair and both CRS")  # fmt: skip


def size_text(grid: Grid) -> str:
    """The size of a grid as text."""
    return f"{grid.width} x {grid.height} pixels of {grid.pixel_size[0]:.6g}"
