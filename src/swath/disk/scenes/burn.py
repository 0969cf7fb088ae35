"""Labels of images from one file, from the union of several, or from a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.disk.rasters import raster
from swath.disk.remote.access import location
from swath.disk.scenes.inputs import Inputs
from swath.disk.scenes.labels import Labels, VectorLabels, open_labels
from swath.disk.scenes.manifest import Scene, expand_inputs
from swath.disk.sources.stack import Image
from swath.disk.vectors import vector
from swath.specs import LabelsSpec

NULLS = "null or empty geometry skipped"


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
        given = replace(scene, labels=files[0], further=()) if files else scene
        if given.labels is None:
            raise DataError("labels-none", scene.place, "has no labels", "name them, or fill the manifest's column")
        scenes.setdefault(scene.image, given)
    return list(scenes.values())


def open_burnt(
    scene: Scene, files: Sequence[Path], grid: Grid, legend: Legend, spec: LabelsSpec, events: Events, *, alone: bool
) -> Labels:
    """The labels of a scene on a grid: its own, or those of `files` together. Raises DataError. `alone`: polygons that all
    lie elsewhere are a mistake.
    """
    given = replace(scene, labels=files[0], further=tuple(files[1:])) if files else scene
    return open_labels(given, grid, legend, spec, events, alone=alone)


def burnt_polygons(labels: Labels) -> list[VectorLabels]:
    """The vector labels inside labels, whatever wraps them."""
    if isinstance(labels, VectorLabels):
        return [labels]
    inner = getattr(labels, "base", None)
    return burnt_polygons(inner) if inner is not None else []


def count_nulls(files: Sequence[Path], layers: Sequence[str | None], events: Events) -> None:
    """Counts the null and empty geometries of whole vector files, once each: a search by place passes them over."""
    for path, layer in dict.fromkeys(zip(files, layers, strict=True)):
        if path.suffix.lower() in vector.SUFFIXES:
            events.count(NULLS, len(vector.without_geometry(path, layer)))
