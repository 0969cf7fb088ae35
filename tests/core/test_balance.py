"""A balanced choice: even, and the same as looking at every candidate at every step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.balance import balanced
from swath.core.errors import ConfigError
from swath.core.selection import periodic_ranks


def step_by_step(histograms: NDArray[np.int64], share: float, most: int | None) -> list[int]:
    """The rule as it is written, every candidate looked at in every step."""
    usable = np.flatnonzero(histograms.sum(1) > 0)
    if len(usable) == 0:
        return []
    counts = histograms[usable].astype(float)
    counts = counts[:, counts.any(0)]
    chosen = periodic_ranks(len(usable), min(max(1, round(share * len(usable))), most or len(usable))).tolist()
    have = counts[chosen].sum(0)

    def evenness(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        return pixels.sum(-1) / np.sqrt((pixels**2).sum(-1))

    while most is None or len(chosen) < most:
        likeness = counts @ have / np.linalg.norm(counts, axis=1)
        useful = evenness(have + counts) > evenness(have) * (1 + 1e-12)
        useful[chosen] = False
        if not useful.any():
            break
        chosen.append(int(np.argmin(np.where(useful, likeness, np.inf))))
        have = have + counts[chosen[-1]]
    return usable[sorted(chosen)].tolist()


def made(seed: int, count: int, pixels: int) -> NDArray[np.int64]:
    """Patches that hold one class or several, rare and common ones, some with pixels that have no label."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 7))
    shares = rng.dirichlet(rng.uniform(0.05, 1, classes), count) * rng.uniform(0.01, 1, classes) ** 3
    table = rng.multinomial(pixels, shares / shares.sum(1, keepdims=True))
    return table // rng.integers(1, 4, (count, 1)) if seed % 2 else table


@given(st.integers(0, 9999), st.integers(1, 60), st.sampled_from([1, 16, 256]), st.sampled_from([0.01, 0.25, 0.9]))
def test_few_candidates_are_chosen_step_by_step(seed: int, count: int, pixels: int, share: float) -> None:
    table, most = made(seed, count, pixels), None if seed % 3 else seed % count + 1
    assert balanced(table, share, most).tolist() == step_by_step(table, share, most)


@pytest.mark.parametrize(("seed", "pixels", "share"), [(0, 256, 0.25), (1, 256, 0.1), (2, 64, 0.01), (3, 16, 0.25), (4, 1024, 0.5)])
def test_many_candidates_too_where_a_shortlist_stands_for_them(seed: int, pixels: int, share: float) -> None:
    table = made(seed, 3000, pixels)
    assert balanced(table, share).tolist() == step_by_step(table, share, None)


def entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())



@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.25, 0.5]))
def test_balanced_classes_have_no_less_entropy_than_random_ones(seed, share) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    table = rng.multinomial(256, rng.dirichlet([8, 1, 0.5, 0.2]), 200) * (rng.random((200, 1)) < 0.95)
    chosen = balanced(table, share)
    assert len(chosen) == len(set(chosen.tolist()))
    assert table[chosen].any(1).all()
    others = [entropy(table[rng.permutation(200)[: len(chosen)]].sum(0)) for _ in range(20)]
    assert entropy(table[chosen].sum(0)) >= np.mean(others) - 1e-9


def test_balance_adds_the_rare_class_and_stops_when_even() -> None:
    table = np.zeros((100, 2), np.int64)
    table[:, 0] = 16
    table[[3, 17, 35, 51, 66, 78, 91]] = (0, 16)  # seven patches of class 1, none of them among the seed
    chosen = balanced(table, 0.1)
    assert table[chosen].sum(0).tolist() == [160, 112]
    assert len(balanced(table, 0.05)) == 5 + 5
    assert len(balanced(table, 0.1, most=12)) == 12
    assert balanced(np.zeros((4, 2), np.int64)).tolist() == []
    with pytest.raises(ConfigError):
        balanced(table, 0)
