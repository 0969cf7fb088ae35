"""Charts as PNG, by matplotlib where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from swath.core.errors import ConfigError
from swath.disk.publish import publish

Line = tuple[str, str, dict[str, Any]]  # name, colour, {low, high, counts}


def require_matplotlib() -> None:
    """Nothing, or a ConfigError where pictures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ConfigError("extra-missing", "matplotlib", "is not installed, and histograms are drawn by it",
                          "pip install 'swath[train]', or leave out --out")  # fmt: skip


def as_they_are(texts: Iterable[str]) -> list[str]:
    """Texts that matplotlib draws letter by letter: a `$` begins no formula, a `_` in front hides nothing in a legend."""
    return [f" {t}" if t.startswith("_") else t for t in (text.replace("$", r"\$") for text in texts)]


def publish_figure(path: Path, figure: Any) -> Path:
    """The published PNG of a figure; letters that its font lacks are boxes, and nothing is said of them."""

    def write(part: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(part, dpi=110)

    return publish(path, write)


def publish_histogram(path: Path, title: str, lines: Sequence[Line], *, shares: bool = False) -> Path:
    """The published PNG of histograms over one range; `shares`: each is divided by its sum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for (_, colour, histogram), name in zip(lines, as_they_are(n for n, _, _ in lines), strict=True):
        counts = np.asarray(histogram["counts"], np.float64)
        if shares:
            counts /= max(counts.sum(), 1)
        edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
        axes.stairs(counts, edges, color=colour, fill=len(lines) == 1, label=name)
    axes.set(title=as_they_are([title])[0], xlabel="value", ylabel="share" if shares else "pixels")
    if len(lines) > 1:
        axes.legend(fontsize="small")
    return publish_figure(path, figure)


def publish_shares(
    path: Path, shares: Mapping[Any, Sequence[float | None]], names: Sequence[str], colours: Sequence[str],
    thresholds: Sequence[tuple[float, float, float]], chosen: float,
) -> Path:  # fmt: skip
    """The published PNG of the class shares per split as bars, beside what a least annotated share does to training.

    `shares` {split: share per class}; `thresholds` are (share in 0..1, share of the samples kept, spread of the class
    shares), empty where nothing was tried; `chosen` is marked.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10 if thresholds else 6, 3.8), layout="constrained")
    axes = figure.subplots(1, 2 if thresholds else 1, squeeze=False)[0]
    width = 0.8 / max(1, len(shares))
    for i, (split, own) in enumerate(shares.items()):
        at = np.arange(len(names)) + (i - (len(shares) - 1) / 2) * width
        bars = axes[0].bar(at, [100 * (s or 0) for s in own], width * 0.94, color=colours, alpha=(1, 0.6, 0.3)[i % 3],
                           edgecolor="#333333", linewidth=0.8, label=split)  # fmt: skip
        axes[0].bar_label(bars, [_percent(s) for s in own], fontsize=7, padding=1)
    axes[0].set_xticks(np.arange(len(names)), as_they_are(names), rotation=0 if len(names) <= 6 else 45)
    axes[0].set(ylabel="% of the label pixels", title="class shares per split: " + _legend_text(list(shares)))
    axes[0].margins(y=0.12)
    if thresholds:
        x, kept, spread = (100 * np.array(column) for column in zip(*thresholds, strict=True))
        axes[1].step(x, kept, where="post", color="#1f6fb4", marker=".", label="samples kept, % of all")
        axes[1].step(x, spread, where="post", color="#c44e10", marker=".", label="standard deviation of the class shares, %")
        axes[1].axvline(100 * chosen, color="#333333", linestyle=":", label=f"found: {100 * chosen:g} %")
        axes[1].set(xlabel="sample.min_annotated, %", title="what a least annotated share does to training", ylim=(0, 105))
        axes[1].legend(fontsize="small")
    return publish_figure(path, figure)


def _legend_text(splits: Sequence[str]) -> str:
    marks = ("full", "lighter", "lightest")
    return ", ".join(f"{s} {m}" for s, m in zip(splits, marks, strict=False))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
