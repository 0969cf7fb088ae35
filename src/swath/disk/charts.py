"""Charts as PNG, by matplotlib where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
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
    """The published PNG of histograms over one range; `shares`: each is divided by its sum.

    Where all but a few pixels lie in a small part of the range, only that part is shown, and the axis says so.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    columns = -(-len(lines) // _ROWS) if len(lines) > 1 else 0
    figure = Figure(figsize=(7 + 1.8 * columns, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for (_, colour, histogram), name in zip(lines, as_they_are(n for n, _, _ in lines), strict=True):
        counts = np.asarray(histogram["counts"], np.float64)
        if shares:
            counts /= max(counts.sum(), 1)
        edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
        edge = [withStroke(linewidth=2.6, foreground="#777777")] if _luminance(colour) > _PALE else None
        axes.stairs(counts, edges, color=colour, fill=len(lines) == 1, label=shortened(name, 34), path_effects=edge)
    view, beyond = _view([h for _, _, h in lines])
    axes.set(title=as_they_are([shortened(title, _TITLE)])[0], ylabel="share" if shares else "pixels", xlim=view,
             xlabel="value" if not beyond else f"value ({100 * beyond:.2g} % of the pixels lie beyond)")  # fmt: skip
    axes.title.set_fontsize("medium")
    if not shares:
        axes.yaxis.set_major_formatter("{x:,.0f}")
    if len(lines) > 1:
        names = figure.legend(loc="outside right upper", fontsize="small", ncols=columns)
        for handle, (_, colour, _) in zip(names.legend_handles, lines, strict=True):
            if handle is not None and _luminance(colour) > _PALE:
                handle.set_path_effects([withStroke(linewidth=2.6, foreground="#777777")])
    return publish_figure(path, figure)


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

    tall = max(4.4, 1.1 + len(names) * (0.13 * len(shares) + 0.09))
    figure = Figure(figsize=(11 if thresholds else 6.5, tall), layout="constrained")
    axes = figure.subplots(1, 2 if thresholds else 1, squeeze=False)[0]
    _bars(axes[0], shares, names, colours)
    if thresholds:
        x, kept, spread = (100 * np.array(column) for column in zip(*thresholds, strict=True))
        dot = "." if len(x) <= 40 else ""
        axes[1].step(x, kept, where="post", color="#1f6fb4", marker=dot, label="samples kept, % of all")
        axes[1].step(x, spread, where="post", color="#c44e10", marker=dot, label="standard deviation of the class shares, %")
        axes[1].axvline(100 * chosen, color="#333333", linestyle=":", label=f"found: {100 * chosen:g} %")
        axes[1].set(xlabel="sample.min_annotated, %", title="what a least annotated share does to training", ylim=(0, 105))
        axes[1].legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.17))  # never on the lines
        axes[1].set_box_aspect(0.7)
        axes[1].set_anchor("N")
    return publish_figure(path, figure)


def _bars(axes: Any, shares: Mapping[Any, Sequence[float | None]], names: Sequence[str], colours: Sequence[str]) -> None:
    """A row per class with a bar per split, so that long names and many classes stay readable."""
    from matplotlib.patches import Patch

    width, alphas = 0.84 / max(1, len(shares)), (1, 0.6, 0.3)
    for i, own in enumerate(shares.values()):
        at = np.arange(len(names)) + (i - (len(shares) - 1) / 2) * width
        bars = axes.barh(at, [100 * (s or 0) for s in own], width * 0.92, color=colours, alpha=alphas[i % 3],
                         edgecolor="#333333", linewidth=0.6)  # fmt: skip
        axes.bar_label(bars, [_percent(s) for s in own], fontsize=7, padding=2)
    axes.set_yticks(np.arange(len(names)), as_they_are(shortened(n, 28) for n in names), fontsize="small")
    axes.set(xlabel="% of the label pixels", title="class shares per split", ylim=(len(names) - 0.4, -0.6))
    axes.margins(x=0.1)
    marks = [Patch(facecolor="#444444", edgecolor="#333333", alpha=a, label=s) for s, a in zip(shares, alphas, strict=False)]
    axes.legend(handles=marks, fontsize="small", loc="best")


def _percent(share: float | None) -> str:
    """A share in percent with two digits; what is less than a hundredth is said to be."""
    if share is None or share == 0:
        return "-" if share is None else "0"
    percent = 100 * share
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.1f}" if percent >= 1 else f"{percent:.2f}" if percent >= 0.01 else "<0.01"
