"""Where pixels are: CRS, affine transform, height and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affine import Affine

from swath.core.windows import Window

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """A raster's place on earth.

    `crs` is the full definition as WKT (None: no georeference), `transform` maps (column, row) of pixel corners to
    CRS units, `height` and `width` are pixels. A raster without georeference has the identity transform.
    """

    crs: str | None
    transform: Affine
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def bounds(self) -> Bounds:
        """(left, bottom, right, top): the axis-aligned box around the four corners, in CRS units."""
        corners = [self.transform @ (c, r) for c in (0, self.width) for r in (0, self.height)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(width, height) of a pixel in CRS units, both positive, also for rotated grids."""
        t = self.transform
        return (t.a**2 + t.d**2) ** 0.5, (t.b**2 + t.e**2) ** 0.5

    @property
    def georeferenced(self) -> bool:
        """True where the grid has a CRS."""
        return self.crs is not None

    def window(self, window: Window) -> Grid:
        """The grid of a window of this grid; the window may reach beyond the edge."""
        shifted = self.transform @ Affine.translation(window.col, window.row)
        return Grid(self.crs, shifted, window.height, window.width)

    def window_of(self, bounds: Bounds) -> Window:
        """The smallest window that covers `bounds` (CRS units), clipped to the grid; may be empty."""
        left, bottom, right, top = bounds
        inverse = ~self.transform
        points = [inverse @ (x, y) for x in (left, right) for y in (bottom, top)]
        cols, rows = [c for c, _ in points], [r for _, r in points]
        return Window.span(_floor(min(rows)), _floor(min(cols)), _ceil(max(rows)), _ceil(max(cols))).clip(*self.shape)

    def as_dict(self) -> dict[str, Any]:
        """The grid as plain JSON values."""
        return {"crs": self.crs, "transform": list(self.transform)[:6], "height": self.height, "width": self.width}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Grid:
        """The inverse of `as_dict`."""
        return cls(value["crs"], Affine(*value["transform"]), int(value["height"]), int(value["width"]))


def _floor(x: float) -> int:
    return int(x // 1) if abs(x - round(x)) > 1e-6 else round(x)


def _ceil(x: float) -> int:
    return -int(-x // 1) if abs(x - round(x)) > 1e-6 else round(x)
