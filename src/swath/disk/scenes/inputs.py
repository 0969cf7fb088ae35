"""What the files, folders, globs and manifests on a command line stand for: scenes, rasters, vectors."""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass, field
from pathlib import Path

from swath.core.errors import DataError
from swath.disk.rasters import raster
from swath.disk.remote.access import is_remote
from swath.disk.scenes.manifest import Scene, manifest_rows, survey
from swath.disk.vectors import vector


@dataclass
class Inputs:
    """Scenes of manifests, and loose rasters and vectors; `problems` of manifests do not stop the others."""

    scenes: list[Scene] = field(default_factory=list)
    rasters: list[Path] = field(default_factory=list)
    vectors: list[Path] = field(default_factory=list)
    problems: list[DataError] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Takes one input. Raises DataError where it stands for nothing."""
        if path.is_dir() or (not is_remote(path) and not path.exists() and any(c in str(path) for c in "*?[")):
            files = (
                _in_folder(path) if path.is_dir() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
            )
            if not files:
                raise DataError(
                    "inputs-none", path, "no raster or vector found there", "name files, or a folder of them"
                )
            for file in files:
                self.add(file)
        elif is_manifest(path):
            scenes, problems = survey(manifest_rows(path), path.parent)
            self.scenes += scenes
            self.problems += problems
        else:
            (self.vectors if path.suffix.lower() in vector.SUFFIXES else self.rasters).append(path)


def _in_folder(folder: Path) -> list[Path]:
    known = raster.SUFFIXES | vector.SUFFIXES - {".json", ".parquet"}  # these two may be no vectors at all
    return sorted(
        p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and p.suffix.lower() in known
    )


def is_manifest(path: Path) -> bool:
    """True for CSV, for JSON with scenes, and for tables with a column `image`."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return True
    if suffix not in (".json", ".gpkg", ".geojson") or not path.exists():
        return False
    if suffix == ".json":
        try:
            value = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError:
            return False
        return isinstance(value, list) or (isinstance(value, dict) and "scenes" in value)
    try:
        return "image" in (f.lower() for f in vector.vector_info(path).fields)
    except DataError:
        return False
