"""Scaling is one affine table: fitted it gives what its method promises, and invalid pixels become zero."""

from __future__ import annotations

import json
import warnings
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.bands import METHODS, Bands, Method, NodataRule, fit, stretched, valid_pixels
from swath.core.statistics import BandStatistics


def bands(count: int, method: Method = "standard") -> Bands:
    numbers = tuple(range(1, count + 1))
    return Bands(numbers, tuple(f"b{n}" for n in numbers), (1.0,) * count, (0.0,) * count, method)


def scene(dtype: str = "uint16") -> NDArray[np.generic]:
    rng = np.random.default_rng(5)
    return np.stack([rng.gamma(3, 200, (50, 60)), rng.normal(1500, 100, (50, 60))]).clip(0, 2000).astype(dtype)


def scaled(method: Method, raw: NDArray[np.generic]) -> NDArray[np.float32]:
    return bands(len(raw), method).fitted(BandStatistics.of(raw)).scale(raw)


def test_the_table_of_methods_is_the_type() -> None:
    assert get_args(Method) == METHODS


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_standard_gives_mean_zero_and_unit_variance(dtype: str) -> None:
    raw = (scene() % 251 if dtype == "uint8" else scene()).astype(dtype)
    out = scaled("standard", raw)
    assert out.dtype == np.float32
    assert np.allclose(out.mean((1, 2)), 0, atol=1e-4)
    assert np.allclose(out.std((1, 2)), 1, atol=1e-4)


def test_minmax_reaches_minus_one_and_one() -> None:
    out = scaled("minmax", scene())
    assert np.allclose(out.min((1, 2)), -1, atol=1e-5)
    assert np.allclose(out.max((1, 2)), 1, atol=1e-5)


def test_percentile_puts_96_percent_between_minus_one_and_one() -> None:
    inside = np.abs(scaled("percentile", scene().astype("float32"))) <= 1 + 1e-6
    assert np.allclose(inside.mean((1, 2)), 0.96, atol=0.005)


def test_gdl_038_percentile_suits_dark_uint16_and_dtype_leaves_it_near_zero() -> None:
    """GDL-038: an uint16 image with a maximum of 2000 fills the range by percentile, not by its type."""
    raw = scene()
    assert raw.max() <= 2000
    unit = (scaled("percentile", raw) + 1) / 2
    assert ((unit.mean((1, 2)) > 0.1) & (unit.mean((1, 2)) < 0.9)).all()
    assert scaled("dtype", raw).max() < 0.04


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("int16", -32768, 32767), ("uint16", 0, 65535)])
def test_dtype_maps_the_type_to_zero_and_one(dtype: str, low: int, high: int) -> None:
    assert np.allclose(scaled("dtype", np.array([[[low, high]]], dtype)), [[[0, 1]]], atol=1e-6)


def test_floats_have_no_range_and_none_changes_nothing() -> None:
    raw = np.array([[[-3.5, 7.25]]], np.float32)
    assert np.array_equal(scaled("dtype", raw), raw)
    assert np.array_equal(scaled("none", raw), raw)


@pytest.mark.parametrize("method", ["standard", "percentile", "minmax"])
def test_a_constant_band_becomes_zero_not_nan(method: Method) -> None:
    raw = np.stack([np.full((6, 7), 93), np.arange(42).reshape(6, 7)]).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = scaled(method, raw)
    assert (out[0] == 0).all()
    assert np.isfinite(out).all()
    assert out[1].std() > 0.4


@pytest.mark.parametrize("method", METHODS)
def test_bands_of_which_nothing_was_seen_get_a_finite_table(method: Method) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gain, offset = fit(BandStatistics.empty(2, "uint8"), method)
    assert np.isfinite([*gain, *offset]).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_affine_table_is_the_whole_truth(method: Method) -> None:
    raw = scene()
    fitted = bands(2, method).fitted(BandStatistics.of(raw))
    by_hand = raw.astype(np.float64) * np.array(fitted.gain)[:, None, None] + np.array(fitted.offset)[:, None, None]
    assert np.allclose(fitted.scale(raw), by_hand, atol=1e-4)


@given(st.integers(0, 1000))
def test_invalid_pixels_become_zero_and_valid_ones_do_not_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.normal(50, 9, (3, 6, 8)).astype(np.float32)
    valid = rng.random((6, 8)) < 0.5
    raw[1, ~valid] = np.nan
    fitted = bands(3).fitted(BandStatistics.of(raw, valid))
    out = fitted.scale(raw, valid)
    assert (out[:, ~valid] == 0).all()
    assert np.array_equal(out[:, valid], fitted.scale(np.nan_to_num(raw))[:, valid])


