"""geo-deep-learning's yaml, key by key: what each becomes in a config of Swath."""

from __future__ import annotations

from typing import Any

from swath.importers.gdl_maps import chunk, heatmaps, inference_overlap, smooth, task, used_ram
from swath.importers.gdl_names import loss, model, optimiser, pretrained
from swath.importers.gdl_sources import SOURCES, has_sources, image_bands
from swath.importers.later import GDL_LATER
from swath.importers.report import (
    Draft,
    Rule,
    Table,
    command,
    dropped,
    flag,
    kept,
    number,
    reading,
    several,
    share,
    whole,
)


def bands(value: Any, draft: Draft) -> str:
    count = image_bands(draft)
    order = list(range(1, count + 1)) if count is not None else [1, 2, 3]
    swap = draft.get("global.BGR_to_RGB")
    swapped = swap is not None and flag(swap)
    if swapped and len(order) < 3:
        raise ValueError("BGR_to_RGB needs three bands or more")
    if swapped:
        order[:3] = [3, 2, 1]
    note = "bands in model order, counted from 1" + ("; the first three swapped by BGR_to_RGB" if swapped else "")
    if has_sources(draft):
        draft.set("sources.image", {"bands": order})
        return f"{note}; {len(order)} of them are the image's"
    if count is not None or swapped:
        draft.set("bands.select", order)
    return note


def scale(value: Any, draft: Draft) -> str:
    low, high = (number(v) for v in several(value, 2))
    if draft.get("training.normalization.mean") is not None:
        return "followed by normalization, which a standard scaling replaces"
    draft.set("bands.method", "dtype")
    more = "" if (low, high) == (0, 1) else "; Swath scales to 0..1, which a network with norms cannot tell apart"
    return reading(value, "no rescaling", "maps the range of the data type (0-255, 0-65535) to it",
                   f"the source{more}. Images of 8-bit values in 16-bit files then nearly vanish: try bands.method=standard")  # fmt: skip


def normalization(value: Any, draft: Draft) -> str:
    draft.set("bands.method", "standard")
    return "mean and standard deviation are fitted on the training pixels and kept in the model; these numbers are not used"


def num_classes(value: Any, draft: Draft) -> str:
    count = len([k for k in draft.classes if isinstance(k, int) and k != 0])
    draft.tell("classes")
    if "unlabelled" in draft.classes:
        return f"{count} outputs, ids 1 to {count}: 0 is ignored (ignore_index)"
    return f"{count + 1} outputs, ids 0 to {count}: background is class 0, which the old program added unasked"


def ignore_index(value: Any, draft: Draft) -> str:
    found = whole(value)
    if found < 0:
        return "no label value is negative: nothing is ignored by it"
    if found:
        draft.set("classes.ignore", [found])
        return f"label value {found} never counts; padding and pixels without data never do"
    if draft.classes.get("unlabelled") != "ignore":
        return "0 stays background: one class alone is nothing to tell apart"
    draft.tell("classes.unlabelled")
    return reading(value, "background is ignored", "does so and shifts every class id by one", "the text; ids stay")


def class_weights(value: Any, draft: Draft) -> str:
    weights = [number(v) for v in several(value)]
    names = _names(draft)
    if len(weights) == len(names) - 1 and 0 in names and len(weights) > 1:
        weights = [1.0, *weights]
        note = "weights of classes 1 and up, background 1: the old program stopped at such a list"
    else:
        note = "weights by class name, background first"
    if len(weights) != len(names):
        return f"{len(weights)} weights for {len(names)} classes: left out; write train.class_weights by class name"
    draft.set("train.class_weights", dict(zip(names.values(), weights, strict=True)))
    return note


