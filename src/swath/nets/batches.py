"""Training batches whose content is a pure function of (seed, step), read ahead by a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.core.bands import Bands
from swath.core.errors import ConfigError
from swath.core.windows import Window, up
from swath.disk.sample import Sample, Samples


@dataclass(frozen=True)
class Batch:
    """Raw `image` (B, C, h, w) in the file's type, `labels` (B, h, w), `valid` bool (B, h, w), `scenes` (B,)."""

    image: Tensor
    labels: Tensor
    valid: Tensor
    scenes: tuple[int, ...]


@dataclass
class Order:
    """Which sample stands at which position of an endless row: each epoch a new permutation of all samples.

    `class_presence` draws a class uniformly, then a sample that holds it (NIST FC-DenseNet's balance); `presence` is
    bool (samples, classes).
    """

    samples: int
    seed: int
    presence: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        self._epoch = -1
        self._row: NDArray[np.int64] = np.empty(0, np.int64)

    def at(self, position: int) -> int:
        """The sample at a position; epoch e takes positions [e * samples, (e + 1) * samples)."""
        if self.presence is not None:
            return self._balanced(position)
        epoch, place = divmod(position, self.samples)
        if epoch != self._epoch:
            self._row = np.random.default_rng((self.seed, 1, epoch)).permutation(self.samples)
            self._epoch = epoch
        return int(self._row[place])

    def _balanced(self, position: int) -> int:
        assert self.presence is not None
        draw = np.random.default_rng((self.seed, 2, position))
        held = np.flatnonzero(self.presence.any(0))
        return int(draw.choice(np.flatnonzero(self.presence[:, draw.choice(held)])))


class Batches:
    """Batches of random crops. `at(step)` builds one; `ahead(first, last)` reads them ahead in a thread."""

    def __init__(
        self,
        samples: Samples,
        *,
        crop: int,
        batch_size: int,
        seed: int,
        ignore: int,
        stride: int,
        sampler: str = "uniform",
    ) -> None:
        if not samples.places:
            raise ConfigError("samples-none", "train", "there is no training sample", "check splits and filters")
        self.samples, self.batch_size, self.seed, self.ignore = samples, batch_size, seed, ignore
        self.crop, self.side = crop, up(crop, stride)
        presence = class_presence(samples, ignore) if sampler == "class_presence" else None
        self.order = Order(len(samples.places), seed, presence)
        self.waited = 0.0

    @property
    def per_epoch(self) -> float:
        """Steps per epoch."""
        return len(self.samples.places) / self.batch_size

    def at(self, step: int) -> Batch:
        """The batch of a step, the same whenever it is asked for."""
        first = step * self.batch_size
        found = [self._crop(position) for position in range(first, first + self.batch_size)]
        side, count = self.side, len(found)
        dtype = np.result_type(*[sample.image.dtype for _, sample in found])  # scenes may differ
        image = np.zeros((count, found[0][1].image.shape[0], side, side), dtype)
        labels = np.full((count, side, side), self.ignore, found[0][1].labels.dtype)
        valid = np.zeros((count, side, side), bool)
        for i, (_, sample) in enumerate(found):
            h, w = sample.labels.shape
            image[i, :, :h, :w], labels[i, :h, :w], valid[i, :h, :w] = sample.image, sample.labels, sample.valid
        scenes = tuple(scene for scene, _ in found)
        return Batch(torch.from_numpy(image), torch.from_numpy(labels), torch.from_numpy(valid), scenes)

    def ahead(self, first: int, depth: int = 2) -> Generator[Batch, None, None]:
        """Batches from step `first` on, endlessly, `depth` of them read ahead; `waited` sums the seconds of waiting."""
        with ThreadPoolExecutor(1, "swath-batches") as pool:
            queue = [pool.submit(self.at, first + i) for i in range(depth)]
            step = first + depth
            try:
                while True:
                    started = time.monotonic()
                    batch = queue.pop(0).result()
                    self.waited += time.monotonic() - started
                    queue.append(pool.submit(self.at, step))
                    step += 1
                    yield batch
            finally:
                for future in queue:
                    future.cancel()

    def _crop(self, position: int) -> tuple[int, Sample]:
        """A crop with at least one labelled pixel, if a few draws find one."""
        index = self.order.at(position)
        place = self.samples.places[index]
        draw = np.random.default_rng((self.seed, 3, position))
        height, width = min(self.crop, place.read.height), min(self.crop, place.read.width)
        for _ in range(5):
            row = int(draw.integers(place.read.height - height + 1))
            col = int(draw.integers(place.read.width - width + 1))
            sample = self.samples.read(index, Window(row, col, height, width))
            if (sample.labels != self.ignore).any():
                break
        return place.scene, sample


def class_presence(samples: Samples, ignore: int) -> NDArray[np.bool_]:
    """Which sample holds which class: bool (samples, classes)."""
    counts = [np.bincount(samples.read(i).labels.ravel(), minlength=ignore + 1) for i in range(len(samples.places))]
    return np.array(counts)[:, :ignore] > 0


class Scaler:
    """Raw batches to model input on the device: the bundle's affine table, per scene where the scope is `image`."""

    def __init__(self, bands: Callable[[int], Bands], device: torch.device) -> None:
        self.bands, self.device = bands, device
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, image: Tensor, valid: Tensor, scenes: Sequence[int]) -> Tensor:
        """float32 (B, C, h, w), channels last; 0 where not valid."""
        gain = torch.stack([self._table(s)[0] for s in scenes])[:, :, None, None]
        offset = torch.stack([self._table(s)[1] for s in scenes])[:, :, None, None]
        x = as_float(image, self.device) * gain + offset
        x = x.masked_fill(~valid.to(self.device)[:, None], 0.0)
        return x.contiguous(memory_format=torch.channels_last)

    def _table(self, scene: int) -> tuple[Tensor, Tensor]:
        if scene not in self._tables:
            bands = self.bands(scene)
            table = tuple(torch.tensor(v, dtype=torch.float32, device=self.device) for v in (bands.gain, bands.offset))
            self._tables[scene] = table[0], table[1]
        return self._tables[scene]


def as_float(image: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device as float32; unsigned 16-bit travels as it is and is converted there where it can be."""
    if image.dtype in (torch.uint16, torch.uint32, torch.uint64) and device.type != "cpu":
        image = image.to(torch.int64 if image.dtype != torch.uint16 else torch.int32)
    return image.to(device).to(torch.float32)


def numpy_batch(sample: Sample) -> dict[str, Any]:
    """One sample as a batch of one."""
    return {
        "image": torch.from_numpy(np.array(sample.image))[None],
        "labels": torch.from_numpy(np.array(sample.labels))[None],
        "valid": torch.from_numpy(np.array(sample.valid))[None],
    }
