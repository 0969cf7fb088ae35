"""What a sample is: named arrays of a window, the place where it lies, and random access to many of them.

Only NumPy is needed: a store is read by these on a machine without GDAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.core.legend import Legend
from swath.core.splits import Split
from swath.core.windows import Window


@dataclass(frozen=True)
class Sample:
    """Named arrays of a window: raw `image` (C, h, w), class indices `labels` (h, w), `valid` (h, w) bool."""

    image: NDArray[Any]
    labels: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Where a sample lies: scene number, split, the pixels read and the core whose labels count."""

    scene: int
    split: Split
    read: Window
    core: Window


class Samples(Protocol):
    """Random access to samples: a store, or rasters."""

    places: Sequence[Place]
    scene_names: Sequence[str]

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it (relative to the sample's first pixel)."""
        ...


def cut(sample: Sample, part: Window | None) -> Sample:
    """A window of a sample, as views."""
    if part is None:
        return sample
    rows, cols = part.slices()
    return Sample(sample.image[:, rows, cols], sample.labels[rows, cols], sample.valid[rows, cols])


def class_counts(labels: NDArray[Any], legend: Legend) -> NDArray[np.int64]:
    """Labelled pixels per class index, int64 (C,), of an array of indices."""
    return np.bincount(labels.ravel(), minlength=legend.ignore + 1)[: len(legend)].astype(np.int64)
