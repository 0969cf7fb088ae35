"""Samples around points: which points give a patch, to which split it belongs, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.selection import patch_window
from swath.core.splits import SPLITS, Region, Split
from swath.core.windows import Window
from swath.disk.projects.opened import Opened
from swath.disk.rasters.crs import on_grid
from swath.disk.rasters.crs import project as project_points
from swath.disk.rasters.raster import raster_info
from swath.disk.sources.stack import Files, Stack
from swath.disk.stores.sample import Mark, Place
from swath.disk.vectors.points import Points

OUTSIDE, NO_CLASS, BETWEEN, NO_GEOMETRY = "patch outside the image", "no class value", "between the splits", "no geometry"
_SLACK = 0.01  # pixels by which a source may be short: the arithmetic of its coordinate system
Regions = Sequence[Sequence[Region]]
Pixels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def place_points(project: Opened, regions: Regions) -> tuple[dict[Split, list[Place]], dict[str, int]]:
    """The samples per split, scene by scene in the file's order, and the numbers of points refused by reason.

    A patch must lie inside its image. A point's split is its own, else that of the region which holds its pixel. Its
    class is needed where the scene has no other labels. A point that several images hold gives a sample in each.
    Raises DataError (points-none) where none is accepted.
    """
    points = _required(project)
    places: dict[Split, list[Place]] = {s: [] for s in SPLITS}
    accepted, reasons = np.zeros(len(points), bool), np.full(len(points), OUTSIDE, object)
    for i in range(len(project.scenes)):
        for n, row, col in zip(*_inside(project, points, i), strict=True):
            label, sparse = int(points.indices[n]), _sparse(project, i)
            split = _split(points, int(n), regions[i], int(row), int(col))
            if sparse and label == project.legend.ignore:
                reasons[n] = NO_CLASS
            elif split is None:
                reasons[n] = BETWEEN
            else:
                accepted[n] = True
                mark = Mark(int(points.ids[n]), label, int(row), int(col), sparse)
                box = patch_window(int(row), int(col), project.tile)
                places[split].append(Place(i, split, box, box, mark))
    refused = Counter({str(k): int(v) for k, v in zip(*np.unique(reasons[~accepted].astype(str), return_counts=True), strict=True)})
    refused.update({NO_GEOMETRY: points.empty} if points.empty else {})
    if not accepted.any():
        told = ", ".join(f"{n} x {reason}" for reason, n in refused.items()) or "the file holds none"
        raise DataError("points-none", points.path, f"no point gives a patch of {project.tile} pixels ({told})",
                        "check their place and class field, or choose a smaller sample.tile")  # fmt: skip
    return {s: _counted_once(found) if s != "trn" else found for s, found in places.items()}, dict(refused)


def own_regions(project: Opened) -> tuple[tuple[Region, ...], ...] | None:
    """The regions by the points' own column `split`; None where the file has none.

    Labels of test patches belong to the test split alone, of the others those of validation patches to validation, also
    where other scenes show the same ground. Scenes without a point keep the split of the manifest.
    """
    points = _required(project)
    if not points.own_splits:
        return None
    inside = [_inside(project, points, i) for i in range(len(project.scenes))]
    accepted = np.zeros(len(points), bool)
    for numbers, _, _ in inside:
        accepted[numbers] = True
    found: list[tuple[Region, ...]] = []
    for i, scene in enumerate(project.scenes):
        if len(inside[i][0]) == 0:
            found.append((Region(scene.split),) if scene.split and not _sparse(project, i) else ())
            continue
        grid, side = project.infos[i].grid, 1 if _sparse(project, i) else project.tile
        numbers, rows, cols = points.on_grid(grid, None, project.tile)
        near = accepted[numbers]  # also patches of other scenes, which reach in here
        around = _patches(points, numbers[near], rows[near], cols[near], side)
        scored = {s: tuple(w for w in around[s] if w.clip(*grid.shape).area) for s in SPLITS}
        boxes = _patches(points, *inside[i], side)
        regions = [Region("trn", None, (*scored["val"], *scored["tst"]))]
        regions += [Region("val", boxes["val"], scored["tst"])] if boxes["val"] else []
        found.append((*regions, *([Region("tst", boxes["tst"])] if boxes["tst"] else [])))
    return tuple(found)


def _patches(
    points: Points, numbers: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64], side: int
) -> dict[Split, tuple[Window, ...]]:
    """The patches of some points per split that the file names."""
    places = list(zip(points.splits[numbers].tolist(), rows.tolist(), cols.tolist(), strict=True))
    return {s: tuple(patch_window(r, c, side) for own, r, c in places if own == k) for k, s in enumerate(SPLITS)}


def _required(project: Opened) -> Points:
    assert project.points is not None
    return project.points


def _sparse(project: Opened, scene: int) -> bool:
    """True where the points are a scene's only labels."""
    return project.scenes[scene].labels == project.points_path


