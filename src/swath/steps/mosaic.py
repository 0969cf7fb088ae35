"""The result of `swath mosaic` is one raster of many that lie side by side on one grid: a COG, or a VRT over them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.events import Events
from swath.core.windows import Window, grid_windows
from swath.disk.publish import make_directory, sweep
from swath.disk.rasters.geotiff import BLOCK, Block, Header, WholeReader, publish_geotiff, require_free
from swath.disk.rasters.layout import Layout, Placed, lay_out
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.rasters.vrt import publish_vrt
from swath.disk.scenes.manifest import expand_inputs
from swath.messages import warn
from swath.progress import Progress

Overlap = Literal["first", "last", "mean", "max", "min"]
_SUFFIXES = {"cog": (".tif", ".tiff"), "vrt": (".vrt",)}
_OPEN_FILES, _BLOCK_BYTES = 64, 64_000_000
_SCATTERED, _FILLED = 1_000_000_000, 1000  # pixels of a mosaic of which less than a thousandth lies under rasters


def mosaic(
    inputs: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    on_overlap: Overlap = "first",
    kind: Literal["cog", "vrt"] = "cog",
    overwrite: bool = False,
) -> dict[str, Any]:
    """The mosaic of rasters: `mosaic` (path), `inputs` (count), `grid`, `events`, `seconds`.

    `inputs`: files, folders, globs. Where several have a valid pixel, `on_overlap` decides: the `first` or `last`
    listed, or the `mean`, `max` or `min` of each band (in integers the mean is rounded to the even neighbour). A pixel
    that is nodata in one and valid in another is never nodata. Pixels under no raster are nodata (where the inputs
    have no way to say so: 0, under a mask). Only the rasters under a block are read. `kind` vrt: for `first` and
    `last`, and only where simple sources tell the truth.

    Raises DataError naming the file whose dtype, bands, nodata, CRS, pixel size or alignment differs, or which lies so
    far from the others that less than a thousandth of over a billion pixels would be covered, ConfigError
    for settings that do not fit, ResourceError where `out` is there already.
    """
    started = time.monotonic()
    target, events = Path(out).absolute(), Events()
    if target.suffix.lower() not in _SUFFIXES[kind]:
        raise ConfigError("out-suffix", target, f"a {kind} ends in {_SUFFIXES[kind][0]}", "name it so, or change kind")
    if target.parent.exists() and not target.parent.is_dir():
        raise ResourceError("out-file", target.parent, "is a file, no directory", "name another output")
    listed = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    paths = expand_inputs(listed, SUFFIXES)
    require_free([target], paths, overwrite=overwrite)
    layout = lay_out(paths)
    if layout.header.colours is not None and on_overlap == "mean":
        raise ConfigError("mosaic-mean", "on_overlap", "the mean of classes is no class", "choose first or last")
    if kind == "cog":
        _together(layout)
    make_directory(target.parent)
    sweep(target.parent)
    events.count("pixel under no raster", layout.uncovered)
    if kind == "vrt":
        _to_vrt(layout, target, on_overlap)
    else:
        _to_cog(layout, target, on_overlap, events)
    return {
        "mosaic": str(target),
        "inputs": len(paths),
        "grid": layout.header.grid.as_dict(),
        "events": events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _together(layout: Layout) -> None:
    """Nothing, or a DataError for rasters so far apart that the mosaic would be all nodata; a warning where it is mostly."""
    grid, far = layout.header.grid, layout.furthest
    area = grid.height * grid.width
    covered = area - layout.uncovered
    if 100 * covered > area:
        return
    share = f"{100 * covered / area:.2g} % of the mosaic's {grid.width:,} x {grid.height:,} pixels lie under a raster"
    if area > _SCATTERED and _FILLED * covered < area:
        raise DataError("mosaic-scattered", far.path, f"lies far from the others: {share}",
                        "correct its place, mosaic what lies together, or write a .vrt; rasters on both sides of the "
                        "antimeridian need a CRS that spans it")  # fmt: skip
    warn(f"{share}; the furthest is {far.path}")


def _to_vrt(layout: Layout, target: Path, on_overlap: Overlap) -> None:
    if on_overlap not in ("first", "last"):
        raise ConfigError("mosaic-vrt", "on_overlap", f"a VRT of simple sources has no {on_overlap}", "write a cog")
    if layout.header.mask:
        raise ConfigError("mosaic-vrt", "kind", "the rasters have masks, which simple sources lose", "write a cog")
    if layout.header.tells_nodata and layout.overlaps:
        raise ConfigError("mosaic-vrt", "kind", "the rasters overlap and have nodata, with which simple sources would "
                          "cover valid pixels", "write a cog")  # fmt: skip
    order = layout.placed if on_overlap == "last" else layout.placed[::-1]
    publish_vrt(target, layout.header, [(p.path, p.window) for p in order])


def _to_cog(layout: Layout, target: Path, on_overlap: Overlap, events: Events) -> None:
    header = layout.header
    if layout.uncovered and not header.tells_nodata:
        header = replace(header, mask=True)
    readers = _Readers()

    def blocks() -> Iterator[Block]:
        with Progress("mosaic", header.grid.height * header.grid.width, "pixels") as bar:
            for window in grid_windows(*header.grid.shape, (side := _side(header)), side, "keep"):
                merged = _Merge(header, window, on_overlap)
                for placed in layout.touching(window):
                    merged.add(placed, *readers.read(placed, window))
                yield window, merged.result(events), merged.valid if header.mask else None
                bar.advance(window.area)

    classes = header.colours is not None
    publish_geotiff(target, header, blocks, cog=True, resampling="MODE" if classes else "AVERAGE", shown=True)


def _side(header: Header) -> int:
    """The side of the blocks that are merged at once: a multiple of the file's blocks where memory allows it."""
    pixel = header.count * (8 + 3 * np.dtype(header.dtype).itemsize)
    return max(64, min(2 * BLOCK, 1 << int(np.log2((_BLOCK_BYTES / pixel) ** 0.5))))


