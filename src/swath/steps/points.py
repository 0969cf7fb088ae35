"""The result of `swath points` is a GeoPackage of sample points, drawn from labels or from a grid, with their splits."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.selection import GRID_STRATEGIES, STRATEGIES, Draw, allotted, chessboard, dealt
from swath.core.splits import SPLITS
from swath.disk.publish import publish_json, publish_text
from swath.disk.rasters.geotiff import require_free
from swath.disk.samples.candidates import Source
from swath.disk.samples.drawing import Pixels, counted, grid_points, taken
from swath.disk.vectors.point_file import Drawn, publish_points


def points(
    sources: Sequence[Source],
    out: str | Path | None,
    *,
    draw: Draw,
    events: Events,
    statistics: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """`points` (path), `count`, `classes` {name: {id, available, points, rate, trn, val, tst}}, `splits`, `notes`.

    A class's candidates are its valid labelled pixels over all sources, from top to bottom and left to right; points lie
    on pixel centres. Grid points lie in the middle of patches without an invalid pixel: on a pixel's centre for odd
    patches, on the upper left corner of pixel patch // 2 for even ones. Two passes over strips of the raster: counts,
    then pixels by rank; memory does not grow with the raster. Equal arguments give equal bytes.

    With `statistics` (.json or .csv): the valid pixels of every class and of every polygon, also without `out`.
    Raises DataError (points-none) where nothing can be drawn.
    """
    started = time.monotonic()
    targets = [Path(p).absolute() for p in (out, statistics) if p is not None]
    _require_targets(targets, out, statistics, draw)
    require_free(targets, [p for s in sources for p in s.inputs], overwrite=overwrite)
    labelled = [s for s in sources if s.classes is not None] or sources
    if draw.strategy != "grid":
        events.count("scene without labels", len(sources) - len(labelled))
        sources = labelled
    names = {i: n for s in sources for i, n in s.names.items()}
    on_grid, result = draw.strategy in GRID_STRATEGIES, {}
    strips = [] if on_grid and statistics is None else counted(labelled, draw, events)
    available = sum((Counter(c) for _, _, c in strips), Counter[int]())
    if statistics is not None:
        result["statistics"] = str(_publish_statistics(Path(statistics).absolute(), labelled, available, names))
    if out is None:
        told = {names.get(i, str(i)): {"id": i, "available": n} for i, n in sorted(available.items())}
        return {"points": None, "count": 0, "classes": told, "splits": dict.fromkeys(SPLITS, 0), "notes": [],
                "events": events.as_dict(), "seconds": round(time.monotonic() - started, 3), **result}  # fmt: skip
    notes: list[str] = []
    if on_grid:
        found, available, notes = grid_points(sources, draw)
    else:
        wanted = allotted(available, draw.strategy, number=draw.number, each=draw.each)  # type: ignore[arg-type]
        notes += _lowered(draw, available, wanted, names)
        found = taken(sources, strips, wanted, draw)
        notes += _in_step(draw, found, names)
    if sum(len(f.rows) for f in found) == 0:
        raise DataError("points-none", sources[0].name, "no point can be drawn: there is no candidate",
                        "check labels, nodata and mask, or choose a smaller patch")  # fmt: skip
    splits = _splits(sources, found, draw)
    if draw.split == "regions":
        lost = sum(int((s < 0).sum()) for s in splits)
        events.count("grid point between the splits", lost)
        found, splits = [f.kept(s >= 0) for f, s in zip(found, splits, strict=True)], [s[s >= 0] for s in splits]
    drawn = [_placed(*each) for each in zip(sources, found, splits, strict=True)]
    target = publish_points(targets[0], drawn, names)
    return {
        "points": str(target),
        "count": sum(len(d.x) for d in drawn),
        "classes": _class_counts(drawn, available, names),
        "splits": {s: sum(int((d.splits == k).sum()) for d in drawn) for k, s in enumerate(SPLITS)},
        "notes": notes,
        "events": events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
        **result,
    }


def _require_targets(targets: Sequence[Path], out: object, statistics: str | Path | None, draw: Draw) -> None:
    if not targets:
        raise ConfigError("points-out", "points", "neither points nor statistics are asked for", "name them: --out points.gpkg")
    if out is not None and targets[0].suffix.lower() != ".gpkg":
        raise ConfigError("out-suffix", targets[0], "points are written as GeoPackage", "name it with .gpkg")
    if statistics is not None and targets[-1].suffix.lower() not in (".json", ".csv"):
        raise ConfigError("out-suffix", targets[-1], "statistics are JSON or CSV", "name them with .json or .csv")
    if draw.strategy not in (*STRATEGIES, *GRID_STRATEGIES):
        raise ConfigError("choice", "strategy", f"'{draw.strategy}' is no strategy", ", ".join((*STRATEGIES, *GRID_STRATEGIES)))


def _splits(sources: Sequence[Source], found: Sequence[Pixels], draw: Draw) -> list[NDArray[np.int64]]:
    """The split number of every point, per source; -1 between the regions of a config."""
    if draw.split == "none":
        return [np.zeros(len(f.rows), np.int64) for f in found]
    if draw.split == "chessboard":
        middle = draw.side // 2 if draw.strategy in GRID_STRATEGIES else 0
        corner = (draw.offset[0] + middle, draw.offset[1] + middle)
        return [chessboard(f.rows, f.cols, draw.spacing, corner) for f in found]
    if draw.split == "regions":
        return [_region_splits(s, f) for s, f in zip(sources, found, strict=True)]
    rng = np.random.default_rng((draw.seed, 1)) if draw.order == "random" else None
    classes = np.concatenate([np.where(f.known, f.ids, np.iinfo(np.int64).min) for f in found])
    out = np.empty(len(classes), np.int64)
    for i in np.unique(classes):  # each class in proportion
        mine = classes == i
        out[mine] = dealt(int(mine.sum()), draw.shares, rng)
    return np.split(out, np.cumsum([len(f.rows) for f in found])[:-1])


def _region_splits(source: Source, found: Pixels) -> NDArray[np.int64]:
    if source.splits is None:
        raise ConfigError("split-regions", "split", "files have no regions", "use a config, or --split chessboard")
    out = np.full(len(found.rows), -1, np.int64)
    for window in source.strips():
        mine = (found.rows >= window.row) & (found.rows < window.row_end)
        if mine.any():
            out[mine] = source.splits(window)[found.rows[mine] - window.row, found.cols[mine]]
    return out


def _placed(source: Source, found: Pixels, splits: NDArray[np.int64]) -> Drawn:
    t, col, row = source.grid.transform, found.cols + found.shift, found.rows + found.shift
    x, y = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    return Drawn(source.name, source.grid, x, y, found.ids, splits, found.known)


def _lowered(draw: Draw, available: Mapping[int, int], wanted: Mapping[int, int], names: Mapping[int, str]) -> list[str]:
    """What of the wish could not be met."""
    if draw.strategy == "constant" and wanted and draw.number is not None and min(wanted.values()) < int(draw.number):
        least = min(wanted, key=lambda i: (available[i], i))
        return [f"{int(draw.number)} per class lowered to {wanted[least]}, all that {names.get(least, least)} has"]
    if draw.strategy == "byclass" and draw.each:
        return [f"{names.get(i, i)} has {wanted[i]} of the {n} wanted" for i, n in draw.each.items() if n > wanted[i]]
    if draw.strategy == "total" and draw.number is not None and sum(wanted.values()) < int(draw.number):
        return [f"{int(draw.number)} in all lowered to {sum(wanted.values())}: there are no more"]
    return []


def _in_step(draw: Draw, found: Sequence[Pixels], names: Mapping[int, str]) -> list[str]:
    """Classes whose periodic points stand below each other, since the period falls into step with the width of the raster."""
    told = []
    for i in sorted({i for f in found for i in np.unique(f.ids).tolist()} if draw.sampler == "periodic" else ()):
        below = np.concatenate([np.diff(f.cols[f.ids == i]) == 0 for f in found])
        if below.size >= 16 and below.mean() > 0.5:
            told.append(f"{int(below.sum())} of {below.size + 1} points of {names.get(i, i)} stand in the column of the one before: the "
                        "period falls into step with the raster's width; draw them with --jitter 1 or --sampler random")  # fmt: skip
    return told


def _class_counts(drawn: Sequence[Drawn], available: Mapping[int, int], names: Mapping[int, str]) -> dict[str, Any]:
    told: dict[str, dict[str, Any]] = {}
    for i in sorted(available):
        per_split: dict[str, int] = {s: sum(int((d.known & (d.ids == i) & (d.splits == k)).sum()) for d in drawn) for k, s in enumerate(SPLITS)}
        count = sum(per_split.values())
        rate = count / available[i]
        told[names.get(i, str(i))] = {"id": i, "available": available[i], "points": count, "rate": rate, **per_split}
    return told


def _publish_statistics(
    target: Path, sources: Sequence[Source], available: Mapping[int, int], names: Mapping[int, str]
) -> Path:
    """Valid pixels per class (overlaps counted once) and per polygon (each by itself), as JSON or CSV."""
    rows = [
        {"scene": s.name, "polygon": fid, "class": i, "name": names.get(i, str(i)), "pixels": n}
        for s in sources if s.legend is not None for fid, i, n in s.polygons()
    ]  # fmt: skip
    classes = [{"scene": None, "polygon": None, "class": i, "name": names.get(i, str(i)), "pixels": n} for i, n in sorted(available.items())]
    if target.suffix.lower() == ".json":
        told = {c["name"]: {"id": c["class"], "pixels": c["pixels"], "polygons": sum(r["class"] == c["class"] for r in rows)} for c in classes}
        return publish_json(target, {"classes": told, "polygons": rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, ["scene", "polygon", "class", "name", "pixels"], lineterminator="\n")
    writer.writeheader()
    writer.writerows([*classes, *rows])
    return publish_text(target, text.getvalue())
