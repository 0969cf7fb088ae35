"""Pictures for people: the image, its labels and the prediction side by side, and maps over images, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
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
    """The published PNG of a picture (h, w, 3)."""

    def write(part: Path) -> None:
        height, width, _ = picture.shape
        with rasterio.open(part, "w", driver="PNG", height=height, width=width, count=3, dtype="uint8") as out:
            out.write(np.moveaxis(picture, 2, 0))
        Path(f"{part}.aux.xml").unlink(missing_ok=True)

    return publish(path, write)
