"""A sample is kept, or dropped for one stated reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.filters import Filter


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


@given(st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_stricter_rules_never_keep_more(counts: list[int], invalid: int, loose: float, strict: float) -> None:
    low, high = sorted((loose, strict))
    kept_by_strict = refusal(Filter(min_annotated=high, max_nodata=low), counts, invalid) is None
    kept_by_loose = refusal(Filter(min_annotated=low, max_nodata=high), counts, invalid) is None
    assert kept_by_loose or not kept_by_strict
