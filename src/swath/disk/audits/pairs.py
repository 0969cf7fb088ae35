"""The labels of scenes against their images: every label file is audited once, however many images it labels."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.legend import Legend
from swath.core.splits import Region
from swath.disk.audits.audit import Finding, from_error, merged, share
from swath.disk.audits.faults import Fault
from swath.disk.audits.labels import LayerAudit, crs_findings, placement
from swath.disk.audits.masks import label_raster_findings, value_classes
from swath.disk.audits.points import label_findings
from swath.disk.rasters.crs import crs_name, on_grid
from swath.disk.rasters.raster import RasterInfo, raster_info
from swath.disk.rasters.tally import Counts, LabelValues, coarse, tally, tally_classes
from swath.disk.scenes.labels import class_field, open_labels
from swath.disk.scenes.manifest import Scene
from swath.disk.sources.probe import spread_windows
from swath.disk.sources.stack import Image
from swath.disk.vectors import vector
from swath.disk.vectors.points import holds_points
from swath.specs import LabelsSpec


@dataclass
class LabelAudit:
    """The label files of scenes. `legend` None: only geometry, grids and values are looked at, no classes."""

    legend: Legend | None
    spec: LabelsSpec
    inputs: dict[Path, dict[str, Any]] = field(default_factory=dict)
    scenes: int = 0
    _found: list[Finding] = field(default_factory=list)
    _values: dict[Path, Counts] = field(default_factory=dict)
    _layers: dict[Any, tuple[vector.VectorInfo, LayerAudit]] = field(default_factory=dict)

    def add(self, scene: Scene, image: RasterInfo, *, shared: bool) -> bool:
        """Takes the labels of a scene; True where they can be used. `shared`: other scenes have the same file."""
        labels = scene.labels
        assert labels is not None
        self.scenes += 1
        try:
            is_vector = labels.suffix.lower() in vector.SUFFIXES
            sound = self._vectors(scene, image, shared) if is_vector else self._raster(labels, image)
            if sound and scene.aoi is not None:
                self.inputs.setdefault(scene.aoi, vector_input(vector.vector_info(scene.aoi), "aoi"))
                self._found += crs_findings(scene.aoi, vector.vector_info(scene.aoi).crs, image)
                if self.legend is not None:
                    open_labels(scene, image.grid, self.legend, self.spec, Events())
        except DataError as e:
            self._fail(e, next((f for f in scene.files if str(f) in e.where), labels))
            sound = False
        return sound

    def findings(self) -> list[Finding]:
        """All findings on the labels taken so far."""
        self._take_empty()
        found = [*self._found, *(f for info, layer in self._layers.values() for f in self._layer(info, layer))]
        return merged(dict.fromkeys(found), self.scenes, "scenes")

    @property
    def faults(self) -> list[Fault]:
        """The features of all layers that something is wrong with."""
        self._take_empty()
        return [f for _, layer in self._layers.values() for f in layer.faults]

    def count(self, scene: Scene, image: RasterInfo, regions: Sequence[Region]) -> tuple[Counts, bool]:
        """Pixels and ground per class index and split of a sound scene, and whether they are exact. Raises DataError."""
        labels, legend = scene.labels, self.legend
        assert labels is not None
        assert legend is not None
        if labels in self._values and scene.aoi is None and on_grid((info := raster_info(labels)).grid, image.grid):
            counts = self._values[labels]
            if len(regions) == 1 and regions[0].inside is None and not regions[0].outside:
                counts = {regions[0].split: counts["all"]}
            else:
                source = LabelValues(labels, legend)
                counts = tally(source, image.grid, spread_windows(info, math.inf), regions)
                source.close()
            return {s: _by_class(t, info, legend) for s, t in counts.items()}, True
        opened = open_labels(scene, coarse(image.grid), legend, self.spec, Events())
        return tally_classes(opened, image.grid, legend, regions)

    def _vectors(self, scene: Scene, image: RasterInfo, shared: bool) -> bool:
        """True where all vector files of a scene can be used; where they are several, some may lie off the image."""
        files = scene.label_files
        before = len(self._found)
        sound = [self._vector(replace(scene, labels=f, further=()), f, image, shared or len(files) > 1) for f in files]
        if len(files) > 1:
            absent = [f for f in self._found[before:] if f.code in ("labels-absent", "labels-partial")]
            told = [f for f in absent if f.code == "labels-absent"] if len(absent) == len(files) else []
            self._found[before:] = [f for f in self._found[before:] if f not in absent] + told
            if all(sound) and self.legend is not None:
                open_labels(scene, image.grid, self.legend, self.spec, Events())
        return all(sound)

    def _vector(self, scene: Scene, labels: Path, image: RasterInfo, shared: bool) -> bool:
        layer = scene.layer or self.spec.layer
        info = vector.vector_info(labels, layer)
        self.inputs.setdefault(labels, vector_input(info, "labels"))
        place = self._problems(crs_findings(labels, info.crs, image, info.layer))
        if place:
            return False
        if self.legend is not None and holds_points(labels, layer):
            found = label_findings(scene, labels, image, self.legend, layer=layer, shared=shared)
            return not self._problems(found)
        name = class_field(replace(scene, layer=layer), self.legend) if self.legend is not None else scene.field
        _, audit = self._layers.setdefault(
            (labels, layer, name), (info, LayerAudit(labels, self.legend, self.spec.invalid))
        )
        features = vector.features_on_grid(labels, image.grid, layer=layer, field=name)
        audit.add(features)
        if name is None and self.legend is not None and info.features:
            only = next(c.name for c in self.legend.classes if c.id != 0)
            self._found.append(Finding("note", "field-unused", labels, f"no class field: every polygon is {only}"))
        background = self.legend is not None and self.legend.fill != self.legend.ignore and self.spec.extent == "image"
        failed = self._problems(placement(info, features, image, shared=shared, background=background))
        return not failed and not audit.broken

    def _raster(self, labels: Path, image: RasterInfo) -> bool:
        info = raster_info(labels)
        self.inputs.setdefault(labels, raster_input(info, "labels"))
        if labels not in self._values:
            source = LabelValues(labels, self.legend)
            try:
                self._values[labels] = tally(source, info.grid, spread_windows(info, math.inf))
            finally:
                source.close()
        return not self._problems(label_raster_findings(info, image, self.legend, self._values[labels]))

    def _take_empty(self) -> None:
        """Tells every layer of its features without a geometry, which no image meets."""
        for info, layer in self._layers.values():
            if layer.seen and len(layer.seen) < info.features:
                layer.add_empty(vector.without_geometry(info.path, info.layer))

    def _layer(self, info: vector.VectorInfo, layer: LayerAudit) -> Iterator[Finding]:
        if info.features == 0:
            yield Finding("warning", "vector-no-features", info.path, f"layer '{info.layer}' holds no feature: all of its images count "
                          "as background", "export it anew")  # fmt: skip
        yield from layer.findings()
        outside = info.features - len(layer.seen)
        if outside > 0 and layer.seen:
            level: Any = "warning" if 2 * outside > info.features else "note"
            yield Finding(level, "labels-partial", info.path, f"{outside:,} of {info.features:,} features ({share(outside, info.features)}) lie "
                          "outside every image that uses this file; not used", "" if level == "note" else "check the pairs", "features")  # fmt: skip

    def _problems(self, found: Sequence[Finding]) -> bool:
        self._found += found
        return any(f.level == "error" for f in found)

    def _fail(self, error: DataError, path: Path) -> None:
        self._found.append(from_error(error, path))
        self.inputs.setdefault(path, unreadable_input(path, "labels"))


def _by_class(table: dict[Any, tuple[int, float]], info: RasterInfo, legend: Legend) -> dict[Any, tuple[int, float]]:
    out: dict[Any, tuple[int, float]] = {}
    for value, index in value_classes(list(table), info, legend).items():
        pixels, area = out.get(index, (0, 0.0))
        out[index] = pixels + table[value][0], area + table[value][1]
    return out


def pair_findings(scenes: Sequence[Scene], placed: Container[Image]) -> Iterator[Finding]:
    """Labels that are named like the image of another scene: swapped rows. It is an error where nothing but names can
    tell, because the image is not `placed`, and labels of the image's own name stand in another row.
    """
    images = {s.image.stem for s in scenes}
    labels = {s.labels.stem for s in scenes if s.labels}
    for s in scenes:
        if s.labels and s.labels.stem != s.image.stem and s.labels.stem in images:
            swapped = s.image.stem in labels and s.image not in placed
            yield Finding(
                "error" if swapped else "warning",
                "labels-pair",
                s.labels,
                f"labels {s.image.name} but is named like another scene's image"
                + (", and labels of its name are in another row" if swapped else ""),
                "check that the rows of the manifest are not swapped",
            )


def raster_input(info: RasterInfo, role: str) -> dict[str, Any]:
    """A raster as `inputs` lists it."""
    return {
        "path": str(info.path.absolute()), "kind": "raster", "role": role, "grid": info.grid.as_dict(), "bands": info.count,
        "dtype": info.dtype, "crs": crs_name(info.grid.crs), "names": list(info.names),
        "nodata": [v if v is None or math.isfinite(v) else str(v) for v in info.nodata],
    }  # fmt: skip


def vector_input(info: vector.VectorInfo, role: str) -> dict[str, Any]:
    """A vector layer as `inputs` lists it."""
    return {
        "path": str(info.path.absolute()), "kind": "vector", "role": role, "grid": None, "bands": None, "dtype": None,
        "crs": crs_name(info.crs), "layer": info.layer, "features": info.features, "fields": list(info.fields),
        "geometry": info.geometry, "bounds": None if info.bounds is None else list(info.bounds),
    }  # fmt: skip


def unreadable_input(path: Path, role: str) -> dict[str, Any]:
    """A file that cannot be read as `inputs` lists it."""
    empty = dict.fromkeys(("grid", "bands", "dtype", "crs"))
    return {"path": str(path.absolute()), "kind": "unreadable", "role": role, **empty}
