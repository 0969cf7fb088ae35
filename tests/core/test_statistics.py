"""Merged statistics equal NumPy's on all pixels at once; quantiles are those of a fair sample."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core import statistics
from swath.core.statistics import BandStatistics


def band_pair(seed: int, height: int, width: int, dtype: str = "int16") -> NDArray[np.generic]:
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(-300, 40, (height, width)), rng.gamma(2.0, 500, (height, width))]).astype(dtype)


def summed(pieces: list[BandStatistics]) -> BandStatistics:
    total = BandStatistics.empty(pieces[0].bands, pieces[0].dtype)
    for piece in pieces:
        total = total + piece
    return total


def assert_moments(found: BandStatistics, values: NDArray[np.float64]) -> None:
    assert found.count == values.shape[1]
    assert np.allclose(found.mean, values.mean(1), rtol=1e-9, atol=1e-9)
    assert np.allclose(found.std, values.std(1), rtol=1e-9, atol=1e-9)
    assert np.array_equal(found.minimum, values.min(1))
    assert np.array_equal(found.maximum, values.max(1))


heights_of_parts = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@given(st.integers(0, 10_000), heights_of_parts, st.sampled_from(["int16", "float32"]))
def test_any_cut_merges_to_the_whole(seed: int, heights: list[int], dtype: str) -> None:
    parts = [band_pair(seed + n, h, 9, dtype) for n, h in enumerate(heights)]
    values = np.concatenate([p.reshape(2, -1) for p in parts], axis=1).astype(np.float64)
    total = summed([BandStatistics.of(p) for p in parts])
    assert_moments(total, values)
    assert total.dtype == dtype
    assert np.allclose(total.quantiles((0, 0.02, 0.5, 0.98, 1)), np.quantile(values, (0, 0.02, 0.5, 0.98, 1), axis=1))


def test_otb_030_negative_data_are_right() -> None:
    """OTB-030: a maximum that starts at zero is wrong for data below zero."""
    raw = np.array([[[-9, -4], [-7, -2]]], np.int16)
    found = BandStatistics.of(raw)
    assert (found.minimum[0], found.maximum[0], found.mean[0]) == (-9, -2, -5.5)
    assert (found + found).maximum[0] == -2
    assert (BandStatistics.empty(1, "int16") + found).maximum[0] == -2


def test_a_large_offset_keeps_the_variance() -> None:
    raw = np.random.default_rng(0).normal(0, 1, (1, 100, 100)) + 1e7
    total = summed([BandStatistics.of(raw[:, :37]), BandStatistics.of(raw[:, 37:])])
    assert total.std[0] == pytest.approx(raw.std(), rel=1e-9)


@given(st.integers(0, 1000))
def test_only_valid_pixels_are_seen(seed: int) -> None:
    raw = band_pair(seed, 8, 11)
    valid = np.random.default_rng(seed).random((8, 11)) < 0.6
    valid[0, 0] = True
    assert_moments(BandStatistics.of(raw, valid), raw[:, valid].astype(np.float64))


def test_no_pixel_at_all_is_told_without_nan() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = BandStatistics.of(np.ones((3, 4, 4), np.uint8), np.zeros((4, 4), bool))
        told = (empty + empty).as_dict()
    assert (empty.count, empty.bands) == (0, 3)
    assert told["pixels"] == 0
    assert told["p50"] == told["min"] == told["max"] == [None] * 3
    json.dumps(told, allow_nan=False)


def test_quantiles_of_many_thinned_pieces_stay_within_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2,000 of 96,000 values kept the standard error of a median's rank is 1.1 %; four of them are allowed."""
    monkeypatch.setattr(statistics, "KEEP", 2000)
    rng = np.random.default_rng(3)
    parts = [rng.normal(n % 7, 1 + n % 3, (1, h, 40)) for n, h in enumerate(rng.integers(1, 80, size=60))]
    values = np.concatenate([p.reshape(1, -1) for p in parts], axis=1)
    total = summed([BandStatistics.of(p) for p in parts])
    assert total.sample.shape[1] <= 2000
    assert_moments(total, values)
    for q in (0.02, 0.25, 0.5, 0.75, 0.98):
        rank = (values[0] <= total.quantiles((q,))[0, 0]).mean()
        assert rank == pytest.approx(q, abs=4 * (q * (1 - q) / 2000) ** 0.5)


def test_a_large_piece_and_a_small_one_weigh_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "KEEP", 1000)
    many, few = np.zeros((1, 100, 90)), np.ones((1, 100, 10))
    for total in (BandStatistics.of(many) + BandStatistics.of(few), BandStatistics.of(few) + BandStatistics.of(many)):
        assert total.sample.mean() == pytest.approx(0.1, abs=0.005)
        assert total.sample.shape[1] <= 1000


def test_types_are_promoted_and_bands_selected() -> None:
    both = BandStatistics.of(band_pair(0, 4, 4, "int16")) + BandStatistics.of(band_pair(1, 4, 4, "float32"))
    assert both.dtype == "float32"
    picked = both.select([1, 0, 1])
    assert picked.bands == 3
    assert np.array_equal(picked.mean, both.mean[[1, 0, 1]])
    assert np.array_equal(picked.quantiles((0.5,)), both.quantiles((0.5,))[:, [1, 0, 1]])
    assert picked.count == both.count


def test_statistics_are_written_as_json() -> None:
    raw = np.arange(101, dtype=np.uint16).reshape(1, 101, 1)
    told = json.loads(json.dumps(BandStatistics.of(raw).as_dict()))
    assert told == {
        "dtype": "uint16", "pixels": 101, "mean": [50.0], "std": [pytest.approx(29.1547594742)],
        "min": [0.0], "max": [100.0], "p2": [2.0], "p50": [50.0], "p98": [98.0],
    }  # fmt: skip
