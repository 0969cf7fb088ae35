"""A dataset of one's own: samples by number, batches divided into inputs and targets, every sample once an epoch."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import passed_on
from sealed import reseal

import swath
from swath.core.errors import ConfigError, DataError
from swath.disk.stores.store import StoreSamples

pytest_plugins = ["fixtures_run"]


@pytest.fixture
def store(trained: Path) -> Path:
    """The store of the trained town."""
    return trained.parent / "runs" / "roofs" / "samples.store"


def test_samples_are_those_of_the_store_scaled(store: Path) -> None:
    data, raw = swath.open_dataset(store), swath.open_dataset(store, scaled=False)
    samples = StoreSamples(store, "trn")
    assert len(data) == len(samples.places) > 0
    item, found = data[3], samples.read(3)
    assert torch.equal(raw[3]["image"], torch.from_numpy(np.array(found.image)))
    assert torch.equal(item["labels"], torch.from_numpy(found.labels.astype(np.int64)))
    assert torch.equal(item["valid"], torch.from_numpy(np.array(found.valid)))
    assert np.array_equal(item["image"].numpy(), data.bands.scale(found.image, found.valid))
    assert item["scene"] == samples.scene_names[samples.places[3].scene]
    assert torch.equal(data[-1]["labels"], data[len(data) - 1]["labels"])
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_config_gives_the_samples_of_its_rasters(trained: Path, store: Path) -> None:
    mine, theirs = swath.open_dataset(trained), swath.open_dataset(store)
    assert len(mine) == len(theirs)
    for i in range(len(mine)):
        assert torch.equal(mine[i]["labels"], theirs[i]["labels"])
        assert torch.allclose(mine[i]["image"], theirs[i]["image"], atol=1e-6)
    assert len(swath.open_dataset(store, split="val")) > 0


def test_copies_in_other_processes_give_the_same_samples(trained: Path, store: Path) -> None:
    sources = [swath.open_dataset(store), swath.open_dataset(trained), swath.open_dataset(trained, "train.cache=none")]
    for data in sources:
        data[0]  # files are open already
        copy = passed_on(data)
        assert len(copy) == len(data)
        for i in (0, 5, len(data) - 1):
            assert torch.equal(copy[i]["image"], data[i]["image"])
            assert torch.equal(copy[i]["labels"], data[i]["labels"])


def test_workers_that_are_forked_or_spawned_give_the_same_batches(trained: Path, store: Path) -> None:
    for context, data in (("spawn", swath.open_dataset(store)), ("fork", swath.open_dataset(trained, "train.cache=none"))):
        wanted = torch.stack([data[i]["image"] for i in range(len(data))])
        loader = torch.utils.data.DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context=context)
        batches = list(loader)
        assert torch.equal(torch.cat([b["image"] for b in batches]), wanted)
        assert len(list(chain(*(b["scene"] for b in batches)))) == len(data)


def numbers(store: Path, **options: Any) -> list[list[float]]:
    """Which samples the batches of an epoch hold, told by the sum of their pixels."""
    loader = swath.open_dataset(store, scaled=False).loader(4, **options)
    return [x["image"].to(torch.int64).sum((1, 2, 3)).tolist() for x, _ in loader]


def test_an_epoch_holds_every_sample_once(store: Path) -> None:
    data = swath.open_dataset(store, scaled=False)
    known = sorted(int(data[i]["image"].to(torch.int64).sum()) for i in range(len(data)))
    found = numbers(store)
    assert sorted(n for batch in found for n in batch) == known
    assert [len(b) for b in found[:-1]] == [4] * (len(found) - 1)
    assert len(found) == -(-len(known) // 4)
    loader = data.loader(4, drop_last=True)
    assert len(loader) == len(known) // 4
    assert len(list(loader)) == len(loader)


def test_the_next_pass_is_shuffled_anew_and_seeds_repeat(store: Path) -> None:
    loader = swath.open_dataset(store, scaled=False).loader(4, seed=3)
    first, second = ([x["image"].to(torch.int64).sum((1, 2, 3)).tolist() for x, _ in loader] for _ in range(2))
    assert first != second
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second))
    assert numbers(store, seed=3) == first
    assert numbers(store, seed=3, workers=0) == first
    assert numbers(store, seed=4) != first


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_divide_an_epoch(store: Path, ranks: int) -> None:
    whole = sorted(n for batch in numbers(store) for n in batch)
    parts = [sorted(n for batch in numbers(store, rank=r, ranks=ranks) for n in batch) for r in range(ranks)]
    assert sorted(chain.from_iterable(parts)) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"rank": 2, "ranks": 2}, {"rank": -1}, {"ranks": 0}])
def test_what_divides_nothing_is_refused(store: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="divide nothing"):
        swath.open_dataset(store).loader(**{"batch_size": 4, **wrong})


def test_a_transform_may_add_targets(store: Path) -> None:
    def share(batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "share": (batch["labels"] == 1).float().mean((1, 2))}

    loader = swath.open_dataset(store).loader(2, targets=("labels", "share"), transform=share)
    inputs, targets = next(iter(loader))
    assert set(inputs) == {"image", "valid", "scene"}
    assert targets["share"].shape == (2,)
    assert targets["labels"].dtype == torch.int64
    with pytest.raises(DataError, match="no target 'label' in the batch; did you mean 'labels'"):
        next(iter(swath.open_dataset(store).loader(2, targets=("label",))))


def test_batches_are_copies(store: Path) -> None:
    batches = list(swath.open_dataset(store, scaled=False).loader(2))
    again = list(swath.open_dataset(store, scaled=False).loader(2))
    assert all(torch.equal(a["image"], b["image"]) for (a, _), (b, _) in zip(batches, again, strict=True))


def test_stats_are_those_of_the_valid_pixels(store: Path) -> None:
    data, samples = swath.open_dataset(store), StoreSamples(store, "trn")
    pixels = np.concatenate([s.image[:, s.valid] for s in map(samples.read, range(len(data)))], 1).astype(float)
    for band, found in zip(pixels, data.stats().values(), strict=True):
        assert found["min"] == band.min()
        assert found["max"] == band.max()
        assert found["mean"] == pytest.approx(band.mean())
        assert found["std"] == pytest.approx(band.std())


def test_a_split_without_samples_has_no_stats(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "copy.store")
    index = np.load(copy / "index.npy")
    index["split"] = 0
    np.save(copy / "index.npy", index)
    reseal(copy)
    empty = swath.open_dataset(copy, split="tst")
    assert len(empty) == 0
    assert set(empty.stats()) == set(empty.bands.names)
    assert all(v is None for band in empty.stats().values() for v in band.values())
    with pytest.raises(DataError, match="this split holds no sample: there is no batch"):
        empty.loader(2)


def test_a_sampler_of_the_config_works_here_too(store: Path) -> None:
    loader = swath.open_dataset(store).loader(4, sampler="class_presence")
    inputs, _ = next(iter(loader))
    assert inputs["image"].shape[0] == 4


def test_unknown_splits_and_stores(store: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'train'"):
        swath.open_dataset(store, split="train")  # type: ignore[arg-type]
    with pytest.raises(DataError):
        swath.open_dataset(tmp_path / "none.store")
