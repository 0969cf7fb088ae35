"""The range of labels is that of all pairs of pixels, one by one, and grows with the objects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.correlogram import correlation_range, correlogram


def by_pairs(planes: list[NDArray[np.int64]], classes: int) -> dict[int, float]:
    """The correlogram from its definition: pairs at a rounded distance that agree, against pairs taken at random."""
    counts = sum(np.bincount(p[p < classes], minlength=classes) for p in planes)
    shares = counts / counts.sum()
    variance = 1 - (shares**2).sum()
    same: dict[int, list[float]] = {}
    for plane in planes:
        at = np.argwhere(plane < classes)
        values = plane[at[:, 0], at[:, 1]]
        distance = np.rint(np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))).astype(int)
        indicator = np.eye(classes)[values] - shares
        products = indicator @ indicator.T
        for h in range(max(max(p.shape) for p in planes) // 2 + 1):
            same.setdefault(h, []).extend(products[distance == h].tolist())
    return {h: float(np.mean(found)) / variance for h, found in same.items() if found}


@settings(max_examples=25)
@given(st.integers(0, 999), st.integers(2, 4), st.integers(4, 14), st.integers(4, 14), st.floats(0, 0.4))
def test_it_is_what_all_pairs_say(seed: int, classes: int, height: int, width: int, unknown: float) -> None:
    rng = np.random.default_rng(seed)
    planes = [rng.integers(0, classes, (height, width)), rng.integers(0, classes, (width, height))]
    for plane in planes:
        plane[rng.random(plane.shape) < unknown] = classes
    planes[0][0, :2] = 0, 1
    lags, values = correlogram(planes, classes)
    expected = by_pairs(planes, classes)
    assert lags.tolist() == sorted(expected)
    assert values == pytest.approx([expected[int(h)] for h in lags], abs=1e-9)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_squares_resemble_each_other_as_far_as_they_are_wide(side: int) -> None:
    """Independent squares: along an axis the correlation is 1 - h / side, which is 1/e at 0.632 side; less diagonally."""
    rng = np.random.default_rng(side)
    plane = np.kron(rng.integers(0, 2, (512 // side, 512 // side)), np.ones((side, side), int))
    reach, found = correlation_range([plane], 2) or (math.nan, False)
    assert found
    assert 0.4 * side < reach < 0.7 * side


def test_thinning_gives_about_the_same_range_in_pixels() -> None:
    plane = np.kron(np.random.default_rng(1).integers(0, 3, (16, 16)), np.ones((32, 32), int))
    whole, thinned = correlation_range([plane], 3), correlation_range([plane[::4, ::4]], 3, 4)
    assert whole is not None
    assert thinned is not None
    assert thinned[0] == pytest.approx(whole[0], rel=0.1)


def test_halves_reach_beyond_what_can_be_seen_and_one_class_has_no_range() -> None:
    halves = [np.zeros((20, 20), int), np.ones((20, 20), int)]
    assert correlation_range(halves, 2) == (10.0, False)
    assert correlation_range([np.zeros((20, 20), int)], 2) is None
    assert correlation_range([], 2) is None
