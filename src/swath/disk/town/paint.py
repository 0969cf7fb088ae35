"""The picture of a generated town, painted from the same geometries that become its labels.

    ground -> water -> streets -> cars -> crowns -> roofs -> light and shadow -> haze, blur, noise -> digital numbers

Lengths are metres, colours reflectances (blue, green, red, nir) in 0 to 1, images (4, H, W) float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

BUILDING, ROAD, WATER, TREE = 1, 2, 3, 4
COUNTS = 4200.0  # digital numbers of a reflectance of 1
DARK = 110.0  # digital numbers of no light

# Asphalt is also the colour of parking lots and concrete roofs, soil that of tracks, lots and brown roofs: on purpose.
COLOURS: dict[str, tuple[float, float, float, float]] = {
    "asphalt": (0.095, 0.105, 0.110, 0.125),
    "paving": (0.118, 0.132, 0.140, 0.165),
    "soil": (0.085, 0.120, 0.165, 0.235),
    "grass": (0.042, 0.080, 0.058, 0.330),
    "meadow": (0.050, 0.088, 0.080, 0.270),
    "crop": (0.036, 0.068, 0.046, 0.380),
    "stubble": (0.090, 0.135, 0.170, 0.290),
    "water": (0.058, 0.062, 0.042, 0.024),
    "tree": (0.032, 0.058, 0.038, 0.330),
    "tile": (0.065, 0.095, 0.200, 0.250),
    "slate": (0.060, 0.064, 0.068, 0.085),
    "white": (0.330, 0.345, 0.350, 0.365),
    "panel": (0.055, 0.045, 0.040, 0.060),
    "car": (0.160, 0.160, 0.165, 0.180),
}
SPREAD = {"asphalt": 0.14, "soil": 0.16, "tile": 0.16, "slate": 0.18, "car": 0.75, "tree": 0.14, "grass": 0.13}
GRAIN = {"grass": 0.07, "meadow": 0.12, "crop": 0.05, "stubble": 0.06, "soil": 0.09, "asphalt": 0.06}


@dataclass(frozen=True)
class Patch:
    """A piece of ground: what covers it and the direction of its furrows or rows (radians)."""

    shape: BaseGeometry
    kind: str
    angle: float = 0.0


@dataclass(frozen=True)
class Street:
    """A stretch of road: its centre line, its width in metres, `asphalt` or `soil`; one name, one surface."""

    line: LineString
    width: float
    kind: str
    name: str


@dataclass(frozen=True)
class Slab:
    """One rectangle of a roof: centre, direction of the ridge, half length along and half width across it."""

    x: float
    y: float
    angle: float
    along: float
    across: float

    def shape(self, more_along: float = 0.0, more_across: float = 0.0) -> Polygon:
        """The rectangle, larger by these lengths on either side."""
        return rectangle(self.x, self.y, self.angle, self.along + more_along, self.across + more_across)


@dataclass(frozen=True)
class Building:
    """A footprint with the slabs of its roof; `form` is flat, gable or hip, `panel` a solar panel or skylight."""

    shape: Polygon
    slabs: tuple[Slab, ...]
    height: float
    kind: str
    form: str
    panel: Polygon | None = None


@dataclass(frozen=True)
class Crown:
    """A tree crown seen from above."""

    x: float
    y: float
    radius: float
    shape: Polygon

    @property
    def height(self) -> float:
        """The height of the tree in metres."""
        return 2.0 + 1.3 * self.radius


@dataclass(frozen=True)
class Town:
    """Everything on the ground of one scene, and its truth: (polygon, class) pairs that do not overlap.

    `sun` is the unit vector on the map that points to the sun, `slant` the shadow in metres per metre of height.
    """

    sun: tuple[float, float]
    slant: float
    patches: Sequence[Patch]
    streets: Sequence[Street]
    buildings: Sequence[Building]
    crowns: Sequence[Crown]
    cars: Sequence[Polygon]
    truth: Sequence[tuple[Polygon, int]]


@dataclass(frozen=True)
class Frame:
    """The pixels of a scene."""

    transform: Affine
    size: int

    def burn(self, pairs: Iterable[tuple[BaseGeometry, int]], *, touched: bool = False) -> np.ndarray:
        """The (H, W) int32 raster of (shape, value) pairs, later over earlier, 0 elsewhere; pixel-centre rule."""
        pairs = [(shape, value) for shape, value in pairs if not shape.is_empty]
        shape = (self.size, self.size)
        if not pairs:
            return np.zeros(shape, np.int32)
        return rasterize(pairs, shape, transform=self.transform, all_touched=touched, dtype=np.int32)

    def places(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The map coordinates x, y of the centres of the mask's pixels."""
        row, col = np.nonzero(mask)
        return self.transform.c + (col + 0.5) * self.transform.a, self.transform.f + (row + 0.5) * self.transform.e