def test_scaling_leaves_the_raw_pixels_alone() -> None:
    raw = scene("float32")
    before = raw.copy()
    scaled("standard", raw)
    assert np.array_equal(raw, before)


def test_bands_survive_json() -> None:
    fitted = bands(2, "percentile").fitted(BandStatistics.of(scene()))
    assert Bands.from_dict(json.loads(json.dumps(fitted.as_dict()))) == fitted
    assert len(fitted) == 2


RULES = {
    ("all", 0): [[False, True], [True, True]],
    ("any", 0): [[False, False], [False, True]],
    ("none", 0): [[True, True], [True, True]],
    ("all", None): [[True, True], [True, True]],
    ("any", None): [[True, True], [True, True]],
}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize(("rule", "nodata"), RULES)
def test_nodata_rules(rule: NodataRule, nodata: int | None, dtype: str) -> None:
    raw = np.array([[[0, 0], [5, 6]], [[0, 7], [0, 8]]], dtype)
    assert valid_pixels(raw, rule, nodata).tolist() == RULES[rule, nodata]


@pytest.mark.parametrize("rule", ["all", "any", "none"])
def test_pixels_that_are_not_finite_are_invalid_under_every_rule(rule: NodataRule) -> None:
    raw = np.array([[[np.nan, 1, np.inf, 3]], [[1, 2, 3, 4]]], np.float32)
    assert valid_pixels(raw, rule, None).tolist() == [[False, True, False, True]]
    assert valid_pixels(raw, rule, float("nan")).tolist() == [[False, True, False, True]]


@pytest.mark.parametrize("rule", ["all", "any", "none"])
def test_numbers_beyond_float32_are_no_data(rule: NodataRule) -> None:
    raw = np.array([[[1e300, -1e39, 3e38, np.nan]], [[1, 2, 3, 4]]])
    valid = valid_pixels(raw, rule, None)
    assert valid.tolist() == [[False, False, True, False]]
    bands = Bands((1, 2), ("a", "b"), (1.0, 1.0), (0.0, 0.0))
    with np.errstate(over="ignore"):
        assert np.isfinite(bands.scale(raw, valid)).all()


@pytest.mark.parametrize(("far", "found"), [(3e38, [1]), (-3e38, [1]), (1e6, [1]), (400.0, []), (None, [])])
@pytest.mark.parametrize("method", ["standard", "minmax"])
def test_a_few_values_that_stretch_the_scale(far: float | None, found: list[int], method: Method) -> None:
    rng = np.random.default_rng(3)
    raw = np.stack([rng.normal(100, 12, (200, 200)), rng.gamma(1, 30, (200, 200)), np.full((200, 200), 7)]).astype(np.float32)
    if far is not None:
        raw[1, 5, 5] = far
    statistics = BandStatistics.of(raw)
    assert stretched(statistics, method) == found
    assert stretched(statistics, "percentile") == stretched(BandStatistics.empty(3, "uint8"), method) == []


def test_each_band_may_have_its_own_nodata() -> None:
    raw = np.array([[[1, 9, 1]], [[9, 2, 2]]], np.uint8)
    assert valid_pixels(raw, "all", [1, 2]).tolist() == [[True, True, False]]
    assert valid_pixels(raw, "any", [1, 2]).tolist() == [[False, False, False]]
    assert valid_pixels(raw, "all", [1, None]).tolist() == [[True, True, True]]
    assert valid_pixels(raw, "any", [1, None]).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", -9999), ("uint8", 300.0), ("float32", -1.7e308), ("int16", 0.5)]
)
def test_a_nodata_value_that_the_type_cannot_hold_matches_nothing(dtype: str, nodata: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert valid_pixels(np.zeros((1, 2, 2), dtype), "all", nodata).all()


def test_the_lowest_float32_is_found_although_tags_hold_doubles() -> None:
    raw = np.array([[[np.finfo("float32").min, 1]]], np.float32)
    assert valid_pixels(raw, "all", -3.4028234663852886e38).tolist() == [[False, True]]


def test_the_number_of_nodata_values_must_fit() -> None:
    with pytest.raises(ValueError, match=r"zip|argument"):
        valid_pixels(np.zeros((2, 2, 2), np.uint8), "all", [0])
