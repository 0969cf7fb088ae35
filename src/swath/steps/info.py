"""The result of `swath info` says what a thing is: a raster, vector, store, bundle, run, map, manifest, STAC item or config."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swath.config import Config, load_config
from swath.core.errors import DataError
from swath.core.legend import Legend
from swath.core.tiling import largest_core
from swath.core.windows import up
from swath.disk.bundle import Bundle, read_bundle
from swath.disk.describe import describe_raster, describe_vector
from swath.disk.rasters import raster
from swath.disk.remote.access import location
from swath.disk.remote.stac import is_stac_item
from swath.disk.scenes.describe import describe_item, describe_scenes
from swath.disk.scenes.inputs import is_manifest
from swath.disk.scenes.manifest import Scene, manifest_rows, survey
from swath.disk.stores.store import read_card
from swath.disk.vectors import vector
from swath.messages import table
from swath.specs import PredictSpec

MOST_ROWS = 40  # of a table on a terminal
ACCEPTS = "name a raster, a vector file, a manifest, a STAC item, a config (.yaml), or the directory of a store, bundle or run"


def info(thing: str | Path) -> dict[str, Any]:
    """What a thing is: `kind`, `path`, and what its kind has to say, as plain JSON values. Raises DataError."""
    path = location(thing)
    if not path.exists():
        raise DataError("file-missing", path, "there is no such thing", ACCEPTS)
    suffix = path.suffix.lower()
    if path.name == "card.json":
        path = path.parent
    if path.is_dir():
        found = _directory(path)
    elif suffix in (".yaml", ".yml"):
        found = _config(path)
    elif suffix == ".json" and is_stac_item(path):
        found = describe_item(path)
    elif is_manifest(path):
        found = _manifest(path)
    elif suffix in vector.SUFFIXES:
        found = describe_vector(path)
    else:
        found = _raster(path)
    return {"kind": found.pop("kind"), "path": str(path.absolute()), **found}


def _directory(path: Path) -> dict[str, Any]:
    card = _json(path / "card.json")
    kind = card.get("swath") if isinstance(card, dict) else None
    if kind == "store":
        return _store(path)
    if kind == "bundle":
        return {"kind": "bundle", **_bundle(path)}
    if any((path / name).exists() for name in ("train.json", "config.resolved.json", "steps.json", "best/card.json")):
        return _run(path)
    raise DataError("info-unknown", path, "is no directory that Swath made", ACCEPTS)


def _manifest(path: Path) -> dict[str, Any]:
    scenes, problems = survey(manifest_rows(path), path.parent)
    if problems and not scenes:
        raise problems[0]
    return {"kind": "manifest", **describe_scenes(scenes, problems)}


def _raster(path: Path) -> dict[str, Any]:
    try:
        return describe_raster(path)
    except DataError as e:
        if e.code == "raster-unreadable" and path.suffix.lower() not in raster.SUFFIXES:
            raise DataError("info-unknown", path, "is nothing that Swath knows", ACCEPTS) from e
        raise


def _store(path: Path) -> dict[str, Any]:
    card = read_card(path)
    legend = Legend.from_dict(card["legend"])
    return {
        "kind": "store",
        "samples": {s: c["samples"] for s, c in card["splits"].items()},
        "classes": {s: c["classes"] for s, c in card["splits"].items()},
        "schema": card["schema"],
        "bands": _bands(card["bands"]),
        "legend": {c.name: {"id": c.id, "color": c.color} for c in legend.classes},
        "scenes": card["scenes"],
        "dropped": card.get("dropped", {}),
        "events": card.get("events", {}),
        "fingerprint": card.get("fingerprint"),
        "bytes": _bytes(path),
    }


def _bundle(path: Path) -> dict[str, Any]:
    bundle = read_bundle(path)
    model, training = bundle.model, bundle.card.get("training", {})
    return {
        "name": bundle.card.get("name"),
        "identity": bundle.identity,
        "model": model,
        "radius": model.get("radius"),
        "stride": model.get("stride"),
        "margin": model.get("radius"),
        "tiling": _tiling(bundle),
        "bands": _bands(bundle.card["bands"]),
        "scaling": {k: bundle.card["bands"].get(k) for k in ("method", "scope", "nodata", "nodata_value")},
        "classes": {c.name: {"id": c.id, "color": c.color, "source": list(c.source)} for c in bundle.legend.classes},
        "scores": training.get("validation"),
        "training": {k: v for k, v in training.items() if k != "validation"},
        "provenance": bundle.card.get("provenance", {}),
        "files": _files(path),
    }


def _tiling(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Per source, in pixels of the reference grid, on which all of them are read: the largest tile with the core that it
    answers for, its margin (None: no margin is exact, tiles are blended) and the stride on which tiles begin.
    """
    radius, stride, spec = bundle.model.get("radius"), bundle.model["stride"], PredictSpec()
    margin = None if radius is None else up(radius, stride)
    core = largest_core(spec.memory, spec.batch_size, margin or 0, stride)
    names = bundle.bands.names
    others = {s: sum(n == s or n.startswith(f"{s}:") for n in names) for s in bundle.sources if s != "image"}
    counts = {"image": len(names) - sum(others.values()), **others}
    sides = {"tile": core + 2 * (margin or 0), "core": core, "margin": margin, "stride": stride}
    return {source: {"bands": count, **sides} for source, count in counts.items()}


