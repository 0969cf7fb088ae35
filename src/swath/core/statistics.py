"""Band statistics that merge by `+`: exact counts, mean and variance, and a sample for quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEEP = 200_000  # values kept per band: a quantile's standard error is below 0.12 % of rank


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of the valid pixels of C bands: float64 (C,) arrays, `count` pixels, `sample` (C, n) of them."""

    dtype: str
    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]  # sum of squared deviations from the mean
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    sample: NDArray[np.float64]

    @classmethod
    def of(cls, raw: NDArray[Any], valid: NDArray[np.bool_] | None = None, keep: int | None = None) -> BandStatistics:
        """The statistics of raw bands (C, H, W), of pixels where `valid` (H, W); `keep` pixels serve for quantiles.

        Where many windows are joined, fewer of each will do, and joining them costs less.
        """
        flat = raw.reshape(len(raw), -1)
        if valid is not None and not valid.all():
            flat = flat[:, valid.ravel()]
        n = flat.shape[1]
        if n == 0:
            return cls.empty(len(raw), str(raw.dtype))
        lowest, highest = flat.min(1).astype(np.float64), flat.max(1).astype(np.float64)
        sample = _thin(flat, keep or KEEP).astype(np.float64)
        values = flat.astype(np.float64)
        mean = values.mean(1)
        values -= mean[:, None]
        return cls(str(raw.dtype), n, mean, np.einsum("ij,ij->i", values, values), lowest, highest, sample)

    @classmethod
    def empty(cls, bands: int, dtype: str) -> BandStatistics:
        """No pixel seen."""
        zero = np.zeros(bands)
        return cls(dtype, 0, zero, zero, zero + np.inf, zero - np.inf, np.zeros((bands, 0)))

    def __add__(self, other: BandStatistics) -> BandStatistics:
        """The statistics of both, by the pairwise update of Chan, Golub and LeVeque (1979)."""
        n = self.count + other.count
        if n == 0:
            return self
        delta = other.mean - self.mean
        return BandStatistics(
            np.promote_types(self.dtype, other.dtype).name,
            n,
            self.mean + delta * other.count / n,
            self.squares + other.squares + delta**2 * self.count * other.count / n,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self._joined(other),
        )

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.mean)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the population."""
        return np.sqrt(self.squares / max(self.count, 1))

    def quantiles(self, q: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles (len(q), C) of the kept sample; NaN where no pixel was seen."""
        if self.sample.shape[1] == 0:
            return np.full((len(q), self.bands), np.nan)
        return np.quantile(self.sample, q, axis=1)

    def select(self, bands: Sequence[int]) -> BandStatistics:
        """The statistics of some bands (0-based positions), in that order."""
        pick = list(bands)
        return BandStatistics(
            self.dtype, self.count, self.mean[pick], self.squares[pick],
            self.minimum[pick], self.maximum[pick], self.sample[pick],
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The statistics as plain JSON values; None where no pixel was seen."""
        low, median, high = self.quantiles((0.02, 0.5, 0.98))
        numbers = {
            "mean": self.mean, "std": self.std, "min": self.minimum, "max": self.maximum,
            "p2": low, "p50": median, "p98": high,
        }  # fmt: skip
        listed = {k: [float(x) if np.isfinite(x) else None for x in v] for k, v in numbers.items()}
        return {"dtype": self.dtype, "pixels": self.count, **listed}

    def _joined(self, other: BandStatistics) -> NDArray[np.float64]:
        """Both samples, thinned so that each pixel seen counts alike."""
        share = self.count / (self.count + other.count)
        mine, theirs = self.sample.shape[1], other.sample.shape[1]
        if mine == self.count and theirs == other.count and mine + theirs <= KEEP:
            return np.concatenate([self.sample, other.sample], axis=1)
        total = min(
            KEEP, round(mine / share) if share > 0 else theirs, round(theirs / (1 - share)) if share < 1 else mine
        )
        keep = round(total * share)
        return np.concatenate([_thin(self.sample, keep), _thin(other.sample, total - keep)], axis=1)


def _thin(values: NDArray[Any], keep: int) -> NDArray[Any]:
    """At most `keep` columns, evenly spaced."""
    n = values.shape[1]
    if n <= keep:
        return values
    return values[:, np.linspace(0, n - 1, keep).round().astype(np.int64)] if keep else values[:, :0]
