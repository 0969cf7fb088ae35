"""The command-line flags of NIST's FC-DenseNet programs: build_lmdb, train and inference."""

from __future__ import annotations

import shlex
from typing import Any

from swath.importers.later import WEIGHTS
from swath.importers.report import Draft, Rule, Table, dropped, few, flag, kept, number, reading, whole

EVALUATIONS = 50  # the old training had no end but early stopping
NO_TF = f"{WEIGHTS}. TensorFlow checkpoints and saved models are not read"
NO_DATABASE = "no database is needed: training reads the images, or a store made by `swath sample`"


def fraction(value: Any, draft: Draft) -> None:
    draft.set("split.val", round(1 - number(value), 6))
    draft.set("split.by", "scene")


def tile(value: Any, draft: Draft) -> str:
    if not flag(draft.get("build_lmdb.use_tiling", 0)):
        return "without --use_tiling images were kept whole (cut to multiples of 32): nothing is cut here"
    side = whole(value)
    stride = side - 384 if side >= 448 else int(0.8 * side)
    draft.set("sample.tile", side)
    draft.set("sample.overlap", side - stride)
    return f"the old stride was {stride}: {side - stride} pixels overlap"


def tiling(value: Any, draft: Draft) -> str:
    if flag(value):
        if draft.get("build_lmdb.tile_size") is None:
            draft.set("sample.tile", 512)
            draft.set("sample.overlap", 384)
        return "see --tile_size (512 unless said)"
    return "images are kept whole as far as memory allows; padding to the network's stride never counts"


def test_every(value: Any, draft: Draft) -> str:
    every = whole(value)
    draft.set("train.evaluations", EVALUATIONS)
    draft.set("train.steps", EVALUATIONS * every)
    draft.set("train.warmup_steps", min(every, 1000))
    return (f"an evaluation every {every} steps; there training ended by early stopping alone, here after "
            f"{EVALUATIONS} evaluations at the latest. The first {min(every, 1000)} steps at a tenth of the rate, as there")  # fmt: skip


def balance(value: Any, draft: Draft) -> None:
    draft.set("train.sampler", "class_presence" if flag(value) else "uniform")


def augmentation(value: Any, draft: Draft) -> str:
    draft.set("augment.preset", "none")
    if not flag(value):
        return "off"
    for key, amount in AUGMENT.items():
        draft.set(f"augment.{key}", amount)
    return ("what the program had built in: reflection, rotation, jitter 0.1, scale 0.1, noise of 0.02 of the range "
            "(about 0.05 of the scaled values), blur up to 2; labels by nearest neighbour")  # fmt: skip


def classes(value: Any, draft: Draft) -> str:
    draft.tell("classes")
    return f"{whole(value)} outputs, ids 0 to {whole(value) - 1}: the number includes background here"


def test_database(value: Any, draft: Draft) -> str:
    draft.tell("scenes")
    return "test database used as val: it chose the old model, so it scores nothing here"


def checkpoint(value: Any, draft: Draft) -> str:
    note = reading(value, "--saved_model_filepath is all that inference_unet.py needs",
                   "has inference.py with --checkpoint_filepath, --number_classes and --number_channels",
                   "both names; a model of Swath knows its classes and bands")  # fmt: skip
    return f"{NO_TF}. {note}"


def predicted(value: Any, draft: Draft) -> None:
    draft.tell("swath predict INPUT")
    out = draft.get("inference.output_folder") or "maps"
    draft.commands.append(shlex.join(["swath", "predict", "MODEL", str(value), "--out", str(out)]))


def predict_out(value: Any, draft: Draft) -> None:
    draft.tell("swath predict --out")


AUGMENT: dict[str, float] = {
    "hflip": 0.5,
    "vflip": 0.5,
    "rotate": 180,
    "translate": 0.1,
    "scale": 0.1,
    "noise": 0.05,
    "blur": 2,
}
_OUT = Rule("swath predict --out", "files are named after their images", predict_out)

NIST: Table = {
    "build_lmdb.image_folder": Rule("scenes", "images, paired with masks by stem"),
    "build_lmdb.mask_folder": Rule("scenes", "labels, paired with images by stem"),
    "build_lmdb.output_folder": dropped(NO_DATABASE),
    "build_lmdb.dataset_name": dropped(NO_DATABASE),
    "build_lmdb.train_fraction": Rule("split.val, split.by", "the rest validates; whole images, by seed", fraction),
    "build_lmdb.image_format": dropped("every raster is read, images and masks may differ"),
    "build_lmdb.use_tiling": Rule("sample.tile, sample.overlap", "0 keeps images whole", tiling),
    "build_lmdb.tile_size": Rule("sample.tile, sample.overlap", "any size; the old strides as overlap", tile),
    "train.train_database": Rule("scenes", "split trn; its images are read, or the database itself"),
    "train.test_database": Rule("scenes", "test database used as val", test_database),
    "train.output_dir": dropped("runs are kept in runs/ beside the config; `output` moves them"),
    "train.batch_size": kept("train.batch_size", whole, "per step; there per GPU"),
    "train.number_classes": Rule("classes", "with background: ids 0 to N-1", classes),
    "train.learning_rate": kept("train.lr", number, "the largest rate"),
    "train.test_every_n_steps": Rule("train.steps, train.evaluations, train.warmup_steps", "an evaluation every N steps", test_every),
    "train.balance_classes": Rule("train.sampler", "class_presence: a class is drawn, then a sample that has it", balance),
    "train.use_augmentation": Rule("augment.preset, " + ", ".join(f"augment.{k}" for k in AUGMENT), "what was built in", augmentation),
    "train.early_stopping": kept("train.patience", whole, "evaluations without a better validation loss"),
    "train.reader_count": kept("runtime.workers", lambda value: few(value, 256), "threads that read ahead; there processes per GPU"),
    "inference.saved_model_filepath": Rule(None, NO_TF, checkpoint),
    "inference.checkpoint_filepath": Rule(None, NO_TF, checkpoint),
    "inference.image_folder": Rule("swath predict INPUT", "files, folders, globs, manifests", predicted),
    "inference.output_folder": _OUT,
    "inference.output_dir": _OUT,
    "inference.image_format": dropped("every raster is read"),
    "inference.number_classes": dropped("the model knows its classes"),
    "inference.number_channels": dropped("the model knows its bands"),
}  # fmt: skip
