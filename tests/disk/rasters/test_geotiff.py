"""GeoTIFFs that tools make: laid out so that blocks can be written and read one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from swath.core.grid import Grid
from swath.core.windows import grid_windows
from swath.disk.rasters.geotiff import BLOCK, Header, publish_geotiff
from swath.progress import Progress


@pytest.mark.parametrize(("height", "width"), [(64, 5000), (5000, 64), (700, 600), (40, 30), (1, 2000)])
def test_no_block_is_wider_than_what_is_written_at_once(tmp_path: Path, height: int, width: int) -> None:
    values = np.random.default_rng(0).integers(0, 99, (2, height, width), np.uint8)
    header = Header(Grid("EPSG:32618", Affine(1, 0, 5e5, 0, -1, 4e6), height, width), 2, "uint8", 0.0)
    made = publish_geotiff(
        tmp_path / "a.tif", header,
        lambda: ((w, values[:, *w.slices()], None) for w in grid_windows(height, width, 2 * BLOCK, 2 * BLOCK, "keep")),
    )  # fmt: skip
    with rasterio.open(made) as found:
        assert found.read().tobytes() == values.tobytes()
        assert all(w <= BLOCK for _, w in found.block_shapes)


def test_what_follows_the_blocks_is_shown_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    leave = Progress.__exit__

    def left(self: Progress, *given: Any) -> None:
        shown.append(self.line())
        leave(self, *given)

    monkeypatch.setattr(Progress, "__exit__", left)
    header = Header(Grid("EPSG:32618", Affine(1, 0, 5e5, 0, -1, 4e6), 600, 700), 1, "uint8", 0.0)
    blocks = [(w, np.ones((1, *w.shape), np.uint8), None) for w in grid_windows(600, 700, BLOCK, BLOCK, "keep")]
    publish_geotiff(tmp_path / "a.tif", header, lambda: blocks, cog=True, shown=True)
    assert [line.partition(" of ")[0] for line in shown] == ["compare a.tif: 100%", "overviews", "compare a.tif: 100%"]
    assert shown[0].startswith("compare a.tif: 100% of 420,000 pixels")
    publish_geotiff(tmp_path / "b.tif", header, lambda: blocks)
    assert len(shown) == 3
