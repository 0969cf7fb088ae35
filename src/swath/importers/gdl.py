"""geo-deep-learning (legacy configs): its yaml, CSV, colour map, or a folder of samples -> a config and a manifest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError
from swath.core.legend import palette
from swath.disk.formats import hdf5
from swath.importers.gdl_keys import GDL
from swath.importers.gdl_lists import add_colormap, add_scenes, classes_of_vectors, is_colormap, read_colormap
from swath.importers.gdl_sources import has_sources
from swath.importers.places import expected, located
from swath.importers.report import Draft, Rule, Table, fill, leaves, reading
from swath.importers.samples import take_samples
from swath.yamltext import load_yaml


def import_gdl(draft: Draft, out: Path, *, overwrite: bool) -> None:
    """Fills the draft from a yaml, a CSV of images, a colour map, or a folder with `trn_samples.hdf5`."""
    if draft.source.is_dir():
        _from_samples(draft, out, overwrite=overwrite)
    elif draft.source.suffix.lower() in (".yaml", ".yml"):
        marked = load_yaml(draft.source, twice=True)
        if not isinstance(marked.value, dict):
            raise ConfigError("import-kind", draft.source, "holds no sections", "name geo-deep-learning's yaml")
        twice = {".".join(str(k) for k in key) for key in marked.twice or ()}
        _from_keys(draft, marked.value, lambda key: marked.where(tuple(key.split("."))))
        for key in sorted(twice):
            draft.add(f"(twice) {key}", None, "stands twice; the last one counts, as in the old program")
    elif draft.source.suffix.lower() == ".csv":
        import_csv(draft, out, overwrite=overwrite)
    else:
        raise ConfigError(
            "import-kind", draft.source, "is no yaml, csv or folder of samples", "see `swath import --help`"
        )


def import_csv(draft: Draft, out: Path, *, overwrite: bool) -> None:
    """Fills the draft from a CSV: five columns without a heading, or a colour map of three with one."""
    if is_colormap(draft.source):
        add_colormap(draft, draft.source)
        draft.tell("classes")
        draft.add("csv", f"{len(draft.classes)} classes", "names and colours, by value; list your scenes in scenes.csv")
        return
    add_scenes(draft, draft.source)
    draft.classes.update(classes_of_vectors(draft))
    draft.tell("classes")
    draft.add("(classes)", None, "the values found in the attribute; names are made up")
    _always(draft)


def _from_keys(draft: Draft, document: dict[Any, Any], where: Any) -> None:
    draft.old = dict(leaves(document, GDL))
    if not any(key in GDL for key in draft.old):
        raise ConfigError("import-kind", draft.source, "holds no key of geo-deep-learning", "name its yaml, with a section global")
    _classes(draft)
    _inputs(draft)
    fill(draft, {**GDL, **_FILES}, where)
    _always(draft)


def _inputs(draft: Draft) -> None:
    """The list of scenes, which metadata planes look into, and the place of the image before all other sources."""
    path = _list(draft)
    if path is not None:
        add_scenes(draft, path, quiet=True)
    if has_sources(draft):
        draft.config["sources"] = {"image": {}}


def _list(draft: Draft) -> Path | None:
    value = draft.get("sample.prep_csv_file")
    return located(value, draft) or located(str(value).replace(".data/", "data/", 1), draft) if value else None


def _classes(draft: Draft) -> None:
    """The class table, before any key is taken: weights and floors are by class name."""
    count = draft.count("global.num_classes", 1)
    if count is None:
        return
    ids = range(1, count + 1)
    colours = palette(len(ids) + 1)
    targets = draft.get("sample.target_ids")
    for n in ids:
        draft.classes[n] = {"name": f"class {n}", "color": colours[n]}
        if isinstance(targets, list) and n <= len(targets):
            draft.classes[n]["source"] = [targets[n - 1]]
    if str(draft.get("training.ignore_index")) == "0" and len(ids) > 1:
        draft.classes["unlabelled"] = "ignore"
    path = draft.get("visualization.colormap_file")
    found = located(path, draft) if path else None
    if found:
        add_colormap(draft, found, only=set(ids))


def _scenes(value: Any, draft: Draft) -> str:
    if not draft.scenes:
        expected(value, draft)
        return f"{value} is not there: list your scenes in scenes.csv"
    draft.tell("scenes")
    splits = [str(row.get("split")) for row in draft.scenes]
    return f"{len(splits)} rows: " + ", ".join(f"{splits.count(s)} {s}" for s in dict.fromkeys(splits))


def _colormap(value: Any, draft: Draft) -> str:
    path = expected(value, draft)
    if not path.exists():
        return f"{value} is not there: names and colours are made up"
    draft.tell("classes")
    spare = sorted(set(read_colormap(path)) - {k for k in draft.classes if isinstance(k, int)})
    more = f"; no class {', '.join(map(str, spare))}: left out" if spare else ""
    return f"names and colours, by value (the old program took them by rank){more}"


def _inference(value: Any, draft: Draft) -> str:
    draft.tell("swath predict")
    path = located(value, draft)
    if path is None or path.suffix.lower() != ".csv":
        draft.commands.append(f"swath predict MODEL {shlex.quote(str(value))} --out maps")
        return "a folder or list of images: named when predicting"
    other = Draft(path, draft.root, draft.old)
    add_scenes(other, path, quiet=True)
    images = shlex.join(str(row["image"]) for row in other.scenes)
    far = " runtime.remote=true" if draft.old.get("global.bucket_name") else ""
    draft.commands.append(f"swath predict MODEL {images} --out maps{far}")
    return f"{len(other.scenes)} images of every split, as the source did (the text: those of tst); see `commands`"


_FILES: Table = {
    "sample.prep_csv_file": Rule("scenes", "", _scenes),
    "visualization.colormap_file": Rule("classes", "", _colormap),
    "inference.img_dir_or_csv_file": Rule("swath predict", "", _inference),
}


def _always(draft: Draft) -> None:
    """What the old program did without being asked."""
    draft.imply("labels.extent", "labels", "every image was clipped to the box of its labels")
    draft.imply("sample.edge", "pad", "tiles at the right and bottom edge were padded; padding never counts")
    if draft.old:
        draft.imply("augment.preset", "none", "nothing was changed unless a key said so")
        draft.imply("train.optimizer", "adam", "the default there")
        draft.imply("train.weight_decay", 0, "the default there")
        draft.imply("train.monitor", "loss", "the checkpoint with the lowest validation loss was kept")
        draft.imply("train.schedule", {"name": "constant"}, "without a schedule the rate was constant")


def _from_samples(draft: Draft, out: Path, *, overwrite: bool) -> None:
    if not hdf5.found(draft.source):
        raise DataError("import-kind", draft.source, "holds no trn_samples.hdf5, val_samples.hdf5 or tst_samples.hdf5",
                        "name the folder that images_to_samples.py made")  # fmt: skip
    params = hdf5.old_config(draft.source)
    if isinstance(params.get("global"), dict):
        lists = {"sample.prep_csv_file", "inference.img_dir_or_csv_file"}
        draft.old = dict(leaves(params, GDL))
        _classes(draft)
        table = {**GDL, "visualization.colormap_file": _FILES["visualization.colormap_file"]}
        fill(draft, {k: (Rule(None, "the samples stand in for the list") if k in lists else r) for k, r in table.items()},
             lambda key: f"{draft.source} params {key}")  # fmt: skip
        _always(draft)
    draft.add("(folder)", draft.source.name,
              reading(draft.source.name, "named after size, overlap, least annotated share and bands, with a time where it exists",
                      "adds the name of the mlflow experiment, and moves the old folder", "any name: its files count"))  # fmt: skip
    take_samples(draft, draft.source, out, kind="hdf5", overwrite=overwrite)
