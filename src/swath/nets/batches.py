"""Training batches whose content is a pure function of (seed, step), read ahead by threads into kept buffers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.core.bands import Bands
from swath.core.draws import below
from swath.core.errors import ConfigError
from swath.core.samplers import build_sampler, epoch_length
from swath.core.windows import Window, up
from swath.disk.stores.sample import Sample, Samples

DRAWS = 5  # tries to find a crop with a labelled pixel
Crop = tuple[int, int, Window]  # position in the sequence of draws, sample, window of it
AHEAD = 256  # draws that samples are told of beforehand


@dataclass
class Batch:
    """Raw `image` (B, C, h, w) in the file's type, `labels` (B, h, w), `valid` bool (B, h, w), `scenes` (B,)."""

    image: Tensor
    labels: Tensor
    valid: Tensor
    scenes: tuple[int, ...] = ()


class Batches:
    """Batches of random crops. `at(step)` builds one; `ahead(first)` reads them ahead by `workers` threads.

    `pinned` keeps the buffers in page-locked memory, from where a GPU copies faster.
    """

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
        workers: int = 2,
        pinned: bool = False,
    ) -> None:
        if not samples.places:
            raise ConfigError("samples-none", "train", "there is no training sample", "check splits and filters")
        self.samples, self.batch_size, self.seed, self.ignore = samples, batch_size, seed, ignore
        self.crop, self.side, self.workers, self.pinned = crop, up(crop, stride), workers, pinned
        boxes = [p.read for p in samples.places]
        self.heights, self.widths = np.array([b.height for b in boxes]), np.array([b.width for b in boxes])
        self.scenes = np.array([p.scene for p in samples.places])
        self.full = samples.counts.sum(1) == self.heights * self.widths  # every crop has a label
        population = samples.population(crop)
        self.draw = build_sampler(sampler, population, seed)
        self.epoch = epoch_length(sampler, population)
        self.gathers = sampler == "blocks"  # neighbours are drawn together: what they share is read once
        self.waited = 0.0

    @property
    def per_epoch(self) -> float:
        """Steps per epoch."""
        return self.epoch / self.batch_size

    def at(self, step: int) -> Batch:
        """The batch of a step, the same whenever it is asked for."""
        batch = self._buffer()
        self._fill(self._crops(step, batch), 0, batch)
        return batch

    def ahead(self, first: int, depth: int | None = None) -> Generator[Batch, None, None]:
        """Batches from step `first` on, endlessly; `waited` sums the seconds of waiting.

        Up to `depth` batches (default: one more than threads, one where reading is no more than a copy) are read ahead into
        a ring of kept buffers, each by all threads together: a batch is overwritten once the next but one is asked for, so
        what is to stay must be copied.
        """
        if self.workers == 0:
            yield from self._one_by_one(first)
            return
        depth = depth or (1 if self.samples.instant else self.workers + 1)  # few buffers stay in the processor's cache
        free = deque(self._buffer() for _ in range(depth + 2))
        queue: deque[tuple[Batch, list[Future[None]]]] = deque()
        pool = ThreadPoolExecutor(self.workers, "swath-batches")
        try:
            for step in range(first, first + depth):
                queue.append(self._submit(pool, step, free))
            step = first + depth
            while True:
                started = time.monotonic()
                batch, parts = queue.popleft()
                for part in parts:
                    part.result()
                self.waited += time.monotonic() - started
                queue.append(self._submit(pool, step, free))
                step += 1
                yield batch
                free.append(batch)
        finally:
            pool.shutdown(cancel_futures=True)
            self.samples.release()

    def _submit(self, pool: ThreadPoolExecutor, step: int, free: deque[Batch]) -> tuple[Batch, list[Future[None]]]:
        """The batch of a step that threads begin to fill, with the parts that they fill it in."""
        self._expect(step, max(AHEAD, 2 * self.batch_size))
        batch = free.popleft()
        crops = self._crops(step, batch)
        share = -(-len(crops) // self.workers)
        return batch, [pool.submit(self._fill, crops[i : i + share], i, batch) for i in range(0, len(crops), share)]

    def _expect(self, step: int, draws: int) -> None:
        """Tells the samples what is wanted from a step on, where neighbours are drawn together."""
        if self.gathers:
            start = step * self.batch_size
            self.samples.expect(self.draw(np.arange(start, start + draws)))

    def _one_by_one(self, first: int) -> Generator[Batch, None, None]:
        buffers = [self._buffer(), self._buffer()]
        step = first
        try:
            while True:
                started = time.monotonic()
                self._expect(step, self.batch_size)
                batch = buffers[step % 2]
                self._fill(self._crops(step, batch), 0, batch)
                self.waited += time.monotonic() - started
                step += 1
                yield batch
        finally:
            self.samples.release()

    def _buffer(self) -> Batch:
        """A batch to be filled: nothing labelled, nothing valid."""
        schema, side, count = self.samples.schema, self.side, self.batch_size
        image = torch.from_numpy(np.zeros((count, schema.bands, side, side), schema.dtype))
        labels = torch.from_numpy(np.full((count, side, side), self.ignore, schema.labels))
        valid = torch.from_numpy(np.zeros((count, side, side), bool))
        if self.pinned:
            image, labels, valid = image.pin_memory(), labels.pin_memory(), valid.pin_memory()
        return Batch(image, labels, valid)

    def _crops(self, step: int, batch: Batch) -> list[Crop]:
        """What a batch will hold, which is told the scenes."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        drawn = self.draw(positions)
        heights, widths = np.minimum(self.heights[drawn], self.crop), np.minimum(self.widths[drawn], self.crop)
        rows = self._offsets(self.heights[drawn] - heights, positions, 0)
        cols = self._offsets(self.widths[drawn] - widths, positions, 1)
        batch.scenes = tuple(self.scenes[drawn].tolist())
        boxes = zip(rows.tolist(), cols.tolist(), heights.tolist(), widths.tolist(), strict=True)
        return [(p, i, Window(*box)) for p, i, box in zip(positions.tolist(), drawn.tolist(), boxes, strict=True)]

    def _fill(self, crops: Sequence[Crop], first: int, batch: Batch) -> None:
        """Writes crops into kept tensors, from the `first` place of the batch on."""
        image, labels, valid = batch.image.numpy(), batch.labels.numpy(), batch.valid.numpy()
        for i, (position, index, box) in enumerate(crops, first):
            out = Sample(image[i], labels[i], valid[i])
            if box.shape != labels.shape[1:]:
                out.image[...], out.labels[...], out.valid[...] = 0, self.ignore, False
                out = Sample(*(a[..., : box.height, : box.width] for a in (out.image, out.labels, out.valid)))
            self.samples.read_into(index, box, out)
            if not self.full[index]:
                self._find_label(index, position, out)

    def _offsets(self, room: NDArray[np.int64], positions: NDArray[np.int64], lane: int) -> NDArray[np.int64]:
        """Where crops begin, each 0 to `room`."""
        return below(room + 1, self.seed, 3, positions, lane) if room.any() else room

    def _find_label(self, index: int, position: int, out: Sample) -> None:
        """Moves a crop without a labelled pixel: to a few more draws, and where they find none around a pixel that has one."""
        height, width = out.labels.shape
        at = np.array([position])
        for lane in range(2, 2 * DRAWS, 2):
            if (out.labels != self.ignore).any():
                return
            row = int(self._offsets(self.heights[[index]] - height, at, lane)[0])
            col = int(self._offsets(self.widths[[index]] - width, at, lane + 1)[0])
            self.samples.read_into(index, Window(row, col, height, width), out)
        if not (out.labels != self.ignore).any():
            self._read_around_label(index, at, out)

    def _read_around_label(self, index: int, at: NDArray[np.int64], out: Sample) -> None:
        """Fills a crop that holds a labelled pixel drawn from all of the sample's, anywhere in the crop; if there is any."""
        labels = self.samples.read(index).labels
        known = np.flatnonzero(labels != self.ignore)
        if len(known) == 0:
            return
        chosen = int(known[below(len(known), self.seed, 3, at, 2 * DRAWS)[0]])
        first = []
        for axis, pixel in enumerate(divmod(chosen, labels.shape[1])):
            size = out.labels.shape[axis]
            low, high = max(0, pixel - size + 1), min(pixel, labels.shape[axis] - size)
            first.append(low + int(below(high - low + 1, self.seed, 3, at, 2 * DRAWS + 1 + axis)[0]))
        self.samples.read_into(index, Window(first[0], first[1], *out.labels.shape), out)


def kept_batches(workers: int) -> int:
    """How many batches are in memory at most: one per thread, one more that is ready, and the last two given out."""
    return workers + 3 if workers else 2


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
