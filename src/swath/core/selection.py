"""Which points are drawn: how many of each class, which candidates, on which grid, and to which split they go.

Candidates of a class are numbered by rank in the order in which they are met, so a selection is a set of ranks and no
list of candidates is ever held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, did_you_mean
from swath.core.splits import SPLITS, Split
from swath.core.windows import Window

Strategy = Literal["smallest", "constant", "percent", "total", "byclass", "all"]
STRATEGIES: tuple[Strategy, ...] = ("smallest", "constant", "percent", "total", "byclass", "all")
GRID_STRATEGIES = ("grid", "balanced")
SplitBy = Literal["regions", "chessboard", "proportions", "none"]
_SNAP = 1e-4  # pixels: a point this close to a pixel's corner lies on it, whatever the arithmetic of its CRS left over


@dataclass(frozen=True)
class Draw:
    """How points are drawn: `strategy` one of `STRATEGIES` or of `GRID_STRATEGIES`; sizes in pixels."""

    strategy: str = "smallest"
    number: float | None = None
    each: Mapping[int, int] | None = None
    sampler: Literal["periodic", "random"] = "periodic"
    jitter: float = 0.0
    seed: int = 0
    patch: int | None = None
    step: int | None = None
    offset: tuple[int, int] = (0, 0)
    seed_share: float = 0.25
    split: SplitBy = "none"
    order: Literal["interleave", "random"] = "interleave"
    shares: tuple[float, ...] = (50, 25, 25)

    def __post_init__(self) -> None:
        if self.side < 1 or self.spacing < 1 or min(self.offset) < 0 or not 0 <= self.jitter <= 1 or self.seed < 0:
            raise ConfigError("points-size", "points", "patch and step are 1 or more, offsets and seed 0 or more, jitter "
                              "0..1", "correct the number")  # fmt: skip

    @property
    def side(self) -> int:
        """The side of a grid's patches."""
        return 16 if self.patch is None else self.patch

    @property
    def spacing(self) -> int:
        """Pixels from grid point to grid point, and the side of a chessboard's squares."""
        return self.side if self.step is None else self.step


