"""The plan of a generated town: a bent grid of streets, the blocks between them with their use, a river.

Lengths are metres, angles radians, coordinates those of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from swath.disk.town.paint import Street

BUILT = ("core", "homes", "works")
MARGIN = 25.0  # built beyond the edge of a scene, for the shadows that fall into it


@dataclass(frozen=True)
class Block:
    """The ground between four streets and what it is used for."""

    shape: Polygon
    use: str
    angle: float


@dataclass(frozen=True)
class Plan:
    """The town before anything is built: a bent grid of streets, laid through `place`."""

    extent: Polygon
    turn: float
    bends: np.ndarray
    nodes: np.ndarray
    uses: np.ndarray
    blocks: tuple[Block, ...] = ()

    def place(self, points: np.ndarray) -> np.ndarray:
        """The map coordinates of (N, 2) plan coordinates: gently bent, turned, moved to the centre."""
        u = points[:, 0] + 12 * np.sin(points[:, 1] / 85 + self.bends[0])
        v = points[:, 1] + 12 * np.sin(points[:, 0] / 85 + self.bends[1])
        c, s = np.cos(self.turn), np.sin(self.turn)
        centre = self.extent.centroid
        return np.stack([centre.x + c * u - s * v, centre.y + s * u + c * v], axis=1)

    def street(self, a: tuple[int, int], b: tuple[int, int]) -> np.ndarray:
        """The (7, 2) map points from node a to node b."""
        return self.place(np.linspace(self.nodes[a], self.nodes[b], 7))


def lay_out(extent: Polygon, rng: np.random.Generator) -> Plan:
    """The plan of a town that covers the square `extent` and the margin around it."""
    side = extent.bounds[2] - extent.bounds[0]
    us, vs = (_spaced(0.72 * side + 60, step, rng) for step in (84.0, 66.0))
    nodes = np.stack(np.meshgrid(us, vs, indexing="ij"), axis=-1) + rng.uniform(-5, 5, (len(us), len(vs), 2))
    turn, bends = rng.uniform(-0.5, 0.5), rng.uniform(0, 2 * np.pi, 2)
    plan = Plan(extent, turn, bends, nodes, _uses(nodes, side, rng))
    blocks = [_block(plan, i, j) for i, j in np.ndindex(*plan.uses.shape)]
    around = extent.buffer(MARGIN)
    return replace(plan, blocks=tuple(b for b in blocks if b.shape.intersects(around)))


def _spaced(reach: float, step: float, rng: np.random.Generator) -> np.ndarray:
    """Positions from -reach to reach with jittered distances of about `step`; one of them near 0."""
    half = int(np.ceil(reach / step))
    gaps = step * rng.uniform(0.85, 1.15, 2 * half)
    at = np.concatenate([[0.0], np.cumsum(gaps)])
    return at - at[half] + rng.uniform(-15, 15)


def _uses(nodes: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    """What each block is used for, (I, J) of str: dense in the middle, fields and woods around."""
    middle = (nodes[:-1, :-1] + nodes[1:, 1:]) / 2 - rng.uniform(-0.12, 0.12, 2) * side
    order = np.argsort(np.hypot(*np.moveaxis(middle, -1, 0)), axis=None)
    inner = ["core", "core", *rng.permutation(["core", "homes", "homes", "park", "works", "homes", "homes"])]
    ring = rng.permutation(["homes"] * 7 + ["wood", "field", "works"])
    uses = np.array([*inner, *ring] + [""] * order.size, object)[: order.size]
    rest = uses == ""
    uses[rest] = rng.choice(["field", "wood", "homes", "homes", "field"], rest.sum())
    out = np.empty(order.size, object)
    out[order] = uses
    return out.reshape(middle.shape[:2])


def _block(plan: Plan, i: int, j: int) -> Block:
    corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1), (i, j)]
    ring = np.concatenate([plan.street(a, b) for a, b in pairwise(corners)])
    along = plan.street((i, j), (i + 1, j))
    return Block(Polygon(ring).buffer(0), plan.uses[i, j], float(np.arctan2(*(along[-1] - along[0])[::-1])))


def dig_river(plan: Plan, rng: np.random.Generator) -> BaseGeometry:
    """A meandering river of varying width past the town's centre, and a pond in every park."""
    side = plan.extent.bounds[2] - plan.extent.bounds[0]
    u = np.arange(-side, side, 6.0)
    phase = rng.uniform(0, 2 * np.pi, 3)
    bed = rng.choice([-1, 1]) * rng.uniform(0.22, 0.34) * side
    v = bed + 14 * np.sin(u / 48 + phase[0]) + 7 * np.sin(u / 23 + phase[1])
    width = 9 + 2.5 * np.sin(u / 37 + phase[2])
    line = plan.place(np.stack([u, v], axis=1))
    river = [LineString(line[k : k + 2]).buffer(width[k]) for k in range(len(line) - 1)]
    parks = [b.shape.centroid for b in plan.blocks if b.use == "park"]
    ponds = [blob(at.x, at.y, rng.uniform(11, 17), 0.18, rng) for at in parks]
    return shapely.union_all(river + ponds).buffer(3).buffer(-3)


