"""Samples of rasters packed into a store: for `swath sample`, and as the cache of a training that reads rasters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.core.splits import SPLITS, Split
from swath.core.windows import Window
from swath.disk.projects.project import Project, fit_bands
from swath.disk.publish import make_directory, require_plain, require_space, sweep
from swath.disk.samples.leakage import leakage
from swath.disk.samples.plan import (
    BEYOND,
    SceneWindows,
    beyond_limit,
    plan_places,
    project_schema,
    refused_points,
    scene_bands,
)
from swath.disk.samples.strips import read_places
from swath.disk.stores.codecs import require_codec
from swath.disk.stores.recordspool import RecordSpool
from swath.disk.stores.store import publish_store
from swath.disk.stores.storecard import store_card, write_footprints
from swath.messages import say
from swath.progress import Progress


def pack(project: Project, directory: Path, fingerprint: str, splits: Sequence[Split], codec: str) -> dict[str, Any]:
    """The card of the store of a project's samples, which is made in `directory`; an interrupted one goes on.

    Raises DataError where the filters leave a split without a sample, ResourceError, ConfigError (extra-missing).
    """
    require_codec(codec)
    require_plain(directory)  # of its footprints
    make_directory(directory)
    sweep(directory)
    bands, statistics = fit_bands(project)
    schema = project_schema(project, codec)
    places = [p for split in splits for p in plan_places(project, split)]
    if "trn" in splits and project.points is None and not any(p.split == "trn" for p in places):
        raise DataError("samples-none", project.path, f"no tile of {project.tile} pixels lies inside the scenes that train",
                        "use a smaller sample.tile, or sample.edge=shift")  # fmt: skip
    require_space(directory / "records.bin", len(places) * schema.record_bytes)
    of_scene = scene_bands(project, bands)
    with RecordSpool(directory, schema, places, fingerprint) as spool:
        _fill(project, spool)
        card = store_card(
            spool, fingerprint, project.legend, bands, [of_scene(i) for i in range(len(project.scenes))], statistics,
            [s.name for s in project.scenes], [i.grid for i in project.infos], project.events.as_dict(),
        )  # fmt: skip
        card |= {"dropped": _dropped(project, spool), "leakage": leakage(project)}
        publish_store(directory, spool, card, lambda index, part: write_footprints(index, card, part))
    return card


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
        progress.resume(spool.decided)
        for split in dict.fromkeys(p.split for p in places[spool.decided :]):
            _fill_split(source, spool, split, kept, progress)
    for split, most in project.config.sample.limit.items():
        if kept[split] < most:
            say(f"note: sample.limit wants {most} samples of {split}, there are {kept[split]}")
    index = spool.index()
    project.events.count("pixel padded at the edge", sum(_outside(project, row) for row in index))
    for split in sorted({p.split for p in places} - {"tst"} - {SPLITS[i] for i in index["split"]}):
        raise DataError("samples-none", project.path, f"the filters left no sample in '{split}' ({_dropped(project, spool)})",
                        "lower sample.min_annotated or sample.class_min" if project.points is None
                        else "relax sample.reject_nodata, or add points")  # fmt: skip


def _fill_split(source: SceneWindows, spool: RecordSpool, split: Split, kept: Counter[Split], progress: Progress) -> None:
    """Decides the places of a split that are left; those beyond `sample.limit` without a look."""
    project = source.project
    mine = [p for p in spool.places[spool.decided :] if p.split == split]
    taken = 0
    with closing(read_places(source, mine, spool.schema.record)) as decided:
        while taken < len(mine) and not beyond_limit(project, split, kept[split]):
            reason, counts, record = next(decided)
            if record is None:
                assert reason is not None
                spool.drop(reason)
            else:
                spool.keep(record, counts)
                kept[split] += 1
            taken += 1
            progress.advance(1)
    for _ in mine[taken:]:
        spool.drop(BEYOND)
    progress.advance(len(mine) - taken)


def _dropped(project: Project, spool: RecordSpool) -> dict[str, int]:
    """Samples and points left out, by reason."""
    return dict(sorted((spool.dropped + Counter(refused_points(project))).items()))


def _outside(project: Project, row: Any) -> int:
    read = Window(*row["read"].tolist())
    return read.area - read.clip(*project.infos[row["scene"]].grid.shape).area
