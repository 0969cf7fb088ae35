"""Regions and outlines are exact: painted back they give the raster, whatever the strips were."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from swath.core.errors import ResourceError
from swath.core.outlines import cycles
from swath.core.regions import Regions, RegionTracer, components

RASTERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1, 2))


def traced(codes: NDArray[Any], rows: int, percent: NDArray[np.uint8] | None = None, **options: Any) -> list[Regions]:
    tracer = RegionTracer(codes.shape[1], **options)
    out: list[Regions] = []
    for top in range(0, len(codes), rows):
        out += tracer.feed(codes[top : top + rows], None if percent is None else percent[top : top + rows])
    return [*out, *tracer.finish()]


def rings_of(batches: list[Regions]) -> Iterator[tuple[int, int, list[NDArray[Any]]]]:
    """(value, pixels, rings) region by region."""
    for b in batches:
        for n, (value, pixels) in enumerate(zip(b.values.tolist(), b.pixels.tolist(), strict=True)):
            own = range(b.rings.parts[n], b.rings.parts[n + 1])
            yield value, pixels, [b.rings.points[b.rings.rings[r] : b.rings.rings[r + 1]] for r in own]


def inside(rings: list[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside rings: every vertical edge turns all pixels to its right."""
    mask = np.zeros((shape[0], shape[1] + 1), bool)
    for ring in rings:
        for (x, y), (u, v) in pairwise(ring):
            if x == u:
                mask[min(y, v) : max(y, v), x:] ^= True
    return mask[:, :-1]


def flood(codes: NDArray[Any]) -> NDArray[np.int64]:
    """The number (from 1) of each pixel's 4-connected region, 0 outside, by a plain flood fill."""
    label, n = np.zeros(codes.shape, np.int64), 0
    for start in zip(*np.nonzero(codes >= 0), strict=True):
        if label[start]:
            continue
        n, todo = n + 1, [start]
        label[start] = n
        while todo:
            r, c = todo.pop()
            for q in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                within = 0 <= q[0] < codes.shape[0] and 0 <= q[1] < codes.shape[1]
                if within and not label[q] and codes[q] == codes[start]:
                    label[q] = n
                    todo.append(q)
    return label


def check_painted(codes: NDArray[Any], batches: list[Regions]) -> None:
    label, seen = flood(codes), set()
    for value, pixels, rings in rings_of(batches):
        mask = inside(rings, codes.shape)
        numbers = np.unique(label[mask])
        assert len(numbers) == 1
        assert (mask == (label == numbers[0])).all()
        assert (codes[mask] == value).all()
        assert pixels == mask.sum()
        seen.add(int(numbers[0]))
    assert seen == set(range(1, int(label.max()) + 1))


def shoelace(ring: NDArray[Any]) -> float:
    (x, y), (u, v) = ring[:-1].T.astype(np.int64), ring[1:].T.astype(np.int64)
    return float((x * v - u * y).sum() / 2)


@given(RASTERS)
def test_outlines_painted_back_are_the_connected_regions(codes: NDArray[Any]) -> None:
    check_painted(codes, traced(codes, 3))


@given(RASTERS, st.integers(1, 12), st.sampled_from([(20_000, 400_000), (2, 30), (1, 1)]))
def test_strips_change_nothing_not_even_the_batches(codes: NDArray[Any], rows: int, batch: tuple[int, int]) -> None:
    whole, cut = traced(codes, len(codes), batch=batch), traced(codes, rows, batch=batch)
    assert len(whole) == len(cut)
    for a, b in zip(whole, cut, strict=True):
        for x, y in ((a.values, b.values), (a.pixels, b.pixels), (a.rings.points, b.rings.points),
                     (a.rings.rings, b.rings.rings), (a.rings.parts, b.rings.parts)):  # fmt: skip
            np.testing.assert_array_equal(x, y)


