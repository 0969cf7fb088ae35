"""A bounded look into a raster: facts of every band, from blocks spread evenly over it; a big one is never read whole."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.env import Env

from swath.core.errors import DataError
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterInfo, guarded_vrt, open_raster, raster_info
from swath.disk.sources.images import Reader, image_reader
from swath.disk.sources.stack import Image

PIXELS, VALUES = 4_000_000, 24_000_000  # looked at per raster: pixels, and pixels times bands
FEW = 32  # a band of at most so many values may hold codes instead of amounts
_CELL, _SAMPLED = 262_144, 2_000_000  # pixels of a window; values (pixels times bands) that the facts are taken from
_BLOCKS = 1024  # whose place in the file is compared with its size
_PATCH, _PATCHES = 8, 4  # side of a patch of the content hash; patches along each axis
_FILLERS = frozenset((-9999.0, -99999.0, -999.0, -32768.0, -32767.0, 65535.0, float(np.finfo("f4").min), -1e20, 1e20))


@dataclass(frozen=True)
class BandFacts:
    """One band's valid pixels, as far as they were looked at; NaN where there was none.

    `low`, `median`, `high` are the 2nd, 50th and 98th percentile; `distinct` all values where they are few; `mode` the
    most frequent value; `filler` an extreme value that stands apart: (value, share, 2nd and 98th percentile of the
    others); `codes`: the few values jump between neighbours as codes do, not as amounts; `twin` the number of an earlier
    band with the same pixels. Shares are 0..1.
    """

    number: int
    name: str
    minimum: float
    maximum: float
    low: float
    median: float
    high: float
    distinct: tuple[float, ...] | None
    mode: float
    mode_share: float
    filler: tuple[float, float, float, float] | None = None
    codes: bool = False
    twin: int | None = None

    def range(self) -> dict[str, float | None]:
        """The range as plain JSON values."""
        named = {"min": self.minimum, "p2": self.low, "p50": self.median, "p98": self.high, "max": self.maximum}
        return {k: v if math.isfinite(v) else None for k, v in named.items()}


@dataclass(frozen=True)
class Probe:
    """What was seen of a raster: `looked` pixels, of which `valid` hold data.

    `some_nodata` and `all_nodata` count pixels where some or all bands have the nodata value; `not_finite` those with
    NaN or infinity in a band (a NaN that is the nodata value not counted). `border` is (value, share) of pixels whose
    bands are all 0, or all the type's maximum, where a corner is. `tags` are the nodata values of the bands. `content`
    is a hash of spread patches, None where they are blank. `sample` (C, n) holds some valid pixels.
    """

    info: RasterInfo
    bands: tuple[BandFacts, ...]
    tags: tuple[float | None, ...]
    looked: int
    valid: int
    some_nodata: int
    all_nodata: int
    not_finite: int
    border: tuple[float, float] | None
    content: str | None
    sample: NDArray[Any]

    @property
    def whole(self) -> bool:
        """True where every pixel was looked at."""
        return self.looked == self.info.grid.height * self.info.grid.width


def probe(
    path: Image,
    indexes: Sequence[int] | None = None,
    rule: str = "all",
    nodata_value: float | None = None,
    *,
    pixels: int = PIXELS,
    keep: int = 4096,
) -> Probe:
    """The facts of some bands (1-based; default: all but alpha). Reads at most about `pixels` pixels, in blocks.

    Raises DataError where the raster or one of these blocks cannot be read.
    """
    reader = image_reader(path, indexes, rule, nodata_value)
    require_whole(reader.info)
    count = len(reader.indexes)
    windows = spread_windows(reader.info, min(pixels, VALUES // count), count)
    tally = _Tally(reader, sum(w.area for w in windows))
    for window in windows:
        tally.add(window)
    patches = [reader.read(w)[0] for w in _patches(*reader.grid.shape)]
    raw, valid = np.concatenate(tally.raw, axis=1), np.concatenate(tally.seen)
    good = raw[:, valid]
    return Probe(
        info=reader.info,
        bands=_facts(reader, good, tally),
        tags=tuple(reader.nodata),
        looked=tally.looked,
        valid=tally.valid,
        some_nodata=tally.some_nodata,
        all_nodata=tally.all_nodata,
        not_finite=tally.not_finite,
        border=_border(raw, patches),
        content=_content(patches, reader.grid.shape),
        sample=good[:, :: max(1, -(-good.shape[1] // keep))].copy(),
    )


def spread_windows(info: RasterInfo, pixels: float, bands: int = 1) -> list[Window]:
    """Windows on the raster's blocks: all of them while they hold at most `pixels`, else a lattice over the raster.

    The first and the last block are always among them.
    """
    height, width = info.grid.shape
    tall, wide = _cell(info, bands)
    rows, cols = -(-height // tall), -(-width // wide)
    room = max(3, int(min(pixels, height * width) // (tall * wide)))
    if rows * cols > room and height * width > pixels:
        many = min(rows, max(1, round(math.sqrt(room * rows / cols))))
        across = min(cols, max(1, room // many))
        many = min(rows, max(1, room // across))
        chosen = [(r, c) for r in _spread(rows, many) for c in _spread(cols, across)]
        chosen += [] if (rows - 1, cols - 1) in chosen else [(rows - 1, cols - 1)]
    else:
        chosen = [(r, c) for r in range(rows) for c in range(cols)]
    return [Window(r * tall, c * wide, tall, wide).clip(height, width) for r, c in chosen]


def require_whole(info: RasterInfo) -> None:
    """Nothing, or a DataError where blocks of a TIFF lie beyond the end of its file; at most 1024 are asked for.

    Of a VRT up to 64 sources are looked at, spread over all.
    """
    if info.driver == "VRT":
        files = [f for f in guarded_vrt(info.path).files if f.suffix.lower() != ".vrt"]
        for n in _spread(len(files), min(len(files), 64)):
            require_whole(raster_info(files[n]))
    if info.driver not in ("GTiff", "COG"):
        return
    size = info.path.stat().st_size
    rows, cols = (-(-n // b) for n, b in zip(info.grid.shape, info.block, strict=True))
    numbers = _spread(rows * cols, min(rows * cols, _BLOCKS))
    with Env(), open_raster(info.path) as source:  # the environment keeps GDAL's complaints off the terminal
        lost = [n for n in numbers if _end(source, n // cols, n % cols) > size]
    if lost:
        raise DataError("raster-truncated", info.path, f"{len(lost)} of {len(numbers)} blocks lie beyond the end of the file, "
                        f"the first at row {lost[0] // cols * info.block[0]}", "replace it with a whole copy")  # fmt: skip


def _end(source: Any, row: int, col: int) -> int:
    """The byte after a block of the first band; 0 for one that was never written."""
    place = f"{col}_{row}"
    first, length = (source.get_tag_item(f"BLOCK_{what}_{place}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE"))
    return int(first) + int(length) if first and length else 0


def _cell(info: RasterInfo, bands: int) -> tuple[int, int]:
    """(height, width) of a window that decodes whole blocks: some strips of full width, or about 512 x 512 pixels."""
    height, width = info.grid.shape
    rows, cols = info.block
    area = min(_CELL, max(16_384, _SAMPLED // bands))
    if cols >= width:
        rows = rows if rows * width <= area else 1
        return min(height, max(rows, area // width // rows * rows)), width
    side = math.isqrt(area)
    tall, wide = (side if b > 1024 else max(b, side // b * b) for b in (rows, cols))
    return min(height, tall), min(width, wide)


def _spread(count: int, chosen: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, chosen).round().astype(int).tolist()))


@dataclass
class _Tally:
    """Counts over windows, and thinned pixels of all of them."""

    reader: Reader
    total: int
    looked: int = 0
    valid: int = 0
    some_nodata: int = 0
    all_nodata: int = 0
    not_finite: int = 0
    minimum: Any = np.inf
    maximum: Any = -np.inf
    raw: list[NDArray[Any]] = field(default_factory=list)
    seen: list[NDArray[np.bool_]] = field(default_factory=list)
    pairs: list[NDArray[Any]] = field(default_factory=list)

    def add(self, window: Window) -> None:
        """Counts one window."""
        pixels, valid = self.reader.read(window)
        flat, good = pixels.reshape(len(pixels), -1), valid.ravel()
        self.looked += good.size
        count = int(np.count_nonzero(good))
        self.valid += count
        self._nodata(flat)
        if count:
            held = flat if count == good.size else flat[:, good]
            self.minimum, self.maximum = np.minimum(self.minimum, held.min(1)), np.maximum(self.maximum, held.max(1))
        step = max(1, -(-self.total * len(flat) // _SAMPLED))
        while step > 1 and math.gcd(step, window.width) > 1:  # a common divisor would see the same columns only
            step += 1
        self.raw.append(flat[:, ::step].copy())
        self.seen.append(good[::step].copy())
        apart = max(1, math.isqrt(step))
        beside = pixels[:, ::apart, :-1:apart], pixels[:, ::apart, 1::apart]
        self.pairs.append(np.stack([b.reshape(len(pixels), -1) for b in beside]))

    def _nodata(self, flat: NDArray[Any]) -> None:
        tags = self.reader.nodata
        if flat.dtype.kind == "f":
            bad = ~np.isfinite(flat)
            for band, tag in enumerate(tags):
                if tag is not None and tag != tag:
                    bad[band] &= ~np.isnan(flat[band])
            self.not_finite += int(np.count_nonzero(bad.any(0)))
        hits = [flat[b] == tag for b, tag in enumerate(tags) if tag is not None and tag == tag]
        if hits:
            every, some = hits[0], hits[0]
            for hit in hits[1:]:
                every, some = every & hit, some | hit
            self.some_nodata += int(np.count_nonzero(some))
            self.all_nodata += int(np.count_nonzero(every)) if len(hits) == len(tags) else 0


def _facts(reader: Reader, values: NDArray[Any], tally: _Tally) -> tuple[BandFacts, ...]:
    pairs = np.concatenate(tally.pairs, axis=2)
    lowest, highest = (np.broadcast_to(x, len(values)) for x in (tally.minimum, tally.maximum))
    found: list[BandFacts] = []
    for b, band in enumerate(values):
        number = reader.indexes[b]
        name = reader.info.names[number - 1]
        if band.size == 0:
            found.append(BandFacts(number, name, *(math.nan,) * 5, None, math.nan, 0.0))
            continue
        unique, counts = np.unique(band, return_counts=True)
        low, median, high = np.quantile(band.astype(np.float64), (0.02, 0.5, 0.98)).tolist()
        found.append(BandFacts(
            number, name, float(lowest[b]), float(highest[b]), low, median, high,
            tuple(unique.tolist()) if len(unique) <= FEW else None,
            float(unique[counts.argmax()]), float(counts.max() / counts.sum()),
            _filler(unique, counts, reader.nodata[b]),
            _are_codes(unique, pairs[:, b]),
            next((f.number for f, other in zip(found, values, strict=False) if np.array_equal(band, other)), None),
        ))  # fmt: skip
    return tuple(found)


def _filler(
    unique: NDArray[Any], counts: NDArray[np.int64], tag: float | None
) -> tuple[float, float, float, float] | None:
    """The smallest or largest value with its share, where the others lie farther from it than they spread.

    It must fill 1 % of a band of many values, or be one of the usual nodata values.
    """
    for end, rest in ((0, slice(1, None)), (-1, slice(0, -1))):
        value, share = float(unique[end]), float(counts[end] / counts.sum())
        others = unique[rest].astype(np.float64)
        usual = value in _FILLERS
        if value == tag or not (usual or (share > 0.01 and len(unique) > FEW)):
            continue
        if len(others) == 0:
            return value, 1.0, math.nan, math.nan
        ranks = np.cumsum(counts[rest]) / counts[rest].sum()
        low, high = others[np.searchsorted(ranks, (0.02, 0.98))]
        if abs(others[end] - value) > high - low:
            return value, share, float(low), float(high)
    return None


def _are_codes(unique: NDArray[Any], pairs: NDArray[Any]) -> bool:
    """True where a band's few values are codes: counted from 0 or 1, or in any order from pixel to pixel (2, n).

    Amounts that were rounded coarsely, such as temperatures, change by one step at a time.
    """
    few = len(unique)
    if not 2 <= few <= FEW:
        return False
    if few <= 8 and unique[0] in (0, 1):
        return True
    ranks = np.searchsorted(unique, pairs)
    known = (unique[np.minimum(ranks, few - 1)] == pairs).all(0)
    steps = np.abs(ranks[0] - ranks[1])[known]
    changes = int(np.count_nonzero(steps))
    return few > 2 and changes >= 50 and int(np.count_nonzero(steps == 1)) < 0.7 * changes


def _border(raw: NDArray[Any], patches: list[NDArray[Any]]) -> tuple[float, float] | None:
    """(value, share) of blank pixels where a corner patch of the raster is blank in all of several bands."""
    if len(raw) < 2:
        return None
    corners = [patches[i] for i in (0, _PATCHES - 1, -_PATCHES, -1)]
    blanks = [0.0] if raw.dtype.kind == "f" else [0.0, float(np.iinfo(raw.dtype).max)]
    for value in blanks:
        if any((c == value).all() for c in corners):
            return value, float((raw == value).all(0).mean())
    return None


def _patches(height: int, width: int) -> list[Window]:
    tops, lefts = (np.linspace(0, max(0, n - _PATCH), _PATCHES).astype(int).tolist() for n in (height, width))
    return [Window(r, c, _PATCH, _PATCH).clip(height, width) for r in tops for c in lefts]


def _content(patches: list[NDArray[Any]], shape: tuple[int, int]) -> str | None:
    """A hash that equal pixels share whatever their type and block layout; None where all patches hold one value."""
    joined = np.concatenate([p.ravel() for p in patches]).astype(np.float64)
    if (joined == joined[0]).mean() > 0.9:
        return None
    return hashlib.sha256(repr((shape, len(patches[0]))).encode() + joined.tobytes()).hexdigest()[:16]
