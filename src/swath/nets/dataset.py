"""Samples for a training loop of one's own: a map-style dataset of a store or a config, and batches of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.legend import Legend
from swath.core.splits import SPLITS, Split
from swath.core.statistics import BandStatistics
from swath.disk.stores.sample import Samples
from swath.nets.batches import Batch, Batches

Item = dict[str, Any]
Transform = Callable[[Item], Item]


def open_dataset(path: str | Path, *overrides: str, split: Split = "trn", scaled: bool = True) -> SampleDataset:
    """The samples of one split of a store (its directory), or of the rasters of a config (YAML, with overrides).

    `scaled`: images as model input, else raw. Raises ConfigError, DataError.
    """
    if split not in SPLITS:
        raise DataError("split-unknown", str(path), f"no split '{split}'", did_you_mean(split, SPLITS))
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _of_config(path, overrides, split, scaled=scaled)
    from swath.disk.stores.store import StoreSamples

    samples = StoreSamples(path, split)
    bands, tables = Bands.from_dict(samples.card["bands"]), samples.card["scene_scaling"]
    return SampleDataset(samples, samples.legend, bands, [(tuple(g), tuple(o)) for g, o in tables], scaled=scaled)


def _of_config(path: Path, overrides: Sequence[str], split: Split, *, scaled: bool) -> SampleDataset:
    from swath.disk.projects.project import fit_bands, load_project
    from swath.disk.samples.plan import scene_bands
    from swath.disk.samples.rastersamples import RasterSamples

    project = load_project(path, overrides)
    bands, _ = fit_bands(project)
    samples = RasterSamples(project, split, project.config.runtime.memory, project.config.train.cache)
    of = scene_bands(project, bands)
    tables = [(b.gain, b.offset) for b in map(of, range(len(project.scenes)))] if scaled else []
    return SampleDataset(samples, project.legend, bands, tables, scaled=scaled)


class SampleDataset(Dataset[Item]):
    """Samples by number, each a dict: `image` (C, h, w) float32 model input (or raw), `labels` (h, w) int64 class indices
    with `legend.ignore` where nothing counts, `valid` (h, w) bool, `scene` its name.
    """

    def __init__(
        self, samples: Samples, legend: Legend, bands: Bands, tables: Sequence[tuple[Sequence[float], Sequence[float]]],
        *, scaled: bool = True,
    ) -> None:  # fmt: skip
        self.samples, self.legend, self.bands, self.scaled = samples, legend, bands, scaled
        self._tables = tables

    def __len__(self) -> int:
        return len(self.samples.places)

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        index %= len(self)
        found, scene = self.samples.read(index), self.samples.places[index].scene
        image, labels, valid = (torch.from_numpy(np.array(a))[None] for a in (found.image, found.labels, found.valid))
        return {k: v[0] for k, v in self._item(Batch(image, labels, valid, (scene,))).items()}

    def stats(self) -> dict[str, dict[str, float | None]]:
        """Smallest and largest value, mean and standard deviation of the raw valid pixels, per band name; None without any."""
        total = BandStatistics.empty(len(self.bands), self.samples.schema.dtype)
        for i in range(len(self)):
            found = self.samples.read(i)
            total = total + BandStatistics.of(found.image, found.valid)
        told = {"min": total.minimum, "max": total.maximum, "mean": total.mean, "std": total.std}
        return {
            name: {k: float(v[i]) if total.count else None for k, v in told.items()} for i, name in enumerate(self.bands.names)
        }

    def loader(
        self, batch_size: int, *, targets: Sequence[str] = ("labels",), transform: Transform | None = None,
        sampler: str = "uniform", seed: int = 0, drop_last: bool = False, rank: int = 0, ranks: int = 1, workers: int = 2,
    ) -> Loader:  # fmt: skip
        """Batches of whole samples as ({inputs}, {targets}); each pass over it is one epoch, shuffled anew by `seed`.

        `transform` gets and gives the whole batch as a dict, before it is divided; it may add keys. `targets` name the
        keys of the second dict. Rank r of n takes positions r, r + n, ... of the same order.
        """
        if batch_size < 1 or not 0 <= rank < ranks:
            raise ConfigError("loader", "loader", f"batch_size={batch_size}, rank={rank} of ranks={ranks} divide nothing",
                              "write a batch_size of 1 or more, and a rank from 0 to ranks - 1")  # fmt: skip
        if len(self) == 0:
            raise DataError("samples-none", "loader", "this split holds no sample: there is no batch", "open another split")
        return Loader(self, batch_size, tuple(targets), transform, sampler, seed, drop_last, rank, ranks, workers)

    def _item(self, batch: Batch) -> Item:
        """A batch as a dict of tensors of its own."""
        image = batch.image
        if self.scaled:
            x = image.to(torch.float32) if image.dtype != torch.uint16 else image.to(torch.int32).to(torch.float32)
            gain, offset = (self._table(batch.scenes, k) for k in (0, 1))
            image = (x * gain + offset).masked_fill(~batch.valid[:, None], 0.0)
        else:
            image = image.clone()
        names = [self.samples.scene_names[s] for s in batch.scenes]
        return {"image": image, "labels": batch.labels.to(torch.int64), "valid": batch.valid.clone(), "scene": names}

    def _table(self, scenes: Sequence[int], part: int) -> Tensor:
        rows = [self._tables[s][part] for s in scenes]
        return torch.tensor(rows, dtype=torch.float32)[:, :, None, None]


class Loader:
    """Batches of a dataset; iterating gives one epoch, the next iteration the next one. `waited`: seconds spent waiting."""

    def __init__(
        self, dataset: SampleDataset, batch_size: int, targets: tuple[str, ...], transform: Transform | None,
        sampler: str, seed: int, drop_last: bool, rank: int, ranks: int, workers: int,
    ) -> None:  # fmt: skip
        self.dataset, self.batch_size, self.targets, self.transform = dataset, batch_size, targets, transform
        self.drop_last, self.rank, self.ranks, self.epoch = drop_last, rank, ranks, 0
        side = max(max(p.read.height, p.read.width) for p in dataset.samples.places) if len(dataset) else 1
        self.batches = Batches(
            dataset.samples, crop=side, batch_size=batch_size, seed=seed, ignore=dataset.legend.ignore, stride=1,
            sampler=sampler, workers=workers,
        )  # fmt: skip
        whole = self.batches.draw
        self.count = -(-(self.batches.epoch - rank) // ranks)  # positions of this rank in an epoch
        self.batches.draw = lambda positions: whole(self._place(positions))

    def __len__(self) -> int:
        return self.count // self.batch_size if self.drop_last else -(-self.count // self.batch_size)

    @property
    def waited(self) -> float:
        """Seconds that iterating has waited for data."""
        return self.batches.waited

    def _place(self, positions: Any) -> Any:
        """Positions in the order of all ranks: an epoch's batches are filled up from the next epoch, and cut off."""
        padded = -(-self.count // self.batch_size) * self.batch_size
        epochs, own = np.divmod(positions, padded)
        return epochs * self.batches.epoch + np.minimum(self.rank + own * self.ranks, self.batches.epoch - 1)

    def __iter__(self) -> Iterator[tuple[Item, Item]]:
        steps = -(-self.count // self.batch_size)
        first, self.epoch = self.epoch * steps, self.epoch + 1
        ahead = self.batches.ahead(first)
        try:
            for n in range(len(self)):
                yield self._divided(next(ahead), min(self.batch_size, self.count - n * self.batch_size))
        finally:
            ahead.close()

    def _divided(self, batch: Batch, size: int) -> tuple[Item, Item]:
        part = Batch(batch.image[:size], batch.labels[:size], batch.valid[:size], batch.scenes[:size])
        item = self.dataset._item(part)
        if self.transform is not None:
            item = self.transform(item)
        missing = [t for t in self.targets if t not in item]
        if missing:
            raise DataError("target-unknown", "loader", f"no target '{missing[0]}' in the batch", did_you_mean(missing[0], item))
        return {k: v for k, v in item.items() if k not in self.targets}, {t: item[t] for t in self.targets}
