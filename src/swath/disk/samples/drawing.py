"""Sample points drawn from candidates: by rank in two passes over strips of pixels, or on a grid of valid patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.core.balance import balanced
from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.selection import Draw, grid_firsts, patch_sums, periodic_ranks, random_ranks
from swath.core.windows import Window
from swath.disk.rasters.tally import MOST_VALUES
from swath.disk.samples.candidates import Source
from swath.progress import Progress

Strip = tuple[int, Window, dict[int, int]]  # number of the source, its pixels, candidates per class id


@dataclass
class Pixels:
    """Points of one source: pixels, where in the pixel (0.5: centre), class ids where `known`."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    shift: float
    ids: NDArray[np.int64]
    known: NDArray[np.bool_]

    def kept(self, keep: NDArray[np.bool_]) -> Pixels:
        """Those of them that `keep` marks."""
        return Pixels(self.rows[keep], self.cols[keep], self.shift, self.ids[keep], self.known[keep])


def value_counts(values: NDArray[np.integer]) -> dict[int, int]:
    """How often each value occurs, by value; of small integers without sorting."""
    if values.size == 0:
        return {}
    if values.dtype.itemsize > 2:
        found, counts = np.unique(values, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))
    low = int(values.min())
    table = np.bincount(values.ravel().astype(np.int32) - low)
    return {int(i) + low: int(table[i]) for i in np.flatnonzero(table)}


def counted(sources: Sequence[Source], draw: Draw, events: Events) -> list[Strip]:
    """(source, strip, candidates per class id) of all strips: the first pass."""
    found, seen = [], set[int]()
    with Progress("count", sum(s.grid.height * s.grid.width for s in sources), "pixels") as bar:
        for n, source in enumerate(sources):
            for window in source.strips():
                ids, known = source.candidates(window, draw)
                counts = value_counts(ids[known])
                found.append((n, window, counts))
                seen |= set(counts)
                if len(seen) > MOST_VALUES:
                    raise DataError("label-image", source.name, f"holds more than {MOST_VALUES} values: it is no class raster",
                                    "name the labels by --labels, or draw a grid: --strategy grid")  # fmt: skip
                events.count("pixel that is no candidate", window.area - sum(counts.values()))
                bar.advance(window.area)
    return found


