"""Exact scores from counts that merge by `+`: each pixel is counted once, however the raster was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """Counts of (true class, predicted class): `counts` int64 (C, C), rows are the truth."""

    counts: NDArray[np.int64]

    @classmethod
    def zeros(cls, classes: int) -> Confusion:
        """No pixel counted."""
        return cls(np.zeros((classes, classes), np.int64))

    @classmethod
    def of(cls, truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> Confusion:
        """The counts of two equally shaped arrays of class indices.

        Pixels whose truth or prediction lies outside [0, classes) are not counted (255 is ignore).
        """
        seen = (truth >= 0) & (truth < classes) & (predicted >= 0) & (predicted < classes)
        pairs = truth[seen].astype(np.int64) * classes + predicted[seen]
        return cls(np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.counts + other.counts)

    @property
    def total(self) -> int:
        """Number of counted pixels."""
        return int(self.counts.sum())

    def scores(self, names: Sequence[str], background: int | None = 0) -> dict[str, Any]:
        """Every score as plain JSON values; None where it is undefined (a class absent from truth and prediction).

        Per class: iou, f1 (= dice), precision, recall, pixels (of the truth), predicted (pixels). Overall: mean_iou,
        mean_iou_foreground (without `background`), overall_accuracy, kappa (Cohen 1960), mcc (Gorodkin 2004), f1
        macro. Undefined classes are left out of the means.
        """
        m = self.counts.astype(np.float64)
        hit, true, guess = np.diag(m), m.sum(1), m.sum(0)
        iou = _ratio(hit, true + guess - hit)
        f1 = _ratio(2 * hit, true + guess)
        precision, recall = _ratio(hit, guess), _ratio(hit, true)
        foreground = [i for i in range(len(names)) if i != background]
        return {
            "mean_iou": _mean(iou),
            "mean_iou_foreground": _mean(iou[foreground]),
            "mean_f1": _mean(f1),
            "overall_accuracy": _scalar(hit.sum(), m.sum()),
            "kappa": _kappa(m),
            "mcc": _mcc(m),
            "pixels": self.total,
            "classes": {
                name: {
                    "iou": _none(iou[i]),
                    "f1": _none(f1[i]),
                    "precision": _none(precision[i]),
                    "recall": _none(recall[i]),
                    "pixels": int(true[i]),
                    "predicted": int(guess[i]),
                }
                for i, name in enumerate(names)
            },
            "confusion": self.counts.tolist(),
        }


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _none(x: float) -> float | None:
    return None if np.isnan(x) else float(x)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _scalar(above: float, below: float) -> float | None:
    return float(above / below) if below > 0 else None


def _kappa(m: NDArray[np.float64]) -> float | None:
    n = m.sum()
    if n == 0:
        return None
    chance = float((m.sum(0) * m.sum(1)).sum() / n**2)
    agreed = float(np.trace(m) / n)
    return (agreed - chance) / (1 - chance) if chance < 1 else None


def _mcc(m: NDArray[np.float64]) -> float | None:
    n, true, guess, hit = m.sum(), m.sum(1), m.sum(0), np.trace(m)
    below = (n**2 - (guess**2).sum()) * (n**2 - (true**2).sum())
    return float((hit * n - (true * guess).sum()) / np.sqrt(below)) if below > 0 else None
