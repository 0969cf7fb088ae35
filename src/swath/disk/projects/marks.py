"""What a run has done: per step its key, its result, and the files that it left, each with a stamp of its content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.disk.publish import publish_json
from swath.disk.sources.stamp import file_stamp

FILE = "steps.json"
PRODUCTS = ("evaluate", "predict", "vectorize", "picture")  # steps whose files carry no checksum of their own


def read_marks(run: Path, home: Path | None = None) -> dict[str, Any]:
    """The marks by step, their paths as they are now, wherever the run (and the config's folder `home`) has been moved.

    Raises DataError for a damaged file.
    """
    file = run / FILE
    if not file.exists():
        return {}
    try:
        marks = json.loads(file.read_text("utf-8"))
        if not all(isinstance(m["result"], dict) for m in marks.values()):
            raise ValueError("a step without result")
        return {name: _moved(m, m.get("places"), [str(run), str(home or run.parent)]) for name, m in marks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DataError("run-corrupt", file, "is not as it was written", "delete it: finished parts are found again") from e


def write_mark(run: Path, home: Path, name: str, key: str, files: Iterable[str], result: dict[str, Any]) -> None:
    """Adds the mark of a finished step."""
    stamps = {f: file_stamp(f) for f in files}
    mark = {"key": key, "files": stamps, "places": [str(run), str(home)], "result": result}
    publish_json(run / FILE, {**read_marks(run, home), name: mark})


def changed_files(mark: dict[str, Any]) -> list[str]:
    """The files of a step that are gone, or hold something else than it left."""
    files = mark.get("files", {})
    return [f for f in files if not Path(f).is_file() or (isinstance(files, dict) and file_stamp(f) != files[f])]


def _moved(value: Any, old: list[str] | None, new: list[str]) -> Any:
    """Plain JSON values whose paths lie at the new places (of run and config) as they lay at the old ones."""
    if old is None or old == new:
        return value
    if isinstance(value, dict):
        return {_moved(k, old, new): _moved(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [_moved(v, old, new) for v in value]
    if not isinstance(value, str) or not value.startswith(os.sep):
        return value
    inside = value == old[0] or value.startswith(f"{old[0]}{os.sep}")
    before, after = (old[0], new[0]) if inside else (old[1], new[1])
    moved = os.path.normpath(os.path.join(after, os.path.relpath(value, before)))
    return moved if inside or Path(moved).exists() else value  # inputs at absolute places have not moved
