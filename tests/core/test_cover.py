"""Pixels that two sets of boxes share, against painting them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.cover import Cover, shared_pixels
from swath.core.windows import Window

SIDE = 200
whole = Window(0, 0, SIDE, SIDE)


def painted(inside: list[Window], outside: list[Window]) -> NDArray[np.bool_]:
    plane = np.zeros((SIDE, SIDE), bool)
    for window in inside:
        plane[window.slices()] = True
    for window in outside:
        plane[window.slices()] = False
    return plane


def scattered(count: int, largest: int, seed: int) -> list[Window]:
    rng = np.random.default_rng(seed)
    corners, sizes = rng.integers(0, SIDE, (count, 2)), rng.integers(0, largest + 1, (count, 2))
    return [Window(*c, *s).clip(SIDE, SIDE) for c, s in zip(corners.tolist(), sizes.tolist(), strict=True)]


sets = st.builds(scattered, st.integers(0, 3) | st.integers(100, 400), st.sampled_from([1, 7, 60, 200]), st.integers(0, 999))


@given(sets, sets, sets, sets)
def test_boxes_are_counted_as_if_painted(a: list[Window], b: list[Window], off_a: list[Window], off_b: list[Window]) -> None:
    found = shared_pixels(Cover.of(a, off_a), Cover.of(b, off_b))
    assert found == (painted(a, off_a) & painted(b, off_b)).sum()
    assert found == shared_pixels(Cover.of(b, off_b), Cover.of(a, off_a))


@given(sets)
def test_a_cover_shares_with_the_whole_what_it_has(a: list[Window]) -> None:
    assert shared_pixels(Cover.of(a), Cover.of([whole])) == painted(a, []).sum()
    assert shared_pixels(Cover.of(a), Cover.of([whole], a)) == 0


def test_edges_that_touch_share_nothing() -> None:
    left, right = Window(0, 0, 10, 5), Window(0, 5, 10, 5)
    assert shared_pixels(Cover.of([left]), Cover.of([right])) == 0
    assert shared_pixels(Cover.of([left]), Cover.of([])) == 0
    far = Window(10**6, 10**6, 30_000, 30_000)
    assert shared_pixels(Cover.of([far]), Cover.of([far.pad(5)], [Window(10**6, 10**6, 1, 1)])) == 30_000**2 - 1
