"""Charts as PNG, by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
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


def publish_histogram(path: Path, title: str, lines: Sequence[Line], *, shares: bool = False) -> Path:
    """The published PNG of histograms over one range; `shares`: each is divided by its sum."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, colour, histogram in lines:
        counts = np.asarray(histogram["counts"], np.float64)
        if shares:
            counts /= max(counts.sum(), 1)
        edges = np.linspace(histogram["low"], histogram["high"], len(counts) + 1)
        axes.stairs(counts, edges, color=colour, fill=len(lines) == 1, label=name)
    axes.set(title=title, xlabel="value", ylabel="share" if shares else "pixels")
    if len(lines) > 1:
        axes.legend(fontsize="small")
    return publish(path, lambda part: figure.savefig(part, dpi=110))
