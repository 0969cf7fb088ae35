"""Findings on vector labels: the features of layers, their classes, and how they lie on their images."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Bounds, Grid
from swath.core.legend import Legend, is_missing
from swath.disk.audits.audit import Finding, share, shown
from swath.disk.audits.faults import MOST_FAULTS, Fault
from swath.disk.rasters.crs import crs_name, parse_crs, same_place, transform_bounds
from swath.disk.rasters.raster import RasterInfo
from swath.disk.remote.download import local_copy
from swath.disk.vectors.vector import Features, VectorInfo, nowhere, repaired

COVERED = 0.75  # share of the image below which the extent of labels is told of


@dataclass
class LayerAudit:
    """What is wrong with the features of one layer, each counted once however many scenes it labels.

    `legend` None: class values are not looked at. `policy` is `labels.invalid`.
    """

    path: Path
    legend: Legend | None = None
    policy: str = "fix"
    seen: set[int] = field(default_factory=set)
    usable: int = 0
    _fids: dict[str, list[int]] = field(default_factory=dict)
    _unknown: dict[str, list[int]] = field(default_factory=dict)
    _hashes: dict[int, tuple[int, Any]] = field(default_factory=dict)
    _twins: list[tuple[int, int]] = field(default_factory=list)
    _torn: int = 0
    _reason: str = ""
    _texts: bool = False
    _crs: str | None = None
    faults: list[Fault] = field(default_factory=list)

    def add(self, features: Features) -> None:
        """Takes features; those seen before are passed over."""
        fresh = np.array([f not in self.seen for f in features.fids.tolist()], bool)
        if not fresh.any():
            return
        geometry, fids = features.geometry[fresh], features.fids[fresh]
        self.seen.update(fids.tolist())
        self._crs = features.crs
        null = nowhere(geometry)
        flat = ~null & (shapely.get_dimensions(geometry) < 2)
        bad = ~null & ~flat & ~shapely.is_valid(geometry)
        for kind, hit in (("empty", null), ("flat", flat), ("invalid", bad)):
            self._fids.setdefault(kind, []).extend(fids[hit].tolist())
        if bad.any() and not self._reason:
            self._reason = str(shapely.is_valid_reason(geometry[bad][0]))
        self.usable += int((~null & ~flat & ~(bad & (self.policy == "skip"))).sum())
        values = None if features.values is None else features.values[fresh]
        self._compare(geometry[~null], fids[~null], None if values is None else values[~null])
        if values is not None and self.legend is not None:
            self._match(values, fids, self.legend)
        self._keep({"empty geometry": null, "point or line": flat, "invalid geometry": bad}, geometry, fids, features.crs)

    def add_empty(self, fids: NDArray[np.int64]) -> None:
        """Takes features without a geometry, which no image meets."""
        fresh = [f for f in fids.tolist() if f not in self.seen]
        self.seen.update(fresh)
        self._fids.setdefault("empty", []).extend(fresh)
        self.faults += [Fault(self.path, f, "empty geometry", "", None, self._crs) for f in fresh[: MOST_FAULTS - len(self.faults)]]

    def _keep(self, hits: dict[str, NDArray[np.bool_]], geometry: NDArray[Any], fids: NDArray[np.int64], crs: str | None) -> None:
        """Keeps the features with faults: those of `hits`, those that are there twice, and those without a class."""
        place = {fid: n for n, fid in enumerate(fids.tolist())}
        found = [(fids[n], kind, "") for kind, hit in hits.items() for n in np.flatnonzero(hit)]
        found += [(b, "there twice", f"equal to feature {a}") for a, b in self._twins if b in place]
        found += [(f, "unknown class", value) for value, listed in self._unknown.items() for f in listed if f in place]
        found += [(f, "no class", "") for f in self._fids.get("null", []) if f in place]
        for fid, kind, detail in found[: MOST_FAULTS - len(self.faults)]:
            shape = geometry[place[int(fid)]]
            told = str(shapely.is_valid_reason(shape)) if kind == "invalid geometry" else detail
            self.faults.append(Fault(self.path, int(fid), kind, told, shape, crs))

    @property
    def broken(self) -> bool:
        """True where training would be refused: values without a class, or invalid geometries by policy."""
        return bool(self._unknown) or (self.policy == "error" and bool(self._fids.get("invalid")))

    def _compare(self, geometry: NDArray[Any], fids: NDArray[np.int64], values: NDArray[Any] | None) -> None:
        texts = shapely.to_wkb(shapely.normalize(geometry)) if len(geometry) else []
        for n, (text, fid) in enumerate(zip(texts, fids.tolist(), strict=True)):
            value = None if values is None else values[n]
            first, before = self._hashes.setdefault(hash(text), (fid, value))
            if first != fid:
                self._twins.append((first, fid))
                self._torn += bool(before != value)

    def _match(self, values: NDArray[Any], fids: NDArray[np.int64], legend: Legend) -> None:
        known: dict[Any, int | None] = {}
        for value, fid in zip(values.tolist(), fids.tolist(), strict=True):
            if is_missing(value):
                self._fids.setdefault("null", []).append(fid)
                continue
            value = value if isinstance(value, Hashable) else str(value)
            if value not in known:
                known[value] = legend.match(value)
                self._texts |= isinstance(value, str) and value.strip().lstrip("-").isdecimal()
            if known[value] is None:
                self._unknown.setdefault(str(value), []).append(fid)
            elif known[value] == legend.background:
                self._fids.setdefault("zero", []).append(fid)

    def findings(self) -> Iterator[Finding]:
        """The findings on all features taken so far."""
        path, count = (
            self.path,
            {k: (f"{len(v):,}", f"(feature ids {shown(sorted(v))})") for k, v in self._fids.items() if v},
        )
        if "empty" in count:
            n, ids = count["empty"]
            yield Finding(
                "warning", "geometry-empty", path, f"geometries that are null, empty or not finite: {n} {ids}; skipped", "delete them"
            )
        if "flat" in count:
            n, ids = count["flat"]
            yield Finding(
                "warning",
                "geometry-not-areal",
                path,
                f"points or lines: {n} {ids}; skipped",
                "buffer them, or export polygons",
            )
        if "invalid" in count:
            n, ids = count["invalid"]
            done = {"fix": "repaired", "skip": "skipped", "error": "refused, as labels.invalid=error asks"}[self.policy]
            yield Finding("error" if self.policy == "error" else "warning", "geometry-invalid", path,
                          f"invalid geometries: {n} {ids}, the first: {self._reason}; {done}", "repair them in a GIS")  # fmt: skip
        if self._twins:
            torn = f", {self._torn:,} of them with different classes" if self._torn else ""
            yield Finding("warning", "geometry-twice", path, f"geometries that are there twice: {len(self._twins):,}{torn} (feature ids "
                          f"{shown(f'{a} = {b}' for a, b in self._twins)}): burnt once", "delete one of each")  # fmt: skip
        yield from self._class_findings(count)

    def _class_findings(self, count: dict[str, tuple[str, str]]) -> Iterator[Finding]:
        path, legend = self.path, self.legend
        if legend is None:
            return
        if self._unknown:
            listed = "; ".join(
                f"{v} ({len(f):,} features: {shown(f, 4)})" for v, f in sorted(self._unknown.items())[:8]
            )
            more = f" and {len(self._unknown) - 8} more values" if len(self._unknown) > 8 else ""
            yield Finding("error", "class-unknown", path, f"values without a class: {listed}{more}", "add them to `classes`, or to "
                          f"`classes.ignore`; classes are {', '.join(f'{c.id} {c.name}' for c in legend.classes)}")  # fmt: skip
        if "null" in count:
            n, ids = count["null"]
            yield Finding(
                "warning", "class-null", path, f"features without a class: {n} {ids}; ignored", "fill the field"
            )
        if "zero" in count:
            n, _ = count["zero"]
            yield Finding(
                "note", "class-zero", path, f"polygons of class 0 {legend.names[legend.background or 0]}: {n}"
            )
        if self._texts:
            yield Finding("note", "class-text", path, "class ids are stored as text: '1' is taken as 1")


def crs_findings(labels: Path, own: str | None, image: RasterInfo, layer: str | None = None) -> list[Finding]:
    """What the coordinate systems of labels and image have to do with each other. Raises DataError."""
    grid = image.grid
    if own is None or grid.crs is None:
        if (own is None) == (grid.crs is None):
            return []
        without, which = (labels, "labels have") if own is None else (image.path, "image has")
        return [Finding("error", "crs-missing", without, f"the {which} no coordinate system, the other is {crs_name(own or grid.crs)}",
                        "assign the right one: ogr2ogr -a_srs or gdal_edit.py -a_srs")]  # fmt: skip
    if not same_place(own, grid.crs, grid.bounds, 0.01 * min(grid.pixel_size)):
        message = f"is in {crs_name(own)}, the image in {crs_name(grid.crs)}: labels are reprojected to the image"
        return [Finding("note", "crs-reprojected", labels, message)]
    mine, theirs = stored_code(labels, own, layer), stored_code(image.path, grid.crs)
    if mine == theirs:
        return []
    level: Any = "warning" if mine and theirs else "note"
    message = (f"stores its coordinate system as {mine or 'text without a code'} ({parse_crs(own).name}), the image as "
               f"{theirs or 'text without a code'}: codes differ, definitions agree, nothing is reprojected")  # fmt: skip
    return [Finding(level, "crs-code-differs", labels, message)]


def stored_code(path: Path, definition: str, layer: str | None = None) -> str | None:
    """The code under which a file stores its coordinate system, such as EPSG:26986, or NONE:4327 in a GeoPackage."""
    if path.suffix.lower() == ".gpkg" and (row := _geopackage_code(local_copy(path), layer)):
        return row
    code = parse_crs(definition).to_json_dict().get("id")
    return f"{code['authority']}:{code['code']}" if code else None


def _geopackage_code(path: Path, layer: str | None) -> str | None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as source:
            rows = source.execute(
                "SELECT table_name, organization, organization_coordsys_id"
                " FROM gpkg_spatial_ref_sys JOIN gpkg_geometry_columns USING (srs_id)"
            ).fetchall()
    except sqlite3.Error:
        return None
    found = [f"{owner}:{code}".upper() for name, owner, code in rows if layer in (None, name)]
    return found[0] if found else None


def footprint(grid: Grid) -> Any:
    """The outline of a grid in its own coordinate system."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ c for c in corners])


