"""A believable georeferenced town to try Swath on: rasters, labels and a manifest, all from one seed.

    plan (streets, blocks, river) -> houses, halls, lots, trees, cars -> truth (polygons that do not overlap)
                                                                      -> picture (`town_paint`, from the same shapes)

Hard on purpose for anything that looks at single pixels: concrete roofs have the colours of asphalt, brown roofs those
of bare soil, shadows are as dark as slate and water. Lengths are metres, angles radians, coordinates those of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from shapely.geometry import LineString, Polygon, box
from shapely.geometry.base import BaseGeometry

from swath.core.errors import ConfigError, DataError
from swath.disk.publish import publish, publish_text
from swath.disk.town.paint import (
    BUILDING,
    ROAD,
    TREE,
    WATER,
    Building,
    Crown,
    Frame,
    Patch,
    Slab,
    Street,
    Town,
    paint,
    rectangle,
)
from swath.disk.town.plan import BUILT, Block, blob, dig_river, lay_out, lay_streets, parts

CLASSES: dict[int, tuple[str, str]] = {
    0: ("background", "#b8b09a"),
    BUILDING: ("building", "#d7301f"),
    ROAD: ("road", "#4d4d4d"),
    WATER: ("water", "#2b8cbe"),
    TREE: ("tree", "#238b45"),
}
BANDS = ("blue", "green", "red", "nir")
CRS = "EPSG:32618"
PIXEL = 0.5
CORNER = (583_000.0, 4_507_000.0)  # upper left corner of the first scene
APART = 600.0  # empty ground between neighbouring scenes
LEAST = 64  # pixels
SPLITS = {"north": "trn", "east": "trn", "south": "tst"}

ROOFS = ("tile", "slate", "asphalt", "soil", "white")
YARDS = {
    "homes": ("grass", "grass", "grass", "meadow", "meadow", "crop", "soil"),
    "core": ("paving", "grass"),
    "works": ("asphalt", "paving"),
}
TREES = {"homes": 0.0032, "core": 0.0012, "works": 0.0008, "park": 0.0080, "field": 0.0003}  # per square metre


def write_town(directory: Path, *, seed: int = 0, size: int = 768, scenes: Mapping[str, str] = SPLITS) -> Path:
    """The manifest (scenes.csv) of a generated town: one GeoTIFF per scene, labels of all of them in labels.gpkg.

    `scenes` maps names to splits, `size` is the side of a scene in pixels of 0.5 m. The images have the bands blue,
    green, red and nir as uint16; the layer `labels` has the fields `class` (see CLASSES) and `name`.
    The same arguments give the same files, byte for byte.

    Raises ConfigError where `size` is too small for a town, ResourceError where the disk is.
    """
    if size < LEAST:
        raise ConfigError("town-size", "size", f"no town fits into {size} pixels", f"use {LEAST} or more")
    directory = Path(directory)
    truth: list[tuple[Polygon, int]] = []
    for index, name in enumerate(scenes):
        frame = _frame(index, size)
        town = build_town(_extent(frame), np.random.default_rng([seed, index, 0]))
        _write_image(directory / f"{name}.tif", paint(town, frame, np.random.default_rng([seed, index, 1])), frame)
        truth.extend(town.truth)
    _write_labels(directory / "labels.gpkg", truth)
    rows = [f"{name}.tif,labels.gpkg,class,{split}" for name, split in scenes.items()]
    return publish_text(directory / "scenes.csv", "\n".join(["image,labels,field,split", *rows]) + "\n")


def build_town(extent: Polygon, rng: np.random.Generator) -> Town:
    """The town that fills `extent`, a square box in map coordinates, and a little beyond it."""
    plan = lay_out(extent, rng)
    river = dig_river(plan, rng)
    streets = lay_streets(plan, river, rng)
    roads = shapely.union_all([s.line.buffer(s.width / 2) for s in streets])
    ground = _Ground(roads, river)
    for block in plan.blocks:
        ground.settle(block, rng)
    ground.plant_along(streets, extent, rng)
    azimuth = np.radians(rng.uniform(135, 170))
    return Town(
        sun=(float(np.sin(azimuth)), float(np.cos(azimuth))),
        slant=rng.uniform(0.75, 1.0),
        patches=[*ground.covers, *ground.yards, *ground.lots],
        streets=streets,
        buildings=ground.buildings,
        crowns=ground.crowns,
        cars=ground.cars + _traffic(streets, rng),
        truth=_truth(extent, ground, roads),
    )


def _frame(index: int, size: int) -> Frame:
    """The pixels of scene `index`: scenes stand on a diagonal, so their rows and columns differ as well."""
    step = np.ceil((size * PIXEL + APART) / 100) * 100 * index
    return Frame(Affine(PIXEL, 0, CORNER[0] + step, 0, -PIXEL, CORNER[1] - step), size)


def _extent(frame: Frame) -> Polygon:
    left, top, side = frame.transform.c, frame.transform.f, frame.size * PIXEL
    return box(left, top - side, left + side, top)


def _write_image(path: Path, image: np.ndarray, frame: Frame) -> None:
    profile = {
        "driver": "GTiff", "count": len(BANDS), "dtype": "uint16", "height": frame.size, "width": frame.size,
        "crs": CRS, "transform": frame.transform, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "predictor": 2, "photometric": "minisblack",
    }  # fmt: skip

    def write(part: Path) -> None:
        with rasterio.open(part, "w", **profile) as out:
            out.write(image)
            out.descriptions = BANDS

    def verify(part: Path) -> None:
        with rasterio.open(part) as back:
            if not np.array_equal(back.read(), image):
                raise _unverified(path, "pixels")

    publish(path, write, verify=verify, expected_bytes=image.nbytes)


def _write_labels(path: Path, truth: Sequence[tuple[Polygon, int]]) -> None:
    classes = np.array([k for _, k in truth], np.int32)
    names = np.array([CLASSES[k][0] for _, k in truth], object)
    shapes = shapely.to_wkb(np.array([shape for shape, _ in truth], object))

    def write(part: Path) -> None:
        with _timeless():
            pyogrio.raw.write(
                part, shapes, [classes, names], ["class", "name"],
                layer="labels", driver="GPKG", geometry_type="Polygon", crs=CRS,
            )  # fmt: skip

    def verify(part: Path) -> None:
        if pyogrio.read_info(part, layer="labels")["features"] != len(truth):
            raise _unverified(path, "features")

    publish(path, write, verify=verify, expected_bytes=sum(map(len, shapes)))


def _unverified(path: Path, what: str) -> DataError:
    return DataError("write-unverified", path, f"the {what} read back differ from those written", "check the disk")


@contextmanager
def _timeless() -> Iterator[None]:
    """GDAL with a fixed date, so that a GeoPackage carries no clock time."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _traffic(streets: Sequence[Street], rng: np.random.Generator) -> list[Polygon]:
    """Cars on the paved streets, in their lanes."""
    cars = []
    for street in streets:
        at = rng.uniform(0, 30)
        while street.kind == "asphalt" and at < street.line.length - 3:
            lane = rng.choice([-1, 1]) * street.width / 4
            cars.append(_car(*_beside(street.line, at, lane), rng))
            at += rng.uniform(8, 60)
    return cars