def _run(path: Path) -> dict[str, Any]:
    """A run: what was done, how far training is, and its best bundle."""
    trained, steps = _json(path / "train.json"), _json(path / "steps.json")
    unfinished = (path / "checkpoint" / "state.json").exists()
    state = (
        "trained"
        if isinstance(trained, dict)
        else "unfinished: train it with --resume"
        if unfinished
        else "not trained"
    )
    found: dict[str, Any] = {"kind": "run", "state": state, "steps": sorted(steps) if isinstance(steps, dict) else []}
    if isinstance(trained, dict):
        found |= {"best": trained.get("best"), "steps_trained": trained.get("steps"), "seconds": trained.get("seconds")}
    scores = _json(path / "scores.json")
    best = read_bundle(path / "best").identity if (path / "best" / "card.json").exists() else None
    if isinstance(scores, dict) and scores.get("model", {}).get("identity") == best:  # not of a model trained before
        found["scores"] = {
            k: scores.get(k) for k in ("split", "mean_iou", "mean_iou_foreground", "overall_accuracy", "kappa")
        }
    found["progress"] = _last_line(path / "metrics.jsonl")
    found["bundle"] = (
        {**_bundle(path / "best"), "path": str((path / "best").absolute())}
        if (path / "best" / "card.json").exists()
        else None
    )
    found["store"] = {k: v for k, v in _store(path / "samples.store").items() if k in ("samples", "bytes")} if (
        path / "samples.store" / "card.json").exists() else None  # fmt: skip
    return {**found, "files": _files(path), "bytes": _bytes(path)}


def _config(path: Path) -> dict[str, Any]:
    """A config: its classes, scenes and the settings that it gives; everything else has its default."""
    config = load_config(path)
    legend = config.legend()
    given = config.model_dump(mode="json", exclude_unset=True, exclude={"scenes", "classes"})
    return {
        "kind": "config",
        "classes": {c.name: {"id": c.id, "color": c.color, "source": list(c.source)} for c in legend.classes},
        "unlabelled": legend.unlabelled,
        "field": legend.field,
        **describe_scenes(*_config_rows(config, path)),
        "settings": given,
        "model": config.model.name,
        "length": {k: v for k in ("budget", "epochs", "steps") if (v := getattr(config.train, k)) is not None},
        "output": str((path.parent / (config.output or Path("runs") / path.stem)).absolute()),
    }


def _config_rows(config: Config, path: Path) -> tuple[tuple[Scene, ...], list[DataError]]:
    try:
        if isinstance(config.scenes, str):
            manifest = path.parent / config.scenes
            return survey(manifest_rows(manifest), manifest.parent)
        return survey(((f"{path} scene {i}", row) for i, row in enumerate(config.scenes or (), 1)), path.parent)
    except DataError as e:
        return (), [e]


