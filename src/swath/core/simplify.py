"""Simpler outlines that still fit together: what two regions share stays shared, and nothing crosses, gaps or overlaps.

An outline is cut into arcs at its nodes, the grid corners where three or more borders meet. Both regions beside an arc
see the same corners, and simplify it alike, whichever comes first: by Douglas-Peucker, but a chord may replace a chain
of corners only where no other border reaches into what lies between the two (after de Berg, van Kreveld and Schirra,
Topologically correct subdivision simplification using the bandwidth criterion, 1998). Two chords can then not cross: one
of them would have to leave the space between the other and its chain, through the chord a second time, or through the
chain, beside which no border enters. So every arc is simplified by itself, from the borders near it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from swath.core.outlines import Ints, Rings

_PIECE = 2_000_000  # grid corners that are looked at together
_DEEP = 40  # rounds after which chains are halved, so that none takes long
_FAR = np.iinfo(np.int64).max

Flags = NDArray[np.bool_]


class Borders:
    """Which grid corners of a raster of (height, width) lie on a border, and which are nodes: two bits each."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._border, self._node = np.zeros((2, height + 1, -(-(width + 1) // 8)), np.uint8)

    @staticmethod
    def bytes(height: int, width: int) -> int:
        """The memory that the borders of a raster take."""
        return 2 * (height + 1) * -(-(width + 1) // 8)

    def add(self, row: int, across: Flags, below: Flags) -> None:
        """Takes the grid rows from `row` on: `across` (h + 1, w + 1), `below` (h, w + 2), as for `find_corners`."""
        edges = across[:-1].astype(np.uint8) + across[1:] + below[:, :-1] + below[:, 1:]
        rows = slice(row, row + len(edges))
        self._border[rows] = np.packbits(edges > 0, axis=1)
        self._node[rows] = np.packbits(edges > 2, axis=1)

    def on_border(self, col: Ints, row: Ints) -> Flags:
        """(n) True where a border passes through a grid corner."""
        return (self._border[row, col >> 3] >> (7 - (col & 7)).astype(np.uint8) & 1).astype(bool)

    def is_node(self, col: Ints, row: Ints) -> Flags:
        """(n) True where three or four borders meet."""
        return (self._node[row, col >> 3] >> (7 - (col & 7)).astype(np.uint8) & 1).astype(bool)

    def key(self, points: Ints) -> Ints:
        """(n) int64: a number of its own for every grid corner, ascending row by row."""
        return points[:, 1].astype(np.int64) * (self.width + 1) + points[:, 0]


def simplified(rings: Rings, borders: Borders, scale: tuple[float, float], tolerance: float) -> Rings:
    """The rings with fewer points, none further than `tolerance` from its old place to the new outline.

    `scale`: width and height of a pixel, in the unit of `tolerance`. Nodes and corners on the raster's frame stay, and
    of an outline with fewer than two of them the outermost corners. Rings begin at a point that stays. `borders` must
    know the grid rows of all rings.
    """
    points, starts = _with_nodes(rings.points, rings.rings, borders)
    pins = _pins(points, starts, borders)
    points, pins = _begun_at_pins(points, starts, pins)
    last = np.zeros(len(points), bool)
    last[starts[1:] - 1] = True
    ends = np.flatnonzero(pins)
    from_, to = ends[:-1][~last[ends[:-1]]], ends[1:][~last[ends[:-1]]]
    keep = _Arcs(points, borders, scale, tolerance).kept(from_, to)
    before = np.concatenate([[0], np.cumsum(keep)])
    return Rings(points[keep], before[starts], rings.parts)


def _with_nodes(points: Ints, starts: Ints, borders: Borders) -> tuple[Ints, Ints]:
    """The rings with a point wherever other borders meet a straight edge."""
    edge = np.arange(len(points) - 1)
    length = np.abs(np.diff(points, axis=0)).sum(1)
    length[starts[1:-1] - 1] = 0  # from ring to ring there is no edge
    edge, length = edge[length > 1], length[length > 1] - 1
    found = [(np.empty(0, np.int64), np.empty((0, 2), points.dtype))]
    for own in _pieces(length):
        at, step = _spread(length[own])
        at = edge[own][at]
        inner = points[at] + np.sign(points[at + 1] - points[at]) * (step + 1)[:, None].astype(points.dtype)
        hit = borders.is_node(inner[:, 0], inner[:, 1])
        found.append((at[hit], inner[hit]))
    at, inner = np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
    return np.insert(points, at + 1, inner, axis=0), starts + np.searchsorted(at, starts)


def _pins(points: Ints, starts: Ints, borders: Borders) -> Flags:
    """(p) True for points that stay whatever the tolerance: at least two of every ring."""
    col, row = points.T
    pins = borders.is_node(col, row) | (col == 0) | (col == borders.width) | (row == 0) | (row == borders.height)
    size = np.diff(starts)
    few = np.add.reduceat(pins, starts[:-1], dtype=np.int64) - pins[starts[:-1]] < 2  # the first point is there twice
    if few.any():
        wide, high = borders.width + 1, borders.height + 1
        x, y = col.astype(np.int64), row.astype(np.int64)
        mine = np.repeat(few, size)
        for outer in (y * wide + x, y - x * high, -y * wide - x, x * high - y):  # top, right, bottom, left
            pins |= mine & (outer == np.repeat(np.minimum.reduceat(outer, starts[:-1]), size))
    return pins


def _begun_at_pins(points: Ints, starts: Ints, pins: Flags) -> tuple[Ints, Flags]:
    """The rings turned so that each begins, and ends, at its first pin."""
    size = np.diff(starts)
    place = np.where(pins, np.arange(len(points)), len(points))
    first = np.minimum.reduceat(place, starts[:-1]) - starts[:-1]
    local = np.arange(len(points)) - np.repeat(starts[:-1], size)
    turned = np.repeat(starts[:-1], size) + (local + np.repeat(first, size)) % np.repeat(size - 1, size)
    return points[turned], pins[turned]


@dataclass(frozen=True)
class _Arcs:
    """Points (p, 2) of arcs, with what decides whether a chord may stand for some of them."""

    points: Ints
    borders: Borders
    scale: tuple[float, float]
    tolerance: float

    def kept(self, a: Ints, b: Ints) -> Flags:
        """(p) True for the points that stay of arcs from points `a` to `b` (n)."""
        keep = np.ones(len(self.points), bool)
        whole = np.ones(len(a), bool)
        depth = 0
        while (longer := b - a > 1).any():
            a, b, whole = a[longer], b[longer], whole[longer]
            split, good = np.empty(len(a), np.int64), np.empty(len(a), bool)
            for own in _pieces(b - a):
                split[own], good[own] = self._judged(a[own], b[own], whole[own], depth)
            chain, step = _spread((b - a - 1)[good])
            keep[a[good][chain] + 1 + step] = False
            bad = ~good
            a, b = np.concatenate([a[bad], split[bad]]), np.concatenate([split[bad], b[bad]])
            whole = np.zeros(len(a), bool)
            depth += 1
        return keep

    def _judged(self, a: Ints, b: Ints, whole: Flags, depth: int) -> tuple[Ints, Flags]:
        """(where to split, whether the chord may stand) for the chains from `a` to `b`.

        Nothing depends on the direction, in which the region on the other side walks. Chains are split at the point
        furthest from the chord; of several the one nearest the middle.
        """
        chain, step = _spread(b - a - 1)
        begins = np.concatenate([[0], np.cumsum(b - a - 1)[:-1]])
        at = a[chain] + 1 + step
        distance, side = self._distance(at, a[chain], b[chain])
        furthest = np.maximum.reduceat(distance, begins)
        wanted = distance == furthest[chain] if depth < _DEEP else np.ones(len(at), bool)
        for score in (np.abs(2 * at - a[chain] - b[chain]), self.borders.key(self.points[at])):
            score = np.where(wanted, score, _FAR)
            wanted = score == np.minimum.reduceat(score, begins)[chain]
        good = furthest <= self.tolerance
        # Two arcs between the same nodes must not both become their chord: never one that lies to its right.
        right = ~np.logical_or.reduceat(side < 0, begins) & np.logical_or.reduceat(side > 0, begins)
        good &= ~(whole & right)
        good &= np.abs(self.points[a] - self.points[b]).sum(1) > 1  # a pixel's edge may be another arc
        for own in _pieces(np.where(good, self._lengths(a, b), 0)):
            mine = np.flatnonzero(good[own]) + own.start
            if len(mine):
                good[mine] = self._free(a[mine], b[mine])
        return at[wanted], good

    def _distance(self, at: Ints, a: Ints, b: Ints) -> tuple[NDArray[np.float64], Ints]:
        """Of points `at` the distance to the chords from `a` to `b`, and the side on which they lie: 1, 0 or -1."""
        p, q, v = (self.points[i].astype(np.int64) for i in (a, b, at))
        x, y = self.scale
        chord, one, other = q - p, v - p, v - q
        cross = chord[:, 0] * one[:, 1] - chord[:, 1] * one[:, 0]
        length = np.hypot(x * chord[:, 0], y * chord[:, 1])
        squares = np.array([x * x, y * y])
        beyond = ((chord * one * squares).sum(1) < 0) | ((chord * other * squares).sum(1) > 0)
        nearest = np.minimum(*(np.hypot(x * d[:, 0], y * d[:, 1]) for d in (one, other)))
        line = np.divide(x * y * np.abs(cross), length, out=np.zeros(len(at)), where=length > 0)
        forward = self.borders.key(p) < self.borders.key(q)
        return np.where(beyond | (length == 0), nearest, line), np.sign(cross) * np.where(forward, 1, -1)

    def _lengths(self, a: Ints, b: Ints) -> Ints:
        """The lengths in pixels of the chains from `a` to `b`."""
        along = np.concatenate([[0], np.cumsum(np.abs(np.diff(self.points.astype(np.int64), axis=0)).sum(1))])
        return along[b] - along[a]

    def _free(self, a: Ints, b: Ints) -> Flags:
        """(n) True where no border but the chain itself lies between chain and chord, or on the chord."""
        own, cells = self._pockets(a, b)
        free = np.ones(len(a), bool)
        for piece in _pieces(cells.high - cells.low + 1):
            column, step = _spread((cells.high - cells.low + 1)[piece])
            column += piece.start
            x, y = cells.col[column], cells.low[column] + step
            hit = self.borders.on_border(x, y)
            column, x, y = column[hit], x[hit], y[hit]
            code = column * (self.borders.height + 2) + y
            place = np.minimum(np.searchsorted(own.points, code), len(own.points) - 1)
            foreign = own.points[place] != code
            column, x, y, code = column[foreign], x[foreign], y[foreign], code[foreign]
            chain = cells.chain[column]
            p, q = self.points[a[chain]].astype(np.int64), self.points[b[chain]].astype(np.int64)
            turned = p[:, 0] > q[:, 0]
            p[turned], q[turned] = q[turned], p[turned].copy()
            cross = (q[:, 0] - p[:, 0]) * (y - p[:, 1]) - (q[:, 1] - p[:, 1]) * (x - p[:, 0])
            above = np.searchsorted(own.edges, code) - np.searchsorted(own.edges, column * (self.borders.height + 2))
            above += (p[:, 0] <= x) & (x < q[:, 0]) & (cross > 0)
            low, high = np.minimum(p[:, 1], q[:, 1]), np.maximum(p[:, 1], q[:, 1])
            on_chord = (cross == 0) & (p[:, 0] <= x) & (x <= q[:, 0]) & (low <= y) & (y <= high)
            free[chain[on_chord | (above % 2 == 1)]] = False
        return free

    def _pockets(self, a: Ints, b: Ints) -> tuple[_Own, _Columns]:
        """What the chains themselves pass through, and the columns of grid corners that enclose chains and chords."""
        edge_of, step = _spread(b - a)
        edge = a[edge_of] + step
        length = np.abs(np.diff(self.points, axis=0)[edge]).sum(1)
        at, step = _spread(length)
        ahead = np.sign(self.points[edge + 1] - self.points[edge]).astype(np.int64)[at]
        x, y = (self.points[edge][at] + ahead * step[:, None]).T
        chain = edge_of[at]
        x, y, chain = (np.concatenate(both) for both in zip((x, y, chain), (*self.points[b].T, np.arange(len(a))), strict=True))
        left, right = np.full(len(a), _FAR), np.full(len(a), -1)
        np.minimum.at(left, chain, x)
        np.maximum.at(right, chain, x)
        of, step = _spread(right - left + 1)
        first = np.concatenate([[0], np.cumsum(right - left + 1)[:-1]])
        column = first[chain] + x - left[chain]
        low, high = np.full(len(of), _FAR), np.full(len(of), -1)
        np.minimum.at(low, column, y)
        np.maximum.at(high, column, y)
        col = left[of] + step
        p, q = self.points[a[of]].astype(np.int64), self.points[b[of]].astype(np.int64)
        wide = q[:, 0] - p[:, 0]
        under = ((col - p[:, 0]) * np.sign(wide) >= 0) & ((q[:, 0] - col) * np.sign(wide) >= 0) & (wide != 0)
        rise = (q[:, 1] - p[:, 1]) * (col - p[:, 0])
        chord = p[:, 1] + np.floor_divide(rise, wide, out=np.zeros_like(rise), where=under)
        low, high = np.where(under, np.minimum(low, chord), low), np.where(under, np.maximum(high, chord + 1), high)
        tall = self.borders.height + 2
        flat = ahead[:, 0] != 0
        starts = np.minimum(x[: len(at)][flat], (x[: len(at)] + ahead[:, 0])[flat])
        of_edge = chain[: len(at)][flat]
        edges = (first[of_edge] + starts - left[of_edge]) * tall + y[: len(at)][flat]
        own = _Own(np.sort(column * tall + y), np.sort(edges))
        return own, _Columns(of, col, low, np.minimum(high, self.borders.height))


@dataclass(frozen=True)
class _Own:
    """Sorted codes (column of a pocket, row) of the grid corners that chains pass, and of their edges along rows."""

    points: Ints
    edges: Ints


@dataclass(frozen=True)
class _Columns:
    """Columns of grid corners (n) that enclose chains and chords: of which chain, which column, first and last row."""

    chain: Ints
    col: Ints
    low: Ints
    high: Ints


def _spread(sizes: Ints) -> tuple[Ints, Ints]:
    """(which, step) of groups of the given sizes: 0 0 0 1 1 ..., and 0 1 2 0 1 ..."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    begins = np.cumsum(sizes) - sizes
    return which, np.arange(len(which)) - begins[which]


def _pieces(sizes: Ints) -> Iterator[slice]:
    """Slices of groups, each of about `_PIECE` members, or of one group."""
    ends = np.cumsum(sizes)
    cuts = [0]
    while cuts[-1] < len(sizes):
        full = int(ends[cuts[-1] - 1]) if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, full + _PIECE, side="right"))))
    for begin, end in pairwise(cuts):
        yield slice(begin, end)
