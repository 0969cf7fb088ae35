"""Bands that no raster holds: burnt vectors and distances to them, numbers of a scene, rows and columns.

Every plane is a pure function of the grid and the window, so that a map made in tiles has no seams.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.errors import DataError, did_you_mean
from swath.core.grid import Grid
from swath.core.threads import OwnLock
from swath.core.windows import Window
from swath.disk.sources.stack import Constant, Position, Shapes
from swath.disk.vectors import vector
from swath.disk.vectors.burning import OnPixels


class ShapePlanes:
    """Bands of a vector file: 1 and 0, or the signed distance in pixels to the features.

    Distances follow geo-deep-learning: features are widened by one pixel on every side; outside, the distance to
    the next pixel of a feature; inside, minus the distance to the next pixel outside. Both end at `limit`, which keeps
    them the same whatever window is read.
    """

    plain = True

    def __init__(self, part: Shapes, grid: Grid) -> None:
        self.part, self.grid = part, grid
        if part.field is not None:
            known = vector.vector_info(part.file, part.layer).fields
            if part.field not in known:
                raise DataError("field-missing", part.file, f"has no field '{part.field}'; it has {', '.join(known) or 'none'}",
                                did_you_mean(part.field, known))  # fmt: skip
        else:
            vector.vector_info(part.file, part.layer)
        self.names = tuple(f"{part.source}:{i}" for i in part.ids) if part.ids else (part.source,)
        plain = part.encode == "binary" and part.scale == 1.0
        self.dtypes = ("uint8" if plain else "float32",) * len(self.names)
        self.nodata: tuple[float | None, ...] = (None,) * len(self.names)
        self._lock = OwnLock()

    @cached_property
    def _layers(self) -> list[OnPixels]:
        """The geometries of each band."""
        reach = self.part.limit + 2 if self.part.encode == "distance" else 0
        height, width = self.grid.shape
        around = self.grid.window(Window(-reach, -reach, height + 2 * reach, width + 2 * reach))
        found = vector.features_on_grid(self.part.file, around, layer=self.part.layer, field=self.part.field)
        keep = ~vector.nowhere(found.geometry)
        geometry = found.geometry[keep]
        geometry = np.where(shapely.is_valid(geometry), geometry, shapely.make_valid(geometry))
        if not self.part.ids:
            return [OnPixels(geometry, self.grid, beyond=reach)]
        assert found.values is not None
        values = found.values[keep].tolist()
        chosen = [geometry[[_same(v, wanted) for v in values]] for wanted in self.part.ids]
        return [OnPixels(g, self.grid, beyond=reach) for g in chosen]

    def read(self, window: Window, bands: Sequence[int]) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
        """The wanted bands (0-based) of a window, each (h, w), and where they hold data: everywhere."""
        with self._lock:
            layers = self._layers
        return [self._band(window, layers[b]) for b in bands], np.ones(window.shape, bool)

    def _band(self, window: Window, shapes: OnPixels) -> NDArray[Any]:
        part = self.part
        if part.encode == "binary":
            burnt = self._burn(window, shapes)
            return burnt if part.scale == 1.0 else burnt * np.float32(part.scale)
        pad = part.limit + 1
        burnt = self._burn(window.pad(pad), shapes)
        distance = signed_distance(burnt > 0, part.limit)[pad:-pad, pad:-pad].astype(np.float64)
        if part.log:
            distance = np.sign(distance) * np.log1p(np.abs(distance))
        return np.asarray(distance * part.scale, np.float32)

    def _burn(self, window: Window, shapes: OnPixels) -> NDArray[np.uint8]:
        burnt = np.zeros(window.shape, np.uint8)
        shapes.burn(window, np.ones(len(shapes.geometry), np.uint8), burnt)
        return burnt


def signed_distance(shape: NDArray[np.bool_], limit: int) -> NDArray[np.float32]:
    """float32 (h, w), pixels, positive outside of the shape widened by one pixel, negative inside, within ±limit."""
    from scipy.ndimage import binary_dilation, distance_transform_edt

    wide = binary_dilation(shape, np.ones((3, 3), bool))
    out = np.full(shape.shape, limit, np.float32)
    if wide.any():
        outside = np.minimum(distance_transform_edt(~wide), limit)
        inside = np.minimum(distance_transform_edt(wide), limit) if not wide.all() else float(limit)
        out = np.where(wide, -np.asarray(inside, np.float32), outside).astype(np.float32)
    return out


def _same(value: Any, wanted: int | str) -> bool:
    """True where a field's value is the wanted id, written as a number or as text."""
    if value is None or value != value:
        return False
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() == str(wanted).strip()


class ConstantPlane:
    """A plane of one number."""

    plain = True

    def __init__(self, part: Constant) -> None:
        self.names: tuple[str, ...] = (part.source,)
        self.dtypes: tuple[str, ...] = ("float32",)
        self.nodata: tuple[float | None, ...] = (None,)
        self.value = np.float32(part.value)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
        """The plane, and where it holds data: everywhere."""
        return [np.full(window.shape, self.value) for _ in bands], np.ones(window.shape, bool)


class PositionPlanes:
    """Row and column of each pixel of the scene, and with `radius` the distance to its centre.

    `centered` subtracts the centre, `normalized` divides by (size - 1), so that both run from -0.5 to 0.5 across the
    scene; `scale` multiplies (the coordinate channels of CoordConv, Liu et al. 2018).
    """

    plain = True

    def __init__(self, part: Position, grid: Grid) -> None:
        self.part, self.grid = part, grid
        names = ("row", "column", "radius")[: 2 + part.radius]
        self.names = tuple(f"{part.source}:{n}" for n in names)
        self.dtypes = ("float32",) * len(names)
        self.nodata: tuple[float | None, ...] = (None,) * len(names)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
        """The wanted planes (0-based), and where they hold data: everywhere."""
        rows = self._axis(window.row, window.height, self.grid.height)
        cols = self._axis(window.col, window.width, self.grid.width)
        row = np.broadcast_to(rows[:, None], window.shape)
        col = np.broadcast_to(cols[None], window.shape)
        planes = [row, col] + ([np.hypot(*self._central(window))] if self.part.radius else [])
        scale = self.part.scale
        return [np.asarray(planes[b] * scale, np.float32) for b in bands], np.ones(window.shape, bool)

    def _axis(self, first: int, count: int, size: int, *, centred: bool | None = None) -> NDArray[np.float64]:
        at = np.arange(first, first + count, dtype=np.float64)
        if self.part.centered if centred is None else centred:
            at -= (size - 1) / 2
        return at / max(size - 1, 1) if self.part.normalized else at

    def _central(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = self._axis(window.row, window.height, self.grid.height, centred=True)
        return rows[:, None], self._axis(window.col, window.width, self.grid.width, centred=True)[None]
