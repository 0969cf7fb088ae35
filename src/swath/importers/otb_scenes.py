"""The scene that OTBTF's applications work on (image, further sources, labels, points), and the commands for points."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from swath.disk.formats.tiff import LABEL_WORD
from swath.disk.vectors import vector
from swath.disk.vectors.points import holds_points
from swath.importers.gdl_lists import classes_of_vectors
from swath.importers.pairs import class_table, mask_values
from swath.importers.places import expected, located
from swath.importers.report import Draft, flag, number, several

IMAGES = ("PolygonClassStatistics.in", "DensePolygonClassStatistics.in", "SampleSelection.in", "PatchesSelection.in",
          "PatchesExtraction.source1.il")  # fmt: skip
VECTORS = ("PolygonClassStatistics", "DensePolygonClassStatistics", "SampleSelection", "PatchesExtraction")
LABELS = ("PatchesSelection.strategy.balanced.labelimage", "LabelImageSampleSelection.inref")
_FURTHER = re.compile(r"^PatchesExtraction\.(source(?!1\.)\d+)\.il$")


def add_scene(draft: Draft) -> None:
    """Adds the scene, and the classes of its labels or points; nothing where no application names an image."""
    image = next((draft.old[k] for k in IMAGES if k in draft.old), None)
    if image is None:
        return
    scene: dict[str, Any] = {"image": _files(image, draft), "split": ""}
    labels = _label_raster(draft)
    for name, files in further_sources(draft).items():
        draft.config.setdefault("sources", {"image": {}})[name] = {}
        scene[name] = _files(files, draft)
    app = _polygons(draft)
    points = _points_file(draft)
    if app is not None:
        scene |= {"labels": expected(draft.old[f"{app}.vec"], draft), "field": draft.get(f"{app}.field"),
                  "layer": draft.get(f"{app}.layer")}  # fmt: skip
    elif labels is not None:
        scene["labels"] = expected(_plain_name(labels), draft)
    elif points is None:
        return
    draft.scenes.append(scene)
    if points is not None:
        draft.config.setdefault("sample", {})["points"] = points
        draft.classes["field"] = draft.get("PatchesExtraction.field") or "class"
    _classes(draft, scene, points)


def further_sources(draft: Draft) -> dict[str, Any]:
    """Source name -> its rasters, of the patches beside the first source and the labels."""
    found = {m[1]: v for k, v in draft.old.items() if (m := _FURTHER.match(k))}
    labels = _label_raster(draft)
    return {name: v for name, v in found.items() if v != labels}


def point_commands(draft: Draft) -> None:
    """Adds `swath points` for the applications that placed points."""
    old = {k: v for k, v in draft.old.items() if "#" not in k}
    if "PatchesSelection.in" in old:
        draft.commands.append(_grid_points({k.removeprefix("PatchesSelection."): v for k, v in old.items()}))
    for app, image, labels in (("SampleSelection", "in", "vec"), ("LabelImageSampleSelection", "inref", None)):
        if f"{app}.{image}" in old:
            words = ["swath", "points", str(old[f"{app}.{image}"])]
            words += ["--labels", str(old[f"{app}.{labels}"])] if labels and f"{app}.{labels}" in old else []
            words += ["--field", str(several(old[f"{app}.field"])[0])] if f"{app}.field" in old else []
            words += ["--mask", str(old[f"{app}.mask"])] if f"{app}.mask" in old else []
            draft.commands.append(shlex.join([*words, *_strategy(app, old, draft), "--out", "points.gpkg"]))


def _strategy(app: str, old: dict[str, Any], draft: Draft) -> list[str]:
    name = str(old.get(f"{app}.strategy", "constant" if app.startswith("Label") else "smallest"))
    keys = {"constant": "nb", "total": "v", "percent": "p"}
    amount = old.get(f"{app}.strategy.{name}.{keys.get(name, '')}", 1000 if app.startswith("Label") else None)
    words = ["--strategy", name] + (["--number", str(amount)] if name in keys and amount is not None else [])
    words += ["--counts", *_counts(old.get(f"{app}.strategy.byclass.in"), draft)] if name == "byclass" else []
    jitter = old.get(f"{app}.sampler.periodic.jitter")
    if str(old.get(f"{app}.sampler")) == "random":
        words += ["--sampler", "random"]
    elif jitter is not None and number(jitter) > 0:
        words += ["--jitter", f"{min(number(jitter), 1):g}"]
    return words + (["--seed", str(old[f"{app}.rand"])] if f"{app}.rand" in old else [])


def _counts(value: Any, draft: Draft) -> list[str]:
    """`class:points` of the file that an application read them from; a blank to be filled in where it is not there."""
    path = located(value, draft) if value is not None else None
    if path is None or not path.is_file():
        return ["CLASS:POINTS"]
    rows = [re.split(r"[,;\s]+", line.strip()) for line in path.read_text("utf-8", "replace").splitlines()]
    found = [f"{row[0]}:{row[1]}" for row in rows if len(row) > 1 and row[0].isdecimal() and row[1].isdecimal()]
    return found or ["CLASS:POINTS"]


def _grid_points(old: dict[str, Any]) -> str:
    """The command for PatchesSelection."""
    strategy = str(old.get("strategy", "chessboard"))
    words = ["swath", "points", str(old["in"]), "--strategy", "balanced" if strategy == "balanced" else "grid"]
    for key, option in (("grid.psize", "--patch"), ("grid.step", "--step")):
        words += [option, str(old[key])] if key in old else []
    if "grid.offsetx" in old or "grid.offsety" in old:
        words += ["--offset", str(old.get("grid.offsety", 0)), str(old.get("grid.offsetx", 0))]
    words += ["--mask", str(old["mask"])] if "mask" in old else []
    words += ["--nodata", str(old["nodata"])] if "nodata" in old else []
    if strategy == "balanced" and "strategy.balanced.labelimage" in old:
        words += ["--labels", str(old["strategy.balanced.labelimage"])]
    if strategy == "balanced" and "strategy.balanced.sp" in old:
        words += ["--seed-share", str(old["strategy.balanced.sp"])]
    words += ["--split", {"all": "none", "split": "proportions"}.get(strategy, "chessboard")]
    if strategy == "split":
        parts = [old.get(f"strategy.split.{p}prop", n) for p, n in (("train", 50), ("valid", 25), ("test", 25))]
        words += ["--shares", *map(str, parts)]
        words += ["--order", "random"] if flag(old.get("strategy.split.random", False)) else []
    return shlex.join([*words, "--out", "points.gpkg"])


def _files(value: Any, draft: Draft) -> Any:
    """The raster of a source, or its list: rasters of equal size whose bands are stacked."""
    files = [expected(_plain_name(v), draft) for v in several(value)]
    return files[0] if len(files) == 1 else files


def _plain_name(text: Any) -> str:
    """A file name without OTB's extended part."""
    return str(several(text)[0]).partition("?")[0]


