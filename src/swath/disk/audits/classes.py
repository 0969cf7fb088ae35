"""Findings on classes and splits: which label pixels each split has, classes that are rare, bands that tell the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError, QualityError
from swath.core.legend import Legend
from swath.core.splits import SPLITS, Region, Split
from swath.core.telltale import tells
from swath.disk.audits.audit import Finding, from_error, merged, share, shown
from swath.disk.audits.pairs import LabelAudit
from swath.disk.projects.label_pixels import label_pixels
from swath.disk.projects.project import Project
from swath.disk.samples.leakage import leakage
from swath.disk.scenes.manifest import Scene
from swath.disk.sources.probe import BandFacts, Probe
from swath.disk.sources.stack import Image
from swath.disk.vectors import vector

RARE, SPARSE = 0.005, 0.02  # shares of labelled pixels below which a class, or the labels of an image, are told of
MOST_TOLD = 3  # classes that are told of one by one
BUFFERED = 0.2  # of the labelled pixels, from which on what buffers cost is told of
CARVED_PIXELS = 30_000_000  # of training scenes, up to which validation blocks are laid out here already
Regions = list[Sequence[Region]]


def lay_out(project: Project, declared: set[str]) -> tuple[Regions, list[Finding]]:
    """Per scene, the label pixels of each split; as the manifest has them where carving some out would take long.

    `declared` are the splits of all rows, also of those that cannot be used.
    """
    spec, scenes = project.config.split, project.scenes
    plain: Regions = [(Region(s.split or "trn"),) if s.labels else () for s in scenes]
    usable = {s.split or "trn" for s in scenes if s.labels}
    shares: dict[Split, float] = {"val": spec.val, "tst": spec.tst}
    missing = [s for s, part in shares.items() if part and s not in declared]
    if not usable or declared - usable:
        return plain, []
    wanted = " and ".join(f"{100 * shares[s]:g} % for {s}" for s in missing)
    told = f"no row has split={' or '.join(missing)}: of the labelled training pixels {wanted}"
    open_pixels = sum(
        i.grid.height * i.grid.width
        for s, i in zip(scenes, project.infos, strict=True)
        if s.labels and s.split in (None, "trn")
    )
    if missing and open_pixels > CARVED_PIXELS:
        return plain, [Finding("note", "split-carved", project.path, f"{told} will be held out by `sample`")]
    try:
        regions: Regions = list(project.regions)
    except (DataError, QualityError) as e:
        return plain, [from_error(e, project.path)]
    if not missing or (project.points is not None and project.points.own_splits):
        return regions, []
    boxes = sum(len(r.inside) for parts in regions for r in parts if r.inside and r.split in missing)
    why = {key: f"{value} ({because})" for key, value, because in project.reasons}
    found = [Finding("note", "split-carved", project.path, f"{told} are held out in {boxes} windows, by "
                     + why.get("split.by", spec.by), "give rows a split to decide it yourself")]  # fmt: skip
    if project.buffered > BUFFERED:
        found.append(Finding("warning", "split-buffer", project.path, f"{100 * project.buffered:.2g} % of the labelled pixels lie within "
                             f"split.buffer={spec.buffer} of held-out blocks and train nothing",
                             "a smaller split.buffer, a larger split.block, or rows of the manifest with split=val"))  # fmt: skip
    return regions, found


def shared_pixels(project: Project) -> tuple[dict[str, Any] | None, list[Finding]]:
    """What the splits share, where they are laid out on a grid, and what there is to say of it; else None."""
    if "regions" not in vars(project) or project.points is not None:
        return None, []
    shared, found = leakage(project), []
    if shared["groups"]:
        found.append(Finding("warning", "split-group", project.path, f"groups of the manifest stand in several splits: {shown(shared['groups'])}",
                             "give all rows of a group one split"))  # fmt: skip
    if shared["context_pixels"]:
        found.append(Finding("note", "split-context", project.path, f"{shared['context_pixels']:,} pixels around labels are seen by samples "
                             "of two splits; no label is shared by that"))  # fmt: skip
    return shared, found


def count_classes(project: Project, regions: Regions, labels: LabelAudit) -> tuple[dict[str, Any], bool, list[Finding]]:
    """{split: {class: {pixels, share, area_m2}}}, whether all are exact, and what they say."""
    legend, exact, findings, sparse = project.legend, True, [], []
    sums: dict[str, NDArray[np.float64]] = {}
    for s, info, parts in zip(project.scenes, project.infos, regions, strict=True):
        if not parts:
            continue
        try:
            counts, whole = labels.count(s, info, parts)
        except DataError as e:
            findings.append(from_error(e, s.labels or s.place))
            continue
        exact &= whole
        for split, found in counts.items():
            mine = sums.setdefault(split, np.zeros((len(legend), 2)))
            for index, amounts in found.items():
                mine[index] += amounts
        sparse += _sparse(s, counts, legend)
    findings += merged(sparse, len(project.scenes), "scenes")
    pixels = {str(s): {n: int(sums[s][k, 0]) for k, n in enumerate(legend.names)} for s in SPLITS if s in sums}
    if pixels:
        findings += [*class_findings(pixels, legend, project.path), *_amounts(project, pixels)]
    return {s: {n: _row(sums[s], k) for k, n in enumerate(legend.names)} for s in pixels}, exact, findings


def _row(sums: NDArray[np.float64], k: int) -> dict[str, Any]:
    pixels, area = sums[k].tolist()
    total = float(sums[:, 0].sum())
    return {
        "pixels": int(pixels),
        "share": pixels / total if total else None,
        "area_m2": area if np.isfinite(area) else None,
    }


def _amounts(project: Project, pixels: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    totals = {s: sum(t.values()) for s, t in pixels.items()}
    there = [name for name, n in pixels.get("trn", {}).items() if n]
    if len(there) == 1:
        yield Finding("error", "classes-one", project.path, f"every training pixel is {there[0]}: there is nothing to learn",
                      "check the label files and the source values of the classes")  # fmt: skip
    for split, total in totals.items():
        if total == 0:
            yield Finding("warning" if split == "tst" else "error", "split-empty", project.path, f"no pixel is labelled in {split}",
                          "move scenes with labels into it", split)  # fmt: skip
    if 0 < totals.get("trn", 0) < 4 * project.crop**2:
        yield Finding("warning", "samples-few", project.path, f"{totals['trn']:,} training pixels are fewer than four crops of {project.crop} x "
                      f"{project.crop}", "label more, or set a smaller train.crop")  # fmt: skip


def _sparse(scene: Scene, counts: Any, legend: Legend) -> list[Finding]:
    """A finding where polygons cover little of an image of which the rest counts as background."""
    if scene.labels is None or scene.labels.suffix.lower() not in vector.SUFFIXES or legend.fill == legend.ignore:
        return []
    total = sum(n for t in counts.values() for n, _ in t.values())
    covered = sum(n for t in counts.values() for k, (n, _) in t.items() if k != legend.fill)
    if covered == 0 or covered >= SPARSE * total:
        return []
    return [Finding("warning" if len(legend) > 2 else "note", "labels-sparse", scene.place, f"polygons of {scene.labels.name} cover "
                    f"{share(covered, total)} of it, the rest counts as background",
                    "if it is only not labelled: classes.unlabelled=ignore")]  # fmt: skip


def band_labels(project: Project, regions: Regions, probes: Mapping[Image, Probe]) -> list[Finding]:
    """Bands that tell the label alone, on pixels spread over the training scenes."""
    first = next((i for i, parts in enumerate(regions) if any(r.split == "trn" for r in parts)), None)
    if first is None:
        return []
    facts = probes[project.scenes[first].image].bands
    try:
        values, indices = label_pixels(project, regions, [b.number for b in facts])
    except DataError as e:
        return [from_error(e, project.scenes[first].labels or project.path)]
    return list(band_label_findings(values, indices, facts, project.legend, project.path))


def class_findings(pixels: Mapping[str, Mapping[str, int]], legend: Legend, path: Path) -> Iterator[Finding]:
    """Classes that are missing or rare, from the labelled pixels {split: {name: pixels}} of all scenes; many in one line."""
    total = sum(pixels.get("trn", {}).values())
    seen = [n for n in legend.names if any(t.get(n, 0) for t in pixels.values())]
    yield from _of_classes("class-never", path, {n: "" for n in legend.names if n not in seen},
                           "never occurs in the labels", "never occur in the labels", "correct its source values, or delete it")  # fmt: skip
    for split, why in (("trn", "it cannot be learnt"), ("val", "its score there is empty")):
        table = pixels.get(split, {})
        lost = {n: split for n in seen if not table.get(n, 0)} if sum(table.values()) else {}
        yield from _of_classes("class-absent", path, lost, f"does not occur in {split}: {why}", f"do not occur in {split}",
                               "move a scene that has it")  # fmt: skip
    rare = {n: "" for n in seen if 0 < pixels.get("trn", {}).get(n, 0) < RARE * total}
    shares = {n: share(pixels["trn"][n], total) for n in rare}
    yield from _of_classes("class-rare", path, rare, "has {share} of the training pixels",
                           f"have less than {share(RARE)} of the training pixels each",
                           "train.class_weights=auto, train.sampler=class_presence, or train.loss={ce: 1, dice: 1}", shares)  # fmt: skip


def _of_classes(
    code: str, path: Path, names: Mapping[str, str], one: str, many: str, remedy: str, shares: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """A warning of each class {name: place}, or a single one where they are many."""
    if len(names) > MOST_TOLD:
        yield Finding("warning", code, path, f"{len(names)} classes {many}: {shown(names)}", remedy)
        return
    for name, place in names.items():
        said = one.format(share=(shares or {}).get(name))
        yield Finding("warning", code, path, f"class {name} {said}", remedy, f"{name} {place}".strip())


def band_label_findings(
    values: NDArray[Any], indices: NDArray[Any], facts: Sequence[BandFacts], legend: Legend, path: Path
) -> Iterator[Finding]:
    """Bands (C, n) that tell the class indices (n,) without any learning."""
    for b, told in zip(facts, tells(values, indices, len(legend)), strict=False):
        if told.verdict == "is":
            yield Finding("warning", "band-is-label", path, f"predicts the label almost alone (correlation {told.correlation:.3f}, "
                          f"kappa {told.kappa:.3f})",
                          "if it was made from the labels, leave it out with bands.select", f"band {b.number}")  # fmt: skip
        if told.verdict == "follows":
            yield Finding("warning", "band-follows-label", path, f"is {told.usual:g} in {share(told.usual_share)} of the pixels, and "
                          f"{share(told.other_share)} of the others are {legend.names[told.index]}: it looks made from maps of that "
                          "class, not measured", "leave it out with bands.select for honest scores", f"band {b.number}")  # fmt: skip