class _Readers:
    """Readers of the rasters used last; the others are closed."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, WholeReader] = OrderedDict()

    def read(self, placed: Placed, window: Window) -> tuple[Window, NDArray[Any], NDArray[np.bool_]]:
        """(common window, pixels, valid) of a raster under a window of the mosaic."""
        if placed.path not in self._open:
            self._open[placed.path] = WholeReader(placed.path)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        self._open.move_to_end(placed.path)
        common = placed.window & window
        own = Window(common.row - placed.window.row, common.col - placed.window.col, *common.shape)
        return common, *self._open[placed.path].read(own)


class _Merge:
    """The pixels of one block, raster by raster. `pixels` (C, h, w); `valid` and `covered` (h, w)."""

    def __init__(self, header: Header, window: Window, on_overlap: Overlap) -> None:
        self.window, self.rule, self.nodata = window, on_overlap, header.nodata
        fill = 0 if header.nodata is None else header.nodata
        self.pixels: NDArray[Any] = np.full((header.count, *window.shape), fill, header.dtype)
        if header.alpha and header.nodata is not None:
            self.pixels[header.alpha - 1] = 0
        self.valid = np.zeros(window.shape, bool)
        self.covered = np.zeros(window.shape, bool)
        self.times = np.zeros(window.shape, np.int32)
        self.sums = np.zeros(self.pixels.shape) if on_overlap == "mean" else None

    def add(self, placed: Placed, common: Window, raw: NDArray[Any], good: NDArray[np.bool_]) -> None:
        """Takes the pixels of a raster under the block; invalid ones count where nothing else was seen."""
        rows, cols = common.slices(self.window)
        pixels, valid, covered = self.pixels[:, rows, cols], self.valid[rows, cols], self.covered[rows, cols]
        fresh = good & ~valid | ~good & ~covered
        pixels[:, fresh] = raw[:, fresh]
        both = good & valid
        if both.any():
            self._meet(pixels, raw, both)
        if self.sums is not None:
            self.sums[:, rows, cols] += np.where(good, raw, 0)
        self.times[rows, cols] += good
        valid |= good
        covered |= True

    def _meet(self, pixels: NDArray[Any], raw: NDArray[Any], both: NDArray[np.bool_]) -> None:
        if self.rule == "last":
            pixels[:, both] = raw[:, both]
        elif self.rule in ("max", "min"):
            better = np.maximum if self.rule == "max" else np.minimum
            pixels[:, both] = better(pixels[:, both], raw[:, both])

    def result(self, events: Events) -> NDArray[Any]:
        """The finished pixels (C, h, w), each kept to the bit where one raster alone is valid."""
        several = self.times > 1
        events.count("pixel under several rasters", int(np.count_nonzero(several)))
        if self.sums is not None and several.any():
            mean = self.sums[:, several] / self.times[several]
            whole = self.pixels.dtype.kind in "iu"
            self.pixels[:, several] = np.rint(mean) if whole else mean
            if self.nodata is not None:
                lost = (self.pixels[:, several] == self.nodata).all(0)
                if lost.any():
                    raise DataError("mosaic-mean", "on_overlap", f"the mean of {int(lost.sum())} pixels is nodata "
                                    f"({self.nodata:g})", "choose first or last")  # fmt: skip
        return self.pixels
