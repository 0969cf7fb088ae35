"""The ground that label regions of scenes cover, and where regions of different splits share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from pyproj.exceptions import ProjError

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.splits import Region
from swath.core.windows import Window, grid_windows
from swath.disk.projects.opened import Opened
from swath.disk.rasters.crs import project as reproject
from swath.disk.sources.images import image_reader
from swath.disk.sources.stack import Image
from swath.disk.sources.stamp import image_stamp
from swath.disk.vectors import vector

Kind = Literal["same image", "same content", "same ground"]


@dataclass(frozen=True)
class Meeting:
    """Two scenes that show the same place: `kind` says how that is known; `first` < `second` are scene numbers."""

    first: int
    second: int
    kind: Kind


class Ground:
    """Where the scenes of a project lie, in each other's pixels."""

    def __init__(self, project: Opened) -> None:
        self.grids: tuple[Grid, ...] = tuple(i.grid for i in project.infos)
        self.sources: tuple[Image, ...] = tuple(s.image for s in project.scenes)
        self.forms = tuple((i.grid.shape, i.count, i.dtype) for i in project.infos)
        self.images: tuple[Path, ...] = tuple(s.image.resolve() for s in project.scenes)
        self.areas: tuple[Path | None, ...] = tuple(s.aoi for s in project.scenes)
        self._areas: dict[int, Any] = {}
        self._labels: dict[tuple[int, int], tuple[Region, Any]] = {}  # a region is kept, so that its id stays its own

    @cached_property
    def stamps(self) -> tuple[str, ...]:
        """What images of the same content have in common: a hash where another image has the same size and type."""
        images: dict[Any, set[Image]] = {}
        for form, image in zip(self.forms, self.sources, strict=True):
            images.setdefault(form, set()).add(image)
        several = {image for alike in images.values() if len(alike) > 1 for image in alike}
        known = {image: image_stamp(image) if image in several else str(image) for image in dict.fromkeys(self.sources)}
        return tuple(known[image] for image in self.sources)

    def meetings(self, regions: Sequence[Sequence[Region]]) -> list[Meeting]:
        """The pairs of scenes with different splits that show the same place: one file, equal files, or common ground.

        Equal files without a picture, such as empty tiles, show no place.
        """
        splits = [frozenset(r.split for r in parts) for parts in regions]
        chosen = [i for i, own in enumerate(splits) if own]
        found = {(m.first, m.second): m for m in self._touching(chosen) if len(splits[m.first] | splits[m.second]) > 1}
        for what, keys in (("same content", self.stamps), ("same image", self.images)):
            groups: dict[Any, list[int]] = {}
            for i in chosen:
                groups.setdefault(keys[i], []).append(i)
            for group in groups.values():
                if what == "same content" and len(group) > 1 and _blank(self.sources[group[0]]):
                    continue
                for n, i in enumerate(group):
                    apart = [j for j in group[n + 1 :] if len(splits[i] | splits[j]) > 1]
                    found.update({(i, j): Meeting(i, j, what) for j in apart})  # type: ignore[arg-type]
        return [found[key] for key in sorted(found)]

    def _touching(self, chosen: Sequence[int]) -> Iterator[Meeting]:
        placed = sorted(i for i in chosen if self.grids[i].crs is not None)
        if not placed:
            return
        target = self.grids[placed[0]].crs
        assert target is not None
        outlines = {i: moved(outline(self.grids[i]), self.grids[i].crs, target) for i in placed}
        listed = [i for i in placed if outlines[i] is not None]
        shapes = np.array([outlines[i] for i in listed], object)
        one, other = shapely.STRtree(shapes).query(shapes, "intersects")
        one, other = one[one < other], other[one < other]
        share = shapely.area(shapely.intersection(shapes[one], shapes[other])) > 0  # neighbours that touch do not
        for n, m in zip(one[share].tolist(), other[share].tolist(), strict=True):
            yield Meeting(listed[n], listed[m], "same ground")

    def labels_of(self, scene: int, region: Region) -> Any:
        """The outline of the pixels that a region of a scene may use, inside the scene's area of interest."""
        known = self._labels.get((scene, id(region)))
        if known is None:
            shape = pixels_of(region, self.grids[scene].shape)
            area = self._area(scene)
            known = self._labels[scene, id(region)] = region, shape if area is None else shapely.intersection(shape, area)
        return known[1]

    def _area(self, scene: int) -> Any:
        path, grid = self.areas[scene], self.grids[scene]
        if path is not None and scene not in self._areas:
            polygons = vector.repaired(vector.features_on_grid(path, grid), "fix", path, Events())
            there = shapely.union_all(polygons.geometry)
            self._areas[scene] = shapely.transform(there, lambda xy: _affine(~grid.transform, xy))
        return self._areas.get(scene)

    def seen_from(self, scene: int, shape: Any, other: int, kind: Kind) -> Any:
        """A shape in pixels of scene `other` (x: columns, y: rows), in the pixels of `scene`; None where it has no place."""
        if kind != "same ground":
            return shape
        mine, theirs = self.grids[scene], self.grids[other]
        there = shapely.transform(shape, lambda xy: _affine(theirs.transform, xy))
        here = moved(there, theirs.crs, mine.crs)
        return None if here is None else shapely.transform(here, lambda xy: _affine(~mine.transform, xy))