def _bands(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"number": i, "name": n, "gain": g, "offset": o}
        for i, n, g, o in zip(card["indexes"], card["names"], card["gain"], card["offset"], strict=True)
    ]


def _files(path: Path) -> list[str]:
    """The files and folders directly in a directory."""
    return sorted(f"{p.name}/" if p.is_dir() else p.name for p in path.iterdir() if not p.name.startswith("."))


def _bytes(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _json(path: Path) -> Any:
    """The value of a JSON file; None where there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise DataError(
            "info-corrupt", path, f"is not valid JSON ({e})", "restore it, or make the directory anew"
        ) from e


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line of a log of JSON lines."""
    for line in reversed(path.read_text("utf-8").splitlines() if path.is_file() else []):
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            continue  # cut short by a kill
    return None


def render(result: Mapping[str, Any]) -> str:
    """The thing as text: its kind and path, one line per value, a table per list of alike entries."""
    lines = [f"{result['kind']}: {result['path']}"]
    folder = f"{os.path.dirname(result['path'])}{os.sep}"
    for key, value in result.items():
        if key == "listed":
            lines += _shown(key, [{k: _below(folder, v) for k, v in row.items()} for row in value])
        elif key == "known":
            lines += _known(value)
        elif key not in ("kind", "path") and value not in (None, [], {}):
            lines += _shown(key, value)
    return "\n".join(lines)


def _below(folder: str, value: Any) -> Any:
    """The value with the folder taken off paths that lie in it."""
    if isinstance(value, list):
        return [_below(folder, v) for v in value]
    return value.removeprefix(folder) if isinstance(value, str) else value


def _known(scenes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is known of scenes: a line per value, below the scene's name."""
    lines = ["  known:"] if scenes else []
    for name, values in list(scenes.items())[:MOST_ROWS]:
        lines += [f"    {name}:", *(f"      {k}: {_cell(v)}" for k, v in values.items())]
    return [*lines, *([f"    ... and {len(scenes) - MOST_ROWS:,} more"] if len(scenes) > MOST_ROWS else [])]


def _shown(key: str, value: Any, indent: str = "  ") -> list[str]:
    rows = _rows(value)
    if rows:
        heads = list(dict.fromkeys(k for _, row in rows for k in row))
        named = ["name"] if isinstance(value, Mapping) else []
        cells = [[*([name] if named else []), *(_cell(row.get(h)) for h in heads)] for name, row in rows]
        lines = table(cells[:MOST_ROWS], [*named, *heads]).splitlines()
        lines += [f"... and {len(cells) - MOST_ROWS:,} more"] if len(cells) > MOST_ROWS else []
        return [f"{indent}{key}:", *(f"{indent}  {line}" for line in lines)]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [line for n, v in enumerate(value, 1) for line in _shown(f"{key} {n}", v, indent)]
    if isinstance(value, Mapping):
        told = ((str(k), v) for k, v in value.items() if v not in (None, [], {}))
        return [f"{indent}{key}:", *(line for k, v in told for line in _shown(k, v, f"{indent}  "))]
    return [f"{indent}{key}: {_cell(value)}"]


def _rows(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, row) of a list or mapping of mappings that fit into a table; nothing for other values."""
    named = (
        list(value.items())
        if isinstance(value, Mapping)
        else [("", v) for v in value]
        if isinstance(value, list)
        else []
    )
    fits = all(isinstance(row, Mapping) and not any(map(_is_table, row.values())) for _, row in named)
    return [(str(n), row) for n, row in named] if fits else []


def _is_table(value: Any) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(isinstance(v, Mapping) for v in inner)


def _cell(value: Any) -> Any:
    """A value short enough for a line."""
    if isinstance(value, bool | None | int | np.integer):
        return "-" if value is None else str(value)
    if isinstance(value, str):
        return value if len(value) <= 100 else f"{value[:97]}..."
    if isinstance(value, list | tuple):
        shown = ", ".join(str(_cell(v)) for v in value[:8])
        return f"{shown} and {len(value) - 8} more" if len(value) > 8 else shown
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_cell(v)}" for k, v in list(value.items())[:8])
    return f"{value:.9g}"
