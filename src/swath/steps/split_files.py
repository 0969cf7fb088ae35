"""The result of `swath split` is a manifest whose column `split` is filled: nothing is copied or moved."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from swath.core.allot import deal, tied
from swath.core.errors import ConfigError, DataError
from swath.core.splits import SPLITS, Split
from swath.disk.publish import publish_text
from swath.disk.rasters.geotiff import require_free
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.scenes.manifest import Scene, manifest_rows, scenes_from_rows

By = Literal["scene", "folder"]
Method = Literal["random", "interleave"]
_PATHS = {"image": "image", "img": "image", "labels": "labels", "label": "labels", "mask": "labels", "masks": "labels",
          "gpkg": "labels", "aoi": "aoi"}  # fmt: skip


def split_files(
    manifest: str | Path,
    out: str | Path,
    *,
    trn: float,
    val: float,
    tst: float,
    by: By = "scene",
    seed: int = 0,
    method: Method = "random",
    overwrite: bool = False,
) -> dict[str, Any]:
    """The split manifest: `manifest` (path), `scenes` {split: rows}, `units` {split: units}, `replaced`.

    `trn`, `val`, `tst` are proportions of the rows, of any sum (3, 1, 1). What is inseparable stays together: a row's
    image and labels, rows of one `group`, rows that share an image or a label raster, and by `folder` all images of
    one. Units are dealt in random order (`seed`), or in the manifest's (`interleave`), each to the split that lacks
    most, so that proportions hold as well as the units allow. All columns are kept; relative paths are told from `out`.
    Equal arguments give equal bytes.

    Raises ConfigError for proportions, DataError where a split would stay empty, ResourceError where `out` is there.
    """
    source, target = Path(manifest), Path(out).absolute()
    wanted = _wanted(trn, val, tst)
    if target.suffix.lower() not in (".csv", ".json"):
        raise ConfigError("out-suffix", target, "a split manifest is CSV or JSON", "name it with .csv")
    require_free([target], [source], overwrite=overwrite)
    rows = list(manifest_rows(source))
    scenes = scenes_from_rows(rows, source.parent)
    units = _units(scenes, by)
    if len(units) < len(wanted):
        raise DataError("split-units", source, f"{len(units)} units that stay together cannot fill {len(wanted)} splits",
                        "add scenes, or use fewer splits")  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(units)).tolist() if method == "random" else range(len(units))
    chosen = _dealt(units, order, wanted)
    told = [_row(row, scene, chosen[i], target.parent) for i, ((_, row), scene) in enumerate(zip(rows, scenes, strict=True))]
    publish_text(target, _csv_text(told) if target.suffix.lower() == ".csv" else _json_text(told))
    counts, dealt = Counter(chosen.values()), Counter(chosen[unit[0]] for unit in units)
    return {
        "manifest": str(target),
        "scenes": {s: counts[s] for s in SPLITS},
        "units": {s: dealt[s] for s in SPLITS},
        "replaced": sum(s.split is not None and s.split != chosen[i] for i, s in enumerate(scenes)),
    }


def _wanted(trn: float, val: float, tst: float) -> dict[Split, float]:
    """The share of each split that gets any."""
    shares: dict[Split, float] = {"trn": trn, "val": val, "tst": tst}
    bad = next((s for s, x in shares.items() if not 0 <= x < float("inf")), None)
    if bad is not None or sum(shares.values()) == 0:
        raise ConfigError("split-shares", bad or "trn", "proportions are no less than 0 and not all 0", "such as 3 1 1")
    return {s: x / sum(shares.values()) for s, x in shares.items() if x > 0}


def _units(scenes: Sequence[Scene], by: By) -> list[list[int]]:
    """Row numbers that stay together, each unit in order, the units by their first row."""
    return tied([_ties(scene, by) for scene in scenes])


def _ties(scene: Scene, by: By) -> Iterable[tuple[str, str]]:
    yield "file", str(scene.image.resolve())
    for file in scene.label_files:
        if file.suffix.lower() in SUFFIXES:  # a vector file may serve many images
            yield "file", str(file.resolve())
    if scene.group is not None:
        yield "group", scene.group
    if by == "folder":
        yield "folder", str(scene.image.resolve().parent)


def _dealt(units: Sequence[Sequence[int]], order: Iterable[int], wanted: dict[Split, float]) -> dict[int, Split]:
    """The split of every row: each unit goes to the split furthest behind its share; no split stays empty."""
    dealt = deal([len(u) for u in units], wanted, order)
    return {row: split for unit, split in zip(units, dealt, strict=True) for row in unit}


def _row(row: dict[str, Any], scene: Scene, split: Split, folder: Path) -> dict[str, Any]:
    """The row with its split, and with relative paths as they are from `folder`."""
    out = {}
    for name, value in row.items():
        word = str(name).strip().lower()
        path = getattr(scene, _PATHS[word]) if word in _PATHS else None
        if path is not None and not Path(str(value).strip()).is_absolute():
            value = os.path.relpath(path.absolute(), folder)
        if word != "split":
            out[str(name).strip()] = value
    return {**out, "split": split}


def _csv_text(rows: Sequence[dict[str, Any]]) -> str:
    names = [*dict.fromkeys(n for row in rows for n in row if n != "split"), "split"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json_text(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"scenes": rows}, indent=2, ensure_ascii=False) + "\n"
