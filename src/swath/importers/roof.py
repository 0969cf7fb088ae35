"""roof-classify: settings.json, prod.json, test.json, or the folder of frames and masks -> a config and a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError
from swath.core.legend import palette
from swath.core.splits import SPLIT_OF
from swath.disk.formats.tiff import rasters
from swath.importers.folders import add_classes, add_pairs, import_frames_masks
from swath.importers.pairs import Pairing
from swath.importers.places import located
from swath.importers.report import Draft, Rule, Table, fill, leaves
from swath.importers.roof_keys import ROOF


def import_roof(draft: Draft, pairing: Pairing) -> None:
    """Fills the draft from a json of settings or of steps, or from a data folder."""
    if draft.source.is_dir():
        import_frames_masks(draft, pairing)
        return
    document, twice = _document(draft.source)
    draft.old = dict(leaves(document, ROOF))
    if any(key.startswith("path_args.") for key in draft.old):
        _scenes(draft, pairing)
    count = draft.count("model_args.num_classes", 1)
    if count is not None:
        _classes(draft, count)
    fill(draft, {**ROOF, **_FOLDERS}, lambda key: f"{draft.source} {key}")
    for key in twice:
        draft.add(f"(twice) {key}", None, "stands twice; the last one counts, as in the old program")
    if count is not None:
        _always(draft)


def _document(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The object of a JSON file, and the names that stand twice in one of its objects."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(sorted({n for n in names if names.count(n) > 1}))
        return dict(pairs)

    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError("import-kind", path, f"is no JSON ({e})", "name settings.json, prod.json or test.json") from e
    if not isinstance(value, dict) or not value:
        raise ConfigError("import-kind", path, "holds no sections", "name settings.json, prod.json or test.json")
    return value, twice


def _folder(name: str, draft: Draft) -> Path | None:
    """A folder of `path_args`, flat or one level down, below `data/` or beside it."""
    value = str(draft.get(f"path_args.{name}") or name)
    folder = located(f"data/{value}", draft) or located(value, draft)
    if folder is None or not folder.is_dir():
        draft.missing.append(f"{value} (folder {name})")
        return None
    below = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() in SPLIT_OF and rasters(p)]
    return below[0] if below and not rasters(folder) else folder


def _scenes(draft: Draft, pairing: Pairing) -> None:
    """The pairs of training and validation, each a group of its own."""
    for word, split in (("train", "trn"), ("val", "val")):
        frames, masks = _folder(f"{word}_frames", draft), _folder(f"{word}_masks", draft)
        if frames and masks:
            first = len(draft.scenes)
            add_pairs(draft, frames, masks, split, pairing, key=f"({word} pairs)")  # type: ignore[arg-type]
            for scene in draft.scenes[first:]:
                scene["group"] = word
    if len({scene["group"] for scene in draft.scenes}) < 2:
        for scene in draft.scenes:
            scene["group"] = ""  # one group could not be split


def _classes(draft: Draft, count: int) -> None:
    if draft.scenes:
        add_classes(draft, only="roof" if count <= 2 else None)
    for n in range(1, max(count, 2)):
        draft.classes.setdefault(n, {"name": "roof" if count <= 2 else f"class {n}", "color": palette(n + 1)[n]})


def _pairs(split: str) -> Rule:
    def take(value: Any, draft: Draft) -> str:
        found = sum(scene["split"] == split for scene in draft.scenes)
        if found:
            draft.tell("scenes")
        return f"{found} rows with split {split}"

    return Rule("scenes", "", take)


_FOLDERS: Table = {f"path_args.{word}_{kind}": _pairs(split) for word, split in (("train", "trn"), ("val", "val"))
                   for kind in ("frames", "masks")}  # fmt: skip


def _always(draft: Draft) -> None:
    """What the old training did without being asked."""
    if draft.config.get("model", {}).get("head") == "binary":
        if len([k for k in draft.classes if isinstance(k, int) and k]) > 1:
            draft.set("model.head", "multiclass")
            draft.add("(model.head)", None, "the masks hold more than one class: one sigmoid cannot tell them apart")
        else:
            draft.imply("train.loss", {"bce": 1}, "binary cross-entropy was built in")
    draft.imply("model.name", "unet", "the one network there was")
    draft.imply("augment.preset", "none", "nothing was changed unless a key said so")
    draft.imply("train.optimizer", "adam", "built in, with Keras' rate")
    draft.imply("train.lr", 0.001, "Keras' default")
    draft.imply("train.weight_decay", 0, "there was none")
    draft.imply("train.schedule", {"name": "constant"}, "the rate was constant")
    draft.imply("train.patience", 10, "it stopped 10 evaluations after the best")
    draft.imply("train.monitor", "loss", "the weights of the lowest validation loss were kept")
