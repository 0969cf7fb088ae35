"""The result of `swath verify` is the proof that a store, bundle, run or map is as it was written, or a list of faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.core.windows import grid_windows
from swath.disk.bundle import bundle_faults
from swath.disk.rasters.raster import SUFFIXES, RasterReader
from swath.disk.stores.store import store_faults


def verify(thing: str | Path) -> dict[str, Any]:
    """`ok`, `kind` and `faults` of a store, a bundle, a run (its bundles and store) or a raster (every block is read).

    Raises DataError where the path is none of them.
    """
    path = Path(thing)
    kind, faults = _examined(path)
    return {"ok": not faults, "kind": kind, "path": str(path.absolute()), "faults": faults}


def _examined(path: Path) -> tuple[str, list[str]]:
    if path.suffix.lower() in SUFFIXES:
        return "raster", raster_faults(path)
    parts = [p for name in ("samples.store", "best", "last") if ((p := path / name) / "card.json").exists()]
    if parts:
        return "run", [fault for part in parts for fault in _examined(part)[1]]
    card = path / "card.json"
    if not card.exists():
        raise DataError("verify-unknown", path, "is no store, bundle, run or raster", "name one of them")
    return _kind(path), store_faults(path) if _kind(path) == "store" else bundle_faults(path)


def _kind(path: Path) -> str:
    """What a directory with a card is; a card that cannot be read is judged by the files beside it."""
    try:
        return str(json.loads((path / "card.json").read_text("utf-8"))["swath"])
    except (ValueError, KeyError, TypeError):
        return "store" if (path / "records.bin").exists() else "bundle"


def raster_faults(path: Path) -> list[str]:
    """The windows of a raster that cannot be read."""
    faults = []
    reader = RasterReader(path, rule="none")
    for window in grid_windows(*reader.grid.shape, 1024, 1024, "keep"):
        try:
            reader.read(window)
        except DataError as e:
            faults.append(f"{e.where}: {e.message}")
    return faults
