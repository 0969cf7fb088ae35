"""Findings on points: as labels of a scene, and as places of samples."""

from __future__ import annotations

from pathlib import Path

from swath.core.errors import DataError
from swath.core.legend import Legend
from swath.disk.audits.audit import Finding, from_error
from swath.disk.projects.project import Project
from swath.disk.rasters.raster import RasterInfo
from swath.disk.scenes.manifest import Scene
from swath.disk.vectors.points import read_points


def label_findings(
    scene: Scene, path: Path, image: RasterInfo, legend: Legend, *, layer: str | None, shared: bool
) -> list[Finding]:
    """What points as labels hold for an image. `shared`: other scenes use the layer. Raises DataError."""
    points = read_points(path, legend, layer=layer, field=legend.field or scene.field)
    numbers, rows, cols = points.on_grid(image.grid, scene.name)
    inside = (rows >= 0) & (rows < image.grid.height) & (cols >= 0) & (cols < image.grid.width)
    if not inside.any():
        level, fix = ("warning" if shared else "error"), "check the pair and both coordinate systems"
        return [Finding(level, "labels-absent" if shared else "labels-disjoint", image.path, f"no point of {path.name} lies on it", fix)]  # type: ignore[arg-type]
    found = [Finding("note", "labels-points", image.path, f"{int(inside.sum()):,} points of {path.name} lie on it: the pixels that "
                     "hold them are labelled, all others ignored")]  # fmt: skip
    missing = int((points.indices[numbers][inside] == legend.ignore).sum())
    if missing:
        found.append(Finding("warning", "class-null", path, f"points without a class: {missing:,}; left out", "fill the class field"))
    return found


def place_findings(project: Project) -> list[Finding]:
    """How many samples the points of the config give, and why others give none."""
    if project.points_path is None:
        return []
    if not project.points_path.exists():
        return [Finding("error", "file-missing", project.points_path, "no such file", "check sample.points")]
    if not project.scenes:
        return []
    try:
        places, refused = project.placed
    except DataError as e:
        return [from_error(e, project.points_path)]
    told = ", ".join(f"{s} {len(p):,}" for s, p in places.items())
    found = [Finding("note", "points-placed", project.points_path, f"samples around points: {told}")]
    if refused:
        why = ", ".join(f"{n:,} x {reason}" for reason, n in refused.items())
        found.append(Finding("warning", "points-refused", project.points_path, f"points that give no sample: {why}",
                             "a smaller sample.tile fits nearer to the edge"))  # fmt: skip
    if project.points is not None and project.points.own_splits and not places["val"]:
        found.append(Finding("error", "split-empty", project.points_path, "its column `split` leaves validation empty",
                             "draw points with --split proportions, or delete the column"))  # fmt: skip
    return found
