"""Charts stay readable: names that fit, many classes, shares in few characters, pale colours, a few values far from the others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.image import imread

from swath.disk.charts import _percent, publish_histogram, publish_shares, shortened


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


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    drawn: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *a: Any, **k: Any) -> None:
        drawn.append(self)
        save(self, *a, **k)

    monkeypatch.setattr(Figure, "savefig", kept)
    return drawn


def histogram(counts: Any) -> dict[str, Any]:
    return {"low": 0.0, "high": float(len(counts)), "counts": list(counts)}


def test_a_few_values_far_away_do_not_squeeze_the_others(tmp_path: Path, figures: list[Figure]) -> None:
    counts = np.zeros(256, int)
    counts[10:20], counts[255] = 1000, 3
    publish_histogram(tmp_path / "a.png", "a", [("all pixels", "#444444", histogram(counts))])
    publish_histogram(tmp_path / "b.png", "b", [("all pixels", "#444444", histogram(np.ones(256)))])
    narrow, wide = (f.axes[0] for f in figures)
    assert narrow.get_xlim()[0] >= 8
    assert narrow.get_xlim()[1] <= 22
    assert narrow.get_xlabel() == "value (0.03 % of the pixels lie beyond)"
    assert wide.get_xlim()[1] > 255
    assert wide.get_xlabel() == "value"
    publish_histogram(tmp_path / "c.png", "c", [("empty", "#444444", histogram(np.zeros(256)))])


def test_titles_and_the_names_of_many_classes_stay_inside(tmp_path: Path, figures: list[Figure]) -> None:
    lines = [(f"class {i} with a long name", "#ffffff" if i == 1 else "#204060", histogram([1, 2, 3])) for i in range(30)]
    publish_histogram(tmp_path / "a.png", "x" * 300, lines, shares=True)
    [figure] = figures
    figure.savefig(io.BytesIO())  # lays it out
    box = figure.bbox
    assert box.contains(*figure.axes[0].title.get_window_extent().min)
    assert box.contains(*figure.axes[0].title.get_window_extent().max)
    names = figure.legends[0].get_window_extent()
    assert box.y0 <= names.y0
    assert names.x0 >= figure.axes[0].get_window_extent().x1
    assert figure.legends[0].legend_handles[1].get_path_effects()


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("abcdefghijklmnop", 9) == "abc...nop"
