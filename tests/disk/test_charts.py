"""Charts stay readable: a row per class whatever their number, and shares in few characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.image import imread

from swath.disk.charts import _percent, publish_shares


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0"), (1.0, "100"), (0.0996, "10.0"), (0.034, "3.4"), (0.00734, "0.73"), (0.0001, "0.01"), (3e-6, "<0.01")],
)
def test_a_share_is_written_in_few_characters(share: float | None, text: str) -> None:
    assert _percent(share) == text


def test_the_chart_grows_with_its_classes(tmp_path: Path) -> None:
    heights = []
    for classes in (2, 12, 40):
        shares = {s: [1 / classes] * classes for s in ("trn", "val", "tst")}
        names = [f"a class with quite a long name, number {n}" for n in range(classes)]
        file = publish_shares(tmp_path / f"{classes}.png", shares, names, ["#336699"] * classes, [(0.0, 1.0, 0.3), (0.1, 0.5, 0.2)], 0.1)
        heights.append(imread(file).shape[0])
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] / 40 > 40  # pixels per class: three bars with their numbers
