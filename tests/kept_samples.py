"""Samples held in memory, for tests of what trains on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from swath.core.windows import Window
from swath.disk.sample import Place, Sample, cut
from swath.nets.batches import Batches


@dataclass
class Kept:
    """Samples held in memory."""

    samples: list[Sample]
    scene_names: Sequence[str] = ("a", "b")
    places: Sequence[Place] = field(init=False)

    def __post_init__(self) -> None:
        side = self.samples[0].labels.shape[0]
        box = Window(0, 0, side, side)
        self.places = [Place(i % 2, "trn", box, box) for i in range(len(self.samples))]

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
