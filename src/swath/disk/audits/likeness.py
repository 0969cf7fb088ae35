"""Whether an image is like those that a model was trained on: order of bands, size of pixels, range of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.statistics import BandStatistics
from swath.core.windows import grid_windows
from swath.disk.audits.scenes import GSD_TOLERANCE, off_range
from swath.disk.rasters.crs import metres_per_pixel
from swath.disk.sources.images import Reader
from swath.disk.sources.probe import BandFacts

_SIDE, _WINDOWS = 256, 16  # of the pixels that are looked at, spread evenly
_FEW = 8  # values from which on a band holds amounts, no codes


def unlike(reader: Reader, bands: Bands, seen: Mapping[str, Any]) -> list[str]:
    """What a model takes for something else in an image, in words; empty where nothing is.

    `seen`: `p2`, `p50`, `p98` of each band over the training pixels, and `pixel_m`, the side of a pixel in metres; what is
    missing is not compared. Raises DataError where the image has the model's bands in another order.
    """
    names = [reader.info.names[i - 1].lower() for i in reader.indexes]
    wanted, there = [n.lower() for n in bands.names], [n.lower() for n in reader.info.names]
    if names != wanted and len(set(there)) == len(there) and set(wanted) <= set(there):
        raise DataError("bands-order", reader.path, f"its bands are {', '.join(there)}, those of the model {', '.join(wanted)}",
                        "bands are taken by number: reorder them with gdal_translate -b, or correct the descriptions")  # fmt: skip
    return [*_size(reader, seen.get("pixel_m")), *(_values(reader, bands, seen) if bands.scope == "dataset" else ())]


def _size(reader: Reader, usual: float | None) -> list[str]:
    """How far the pixels are larger or smaller than those of training."""
    metres = metres_per_pixel(reader.grid)
    if metres is None or not usual:
        return []
    size = float(metres[0] * metres[1]) ** 0.5
    if max(size / usual, usual / size) <= 1 + GSD_TOLERANCE:
        return []
    return [f"a pixel is {size:.3g} m wide, the model was trained on {usual:.3g} m: objects look larger or smaller to it; "
            "resample it: gdalwarp -tr"]  # fmt: skip


def _values(reader: Reader, bands: Bands, seen: Mapping[str, Any]) -> list[str]:
    """How the values of at least half of the bands lie far from those of training."""
    usual = [seen.get(k) for k in ("p2", "p50", "p98")]
    if any(q is None or len(q) != len(bands) or None in q for q in usual):
        return []
    found = _look(reader)
    if found.count == 0:
        return []
    low, median, high = found.quantiles((0.02, 0.5, 0.98))
    off = {}
    for n, name in enumerate(bands.names):
        if n in bands.plain or len(np.unique(found.sample[n])) <= _FEW:
            continue
        facts = BandFacts(n + 1, name, float(found.minimum[n]), float(found.maximum[n]), float(low[n]), float(median[n]),
                          float(high[n]), None, float("nan"), 0.0)  # fmt: skip
        why = off_range(facts, (usual[0][n], usual[1][n], usual[2][n]), large=False)  # type: ignore[index]
        if why:
            off[n + 1] = why
    if 2 * len(off) < len(bands) or not off:
        return []
    number, why = next(iter(off.items()))
    return [f"band {number} {why}: the model was trained on other values; check its unit and scaling"]


def _look(reader: Reader) -> BandStatistics:
    """The statistics of windows that are spread evenly over the image."""
    windows = grid_windows(*reader.grid.shape, _SIDE, _SIDE, "keep")
    chosen = sorted({round(i) for i in np.linspace(0, len(windows) - 1, min(_WINDOWS, len(windows))).tolist()})
    total = BandStatistics.empty(len(reader.indexes), reader.info.dtype)
    for n in chosen:
        total = total + BandStatistics.of(*reader.read(windows[n]))
    return total
