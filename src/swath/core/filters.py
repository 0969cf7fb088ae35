"""Which samples are worth keeping: rules on the class shares of a tile, each refusal with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Filter:
    """Rules that a sample must meet; fractions are 0..1 of the whole tile.

    `min_annotated`: least share of pixels that are neither background nor ignored. `class_min`: least share per
    class index, of `all` listed classes or of `any`. `max_nodata`: largest share of pixels without image data.
    """

    min_annotated: float = 0.0
    class_min: Mapping[int, float] = field(default_factory=dict)
    mode: Literal["all", "any"] = "all"
    max_nodata: float = 0.99

    def refusal(self, counts: NDArray[np.int64], area: int, invalid: int, background: int | None) -> str | None:
        """The reason why a tile is dropped, or None; `counts` (C,) labelled pixels per class index."""
        if counts.sum() == 0:
            return "no labelled pixel"
        if invalid > self.max_nodata * area:
            return "nodata share"
        annotated = counts.sum() - (counts[background] if background is not None else 0)
        if annotated < self.min_annotated * area:
            return "annotated share"
        return None if self._floors_met(counts / area) else "class floor"

    def _floors_met(self, shares: NDArray[Any]) -> bool:
        met = [shares[i] >= floor for i, floor in self.class_min.items()]
        return not met or (all(met) if self.mode == "all" else any(met))
