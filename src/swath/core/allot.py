"""Which blocks go to which split: by class shares, by chance, in turn, or as the colours of a chessboard."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from swath.core.splits import Block, Split, carve

Held = dict[Split, list[Block]]


def carved(blocks: Sequence[Block], shares: Mapping[Split, float]) -> Held:
    """The blocks of each held-out split with class shares close to those of all: `carve`, split after split."""
    held: Held = {}
    rest = list(blocks)
    for split, fraction in shares.items():
        held[split] = carve(rest, fraction)
        taken = set(held[split])
        rest = [b for b in rest if b not in taken]
    return held


def drawn(blocks: Sequence[Block], shares: Mapping[Split, float], seed: int) -> Held:
    """The blocks of each held-out split in random order, until its share of the labelled pixels is best met.

    The same `seed` gives the same blocks, in whatever order they come; at least one block stays for training.
    """
    listed = sorted((b for b in blocks if b.pixels.sum() > 0), key=lambda b: (b.scene, b.window))
    rest = [listed[i] for i in np.random.default_rng(seed).permutation(len(listed)).tolist()]
    total = sum(int(b.pixels.sum()) for b in rest)
    held: Held = {}
    for split, fraction in shares.items():
        wanted, have = fraction * total, 0
        taken: list[Block] = []
        while len(rest) > 1 and wanted and (not taken or abs(have + rest[0].pixels.sum() - wanted) < abs(have - wanted)):
            have += int(rest[0].pixels.sum())
            taken.append(rest.pop(0))
        held[split] = sorted(taken, key=lambda b: (b.scene, b.window))
    return held


def interleaved(blocks: Sequence[Block], shares: Mapping[Split, float], seed: int | None = None) -> Held:
    """The blocks of each held-out split, dealt in turn so that the numbers of blocks follow the shares all along.

    Blocks without labels are left out. `seed` shuffles the blocks first; None deals them as they come.
    """
    labelled = [b for b in blocks if b.pixels.sum() > 0]
    wanted: dict[Split, float] = {"trn": max(0.0, 1 - sum(shares.values())), **shares}
    order = np.random.default_rng(seed).permutation(len(labelled)).tolist() if seed is not None else None
    chosen = deal([1] * len(labelled), {s: w for s, w in wanted.items() if w > 0}, order)
    return {split: [b for b, own in zip(labelled, chosen, strict=True) if own == split] for split in shares}


def chessboard(blocks: Sequence[Block], shares: Mapping[Split, float]) -> Held:
    """The white fields of every scene's blocks for what is held out, so that neighbours by a side never share a group.

    `shares` divide the white fields among the held-out splits; black fields train.
    """
    tops: defaultdict[int, set[int]] = defaultdict(set)
    lefts: defaultdict[int, set[int]] = defaultdict(set)
    for b in blocks:
        tops[b.scene].add(b.window.row)
        lefts[b.scene].add(b.window.col)
    rank = {s: ({r: i for i, r in enumerate(sorted(tops[s]))}, {c: i for i, c in enumerate(sorted(lefts[s]))}) for s in tops}
    white = [b for b in blocks if (rank[b.scene][0][b.window.row] + rank[b.scene][1][b.window.col]) % 2]
    chosen = deal([1] * len(white), {s: w for s, w in shares.items() if w > 0})
    return {split: [b for b, own in zip(white, chosen, strict=True) if own == split] for split in shares}


def deal(weights: Sequence[int], wanted: Mapping[Split, float], order: Iterable[int] | None = None) -> list[Split]:
    """The split of every unit: one after another, in `order`, goes to the split that is furthest behind its share.

    `wanted` are proportions of any sum, `weights` how much a unit counts. No split stays empty while units are left.
    """
    whole = sum(wanted.values())
    have: Counter[Split] = Counter()
    chosen: dict[int, Split] = {}
    listed, seen = list(order if order is not None else range(len(weights))), 0
    for left, i in zip(range(len(listed), 0, -1), listed, strict=True):
        empty = [s for s in wanted if not have[s]]
        seen += weights[i]
        among = empty if len(empty) >= left else list(wanted)
        chosen[i] = max(among, key=lambda s: wanted[s] / whole * seen - have[s])
        have[chosen[i]] += weights[i]
    return [chosen[i] for i in range(len(weights))] if wanted else []


def tied(ties: Sequence[Iterable[Hashable]]) -> list[list[int]]:
    """The items that stay together because they share a tie, directly or through others: lists of item numbers.

    Each list is in order, and the lists by their first item.
    """
    parent = list(range(len(ties)))

    def top(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for i, keys in enumerate(ties):
        for key in keys:
            j = top(first.setdefault(key, i))
            parent[max(top(i), j)] = min(top(i), j)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for i in range(len(ties)):
        found[top(i)].append(i)
    return [found[k] for k in sorted(found)]