def _car(x: float, y: float, angle: float, rng: np.random.Generator) -> Polygon:
    return rectangle(x, y, angle, rng.uniform(1.9, 2.4), rng.uniform(0.85, 1.0))


def _beside(line: LineString, at: float, offset: float) -> tuple[float, float, float]:
    """The point `offset` to the left of `line` after `at` metres, and the direction of the line there."""
    a, b = line.interpolate(at), line.interpolate(min(at + 1, line.length))
    angle = float(np.arctan2(b.y - a.y, b.x - a.x))
    return a.x - offset * np.sin(angle), a.y + offset * np.cos(angle), angle


@dataclass(frozen=True)
class _Site:
    """A block while it is being built: the free ground, the roads beside it, what is taken already."""

    block: Block
    free: BaseGeometry
    roads: BaseGeometry
    taken: list[BaseGeometry] = field(default_factory=list)

    def take(self, shape: Polygon, gap: float) -> bool:
        """Whether `shape` found its place, `gap` metres from everything else; it is taken then."""
        fits = self.free.contains(shape) and not any(shape.dwithin(other, gap) for other in self.taken)
        if fits:
            self.taken.append(shape)
        return fits

    def scatter(self, density: float, rng: np.random.Generator) -> np.ndarray:
        """Random points (N, 2), `density` per square metre, on the free ground."""
        left, bottom, right, top = self.free.bounds if not self.free.is_empty else (0, 0, 0, 0)
        count = rng.poisson(density * (right - left) * (top - bottom))
        points = rng.uniform((left, bottom), (right, top), (count, 2))
        return points[shapely.contains_xy(self.free, points[:, 0], points[:, 1])]


