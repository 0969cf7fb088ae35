"""Geometries burnt into windows of a grid, every window exactly a part of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from swath.core.grid import Grid
from swath.core.windows import Window

_STEPS = 2.0**20  # per pixel: what a vertex is rounded to
_FAR = 2.0**23  # pixels beyond which geometries are cut: GDAL counts pixels in 32 bits
_END = 1e12  # pixels: no vertex lies farther


class OnPixels:
    """Geometries (n,) on the pixels of a grid: x is the column, y the row.

    Vertices stand on multiples of 2^-20 pixels, which stay exact when a window's place is taken from them. So where an
    edge goes through the centre of a pixel, every window burns that pixel, or none does.
    """

    def __init__(self, geometry: NDArray[Any], grid: Grid, *, beyond: int = 0) -> None:
        """`beyond`: pixels around the grid that windows may reach into."""
        inverse = ~grid.transform

        def pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            x, y = xy.T
            moved = np.column_stack([inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f])
            return np.asarray(np.round(np.clip(moved, -_END, _END) * _STEPS) / _STEPS)

        self.geometry: NDArray[Any] = np.asarray(shapely.transform(geometry, pixels), object)
        far = (np.abs(np.nan_to_num(shapely.bounds(self.geometry))) > _FAR).any(1)
        if far.any():
            height, width = grid.shape
            rim = beyond + max(height, width)
            self.geometry[far] = shapely.intersection(self.geometry[far], shapely.box(-rim, -rim, width + rim, height + rim))
        self.tree = shapely.STRtree(self.geometry)

    def burn(self, window: Window, values: NDArray[Any], out: NDArray[Any], *, all_touched: bool = False) -> None:
        """Writes the values (n,) of the geometries on a window into `out` (h, w), later ones over earlier ones."""
        box = shapely.box(window.col, window.row, window.col_end, window.row_end)
        hits = np.sort(self.tree.query(box))
        hits = hits[~shapely.is_empty(self.geometry[hits])]
        if len(hits):
            shapes = zip(geojson(self.geometry[hits]), values[hits].tolist(), strict=True)
            rasterize(shapes, out=out, transform=Affine.translation(window.col, window.row), all_touched=all_touched)


def geojson(geometry: NDArray[Any]) -> list[dict[str, Any]]:
    """The geometries as GeoJSON mappings, as GDAL's rasterizer takes them: those of polygons without holes in one go.

    Asking each polygon for its mapping takes longer than burning it.
    """
    plain = (shapely.get_type_id(geometry) == shapely.GeometryType.POLYGON) & (shapely.get_num_interior_rings(geometry) == 0)
    plain &= ~shapely.is_empty(geometry)
    points = list(zip(*shapely.get_coordinates(geometry[plain]).T.tolist(), strict=True))
    ends = np.cumsum(shapely.get_num_coordinates(geometry[plain])).tolist()
    rings = iter([points[a:b] for a, b in zip([0, *ends], ends, strict=False)])
    return [
        {"type": "Polygon", "coordinates": [next(rings)]} if is_plain else shapely.geometry.mapping(one)
        for one, is_plain in zip(geometry, plain.tolist(), strict=True)
    ]