def class_proportion(value: Any, draft: Draft) -> str | None:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no map of class ids to percentages")
    names = _names(draft)
    floors = {whole(k): share(v) for k, v in value.items() if v is not None}
    unknown = sorted(k for k in floors if k not in names)
    draft.set("sample.class_min", {names[k]: v for k, v in floors.items() if k in names and v})
    draft.set("sample.class_mode", "all")
    left = f"; no class {', '.join(map(str, unknown))}: left out" if unknown else ""
    note = reading(
        value, "whole numbers or fractions", "takes whole numbers only", "fractions count, all classes must be met"
    )
    return f"{note}{left}"


def analysed(key: str) -> Rule:
    def take(value: Any, draft: Draft) -> str:
        old = f"sample.sampling_method.{key}"
        if draft.get(old) is not None or (key.startswith("min") and draft.get("sample.min_annotated_percent")):
            return "the section sample has its own, which counts"
        return GDL[old].take(value, draft) or GDL[old].note  # type: ignore[misc]

    return Rule("as in sample", "taken where the section sample has none", take)


def schedule(value: Any, draft: Draft) -> str:
    every, gamma = draft.get("training.step_size"), draft.get("training.gamma")
    epochs = draft.get("training.num_epochs")
    if every is None or gamma is None or not epochs:
        return "a schedule takes step_size, gamma and num_epochs: the rate stays constant"
    if whole(every) < 1 or whole(epochs) < 0:
        raise ValueError("step_size and num_epochs are whole numbers of 1 or more")
    part = whole(every) / max(whole(epochs), 1)
    if part >= 1:
        draft.set("train.schedule", {"name": "constant"})
        return "step_size is not reached within num_epochs: the rate stays constant"
    draft.set("train.schedule", {"name": "step", "every": round(part, 9), "gamma": number(gamma)})
    return (
        f"every {every} of {epochs} epochs the rate falls by the factor {gamma}; `every` is a fraction of the training"
    )


def dropout(value: Any, draft: Draft) -> str:
    wish = draft.get("training.dropout_prob")
    prob = 0.0 if wish is None or str(wish).lower() in ("false", "none") else number(wish)
    mine = str(draft.get("global.model_name")).lower() in ("unet", "unetsmall", "checkpointed_unet")
    if prob and mine:
        draft.set("model.dropout", prob)
    chosen = (
        f"the source, dropout_prob wins: {prob:g}" if mine or not prob else "neither: this network never had dropout"
    )
    return reading(value, "`dropout` switches it", "reads dropout_prob alone", chosen)


def rotation(value: Any, draft: Draft) -> str:
    limit, prob = (
        draft.get("training.augmentation.rotate_limit"),
        draft.get("training.augmentation.rotate_prob"),
    )
    if limit is None or prob is None or not number(prob):
        return "rotation takes rotate_limit and rotate_prob: off"
    draft.set("augment.rotate", abs(number(limit)))
    return "up to so many degrees, labels by nearest neighbour; Swath has no probability of its own for it"


def epochs(value: Any, draft: Draft) -> str:
    if whole(value) == 0:
        draft.commands.append("swath evaluate MODEL scenes.csv --split tst")
        return "0 skipped the training: that is `swath evaluate` here"
    draft.set("train.epochs", whole(value))
    draft.set("train.evaluations", min(whole(value), 1000))
    return "passes over the training samples, with an evaluation after each"


def decay(value: Any, draft: Draft) -> str | None:
    draft.set("train.weight_decay", number(value))
    adam = str(draft.get("training.optimizer") or "adam").lower() == "adam"
    return "acts here; the old adam ignored it" if adam and number(value) else None


def reference(value: Any, draft: Draft) -> str:
    if not flag(value):
        return "was off; pixels without image data are ignored anyway"
    draft.set("bands.nodata_value", 0)
    return reading(value, "the image is hidden where there is no reference", "sets the label to background where band 1 is 0",
                   "pixels of 0 in all bands are ignored; name an `aoi` in the manifest where labels are incomplete")  # fmt: skip