def _inside(project: Opened, points: Points, scene: int) -> Pixels:
    """(numbers, rows, columns) of the points whose patch lies inside a scene, in every one of its sources."""
    grid, side = project.infos[scene].grid, project.tile
    numbers, rows, cols = points.on_grid(grid, project.scenes[scene].name)
    top, left = rows - side // 2, cols - side // 2
    fits = (top >= 0) & (left >= 0) & (top + side <= grid.height) & (left + side <= grid.width)
    for outline in _outlines(project, scene):
        fits[fits] = shapely.covers(outline, shapely.box(left[fits], top[fits], left[fits] + side, top[fits] + side))
    return numbers[fits], rows[fits], cols[fits]


def _outlines(project: Opened, scene: int) -> list[shapely.Geometry]:
    """The ground of the files of a scene's other sources, as polygons in the pixels of its grid."""
    image, grid = project.scenes[scene].image, project.infos[scene].grid
    if not isinstance(image, Stack):
        return []
    found = []
    for file in dict.fromkeys(f for part in image.parts if isinstance(part, Files) for f in part.files):
        own = raster_info(file).grid
        if own.crs is None or grid.crs is None or on_grid(own, grid):
            continue
        steps = np.linspace(0, 1, 9)[:-1]  # edges may bend in another system
        edge = np.array([*((0, s) for s in steps), *((s, 1) for s in steps), *((1, 1 - s) for s in steps), *((1 - s, 0) for s in steps)])
        there = np.array([own.transform @ (x * own.width, y * own.height) for y, x in edge])
        back = ~grid.transform
        ring = shapely.Polygon([back @ (x, y) for x, y in project_points(there, own.crs, grid.crs).tolist()])
        found.append(ring.buffer(_SLACK, join_style="mitre"))
    return found


def _split(points: Points, number: int, regions: Sequence[Region], row: int, col: int) -> Split | None:
    if points.splits[number] >= 0:
        return SPLITS[points.splits[number]]
    pixel = Window(row, col, 1, 1)
    return next((r.split for r in regions if r.touches(pixel)), None)


def _counted_once(places: list[Place]) -> list[Place]:
    """The places, each with the earlier ones that it overlaps: their label pixels count there."""
    out = []
    for scene in dict.fromkeys(p.scene for p in places):
        mine = [p for p in places if p.scene == scene]
        if mine[0].point is None or mine[0].point.sparse:
            out += mine
            continue
        first = np.array([(p.read.row, p.read.col) for p in mine])
        side = mine[0].read.height
        tree = shapely.STRtree(shapely.points(first))
        for k, place in enumerate(mine):
            row, col = first[k].tolist()
            near = tree.query(shapely.box(row - side + 1, col - side + 1, row + side - 1, col + side - 1))
            out.append(place.after([mine[i].read for i in _widest(first - first[k], np.sort(near[near < k]))]))
    return out


def _widest(offsets: NDArray[np.int64], near: NDArray[np.int64]) -> list[int]:
    """Of squares at `offsets` (n, 2) from another of their size, those of `near` that together cover as much of it as all.

    Each covers a rectangle in one of its corners; one that is no wider and no taller than another of its corner adds nothing.
    """
    kept = []
    for down in (True, False):
        for right in (True, False):
            mine = near[((offsets[near, 0] >= 0) == down) & ((offsets[near, 1] >= 0) == right)]
            rows, cols = np.abs(offsets[mine]).T
            order = np.lexsort((cols, rows))
            least = np.minimum.accumulate(np.append(np.iinfo(np.int64).max, cols[order]))
            kept += mine[order[cols[order] < least[:-1]]].tolist()
    return kept
