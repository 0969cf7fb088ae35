"""What a sample is: named arrays of a window, the place where it lies, and random access to many of them.

Only NumPy is needed: a store is read by these on a machine without GDAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.core.legend import Legend
from swath.core.samplers import Population
from swath.core.splits import Split
from swath.core.windows import Window

if TYPE_CHECKING:
    from swath.disk.stores.schema import Schema


@dataclass(frozen=True)
class Sample:
    """Named arrays of a window: raw `image` (C, h, w), class indices `labels` (h, w), `valid` (h, w) bool."""

    image: NDArray[Any]
    labels: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Mark:
    """The point that a sample lies around: its `id`, class index `label` (`ignore`: none) and pixel.

    `sparse`: its pixel is the sample's only label. `taken`: windows whose labels count in earlier samples.
    """

    id: int
    label: int
    row: int
    col: int
    sparse: bool
    taken: tuple[Window, ...] = ()

    def apply(self, labels: NDArray[Any], window: Window, ignore: int) -> None:
        """Leaves of `labels` (h, w) of a window what counts in this sample."""
        for box in self.taken:
            labels[(box & window).slices(window)] = ignore
        if self.sparse:
            labels[:] = ignore
            if window.contains(Window(self.row, self.col, 1, 1)):
                labels[self.row - window.row, self.col - window.col] = self.label


@dataclass(frozen=True)
class Place:
    """Where a sample lies: scene number, split, the pixels read, the core whose labels count, the point it is around."""

    scene: int
    split: Split
    read: Window
    core: Window
    point: Mark | None = None

    def after(self, earlier: Sequence[Window]) -> Place:
        """The place with the windows of earlier samples whose labels count there."""
        return self if self.point is None else replace(self, point=replace(self.point, taken=tuple(earlier)))


class Samples(Protocol):
    """Random access to samples: a store, or rasters.

    `counts` are the label pixels per sample and class, int64 (n, C). `direct`: they come from rasters that are too large to
    be kept, so that neighbours had better be drawn together. `instant`: reading one is no more than a copy.
    """

    places: Sequence[Place]
    scene_names: Sequence[str]
    schema: Schema
    counts: NDArray[np.int64]
    direct: bool = False
    instant: bool = False

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it (relative to the sample's first pixel)."""
        ...

    def read_into(self, index: int, part: Window, out: Sample) -> None:
        """Copies a window of a sample into the arrays of `out`, which have its shape."""
        self._copy(self.read(index, part), None, out)

    def _copy(self, sample: Sample, part: Window | None, out: Sample) -> None:
        found = cut(sample, part)
        np.copyto(out.image, found.image, casting="same_kind")
        np.copyto(out.labels, found.labels)
        np.copyto(out.valid, found.valid)

    def population(self, crop: int) -> Population:
        """What samplers draw from, where crops of `crop` pixels are trained on."""
        return Population(self.counts)

    def expect(self, indices: NDArray[np.int64]) -> None:
        """Is told which samples are wanted soon, in their order, where neighbours are drawn together."""
        return

    def release(self) -> None:
        """Ends what goes on behind: after it no thread stays."""
        return


def cut(sample: Sample, part: Window | None) -> Sample:
    """A window of a sample, as views."""
    if part is None:
        return sample
    rows, cols = part.slices()
    return Sample(sample.image[:, rows, cols], sample.labels[rows, cols], sample.valid[rows, cols])


def class_counts(labels: NDArray[Any], legend: Legend) -> NDArray[np.int64]:
    """Labelled pixels per class index, int64 (C,), of an array of indices."""
    if len(legend) <= 8:  # comparing a few times is several times faster than counting all values at once
        return np.array([np.count_nonzero(labels == i) for i in range(len(legend))], np.int64)
    return np.bincount(labels.ravel(), minlength=legend.ignore + 1)[: len(legend)].astype(np.int64)