def _label_raster(draft: Draft) -> Any:
    """The label raster: named as one by an application, or a further source that is called labels."""
    sources = [v for k, v in draft.old.items() if _FURTHER.match(k) and LABEL_WORD.search(Path(_plain_name(v)).stem)]
    return next((draft.old[k] for k in LABELS if k in draft.old), sources[0] if sources else None)


def _polygons(draft: Draft) -> str | None:
    """The first application whose vectors are no points."""
    for app in VECTORS:
        path = located(draft.get(f"{app}.vec", ""), draft) if f"{app}.vec" in draft.old else None
        if f"{app}.vec" in draft.old and (app != "PatchesExtraction" if path is None else not _are_points(path)):
            return app
    return None


def _points_file(draft: Draft) -> Path | None:
    if "PatchesExtraction.vec" not in draft.old:
        return None
    path = located(draft.old["PatchesExtraction.vec"], draft)
    if path is None and _polygons(draft) is None:
        return expected(draft.old["PatchesExtraction.vec"], draft)
    return path if path is not None and _are_points(path) else None


def _are_points(path: Path) -> bool:
    """True for a vector file of points."""
    return path.is_file() and path.suffix.lower() in vector.SUFFIXES and holds_points(path)


def _classes(draft: Draft, scene: dict[str, Any], points: Path | None) -> None:
    labels = scene.get("labels")
    if labels is not None and labels.suffix.lower() not in vector.SUFFIXES:
        draft.classes.update(class_table(mask_values([labels])) if labels.exists() else {1: {"name": "class 1"}})
        return
    probe = Draft(draft.source, scenes=[scene])
    if labels is None and points is not None:
        probe.scenes = [{"labels": points, "field": draft.classes["field"]}]
    found = classes_of_vectors(probe)
    zero: dict[int, dict[str, Any]] = {0: {"name": "class 0", "color": "#000000"}}
    found |= zero if _has_zero(probe.scenes[0]) else {}
    draft.classes.update(dict(sorted(found.items())))
    if len(found) > 1:  # beside polygons and points nothing was ever sampled
        draft.classes["unlabelled"] = "ignore"


def _has_zero(scene: dict[str, Any]) -> bool:
    """True where the field of a scene's vectors holds a class 0."""
    path, field = scene.get("labels"), scene.get("field")
    if not field or not isinstance(path, Path) or not path.exists():
        return False
    values = vector.read_features(path, field=str(field)).values
    return values is not None and any(str(v).strip() in ("0", "0.0") for v in values.tolist())
