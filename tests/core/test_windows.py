"""Windows cover what they promise, tiles partition the raster, and reads keep the network's pooling phase."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.windows import Tile, Window, grid_windows, margin_tiles, starts, strips, up

lengths, sizes = st.integers(1, 90), st.integers(1, 40)
boxes = st.builds(Window, st.integers(-20, 60), st.integers(-20, 60), st.integers(0, 40), st.integers(0, 40))


def painted(height: int, width: int, windows: list[Window]) -> np.ndarray:
    """How often each pixel of a raster lies in a window."""
    counts = np.zeros((height, width), int)
    for window in windows:
        counts[window.clip(height, width).slices()] += 1
    return counts


@given(boxes, boxes)
def test_the_common_part_holds_exactly_the_pixels_of_both(a: Window, b: Window) -> None:
    frame = Window(-20, -20, 120, 120)
    one, two, both = (np.zeros(frame.shape, bool) for _ in range(3))
    one[a.slices(frame)] = True
    two[b.slices(frame)] = True
    both[(a & b).slices(frame)] = True
    assert np.array_equal(both, one & two)
    assert (a & b).area == (one & two).sum()


@given(boxes, boxes)
def test_contains_agrees_with_the_pixels(a: Window, b: Window) -> None:
    if b.area:
        assert a.contains(b) == ((a & b).area == b.area)


@given(boxes, st.integers(0, 9))
def test_padding_grows_every_side_and_shrinks_back(window: Window, pixels: int) -> None:
    grown = window.pad(pixels)
    assert grown.shape == (window.height + 2 * pixels, window.width + 2 * pixels)
    assert grown.contains(window)
    assert grown.pad(-pixels) == window


def test_ends_shape_and_area_are_half_open() -> None:
    window = Window(2, 3, 4, 5)
    assert (window.row_end, window.col_end, window.shape, window.area) == (6, 8, (4, 5), 20)
    assert Window.span(2, 3, 6, 8) == window
    assert Window.span(5, 5, 3, 9) == Window(5, 5, 0, 4)
    assert window.slices(Window(1, 1, 0, 0)) == (slice(1, 5), slice(2, 7))


@given(lengths, sizes, st.data())
def test_starts_cover_the_axis(length: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    for edge in ("shift", "pad", "keep"):
        first = starts(length, size, stride, edge)
        assert set(range(length)) <= {p for s in first for p in range(s, s + size)}
        assert first == sorted(set(first))
        assert all(s < length for s in first)
    if length >= size:
        assert all(0 <= s <= length - size for s in starts(length, size, stride, "shift"))


@given(lengths, sizes, st.data())
def test_grid_edges_begin_on_the_stride_and_drop_stays_inside(length: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, 50))
    dropped = starts(length, size, stride, "drop")
    assert all(s % stride == 0 and s + size <= length for s in dropped)
    assert len(dropped) == (0 if length < size else (length - size) // stride + 1)
    for edge in ("pad", "keep"):
        assert all(s % stride == 0 for s in starts(length, size, stride, edge))
    assert [s for s in starts(length, size, stride, "shift") if s % stride] in ([], [length - size])


def test_an_empty_axis_has_no_window() -> None:
    assert starts(0, 8, 8, "shift") == []
    assert starts(8, 8, 8, "drop") == [0]
    assert starts(7, 8, 8, "drop") == []
    assert starts(7, 8, 8, "pad") == [0]


@given(lengths, lengths, sizes, st.data())
def test_grid_windows_cover_every_pixel(height: int, width: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    for edge in ("shift", "pad", "keep"):
        windows = grid_windows(height, width, size, stride, edge)
        assert (painted(height, width, windows) > 0).all()
        assert windows == sorted(windows)
        if edge != "keep":
            assert all(w.shape == (size, size) for w in windows)
    frame = Window(0, 0, height, width)
    assert all(frame.contains(w) for w in grid_windows(height, width, size, stride, "keep"))
    assert all(frame.contains(w) for w in grid_windows(height, width, size, stride, "drop"))
    if min(height, width) >= size:
        assert all(frame.contains(w) for w in grid_windows(height, width, size, stride, "shift"))


@given(lengths, lengths, sizes)
def test_keep_without_overlap_partitions_the_raster(height: int, width: int, size: int) -> None:
    assert (painted(height, width, grid_windows(height, width, size, size, "keep")) == 1).all()


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int, tuple[int, int], int, int]:
    """(height, width, core, margin, stride) with a raster extended to the stride."""
    stride = draw(st.sampled_from([1, 2, 4, 8]))
    height, width = (stride * draw(st.integers(1, 60 // stride)) for _ in range(2))
    core = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return height, width, core, draw(st.integers(0, 24)), stride


@given(tilings())
def test_margin_tiles_partition_read_around_and_keep_phase(
    tiling: tuple[int, int, tuple[int, int], int, int],
) -> None:
    height, width, core, margin, stride = tiling
    frame = Window(0, 0, height, width)
    tiles = list(margin_tiles(height, width, core, margin, stride))
    assert (painted(height, width, [t.core for t in tiles]) == 1).all()
    assert [t.core for t in tiles] == sorted(t.core for t in tiles)
    for tile in tiles:
        assert frame.contains(tile.read)
        assert tile.read.contains(tile.core)
        ends = ((tile.read.row, tile.read.row_end, height), (tile.read.col, tile.read.col_end, width))
        for start, stop, length in ends:
            assert start % stride == 0
            assert stop % stride == 0 or stop == length
        assert tile.read.contains(tile.core.pad(margin).clip(height, width))
        assert tile.core.height <= up(core[0], stride)
        assert tile.core.width <= up(core[1], stride)


@given(tilings())
def test_core_in_read_cuts_the_core_out_of_the_read(tiling: tuple[int, int, tuple[int, int], int, int]) -> None:
    height, width, core, margin, stride = tiling
    picture = np.arange(height * width).reshape(height, width)
    for tile in margin_tiles(height, width, core, margin, stride):
        assert np.array_equal(picture[tile.read.slices()][tile.core_in_read], picture[tile.core.slices()])


def test_one_core_size_stands_for_both_sides() -> None:
    assert list(margin_tiles(10, 12, 5, 1)) == list(margin_tiles(10, 12, (5, 5), 1))
    assert list(margin_tiles(4, 4, 8, 3)) == [Tile(Window(0, 0, 4, 4), Window(0, 0, 4, 4))]


@given(st.integers(0, 500), st.integers(1, 64))
def test_up_is_the_next_multiple(pixels: int, stride: int) -> None:
    assert up(pixels, stride) % stride == 0
    assert 0 <= up(pixels, stride) - pixels < stride


@given(st.integers(0, 200), st.integers(1, 70))
def test_strips_partition_the_rows(height: int, rows: int) -> None:
    found = list(strips(height, rows))
    assert [r for a, b in found for r in range(a, b)] == list(range(height))
    assert all(0 < b - a <= rows for a, b in found)


def test_windows_are_hashable_values() -> None:
    assert {Window(0, 0, 1, 1), Window(0, 0, 1, 1)} == {Window(0, 0, 1, 1)}
    with pytest.raises(AttributeError):
        Window(0, 0, 1, 1).row = 3  # type: ignore[misc]
