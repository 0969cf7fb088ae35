"""Pictures for people: the image, its labels and the prediction side by side, and maps over images, as PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.legend import Legend
from swath.disk.publish import publish

Picture = NDArray[np.uint8]
_GAP = 6
_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("b04", "b03", "b02"))  # the last are Sentinel-2's


def rgb(image: NDArray[Any], valid: NDArray[np.bool_], names: Sequence[str] = ()) -> Picture:
    """(h, w, 3) of raw bands (C, h, w): red, green and blue by name, else the first three, stretched 2 to 98 %."""
    lower = [n.lower() for n in names]
    known = next((k for k in _COLOURS if all(c in lower for c in k)), ())
    pick = [lower.index(c) for c in known] or ([0, 1, 2] if len(image) >= 3 else [0, 0, 0])
    out = np.zeros((*image.shape[1:], 3), np.uint8)
    for channel, band in enumerate(pick):
        values = image[band].astype(np.float32)
        seen = values[valid]
        if seen.size == 0:
            continue
        low, high = np.percentile(seen[:: max(1, seen.size // 200_000)], [2, 98])
        scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
        out[..., channel] = np.where(valid, scaled * 255, 0).astype(np.uint8)
    return out


def coloured(indices: NDArray[Any], legend: Legend) -> Picture:
    """(h, w, 3) of class indices in the legend's colours; ignored pixels are mid grey."""
    table = np.full((legend.ignore + 1, 3), 128, np.uint8)
    table[: len(legend)] = [c.rgb for c in legend.classes]
    return table[indices]


def overlay(picture: Picture, indices: NDArray[Any], legend: Legend, strength: float = 0.45) -> Picture:
    """The picture with all classes but the background tinted in their colours."""
    tint = coloured(indices, legend)
    drawn = (indices != legend.ignore) & (indices != (legend.background if legend.background is not None else -1))
    mixed = picture * (1 - strength) + tint * strength
    return np.where(drawn[..., None], mixed, picture).astype(np.uint8)


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Pictures of equal height with white gaps."""
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [p for picture in pictures for p in (picture, gap)][:-1]
    return np.concatenate(parts, axis=1)


def stacked(rows: Sequence[Picture]) -> Picture:
    """Pictures one above the other with white gaps; narrower ones are filled up with white."""
    width = max(r.shape[1] for r in rows)
    out = []
    for row in rows:
        out.append(np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255))
        out.append(np.full((_GAP, width, 3), 255, np.uint8))
    return np.concatenate(out[:-1], axis=0)


def publish_png(path: Path, picture: Picture) -> Path:
    """The published PNG of a picture (h, w, 3); written without GDAL, so that a training draws where there is none."""
    return publish(path, lambda part: part.write_bytes(png_bytes(picture)))


def png_bytes(picture: Picture) -> bytes:
    """The PNG file of a picture (h, w, 3) of 8-bit RGB: each pixel as the difference from its left neighbour (filter 1)."""
    height, width, _ = picture.shape
    rows = np.ones((height, 1 + 3 * width), np.uint8)
    rows[:, 1:4] = picture[:, 0]
    rows[:, 4:] = (picture[:, 1:] - picture[:, :-1]).reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
