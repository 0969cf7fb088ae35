"""The result of `swath sample` is a store of samples: packed tiles with labels, and their footprints for QGIS."""

from __future__ import annotations

import time
from typing import Any

from swath.core.errors import ResourceError
from swath.core.splits import SPLITS, Split
from swath.disk.projects.project import SAMPLE_SECTIONS, Project
from swath.disk.samples.packing import pack
from swath.disk.stores.store import read_card


def sample(project: Project, *, overwrite: bool = False) -> dict[str, Any]:
    """The store of a project: `store` path, `samples` per split, `dropped` per reason, `classes` share per split,
    `leakage` between splits.

    A finished store of the same config and inputs is kept; another one is refused without `overwrite`.
    Raises DataError where a split that should train holds no sample.
    """
    started = time.monotonic()
    directory, print_ = project.store_dir, project.fingerprint(*SAMPLE_SECTIONS)
    if (directory / "card.json").exists() and not overwrite:
        made = read_card(directory)
        if made["fingerprint"] == print_:
            return _result(project, made, 0.0, done=True)
        raise ResourceError("store-exists", directory, "holds a store of another config or of other inputs",
                            "add --overwrite to replace it")  # fmt: skip
    card = pack(project, directory, print_, SPLITS, project.config.sample.compress)
    return _result(project, card, time.monotonic() - started, done=False)


def _result(project: Project, card: dict[str, Any], seconds: float, *, done: bool) -> dict[str, Any]:
    splits: dict[Split, Any] = card["splits"]
    return {
        "store": str(project.store_dir),
        "samples": {s: splits[s]["samples"] for s in SPLITS},
        "dropped": dict(card["dropped"]),
        "classes": {s: splits[s]["classes"] for s in SPLITS},
        "events": card.get("events", {}),
        "leakage": card.get("leakage"),
        "seconds": round(seconds, 3),
        "already_done": done,
    }