def allotted(
    available: Mapping[int, int], strategy: Strategy, *, number: float | None = None, each: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Points per class id, never more than are `available` (id -> candidates); classes without any get none.

    smallest: as many of each as the smallest class has. constant: `number` of each, lowered to the smallest class.
    percent: `number` percent of each, rounded half up. total: `number` in all, in proportion to the classes (largest
    remainders, so that the sum holds). byclass: `each` (id -> number), others none. all: every candidate.

    Raises ConfigError where `number` or `each` is missing, out of range, or names a class that has no candidate.
    """
    found = {i: n for i, n in available.items() if n > 0}
    if not found:
        return {}
    least = min(found.values())
    if strategy == "all":
        return found
    if strategy == "smallest":
        return dict.fromkeys(found, least)
    if strategy == "byclass":
        return _by_class(found, each)
    if number is None or not number > 0 or (strategy == "percent" and number > 100):
        raise ConfigError("points-number", "number", f"'{strategy}' needs a number above 0"
                          + (" and at most 100" if strategy == "percent" else ""), "write --number 100")  # fmt: skip
    if strategy == "constant":
        return dict.fromkeys(found, min(int(number), least))
    if strategy == "percent":
        return {i: int(np.floor(n * number / 100 + 0.5)) for i, n in found.items()}
    return _in_proportion(found, min(int(number), sum(found.values())))


def _by_class(found: Mapping[int, int], each: Mapping[int, int] | None) -> dict[int, int]:
    if not each:
        raise ConfigError("points-number", "counts", "'byclass' needs a number per class", "write --counts 1:100 2:50")
    odd = next((i for i, n in each.items() if i not in found or n < 0), None)
    if odd is not None:
        raise ConfigError("points-class", "counts", f"class {odd} has no candidate, or a number below 0",
                          did_you_mean(str(odd), map(str, found)))  # fmt: skip
    return {i: min(each.get(i, 0), n) for i, n in found.items()}


def _in_proportion(found: Mapping[int, int], total: int) -> dict[int, int]:
    whole = sum(found.values())
    shares = {i: divmod(n * total, whole) for i, n in found.items()}
    rest = total - sum(q for q, _ in shares.values())
    raised = sorted(shares, key=lambda i: (-shares[i][1], i))[:rest]
    return {i: q + (i in raised) for i, (q, _) in shares.items()}


def periodic_ranks(available: int, wanted: int, jitter: float = 0.0, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """`wanted` sorted distinct ranks below `available`, evenly spread: one per interval of available / wanted ranks.

    Each is the first of its interval, or with `jitter` (0..1) a random one of that first part of it.
    """
    edges = np.arange(wanted + 1, dtype=np.int64) * available // max(wanted, 1)
    first, room = edges[:-1], np.diff(edges)
    if jitter <= 0 or rng is None:
        return first
    return first + np.minimum((rng.random(wanted) * jitter * room).astype(np.int64), room - 1)


def random_ranks(available: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`wanted` sorted distinct ranks below `available`, every set equally likely; memory grows with `wanted` only."""
    if 2 * wanted > available:
        out = np.ones(available, bool)
        out[random_ranks(available, available - wanted, rng)] = False
        return np.flatnonzero(out)
    drawn: NDArray[np.int64] = np.empty(0, np.int64)
    while len(drawn) < wanted:
        drawn = np.concatenate([drawn, rng.integers(0, available, wanted - len(drawn), np.int64)])
        _, firsts = np.unique(drawn, return_index=True)
        drawn = drawn[np.sort(firsts)]  # in the order drawn: which of them are kept does not depend on their value
    return np.sort(drawn)


def patch_window(row: int, col: int, side: int) -> Window:
    """The patch of a pixel: it lies at index side // 2 of both axes, for even sides too."""
    return Window(row - side // 2, col - side // 2, side, side)


def patch_room(length: int, side: int) -> NDArray[np.bool_]:
    """True (length,) for the pixels of an axis whose patch lies inside."""
    first = np.arange(length) - side // 2
    return (first >= 0) & (first + side <= length)


def pixel_of(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels (rows, columns) that hold points given in pixels; a corner belongs to the pixel below and to its right."""
    return np.floor(rows + _SNAP).astype(np.int64), np.floor(cols + _SNAP).astype(np.int64)


def grid_firsts(length: int, side: int, step: int, offset: int) -> NDArray[np.int64]:
    """The first pixels of the whole patches along one axis: offset, offset + step, ..."""
    return np.arange(offset, length - side + 1, step, dtype=np.int64)


def patch_sums(plane: NDArray[Any], side: int, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums (rows, cols) of `plane` (h, w) over the patches whose first pixels are `rows` x `cols`."""
    table = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1), np.int64)
    np.cumsum(plane, axis=0, dtype=np.int64, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    low, high, left, right = rows[:, None], rows[:, None] + side, cols[None], cols[None] + side
    return table[high, right] - table[low, right] - table[high, left] + table[low, left]


def chessboard(rows: NDArray[np.int64], cols: NDArray[np.int64], cell: int, offset: tuple[int, int] = (0, 0)) -> NDArray[np.int64]:
    """0 (trn) or 1 (val) of pixels by the colour of their square of `cell` pixels; squares that share a side differ."""
    return ((rows - offset[0]) // cell + (cols - offset[1]) // cell) % 2


def dealt(count: int, shares: Sequence[float], rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """The split number of each of `count` points, in proportion to `shares` (trn, val, tst).

    In their order each goes to the split furthest behind its share (interleaved); with `rng` the same numbers are
    shuffled. Raises ConfigError where shares are below 0 or all 0.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) == 0:
        raise ConfigError("split-shares", "shares", "three proportions no less than 0 and not all 0 are wanted", "such as 50 25 25")
    parts = np.array(shares, float) / sum(shares)
    wanted = np.arange(1, count + 1)[:, None] * parts[None]
    out, have = np.empty(count, np.int64), np.zeros(len(parts))
    for i in range(count):
        out[i] = k = int(np.argmax(np.round(wanted[i] - have, 9)))
        have[k] += 1
    return rng.permutation(out) if rng is not None else out


def split_names(numbers: NDArray[np.int64]) -> list[Split]:
    """The names of split numbers."""
    return [SPLITS[i] for i in numbers.tolist()]
