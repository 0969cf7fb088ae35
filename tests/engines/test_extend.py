"""The raster extended to the stride is one fixed array, whatever part of it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from swath.core.windows import Window
from swath.disk.rasters.raster import RasterReader
from swath.engines.extend import extended_shape, mirrored, read_extended

MakeRaster = Callable[..., Path]


@pytest.mark.parametrize(("shape", "stride", "expected"), [((3, 2), 4, (4, 4)), ((8, 9), 4, (8, 12)), ((5, 7), 1, (5, 7))])
def test_sides_are_rounded_up(shape: tuple[int, int], stride: int, expected: tuple[int, int]) -> None:
    assert extended_shape(*shape, stride) == expected


def test_positions_beyond_the_end_are_mirrored_back_and_forth() -> None:
    assert mirrored(0, 4, 4).tolist() == [0, 1, 2, 3]
    assert mirrored(2, 7, 4).tolist() == [2, 3, 3, 2, 1]
    assert mirrored(0, 9, 2).tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert mirrored(5, 8, 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(13, 10), (3, 2), (1, 1)])
def test_every_window_is_a_part_of_the_same_extended_raster(make_raster: MakeRaster, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(1, 200, (2, *shape)).astype(np.uint8)
    array[:, -1, 0] = 0
    reader = RasterReader(make_raster("a.tif", array, nodata=0))
    tall, wide = extended_shape(*shape, 16)
    whole = np.pad(array, ((0, 0), (0, tall - shape[0]), (0, wide - shape[1])), mode="symmetric")
    for _ in range(40):
        rows, cols = np.sort(rng.integers(0, tall + 1, 2)), np.sort(rng.integers(0, wide + 1, 2))
        window = Window.span(int(rows[0]), int(cols[0]), int(rows[1]), int(cols[1]))
        if window.area == 0:
            continue
        raw, valid = read_extended(reader, window)
        part = whole[:, window.row : window.row_end, window.col : window.col_end]
        assert np.array_equal(raw, part)
        assert np.array_equal(valid, (part != 0).any(0))
        assert raw.flags.c_contiguous
