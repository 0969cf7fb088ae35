"""A sample is kept, or dropped for one stated reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.filters import REASONS, Filter


def refusal(rules: Filter, counts: list[int], invalid: int = 0, background: int | None = 0) -> str | None:
    return rules.refusal(np.array(counts), 100, invalid, background)


def test_by_default_only_tiles_without_labels_or_image_are_dropped() -> None:
    assert refusal(Filter(), [100, 0]) is None
    assert refusal(Filter(), [0, 0]) == "no labelled pixel"
    assert refusal(Filter(), [1, 0], invalid=99) is None
    assert refusal(Filter(), [1, 0], invalid=100) == "nodata share"


@pytest.mark.parametrize(("roof", "said"), [(9, "annotated share"), (10, None)])
def test_the_annotated_share_leaves_out_background_and_ignored(roof: int, said: str | None) -> None:
    assert refusal(Filter(min_annotated=0.1), [30, roof]) == said
    assert refusal(Filter(min_annotated=0.1), [5, 5], background=None) is None


@pytest.mark.parametrize(
    ("mode", "counts", "said"),
    [
        ("all", [70, 20, 10], None),
        ("all", [70, 30, 0], "class floor"),
        ("any", [70, 30, 0], None),
        ("any", [90, 10, 0], "class floor"),
    ],
)
def test_class_floors_hold_for_all_or_any(mode: str, counts: list[int], said: str | None) -> None:
    assert refusal(Filter(class_min={1: 0.2, 2: 0.1}, mode=mode), counts) == said  # type: ignore[arg-type]


@pytest.mark.parametrize("area", [100, 2500, 10_000, 512 * 512 * 25])
def test_a_share_that_is_just_met_is_met(area: int) -> None:
    """7 of 100 pixels are 7 %, though 0.07 * 100 is more than 7 in floating point."""
    for percent in range(101):
        own, part = percent * area // 100, percent / 100
        counts = np.array([area - own, own])
        assert Filter(min_annotated=part).refusal(counts, area, 0, 0) is None
        assert Filter(class_min={1: part}).refusal(counts, area, 0, 0) is None
        assert Filter(max_nodata=part).refusal(counts, area, own, 0) is None


@given(st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_stricter_rules_never_keep_more(counts: list[int], invalid: int, loose: float, strict: float) -> None:
    low, high = sorted((loose, strict))
    kept_by_strict = refusal(Filter(min_annotated=high, max_nodata=low), counts, invalid) is None
    kept_by_loose = refusal(Filter(min_annotated=low, max_nodata=high), counts, invalid) is None
    assert kept_by_loose or not kept_by_strict


@given(st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_many_tiles_are_judged_as_one_by_one(counts: list[list[int]], annotated: float, floor: float) -> None:
    rules = Filter(min_annotated=annotated, class_min={1: floor, 2: 0.1}, mode="any", max_nodata=0.5)
    invalid = np.arange(len(counts)) * 20
    found = rules.verdicts(np.array(counts), np.full(len(counts), 120), invalid, 0)
    assert [REASONS[v] for v in found] == [rules.refusal(np.array(c), 120, i, 0) for c, i in zip(counts, invalid.tolist(), strict=True)]


def test_gdl_072_floors_of_all_or_any() -> None:
    counts = np.array([[0, 12, 4]])
    for mode, said in (("all", "class floor"), ("any", None)):
        rules = Filter(class_min={1: 0.10, 2: 0.05}, mode=mode)  # type: ignore[arg-type]
        assert REASONS[int(rules.verdicts(counts, np.array([100]), np.array([0]), 0)[0])] == said


@pytest.mark.parametrize(("foreground", "said"), [(49, "annotated share"), (50, None)])
def test_gdl_071_the_limit_itself_is_kept(foreground: int, said: str | None) -> None:
    assert Filter(min_annotated=0.05).refusal(np.array([1000 - foreground, foreground]), 1000, 0, 0) == said


def test_gdl_073_both_rules_must_be_met() -> None:
    rules = Filter(min_annotated=0.3, class_min={2: 0.1})
    assert refusal(rules, [60, 40, 0]) == "class floor"
    assert refusal(rules, [85, 0, 15]) == "annotated share"
    assert refusal(rules, [60, 30, 10]) is None