@given(RASTERS)
def test_rings_are_simple_closed_and_without_collinear_points(codes: NDArray[Any]) -> None:
    for _, pixels, rings in rings_of(traced(codes, 4)):
        assert sum(shoelace(r) for r in rings) == pixels
        assert shoelace(rings[0]) > 0
        assert all(shoelace(r) < 0 for r in rings[1:])
        for ring in rings:
            assert (ring[0] == ring[-1]).all()
            assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1  # no point twice
            steps = np.diff(np.concatenate([ring, ring[1:2]]), axis=0)
            assert ((steps[:, 0] == 0) != (steps[:, 1] == 0)).all()
            assert ((steps[:-1, 0] == 0) == (steps[1:, 1] == 0)).all()  # every point is a corner


@given(RASTERS, st.data())
def test_confidence_is_summed_over_the_pixels_that_have_one(codes: NDArray[Any], data: st.DataObject) -> None:
    percent = data.draw(arrays(np.uint8, codes.shape, elements=st.sampled_from([0, 1, 40, 100, 255])))
    batches = traced(codes, 2, percent)
    sums = [s for b in batches for s in b.percent.tolist()]
    for (total, count), (_, _, rings) in zip(sums, rings_of(batches), strict=True):
        known = percent[inside(rings, codes.shape) & (percent != 255)].astype(int)
        assert (total, count) == (known.sum(), known.size)


def spiral(size: int) -> NDArray[np.int32]:
    """A region one pixel wide that winds inwards, and the one between its windings."""
    out, at, step = np.zeros((size, size), np.int32), (0, 0), (0, 1)
    while True:
        out[at] = 1
        for _ in range(2):
            r, c = at[0] + step[0], at[1] + step[1]
            far = (r + step[0], c + step[1])
            taken = 0 <= far[0] < size and 0 <= far[1] < size and out[far]
            if 0 <= r < size and 0 <= c < size and not out[r, c] and not taken:
                break
            step = (step[1], -step[0])
        else:
            return out
        at = (r, c)


@pytest.mark.parametrize("rows", [1, 5, 64])
@pytest.mark.parametrize("flip", [slice(None), slice(None, None, -1)])
def test_regions_that_join_late_are_one(rows: int, flip: slice) -> None:
    comb = np.zeros((30, 61), np.int32)
    comb[:, ::2] = 1
    comb[-1] = 1
    for codes in (comb[flip], spiral(41)[flip]):
        check_painted(codes, traced(np.ascontiguousarray(codes), rows))


def test_a_region_that_meets_itself_diagonally_parts_into_simple_rings() -> None:
    codes = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.int32)
    ones = [rings for value, _, rings in rings_of(traced(codes, 1)) if value == 1]
    assert [len(r) for r in ones[0]] == [7, 5, 5]


def test_regions_that_meet_diagonally_stay_apart() -> None:
    found = list(rings_of(traced(np.array([[1, -1], [-1, 1]], np.int32), 1)))
    assert [(value, pixels, len(rings)) for value, pixels, rings in found] == [(1, 1, 1), (1, 1, 1)]


def test_an_empty_raster_has_no_regions() -> None:
    assert traced(np.full((5, 4), -1, np.int32), 2) == []


@pytest.mark.parametrize("rows", [4, 200])
def test_outlines_beyond_the_memory_are_refused_with_a_remedy(rows: int) -> None:
    codes = np.indices((200, 200)).sum(0).astype(np.int32) % 2
    with pytest.raises(ResourceError, match=r"map\.tif: outlines need .* MB .*; allow more memory"):
        traced(codes, rows, limit=1_000_000, where="map.tif")


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_name_the_smallest_node(n: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % n, b % n) for a, b in edges]
    expected = list(range(n))
    for _ in range(n):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    a, b = np.array(edges, np.int64).reshape(-1, 2).T
    assert components(n, a, b).tolist() == expected


@given(st.permutations(range(12)))
def test_cycles_are_written_from_their_smallest_node(following: list[int]) -> None:
    place, heads, sizes = cycles(np.array(following))
    written: list[int] = [-1] * 12
    for node, at in enumerate(place.tolist()):
        written[at] = node
    at = 0
    for head, size in zip(heads.tolist(), sizes.tolist(), strict=True):
        cycle = written[at : at + size]
        assert cycle[0] == head == min(cycle)
        assert [following[c] for c in cycle] == cycle[1:] + cycle[:1]
        at += size
    assert at == 12