def lay_streets(plan: Plan, river: BaseGeometry, rng: np.random.Generator) -> list[Street]:
    """The roads: two wide ones through the centre, of which one has a bridge, streets around blocks, tracks outside."""
    rows, columns = plan.nodes.shape[:2]
    main = rows // 2, columns // 2
    streets = []
    for i, j in np.ndindex(rows, columns):
        if i + 1 < rows:
            sides = plan.uses[i : i + 1, max(j - 1, 0) : j + 1]
            streets += _stretch(plan, (i, j), (i + 1, j), sides, f"v{j}", j == main[1], rng)
        if j + 1 < columns:
            sides = plan.uses[max(i - 1, 0) : i + 1, j : j + 1]
            streets += _stretch(plan, (i, j), (i, j + 1), sides, f"u{i}", i == main[0], rng)
    around, bank = plan.extent.buffer(MARGIN), river.buffer(6)
    ashore = (s for street in streets for s in _ashore(street, bank, bridged=street.name == f"u{main[0]}"))
    return [s for s in ashore if s.line.intersects(around)]


def _stretch(
    plan: Plan, a: tuple[int, int], b: tuple[int, int], sides: np.ndarray, name: str, main: bool,
    rng: np.random.Generator,
) -> list[Street]:  # fmt: skip
    """The street from node a to node b between blocks of the uses `sides`, if there is one."""
    chance = rng.random()
    line = LineString(plan.street(a, b))
    if main:
        return [Street(line, 10.0, "asphalt", name)]
    if not any(use in BUILT for use in sides.flat):
        return [Street(line, 5.0, "soil", name)] if chance < 0.5 else []
    if chance < 0.06 and "core" not in sides:
        return []
    return [Street(line, 6.5, "soil" if chance > 0.92 else "asphalt", name)]


def _ashore(street: Street, bank: BaseGeometry, *, bridged: bool) -> Iterator[Street]:
    """The street itself where it has a bridge, else its longer pieces outside the river's bank."""
    if bridged:
        yield street
        return
    for piece in parts(street.line.difference(bank)):
        if piece.length > 15 or piece.length == street.line.length:
            yield replace(street, line=piece)


def blob(x: float, y: float, radius: float, rough: float, rng: np.random.Generator, points: int = 48) -> Polygon:
    """A round-ish outline: a circle with a few waves of relative size `rough`."""
    angle = np.arange(points) * 2 * np.pi / points
    waves = sum(np.sin(k * angle + rng.uniform(0, 2 * np.pi)) / k for k in (2, 3, 4))
    reach = radius * (1 + rough * waves)
    return Polygon(np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1))


def parts(shape: BaseGeometry) -> Sequence[BaseGeometry]:
    """The non-empty single lines or polygons of a geometry."""
    return [g for g in getattr(shape, "geoms", [shape]) if not g.is_empty]
