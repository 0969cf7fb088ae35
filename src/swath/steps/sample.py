"""The result of `swath sample` is a store of samples: packed tiles with labels, and their footprints for QGIS."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.errors import DataError, ResourceError
from swath.core.splits import SPLITS, Split
from swath.core.windows import Window
from swath.disk.geopackage import forget_clock
from swath.disk.leakage import leakage
from swath.disk.project import SAMPLE_SECTIONS, Project, fit_bands
from swath.disk.publish import make_directory, sweep
from swath.disk.recordspool import RecordSpool
from swath.disk.samples import (
    BEYOND,
    SceneWindows,
    beyond_limit,
    class_counts,
    plan_places,
    refusal,
    refused_points,
    scene_bands,
)
from swath.disk.schema import Schema
from swath.disk.store import publish_store, read_card
from swath.messages import say
from swath.progress import Progress


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
    make_directory(directory)
    sweep(directory)
    bands, statistics = fit_bands(project)
    legend, grids = project.legend, [i.grid for i in project.infos]
    dtype = np.result_type(*[i.dtype for i in project.infos]).name  # holds the pixels of every scene
    schema = Schema(len(bands), dtype, project.tile, np.dtype(legend.index_dtype).name, len(legend),
                    points=project.points is not None)  # fmt: skip
    places = [p for split in SPLITS for p in plan_places(project, split)]
    _require_space(directory, len(places) * schema.record_bytes)
    per_scene = scene_bands(project, bands)
    spool = RecordSpool(directory, schema, places, print_)
    try:
        _fill(project, spool)
        card: dict[str, Any] = {
            "fingerprint": print_,
            "legend": legend.as_dict(),
            "bands": bands.as_dict(),
            "scene_scaling": [[list(b.gain), list(b.offset)] for b in map(per_scene, range(len(grids)))],
            "statistics": statistics.as_dict(),
            "scenes": [s.name for s in project.scenes],
            "grids": [g.as_dict() for g in grids],
            "dropped": _dropped(project, spool),
            "splits": _split_counts(spool.index(), legend.names),
            "events": dict(sorted(project.events.as_dict().items())),
            "leakage": leakage(project),
        }
        publish_store(directory, spool, card, lambda index, part: write_footprints(index, card, part))
    except BaseException as e:
        spool.close(remove=isinstance(e, DataError))
        raise
    spool.close(remove=True)
    return _result(project, card, time.monotonic() - started, done=False)


def _fill(project: Project, spool: RecordSpool) -> None:
    """Decides every place that was not decided before, in order of split, scene and row; refusals are counted by
    reason. Validation and test keep all that have a label.

    Raises DataError where training or validation is left without a sample.
    """
    source, places = SceneWindows(project), spool.places
    for scene in dict.fromkeys(p.scene for p in places):
        source.labels(scene)  # opened whether or not it is still needed: what was repaired in it is told
    kept = Counter(SPLITS[i] for i in spool.index()["split"])
    with Progress("sample", len(places), "samples") as progress:
        progress.advance(spool.decided)
        for place in places[spool.decided :]:
            progress.advance(1)
            if beyond_limit(project, place.split, kept[place.split]):
                spool.drop(BEYOND)
                continue
            found = source.read(place, place.read)
            counts = class_counts(found.labels, project.legend)
            reason = refusal(project, place, found, counts)
            if reason:
                spool.drop(reason)
            else:
                spool.keep(found, counts)
                kept[place.split] += 1
    for split, most in project.config.sample.limit.items():
        if kept[split] < most:
            say(f"note: sample.limit wants {most} samples of {split}, there are {kept[split]}")
    index = spool.index()
    project.events.count("pixel padded at the edge", sum(_outside(project, row) for row in index))
    for split in sorted({p.split for p in places} - {"tst"} - {SPLITS[i] for i in index["split"]}):
        raise DataError("samples-none", project.path, f"the filters left no sample in '{split}' ({_dropped(project, spool)})",
                        "lower sample.min_annotated or sample.class_min" if project.points is None
                        else "relax sample.reject_nodata, or add points")  # fmt: skip


def _dropped(project: Project, spool: RecordSpool) -> dict[str, int]:
    """Samples and points left out, by reason."""
    return dict(sorted((spool.dropped + Counter(refused_points(project))).items()))


def _outside(project: Project, row: Any) -> int:
    read = Window(*row["read"].tolist())
    return read.area - read.clip(*project.infos[row["scene"]].grid.shape).area


def write_footprints(index: NDArray[Any], card: dict[str, Any], part: Path) -> None:
    """Writes the GeoPackage of sample footprints: one layer per coordinate system, with split and class counts."""
    from pyogrio.raw import write

    from swath.core.grid import Grid

    grids = [Grid.from_dict(g) for g in card["grids"]]
    names = [c["name"] for c in card["legend"]["classes"]]
    systems = list(dict.fromkeys(g.crs for g in grids))
    for n, crs in enumerate(systems):
        rows = [r for r in index if grids[r["scene"]].crs == crs]
        boxes = [_footprint(grids[r["scene"]], r["read"]) for r in rows]
        columns = {
            "scene": np.array([card["scenes"][r["scene"]] for r in rows], object),
            "split": np.array([SPLITS[r["split"]] for r in rows], object),
            **{
                f"pixels_{name}": np.array([int(r["counts"][i]) for r in rows], np.int64)
                for i, name in enumerate(names)
            },
        }
        if "point" in (index.dtype.names or ()):
            columns["point"] = np.array([int(r["point"]) for r in rows], np.int64)
            columns["label"] = np.array([names[r["label"]] if r["label"] >= 0 else None for r in rows], object)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # scenes without a place have none
            write(
                str(part), geometry=np.array([shapely.to_wkb(b) for b in boxes], object), field_data=list(columns.values()),
                fields=list(columns), crs=crs, geometry_type="Polygon", driver="GPKG",
                layer="samples" if n == 0 else f"samples_{n + 1}", append=n > 0,
            )  # fmt: skip
    forget_clock(part)


def _footprint(grid: Any, box: NDArray[np.int64]) -> Any:
    row, col, height, width = box.tolist()
    corners = [(col, row), (col + width, row), (col + width, row + height), (col, row + height)]
    return shapely.Polygon([grid.transform @ c for c in corners])


def _split_counts(index: NDArray[Any], names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n, split in enumerate(SPLITS):
        rows = index[index["split"] == n]
        pixels = rows["counts"].sum(0) if len(rows) else np.zeros(len(names), np.int64)
        found[split] = {
            "samples": len(rows),
            "classes": {c: {"pixels": int(p), "share": _share(p, pixels)} for c, p in zip(names, pixels, strict=True)},
        }
    return found


def _share(part: int, pixels: NDArray[np.int64]) -> float | None:
    return float(part / pixels.sum()) if pixels.sum() else None


def _require_space(directory: Path, needed: int) -> None:
    from swath.disk.publish import require_space

    require_space(directory / "records.bin", needed)


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