def validation(value: Any, draft: Draft) -> str | None:
    draft.set("split.val", share(value))
    if any(scene.get("split") == "val" for scene in draft.scenes):
        return "no effect: the list has rows with split val, and they validate"
    return None


def stratified(value: Any, draft: Draft) -> None:
    draft.set("split.stratify", number(value) > 0)


def limit(split: str) -> Rule:
    """The rule of the number of samples of a split."""

    def take(value: Any, draft: Draft) -> None:
        limits = draft.config.get("sample", {}).get("limit", {})
        draft.set("sample.limit", {**limits, split: whole(value)})

    return Rule(
        "sample.limit", "a random subset by seed; there the first ones, and too large a number stopped it", take
    )


def target_ids(value: Any, draft: Draft) -> str:
    draft.tell("classes")
    return "label values in the order of class ids, as `source` of each class; the old renumbering could merge two"


def trim(value: Any, draft: Draft) -> str:
    ends = [number(v) for v in several(value)]
    fixed = round((max(ends) - min(ends)) / 2, 1) if len(ends) > 1 else ends[0]
    return reading(value, "a random percentile is trimmed", f"does so in training, of a histogram without its counts, and "
                   f"always trims {fixed:g} % afterwards", "neither: not yet in Swath; see augment.contrast, and "
                   "bands.method=percentile for values that stay away from the ends")  # fmt: skip


def geom_scale(value: Any, draft: Draft) -> None:
    draft.set("augment.scale", round(max(abs(number(v) - 1) for v in several(value)), 6))


def _names(draft: Draft) -> dict[int, str]:
    """Class id -> name, background included."""
    named = {k: str(v["name"]) for k, v in draft.classes.items() if isinstance(k, int)}
    return named if "unlabelled" in draft.classes else dict(sorted({0: "background", **named}.items()))


_NORMAL = Rule("bands.method", "fitted on the training pixels (standard), kept in the model", normalization)
_BAND_ORDER = Rule("bands.select, sources.image", "bands in model order; BGR_to_RGB swaps the first three", bands)
_SCHEDULE = Rule("train.schedule", "name: step; `every` as a fraction of the epochs", schedule)
_ROTATE = Rule("augment.rotate", "largest rotation in degrees", rotation)
_DROPOUT = Rule("model.dropout", "dropout_prob decides; `dropout` was never read", dropout)
_MIN_ANNOTATED = kept("sample.min_annotated", share, "percent there, a fraction here")
_PROPORTION = Rule(
    "sample.class_min, sample.class_mode", "by class name, as fractions; all must be met", class_proportion
)