class _Ground:
    """What has been built so far; `settle` fills one block according to its use."""

    def __init__(self, roads: BaseGeometry, water: BaseGeometry) -> None:
        self.roads, self.water, self.bank = roads, water, water.buffer(6)
        self.covers: list[Patch] = []
        self.yards: list[Patch] = []
        self.lots: list[Patch] = []
        self.buildings: list[Building] = []
        self.crowns: list[Crown] = []
        self.cars: list[Polygon] = []

    def settle(self, block: Block, rng: np.random.Generator) -> None:
        """Covers the block's ground and fills it with what belongs there."""
        roads = self.roads.intersection(block.shape.buffer(3))
        free = block.shape.difference(roads.buffer(2.5)).difference(self.bank)
        site = _Site(block, free, roads)
        self.covers.append(Patch(block.shape, _cover(block, self.water, rng), block.angle))
        if block.use in BUILT:
            self.covers.append(Patch(roads.buffer(1.6).intersection(block.shape), "paving"))
        if block.use == "works":
            self._works(site, rng)
        if block.use in ("core", "homes"):
            self._rows(site, rng)
        if block.use == "wood":
            self._plant_wood(free.buffer(-4), rng)
        else:
            self._plant(site, rng)

    def _rows(self, site: _Site, rng: np.random.Generator) -> None:
        """Houses and a few empty lots around the block, facing the streets; in the core also behind them."""
        for depth in (7.5, 25.0) if site.block.use == "core" else (8.0,):
            for part in parts(site.free.buffer(-depth)):
                self._row(site, part.exterior, rng)

    def _row(self, site: _Site, ring: LineString, rng: np.random.Generator) -> None:
        core = site.block.use == "core"
        at = rng.uniform(0, 8)
        while at < ring.length - 6:
            along = rng.uniform(6.5, 10.5) if core else rng.uniform(4.8, 7.5)
            across = rng.uniform(4.8, 6.5) if core else rng.uniform(3.8, 5.4)
            slab = Slab(*_beside(ring, at + along, rng.uniform(-1.0, 1.0)), along, across)
            chance = rng.random()
            if chance < 0.13:  # noqa: SIM108
                built = self._lot(site, slab, "soil" if chance < 0.08 else "asphalt", rng)
            else:
                built = self._house(site, slab, rng)
            at += 2 * along + (rng.uniform(2, 5) if core else rng.uniform(2.5, 7)) if built else 3.0

    def _works(self, site: _Site, rng: np.random.Generator) -> None:
        """Halls, parking lots and yards of bare soil at random places of the block."""
        left, bottom, right, top = site.block.shape.bounds
        for kind in ("hall", "asphalt", "hall", "soil", "hall", "asphalt", "hall", "soil"):
            for _ in range(25):
                x, y = rng.uniform(left, right), rng.uniform(bottom, top)
                slab = Slab(x, y, site.block.angle, rng.uniform(8, 15), rng.uniform(6, 10))
                if self._house(site, slab, rng) if kind == "hall" else self._lot(site, slab, kind, rng):
                    break

    def _lot(self, site: _Site, slab: Slab, kind: str, rng: np.random.Generator) -> bool:
        """Whether the lot found its place; a parking lot gets its cars."""
        shape = slab.shape()
        if not site.take(shape, 1.5):
            return False
        self.lots.append(Patch(shape, kind, slab.angle))
        if kind == "asphalt":
            self.cars += _parked(shape, slab.angle, rng)
        return True

    def _house(self, site: _Site, slab: Slab, rng: np.random.Generator) -> bool:
        """Whether the building found its place; it gets a yard and, often, a drive to the road."""
        forms = [(slab, _wing(slab, rng)), (slab,)] if rng.random() < 0.35 else [(slab,)]
        slabs = next((form for form in forms if site.take(_outline(form), 2.0)), ())
        if not slabs:
            return False
        shape = _outline(slabs)
        self.buildings.append(_roofed(shape, slabs, site.block.use, rng))
        yard = slab.shape(rng.uniform(2, 4), rng.uniform(4, 9))
        kind = str(rng.choice(YARDS[site.block.use]))
        self.yards.append(Patch(yard.intersection(site.free), kind, slab.angle))
        if rng.random() < 0.5:
            drive = shapely.shortest_line(shape.centroid, site.roads).buffer(1.5, cap_style="flat")
            self.yards.append(Patch(drive, "paving"))
        return True

    def _plant(self, site: _Site, rng: np.random.Generator) -> None:
        """Single trees, clear of the buildings and lots."""
        for x, y in site.scatter(TREES[site.block.use], rng):
            radius = rng.uniform(1.8, 4.4)
            if not any(other.dwithin(shapely.Point(x, y), 0.8 * radius) for other in site.taken):
                self.crowns.append(_crown(x, y, radius, rng))

    def _plant_wood(self, ground: BaseGeometry, rng: np.random.Generator) -> None:
        """A closed wood with a ragged edge."""
        if ground.is_empty:
            return
        left, bottom, right, top = ground.bounds
        for x in np.arange(left, right, 4.6):
            for y in np.arange(bottom, top, 4.6):
                dx, dy = rng.uniform(-1.6, 1.6, 2)
                crown = _crown(x + dx, y + dy, rng.uniform(2.4, 4.2), rng)
                if rng.random() < 0.93 and ground.contains(shapely.Point(crown.x, crown.y)):
                    self.crowns.append(crown)

    def plant_along(self, streets: Sequence[Street], extent: Polygon, rng: np.random.Generator) -> None:
        """Rows of trees along the wide streets and some others, where no house stands and no water is."""
        houses = shapely.union_all([b.shape for b in self.buildings]).buffer(1.0)
        closed = shapely.union_all([houses, self.water.buffer(1), self.roads])
        for street in streets:
            if not (street.width > 8 or rng.random() < 0.22):
                continue
            for at in np.arange(rng.uniform(0, 8), street.line.length, rng.uniform(8, 12)):
                side = rng.choice([-1, 1]) * (street.width / 2 + rng.uniform(2.0, 2.8))
                x, y, _ = _beside(street.line, at, side)
                if not closed.contains(shapely.Point(x, y)):
                    self.crowns.append(_crown(x, y, rng.uniform(1.9, 3.2), rng))


