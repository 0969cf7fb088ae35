"""How far labels resemble each other: the range of their spatial autocorrelation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL = math.exp(-1)  # an exponential correlogram exp(-h / a) falls to it at its range a


def correlogram(planes: Sequence[NDArray[np.integer]], classes: int, step: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(lags, correlation): of class indicators at distances 0, `step`, 2 `step`, ... up to half of the longest side.

    `planes` (h, w) hold class indices, `classes` and above is unknown; `step` is the distance between neighbours, in
    pixels. The correlation is 1 - semivariance / variance, both summed over the classes (an indicator is 1 inside its
    class) and taken over all pairs of known pixels at that distance in any direction (Cressie, Statistics for Spatial
    Data, 1993, chapter 2). Empty where the labels hold a single class.
    """
    longest = max((max(p.shape) for p in planes), default=0)
    reach = max(1, longest // 2)
    joint, pairs = np.zeros(reach + 1), np.zeros(reach + 1)
    counts = sum((np.bincount(p[p < classes], minlength=classes) for p in planes), np.zeros(classes, np.int64))
    shares = counts / max(1, counts.sum())
    variance = float((shares * (1 - shares)).sum())
    if variance <= 0:
        return np.empty(0), np.empty(0)
    for plane in planes:
        known = plane < classes
        for k in np.flatnonzero(counts):
            _add(joint, np.where(known, (plane == k) - shares[k], 0.0))
        _add(pairs, known.astype(np.float64))
    seen = pairs > 0.5
    lags = np.flatnonzero(seen)
    values: NDArray[np.float64] = joint[lags] / pairs[lags] / variance
    return np.asarray(lags * step, np.float64), values


def correlation_range(planes: Sequence[NDArray[np.integer]], classes: int, step: float = 1.0) -> tuple[float, bool] | None:
    """(distance in pixels, found): where the correlation of class indicators first falls below 1/e; None with one class.

    Not `found`: it stays above, and the distance is the largest one that was looked at.
    """
    lags, values = correlogram(planes, classes, step)
    below = np.flatnonzero(values < LEVEL)
    if len(values) < 2:
        return None
    if len(below) == 0:
        return float(lags[-1]), False
    i = int(below[0])
    (x0, x1), (y0, y1) = lags[i - 1 : i + 1], values[i - 1 : i + 1]
    return float(x0 + (y0 - LEVEL) / (y0 - y1) * (x1 - x0)), True


def _add(sums: NDArray[np.float64], field: NDArray[np.float64]) -> None:
    """Adds, per whole distance, the products of a field with itself over all pairs; by the Fourier transform."""
    height, width = field.shape
    shape = 2 * height, 2 * width
    spectrum = np.fft.rfft2(field, shape)
    products = np.fft.irfft2(np.abs(spectrum) ** 2, shape)
    rows, cols = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    distance = np.rint(np.hypot(rows[:, None], cols[None, :])).astype(np.int64)
    near = distance < len(sums)
    sums += np.bincount(distance[near], products[near], len(sums))