def paint(town: Town, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """The scene as (4, H, W) uint16 digital numbers, about 150 to 2000: blue, green, red, nir."""
    truth = frame.burn(town.truth)
    image = _ground(town, frame, rng)
    _water(image, truth, rng)
    _streets(image, town, frame, truth, rng)
    _trees(image, town, frame, truth, rng)
    _roofs(image, town, frame, truth, rng)
    _shade(image, town, frame, truth)
    return _sensor(image, rng)


def clouds(size: int, cell: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random (size, size) float32 field, mean about 0, deviation about 1, with features of `cell` pixels."""
    knots = int(np.ceil(size / cell)) + 2
    values = rng.normal(0.0, 1.6, (knots, knots)).astype(np.float32)
    position = np.arange(size) / cell + rng.random()
    low = np.minimum(position.astype(int), knots - 2)
    t = (position - low).astype(np.float32)
    t = t * t * (3 - 2 * t)
    rows = values[low] * (1 - t)[:, None] + values[low + 1] * t[:, None]
    return rows[:, low] * (1 - t) + rows[:, low + 1] * t


def _colours(kinds: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """One colour per object, (n, 4): the same distribution for the same kind, whatever the object is."""
    base = np.array([COLOURS[k] for k in kinds], np.float32).reshape(-1, 4)
    spread = np.array([SPREAD.get(k, 0.1) for k in kinds], np.float32)[:, None]
    tone = np.exp(spread * np.clip(rng.normal(size=(len(kinds), 1)), -1.6, 1.6))
    tint = 1 + 0.025 * rng.normal(size=base.shape)
    return (base * tone * tint).astype(np.float32)


def _speckle(size: int, rng: np.random.Generator) -> np.ndarray:
    """Texture of deviation about 1 from the pixel to some metres, (H, W) float32."""
    fine = rng.standard_normal((size, size), dtype=np.float32)
    return (0.8 * _blur(fine, 0.8) / 0.35 + 0.4 * clouds(size, 6, rng) + 0.4 * clouds(size, 25, rng)).astype(np.float32)


def _fill(image: np.ndarray, ids: np.ndarray, colours: np.ndarray, texture: np.ndarray | float = 1.0) -> None:
    """Paints the pixels with id k > 0 in colours[k - 1], times the texture."""
    mask = ids > 0
    image[:, mask] = colours[ids[mask] - 1].T
    if not isinstance(texture, float):
        image[:, mask] *= texture[mask]


def _numbered(shapes: Iterable[BaseGeometry]) -> list[tuple[BaseGeometry, int]]:
    return [(shape, k) for k, shape in enumerate(shapes, 1)]


def _ground(town: Town, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """The bare ground: grass everywhere, patches on it, furrows in the fields."""
    image = np.empty((4, frame.size, frame.size), np.float32)
    speckle = _speckle(frame.size, rng)
    image[:] = np.array(COLOURS["grass"], np.float32)[:, None, None] * (1 + 0.09 * speckle)
    kinds = [p.kind for p in town.patches]
    ids = frame.burn(_numbered(p.shape for p in town.patches))
    mask = ids > 0
    which = ids[mask] - 1
    grain = np.array([GRAIN.get(k, 0.05) for k in kinds])[which]
    image[:, mask] = _colours(kinds, rng)[which].T * (1 + grain * speckle[mask]) * _furrows(town, frame, mask, which)
    return image


def _furrows(town: Town, frame: Frame, mask: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Brightness of the rows of a field at the mask's pixels; 1 outside fields."""
    x, y = frame.places(mask)
    angle = np.array([p.angle for p in town.patches])[which]
    depth = np.array([0.10 if p.kind in ("crop", "stubble") else 0.0 for p in town.patches])[which]
    return 1 + depth * np.sin(2 * np.pi / 3.1 * (y * np.cos(angle) - x * np.sin(angle)))


def _water(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> None:
    mask = truth == WATER
    tone = 1 + 0.10 * clouds(len(truth), 60, rng) + 0.05 * _speckle(len(truth), rng)
    image[:, mask] = np.array(COLOURS["water"], np.float32)[:, None] * np.maximum(tone[mask], 0.3)


def _streets(image: np.ndarray, town: Town, frame: Frame, truth: np.ndarray, rng: np.random.Generator) -> None:
    """Road surfaces, the markings of the wide ones, and cars on roads and parking lots."""
    wear = 1 + 0.06 * _speckle(frame.size, rng)
    ids = frame.burn(_numbered(s.line.buffer(s.width / 2 + 0.5) for s in town.streets))
    _fill(image, np.where(truth == ROAD, ids, 0), _surfaces(town.streets, rng), wear)
    lines = frame.burn((dash, 1) for s in town.streets if s.width > 8 for dash in _dashes(s.line))
    image[:, (lines > 0) & (truth == ROAD)] += 0.05
    _fill(image, frame.burn(_numbered(town.cars)), _colours(["car"] * len(town.cars), rng))


def _surfaces(streets: Sequence[Street], rng: np.random.Generator) -> np.ndarray:
    """The colours of the stretches, (n, 4): half from the whole street, half their own."""
    names = sorted({(s.kind, s.name) for s in streets})
    common = _colours([kind for kind, _ in names], rng)
    own = _colours([s.kind for s in streets], rng)
    return (common[[names.index((s.kind, s.name)) for s in streets]] + own) / 2


def _dashes(line: LineString) -> list[BaseGeometry]:
    return [substring(line, at, at + 4) for at in np.arange(0, line.length - 4, 9)]


def _trees(image: np.ndarray, town: Town, frame: Frame, truth: np.ndarray, rng: np.random.Generator) -> None:
    """Crowns: bright towards the sun, dark behind, lumpy; dark canopy between those of a wood."""
    speckle = _speckle(frame.size, rng)
    tree = truth == TREE
    image[:, tree] = np.array(COLOURS["tree"], np.float32)[:, None] * 0.6
    ids = np.where(tree, frame.burn(_numbered(c.shape for c in town.crowns), touched=True), 0)
    mask = ids > 0
    which = ids[mask] - 1
    centre = np.array([(c.x, c.y, c.radius) for c in town.crowns]).reshape(-1, 3)[which].T
    x, y = frame.places(mask)
    towards = ((x - centre[0]) * town.sun[0] + (y - centre[1]) * town.sun[1]) / centre[2]
    rim = np.hypot(x - centre[0], y - centre[1]) / centre[2]
    shade = 1.15 + 0.32 * towards - 0.18 * rim**2 + 0.14 * speckle[mask]
    image[:, mask] = _colours(["tree"] * len(town.crowns), rng)[which].T * np.maximum(shade, 0.25)


def _roofs(image: np.ndarray, town: Town, frame: Frame, truth: np.ndarray, rng: np.random.Generator) -> None:
    """Roofs in their colours, every slope lit by its direction, with parapets, tiles and panels."""
    slabs = [(slab, b) for b in town.buildings for slab in b.slabs]
    shapes = (s.shape(0.5, 0.5) for s, _ in slabs)
    ids = np.where(truth == BUILDING, frame.burn(_numbered(shapes), touched=True), 0)
    colours = _colours([b.kind for b in town.buildings], rng)
    owner = {id(b): k for k, b in enumerate(town.buildings)}
    mask = ids > 0
    which = ids[mask] - 1
    light = _slopes([(s, b.form) for s, b in slabs], frame, mask, which, town.sun)
    grain = 1 + 0.05 * _speckle(frame.size, rng)[mask]
    image[:, mask] = colours[np.array([owner[id(b)] for _, b in slabs], int)[which]].T * light * grain
    panels = [b.panel for b in town.buildings if b.panel is not None]
    _fill(image, np.where(mask, frame.burn(_numbered(panels)), 0), _colours(["panel"] * len(panels), rng))


def _slopes(
    slabs: Sequence[tuple[Slab, str]],
    frame: Frame,
    mask: np.ndarray,
    which: np.ndarray,
    sun: tuple[float, float],
) -> np.ndarray:
    """Brightness of the roof at the mask's pixels from the slope of its slab: 1 where flat."""
    table = np.array([(s.x, s.y, np.cos(s.angle), np.sin(s.angle), s.along, s.across) for s, _ in slabs])
    cx, cy, c, s, half_along, half_across = table.reshape(-1, 6)[which].T
    form = np.array([("flat", "gable", "hip").index(f) for _, f in slabs], int)[which]
    x, y = frame.places(mask)
    along, across = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    to_end, to_eave = half_along - np.abs(along), half_across - np.abs(across)
    end = (form == 2) & (to_end < to_eave)
    facing = np.where(end, np.sign(along) * (c * sun[0] + s * sun[1]), np.sign(across) * (c * sun[1] - s * sun[0]))
    tiles = 1 + 0.22 * facing + 0.03 * np.sin(2 * np.pi * across / 1.7)
    parapet = np.where(np.minimum(to_end, to_eave) < 0.6, 1.16, 1.0)
    return np.where(form == 0, parapet, tiles)


def _shade(image: np.ndarray, town: Town, frame: Frame, truth: np.ndarray) -> None:
    """Darkens what lies in cast shadows: blue sky light remains, so red and nir lose most."""
    step = -town.slant * np.array(town.sun)
    walls = [(s.shape(), b.height) for b in town.buildings for s in b.slabs]
    high = frame.burn((swept(shape, step * height), 1) for shape, height in walls) > 0
    soft = frame.burn((swept(c.shape, step * c.height), 1) for c in town.crowns) > 0
    light = np.ones(truth.shape, np.float32)
    light[soft & (truth != TREE) & (truth != BUILDING)] = 0.46
    light[high & (truth != BUILDING)] = 0.34
    light[high & (truth == TREE)] = 0.62
    sky = np.array([0.16, 0.10, 0.05, 0.0], np.float32)[:, None, None]
    image *= light + (1 - light) * sky


def _sensor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the camera records of (4, H, W) reflectances: uneven light, haze, blur, photon and read noise."""
    size = image.shape[1]
    glow = 1 + 0.05 * _ramp(size, rng) + 0.03 * clouds(size, size / 3, rng)
    veil = np.maximum(1 + 0.45 * clouds(size, size / 2.5, rng), 0.2) * rng.uniform(0.7, 1.3)
    haze = np.array([0.026, 0.016, 0.010, 0.004], np.float32)
    gain = rng.uniform(0.95, 1.05, 4) * rng.uniform(0.95, 1.05)
    out = np.empty(image.shape, np.uint16)
    for band in range(len(image)):
        light = _blur(image[band] * glow * (1 - 0.05 * veil) + haze[band] * veil, 0.7)
        signal = DARK + COUNTS * gain[band] * light
        noise = np.sqrt(0.45 * signal + 36) * rng.standard_normal(signal.shape, dtype=np.float32)
        out[band] = np.clip(np.rint(signal + noise), 1, 4095)
    return out


def _ramp(size: int, rng: np.random.Generator) -> np.ndarray:
    """A plane from -1 to 1 across the scene in a random direction, (size, size) float32."""
    angle = rng.uniform(0, 2 * np.pi)
    at = np.linspace(-1, 1, size, dtype=np.float32)
    return (np.float32(np.cos(angle)) * at[None, :] + np.float32(np.sin(angle)) * at[:, None]) / np.float32(1.42)


def _blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """The (H, W) plane under a Gaussian of `sigma` pixels, edges repeated."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        n = plane.shape[axis]
        padded = np.pad(plane, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        plane = sum(w * padded.take(range(k, k + n), axis) for k, w in enumerate(taps))
    return plane


def rectangle(x: float, y: float, angle: float, along: float, across: float) -> Polygon:
    """The rectangle around (x, y) with these half sizes, its long side turned by `angle` (radians)."""
    c, s = np.cos(angle), np.sin(angle)
    corners = np.array([(-along, -across), (along, -across), (along, across), (-along, across)])
    return Polygon(corners @ np.array([(c, s), (-s, c)]) + (x, y))


def swept(shape: Polygon, step: np.ndarray) -> Polygon:
    """What a convex `shape` covers while it is moved by `step`: its shadow on flat ground."""
    ring = np.asarray(shape.exterior.coords)
    return shapely.multipoints(np.concatenate([ring, ring + step])).convex_hull
