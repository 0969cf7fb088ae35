"""Numbers per class, ranks, grids and splits of sample points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.errors import ConfigError
from swath.core.selection import (
    STRATEGIES,
    Draw,
    allotted,
    chessboard,
    dealt,
    grid_firsts,
    patch_sums,
    patch_window,
    periodic_ranks,
    pixel_of,
    random_ranks,
    split_names,
)
from swath.core.windows import Window

TABLES = st.dictionaries(st.integers(-5, 300), st.integers(0, 10_000), max_size=6)


@pytest.mark.parametrize(
    ("strategy", "number", "each", "wanted"),
    [
        ("smallest", None, None, {2: 40, 5: 40, 9: 40}),
        ("constant", 25, None, {2: 25, 5: 25, 9: 25}),
        ("constant", 1000, None, {2: 40, 5: 40, 9: 40}),
        ("percent", 10, None, {2: 10, 5: 4, 9: 86}),
        ("percent", 12.5, None, {2: 13, 5: 5, 9: 108}),
        ("total", 100, None, {2: 10, 5: 4, 9: 86}),
        ("total", 5000, None, {2: 100, 5: 40, 9: 860}),
        ("byclass", None, {2: 7, 5: 90}, {2: 7, 5: 40, 9: 0}),
        ("all", None, None, {2: 100, 5: 40, 9: 860}),
    ],
)
def test_numbers_per_class(strategy, number, each, wanted) -> None:  # type: ignore[no-untyped-def]
    assert allotted({2: 100, 3: 0, 5: 40, 9: 860}, strategy, number=number, each=each) == wanted


@given(TABLES, st.sampled_from([s for s in STRATEGIES if s != "byclass"]), st.floats(0.01, 100))
def test_no_class_gives_more_than_it_has(table, strategy, number) -> None:  # type: ignore[no-untyped-def]
    found = allotted(table, strategy, number=number)
    assert set(found) == {i for i, n in table.items() if n}
    assert all(0 <= n <= table[i] for i, n in found.items())


@given(TABLES, st.integers(1, 20_000))
def test_total_is_met_and_in_proportion(table, number) -> None:  # type: ignore[no-untyped-def]
    found, whole = allotted(table, "total", number=number), sum(table.values())
    assert sum(found.values()) == min(number, whole)
    assert all(abs(n - table[i] * min(number, whole) / whole) < 1 for i, n in found.items())


@pytest.mark.parametrize(
    ("strategy", "number", "each"),
    [("constant", None, None), ("total", 0, None), ("percent", 101, None), ("byclass", None, None), ("byclass", None, {3: 5}),
     ("byclass", None, {1: -5})],
)  # fmt: skip
def test_missing_and_odd_numbers_are_refused(strategy, number, each) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        allotted({1: 10}, strategy, number=number, each=each)


@given(st.integers(0, 5000), st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_ranks_are_distinct_sorted_and_of_their_number(available, share, jitter, seed) -> None:  # type: ignore[no-untyped-def]
    wanted, rng = int(share * available), np.random.default_rng(seed)
    for ranks in (
        periodic_ranks(available, wanted),
        periodic_ranks(available, wanted, jitter, rng),
        random_ranks(available, wanted, rng),
    ):
        assert len(ranks) == wanted
        assert (np.diff(ranks) > 0).all()
        assert wanted == 0 or (ranks[0] >= 0 and ranks[-1] < available)


def test_periodic_ranks_are_every_kth() -> None:
    assert periodic_ranks(100, 10).tolist() == list(range(0, 100, 10))
    assert set(np.diff(periodic_ranks(1000, 7)).tolist()) <= {142, 143}


def test_jitter_stays_in_its_interval_and_follows_the_seed() -> None:
    edges = np.arange(0, 1000, 10)
    one, same, other = (periodic_ranks(1000, 100, 1.0, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert ((one >= edges) & (one < edges + 10)).all()
    half = periodic_ranks(1000, 100, 0.5, np.random.default_rng(0))
    assert (half - edges).max() < 5
    assert (half - edges).max() > 0


@pytest.mark.parametrize("wanted", [3, 8])
def test_random_ranks_are_fair(wanted: int) -> None:
    """Each of 10 ranks is drawn as often as the others, within five standard deviations."""
    rounds = 4000
    drawn = np.concatenate([random_ranks(10, wanted, np.random.default_rng(s)) for s in range(rounds)])
    counts, p = np.bincount(drawn, minlength=10), wanted / 10
    assert np.abs(counts - rounds * p).max() < 5 * math.sqrt(rounds * p * (1 - p))


@given(st.integers(1, 24), st.integers(-3, 50), st.integers(-3, 50))
def test_the_pixel_of_a_patch_is_at_half_its_side(side, row, col) -> None:  # type: ignore[no-untyped-def]
    window = patch_window(row, col, side)
    assert window.shape == (side, side)
    assert (row - window.row, col - window.col) == (side // 2, side // 2)


def test_a_patch_of_16_has_its_point_at_8_8() -> None:
    assert patch_window(100, 50, 16) == Window(92, 42, 16, 16)


def test_a_corner_belongs_to_the_pixel_below_and_to_its_right() -> None:
    places = np.array([3.0, 3.0 - 1e-7, 2.5, 2.999, -0.5])
    assert pixel_of(places, places)[0].tolist() == [3, 3, 2, 2, -1]


@given(st.integers(1, 120), st.integers(1, 30), st.integers(1, 30), st.integers(0, 40))
def test_grid_positions_by_formula(length, side, step, offset) -> None:  # type: ignore[no-untyped-def]
    firsts = grid_firsts(length, side, step, offset)
    assert len(firsts) == max(0, (length - offset - side) // step + 1)
    assert all(offset <= f and f + side <= length and (f - offset) % step == 0 for f in firsts.tolist())


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4))
def test_patch_sums_equal_sums(seed, side, step) -> None:  # type: ignore[no-untyped-def]
    plane = np.random.default_rng(seed).random((13, 17)) < 0.4
    rows, cols = grid_firsts(13, side, step, 0), grid_firsts(17, side, step, 0)
    sums = patch_sums(plane, side, rows, cols)
    assert all(sums[i, j] == plane[r : r + side, c : c + side].sum() for i, r in enumerate(rows) for j, c in enumerate(cols))


@given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 20))
def test_neighbours_on_a_chessboard_differ(cell, top, left) -> None:  # type: ignore[no-untyped-def]
    rows, cols = np.mgrid[:100, :100]
    split = chessboard(rows, cols, cell, (top, left))
    assert set(np.unique(split)) <= {0, 1}
    assert (split[:-cell] != split[cell:]).all()
    assert (split[:, :-cell] != split[:, cell:]).all()


def test_proportions_are_met() -> None:
    assert np.bincount(dealt(100, (50, 25, 25))).tolist() == [50, 25, 25]
    assert np.bincount(dealt(100, (50, 25, 25), np.random.default_rng(3))).tolist() == [50, 25, 25]
    assert split_names(dealt(4, (50, 25, 25))) == ["trn", "val", "tst", "trn"]
    assert dealt(5, (1, 0, 0)).tolist() == [0] * 5
    for shares in ((0, 0, 0), (1, -1, 1), (1, 1)):
        with pytest.raises(ConfigError):
            dealt(5, shares)


@given(st.integers(0, 400), st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(sum))
def test_dealing_is_never_more_than_one_off(count, shares) -> None:  # type: ignore[no-untyped-def]
    counts = np.bincount(dealt(count, shares), minlength=3)
    assert counts.sum() == count
    assert np.abs(counts - np.array(shares) / sum(shares) * count).max() < 1.5


@pytest.mark.parametrize("wrong", [{"patch": 0}, {"step": 0}, {"offset": (-1, 0)}, {"jitter": 1.5}, {"seed": -1}])
def test_odd_draws_are_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        Draw(**wrong)
