"""Labels of images from one file, from the union of several, or from a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.windows import Window
from swath.disk.rasters import raster
from swath.disk.remote.access import location
from swath.disk.scenes.inputs import Inputs
from swath.disk.scenes.labels import Labels, VectorLabels, open_labels
from swath.disk.scenes.manifest import Scene, expand_inputs
from swath.disk.sources.stack import Image
from swath.disk.vectors import vector
from swath.specs import LabelsSpec

NULLS = "null or empty geometry skipped"


class Union:
    """The labels of several vector files together: on overlap the higher class id wins, whatever the file."""

    def __init__(self, parts: Sequence[Labels], legend: Legend, *, outside_ignored: bool) -> None:
        self.parts = parts
        self.rank = np.full(legend.ignore + 1, 0 if outside_ignored else 1, np.int64)
        self.rank[: len(legend)] = np.array(legend.ids) + 2
        if legend.fill != legend.ignore:
            self.rank[legend.fill] = 1 if outside_ignored else 0

    def read(self, window: Window) -> NDArray[Any]:
        """Indices (h, w)."""
        out = self.parts[0].read(window)
        for part in self.parts[1:]:
            other = part.read(window)
            better = self.rank[other] > self.rank[out]
            out[better] = other[better]
        return out


def label_files(labels: Sequence[str | Path] | str | Path | None) -> list[Path]:
    """The files that labels name: a raster, or vectors, folders and globs of them (their union). Raises DataError."""
    if labels is None:
        return []
    found = Inputs()
    for item in [labels] if isinstance(labels, str | Path) else labels:
        found.add(location(item))
    if found.scenes or (found.rasters and len(found.rasters) + len(found.vectors) > 1):
        raise ConfigError("labels-many", "labels", "a raster cannot be joined with other labels",
                          "name one raster, or vectors; pair images and rasters in a manifest")  # fmt: skip
    return found.rasters or found.vectors


def label_scenes(images: Sequence[str | Path], files: Sequence[Path]) -> list[Scene]:
    """One scene per image: those of manifests keep their labels unless `files` are given. Raises DataError."""
    scenes: dict[Image, Scene] = {}
    found = Inputs()
    for item in images:
        path = location(item)
        if path.exists() and path.suffix.lower() in (".csv", ".tsv", ".json", ".gpkg", ".geojson"):
            found.add(path)
        else:
            found.rasters += expand_inputs([item], raster.SUFFIXES)
    if found.problems:
        raise found.problems[0]
    for scene in [*found.scenes, *(Scene(p.stem, p) for p in found.rasters)]:
        given = replace(scene, labels=files[0]) if files else scene
        if given.labels is None:
            raise DataError("labels-none", scene.place, "has no labels", "name them, or fill the manifest's column")
        scenes.setdefault(scene.image, given)
    return list(scenes.values())


def open_burnt(
    scene: Scene, files: Sequence[Path], grid: Grid, legend: Legend, spec: LabelsSpec, events: Events, *, alone: bool
) -> Labels:
    """The labels of a scene on a grid: its own, or the union of `files`. Raises DataError, and ConfigError for a union
    by a priority other than the class id. `alone`: polygons that all lie elsewhere are a mistake.
    """
    if len(files) < 2:
        return open_labels(scene, grid, legend, spec, events, alone=alone)
    if spec.priority != "id":
        raise ConfigError("labels-priority", "labels.priority", "several files cannot be ordered by a field",
                          "join them into one layer, or leave priority at id")  # fmt: skip
    parts = [open_labels(replace(scene, labels=f), grid, legend, spec, events) for f in files]
    return Union(parts, legend, outside_ignored=spec.extent == "labels")


def burnt_polygons(labels: Labels) -> list[VectorLabels]:
    """The vector labels inside labels, whatever wraps them."""
    if isinstance(labels, VectorLabels):
        return [labels]
    if isinstance(labels, Union):
        return [v for part in labels.parts for v in burnt_polygons(part)]
    inner = getattr(labels, "base", None)
    return burnt_polygons(inner) if inner is not None else []


def count_nulls(files: Sequence[Path], layers: Sequence[str | None], events: Events) -> None:
    """Counts the null and empty geometries of whole vector files, once each: a search by place passes them over."""
    for path, layer in dict.fromkeys(zip(files, layers, strict=True)):
        if path.suffix.lower() in vector.SUFFIXES:
            events.count(NULLS, len(vector.without_geometry(path, layer)))
