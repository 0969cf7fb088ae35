"""Which samples are worth keeping: rules on the class shares of a tile, each refusal with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

REASONS = (None, "no labelled pixel", "nodata share", "annotated share", "class floor")


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
        return REASONS[int(self.verdicts(counts[None], np.array([area]), np.array([invalid]), background)[0])]

    def verdicts(
        self, counts: NDArray[np.int64], areas: NDArray[np.int64], invalid: NDArray[np.int64], background: int | None
    ) -> NDArray[np.int64]:
        """(n,) places in `REASONS`: the first rule that each tile breaks, 0 for none; `counts` (n, C), others (n,)."""
        labelled = counts.sum(1)
        annotated = labelled - (counts[:, background] if background is not None else 0)
        broken = [  # shares are divided: 7 of 100 pixels are exactly 0.07, while 0.07 * 100 is a little more than 7
            labelled == 0,
            invalid / areas > self.max_nodata,
            annotated / areas < self.min_annotated,
            ~self._floors_met(counts / areas[:, None]),
        ]
        return np.select(broken, range(1, len(REASONS)), 0)

    def _floors_met(self, shares: NDArray[Any]) -> NDArray[np.bool_]:
        met = [shares[:, i] >= floor for i, floor in self.class_min.items()]
        if not met:
            return np.ones(len(shares), bool)
        return np.logical_and.reduce(met) if self.mode == "all" else np.logical_or.reduce(met)
