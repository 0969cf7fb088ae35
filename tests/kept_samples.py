"""Samples held in memory, for tests of what trains on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.legend import ClassEntry, Legend
from swath.core.windows import Window
from swath.disk.stores.sample import Place, Sample, Samples, class_counts, cut
from swath.disk.stores.schema import Schema
from swath.nets.batches import Batches

LEGEND = Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000")))


@dataclass
class Kept(Samples):
    """Samples held in memory."""

    samples: list[Sample]
    scene_names: Sequence[str] = ("a", "b")
    places: Sequence[Place] = field(init=False)

    def __post_init__(self) -> None:
        image, labels = self.samples[0].image, self.samples[0].labels
        side = labels.shape[0]
        self.schema = Schema(len(image), image.dtype.name, side, labels.dtype.name, 2)
        box = Window(0, 0, side, side)
        self.places = [Place(i % 2, "trn", box, box) for i in range(len(self.samples))]

    @property
    def counts(self) -> NDArray[np.int64]:  # type: ignore[override]
        """Label pixels per sample and class, of the samples as they are now."""
        return np.array([class_counts(s.labels, LEGEND) for s in self.samples])

    def read(self, index: int, part: Window | None = None) -> Sample:
        return cut(self.samples[index], part)


def kept(count: int = 10, side: int = 24, classes: int = 2) -> Kept:
    """Samples whose first band is their number everywhere."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        image = rng.integers(0, 4000, (3, side, side)).astype(np.uint16)
        image[0] = i
        made.append(Sample(image, rng.integers(0, classes, (side, side)).astype(np.uint8), np.ones((side, side), bool)))
    return Kept(made)


def batches(samples: Kept, **settings: Any) -> Batches:
    return Batches(samples, **{"crop": 16, "batch_size": 4, "seed": 1, "ignore": 255, "stride": 4, **settings})
