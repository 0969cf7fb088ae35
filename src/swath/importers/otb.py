"""OTBTF: scripts of its applications or of its Python classes, and folders of TFRecords or patches-images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError
from swath.core.legend import palette
from swath.disk.formats import patches_images, tfrecords
from swath.importers.otb_keys import FUNCTIONS, OTB, further, plain
from swath.importers.otb_scenes import LABELS, VECTORS, add_scene, point_commands
from swath.importers.report import Draft, Rule, Table, few, fill, number, whole
from swath.importers.samples import take_samples
from swath.importers.scripts import Argument, python_arguments, script_text, shell_arguments


def import_otb(draft: Draft, out: Path, *, overwrite: bool) -> None:
    """Fills the draft from a shell or Python script, or from a folder of samples."""
    if draft.source.is_dir():
        known = (("tfrecords", tfrecords), ("patches-images", patches_images))
        kind = next((name for name, module in known if module.found(draft.source)), None)
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
    add_scene(draft)
    others = further(draft.old)
    where = lambda key: f"{draft.source} {key}"  # noqa: E731
    fill(draft, {**OTB, **_DATA, **others}, where, lambda key: key if key in others else plain(key))
    point_commands(draft)
    if python and "def normalize_inputs" in script_text(draft.source):
        draft.add("(normalize_inputs)", None, "the model's own scaling is not run: here it is fitted on the training pixels and "
                  "kept in the model (bands.method=standard)")  # fmt: skip
    if draft.classes:
        _always(draft)


def _keys(arguments: list[Argument]) -> dict[str, Any]:
    """`Application.parameter` -> value; a parameter of a second call has `#2`."""
    found: dict[str, Any] = {}
    for a in arguments:
        key = f"{a.program or 'script'}.{a.name}"
        times = sum(k.partition("#")[0] == key for k in found) + 1
        found[key if times == 1 else f"{key}#{times}"] = a.value
    return found


def _vector(app: str) -> Rule:
    def take(value: Any, draft: Draft) -> None:
        if draft.scenes and draft.scenes[0].get("labels"):
            draft.tell("scenes: labels")
        if app == "PatchesExtraction" and "points" in draft.config.get("sample", {}):
            draft.tell("sample.points")

    return Rule(OTB[f"{app}.vec"].became, OTB[f"{app}.vec"].note, take)


def _label(value: Any, draft: Draft) -> None:
    if draft.scenes and draft.scenes[0].get("labels"):
        draft.tell("scenes: labels")


def _field(value: Any, draft: Draft) -> None:
    if draft.scenes and draft.scenes[0].get("field"):
        draft.tell("scenes: field")
    elif draft.classes.get("field"):
        draft.tell("classes.field")


def _ignored(value: Any, draft: Draft) -> str | None:
    if number(value) < 0:
        return "no label value is negative: nothing is ignored by it"
    draft.set("classes.ignore", [whole(value)])
    return None


def _count(value: Any, draft: Draft) -> None:
    for n in range(1, few(value)):
        draft.classes.setdefault(n, {"name": f"class {n}", "color": palette(n + 1)[n]})
    draft.tell("classes")


_DATA: Table = {
    **{f"{app}.vec": _vector(app) for app in VECTORS},
    **{f"{app}.field": Rule(OTB[f"{app}.field"].became, OTB[f"{app}.field"].note, _field) for app in VECTORS},
    **{key: Rule(OTB[key].became, OTB[key].note, _label) for key in LABELS},
    "LabelImageSampleSelection.nodata": Rule("classes.ignore", "a label value that never counts", _ignored),
    "one_hot.nb_classes": Rule("classes", "with background: ids 0 to N-1", _count),
    "one_hot.depth": Rule("classes", "with background: ids 0 to N-1", _count),
}


def _always(draft: Draft) -> None:
    """What the tutorial's training did."""
    if draft.classes.get("unlabelled") == "ignore":
        draft.tell("classes.unlabelled")
        draft.add("(always) classes.unlabelled", "ignore", "only polygons and points were sampled: what lies beside them is no class")
    draft.imply("train.optimizer", "adam", "the tutorial's")
    draft.imply("train.lr", 0.0001, "the tutorial's")
    draft.imply("augment.preset", "none", "nothing was changed unless a preprocessing did it")
    draft.add("(model)", "FCNNModel", "not yet in Swath: this network; the default, unet, stands in")
