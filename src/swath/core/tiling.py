"""How large a tile may be: what one takes while a network works on it."""

from __future__ import annotations

ACTIVATION_BYTES = 600  # per pixel of a tile: about two float32 layers of 64 channels at full resolution, measured
SMALLEST = 64  # pixels: below it, margins are nearly all of the work


def largest_core(memory: int, batch_size: int, margin: int, stride: int) -> int:
    """The largest core side in pixels, a multiple of `stride`, whose tiles with their margins fit into `memory` bytes."""
    side = int((memory / ACTIVATION_BYTES / batch_size) ** 0.5) - 2 * margin
    return max(stride, max(side, SMALLEST) // stride * stride)
