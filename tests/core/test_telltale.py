"""A band that is made from the label is told from one that was measured, however its values are coded."""

from __future__ import annotations

import numpy as np
import pytest

from swath.core.telltale import tells

RNG = np.random.default_rng(4)
LABELS = np.repeat(RNG.integers(0, 3, 400), 50)  # objects of 50 pixels


def band(*values: float, noise: float = 0.0) -> np.ndarray:
    return np.array(values)[LABELS] + np.random.default_rng(1).normal(0, 1, LABELS.size) * noise


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (band(0, 1, 2), "is"),
        (band(7, 0, 3), "is"),  # permuted codes
        (band(10, 20, 30, noise=0.3), "is"),
        (np.where(RNG.random(LABELS.size) < 0.01, 5, band(7, 0, 3)), "is"),
        (band(100, 300, 200, noise=90), ""),
        (band(100, 130, 160, noise=5), ""),  # a clear signal, as honest bands have
        (RNG.normal(0, 1, LABELS.size), ""),
        (np.full(LABELS.size, 3.0), ""),
        (np.where((LABELS == 2) ^ (RNG.random(LABELS.size) < 0.05), RNG.uniform(1, 99, LABELS.size), 0), "follows"),
    ],
)
def test_verdicts(values: np.ndarray, verdict: str) -> None:
    (found,) = tells(values[None], LABELS, 3)
    assert found.verdict == verdict


def test_what_a_band_follows_is_named() -> None:
    made = np.where((LABELS == 2) ^ (np.random.default_rng(3).random(LABELS.size) < 0.05), 40.0, 0.0)
    (found,) = tells(made[None], LABELS, 3)
    assert (found.usual, found.index) == (0.0, 2)
    assert found.usual_share == pytest.approx((made == 0).mean())
    assert found.other_share == pytest.approx((LABELS[made != 0] == 2).mean())


def test_kappa_is_that_of_the_pixels_that_were_not_learnt_from() -> None:
    """Three codes of which the middle one stands for two classes alike: it gets the more frequent one of them."""
    labels = np.tile([0, 1, 2, 2], 8000)
    (found,) = tells(np.array([0.0, 5.0, 5.0])[labels][None], labels, 3)
    assert found.kappa == pytest.approx((0.75 - (0.25 * 0.25 + 0.5 * 0.75)) / (1 - (0.25 * 0.25 + 0.5 * 0.75)))
    chance = tells(np.random.default_rng(0).normal(size=(1, 32_000)), labels, 3)[0]
    assert abs(chance.kappa) < 0.02


def test_too_little_says_nothing() -> None:
    assert tells(np.zeros((2, 500)), np.arange(500) % 2, 2) == []
    assert tells(np.zeros((2, 5000)), np.zeros(5000, int), 2) == []
