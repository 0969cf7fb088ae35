"""NIST FC-DenseNet: the folder of images and masks, its LMDB databases, or the commands of its programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError
from swath.core.legend import palette
from swath.core.splits import Split
from swath.disk.formats import lmdb
from swath.importers.folders import add_classes, add_pairs, pair_folders
from swath.importers.nist_keys import AUGMENT, NIST
from swath.importers.pairs import Pairing, mask_values
from swath.importers.places import expected, located
from swath.importers.report import Draft, Rule, Table, fill
from swath.importers.samples import take_samples
from swath.importers.scripts import shell_arguments

_DATABASES: dict[str, Split] = {"train.train_database": "trn", "train.test_database": "tst"}
PROGRAMS = {"build_lmdb": "build_lmdb", "train": "train", "train_unet": "train", "inference": "inference",
            "inference_unet": "inference"}  # fmt: skip


def import_nist(draft: Draft, out: Path, pairing: Pairing, *, overwrite: bool) -> None:
    """Fills the draft from a data folder, a folder of databases, or a text of commands or flags."""
    if draft.source.is_dir():
        if lmdb.found(draft.source):
            take_samples(draft, draft.source, out, kind="lmdb", test_is="val", overwrite=overwrite)
        else:
            _folder(draft, pairing)
        _always(draft)
        return
    draft.old = _flags(draft.source)
    if not draft.old:
        raise ConfigError("import-kind", draft.source, "holds no call of build_lmdb, train or inference",
                          "name the folder of images and masks, or a text with their flags")  # fmt: skip
    if any(key.startswith(("build_lmdb.", "train.")) for key in draft.old):
        _scenes(draft, out, pairing, overwrite=overwrite)
    fill(draft, {**NIST, **_DATA}, lambda key: f"{draft.source} --{key.partition('.')[2]}", _plain)
    if draft.classes:
        _always(draft)


def _flags(path: Path) -> dict[str, Any]:
    """`program.flag` -> value of a text; a flag without a program belongs to the first that has it."""
    found: dict[str, Any] = {}
    for a in shell_arguments(path):
        guessed = next((k.partition(".")[0] for k in NIST if k.endswith(f".{a.name}")), "flag")
        key = f"{PROGRAMS.get(a.program, a.program) or guessed}.{a.name}"
        number = sum(_plain(k) == key for k in found) + 1
        found[key if number == 1 else f"{key}#{number}"] = a.value
    return found


def _plain(key: str) -> str:
    return key.partition("#")[0]


def _folder(draft: Draft, pairing: Pairing) -> None:
    for split, images, masks in pair_folders(draft.source, "images and masks"):
        add_pairs(draft, images, masks, split if images.parent != draft.source else None, pairing)
    add_classes(draft)
    if not any(scene["split"] for scene in draft.scenes):
        _split(draft)


def _scenes(draft: Draft, out: Path, pairing: Pairing, *, overwrite: bool) -> None:
    """The pairs of build_lmdb's folders where they are named or found, else the samples of train's databases."""
    named = [draft.get(f"build_lmdb.{kind}_folder") for kind in ("image", "mask")]
    images, masks = (
        located(v or default, draft) for v, default in zip(named, ("data/images", "data/masks"), strict=True)
    )
    databases = [(split, place) for key, split in _DATABASES.items()
                 if draft.get(key) and (place := located(draft.old[key], draft))]  # fmt: skip
    builds = any(key.startswith("build_lmdb.") for key in draft.old)
    if images and masks and (builds or not databases):  # what the databases were made of
        add_pairs(draft, images, masks, None, pairing, key="(pairs)")
        if "build_lmdb.train_fraction" not in draft.old:
            _split(draft)
    elif len(databases) == len([key for key in _DATABASES if draft.get(key)]) > 0:
        samples = lmdb.read_environments(databases[0][1].parent, databases)
        take_samples(draft, samples.source, out, samples=samples, kind="lmdb", test_is="val", overwrite=overwrite)
    for key in ("build_lmdb.image_folder", "build_lmdb.mask_folder", *_DATABASES):
        if draft.get(key) and not draft.scenes:
            expected(draft.old[key], draft)
    if not draft.scenes:
        draft.add("(scenes)", None, "no images and masks were found: list them in scenes.csv")
    _classes(draft)


def _classes(draft: Draft) -> None:
    count = draft.count("train.number_classes", 2)
    if count is None and draft.scenes:
        add_classes(draft)
        return
    for n in range(1, count or 2):
        draft.classes.setdefault(n, {"name": f"class {n}", "color": palette(n + 1)[n]})
    spare = [v for v in mask_values(s["labels"] for s in draft.scenes) if v not in (0, *draft.classes)
             and v not in draft.classes.get("ignore", [])]  # fmt: skip
    if spare:
        draft.add(
            "(masks)", ", ".join(map(str, spare)), "mask values beyond --number_classes: add classes, or ignore them"
        )


def _split(draft: Draft) -> None:
    draft.imply("split.by", "scene", "whole images were drawn")
    draft.imply("split.val", 0.2, "a train fraction of 0.8 was the default")
    draft.add("(test split)", None, "test database used as val: it chose the old model, so it scores nothing here")


def _data(value: Any, draft: Draft) -> str:
    if draft.scenes:
        draft.tell("scenes")
    return f"{len(draft.scenes)} scenes"


_DATA: Table = {key: Rule("scenes", "", _data) for key in
                ("build_lmdb.image_folder", "build_lmdb.mask_folder", "train.train_database")}  # fmt: skip


def _always(draft: Draft) -> None:
    """What the old training did without being asked, or by default."""
    draft.imply("bands.scope", "image", "every image was scaled by its own mean and standard deviation")
    draft.imply("train.batch_size", 4, "the default there")
    draft.imply("train.lr", 0.0001, "the default there")
    draft.imply("train.patience", 10, "the default of early stopping")
    draft.imply("train.optimizer", "adam", "built in")
    draft.imply("train.weight_decay", 0, "declared there, and never added to the loss")
    draft.imply("train.schedule", {"name": "constant"}, "the rate was constant after its first epoch")
    draft.imply("train.monitor", "loss", "the checkpoint with the lowest test loss was kept")
    if "preset" not in draft.config.get("augment", {}):
        draft.imply("augment.preset", "none", "the preset is what was built in:")
        for key, amount in AUGMENT.items():
            draft.imply(f"augment.{key}", amount, "built in, on by default")
    if "steps" not in draft.config.get("train", {}):
        draft.imply("train.steps", 50_000, "no length there but early stopping; 50 evaluations, one every 1000 steps")
        draft.imply("train.evaluations", 50, "one every 1000 steps was the default")
        draft.imply("train.warmup_steps", 1000, "the first 1000 steps at a tenth of the rate")
    draft.add("(model)", "FC-DenseNet56", "not yet in Swath: FC-DenseNet; the default, unet, stands in")
