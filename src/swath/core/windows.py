"""Pixel boxes and how a raster is cut into them. All intervals are half-open: [start, start + length)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Edge = Literal["shift", "pad", "drop", "keep"]


@dataclass(frozen=True, order=True)
class Window:
    """A pixel box: rows [row, row + height), columns [col, col + width). May reach beyond its raster."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def span(cls, row: int, col: int, row_end: int, col_end: int) -> Window:
        """The window between two corners; empty (not negative) where the end lies before the start."""
        return cls(row, col, max(0, row_end - row), max(0, col_end - col))

    @property
    def row_end(self) -> int:
        """The first row after the window."""
        return self.row + self.height

    @property
    def col_end(self) -> int:
        """The first column after the window."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def __and__(self, other: Window) -> Window:
        """The common part; empty where there is none."""
        return Window.span(
            max(self.row, other.row), max(self.col, other.col),
            min(self.row_end, other.row_end), min(self.col_end, other.col_end),
        )  # fmt: skip

    def pad(self, pixels: int) -> Window:
        """The window grown by `pixels` on each side."""
        return Window(self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def clip(self, height: int, width: int) -> Window:
        """The part inside a raster of (height, width)."""
        return self & Window(0, 0, height, width)

    def contains(self, other: Window) -> bool:
        """True where every pixel of `other` is inside."""
        return (self & other) == other

    def slices(self, within: Window | None = None) -> tuple[slice, slice]:
        """(row slice, column slice) that cut this window out of an array that holds `within` (default: from 0, 0)."""
        row, col = (within.row, within.col) if within else (0, 0)
        return slice(self.row - row, self.row_end - row), slice(self.col - col, self.col_end - col)


@dataclass(frozen=True)
class Tile:
    """A unit of work: pixels to `read` (with margin) and the `core` it answers for; core lies inside read."""

    read: Window
    core: Window

    @property
    def core_in_read(self) -> tuple[slice, slice]:
        """Slices that cut the core out of an array holding the read window."""
        return self.core.slices(self.read)


def starts(length: int, size: int, stride: int, edge: Edge) -> list[int]:
    """The first pixels of windows of `size` along one axis.

    shift: the last window slides back inside; pad and keep: it begins on the grid and reaches beyond the edge (keep:
    the caller cuts it); drop: only whole windows. With a stride above `size` pixels between windows are left out, also
    the last ones where the next window would begin beyond the edge. An axis shorter than `size` has one window (none with drop).
    """
    if length <= 0:
        return []
    if length <= size:
        return [] if edge == "drop" and length < size else [0]
    last = length - size
    steps = list(range(0, last + 1, stride))
    if steps[-1] == last or edge == "drop":
        return steps
    if edge == "shift":
        return [*steps, last]
    return [*steps, steps[-1] + stride] if steps[-1] + stride < length else steps


def grid_windows(height: int, width: int, size: int, stride: int, edge: Edge = "shift") -> list[Window]:
    """Windows of `size` every `stride` pixels, row by row, covering the raster (but for `drop`).

    With `keep` windows are cut at the edge; with the others all have (size, size), and those of a raster smaller than
    `size` reach beyond it.
    """
    boxes = [
        Window(r, c, size, size) for r in starts(height, size, stride, edge) for c in starts(width, size, stride, edge)
    ]
    return [b.clip(height, width) for b in boxes] if edge == "keep" else boxes


def margin_tiles(height: int, width: int, core: int | tuple[int, int], margin: int, stride: int = 1) -> Iterator[Tile]:
    """Tiles whose cores partition the raster row by row and whose reads carry `margin` more pixels.

    (height, width) is the raster extended to multiples of `stride`; cores and reads begin and end on multiples of
    `stride`, so every tile sees the same pooling phase as the whole image. Reads are cut at the raster's edge: there
    the network's own padding acts, as it does for the whole image.
    """
    tall, wide = (core, core) if isinstance(core, int) else core
    tall, wide, margin = up(tall, stride), up(wide, stride), up(margin, stride)
    for row in range(0, height, tall):
        for col in range(0, width, wide):
            box = Window(row, col, tall, wide).clip(height, width)
            yield Tile(read=box.pad(margin).clip(height, width), core=box)


def up(pixels: int, stride: int) -> int:
    """The smallest multiple of `stride` that is at least `pixels`."""
    return -(-pixels // stride) * stride


def strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive strips of at most `rows` rows."""
    for start in range(0, height, rows):
        yield start, min(start + rows, height)