def _cover(block: Block, water: BaseGeometry, rng: np.random.Generator) -> str:
    """What the ground of a block is covered with: the banks of waters stay green."""
    field_kind = str(rng.choice(["crop", "stubble", "soil", "crop", "meadow"]))
    if block.use in ("core", "works"):
        return "grass" if block.shape.intersects(water) else "paving"
    return {"wood": "meadow", "field": field_kind}.get(block.use, "grass")


def _crown(x: float, y: float, radius: float, rng: np.random.Generator) -> Crown:
    return Crown(x, y, radius, blob(x, y, radius, 0.10, rng, points=16))


def _wing(slab: Slab, rng: np.random.Generator) -> Slab:
    """The short arm of an L: stands at right angles to `slab`, at one of its ends."""
    along, across = slab.across * rng.uniform(0.9, 1.2), slab.along * rng.uniform(0.38, 0.50)
    u = rng.choice([-1, 1]) * (slab.along - across)
    v = rng.choice([-1, 1]) * along
    c, s = np.cos(slab.angle), np.sin(slab.angle)
    return Slab(slab.x + c * u - s * v, slab.y + s * u + c * v, slab.angle + np.pi / 2, along, across)


def _outline(slabs: Sequence[Slab]) -> Polygon:
    return shapely.union_all([s.shape() for s in slabs])


