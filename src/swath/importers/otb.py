"""OTBTF: scripts of its applications or of its Python classes, and folders of TFRecords or patches-images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError
from swath.core.legend import palette
from swath.disk import vector
from swath.disk.formats import patches_images, tfrecords
from swath.importers.gdl_lists import classes_of_vectors
from swath.importers.later import POINTS, SOURCES
from swath.importers.otb_keys import FUNCTIONS, OTB, further_source, plain
from swath.importers.pairs import class_table, mask_values
from swath.importers.places import expected
from swath.importers.report import Draft, Rule, Table, dropped, fill, number, several, whole
from swath.importers.samples import take_samples
from swath.importers.scripts import Argument, python_arguments, shell_arguments

_IMAGES = ("PolygonClassStatistics.in", "DensePolygonClassStatistics.in", "SampleSelection.in", "PatchesSelection.in",
           "PatchesExtraction.source1.il")  # fmt: skip
_VECTORS = ("PolygonClassStatistics", "DensePolygonClassStatistics", "SampleSelection", "PatchesExtraction")
_LABELS = ("PatchesSelection.strategy.balanced.labelimage", "LabelImageSampleSelection.inref")


def import_otb(draft: Draft, out: Path, *, overwrite: bool) -> None:
    """Fills the draft from a shell or Python script, or from a folder of samples."""
    if draft.source.is_dir():
        kind = next(
            (k for k, f in (("tfrecords", tfrecords), ("patches-images", patches_images)) if f.found(draft.source)),
            None,
        )
        if kind is None:
            raise ConfigError("import-kind", draft.source, "holds no .records and no patches-images",
                              "name a folder with output_types.json, or with image and label rasters")  # fmt: skip
        take_samples(draft, draft.source, out, kind=kind, overwrite=overwrite)
        _always(draft)
        return
    python = draft.source.suffix == ".py"
    draft.old = _keys(python_arguments(draft.source, FUNCTIONS) if python else shell_arguments(draft.source))
    if not draft.old:
        raise ConfigError("import-kind", draft.source, "holds no application of OTB and no call of OTBTF",
                          "name a script with otbcli_..., CreateApplication, pyotb or otbtf")  # fmt: skip
    _scenes(draft)
    others = {k: dropped(SOURCES) for k in draft.old if further_source(k) and plain(k) in OTB}
    fill(
        draft, {**OTB, **_DATA, **others}, lambda key: f"{draft.source} {key}", lambda k: k if k in others else plain(k)
    )
    if draft.classes:
        _always(draft)


def _keys(arguments: list[Argument]) -> dict[str, Any]:
    """`Application.parameter` -> value; a parameter of a second call has `#2`. Sources after the first stay apart."""
    found: dict[str, Any] = {}
    for a in arguments:
        key = f"{a.program or 'script'}.{a.name}"
        number_ = sum(k.partition("#")[0] == key for k in found) + 1
        found[key if number_ == 1 else f"{key}#{number_}"] = a.value
    return found


def _scenes(draft: Draft) -> None:
    """The scene that the applications work on: image, polygons and field, or a label raster."""
    image = next((several(draft.old[k])[0] for k in _IMAGES if k in draft.old), None)
    if image is None:
        return
    scene: dict[str, Any] = {"image": expected(str(image).partition("?")[0], draft), "split": ""}
    raster = next((draft.old[k] for k in _LABELS if k in draft.old), None)
    app = next((a for a in _VECTORS if f"{a}.vec" in draft.old), None)
    if app is not None and not _points(expected(draft.old[f"{app}.vec"], draft)):
        scene["labels"] = expected(draft.old[f"{app}.vec"], draft)
        scene["field"] = draft.old.get(f"{app}.field")
        scene["layer"] = draft.old.get(f"{app}.layer")
        draft.scenes.append(scene)
        draft.classes.update(classes_of_vectors(draft))
    elif raster is not None:
        scene["labels"] = expected(str(raster).partition("?")[0], draft)
        draft.scenes.append(scene)
        if scene["labels"].exists():
            draft.classes.update(class_table(mask_values([scene["labels"]])))
    elif app is not None:
        draft.add(
            "(labels)", draft.old[f"{app}.vec"], f"{POINTS}: name the polygons the points came from, and import again"
        )


def _points(path: Path) -> bool:
    return path.exists() and "Point" in str(vector.vector_info(path).geometry)


def _label(value: Any, draft: Draft) -> str | None:
    if any(scene.get("labels") for scene in draft.scenes):
        draft.tell("scenes: labels")
        return None
    return POINTS


def _field(value: Any, draft: Draft) -> None:
    if any(scene.get("field") for scene in draft.scenes):
        draft.tell("scenes: field")


def _ignored(value: Any, draft: Draft) -> str | None:
    if number(value) < 0:
        return "no label value is negative: nothing is ignored by it"
    draft.set("classes.ignore", [whole(value)])
    return None


def _count(value: Any, draft: Draft) -> None:
    for n in range(1, whole(value)):
        draft.classes.setdefault(n, {"name": f"class {n}", "color": palette(n + 1)[n]})
    draft.tell("classes")


_DATA: Table = {
    **{f"{app}.vec": Rule("scenes: labels", OTB[f"{app}.vec"].note, _label) for app in _VECTORS},
    **{f"{app}.field": Rule("scenes: field", OTB[f"{app}.field"].note, _field) for app in _VECTORS},
    **{key: Rule("scenes: labels", OTB[key].note, _label) for key in _LABELS},
    "LabelImageSampleSelection.nodata": Rule("classes.ignore", "a label value that never counts", _ignored),
    "one_hot.nb_classes": Rule("classes", "with background: ids 0 to N-1", _count),
    "one_hot.depth": Rule("classes", "with background: ids 0 to N-1", _count),
}


def _always(draft: Draft) -> None:
    """What the tutorial's training did."""
    draft.imply("train.optimizer", "adam", "the tutorial's")
    draft.imply("train.lr", 0.0001, "the tutorial's")
    draft.imply("augment.preset", "none", "nothing was changed unless a preprocessing did it")
    draft.add("(model)", "FCNNModel", "not yet in Swath: this network; the default, unet, stands in")