def taken(
    sources: Sequence[Source], strips: Sequence[Strip], wanted: Mapping[int, int], draw: Draw
) -> list[Pixels]:
    """The candidates whose ranks are drawn: the second pass, over the strips that hold one."""
    total = sum((Counter(c) for _, _, c in strips), Counter[int]())
    ranks = {i: _ranks(total[i], n, i, draw) for i, n in wanted.items()}
    seen: Counter[int] = Counter()
    parts: list[list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = [[] for _ in sources]
    for n, window, counts in strips:
        bounds = {i: np.searchsorted(ranks[i], [seen[i], seen[i] + c]) for i, c in counts.items()}
        if any(high > low for low, high in bounds.values()):
            ids, known = sources[n].candidates(window, draw)
            for i, (low, high) in bounds.items():
                if high > low:
                    flat = np.flatnonzero((ids == i) & known)[ranks[i][low:high] - seen[i]]
                    parts[n].append((flat + window.row * window.width, np.full(len(flat), i, np.int64)))
        seen.update(counts)
    return [_row_major(p, s.grid.width) for p, s in zip(parts, sources, strict=True)]


def _ranks(available: int, wanted: int, class_id: int, draw: Draw) -> NDArray[np.int64]:
    rng = np.random.default_rng((draw.seed, class_id & 0xFFFFFFFF))  # a class's points do not depend on the others
    if draw.sampler == "random":
        return random_ranks(available, wanted, rng)
    return periodic_ranks(available, wanted, draw.jitter, rng)


def _row_major(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], width: int) -> Pixels:
    nothing: NDArray[np.int64] = np.empty(0, np.int64)
    flat, ids = (np.concatenate([nothing, *column]) for column in (zip(*parts, strict=True) if parts else ((), ())))
    order = np.argsort(flat, kind="stable")
    return Pixels(flat[order] // width, flat[order] % width, 0.5, ids[order], np.ones(len(ids), bool))


def grid_points(sources: Sequence[Source], draw: Draw) -> tuple[list[Pixels], Counter[int], list[str]]:
    """The points of the valid patches of a grid, all of them or a balanced choice; such points per class id; notes."""
    found: list[Pixels] = []
    histograms: list[dict[int, NDArray[np.int64]]] = []
    for source in sources:
        if draw.strategy == "balanced" and source.classes is None:
            raise DataError("labels-none", source.name, "balancing needs the classes of pixels", "name them: --labels FILE")
        one, histogram = _grid_of(source, draw)
        found.append(one)
        histograms.append(histogram)
    count = sum(len(f.rows) for f in found)
    available = Counter(i for f in found for i in f.ids[f.known].tolist())
    notes = [f"{count} grid positions hold a valid patch of {draw.side} pixels"]
    if draw.strategy == "balanced" and count:
        classes, table = _table(found, histograms)
        keep = np.zeros(count, bool)
        keep[balanced(table, draw.seed_share, None if draw.number is None else int(draw.number))] = True
        told = ", ".join(f"{i}: {n:,}" for i, n in zip(classes, table[keep].sum(0).tolist(), strict=True))
        notes.append(f"pixels per class in the {int(keep.sum())} patches chosen: {told}")
        ends = np.cumsum([len(f.rows) for f in found])[:-1]
        found = [f.kept(k) for f, k in zip(found, np.split(keep, ends), strict=True)]
    return found, available, notes


def _grid_of(source: Source, draw: Draw) -> tuple[Pixels, dict[int, NDArray[np.int64]]]:
    """The valid grid points of a source, and their pixels per class id where the points are to be balanced."""
    side, grid = draw.side, source.grid
    firsts = grid_firsts(grid.height, side, draw.spacing, draw.offset[0])
    cols = grid_firsts(grid.width, side, draw.spacing, draw.offset[1])
    parts, pixels = [], []
    with Progress(f"grid of {source.name}", max(1, len(firsts)), "rows") as bar:
        for rows in _groups(firsts, source, side) if len(cols) else ():
            window = Window(int(rows[0]), 0, int(rows[-1] - rows[0]) + side, grid.width)
            bad = np.zeros(window.shape, bool) if source.valid is None else ~source.valid(window)
            ids, known = (None, None) if source.classes is None else source.classes(window)
            at = rows - rows[0]
            keep = patch_sums(bad, side, at, cols) == 0
            r, c = np.nonzero(keep)
            rows_in, cols_in = at[r] + side // 2, cols[c] + side // 2
            own = np.zeros(len(r), np.int64) if ids is None else ids[rows_in, cols_in].astype(np.int64)
            has = np.zeros(len(r), bool) if known is None else known[rows_in, cols_in] & ~bad[rows_in, cols_in]
            parts.append((rows_in + window.row, cols_in, own, has))
            if draw.strategy == "balanced" and ids is not None and known is not None:
                pixels.append({int(i): patch_sums((ids == i) & known, side, at, cols)[keep] for i in np.unique(ids[known])})
            bar.advance(len(rows))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.empty(0, np.int64)] * 4
    shift = 0.5 if side % 2 else 0.0
    found = Pixels(joined[0], joined[1], shift, joined[2], joined[3].astype(bool))
    sizes = [len(p[0]) for p in parts]
    every = sorted({i for p in pixels for i in p})
    histogram = {i: np.concatenate([p.get(i, np.zeros(n, np.int64)) for p, n in zip(pixels, sizes, strict=True)]) for i in every}
    return found, histogram


def _groups(firsts: NDArray[np.int64], source: Source, side: int) -> list[NDArray[np.int64]]:
    """Grid rows that are read together: as many as a strip holds."""
    if len(firsts) == 0:
        return []
    height = max(side, next(source.strips(side)).height)
    numbers = (firsts - firsts[0]) // max(1, height - side + 1)
    return np.split(firsts, np.flatnonzero(np.diff(numbers)) + 1)


def _table(
    found: Sequence[Pixels], histograms: Sequence[Mapping[int, NDArray[np.int64]]]
) -> tuple[list[int], NDArray[np.int64]]:
    """The class ids, and the pixels per candidate and class, (n, C), over all sources."""
    every = sorted({i for h in histograms for i in h})
    if not every:
        raise DataError("labels-none", "balanced", "no valid patch holds a labelled pixel", "check labels and grid")
    return every, np.concatenate([
        np.stack([h.get(i, np.zeros(len(f.rows), np.int64)) for i in every], 1) for f, h in zip(found, histograms, strict=True)
    ])  # fmt: skip