def placement(
    info: VectorInfo, features: Features, image: RasterInfo, *, shared: bool, background: bool
) -> list[Finding]:
    """How a layer's features lie on an image. `shared`: other scenes use the layer; `background`: unlabelled counts."""
    path, outline = info.path, footprint(image.grid)
    geometry = repaired(features, "fix", path, Events()).geometry
    touching = geometry[shapely.intersects(outline, geometry)]
    if len(touching) == 0:
        return _missed(info, image, shared)
    found = []
    crossing = int((~shapely.covers(outline, touching)).sum())
    if crossing:
        found.append(
            Finding(
                "note",
                "labels-cross-edge",
                image.path,
                f"polygons of {path.name} that reach over its edge: {crossing:,}; cut there",
            )
        )
    extent = shapely.box(*shapely.total_bounds(touching))
    part = shapely.area(shapely.intersection(extent, outline)) / shapely.area(outline)
    if background and part < COVERED:
        found.append(Finding("warning", "labels-partial", image.path, f"the extent of {path.name} covers {share(part)} of it; the rest "
                             "counts as background", "if it is only not labelled: labels.extent=labels, or classes.unlabelled=ignore"))  # fmt: skip
    return found


def _missed(info: VectorInfo, image: RasterInfo, shared: bool) -> list[Finding]:
    """No feature touches the image: an error where the layer lies elsewhere, unless other images have its labels."""
    if info.features == 0:
        return []
    name, bounds = info.path.name, image.grid.bounds
    extent = bounds_in(info.bounds, info.crs, image.grid.crs)
    meets = extent is not None and (
        extent[0] < bounds[2] and extent[2] > bounds[0] and extent[1] < bounds[3] and extent[3] > bounds[1]
    )
    if meets or shared:
        message = f"no polygon of {name} touches it: all of it counts as background"
        return [Finding("warning", "labels-absent", image.path, message, "check the pair")]
    covers = box_text(extent) if extent else "ground beyond the image's coordinate system"
    message = f"labels cover {covers}, {image.path.name} {box_text(bounds)} ({crs_name(image.grid.crs) or 'pixels'}): "
    return [Finding("error", "labels-disjoint", info.path, f"{message}they do not overlap",
                    "check the pair and both coordinate systems")]  # fmt: skip


def bounds_in(bounds: Bounds | None, own: str | None, target: str | None) -> Bounds | None:
    """Bounds in another CRS; None where there is no such box."""
    if bounds is None or own is None or target is None:
        return bounds
    try:
        box = transform_bounds(bounds, own, target)
    except (ProjError, DataError):
        return None
    return box if np.isfinite(box).all() else None


def box_text(bounds: Sequence[float]) -> str:
    """Bounds as text: left, bottom, right, top."""
    return " ".join(f"{v:.8g}" for v in bounds)