def _blank(image: Image) -> bool:
    """True where every band of an image has one value."""
    reader, first = image_reader(image), None
    for window in grid_windows(*reader.grid.shape, 512, 512, "keep"):
        values = reader.read(window)[0]
        first = values[:, :1, :1] if first is None else first
        if not ((values == first) | ((values != values) & (first != first))).all():
            return False
    return True


def pixels_of(region: Region, shape: tuple[int, int]) -> Any:
    """The outline of a region's pixels in a scene of (height, width): x are columns, y are rows."""
    whole = Window(0, 0, *shape)
    inside = [whole] if region.inside is None else [b & whole for b in region.inside]
    area = shapely.union_all([box(b) for b in inside])
    return shapely.difference(area, shapely.union_all([box(b & whole) for b in region.outside])) if region.outside else area


def box(window: Window) -> Any:
    """The outline of a window: x are columns, y are rows."""
    return shapely.box(window.col, window.row, window.col_end, window.row_end)


def outline(grid: Grid) -> Any:
    """The outline of a grid in its own coordinate system."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ c for c in corners])


def moved(shape: Any, own: str | None, target: str | None) -> Any:
    """A shape in another coordinate system; None where it cannot be carried over."""
    if own is None or target is None:
        return None
    if own == target:
        return shape
    dense = shapely.segmentize(shape, max(shapely.length(shape) / 64, 1e-12))
    try:
        there = shapely.transform(dense, lambda xy: reproject(xy, own, target))
    except (ProjError, DataError):
        return None
    return shapely.make_valid(there) if np.isfinite(shapely.bounds(there)).all() else None


def covered(shape: Any, size: tuple[int, int]) -> list[Window]:
    """The smallest windows that hold every part of a shape in pixels, inside a scene of (height, width).

    Parts thinner than half a pixel are edges that merely touch, and are left out.
    """
    found = []
    for part in shapely.get_parts(shape):
        left, top, right, bottom = shapely.bounds(part)
        if min(right - left, bottom - top) > 0.5 and shapely.area(part) > 0:
            ends = _outward(top, left, bottom, right)
            found.append(Window.span(*ends).clip(*size))
    return [w for w in found if w.area]


def _outward(top: float, left: float, bottom: float, right: float) -> tuple[int, int, int, int]:
    """Whole pixels around a box; a thousandth of a pixel beyond an edge is rounding."""
    slack = 1e-3
    return (int(np.floor(top + slack)), int(np.floor(left + slack)), int(np.ceil(bottom - slack)), int(np.ceil(right - slack)))


def _affine(transform: Any, points: Any) -> Any:
    x, y = points[:, 0], points[:, 1]
    t = transform
    return np.column_stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f])
