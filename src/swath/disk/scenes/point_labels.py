"""Labels that are points: the pixel that holds a point has its class, every other pixel is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.windows import Window
from swath.disk.scenes.manifest import Scene
from swath.disk.vectors.points import read_points


class PointLabels:
    """Sparse labels of a scene: points without class or beyond the image do not count; the last of a pixel wins."""

    def __init__(self, scene: Scene, path: Path, grid: Grid, legend: Legend, layer: str | None = None) -> None:
        self.grid, self.legend = grid, legend
        points = read_points(path, legend, layer=layer, field=legend.field or scene.field)
        numbers, rows, cols = points.on_grid(grid, scene.name)
        inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
        keep = inside & (points.indices[numbers] != legend.ignore)
        order = np.argsort(rows[keep], kind="stable")
        self.rows, self.cols, self.indices = rows[keep][order], cols[keep][order], points.indices[numbers][keep][order]

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        out = np.full(window.shape, self.legend.ignore, self.legend.index_dtype)
        low, high = np.searchsorted(self.rows, [window.row, window.row_end])
        rows, cols, indices = self.rows[low:high], self.cols[low:high], self.indices[low:high]
        near = (cols >= window.col) & (cols < window.col_end)
        out[rows[near] - window.row, cols[near] - window.col] = indices[near]
        return out
