"""How raw pixels become model input: one frozen object, fitted in training, stored in the bundle, used everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.statistics import BandStatistics

NodataRule = Literal["all", "any", "none"]
Method = Literal["standard", "percentile", "minmax", "dtype", "none"]
Scope = Literal["dataset", "image"]
STRETCHED = 10.0  # times the scale of nearly all pixels, from which on a few values set it
_LARGEST = float(np.finfo(np.float32).max)
METHODS: tuple[Method, ...] = ("standard", "percentile", "minmax", "dtype", "none")


@dataclass(frozen=True)
class Bands:
    """Band selection, nodata rule and scaling of one source.

    `indexes` are 1-based band numbers in model order, `names` their names. Scaling is an affine table: model input =
    raw * gain + offset per band, so that NumPy, torch and ONNX forms derive from the same numbers. With scope `image`
    the table is fitted anew on each raster by the same `method`, once for the whole raster. Invalid pixels (by the
    `nodata` rule, or not finite) become 0 in the model input. `plain` are positions (0-based) of planes that keep their
    values and are not toned by augmentation: burnt vectors, distances, numbers of the scene, coordinates.
    """

    indexes: tuple[int, ...]
    names: tuple[str, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    method: Method = "standard"
    scope: Scope = "dataset"
    nodata: NodataRule = "all"
    nodata_value: float | None = None
    plain: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.indexes)

    def scale(self, raw: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """The model input, float32 (C, H, W), of selected raw bands (C, H, W); 0 where not `valid` (H, W)."""
        out = raw.astype(np.float32)
        out *= np.asarray(self.gain, np.float32)[:, None, None]
        out += np.asarray(self.offset, np.float32)[:, None, None]
        if valid is not None and not valid.all():
            out[:, ~valid] = 0
        return out

    def fitted(self, statistics: BandStatistics) -> Bands:
        """The same bands with the affine table of `statistics` (of the selected bands, in order)."""
        gain, offset = fit(statistics, self.method)
        kept = set(self.plain)
        return replace(
            self,
            gain=tuple(1.0 if i in kept else g for i, g in enumerate(gain)),
            offset=tuple(0.0 if i in kept else o for i, o in enumerate(offset)),
        )

    def as_dict(self) -> dict[str, Any]:
        """The bands as plain JSON values."""
        return {
            "indexes": list(self.indexes),
            "names": list(self.names),
            "gain": list(self.gain),
            "offset": list(self.offset),
            "method": self.method,
            "scope": self.scope,
            "nodata": self.nodata,
            "nodata_value": self.nodata_value,
            "plain": list(self.plain),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Bands:
        """The inverse of `as_dict`."""
        tuples = {k: tuple(value[k]) for k in ("indexes", "names", "gain", "offset")}
        return cls(**{**value, **tuples, "plain": tuple(value.get("plain", ()))})


def fit(statistics: BandStatistics, method: Method) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(gain, offset) per band.

    standard: zero mean, unit variance. percentile: 2nd to 98th percentile to -1..1. minmax: smallest to largest value
    to -1..1. dtype: the integer type's range to 0..1. none: raw values. A constant band gets gain 1 around its value;
    bands of which no pixel was seen stay raw.
    """
    if method == "none" or statistics.count == 0:
        return _affine(np.zeros(statistics.bands), np.ones(statistics.bands), 0.0)
    if method == "dtype":
        low, high = _dtype_range(statistics.dtype)
        return _affine(np.full(statistics.bands, low), np.full(statistics.bands, high - low), 0.0)
    if method == "standard":
        return _affine(statistics.mean, statistics.std, 0.0)
    if method == "percentile":
        below, above = statistics.quantiles((0.02, 0.98))
    else:
        below, above = statistics.minimum, statistics.maximum
    return _affine((below + above) / 2, (above - below) / 2, 0.0)


def stretched(statistics: BandStatistics, method: Method) -> list[int]:
    """The bands (0-based) that a few values far from all others would scale to nothing.

    `standard` and `minmax` take their scale from every value: it is compared with that of the pixels between the 2nd and
    98th percentile, which for a normal distribution is 1 and about 5 standard deviations.
    """
    if method not in ("standard", "minmax") or statistics.count == 0:
        return []
    low, high = statistics.quantiles((0.02, 0.98))
    usual = (high - low) / 4.1  # standard deviations between these percentiles
    scale = statistics.std if method == "standard" else (statistics.maximum - statistics.minimum) / 10
    return [i for i in range(statistics.bands) if 0 < STRETCHED * usual[i] < scale[i]]


def valid_pixels(
    raw: NDArray[Any], rule: NodataRule, nodata: float | Sequence[float | None] | None
) -> NDArray[np.bool_]:
    """True (H, W) where the pixels of `raw` (C, H, W) hold data.

    Rule `all`: invalid where every band is nodata; `any`: where one is; `none`: the tag is not applied. A pixel with
    a band that is not finite, or beyond the numbers of float32, in which models compute, is invalid under every rule.
    """
    valid = np.ones(raw.shape[1:], bool)
    if np.issubdtype(raw.dtype, np.floating):
        valid &= (np.abs(raw) <= _LARGEST).all(0) if raw.dtype.itemsize > 4 else np.isfinite(raw).all(0)
    if rule == "none" or nodata is None:
        return valid
    values = [nodata] * len(raw) if isinstance(nodata, int | float) else list(nodata)
    with np.errstate(over="ignore"):  # a value beyond the type matches no pixel
        hits = [band == value for band, value in zip(raw, values, strict=True) if value is not None]
    if not hits or (rule == "all" and len(hits) < len(raw)):
        return valid
    empty = np.logical_and.reduce(hits) if rule == "all" else np.logical_or.reduce(hits)
    return valid & ~empty


def _affine(
    centre: NDArray[np.float64], spread: NDArray[np.float64], shift: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    safe = np.where(spread > 0, spread, 1.0)
    gain = 1 / safe
    return tuple(float(g) for g in gain), tuple(float(o) for o in shift - centre * gain)


def _dtype_range(dtype: str) -> tuple[float, float]:
    if np.issubdtype(np.dtype(dtype), np.integer):
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    return 0.0, 1.0