def _roofed(shape: Polygon, slabs: tuple[Slab, ...], use: str, rng: np.random.Generator) -> Building:
    """The building over `shape`: height, roof form and colour as is usual for its use."""
    odds = {"homes": (0.34, 0.20, 0.14, 0.26, 0.06), "core": (0.24, 0.20, 0.30, 0.16, 0.10)}
    flat = {"homes": 0.15, "core": 0.5, "works": 0.85}[use]
    height = {"homes": (4.5, 7.5), "core": (8.0, 13.0), "works": (6.0, 9.0)}[use]
    form = "flat" if rng.random() < flat else str(rng.choice(["gable", "hip"]))
    kind = str(rng.choice(ROOFS, p=odds.get(use, (0.04, 0.12, 0.46, 0.14, 0.24))))
    return Building(shape, slabs, rng.uniform(*height), kind, form, _panel(slabs[0], rng))


def _panel(slab: Slab, rng: np.random.Generator) -> Polygon | None:
    """A solar panel or skylight on one slope, on a quarter of the roofs."""
    if rng.random() > 0.25:
        return None
    side = rng.choice([-0.5, 0.5]) * slab.across
    x, y = slab.x - np.sin(slab.angle) * side, slab.y + np.cos(slab.angle) * side
    return rectangle(x, y, slab.angle, slab.along * rng.uniform(0.25, 0.7), slab.across * 0.3)


def _parked(lot: Polygon, angle: float, rng: np.random.Generator) -> list[Polygon]:
    """Cars in rows on a parking lot; a third of the places is empty."""
    c, s = np.cos(angle), np.sin(angle)
    middle, inside = lot.centroid, lot.buffer(-2.6)
    places = [(u, v) for u in np.arange(-18, 18, 2.7) for v in (-8.0, -2.7, 2.7, 8.0)]
    spots = [(middle.x + c * u - s * v, middle.y + s * u + c * v) for u, v in places]
    free = [spot for spot in spots if rng.random() < 0.65 and inside.contains(shapely.Point(*spot))]
    return [_car(x, y, angle + np.pi / 2, rng) for x, y in free]


def _truth(extent: Polygon, ground: _Ground, roads: BaseGeometry) -> list[tuple[Polygon, int]]:
    """The labels inside `extent`: building over tree over road over water, cut so that nothing overlaps."""
    buildings = shapely.union_all([b.shape for b in ground.buildings])
    trees = shapely.union_all([c.shape for c in ground.crowns]).buffer(1.0).buffer(-1.0).difference(buildings)
    layers = {BUILDING: buildings, TREE: trees, ROAD: roads, WATER: ground.water}
    covered: BaseGeometry = Polygon()
    truth = []
    for kind, layer in layers.items():
        for part in parts(layer.intersection(extent).difference(covered)):
            if part.geom_type == "Polygon" and part.area > 0.02:
                truth.append((part, kind))
        covered = covered.union(layer)
    return truth
