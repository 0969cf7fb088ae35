"""All that one band's values tell, piece by piece: range, mean, deviation, percentiles and histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.core.statistics import BandStatistics

PERCENTILES = (1, 2, 5, 25, 50, 75, 95, 98, 99)


class Tally(Protocol):
    """The values of one band, seen once."""

    @property
    def exact(self) -> bool:
        """True where percentiles are exact, False where they are those of an even sample of 200 000 values."""
        ...

    @property
    def count(self) -> int:
        """Number of values."""
        ...

    def add(self, values: NDArray[Any]) -> None:
        """Takes values (n,)."""
        ...

    def numbers(self) -> dict[str, float]:
        """`min`, `max`, `mean`, `std` (of the population) and `percentiles`, in float64; only where `count` > 0."""
        ...


def tally(dtype: str) -> Tally:
    """The tally for values of a dtype: integers of up to 16 bits are counted one by one."""
    kind = np.dtype(dtype)
    return Counted(dtype) if kind.kind in "iu" and kind.itemsize <= 2 else Sampled(dtype)


class Counted:
    """How often each value of a small integer type occurs: everything follows exactly."""

    exact = True

    def __init__(self, dtype: str) -> None:
        limits = np.iinfo(dtype)
        self.values = np.arange(limits.min, limits.max + 1, dtype=np.int64)
        self.times = np.zeros(len(self.values), np.int64)

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.times.sum())

    def add(self, values: NDArray[Any]) -> None:
        """Takes values (n,)."""
        self.times += np.bincount(values.astype(np.int64) - self.values[0], minlength=len(self.values))

    def numbers(self) -> dict[str, Any]:
        """The numbers of all values."""
        seen = np.flatnonzero(self.times)
        values, times = self.values[seen], self.times[seen]
        mean = float((values * times).sum() / times.sum())
        variance = float((times * (values - mean) ** 2).sum() / times.sum())
        return {"min": float(values[0]), "max": float(values[-1]), "mean": mean, "std": variance**0.5,
                "percentiles": _named(_quantiles(values, times))}  # fmt: skip

    def histogram(self, edges: NDArray[np.float64]) -> NDArray[np.int64]:
        """Values per bin; the last bin holds its upper edge."""
        return np.histogram(self.values, edges, weights=self.times)[0].astype(np.int64)


class Sampled:
    """Exact range, mean and deviation of values of any type, and percentiles of a sample."""

    def __init__(self, dtype: str) -> None:
        self.found = BandStatistics.empty(1, dtype)

    @property
    def exact(self) -> bool:
        """True as long as the sample holds every value."""
        return self.found.sample.shape[1] == self.found.count

    @property
    def count(self) -> int:
        """Number of values."""
        return self.found.count

    def add(self, values: NDArray[Any]) -> None:
        """Takes values (n,)."""
        if values.size:
            self.found = self.found + BandStatistics.of(values.reshape(1, 1, -1))

    def numbers(self) -> dict[str, Any]:
        """The numbers of all values."""
        found = self.found
        quantiles = found.quantiles([p / 100 for p in PERCENTILES])[:, 0]
        return {"min": float(found.minimum[0]), "max": float(found.maximum[0]), "mean": float(found.mean[0]),
                "std": float(found.std[0]), "percentiles": _named(quantiles)}  # fmt: skip


def histogram_edges(low: float, high: float, bins: int, dtype: str) -> NDArray[np.float64]:
    """(n + 1) edges of even bins from `low` to `high`: one per value where integers are that few, else `bins`."""
    if np.dtype(dtype).kind in "iu" and high - low < bins:
        return np.arange(low, high + 2) - 0.5
    return np.linspace(low, high, bins + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _quantiles(values: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The percentiles as NumPy interpolates them linearly between neighbours in order."""
    ends = np.cumsum(times)
    place = (ends[-1] - 1) * np.array(PERCENTILES) / 100
    below, part = np.floor(place).astype(np.int64), place % 1
    low = values[np.searchsorted(ends, below, "right")]
    high = values[np.searchsorted(ends, np.minimum(below + 1, ends[-1] - 1), "right")]
    return low + (high - low) * part


def _named(quantiles: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    return {str(p): float(q) for p, q in zip(PERCENTILES, quantiles, strict=True)}