GDL: Table = {
    "global.samples_size": kept("sample.tile", whole, "side of a sample in pixels"),
    "global.num_classes": Rule("classes", "N foreground classes become ids 1 to N; 0 is background", num_classes),
    "global.data_path": dropped("results are kept in runs/ beside the config; `output` moves them"),
    "global.number_of_bands": _BAND_ORDER,
    "global.model_name": Rule("model.name, model.depth, model.width, model.encoder, model.pretrained",
                              "by its name, see the table of models", model),
    "global.task": Rule(None, "segmentation is what Swath does", task),
    "global.max_used_ram": Rule(None, "Swath does not choose GPUs by load: runtime.device=cuda:N", used_ram),
    "global.max_used_perc": dropped("Swath does not choose GPUs by load: runtime.device=cuda:N"),
    "global.BGR_to_RGB": _BAND_ORDER,
    "global.scale_data": Rule("bands.method", "dtype: the data type's range, as the source did", scale),
    "global.debug_mode": dropped("`--debug` shows tracebacks; geometries are always checked"),
    "global.preprocessing_path": dropped("dropped: only built default paths"),
    "data_analysis.create_csv": command("swath analyze", "its table is made anew where it must be"),
    "data_analysis.optimal_parameters_search": command("swath analyze", "the same search, with a suggestion; --search lists all"),
    "data_analysis.sampling_method.min_annotated_percent": analysed("min_annotated_percent"),
    "data_analysis.sampling_method.class_proportion": analysed("class_proportion"),
    "sample.prep_csv_file": Rule("scenes", "the manifest scenes.csv beside the config"),
    "sample.val_percent": Rule("split.val", "spatial blocks, so that no neighbour of a training tile validates", validation),
    "sample.use_stratification": Rule("split.stratify", "class shares close to those of all; the default here", stratified),
    "sample.overlap": kept("sample.overlap", share, "percent there, a fraction here"),
    "sample.sampling_method.min_annotated_percent": _MIN_ANNOTATED,
    "sample.min_annotated_percent": _MIN_ANNOTATED,
    "sample.sampling_method.class_proportion": _PROPORTION,
    "sample.mask_reference": Rule("bands.nodata_value", "pixels of 0 in all bands are ignored, not background", reference),
    "sample.target_ids": Rule("classes", "`source` of each class", target_ids),
    "training.pretrained": Rule("model.pretrained", "imagenet, for networks that had it", pretrained),
    "training.batch_size": kept("train.batch_size", whole, "the last, smaller batch is not dropped"),
    "training.num_trn_samples": limit("trn"),
    "training.num_val_samples": limit("val"),
    "training.num_tst_samples": limit("tst"),
    "training.eval_batch_size": dropped("validation counts each pixel once, whatever the batch"),
    "training.num_epochs": Rule("train.epochs, train.evaluations", "0: `swath evaluate`", epochs),
    "training.target_size": kept("train.crop", whole, "side of the random crop in training only"),
    "training.loss_fn": Rule("train.loss", "by its name, see the table of losses", loss),
    "training.optimizer": Rule("train.optimizer", "by its name, see the table of optimisers", optimiser),
    "training.learning_rate": kept("train.lr", number, "the largest rate"),
    "training.weight_decay": Rule("train.weight_decay", "not on norms and biases", decay),
    "training.step_size": _SCHEDULE,
    "training.gamma": _SCHEDULE,
    "training.dropout": _DROPOUT,
    "training.dropout_prob": _DROPOUT,
    "training.class_weights": Rule("train.class_weights", "by class name", class_weights),
    "training.batch_metrics": dropped("all metrics are computed at every evaluation, over all pixels"),
    "training.ignore_index": Rule("classes.ignore, classes.unlabelled", "a label value that never counts", ignore_index),
    "training.normalization.mean": _NORMAL,
    "training.normalization.std": _NORMAL,
    "training.augmentation.rotate_limit": _ROTATE,
    "training.augmentation.rotate_prob": _ROTATE,
    "training.augmentation.hflip_prob": kept("augment.hflip", number, "probability"),
    "training.augmentation.random_radiom_trim_range": Rule(None, "not yet in Swath: percentile stretch; see augment.contrast", trim),
    "training.augmentation.brightness_contrast_range": dropped("never worked there; see augment.brightness, augment.contrast"),
    "training.augmentation.noise": dropped("in raw values there; augment.noise is in scaled units: set it by hand"),
    "training.augmentation.geom_scale_range": Rule("augment.scale", "largest relative change; was broken there", geom_scale),
    "inference.img_dir_or_csv_file": Rule("swath predict", "named when predicting: `swath predict MODEL IMAGES --out DIR`"),
    "inference.working_folder": dropped("deprecated there too: `swath predict ... --out DIR`"),
    "inference.chunk_size": Rule("predict.tile", "the map does not depend on it", chunk),
    "inference.smooth_prediction": Rule("predict.blend", "blending acts here; there it changed nothing", smooth),
    "inference.overlap": Rule(None, "the margin is the network's own", inference_overlap),
    "inference.heatmaps": Rule("predict.save", "probabilities of every class", heatmaps),
    "visualization.colormap_file": Rule("classes", "names and colours, by value and not by rank"),
    **SOURCES,
    **GDL_LATER,
}  # fmt: skip
