"""The result of `swath verify` is the proof that a store, bundle, run or map is as it was written, or a list of faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.core.windows import grid_windows
from swath.disk.bundle import bundle_faults
from swath.disk.projects.marks import PRODUCTS, changed_files, read_marks
from swath.disk.stores.store import store_faults


def verify(thing: str | Path) -> dict[str, Any]:
    """`ok`, `kind` and `faults` of a store, a bundle, a run (its bundles, store and products), samples in another layout, or a
    raster (every block is read).

    Raises DataError where the path is none of them.
    """
    path = Path(thing)
    kind, faults = _examined(path)
    return {"ok": not faults, "kind": kind, "path": str(path.absolute()), "faults": faults}


def _examined(path: Path) -> tuple[str, list[str]]:
    if not path.is_dir() and _is_raster(path):
        return "raster", raster_faults(path)
    parts = [p for name in ("samples.store", "best", "last") if ((p := path / name) / "card.json").exists()]
    if parts:
        return "run", [fault for part in parts for fault in _examined(part)[1]] + run_faults(path)
    card = path / "card.json"
    if (path / "swath.json").exists():
        return _layout(path)
    if not card.exists():
        raise DataError("verify-unknown", path, "is no store, bundle, run or raster, and holds no samples that Swath wrote", "name one of them")
    return _kind(path), store_faults(path) if _kind(path) == "store" else bundle_faults(path)


def _layout(path: Path) -> tuple[str, list[str]]:
    """(format, faults) of samples that `swath convert` wrote: all are read and compared with what their card tells."""
    from swath.disk.formats import FORMATS, format_of

    kind = format_of(path)
    try:
        for _ in FORMATS[kind].read(path):
            pass
    except DataError as e:
        return kind, [f"{e.where}: {e.message}"]
    return kind, []


def run_faults(path: Path) -> list[str]:
    """The bundles of a finished training that are missing, and the products of a run that are not as it left them."""
    lost = [path / name for name in ("best", "last") if not (path / name / "card.json").exists()]
    faults = [f"{p}: is missing" for p in lost if (path / "train.json").exists()]
    try:
        marks = read_marks(path.absolute())
    except DataError as e:
        return [*faults, f"{e.where}: {e.message}"]
    changed = [file for step in PRODUCTS for file in changed_files(marks.get(step, {}))]
    return faults + [f"{f}: {'is not as the run left it' if Path(f).exists() else 'is missing'}" for f in changed]


def _is_raster(path: Path) -> bool:
    from swath.disk.rasters.raster import SUFFIXES  # GDAL is loaded for rasters only: stores are proven without it

    return path.suffix.lower() in SUFFIXES


def _kind(path: Path) -> str:
    """What a directory with a card is; a card that cannot be read is judged by the files beside it."""
    try:
        return str(json.loads((path / "card.json").read_text("utf-8"))["swath"])
    except (ValueError, KeyError, TypeError):
        return "store" if (path / "records.bin").exists() else "bundle"


def raster_faults(path: Path) -> list[str]:
    """The windows of a raster that cannot be read."""
    from swath.disk.rasters.raster import RasterReader

    faults = []
    reader = RasterReader(path, rule="none")
    for window in grid_windows(*reader.grid.shape, 1024, 1024, "keep"):
        try:
            reader.read(window)
        except DataError as e:
            faults.append(f"{e.where}: {e.message}")
    return faults
