"""One test over every blend: weights are positive, symmetric, fall towards the edge, and have the tile's shape."""

from __future__ import annotations

import numpy as np
import pytest

from swath.core.blend import BLENDS, weights

every_blend = pytest.mark.parametrize("name", sorted(BLENDS))


@every_blend
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 255])
def test_profiles_are_positive_symmetric_and_fall_outwards(name: str, size: int) -> None:
    profile = BLENDS[name](size)
    assert profile.shape == (size,)
    assert profile.dtype == np.float32
    assert (profile > 0).all()
    assert profile.max() <= 1
    assert np.allclose(profile, profile[::-1], atol=1e-6)
    assert (np.diff(profile[: (size + 1) // 2]) >= 0).all()


@every_blend
def test_weights_are_the_outer_product(name: str) -> None:
    both = weights(name, 6, 9)
    assert both.shape == (6, 9)
    assert both.dtype == np.float32
    assert np.allclose(both, BLENDS[name](6)[:, None] * BLENDS[name](9)[None])


@pytest.mark.parametrize("name", sorted(set(BLENDS) - {"none"}))
def test_the_middle_counts_more_than_the_corner(name: str) -> None:
    both = weights(name, 32, 32)
    assert both[16, 16] > 10 * both[0, 0]


@pytest.mark.parametrize("name", ["hann", "spline"])
def test_smooth_profiles_with_half_overlap_sum_to_one(name: str) -> None:
    profile = BLENDS[name](64)
    assert np.allclose(profile[:32] + profile[32:], 1, atol=2e-3)


def test_none_counts_every_pixel_alike() -> None:
    assert (weights("none", 5, 4) == 1).all()
