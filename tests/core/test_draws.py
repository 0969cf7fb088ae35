"""Draws without a state are uniform, repeatable, and independent between seeds, streams and lanes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.draws import below, bits, fractions

MANY = np.arange(200_000)


def test_the_mixing_is_that_of_the_published_generator() -> None:
    """SplitMix64 from state 1234567 gives 6457827717110365317, 3203168211198807973, ... (Rosetta Code's check values)."""
    from swath.core.draws import _STEP, _mixed

    state = np.array([1234567], np.uint64)
    found = []
    for _ in range(5):
        found.append(int(_mixed(state)[0]))
        state = state + _STEP
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


@pytest.mark.parametrize(("seed", "stream", "lane"), [(0, 0, 0), (7, 2, 1), (2**40, 3, 9)])
def test_fractions_are_uniform(seed: int, stream: int, lane: int) -> None:
    found = fractions(seed, stream, MANY, lane)
    assert found.min() >= 0
    assert found.max() < 1
    shares = np.histogram(found, 20, (0, 1))[0] / len(MANY)
    assert np.abs(shares - 0.05).max() < 0.002
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.01


def test_streams_lanes_and_seeds_are_independent() -> None:
    base = fractions(5, 2, MANY)
    for other in (fractions(6, 2, MANY), fractions(5, 3, MANY), fractions(5, 2, MANY, 1), fractions(2, 5, MANY)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.01


@given(st.integers(0, 2**63 - 1), st.integers(0, 10), st.integers(0, 2**40), st.integers(1, 50))
def test_a_draw_depends_on_its_position_alone(seed: int, stream: int, first: int, count: int) -> None:
    row = np.arange(first, first + count)
    whole = bits(seed, stream, row)
    assert whole.tolist() == [int(bits(seed, stream, row[i : i + 1])[0]) for i in range(count)]


def test_integers_stay_below_their_limit() -> None:
    found = below(np.where(MANY % 2 == 0, 3, 7), 1, 2, MANY)
    assert set(found[::2].tolist()) == {0, 1, 2}
    assert set(found[1::2].tolist()) == set(range(7))
