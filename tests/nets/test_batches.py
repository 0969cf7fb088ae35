"""A batch is a pure function of (seed, step); an epoch covers each sample once; the model input is the bundle's."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from kept_samples import batches, kept

from swath.core.bands import Bands
from swath.core.errors import ConfigError
from swath.nets.batches import Batch, Scaler, as_float, numpy_batch

CPU = torch.device("cpu")


def same(a: Batch, b: Batch) -> bool:
    return a.scenes == b.scenes and all(torch.equal(x, y) for x, y in ((a.image, b.image), (a.labels, b.labels), (a.valid, b.valid)))


def drawn(batch: Batch) -> list[int]:
    return batch.image[:, 0, 0, 0].tolist()


def test_a_batch_is_the_same_whenever_it_is_asked_for() -> None:
    one, other = batches(kept()), batches(kept())
    last = one.at(17)
    for step in (3, 0, 17):
        assert same(one.at(step), other.at(step))
    assert same(last, one.at(17))
    assert not same(one.at(3), one.at(4))
    assert not same(one.at(3), batches(kept(), seed=2).at(3))


def test_batches_read_ahead_are_those_of_their_steps() -> None:
    made = batches(kept())
    feed = made.ahead(5)
    for step in range(5, 12):
        assert same(next(feed), made.at(step))
    feed.close()


def test_batches_run_through_the_epochs() -> None:
    made = batches(kept())
    assert made.per_epoch == 2.5
    assert Counter(i for step in range(5) for i in drawn(made.at(step))) == Counter(dict.fromkeys(range(10), 2))


def test_crops_follow_the_sampler() -> None:
    samples = kept(20, classes=1)
    samples.samples[3].labels[2, 2] = 1
    samples.samples[4].labels[:] = 255
    crops = batches(samples, sampler="class_presence", crop=24)
    seen = Counter(i for step in range(50) for i in drawn(crops.at(step)))
    assert 80 < seen[3] < 130
    assert 4 not in seen


@pytest.mark.parametrize("sampler", ["uniform", "class_presence", "class_set", "pixel_weighted"])
def test_nist_029_any_number_of_threads_gives_the_same_batches(sampler: str) -> None:
    expected = [batches(kept(), sampler=sampler).at(step) for step in range(3, 15)]
    for workers in (0, 1, 2, 5):
        feed = batches(kept(), sampler=sampler, workers=workers).ahead(3)
        assert all(same(next(feed), batch) for batch in expected)
        feed.close()


def test_buffers_are_kept() -> None:
    feed = batches(kept(), workers=2).ahead(0)
    places = {next(feed).image.data_ptr() for _ in range(40)}
    feed.close()
    assert len(places) <= 5


def test_no_thread_outlives_its_feed() -> None:
    feed = batches(kept(), workers=3).ahead(0)
    next(feed)
    assert any(t.name.startswith("swath-batches") for t in threading.enumerate())
    feed.close()
    assert not any(t.name.startswith("swath-batches") for t in threading.enumerate())


def test_crops_are_parts_of_their_sample_with_a_label() -> None:
    samples = kept(1)
    samples.samples[0].labels[:] = 255
    samples.samples[0].labels[:12, :12] = 1
    made = batches(samples, batch_size=8)
    seen = set()
    for step in range(4):
        batch = made.at(step)
        assert batch.image.shape == (8, 3, 16, 16)
        for image, labels in zip(batch.image.numpy(), batch.labels.numpy(), strict=True):
            rows, cols = np.nonzero(labels == 1)
            assert len(rows) > 0
            corner = 12 - rows.max() - 1, 12 - cols.max() - 1
            whole = samples.samples[0].image
            assert np.array_equal(image, whole[:, corner[0] : corner[0] + 16, corner[1] : corner[1] + 16])
            seen.add(corner)
    assert len(seen) > 5


def test_a_crop_holds_the_only_labelled_pixel_anywhere_in_it() -> None:
    """Of a sample around a point one pixel is labelled: every crop holds it, and all places of it in the crop come up."""
    samples = kept(1, side=64)
    samples.samples[0].labels[:] = 255
    samples.samples[0].labels[32, 40] = 1
    made = batches(samples, batch_size=64, crop=8)
    seen: Counter[tuple[int, int]] = Counter()
    for step in range(40):
        for labels in made.at(step).labels.numpy():
            ((row, col),) = np.argwhere(labels == 1).tolist()
            seen[row, col] += 1
    assert len(seen) == 64
    assert sum((n - 40) ** 2 / 40 for n in seen.values()) < 120  # chi-square of 63 degrees: 1 in 100,000 above
    samples.samples[0].labels[32, 40] = 255
    assert (made.at(0).labels == 255).all()


def test_a_label_at_the_corner_is_held_by_crops_that_stay_inside() -> None:
    samples = kept(1, side=64)
    samples.samples[0].labels[:] = 255
    samples.samples[0].labels[63, 0] = 1
    made = batches(samples, batch_size=64, crop=16)
    assert all((labels[15, 0] == 1).all() for labels in made.at(0).labels)


def test_crops_are_filled_up_to_the_stride_with_what_never_counts() -> None:
    made = batches(kept(side=24), crop=30, stride=32)
    batch = made.at(0)
    assert batch.image.shape == (4, 3, 32, 32)
    assert (batch.labels[:, 24:] == 255).all()
    assert not batch.valid[:, :, 24:].any()
    assert batch.valid[:, :24, :24].all()
    assert (batch.image[:, :, 24:] == 0).all()


def test_no_samples_is_an_error_not_a_loop() -> None:
    empty = kept()
    empty.places = []
    with pytest.raises(ConfigError, match="no training sample"):
        batches(empty)


def test_a_failing_sample_is_told_by_its_batch() -> None:
    samples = kept()
    made = batches(samples)
    samples.samples[2] = replace(samples.samples[2], labels=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        list(islice(made.ahead(0), 4))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_the_scaler_gives_what_the_bands_give_bit_for_bit(dtype: str) -> None:
    rng = np.random.default_rng(0)
    tables = [Bands((1, 2), ("a", "b"), gain, offset) for gain, offset in (((0.013, 3.7), (-1.3, 0.2)), ((1 / 7, 9.0), (5.0, 1e-3)))]
    image = (rng.random((2, 2, 9, 11)) * 250).astype(dtype)
    valid = rng.random((2, 9, 11)) > 0.2
    scaler = Scaler(tables.__getitem__, CPU)
    found = scaler(torch.from_numpy(image), torch.from_numpy(valid), (1, 0)).numpy()
    expected = np.stack([tables[1].scale(image[0], valid[0]), tables[0].scale(image[1], valid[1])])
    assert np.array_equal(found, expected)
    assert found.dtype == np.float32


def test_large_unsigned_values_keep_their_value_as_floats() -> None:
    values = np.array([0, 1, 65535], np.uint16)
    assert as_float(torch.from_numpy(values), CPU).tolist() == [0, 1, 65535]
    assert as_float(torch.from_numpy(values.astype(np.uint32) * 65537), CPU).tolist() == [0, 65537, 4294967296]


def test_one_sample_is_a_batch_of_one() -> None:
    sample = kept(1).samples[0]
    found = numpy_batch(sample)
    assert found["image"].shape == (1, 3, 24, 24)
    assert np.array_equal(found["labels"][0].numpy(), sample.labels)
    assert not np.shares_memory(found["image"].numpy(), sample.image)
