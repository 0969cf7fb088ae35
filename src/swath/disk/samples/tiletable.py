"""The table of candidate samples: where each lies and what it holds, kept as CSV until something that it depends on changes."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.filters import REASONS
from swath.core.splits import SPLITS, Split
from swath.core.thresholds import Tiles
from swath.core.windows import Window
from swath.disk.projects.project import SAMPLE_SECTIONS, Project
from swath.disk.publish import card_fault, file_sha256, publish, publish_card
from swath.disk.samples.plan import BEYOND, SceneWindows, beyond_limit, plan_places, refused
from swath.disk.stores.sample import Place, class_counts
from swath.progress import Progress
from swath.specs import BandsSpec, SampleSpec

TABLE, CARD = "tiles.csv", "tiles.json"
_WINDOW = ("row", "col", "height", "width")


@dataclass(frozen=True)
class TileTable:
    """Candidate samples before any filter: `places` (n), label pixels `counts` (n, C), pixels without data `invalid` (n)."""

    places: tuple[Place, ...]
    counts: NDArray[np.int64]
    invalid: NDArray[np.int64]
    cached: bool

    def tiles(self, split: Split, background: int | None) -> Tiles:
        """The candidates of one split."""
        mine = np.array([p.split == split for p in self.places], bool)
        areas = np.array([p.read.area for p in self.places], np.int64)
        return Tiles(self.counts[mine], areas[mine], self.invalid[mine], background)


def tile_table(project: Project, directory: Path) -> TileTable:
    """The table of a project, read again from `directory` where it is of the same content and settings, else made there.

    Its rows are what `sample` would look at: pixels and labels of every candidate are read by the same code.
    """
    key, places = table_key(project), _candidates(project)
    found = _recalled(directory, key, len(places), len(project.legend))
    if found is not None:
        return TileTable(places, *found, cached=True)
    source = SceneWindows(project)
    counts, invalid = np.zeros((len(places), len(project.legend)), np.int64), np.zeros(len(places), np.int64)
    for scene in dict.fromkeys(p.scene for p in places):
        source.labels(scene)
    with Progress("analyze", len(places), "samples") as progress:
        for n, place in enumerate(places):
            sample = source.read(place, place.read)
            counts[n] = class_counts(sample.labels, project.legend)
            invalid[n] = sample.valid.size - np.count_nonzero(sample.valid)
            progress.advance(1)
    made = TileTable(places, counts, invalid, cached=False)
    file = publish(directory / TABLE, lambda part: _write(project, made, part))
    publish_card(directory / CARD, {"key": key, "rows": len(places), "table_sha256": file_sha256(file)})
    return made


def table_key(project: Project) -> str:
    """A hash of the inputs and of the settings that decide the table; filters, limits and scaling do not."""
    config = project.config
    cut = {k: getattr(config.sample, k) for k in ("overlap", "edge", "points")}
    sample = SampleSpec(tile=project.tile, **cut)
    bands = BandsSpec(**{k: getattr(config.bands, k) for k in ("select", "nodata", "nodata_value")})
    bare = replace(project, config=config.model_copy(update={"sample": sample, "bands": bands}))
    return hashlib.sha256(f"{bare.fingerprint(*SAMPLE_SECTIONS)} {project.stride}".encode()).hexdigest()[:16]


def decide(project: Project, table: TileTable) -> list[str | None]:
    """Per row why `sample` would drop it, or None where it would keep it: the same rules, in the same order."""
    rows: defaultdict[Place, list[int]] = defaultdict(list)  # two points of one id in one pixel are equal places
    for n in reversed(range(len(table.places))):
        rows[table.places[n]].append(n)
    out: list[str | None] = [None] * len(table.places)
    for split in SPLITS:
        kept = 0
        for place in plan_places(project, split):
            n = rows[place].pop()
            beyond = beyond_limit(project, split, kept)
            out[n] = BEYOND if beyond else refused(project, place, table.counts[n], int(table.invalid[n]))
            kept += out[n] is None
    return out


def reasons_in_order(found: dict[str, int]) -> dict[str, int]:
    """Counts of reasons in the order in which the rules are asked."""
    listed = [*(r for r in REASONS if r), BEYOND]
    return {r: found[r] for r in sorted(found, key=lambda r: (listed.index(r) if r in listed else -1, r))}


def _candidates(project: Project) -> tuple[Place, ...]:
    """All places that may become samples, in an order that no limit changes."""
    places = [p for split in SPLITS for p in plan_places(project, split)]
    return tuple(sorted(places, key=_order))


def _order(place: Place) -> tuple[Any, ...]:
    return SPLITS.index(place.split), place.scene, place.core, place.read, -1 if place.point is None else place.point.id


def _write(project: Project, table: TileTable, part: Path) -> None:
    """One row per candidate: scene, split, windows, then pixels and share of the whole tile per class."""
    names = project.legend.names
    heads = [*_WINDOW, *(f"core_{w}" for w in _WINDOW), "nodata", *(f"pixels_{n}" for n in names), *(f"share_{n}" for n in names)]
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scene", "split", *heads])
        for place, counts, invalid in zip(table.places, table.counts.tolist(), table.invalid.tolist(), strict=True):
            shares = [f"{c / place.read.area:.6g}" for c in counts]
            scene = project.scenes[place.scene].name
            writer.writerow([scene, place.split, *_sides(place.read), *_sides(place.core), invalid, *counts, *shares])


def _sides(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.col, window.height, window.width


def _recalled(directory: Path, key: str, rows: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The counts and invalid pixels of a whole table of this key; None where there is none."""
    card, file = directory / CARD, directory / TABLE
    if not card.exists() or not file.exists() or card_fault(card) is not None:
        return None
    known: dict[str, Any] = json.loads(card.read_text("utf-8"))
    if known["key"] != key or known["rows"] != rows or known["table_sha256"] != file_sha256(file):
        return None
    first = 2 + 2 * len(_WINDOW)
    numbers = np.zeros((rows, 1 + classes), np.int64)
    with file.open(newline="", encoding="utf-8") as source:
        reader = csv.reader(source)
        next(reader)
        for n, row in enumerate(reader):
            numbers[n] = row[first : first + 1 + classes]
    return numbers[:, 1:], numbers[:, 0]
