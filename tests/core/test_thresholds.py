"""The search of thresholds finds what trying them one by one finds, and never makes the shares less even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.filters import Filter
from swath.core.thresholds import Tiles, search_annotated, search_both, search_floors


def imbalanced(seed: int, tiles: int = 60, classes: int = 3) -> Tiles:
    """Tiles of 1000 pixels, mostly background, some with much of the others."""
    rng = np.random.default_rng(seed)
    counts = np.array([rng.multinomial(1000, rng.dirichlet([6, *[0.4] * (classes - 1)])) for _ in range(tiles)])
    return Tiles(counts, np.full(tiles, 1000), rng.integers(0, 30, tiles) * 40, 0)


def spread(tiles: Tiles, rules: Filter) -> tuple[int, float]:
    """(tiles kept, standard deviation of the class shares), one tile at a time."""
    kept = [c for c, a, i in zip(tiles.counts, tiles.areas, tiles.invalid, strict=True) if rules.refusal(c, a, i, 0) is None]
    total = np.sum(kept, axis=0)
    return len(kept), float(np.std(total / total.sum())) if kept else float("nan")


@pytest.mark.parametrize("seed", range(5))
def test_gdl_055_the_annotated_share_is_that_of_trying_all(seed: int) -> None:
    tiles = imbalanced(seed)
    best, last = 0.0, spread(tiles, Filter())[1]
    for t in range(101):
        kept, std = spread(tiles, Filter(min_annotated=t / 100))
        if kept < 8 or std > last + 1e-12:
            break
        if std < last - 1e-12:
            best, last = t / 100, std
    found = search_annotated(tiles, Filter())
    assert found.rules.min_annotated == best > 0
    assert (found.kept, found.after) == pytest.approx(spread(tiles, Filter(min_annotated=best)))
    assert found.before == pytest.approx(spread(tiles, Filter())[1])


@given(st.integers(0, 300), st.integers(1, 40), st.integers(2, 5))
def test_gdl_055_the_spread_never_rises(seed: int, number: int, classes: int) -> None:
    tiles = imbalanced(seed, number, classes)
    for search in (search_annotated, search_floors, search_both):
        found = search(tiles, Filter(max_nodata=0.9))
        assert found.kept == spread(tiles, found.rules)[0]
        assert found.rules.max_nodata == 0.9
        if found.tiles:
            assert found.after <= found.before
            assert found.kept >= min(8, found.tiles)


def test_floors_are_raised_class_by_class() -> None:
    rare = np.array([[900, 50, 50]] * 20 + [[400, 300, 300]] * 20)
    tiles = Tiles(rare, np.full(40, 1000), np.zeros(40, np.int64), 0)
    found = search_floors(tiles, Filter())
    assert found.rules.class_min == {1: 0.051}
    assert (found.tiles, found.kept) == (40, 20)
    assert found.after == pytest.approx(np.std([0.4, 0.3, 0.3]))
    background, roofs, trees = [(0, 0.0, 40), (0, 0.401, 20)], [(1, 0.0, 40), (1, 0.051, 20), (1, 0.301, 0)], [(2, 0.0, 20), (2, 0.301, 0)]
    assert [(k, t, n) for k, t, n, _ in found.tried] == [*background, *roofs, *trees]


def test_both_begin_with_the_annotated_share() -> None:
    tiles = imbalanced(2)
    alone, both = search_annotated(tiles, Filter()), search_both(tiles, Filter())
    assert both.rules.min_annotated == alone.rules.min_annotated
    assert both.before == alone.before
    assert both.after <= alone.after
    assert both.tried[: len(alone.tried)] == alone.tried


def test_few_or_no_tiles_are_left_alone() -> None:
    few = imbalanced(1, 6)
    assert search_both(few, Filter(max_nodata=1)).rules == Filter(max_nodata=1)
    none = Tiles(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    found = search_both(none, Filter())
    assert (found.tiles, found.kept) == (0, 0)
    assert np.isnan(found.after)
