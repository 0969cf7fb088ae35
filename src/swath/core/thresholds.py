"""Thresholds of the sampling filter that even out the class shares: the search of geo-deep-learning, done exactly.

Both methods look for a small standard deviation of the shares that the classes have in all kept tiles together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swath.core.filters import Filter

ANNOTATED = np.arange(101) / 100  # tried for min_annotated
FLOORS = np.arange(1001) / 1000  # tried for the floor of a class
LEAST, FEWEST = 0.1, 8  # share and number of the tiles that a threshold must keep
_SAME = 1e-12


@dataclass(frozen=True)
class Tiles:
    """Candidate tiles: `counts` (n, C) labelled pixels per class index, `areas` (n,) pixels, `invalid` (n,) without data."""

    counts: NDArray[np.int64]
    areas: NDArray[np.int64]
    invalid: NDArray[np.int64]
    background: int | None

    def kept(self, rules: Filter) -> NDArray[np.bool_]:
        """(n,) True for the tiles that a filter keeps."""
        return self.verdicts(rules) == 0

    def verdicts(self, rules: Filter) -> NDArray[np.int64]:
        """(n,) places in `filters.REASONS`."""
        return rules.verdicts(self.counts, self.areas, self.invalid, self.background)

    def spread(self, kept: NDArray[np.bool_]) -> float:
        """The standard deviation of the class shares in the kept tiles; NaN where nothing is kept."""
        return float(_spread(self.counts[kept].sum(0)[None], self._there())[0])

    def _there(self) -> NDArray[np.bool_]:
        return self.counts.sum(0) > 0


@dataclass(frozen=True)
class Found:
    """A filter, the spread of class shares and the number of tiles before and after it, and what was tried.

    `tried` holds (class index or None for min_annotated, threshold, tiles kept, spread) in the order of the search, for
    every threshold that drops a tile which the last one kept, and for the last one.
    """

    rules: Filter
    before: float
    after: float
    tiles: int
    kept: int
    tried: tuple[tuple[int | None, float, int, float], ...]


def search_annotated(tiles: Tiles, rules: Filter) -> Found:
    """The least annotated share, 0 to 100 %, at which the spread stops falling."""
    start = replace(rules, min_annotated=0.0, class_min={})
    annotated = tiles.counts.sum(1) - (tiles.counts[:, tiles.background] if tiles.background is not None else 0)
    threshold, tried = _climb(tiles, tiles.kept(start), annotated / tiles.areas, ANNOTATED, None)
    return _found(tiles, start, replace(start, min_annotated=threshold), tried)


def search_floors(tiles: Tiles, rules: Filter) -> Found:
    """The floors of the classes, each raised by 0.1 % until the spread rises, one class after another.

    Floors must all be met; `rules` keeps what it has of other rules.
    """
    start = replace(rules, class_min={}, mode="all")
    found, tried = start, []
    for k in np.flatnonzero(tiles.counts.sum(0)).tolist():
        threshold, steps = _climb(tiles, tiles.kept(found), tiles.counts[:, k] / tiles.areas, FLOORS, k)
        tried += steps
        if threshold > 0:
            found = replace(found, class_min={**found.class_min, k: threshold})
    return _found(tiles, start, found, tried)


def search_both(tiles: Tiles, rules: Filter) -> Found:
    """First the annotated share, then the floors of the classes on the tiles that it keeps."""
    first = search_annotated(tiles, rules)
    second = search_floors(tiles, first.rules)
    return replace(second, before=first.before, tiles=first.tiles, tried=first.tried + second.tried)


def _climb(
    tiles: Tiles, among: NDArray[np.bool_], values: NDArray[np.float64], thresholds: NDArray[np.float64], index: int | None
) -> tuple[float, list[tuple[int | None, float, int, float]]]:
    """The first threshold on `values` with the smallest spread before it rises, and the steps that were tried.

    A threshold that leaves fewer than a tenth of the tiles, or fewer than 8, is not taken.
    """
    order = np.flatnonzero(among)[np.argsort(values[among], kind="stable")]
    ranked = values[order]
    sums = np.concatenate([np.cumsum(tiles.counts[order][::-1], axis=0)[::-1], np.zeros((1, tiles.counts.shape[1]), np.int64)])
    first = np.searchsorted(ranked, thresholds)
    left, spreads = len(order) - first, _spread(sums[first], tiles.counts.sum(0) > 0)
    best, least = 0, max(LEAST * len(tiles.areas), min(FEWEST, len(order)), 1)
    tried: list[tuple[int | None, float, int, float]] = []
    for i, (n, spread) in enumerate(zip(left.tolist(), spreads.tolist(), strict=True)):
        if not tried or n != tried[-1][2]:
            tried.append((index, float(thresholds[i]), n, spread))
        if n < least or spread > spreads[best] + _SAME:
            break
        if spread < spreads[best] - _SAME:
            best = i
    return float(thresholds[best]), tried


def _found(tiles: Tiles, start: Filter, rules: Filter, tried: list[tuple[int | None, float, int, float]]) -> Found:
    before, kept = tiles.kept(start), tiles.kept(rules)
    return Found(rules, tiles.spread(before), tiles.spread(kept), int(before.sum()), int(kept.sum()), tuple(tried))


def _spread(sums: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(m,) standard deviation of the shares of the classes that are `there`, of (m, C) pixels; NaN without pixels."""
    pixels = sums[:, there].astype(np.float64)
    whole = pixels.sum(1, keepdims=True)
    shares = np.divide(pixels, whole, out=np.full_like(pixels, np.nan), where=whole > 0)
    return np.asarray(shares.std(1), np.float64) if pixels.shape[1] else np.full(len(sums), np.nan)
