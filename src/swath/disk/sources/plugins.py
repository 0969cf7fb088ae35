"""A user's own readers as parts of a stack, with what they give checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.registry import called, lookup
from swath.core.threads import OwnLock
from swath.core.windows import Window
from swath.disk.rasters.crs import on_grid
from swath.disk.sources.parts import Planes, size_text
from swath.disk.sources.stack import Plugin


class PluginReader:
    """A user's own reader behind `module:function`.

    The function is called with the location of the manifest (or None) and the options; it returns an object with
    `names` or `count`, `dtype`, `read(window)` giving pixels (C, h, w) or (pixels, valid), and `grid` where it is the
    reference image (else it is read on the reference grid).
    """

    plain = False
    block = (256, 256)

    def __init__(self, part: Plugin, grid: Grid | None) -> None:
        function = lookup({}, part.function, "reader")
        self.own = called("reader", part.function, function, part.location, **dict(part.options))
        if not callable(getattr(self.own, "read", None)):
            raise DataError("reader-read", part.function, f"gives {type(self.own).__name__}, which has no read(window)",
                            "return an object with read, dtype, and names or count")  # fmt: skip
        found = getattr(self.own, "grid", None)
        if grid is None and not isinstance(found, Grid):
            raise DataError("source-reference", part.function, "its reader has no `grid`, and it is the reference image",
                            "give it the attribute `grid`, a swath.Grid")  # fmt: skip
        if grid is not None and found is not None and not on_grid(found, grid):
            raise DataError("source-grid", part.function, f"its reader is {size_text(found)}, the image {size_text(grid)}",
                            "let it read on the image's grid")  # fmt: skip
        self.function = part.function
        self.grid: Grid = grid or found  # type: ignore[assignment]
        count = getattr(self.own, "count", None)
        names = tuple(getattr(self.own, "names", None) or (f"b{i}" for i in range(1, (count or 1) + 1)))
        if part.source != "image":
            names = (part.source,) if len(names) == 1 else tuple(f"{part.source}:{n}" for n in names)
        self.names = names
        self._lock = OwnLock()  # a user's reader need not know of threads
        self.dtypes = (_dtype_of(self.own, part.function).name,) * len(names)
        self.nodata: tuple[float | None, ...] = (None,) * len(names)

    def read(self, window: Window, bands: Sequence[int]) -> Planes:
        """The wanted bands of a window. Raises DataError where the reader gives another shape."""
        with self._lock:
            given = called("reader", self.function, self.own.read, window)
        pair = isinstance(given, tuple) and len(given) == 2
        pixels, valid = given if pair else (given, None)
        pixels, good = np.asarray(pixels), np.ones(window.shape, bool) if valid is None else np.asarray(valid)
        shape = (len(self.names), *window.shape)
        if pixels.shape != shape:
            raise DataError("reader-shape", self.function, f"read gave {pixels.shape} for a window of {window.shape}, "
                            f"{shape} is expected", "return (bands, rows, columns)")  # fmt: skip
        if good.shape != window.shape:
            raise DataError("reader-shape", self.function, f"read gave where there is data as {good.shape} for a window of "
                            f"{window.shape}", "return (rows, columns) of true and false")  # fmt: skip
        if not np.can_cast(pixels.dtype, self.dtypes[0], "same_kind"):
            raise DataError("reader-dtype", self.function, f"read gave {pixels.dtype}, its reader's dtype is {self.dtypes[0]}",
                            "set the attribute `dtype` to what read returns")  # fmt: skip
        good = good.astype(bool)
        if pixels.dtype.kind == "f":
            good = good & np.isfinite(pixels[list(bands)]).all(0)
        return [pixels[b] for b in bands], good


def _dtype_of(own: Any, function: str) -> np.dtype[Any]:
    given = getattr(own, "dtype", "float32")
    try:
        found = np.dtype(given)
    except TypeError as e:
        raise DataError("reader-dtype", function, f"its reader has the dtype {given!r}, no type of NumPy", "such as 'float32'") from e
    if found.kind not in "iuf":
        raise DataError("reader-dtype", function, f"its reader has the dtype {found}, no integers or floats", "such as 'float32'")
    return found
