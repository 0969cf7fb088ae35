"""OTBTF's applications and Python calls, parameter by parameter; `sourceN` stands for every source."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from swath.importers.later import GPUS, WEIGHTS
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

DERIVED = "computed from the network: nothing to choose, nothing to contradict"
ONE_NAME = "not needed: a model has one input and one output"
MEMORY = "predict.memory bounds it; the result does not depend on it"
PLUMBING = "no effect: plumbing of TensorFlow"
STACK = "its bands are stacked in this order"
SELECTED = "swath points --"
SAME_GROUND = "a sample is the same ground in every source, each at its own resolution"


def plain(key: str) -> str:
    """The key under which the table has a parameter: any source is `sourceN`, a repeated call is the same."""
    return re.sub(r"\bsource\d+\b", "sourceN", key.partition("#")[0])


def further(old: dict[str, Any]) -> Table:
    """The rules of the parameters of any source but the first."""
    rules: dict[str, Rule] = {}
    for key in old:
        found = re.search(r"\b(source(?!1\b)\d+)\.(\w+)", key)
        if found is not None and plain(key) in OTB:
            make = _FURTHER.get((key.partition(".")[0], found[2]))
            rules[key] = make(found[1]) if make else OTB[plain(key)]
    return rules


def images(value: Any, draft: Draft) -> str | None:
    draft.tell("scenes: image")
    return STACK if len(several(value)) > 1 else None


def further_images(name: str) -> Rule:
    def take(value: Any, draft: Draft) -> str:
        if name not in draft.config.get("sources", {}):
            draft.tell("scenes: labels")
            return "the label raster, by its name"
        draft.tell(f"sources.{name}")
        return "a source of its own resolution: a column of the manifest"

    return Rule("sources", "a source of its own resolution: a column of the manifest", take)


def further_nodata(name: str) -> Rule:
    def take(value: Any, draft: Draft) -> None:
        if name in draft.config.get("sources", {}):
            draft.config["sources"][name]["nodata_value"] = number(value)
            draft.tell(f"sources.{name}")

    return Rule("sources", "nodata_value of the source", take)


def nodata(value: Any, draft: Draft) -> str:
    draft.set("bands.nodata_value", number(value))
    draft.set("sample.reject_nodata", "any")
    return "a patch with this value anywhere is rejected, as there; elsewhere pixels of it in all bands are ignored"


def empty(value: Any, draft: Draft) -> str:
    draft.set("bands.nodata_value", number(value))
    return "pixels with this value in all bands are ignored, as there"


def option(name: str, note: str) -> Rule:
    """The rule of a parameter that is an option of `swath points`."""
    return command(f"{SELECTED}{name}", note)


def patch(value: Any, draft: Draft) -> str:
    draft.set("sample.tile", whole(value))
    return "side of a sample; the pixel that holds the point is at half of it, as there"


def step(value: Any, draft: Draft) -> str:
    side = draft.get("PatchesSelection.grid.psize")
    if side is None or whole(value) > whole(side):
        return "samples lie side by side: a step beyond the size of a patch leaves no gaps here"
    draft.set("sample.overlap", whole(side) - whole(value))
    return "size of a patch less the step, in pixels"


def strategy(value: Any, draft: Draft) -> str:
    draft.tell(f"{SELECTED}split")
    by = {"all": "none", "split": "interleave", "balanced": "chessboard"}.get(str(value), "chessboard")
    draft.set("split.by", by)
    side = draft.get("PatchesSelection.grid.psize")
    if by != "none" and side is not None:
        draft.set("split.buffer", min(32, whole(side) // 4))  # blocks are about as wide as a patch
    return f"{by}: of blocks of labels instead of points, with a buffer, so that no label is in two splits"


def part(name: str) -> Rule:
    def take(value: Any, draft: Draft) -> None:
        parts = {"train": 50.0, "valid": 25.0, "test": 25.0}
        for other in parts:
            given = draft.get(f"PatchesSelection.strategy.split.{other}prop")
            parts[other] = parts[other] if given is None else number(given)
        if sum(parts.values()) <= 0:
            raise ValueError("the proportions are all 0")
        key = {"valid": "split.val", "test": "split.tst"}.get(name)
        if key:
            draft.set(key, round(parts[name] / sum(parts.values()), 6))

    became = {"valid": "split.val", "test": "split.tst"}.get(name)
    return Rule(became, "share of the labelled pixels" if became else "what validation and test leave", take)


def served(value: Any, draft: Draft) -> None:
    draft.tell("swath predict INPUT")
    sources = {
        m[1]: several(v) for k, v in draft.old.items() if (m := re.match(r"TensorflowModelServe\.(source\d+)\.il$", k))
    }
    out = str(draft.get("TensorflowModelServe.out", "")).rpartition("/")[0] or "maps"
    cells = {("image" if n == "source1" else n): ";".join(map(str, v)) for n, v in sources.items()}
    words = [word for n, cell in cells.items() for word in ("--source", f"{n}={cell}")]
    alone = len(cells) == 1 and len(several(value)) == 1
    given = [str(several(value)[0])] if alone else words
    draft.commands.append(shlex.join(["swath", "predict", "MODEL", *given, "--out", out]))


def source_option(value: Any, draft: Draft) -> None:
    draft.tell("swath predict --source")


def names(value: Any, draft: Draft) -> str:
    return reading(value, "predictions_crop16", "names the layer: predictions_softmax_tensor_crop16",
                   "neither: predict.save names what is written, uncropped and whole")  # fmt: skip


def fullyconv(value: Any, draft: Draft) -> str:
    return reading(value, "model.fullyconv on the command line, fullyconv in Python", "knows model.fullyconv only",
                   "every network here is applied to whole tiles")  # fmt: skip


def cost(text: str) -> Rule:
    def take(value: Any, draft: Draft) -> None:
        draft.set("train.batch_size", whole(value))

    return Rule("train.batch_size", text, take)


def epochs(value: Any, draft: Draft) -> None:
    draft.set("train.epochs", whole(value))


def validation_step(value: Any, draft: Draft) -> str:
    total = draft.get("TensorflowModelTrain.training.epochs", 100)
    draft.set("train.evaluations", max(whole(total) // max(whole(value), 1), 1))
    return f"an evaluation every {whole(value)} of {whole(total)} epochs"


def streaming(value: Any, draft: Draft) -> str:
    draft.set("train.data", "rasters" if flag(value) else "auto")
    return "samples are read from the rasters when needed" if flag(value) else "read once and kept where memory allows"


def most_samples(value: Any, draft: Draft) -> None:
    draft.set("sample.limit", {"trn": few(value, 10**9)})


def sampler(value: Any, draft: Draft) -> str:
    draft.set("train.sampler", "uniform")
    return "every sample once an epoch in random order, by seed; an iterator of your own: train.sampler=package.module:function"


_BATCH = cost("samples per step; none is dropped")
_EPOCHS = Rule("train.epochs", "passes over all samples", epochs)
_VECTOR = Rule("scenes: labels", "polygons; reprojected where needed")
_FIELD = Rule("scenes: field, classes.field", "numbers or texts")
_RAM = dropped(MEMORY)
_POLYGONS: Table = {
    "in": Rule("scenes: image", "the image", images), "vec": _VECTOR, "field": _FIELD, "ram": _RAM, "elev": dropped("no effect"),
    "mask": option("mask", "or polygons as `aoi` in the manifest"), "layer": Rule("scenes: layer", "the layer of the vectors"),
}  # fmt: skip
_FURTHER: dict[tuple[str, str], Callable[[str], Rule]] = {
    ("PatchesExtraction", "il"): further_images,
    ("PatchesExtraction", "nodata"): further_nodata,
    ("PatchesExtraction", "patchsizex"): lambda name: dropped(SAME_GROUND),
    ("PatchesExtraction", "patchsizey"): lambda name: dropped(SAME_GROUND),
    ("TensorflowModelServe", "il"): lambda name: Rule(
        "swath predict --source", "by the name of the source", source_option
    ),
}

OTB: Table = {
    "PatchesExtraction.sourceN.il": Rule("scenes: image", "further sources: `sources`; several rasters are stacked", images),
    "PatchesExtraction.sourceN.patchsizex": Rule("sample.tile", "of source 1", patch),
    "PatchesExtraction.sourceN.patchsizey": Rule("sample.tile", "of source 1; samples are square", patch),
    "PatchesExtraction.sourceN.nodata": Rule("bands.nodata_value, sample.reject_nodata", "any value of a patch rejects it", nodata),
    "PatchesExtraction.sourceN.out": dropped("no patches are written: `swath sample` makes a store, or training reads the rasters"),
    "PatchesExtraction.vec": Rule("scenes: labels, sample.points", "points are where samples are cut; reprojected where needed"),
    "PatchesExtraction.field": _FIELD,
    "PatchesExtraction.outlabels": dropped("labels lie in the store with their samples"),
    "PatchesExtraction.ram": _RAM,
    "PatchesSelection.in": Rule("scenes: image", "the image", images),
    "PatchesSelection.mask": option("mask", "or polygons as `aoi` in the manifest"),
    "PatchesSelection.nodata": Rule("bands.nodata_value", "in all bands, as there", empty),
    "PatchesSelection.grid.step": Rule("sample.overlap", "size of a patch less the step", step),
    "PatchesSelection.grid.psize": Rule("sample.tile", "side of a sample", patch),
    "PatchesSelection.grid.offsetx": option("offset", "row and column"),
    "PatchesSelection.grid.offsety": option("offset", "row and column"),
    "PatchesSelection.strategy": Rule("swath points --split, split.by, split.buffer", "of blocks, with a buffer", strategy),
    "PatchesSelection.strategy.split.random": option("order", "interleave or random"),
    "PatchesSelection.strategy.split.trainprop": part("train"),
    "PatchesSelection.strategy.split.validprop": part("valid"),
    "PatchesSelection.strategy.split.testprop": part("test"),
    "PatchesSelection.strategy.balanced.sp": option("seed-share", "share of regular patches to begin with"),
    "PatchesSelection.strategy.balanced.nclasses": dropped("counted from the labels"),
    "PatchesSelection.strategy.balanced.labelimage": Rule("scenes: labels", "a label raster"),
    **{f"PatchesSelection.{key}": option("out", "one file with a column `split`") for key in ("outtrain", "outvalid", "outtest")},
    "PatchesSelection.ram": _RAM,
    **{f"{app}.{key}": rule for app in ("PolygonClassStatistics", "DensePolygonClassStatistics")
       for key, rule in {**_POLYGONS, "out": option("statistics", "pixels per class and per polygon, JSON or CSV")}.items()},
    **{f"SampleSelection.{key}": rule for key, rule in _POLYGONS.items()},
    "SampleSelection.instats": dropped("counted again where they are needed"),
    "SampleSelection.out": option("out", "a GeoPackage"),
    "SampleSelection.outrates": dropped("rates are in the result"),
    "SampleSelection.strategy": option("strategy", "by the same names"),
    "SampleSelection.strategy.constant.nb": option("number", "points per class"),
    "SampleSelection.strategy.percent.p": option("number", "percent; Swath counts in percent, too"),
    "SampleSelection.strategy.total.v": option("number", "points in all"),
    "SampleSelection.strategy.byclass.in": option("counts", "ID:N words instead of a file"),
    "SampleSelection.sampler": option("sampler", "periodic or random"),
    "SampleSelection.sampler.periodic.jitter": option("jitter", "0 to 1"),
    "SampleSelection.rand": option("seed", "of everything random"),
    "LabelImageSampleSelection.inref": Rule("scenes: labels", "a label raster"),
    "LabelImageSampleSelection.strategy": option("strategy", "by the same names; ids are kept, there the smallest was taken off"),
    "LabelImageSampleSelection.strategy.constant.nb": option("number", "points per class"),
    "LabelImageSampleSelection.strategy.total.v": option("number", "points in all"),
    "LabelImageSampleSelection.nodata": Rule("classes.ignore", "a label value that never counts"),
    "LabelImageSampleSelection.pad": dropped("points lie on pixel centres"),
    "LabelImageSampleSelection.outvec": option("out", "a GeoPackage"),
    "LabelImageSampleSelection.ram": _RAM,
    "TensorflowModelTrain.model.dir": dropped(WEIGHTS),
    "TensorflowModelTrain.model.restorefrom": dropped(WEIGHTS),
    "TensorflowModelTrain.model.saveto": dropped("best and last bundle are in the run"),
    "TensorflowModelTrain.training.batchsize": _BATCH,
    "TensorflowModelTrain.training.epochs": _EPOCHS,
    "TensorflowModelTrain.training.sourceN.il": dropped("patches-images: `swath import otb FOLDER` takes them as samples"),
    "TensorflowModelTrain.training.sourceN.patchsizex": dropped(DERIVED),
    "TensorflowModelTrain.training.sourceN.patchsizey": dropped(DERIVED),
    "TensorflowModelTrain.training.sourceN.placeholder": dropped(ONE_NAME),
    "TensorflowModelTrain.training.targetnodes": dropped(PLUMBING),
    "TensorflowModelTrain.training.outputtensors": dropped(PLUMBING),
    "TensorflowModelTrain.training.userplaceholders": dropped(PLUMBING),
    "TensorflowModelTrain.training.usestreaming": Rule("train.data", "from the rasters, or kept", streaming),
    "TensorflowModelTrain.validation.mode": dropped("all scores at every evaluation, on validation labels"),
    "TensorflowModelTrain.validation.step": Rule("train.evaluations", "one every so many epochs", validation_step),
    "TensorflowModelTrain.validation.sourceN.il": dropped("patches-images: `swath import otb FOLDER` takes them as samples"),
    "TensorflowModelTrain.validation.sourceN.name": dropped(ONE_NAME),
    "TensorflowModelServe.sourceN.il": Rule("swath predict INPUT", "of source 1", served),
    "TensorflowModelServe.sourceN.rfieldx": dropped(DERIVED),
    "TensorflowModelServe.sourceN.rfieldy": dropped(DERIVED),
    "TensorflowModelServe.sourceN.placeholder": dropped(ONE_NAME),
    "TensorflowModelServe.sourceN.nodata": dropped("the model knows its nodata rule; pixels without data stay nodata in the map"),
    "TensorflowModelServe.model.dir": dropped(f"{WEIGHTS}: TensorFlow's saved models are not read"),
    "TensorflowModelServe.model.tagsets": dropped(PLUMBING),
    "TensorflowModelServe.model.userplaceholders": dropped(PLUMBING),
    "TensorflowModelServe.model.fullyconv": Rule(None, "networks are always applied to whole tiles", fullyconv),
    "TensorflowModelServe.fullyconv": Rule(None, "networks are always applied to whole tiles", fullyconv),
    "TensorflowModelServe.output.names": Rule(None, "predict.save names what is written", names),
    "TensorflowModelServe.output.efieldx": dropped(DERIVED),
    "TensorflowModelServe.output.efieldy": dropped(DERIVED),
    "TensorflowModelServe.output.spcscale": dropped("maps are on the grid of their image"),
    "TensorflowModelServe.output.bv": dropped("nodata of a map is never a class"),
    "TensorflowModelServe.optim.disabletiling": dropped(MEMORY),
    "TensorflowModelServe.optim.tilesizex": kept("predict.tile", whole, "the map does not depend on it"),
    "TensorflowModelServe.optim.tilesizey": kept("predict.tile", whole, "the map does not depend on it; tiles are square"),
    "TensorflowModelServe.out": Rule("swath predict --out", "a folder: maps are named after their images",
                                     lambda value, draft: draft.tell("swath predict --out")),
    "DatasetFromPatchesImages.filenames_dict": Rule(None, "patches-images: `swath import otb FOLDER` takes them as samples"),
    "DatasetFromPatchesImages.use_streaming": Rule("train.data", "from the rasters, or kept", streaming),
    "DatasetFromPatchesImages.buffer_length": dropped("samples are read ahead; the time spent waiting is reported"),
    "DatasetFromPatchesImages.max_nb_of_samples": Rule("sample.limit", "a random subset by seed", most_samples),
    "DatasetFromPatchesImages.iterator_cls": Rule("train.sampler", "uniform, or your own: package.module:function", sampler),
    "TFRecords.path": dropped("`swath import otb FOLDER` takes the records as samples"),
    "get_tf_dataset.batch_size": _BATCH,
    "get_tf_dataset.drop_remainder": dropped("no sample is dropped"),
    "get_tf_dataset.targets_keys": dropped(ONE_NAME),
    "get_tf_dataset.preprocessing_fn": dropped("labels need no encoding"),
    "to_tfrecords.output_dir": dropped("`swath convert STORE --to tfrecords`"),
    "to_tfrecords.n_samples_per_shard": dropped("`swath convert STORE --to tfrecords`; no sample is dropped"),
    "to_tfrecords.drop_remainder": dropped("no sample is dropped"),
    "read.batch_size": _BATCH,
    "read.target_keys": dropped(ONE_NAME),
    "read.n_workers": dropped(GPUS),
    "read.drop_remainder": dropped("no sample is dropped"),
    "read.shuffle_buffer_size": dropped("the order is a function of seed and epoch, over all samples"),
    "read.preprocessing_fn": dropped("labels need no encoding"),
    "read.prefetch_buffer_size": dropped("samples are read ahead"),
    "read.num_parallel_calls": dropped("samples are read ahead"),
    "FCNNModel.dataset_element_spec": dropped("bands and classes come from the config"),
    "one_hot.nb_classes": Rule("classes", "with background: ids 0 to N-1"),
    "one_hot.depth": Rule("classes", "with background: ids 0 to N-1"),
    "one_hot.labels": dropped("labels need no encoding"),
    "Adam.learning_rate": kept("train.lr", number, "the largest rate; the optimiser is adam"),
    "compile.loss": dropped("cross-entropy, the default here too"),
    "compile.optimizer": dropped("adam, see Adam"),
    "compile.metrics": dropped("precision, recall and more per class at every evaluation"),
    "fit.epochs": _EPOCHS,
    "fit.validation_data": dropped("the rows with split val, or blocks held out"),
}  # fmt: skip

_IN_ORDER = {  # names of arguments that are often given without
    "TFRecords": ("path",), "DatasetFromPatchesImages": ("filenames_dict",), "get_tf_dataset": ("batch_size",),
    "to_tfrecords": ("output_dir", "n_samples_per_shard"), "one_hot": ("labels", "nb_classes"), "Adam": ("learning_rate",),
}  # fmt: skip
FUNCTIONS: dict[str, tuple[str, ...]] = {
    name: _IN_ORDER.get(name, ()) for name in (key.partition(".")[0] for key in OTB)
    if name[0].islower() or name.startswith(("Adam", "Dataset", "TFRec", "FCNN"))
}  # fmt: skip
