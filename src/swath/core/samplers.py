"""Which sample stands at which position of the endless row that training walks through.

Each draw is a pure function of (seed, position): a resumed training, another number of threads, or rank r of n that takes
positions r, r + n, ... all see the same row. Adding a sampler is one function and one line in `SAMPLERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.draws import below, fractions
from swath.core.errors import ConfigError
from swath.core.registry import called, lookup

Draw = Callable[[NDArray[np.int64]], NDArray[np.int64]]
POOL = 8  # regions whose crops are mixed by `blocks`


@dataclass(frozen=True)
class Population:
    """What is drawn from: label pixels `counts` (samples, classes), and for `blocks` the `regions` (samples,) that lie in
    one piece of a raster, each sample drawn `visits` times an epoch.
    """

    counts: NDArray[np.int64]
    regions: NDArray[np.int64] | None = None
    visits: int = 1

    def __len__(self) -> int:
        return len(self.counts)


def build_sampler(name: str, population: Population, seed: int) -> Draw:
    """The draw of a sampler: sample numbers at positions. `name` is one of `SAMPLERS` or the user's `module:function`.

    The user's function is called once as `function(counts, seed)`, with the label pixels per sample and class, and gives
    a function from a position to a sample number, which must depend on nothing else. Raises ConfigError.
    """
    made = lookup(SAMPLERS, name, "sampler")
    if name in SAMPLERS:
        return made(population, seed)
    return _users(name, called("sampler", name, made, population.counts, seed), len(population))


def epoch_length(name: str, population: Population) -> int:
    """The draws of an epoch: one per sample, or with `blocks` as many as its crops cover the sample once."""
    return len(population) * (population.visits if name == "blocks" else 1)


def uniform(population: Population, seed: int) -> Draw:
    """Each epoch a new permutation of all samples: each is drawn once."""
    n = len(population)

    @lru_cache(maxsize=4)
    def row(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((seed, 1, epoch)).permutation(n)

    return _by_epoch(row, n)


def blocks(population: Population, seed: int) -> Draw:
    """Neighbours close together, so that a raster's region is decoded once for all of its crops.

    Each epoch the regions are permuted; the draws of `POOL` regions in a row are shuffled among each other. Each sample
    is drawn `visits` times an epoch.
    """
    regions = population.regions if population.regions is not None else np.arange(len(population))
    members = members_of(regions)
    visits = population.visits

    @lru_cache(maxsize=4)
    def row(epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((seed, 1, epoch))
        order = rng.permutation(len(members))
        pools = [np.concatenate([members[r] for r in order[i : i + POOL]]) for i in range(0, len(order), POOL)]
        return np.concatenate([rng.permutation(np.repeat(pool, visits)) for pool in pools])

    return _by_epoch(row, len(population) * visits)


def class_presence(population: Population, seed: int) -> Draw:
    """A class drawn uniformly, then uniformly a sample that holds it; classes that no sample holds are never drawn."""
    present = population.counts > 0
    held = [np.flatnonzero(present[:, c]) for c in np.flatnonzero(present.any(0))]
    sizes = np.array([len(h) for h in held])
    listed, first = np.concatenate(held), np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def draw(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        c = below(len(held), seed, 2, positions)
        return listed[first[c] + below(sizes[c], seed, 2, positions, 1)]

    return draw


def class_set(population: Population, seed: int) -> Draw:
    """Samples drawn with the inverse frequency of their *set* of classes: every set as often as every other."""
    _, kind, often = np.unique(population.counts > 0, axis=0, return_inverse=True, return_counts=True)
    weights = 1.0 / often[kind.ravel()]
    return _weighted(np.where(population.counts.sum(1) > 0, weights, 0.0), seed)


def pixel_weighted(population: Population, seed: int) -> Draw:
    """Samples drawn with the mean weight of their label pixels, a pixel weighing the inverse share of its class."""
    counts = population.counts.astype(np.float64)
    totals, labelled = counts.sum(0), counts.sum(1)
    share = counts / np.maximum(labelled, 1)[:, None]
    return _weighted((share / np.maximum(totals, 1)).sum(1), seed)


SAMPLERS: dict[str, Callable[[Population, int], Draw]] = {
    "uniform": uniform, "blocks": blocks, "class_presence": class_presence, "class_set": class_set,
    "pixel_weighted": pixel_weighted,
}  # fmt: skip


def unseen_classes(counts: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """The names of the classes that no sample holds."""
    return [name for name, pixels in zip(names, counts.sum(0).tolist(), strict=True) if pixels == 0]


def members_of(regions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The samples of each region, in the order of their numbers."""
    order = np.argsort(regions, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(regions[order])) + 1)


def _by_epoch(row: Callable[[int], NDArray[np.int64]], length: int) -> Draw:
    def draw(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        epochs, places = np.divmod(positions, length)
        out = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs).tolist():
            mine = epochs == epoch
            out[mine] = row(epoch)[places[mine]]
        return out

    return draw


def _weighted(weights: NDArray[np.float64], seed: int) -> Draw:
    """Draws with replacement in proportion to `weights`."""
    total = np.cumsum(weights)
    last = int(np.flatnonzero(weights)[-1])

    def draw(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.searchsorted(total, fractions(seed, 2, positions) * total[-1], side="right")
        return np.minimum(found, last)

    return draw


def _users(name: str, made: Any, n: int) -> Draw:
    if not callable(made):
        raise ConfigError("sampler-result", name, "gives no function from a position to a sample number",
                          "return a function: position -> number")  # fmt: skip

    def draw(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        found = [called("sampler", name, made, p) for p in positions.tolist()]
        for number in found:
            if not isinstance(number, int | np.integer) or not 0 <= number < n:
                raise ConfigError("sampler-result", name, f"gives {number!r}, there are samples 0 to {n - 1}",
                                  "return the number of a sample")  # fmt: skip
        return np.array(found, np.int64)

    return draw
