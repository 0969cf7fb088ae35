"""Charts as PNG, by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError
from swath.disk.publish import publish

Line = tuple[str, str, dict[str, Any]]  # name, colour, {low, high, counts}
_TITLE, _PALE, _TAIL = 70, 0.75, 0.002  # letters, luminance of colours that white hides, share beyond a narrower view
_ROWS = 12  # names in one column of a legend


def require_matplotlib() -> None:
    """Nothing, or a ConfigError where pictures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ConfigError("extra-missing", "matplotlib", "is not installed, and histograms are drawn by it",
                          "pip install 'swath[train]', or leave out --out")  # fmt: skip


def publish_histogram(path: Path, title: str, lines: Sequence[Line], *, shares: bool = False) -> Path:
    """The published PNG of histograms over one range; `shares`: each is divided by its sum.

    Where all but a few pixels lie in a small part of the range, only that part is shown, and the axis says so.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    columns = -(-len(lines) // _ROWS) if len(lines) > 1 else 0
    figure = Figure(figsize=(7 + 1.8 * columns, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, colour, histogram in lines:
        counts = np.asarray(histogram["counts"], np.float64)
        if shares:
            counts /= max(counts.sum(), 1)
        edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
        edge = [withStroke(linewidth=2.6, foreground="#777777")] if _luminance(colour) > _PALE else None
        axes.stairs(counts, edges, color=colour, fill=len(lines) == 1, label=shortened(name, 34), path_effects=edge)
    view, beyond = _view([h for _, _, h in lines])
    axes.set(title=shortened(title, _TITLE), xlabel="value" if not beyond else f"value ({100 * beyond:.2g} % of the pixels lie beyond)",
             ylabel="share" if shares else "pixels", xlim=view)  # fmt: skip
    axes.title.set_fontsize("medium")
    if not shares:
        axes.yaxis.set_major_formatter("{x:,.0f}")
    if len(lines) > 1:
        names = figure.legend(loc="outside right upper", fontsize="small", ncols=columns)
        for handle, (_, colour, _) in zip(names.legend_handles, lines, strict=True):
            if handle is not None and _luminance(colour) > _PALE:
                handle.set_path_effects([withStroke(linewidth=2.6, foreground="#777777")])
    return publish(path, lambda part: figure.savefig(part, dpi=110))


def shortened(text: str, most: int) -> str:
    """The text, without its middle where it is longer than `most` letters."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _luminance(colour: str) -> float:
    """How bright a colour "#rrggbb" looks, 0 to 1 (the weights of ITU-R BT.709)."""
    return sum(w * int(colour[i : i + 2], 16) / 255 for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))


def _view(histograms: Sequence[dict[str, Any]]) -> tuple[tuple[float, float] | None, float]:
    """(range to show, share of the pixels beyond it); (None, 0) where the whole range shows enough."""
    counts: NDArray[np.float64] = np.asarray([h["counts"] for h in histograms], np.float64).sum(axis=0)
    total = counts.sum()
    if not total:
        return None, 0.0
    ends = np.cumsum(counts) / total
    first, last = (int(np.searchsorted(ends, at)) for at in (_TAIL / 2, 1 - _TAIL / 2))
    if last + 1 - first > len(counts) // 4:
        return None, 0.0
    low, high = histograms[0]["low"], histograms[0]["high"]
    bins = np.linspace(low, high, len(counts) + 1)
    margin = max(1, (last + 1 - first) // 20)
    first, last = max(0, first - margin), min(len(counts) - 1, last + margin)
    beyond = 1 - float(counts[first : last + 1].sum() / total)
    return (float(bins[first]), float(bins[last + 1])), beyond if beyond > 1e-12 else 0.0


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
    axes[0].set_xticks(np.arange(len(names)), names, rotation=0 if len(names) <= 6 else 45)
    axes[0].set(ylabel="% of the label pixels", title="class shares per split: " + _legend_text(list(shares)))
    axes[0].margins(y=0.12)
    if thresholds:
        x, kept, spread = (100 * np.array(column) for column in zip(*thresholds, strict=True))
        axes[1].step(x, kept, where="post", color="#1f6fb4", marker=".", label="samples kept, % of all")
        axes[1].step(x, spread, where="post", color="#c44e10", marker=".", label="standard deviation of the class shares, %")
        axes[1].axvline(100 * chosen, color="#333333", linestyle=":", label=f"found: {100 * chosen:g} %")
        axes[1].set(xlabel="sample.min_annotated, %", title="what a least annotated share does to training", ylim=(0, 105))
        axes[1].legend(fontsize="small")
    return publish(path, lambda part: figure.savefig(part, dpi=110))


def _legend_text(splits: Sequence[str]) -> str:
    marks = ("full", "lighter", "lightest")
    return ", ".join(f"{s} {m}" for s, m in zip(splits, marks, strict=False))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
