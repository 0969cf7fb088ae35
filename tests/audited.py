"""What tests of audits look at: pixels without a fault, a class table, the codes of findings."""

from __future__ import annotations

from typing import Any

import numpy as np

from swath.core.legend import ClassEntry, Legend
from swath.disk.audits.audit import Finding

LEGEND = Legend(
    (ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000"), ClassEntry(2, "tree", "#00ff00"))
)


def noise(bands: int = 3, side: int = 128, low: float = 60, high: float = 180, seed: int = 0) -> Any:
    """uint8 bands (C, H, W) that differ from one another, away from the ends of the type."""
    return np.random.default_rng(seed).uniform(low, high, (bands, side, side)).astype(np.uint8)


def codes(found: list[Finding], *levels: str) -> set[str]:
    return {f.code for f in found if not levels or f.level in levels}
