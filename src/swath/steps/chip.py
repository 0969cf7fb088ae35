"""The result of `swath chip` is a folder of georeferenced windows of rasters, each a GeoTIFF of its own."""

from __future__ import annotations

import string
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.windows import Edge, Window, grid_windows, starts
from swath.disk.publish import make_directory, sweep
from swath.disk.rasters.geotiff import BLOCK, Block, Header, WholeReader, publish_geotiff, read_header, require_free
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.scenes.manifest import expand_inputs
from swath.messages import warn
from swath.progress import Progress

_SLOTS = {"stem", "row", "col", "index"}
_MOST = 1_000_000  # chips of one call: every one is named and compared before the first is written
_MOST_PADDED, _TIMES_PADDED = 1_000_000_000, 16  # pixels outside the images, and how many times those inside


@dataclass(frozen=True)
class _Chip:
    """One output: the pixels of `window` of an image, which may reach beyond it."""

    image: Path
    window: Window
    target: Path
    beyond: int  # pixels of the window outside the image


def chip(
    images: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    size: int,
    stride: int | None = None,
    edge: Edge = "keep",
    pattern: str = "{stem}_{row}_{col}.tif",
    expect: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The chips of rasters: `chips` (count), `files` [{input, file, row, col, height, width, padded}], `events`, `out`.

    `images`: files, folders, globs, manifests. Windows of `size` pixels every `stride` (default: `size`) keep grid,
    dtype, nodata, band names, colour table and tags. At the edge: `keep` cuts them to their true size, `pad` fills them
    up with nodata (where the image has no way to say so, with 0 under a mask), `shift` slides the last one back
    inside, `drop` leaves it out. `pattern` names files by {stem}, {row}, {col} (of the first pixel) and {index}.

    All names and the number of chips (`expect`) are known before the first is written. Raises ConfigError for
    settings, also for those that make over a million chips or almost nothing but padding, ResourceError for files in
    the way, DataError for names that meet, a number other than expected, or, after all good images are done, the images
    that could not be read.
    """
    started = time.monotonic()
    _checked(size, stride, pattern)
    folder, events = Path(out).absolute(), Events()
    listed = [images] if isinstance(images, str | Path) else list(images)
    headers = {image: read_header(image) for image in expand_inputs(listed, SUFFIXES)}
    _bounded(headers, size, stride or size, edge)
    plans = {i: list(_planned(i, h, folder, size, stride or size, edge, pattern)) for i, h in headers.items()}
    plan = [one for mine in plans.values() for one in mine]
    _distinct(plan, expect)
    require_free((c.target for c in plan), headers, overwrite=overwrite)
    make_directory(folder)
    sweep(folder)
    done, failures = 0, []
    with Progress("chip", len(plan), "chips") as bar:
        for image, header in headers.items():
            try:
                reader = WholeReader(image)
                for one in plans[image]:
                    _write(one, header, reader)
                    done += 1
                    bar.advance(1)
            except DataError as e:
                failures.append(e)
                warn(f"{image}: {e.line()}")
    if failures:
        more = f" (and {len(failures) - 1} more images)" if len(failures) > 1 else ""
        raise DataError(failures[0].code, failures[0].where, f"{failures[0].message}{more}; {done} of "
                        f"{len(plan)} chips are written", failures[0].fix)  # fmt: skip
    _count(events, plan, headers, size, stride or size, edge)
    return {
        "out": str(folder),
        "chips": len(plan),
        "files": [_told(c) for c in plan],
        "events": events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _checked(size: int, stride: int | None, pattern: str) -> None:
    if size < 1 or (stride is not None and stride < 1):
        raise ConfigError("chip-size", "size" if size < 1 else "stride", "is smaller than one pixel", "give pixels")
    known = "slots are " + ", ".join(f"{{{s}}}" for s in sorted(_SLOTS))
    try:
        slots = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
        if slots - _SLOTS:
            raise ConfigError("chip-pattern", pattern, f"has the unknown slot {{{min(slots - _SLOTS)}}}", known)
        pattern.format(stem="", row=0, col=0, index=0)
    except (ValueError, KeyError, IndexError, AttributeError) as e:  # also in what follows a colon within a slot
        raise ConfigError("chip-pattern", pattern, f"cannot be filled in: {e}", f"{known}, with digits {{row:05d}}") from e
    if Path(pattern).suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError("chip-pattern", pattern, "chips are GeoTIFFs", "end the pattern with .tif")
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ConfigError("chip-pattern", pattern, "leaves the output folder", "name files inside it")


def _bounded(headers: dict[Path, Header], size: int, stride: int, edge: Edge) -> None:
    """Nothing, or a ConfigError for more chips than can be planned, or for chips that are almost all padding."""
    chips = inside = whole = 0
    for header in headers.values():
        tall, wide = (starts(length, size, stride, edge) for length in header.grid.shape)
        chips += len(tall) * len(wide)
        whole += len(tall) * len(wide) * size * size
        rows, cols = (sum(min(size, length - at) for at in begins)
                      for length, begins in zip(header.grid.shape, (tall, wide), strict=True))  # fmt: skip
        inside += rows * cols
    if chips > _MOST:
        raise ConfigError("chip-many", "stride" if stride < size else "size", f"{chips:,} chips would be written, "
                          f"{_MOST:,} are the most", "choose larger ones, or chip fewer images at a time")  # fmt: skip
    beyond = whole - inside if edge in ("pad", "shift") else 0
    if beyond > max(_MOST_PADDED, _TIMES_PADDED * inside):
        raise ConfigError("chip-padding", "size", f"chips of {size:,} pixels would hold {beyond:,} pixels of padding beside "
                          f"{inside:,} of the images", "choose a smaller size, or --edge keep")  # fmt: skip


def _planned(
    image: Path, header: Header, folder: Path, size: int, stride: int, edge: Edge, pattern: str
) -> Iterator[_Chip]:
    for i, window in enumerate(grid_windows(*header.grid.shape, size, stride, edge)):
        name = pattern.format(stem=image.stem, row=window.row, col=window.col, index=i)
        beyond = window.area - window.clip(*header.grid.shape).area
        yield _Chip(image, window, folder / name, beyond)


def _distinct(plan: Sequence[_Chip], expect: int | None) -> None:
    owner: dict[Path, _Chip] = {}
    for one in plan:
        other = owner.setdefault(one.target, one)
        if other is not one:
            what = "two windows of it" if other.image == one.image else f"it and {other.image}"
            raise DataError("chip-names", one.image, f"{what} would both be named {one.target.name}",
                            "use {row} and {col} in the pattern, and images of different stems")  # fmt: skip
    if expect is not None and len(plan) != expect:
        raise DataError("chip-count", "chips", f"{len(plan)} chips, {expect} are expected",
                        "check size, stride, edge and the images")  # fmt: skip


def _write(one: _Chip, header: Header, reader: WholeReader) -> None:
    masked = header.mask or (one.beyond > 0 and not header.tells_nodata)
    own = replace(header, grid=header.grid.window(one.window), mask=masked)
    fill = 0 if header.nodata is None else header.nodata

    def blocks() -> Iterator[Block]:
        for box in grid_windows(*one.window.shape, 2 * BLOCK, 2 * BLOCK, "keep"):
            place = Window(one.window.row + box.row, one.window.col + box.col, box.height, box.width)
            raw, valid = reader.read(place)
            inside = np.zeros(box.shape, bool)
            inside[place.clip(*header.grid.shape).slices(place)] = True
            raw[:, ~inside] = fill
            if header.alpha and header.nodata is not None:
                raw[header.alpha - 1, ~inside] = 0
            yield box, raw, (valid if header.mask else inside) if masked else None

    publish_geotiff(one.target, own, blocks)


def _count(
    events: Events, plan: Sequence[_Chip], headers: dict[Path, Header], size: int, stride: int, edge: Edge
) -> None:
    events.count("padded pixel", sum(c.beyond for c in plan))
    for header in headers.values():
        rows, cols = (_covered(length, starts(length, size, stride, edge), size) for length in header.grid.shape)
        left_out = header.grid.height * header.grid.width - rows * cols
        events.count("pixel between chips left out" if stride > size else "pixel dropped at the edge", left_out)
    if edge == "keep":
        events.count("chip cut at the edge", sum(c.window.shape != (size, size) for c in plan))


def _covered(length: int, begins: Sequence[int], size: int) -> int:
    """How many pixels of an axis lie in windows of `size` from `begins`, in order."""
    ends = [min(at + size, length) for at in begins]
    return sum(end - max(at, before) for at, end, before in zip(begins, ends, [0, *ends], strict=False))


def _told(one: _Chip) -> dict[str, Any]:
    window = one.window
    return {"input": str(one.image.absolute()), "file": str(one.target), "row": window.row, "col": window.col,
            "height": window.height, "width": window.width, "padded": one.beyond}  # fmt: skip
