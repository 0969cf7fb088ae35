"""Bands that give the label away: how well each band alone tells the class, and whether it looks made from the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IS, TELLS, FOLLOWS = 0.99, 0.95, 0.5  # correlation ratio; kappa of a band of few values; kappa of its unusual values
FEW, _BINS, _RUNS = 32, 256, 32


@dataclass(frozen=True)
class Tell:
    """What one band says of the label.

    `kappa`: Cohen's kappa of the class that its value alone predicts, on pixels that were not used to learn it.
    `correlation`: the correlation ratio, the share of its standard deviation that the class explains. `verdict`: `is`
    where it is the label or a function of it, `follows` where it has one value (`usual`, in `usual_share` of the pixels)
    but where class `index` is, which `other_share` of its other pixels are; empty for a band that was measured.
    """

    kappa: float
    correlation: float
    verdict: Literal["", "is", "follows"] = ""
    usual: float = 0.0
    usual_share: float = 0.0
    index: int = 0
    other_share: float = 0.0


def tells(values: NDArray[Any], indices: NDArray[np.integer[Any]], classes: int) -> list[Tell]:
    """What each band of `values` (C, n) says of the class indices (n,); pixels stand in the order of their places.

    Empty with fewer than two classes or 1000 pixels. The pixels are cut into 32 runs, which learn and test in turn.
    """
    present = np.flatnonzero(np.bincount(indices, minlength=classes)[:classes]).tolist()
    if len(present) < 2 or indices.size < 1000:
        return []
    learns = np.arange(indices.size) * _RUNS // indices.size % 2 == 0
    return [_tell(band, indices, present, learns, classes) for band in values.astype(np.float64)]


def _tell(
    band: NDArray[np.float64], indices: NDArray[Any], present: Sequence[int], learns: NDArray[np.bool_], classes: int
) -> Tell:
    unique, counts = np.unique(band, return_counts=True)
    if len(unique) == 1:
        return Tell(0.0, 0.0)
    alone, correlation = _predicted(band, indices, learns, classes), _correlation_ratio(band, indices, present)
    if correlation > IS or (len(unique) <= FEW and alone > TELLS):
        return Tell(alone, correlation, "is")
    usual = float(unique[counts.argmax()])
    other = band != usual
    if 2 * int(other.sum()) <= band.size:
        agreement, k = max((_agreement(other, indices == k), k) for k in present)
        if agreement > FOLLOWS:
            return Tell(alone, correlation, "follows", usual, float(1 - other.mean()), k, float((indices[other] == k).mean()))
    return Tell(alone, correlation)


def _predicted(band: NDArray[np.float64], indices: NDArray[Any], learns: NDArray[np.bool_], classes: int) -> float:
    """Kappa of the most frequent class per bin of a histogram with bins of equal counts."""
    edges = np.unique(np.quantile(band[learns], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, band, side="right")
    table = np.bincount(bins[learns] * classes + indices[learns], minlength=(len(edges) + 1) * classes)
    best = table.reshape(-1, classes).argmax(1)[bins[~learns]]
    joint = np.bincount(indices[~learns] * classes + best, minlength=classes**2).reshape(classes, classes)
    return _kappa(joint)


def _correlation_ratio(band: NDArray[np.float64], indices: NDArray[Any], present: Sequence[int]) -> float:
    """sqrt(variance between classes / variance)."""
    total = float(((band - band.mean()) ** 2).sum())
    groups = [band[indices == k] for k in present]
    return float(sum(g.size * (g.mean() - band.mean()) ** 2 for g in groups) / total) ** 0.5


def _agreement(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return _kappa(np.bincount(a.astype(np.int64) * 2 + b, minlength=4).reshape(2, 2))


def _kappa(joint: NDArray[np.int64]) -> float:
    """Cohen's kappa of a square table of counts."""
    n = joint.sum()
    observed, expected = np.trace(joint) / n, float((joint.sum(0) * (joint.sum(1) / n)).sum() / n)
    return float((observed - expected) / (1 - expected)) if expected < 1 else 0.0
