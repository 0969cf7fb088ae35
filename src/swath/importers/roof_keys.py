"""roof-classify's settings.json, prod.json and test.json, key by key."""

from __future__ import annotations

import shlex
from typing import Any

from swath.importers.later import WEIGHTS
from swath.importers.report import (
    Draft,
    Rule,
    Table,
    command,
    dropped,
    few,
    flag,
    kept,
    number,
    reading,
    several,
    whole,
)

DERIVED = "derived from the number of samples and the batch size"
KERAS = "no effect: plumbing of Keras"
STEP = "Swath finds it from the files"


def fixed(wanted: Any, what: str) -> Rule:
    """The rule of a setting that Swath's U-Net has built in, or has not."""

    def take(value: Any, draft: Draft) -> str:
        mine = list(value) if isinstance(value, list | tuple) else value
        if mine == wanted:
            return f"{what}: as in Swath's U-Net"
        return f"refused: Swath's U-Net has {what} {wanted!r}; imported without it"

    return Rule(None, f"{what} {wanted!r} is built in; another value is refused with a note", take)


def checkpoint(value: Any, draft: Draft) -> str:
    name = str(value).replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or str(value)
    draft.set("output", f"runs/{name}")
    return "name kept as run name; best and last bundle are in it"


def custom(value: Any, draft: Draft) -> str:
    return reading(value, "1 by default", "has 0 in its files; 1 read any bands and resized, 0 was Keras' generator of "
                   "4 bands of 8 bit at most", "one loader for every raster")  # fmt: skip


def target_size(value: Any, draft: Draft) -> str:
    height, width = (whole(v) for v in several(value, 2))
    draft.set("sample.tile", min(height, width))
    return "images and masks were resampled to it; here samples of that side are cut, and nothing is resampled"


def rescale(value: Any, draft: Draft) -> str:
    draft.set("bands.method", "standard")
    return ("fitted on the training pixels and kept in the model: a fixed divisor, applied twice or to the masks, was one "
            "cause of blank maps; labels are never scaled")  # fmt: skip


def generated(key: str) -> Rule:
    """The rule of an augmentation that acted with Keras' generator only."""

    def take(value: Any, draft: Draft) -> str:
        if flag(draft.get("load_dataset_args.custom", 0)):
            return "had no effect with custom 1, and has none here"
        if key == "hflip":
            draft.set("augment.hflip", 0.5 if flag(value) else 0)
            return "at random in half of the samples; it never added copies"
        draft.set(f"augment.{key}", number(value))
        return "image and mask together; there each was drawn on its own, and they came apart"

    return Rule(f"augment.{key}", "image and mask together; with custom 0 only", take)


def channels(value: Any, draft: Draft) -> str:
    shape = draft.get("model_args.input_shape")
    count = few(value)
    draft.set("bands.select", list(range(1, count + 1)))
    if shape is not None and whole(several(shape, 3)[2]) != count:
        return f"input_shape has {several(shape)[2]} bands: one of the two is wrong; this one counts"
    return "bands 1 and up"


def input_shape(value: Any, draft: Draft) -> str:
    height, width, count = (whole(v) for v in several(value, 3))
    if draft.get("load_dataset_args.channels") is None:
        draft.set("bands.select", list(range(1, few(count) + 1)))
    if draft.get("load_dataset_args.target_size") is None:
        draft.set("sample.tile", min(height, width))
    draft.tell("bands.select")
    draft.tell("sample.tile")
    return "the network takes any size: this is the side of a sample only"


def num_classes(value: Any, draft: Draft) -> str:
    count = whole(value)
    draft.tell("classes")
    draft.set("model.head", "binary" if count == 1 else "multiclass")
    if count == 1:
        return "one sigmoid: background 0 and roof 1"
    return reading(
        value, "2 for binary classification", "has one output per class", "classes 0 to N-1, class 0 is background"
    )


def num_layers(value: Any, draft: Draft) -> str:
    draft.set("model.depth", min(whole(value) + 1, 7))
    return f"the old network halved {whole(value) + 1} times, once more than it says"


