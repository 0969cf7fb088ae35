"""A choice of candidates whose classes together are close to balanced; in close to linear time, though each step looks at all.

A step takes, of the candidates that even out the histogram, the one at the largest angle to it. The histogram turns little
from step to step, so most candidates are known beforehand to be no better for a while, and a shortlist is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError
from swath.core.selection import periodic_ranks

_SLACK = 1e-6  # radians, beyond what rounding does to an angle


@dataclass(frozen=True)
class _Kinds:
    """Candidates with one histogram each: `rows` (k, C), their `lengths` and `sizes` (k,), the `first` free candidate (k,)."""

    rows: NDArray[np.float64]
    lengths: NDArray[np.float64]
    sizes: NDArray[np.float64]
    first: NDArray[np.int64]

    def take(self, which: NDArray[np.int64]) -> _Kinds:
        return _Kinds(self.rows[which], self.lengths[which], self.sizes[which], self.first[which])

    def best(self, have: NDArray[np.float64]) -> int | None:
        """The kind at the largest angle to `have` of those that bring it closer to an even one; None without any."""
        along = self.rows @ have
        even = (have.sum() + self.sizes) / np.sqrt(have @ have + 2 * along + self.lengths**2)  # cosine, but for a factor
        better = even > (1 + 1e-12) * have.sum() / np.linalg.norm(have)
        if not better.any():
            return None
        value = np.where(better, along / self.lengths, np.inf)
        equal = np.flatnonzero(value == value.min())
        return int(equal[self.first[equal].argmin()])

    def angles(self, have: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k,) radians to `have`."""
        return np.arccos(np.minimum(self.rows @ have / self.lengths / np.linalg.norm(have), 1.0))


def balanced(histograms: NDArray[np.int64], seed_share: float = 0.25, most: int | None = None) -> NDArray[np.int64]:
    """Sorted numbers of the candidates whose classes together are close to balanced; `histograms` (n, C) are pixels.

    A spatially regular share of the candidates (every k-th in their order) is the seed. Then, one by one, of those that
    bring the histogram closer to an even one (larger cosine) the one least aligned with it (smallest cosine; the first of
    equal ones) is added, until there is none, and up to `most`. Candidates without a labelled pixel are left out.
    """
    if not 0 < seed_share <= 1:
        raise ConfigError("points-seed", "seed-share", "lies outside of 0..1", "such as 0.25")
    usable = np.flatnonzero(histograms.sum(1) > 0)
    if len(usable) == 0:
        return usable
    counts = histograms[usable].astype(np.float64)
    counts = counts[:, counts.any(0)]
    taken = np.zeros(len(usable), bool)
    taken[periodic_ranks(len(usable), min(max(1, round(seed_share * len(usable))), most or len(usable)))] = True
    free = np.flatnonzero(~taken)
    room = len(free) if most is None else min(len(free), most - int(taken.sum()))
    taken[free[_added(counts[free], counts[taken].sum(0), room)]] = True
    return usable[taken]


def _added(counts: NDArray[np.float64], have: NDArray[np.float64], room: int) -> list[int]:
    """At most `room` rows of `counts` (n, C), in the order in which they are added to `have`."""
    rows, kind = np.unique(counts, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(kind.ravel(), minlength=len(rows)))
    at = ends - np.diff(ends, prepend=0)  # where in `order` the next candidate of a kind stands
    kinds = _Kinds(rows, np.linalg.norm(rows, axis=1), rows.sum(1), order[at] if len(rows) else at)
    few, out = max(256, int(4 * len(rows) ** 0.5)), list[int]()
    while len(out) < room:
        left = np.flatnonzero(at < ends)
        best = kinds.take(left).best(have)
        if best is None:
            break
        listed, limit, turn = _shortlist(kinds.take(left), have, few)
        near, start, chosen = left[listed], have, int(left[best])
        while chosen >= 0:
            out.append(int(kinds.first[chosen]))
            have = have + kinds.rows[chosen]
            at[chosen] += 1
            if at[chosen] < ends[chosen]:
                kinds.first[chosen] = order[at[chosen]]
            else:
                near = near[near != chosen]
            turned = _angle(start, have)
            chosen = -1
            if len(out) < room and turned <= turn:
                best = kinds.take(near).best(have)
                if best is not None and kinds.take(near[[best]]).angles(have)[0] > limit + turned + _SLACK:
                    chosen = int(near[best])
    return out


def _shortlist(kinds: _Kinds, have: NDArray[np.float64], few: int) -> tuple[NDArray[np.int64], float, float]:
    """(numbers of kinds, largest angle of the others that may be taken, radians that `have` may turn until that fails).

    A candidate of size s and length l, at the angle t to a histogram of size S and length H, can make it more even only
    where (s / l) (1 + s / 2S) > (S / H) cos t. S and S / H never fall, and t changes by no more than the histogram turns.
    """
    size, length = float(have.sum()), float(np.linalg.norm(have))
    turn = float(np.clip(few / 2 * kinds.lengths.mean() / length, 0.002, 0.2))
    angles = kinds.angles(have)
    gain = kinds.sizes / kinds.lengths * (1 + kinds.sizes / (2 * size))
    possible = np.flatnonzero(gain > size / length * np.cos(np.minimum(angles + turn + _SLACK, np.pi)) - 1e-9)
    if len(possible) <= few:
        return possible, -np.inf, turn
    ranked = possible[np.argsort(-angles[possible], kind="stable")]
    return ranked[:few], float(angles[ranked[few]]), turn


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.arccos(min(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), 1.0)))
