"""A stitcher gives the picture back from any tiling of it: each row once, in order, from a band of bounded height."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.blend import BLENDS, weights
from swath.core.stitch import Rows, Stitcher
from swath.core.windows import Window, grid_windows, margin_tiles


def picture(height: int, width: int, channels: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(height * 100 + width).normal(size=(channels, height, width)).astype(np.float32)


def seen_by(window: Window, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an identity predictor answers for a window; beyond the raster it answers nonsense."""
    height, width = image.shape[1:]
    out = np.full((len(image), *window.shape), 1e6, np.float32)
    inside = window.clip(height, width)
    rows, cols = inside.slices(window)
    out[:, rows, cols] = image[(slice(None), *inside.slices())]
    return out


def stitched(image: NDArray[np.float32], windows: list[Window], blend: str | None) -> tuple[list[Rows], list[int]]:
    """The rows that come out, and the height of the band after each tile."""
    height, width = image.shape[1:]
    stitcher, out, bands = Stitcher(height, width), [], []
    for n, window in enumerate(windows):
        stitcher.add(window, seen_by(window, image), weights(blend, *window.shape) if blend else None)
        assert stitcher.sums is not None
        bands.append(stitcher.sums.shape[1])
        out += stitcher.finished(windows[n + 1].row if n + 1 < len(windows) else height)
    return out, bands


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int, int, int, str]:
    size = draw(st.integers(1, 24))
    return (
        draw(st.integers(1, 50)), draw(st.integers(1, 50)), size, draw(st.integers(1, size)),
        draw(st.sampled_from(["shift", "pad", "keep"])),
    )  # fmt: skip


@given(tilings(), st.sampled_from([None, *BLENDS]))
def test_an_identity_predictor_gives_the_image_back(tiling: tuple[int, int, int, int, str], blend: str | None) -> None:
    height, width, size, stride, edge = tiling
    image = picture(height, width)
    rows, bands = stitched(image, grid_windows(height, width, size, stride, edge), blend)
    assert [r.start for r in rows] == [0, *[r.stop for r in rows[:-1]]]
    assert rows[-1].stop == height
    assert np.allclose(np.concatenate([r.scores for r in rows], axis=1), image, atol=1e-4)
    assert max(bands) <= size


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 10))
def test_cores_without_overlap_come_out_bit_for_bit(height: int, width: int, core: int, margin: int) -> None:
    image = picture(height, width)
    stitcher, out = Stitcher(height, width), []
    for tile in margin_tiles(height, width, core, margin):
        read = image[(slice(None), *tile.read.slices())]
        stitcher.add(tile.core, read[(slice(None), *tile.core_in_read)])
        if tile.core.col_end == width:
            out += [r.scores for r in stitcher.finished(tile.core.row_end)]
    assert np.array_equal(np.concatenate(out, axis=1), image)


def test_overlapping_tiles_are_averaged_by_their_weights() -> None:
    stitcher = Stitcher(1, 3)
    stitcher.add(Window(0, 0, 1, 2), np.full((1, 1, 2), 1, np.float32), np.array([[1, 3]], np.float32))
    stitcher.add(Window(0, 1, 1, 2), np.full((1, 1, 2), 5, np.float32), np.array([[1, 1]], np.float32))
    (rows,) = stitcher.finished(1)
    assert rows.scores.tolist() == [[[1.0, 2.0, 5.0]]]


def test_rows_that_no_tile_answered_for_are_refused() -> None:
    stitcher = Stitcher(4, 4)
    stitcher.add(Window(0, 0, 2, 3), np.zeros((1, 2, 3), np.float32))
    with pytest.raises(ValueError, match="rows 0 to 2 are not covered"):
        list(stitcher.finished(2))
    with pytest.raises(ValueError, match="not covered"):
        list(stitcher.finished(4))


def test_a_tile_above_the_rows_given_out_is_refused() -> None:
    stitcher = Stitcher(4, 2)
    stitcher.add(Window(0, 0, 2, 2), np.zeros((1, 2, 2), np.float32))
    assert [r.stop for r in stitcher.finished(2)] == [2]
    with pytest.raises(ValueError, match="after rows up to 2 were given out"):
        stitcher.add(Window(1, 0, 2, 2), np.zeros((1, 2, 2), np.float32))


def test_nothing_comes_out_before_it_is_finished_or_twice() -> None:
    stitcher = Stitcher(4, 2)
    assert list(stitcher.finished(4)) == []
    stitcher.add(Window(0, 0, 4, 2), np.ones((1, 4, 2), np.float32))
    assert list(stitcher.finished(0)) == []
    assert [(r.start, r.stop) for r in stitcher.finished(3)] == [(0, 3)]
    assert list(stitcher.finished(3)) == []
    assert [(r.start, r.stop) for r in stitcher.finished(99)] == [(3, 4)]


def test_a_tile_beyond_the_raster_changes_nothing() -> None:
    stitcher = Stitcher(2, 2)
    stitcher.add(Window(2, 0, 2, 2), np.ones((1, 2, 2), np.float32))
    assert stitcher.sums is None