def filters(value: Any, draft: Draft) -> str:
    draft.set("model.width", max(whole(value) // 4, 1))
    return "the same at every level there; Swath's U-Net doubles its width per level, so it begins with a quarter"


def norm_momentum(value: Any, draft: Draft) -> str:
    other = 1 - number(value)
    note = reading(value, "the speed of the optimiser", f"has Keras' momentum of batch norm, {other:g} in torch's terms",
                   "neither")  # fmt: skip
    return f"{note}. Warning: {other:g} keeps the last batch only and spoils evaluation; Swath keeps torch's 0.1"


def epochs(value: Any, draft: Draft) -> str:
    draft.set("train.epochs", whole(value))
    draft.set("train.evaluations", max(whole(value), 1))
    return "an evaluation after each, as there"


def pretrained(value: Any, draft: Draft) -> str:
    return WEIGHTS if flag(value) else "a random start, as in Swath"


def activation(value: Any, draft: Draft) -> str:
    draft.tell("model.head")
    return "the one score of a binary head is a sigmoid; several are a softmax"


def split_share(value: Any, draft: Draft) -> str:
    part = number(value)
    draft.tell("swath split --trn")
    draft.commands.append(f"swath split scenes.csv --out split.csv --trn {part:g} --val {1 - part:g} --tst 0")
    return reading(
        value, "data are split", "copied frames and left the masks", "image and mask are one row and cannot part"
    )


def chip_size(value: Any, draft: Draft) -> str:
    args = {k.partition(".")[2]: v for k, v in draft.old.items() if k.startswith("chip_args.")}
    draft.tell("swath chip --size")
    inputs = "/".join(str(v).rstrip("/") for v in (args.get("in_path"), args.get("input_filename")) if v) or "IMAGES"
    text = shlex.join(["swath", "chip", inputs, "--size", str(whole(value)), "--out", str(args.get("out_path") or "chips")])
    draft.commands.append(text + (f" --expect {whole(args['expected'])}" if args.get("expected") else ""))
    return reading(value, "white space at the corners", "kept smaller chips at the edge", "both: --edge pad or keep")


def chunksize(value: Any, draft: Draft) -> str:
    return reading(value, "one mosaic", "wrote one per so many files", "the text: one")


def flat_format(value: Any, draft: Draft) -> str:
    draft.tell("swath flatten --out")
    return reading(
        value, "a CSV of six columns", "wrote .npz, x and y swapped", "the text: CSV or Parquet by the suffix"
    )


SETTINGS: Table = {
    "path_args.train_frames": Rule("scenes", "images of the rows with split trn"),
    "path_args.train_masks": Rule("scenes", "labels of the rows with split trn"),
    "path_args.val_frames": Rule("scenes", "images of the rows with split val"),
    "path_args.val_masks": Rule("scenes", "labels of the rows with split val"),
    "checkpoint_args.checkpoint_path": Rule("output", "name kept as run name", checkpoint),
    "extension_args.extension": dropped("every raster is read, whatever its extension"),
    "load_dataset_args.custom": Rule(None, "one loader for every raster", custom),
    "load_dataset_args.batch_size": kept("train.batch_size", whole, "no sample is left out"),
    "load_dataset_args.target_size": Rule("sample.tile", "samples are cut, nothing is resampled", target_size),
    "load_dataset_args.rescale": Rule("bands.method", "standard: fitted on the training pixels", rescale),
    "load_dataset_args.shear_range": generated("shear"),
    "load_dataset_args.zoom_range": generated("scale"),
    "load_dataset_args.horizontal_flip": generated("hflip"),
    "load_dataset_args.class_mode": dropped(KERAS),
    "load_dataset_args.mask_color": dropped(KERAS),
    "load_dataset_args.channels": Rule("bands.select", "bands 1 and up", channels),
    "load_dataset_args.data_format": dropped("no effect: bands come first inside, whatever the file"),
    "model_args.input_shape": Rule("bands.select, sample.tile", "the network takes any size", input_shape),
    "model_args.num_classes": Rule("classes, model.head", "1 is one sigmoid: background and roof", num_classes),
    "model_args.num_layers": Rule("model.depth", "one more: that many halvings there were", num_layers),
    "model_args.filters": Rule("model.width", "a quarter: it doubles per level here", filters),
    "model_args.upconv_filters": dropped("not yet in Swath: a width of the decoder alone"),
    "model_args.kernel_size": fixed([3, 3], "kernels of"),
    "model_args.strides": fixed([1, 1], "strides of"),
    "model_args.padding": fixed("same", "padding"),
    "model_args.activation": fixed("relu", "the activation"),
    "model_args.kernel_initializer": fixed("he_normal", "the start"),
    "model_args.bachnorm_momentum": Rule(None, "0.01 of Keras is 0.99 of torch; Swath keeps 0.1", norm_momentum),
    "model_args.pool_size": fixed([2, 2], "pooling of"),
    "model_args.pool_strides": fixed([2, 2], "pooling by"),
    "model_args.pool_padding": fixed("valid", "pooling with padding"),
    "training_args.epochs": Rule("train.epochs, train.evaluations", "an evaluation after each", epochs),
    "training_args.pretrained": Rule(None, WEIGHTS, pretrained),
    "training_args.results_folder": dropped("unused in the seed"),
    "training_args.steps_per_epoch": dropped(DERIVED),
    "training_args.validation_steps": dropped(DERIVED),
    "training_args.verbose": dropped("`-q` prints errors only"),
    "output_args.kernel_size": fixed([1, 1], "a head of"),
    "output_args.strides": fixed([1, 1], "a head of strides"),
    "output_args.activation": Rule("model.head", "sigmoid or softmax by the head", activation),
    "output_args.padding": dropped("no effect on a kernel of one pixel"),
}

STEPS: Table = {
    "chip_args.width": Rule("swath chip --size", "the side of a chip", chip_size),
    "chip_args.height": command("swath chip --size", "chips are square"),
    "chip_args.expected": command("swath chip --expect", "another number of chips is an error"),
    "chip_args.in_path": command("swath chip IMAGE", "files, folders, globs"),
    "chip_args.input_filename": command("swath chip IMAGE", "files, folders, globs"),
    "chip_args.out_path": command("swath chip --out", "made where it is missing"),
    "chip_args.output_filename": command(
        "swath chip --pattern", "{stem}, {row}, {col} and {index} instead of two slots"
    ),
    "mosaic_args.root": command("swath mosaic INPUT", "files, folders or globs"),
    "mosaic_args.chunksize": Rule(None, "one mosaic of all files", chunksize),
    "mosaic_args.img_type": dropped(STEP),
    "mosaic_args.extension": dropped(STEP),
    "mosaic_args.out_fp": command("swath mosaic --out", "a COG, or a VRT by its suffix"),
    "mask_args.root": command("swath mask IMAGE", "files, folders, globs"),
    "mask_args.storage": command("swath mask --out", "made where it is missing"),
    "mask_args.mode": command(
        "swath mask --labels", "append: name several files or a folder, nothing is joined on disk"
    ),
    "mask_args.extension": dropped(STEP),
    "mask_args.shape_type": dropped(STEP),
    "mask_args.image_type": dropped(STEP),
    "mask_args.shape_root": command("swath mask --labels", "GeoPackage, Shapefile, GeoJSON, FlatGeobuf"),
    "mask_args.shape_name": command("swath mask --labels", "GeoPackage, Shapefile, GeoJSON, FlatGeobuf"),
    "mask_args.output_format": dropped("GeoTIFF with a colour table; its nodata is never a class"),
    "flatten_args.mask": command("swath flatten --labels", "the label is a column"),
    "flatten_args.root": command("swath flatten IMAGE", "files, folders, globs: one table of all"),
    "flatten_args.storage": command("swath flatten --out", "made where it is missing"),
    "flatten_args.extension": dropped(STEP),
    "flatten_args.image_type": dropped(STEP),
    "flatten_args.output_format": Rule("swath flatten --out", "CSV or Parquet by the suffix", flat_format),
    "split_args.root": command("swath split MANIFEST", "the manifest; no file is copied"),
    "split_args.image_type": dropped(STEP),
    "split_args.train_split": Rule("swath split --trn", "the rest validates", split_share),
    "split_args.val_target": dropped("no file is copied: the manifest has a column `split`"),
    "split_args.train_target": dropped("no file is copied: the manifest has a column `split`"),
    "sum_args.bands": command("swath summarize IMAGE", "all bands are summarized"),
    "sum_args.suffix": dropped(STEP),
    "sum_args.root": command("swath summarize IMAGE", "files, folders, globs"),
    "sum_args.image_type": dropped(STEP),
    "sum_args.x_loc": dropped("rasters are read themselves, no flat files"),
    "sum_args.y_loc": dropped("rasters are read themselves, no flat files"),
    "predict_args.test": dropped("1 predicted two files only; all are predicted, their number is printed"),
    "predict_args.channels": dropped("the model knows its bands"),
    "predict_args.img_type": dropped("masks are not needed for a map"),
    "predict_args.model_name": dropped(WEIGHTS),
    "predict_args.target_width": dropped("maps keep the grid of their image: nothing is resampled"),
    "predict_args.target_height": dropped("maps keep the grid of their image: nothing is resampled"),
    "predict_args.root": command("swath predict MODEL INPUT", "files, folders, globs, manifests"),
    "train_args.test_path": dropped("the pixel models of this step: not yet in Swath"),
    "train_args.train_path": dropped("the pixel models of this step: not yet in Swath"),
    "train_args.train_args": dropped("the pixel models of this step: not yet in Swath"),
}

ROOF: Table = {**SETTINGS, **STEPS}
