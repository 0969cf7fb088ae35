"""Images opened for reading, whether one file or a stack of sources on one reference grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterInfo, RasterReader, raster_info
from swath.disk.sources.parts import FilesReader, PartReader
from swath.disk.sources.planes import ConstantPlane, PositionPlanes, ShapePlanes
from swath.disk.sources.plugins import PluginReader
from swath.disk.sources.stack import Files, Image, Part, Plugin, Position, Shapes, Stack


class Reader(Protocol):
    """Windows of an image: selected raw bands and where they hold data."""

    @property
    def path(self) -> Any:
        """The file, or the stack."""
        ...

    @property
    def info(self) -> RasterInfo:
        """What the headers say."""
        ...

    @property
    def indexes(self) -> tuple[int, ...]:
        """The 1-based bands that are read, in order."""
        ...

    @property
    def nodata(self) -> Sequence[float | None]:
        """The nodata value of each band that is read."""
        ...

    @property
    def grid(self) -> Grid:
        """The image's grid."""
        ...

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Raw pixels (C, h, w) and `valid` (h, w); beyond the edge pixels are 0 and invalid."""
        ...


def image_info(image: Image) -> RasterInfo:
    """The header of a raster, or of a stack as if it were one raster. Raises DataError."""
    return StackReader(image).info if isinstance(image, Stack) else raster_info(image)


def image_reader(
    image: Image, indexes: Sequence[int] | None = None, rule: str = "all", nodata_value: float | None = None
) -> Reader:
    """The reader of some bands (1-based; default: all but alpha) of an image. Raises DataError."""
    if isinstance(image, Stack):
        return StackReader(image, indexes, rule, nodata_value)
    return RasterReader(image, indexes, rule, nodata_value)


def open_image(image: Image, bands: Bands) -> Reader:
    """The reader of a model's bands.

    In a stack they are found by their names where it has all of them, since the order of files may differ from scene
    to scene; else, and in a single file, by their numbers. Raises DataError for a single file that has all of them by
    their names, in other places.
    """
    indexes = bands.indexes
    if isinstance(image, Stack):
        names = image_info(image).names
        if len(set(names)) == len(names) and set(bands.names) <= set(names):
            indexes = tuple(names.index(n) + 1 for n in bands.names)
    reader = image_reader(image, indexes, bands.nodata, bands.nodata_value)
    if not isinstance(image, Stack):
        _refuse_order(image, reader.info, bands)
    return reader


def _refuse_order(path: Path, info: RasterInfo, bands: Bands) -> None:
    """Nothing, or a DataError where a file's names of bands say that their numbers are not those of the model."""
    names, wanted = [n.lower() for n in info.names], [n.lower() for n in bands.names]
    mine = [names[i - 1] for i in bands.indexes]
    if mine != wanted and len(set(names)) == len(names) and set(wanted) <= set(names):
        order = " ".join(f"-b {names.index(n) + 1}" for n in wanted)
        raise DataError("bands-order", path, f"its bands {', '.join(map(str, bands.indexes))} are {', '.join(mine)}, the model takes "
                        f"{', '.join(wanted)}", f"reorder them: gdal_translate {order}, or correct the descriptions")  # fmt: skip


def plain_bands(image: Image, indexes: Sequence[int]) -> tuple[int, ...]:
    """The positions (0-based, in `indexes`) of planes that keep their values: burnt vectors, numbers, coordinates."""
    if not isinstance(image, Stack):
        return ()
    plain = [p.plain for p in StackReader(image).parts for _ in p.names]
    return tuple(n for n, i in enumerate(indexes) if plain[i - 1])


class StackReader:
    """Windows of a stack on its reference grid, as `RasterReader` reads those of a file.

    A pixel is valid where every part holds data; within the files of a part by the nodata rule. The type is the one
    that holds every band.
    """

    def __init__(
        self, stack: Stack, indexes: Sequence[int] | None = None, rule: str = "all", nodata_value: float | None = None
    ) -> None:
        self.path = stack
        base = _open_reference(stack.reference, rule, nodata_value)
        self.parts: list[PartReader] = [
            base if p is stack.reference else _open_part(p, base.grid, rule, nodata_value) for p in stack.parts
        ]
        self._bands = [(n, b) for n, p in enumerate(self.parts) for b in range(len(p.names))]
        self.info = _joined(stack, base, self.parts)
        self.indexes = tuple(indexes or range(1, self.info.count + 1))
        over = [i for i in self.indexes if not 1 <= i <= self.info.count]
        if over:
            raise DataError("band-missing", stack, f"band {over[0]} is wanted, the image has {self.info.count} bands: "
                            f"{', '.join(self.info.names)}", "correct `bands.select` or the sources")  # fmt: skip
        self.nodata = [self.info.nodata[i - 1] for i in self.indexes]

    @property
    def grid(self) -> Grid:
        """The reference grid."""
        return self.info.grid

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Raw pixels (C, h, w) and `valid` (h, w); beyond the edge pixels are 0 and invalid."""
        inside = window.clip(*self.grid.shape)
        raw, valid = np.zeros((len(self.indexes), *window.shape), self.info.dtype), np.zeros(window.shape, bool)
        if inside.area == 0:
            return raw, valid
        rows, cols = inside.slices(window)
        valid[rows, cols] = True
        wanted = [self._bands[i - 1] for i in self.indexes]
        for number, part in enumerate(self.parts):
            mine = [(place, band) for place, (n, band) in enumerate(wanted) if n == number]
            if not mine:
                continue
            planes, good = part.read(inside, [band for _, band in mine])
            for (place, _), plane in zip(mine, planes, strict=True):
                raw[place, rows, cols] = plane
            valid[rows, cols] &= good
        return raw, valid


def _joined(stack: Stack, base: FilesReader | PluginReader, parts: Sequence[PartReader]) -> RasterInfo:
    """The header of all parts together."""
    names = [n for p in parts for n in p.names]
    return RasterInfo(
        path=stack.main, driver="stack", grid=base.grid, dtypes=tuple(d for p in parts for d in p.dtypes),
        names=tuple(n if names.count(n) == 1 else f"{n}:{i}" for i, n in enumerate(names, 1)),
        nodata=tuple(v for p in parts for v in p.nodata), block=base.block, compression=None, alpha=None,
        masked=False, palette=False,
    )  # fmt: skip


def _open_reference(part: Part, rule: str, nodata_value: float | None) -> FilesReader | PluginReader:
    if isinstance(part, Files):
        return FilesReader(part, None, rule, nodata_value)
    if isinstance(part, Plugin):
        return PluginReader(part, None)
    raise DataError("source-reference", part.source, "gives no grid", "let the first source be a raster")


def _open_part(part: Part, grid: Grid, rule: str, nodata_value: float | None) -> PartReader:
    if isinstance(part, Files):
        return FilesReader(part, grid, rule, nodata_value)
    if isinstance(part, Shapes):
        return ShapePlanes(part, grid)
    if isinstance(part, Position):
        return PositionPlanes(part, grid)
    if isinstance(part, Plugin):
        return PluginReader(part, grid)
    return ConstantPlane(part)
