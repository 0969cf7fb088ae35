"""The result of `swath check` is an audit of all scenes and labels: every finding at once, errors, warnings and notes.

An error means that Swath cannot make the result right; a trap that it handles is a warning that says what was done.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.config import Config, load_config
from swath.core.errors import ConfigError, DataError
from swath.core.splits import Region
from swath.disk.audits.audit import LEVELS, Finding, from_error, merged, raster_findings, share
from swath.disk.audits.classes import band_labels, count_classes, lay_out, shared_pixels
from swath.disk.audits.faults import Fault, publish_faults
from swath.disk.audits.labels import LayerAudit, crs_findings, placement
from swath.disk.audits.pairs import LabelAudit, pair_findings, raster_input, unreadable_input, vector_input
from swath.disk.audits.points import place_findings
from swath.disk.audits.scenes import Member, image_findings, leak_findings
from swath.disk.projects.opened import points_path, select_bands
from swath.disk.projects.project import Project, with_points
from swath.disk.rasters.geotiff import require_free
from swath.disk.rasters.raster import RasterInfo
from swath.disk.remote.access import is_remote, location, remote_access
from swath.disk.scenes.inputs import Inputs
from swath.disk.scenes.manifest import Scene, manifest_rows, survey
from swath.disk.scenes.sources import with_sources
from swath.disk.sources.images import image_info
from swath.disk.sources.probe import Probe, probe
from swath.disk.sources.stack import Image, Stack
from swath.disk.vectors import vector
from swath.messages import table
from swath.specs import BandsSpec, LabelsSpec

_SAMPLE_VALUES = 4_000_000  # kept of all images together
MOST_ROWS = 12  # of the table of inputs


@dataclass
class Audit:
    """What was looked at so far: images with their probes, labels, findings."""

    labels: LabelAudit
    bands: BandsSpec
    found: list[Finding] = field(default_factory=list)
    inputs: dict[Image, dict[str, Any]] = field(default_factory=dict)
    infos: dict[Image, RasterInfo] = field(default_factory=dict)
    probes: dict[Image, Probe] = field(default_factory=dict)
    loose: list[Fault] = field(default_factory=list)

    def open(self, images: Iterable[Image]) -> None:
        """Reads the headers of images; what cannot be read becomes a finding."""
        for path in dict.fromkeys(images):
            try:
                self.infos[path] = image_info(path)
                self.inputs[path] = raster_input(self.infos[path], "image")
                if isinstance(path, Stack):
                    self.stack(path)
            except DataError as e:
                self.fail(e, path)

    def stack(self, image: Stack) -> None:
        """Tells which files an image is made of, and what of a STAC item is not at hand."""
        self.inputs[image]["files"] = [str(f.absolute()) for f in image.files]
        if image.left_out:
            self.found.append(Finding("note", "stac-assets-absent", image.main, f"its assets {', '.join(image.left_out)} are not "
                                      "beside the item: they are left out", "copy them: swath fetch"))  # fmt: skip

    def probe(self, wanted: Sequence[int] | None) -> None:
        """Looks into every opened image: at the `wanted` bands where it has them, else at all."""
        most = max((i.count for i in self.infos.values()), default=1)
        keep = max(64, min(4096, _SAMPLE_VALUES // (most * max(1, len(self.infos)))))
        for path, info in list(self.infos.items()):
            chosen = wanted if wanted and max(wanted) <= info.count else None
            try:
                seen = probe(path, chosen, self.bands.nodata, self.bands.nodata_value, keep=keep)
            except DataError as e:
                self.fail(e, path)
                continue
            self.probes[path] = seen
            self.inputs[path]["ranges"] = {b.name: b.range() for b in seen.bands}

    def fail(self, error: DataError, path: Image) -> None:
        """Makes an error of a file a finding."""
        self.infos.pop(path, None)
        place = path.main if isinstance(path, Stack) else path
        self.found.append(from_error(error, place))
        self.inputs[path] = unreadable_input(place, "image")

    def result(self, **more: Any) -> dict[str, Any]:
        """The object that `check` prints."""
        listed = [*self.found, *self.labels.findings()]
        ordered = sorted(dict.fromkeys(listed), key=lambda f: LEVELS.index(f.level))
        inputs = {str(k): v for k, v in (*self.inputs.items(), *self.labels.inputs.items())}
        return {
            "ok": not any(f.level == "error" for f in ordered),
            "findings": [f.as_dict() for f in ordered],
            "inputs": list(inputs.values()),
            **more,
        }


def check_project(
    path: str | Path, overrides: Sequence[str] = (), *, faults: str | Path | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """The audit of a config: `ok`, `findings` [{level, code, where, message, fix, files}], `inputs`, `classes` per split.

    `faults` names a GeoPackage for the features that something is wrong with. Everything about the content of files is
    a finding; only problems in the config's own text raise (ConfigError), and a file in the way (ResourceError).
    """
    path = Path(path).absolute()
    if faults is not None:
        require_free([Path(faults)], [], overwrite=overwrite)
    config = load_config(path, overrides)
    legend = config.legend()
    audit = Audit(LabelAudit(legend, config.labels), config.bands)
    with remote_access(config.runtime.remote):
        scenes = with_points(_scenes(config, path, audit), points_path(config, path))
    audit.open(s.image for s in scenes if s.image.exists())
    wanted = _wanted(config, scenes, audit)
    audit.probe(wanted)
    audit.found += raster_findings(list(audit.probes.values()), config.bands, _stride(config))
    sound = _label_scenes(scenes, audit)
    project = Project(path, config, legend, tuple(sound))
    _ = project.stride if sound else None  # a wrong overlap is a problem of the config
    regions, carved = lay_out(project, {s.split or "trn" for s in scenes if s.labels})
    classes, exact, told = count_classes(project, regions, audit.labels)
    shared, shared_told = shared_pixels(project)
    audit.found += [*carved, *told, *shared_told, *place_findings(project)]
    audit.found += _between(scenes, audit, {s.name: r for s, r in zip(sound, regions, strict=True)})
    audit.found += band_labels(project, regions, audit.probes)
    return audit.result(classes=classes, classes_exact=exact, leakage=shared, **_publish_faults(audit, faults))


def check_files(
    files: Sequence[str | Path], *, faults: str | Path | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """The audit of rasters and vectors, of folders and globs of them, and of manifests with their labels."""
    if faults is not None:
        require_free([Path(faults)], [], overwrite=overwrite)
    audit = Audit(LabelAudit(None, LabelsSpec()), BandsSpec())
    given = Inputs()
    for item in files:
        place = location(item)
        try:
            given.add(place)
        except DataError as e:
            audit.fail(e, place)
    audit.found += [from_error(p, _place(p.where)) for p in given.problems]
    audit.open([*(s.image for s in given.scenes if s.image.exists()), *given.rasters])
    audit.probe(None)
    audit.found += raster_findings(list(audit.probes.values()), BandsSpec())
    _label_scenes(given.scenes, audit)
    for path in dict.fromkeys(given.vectors):
        try:
            audit.found += _loose_vector(path, audit)
        except DataError as e:
            audit.fail(e, path)
    audit.found += _between([*given.scenes, *(Scene(p.stem, p) for p in given.rasters)], audit, {})
    return audit.result(**_publish_faults(audit, faults))


def _publish_faults(audit: Audit, target: str | Path | None) -> dict[str, Any]:
    """The file of faulty features where one is wanted, and their number."""
    if target is None:
        return {}
    found = [*audit.labels.faults, *audit.loose]
    return {"faults": str(publish_faults(Path(target).absolute(), found)), "faulty_features": len(found)}


def _scenes(config: Config, path: Path, audit: Audit) -> tuple[Scene, ...]:
    """The scenes of the config, as far as its rows can be read; their problems become findings."""
    if not config.scenes:
        raise ConfigError(
            "scenes-empty", path, "`scenes` lists nothing", "name a manifest or rows with image and labels"
        )
    try:
        if isinstance(config.scenes, str):
            manifest = location(config.scenes, path.parent)
            scenes, problems = survey(manifest_rows(manifest), manifest.parent)
        else:
            scenes, problems = survey(
                ((f"{path} scene {i}", row) for i, row in enumerate(config.scenes, 1)), path.parent
            )
    except DataError as e:
        scenes, problems = (), [e]
    audit.found += [from_error(p, _place(p.where) if p.code == "file-missing" else path) for p in problems]
    for p in problems:
        if p.code == "file-missing":
            audit.inputs[_place(p.where)] = unreadable_input(_place(p.where), "scene")
    if not scenes and not problems:
        audit.found.append(
            Finding("error", "manifest-empty", path, "the manifest lists no scene", "add a row with image and labels")
        )
    found = []
    for scene in scenes:
        try:
            found.append(with_sources(scene, config.inputs(), (path.parent,)))
        except DataError as e:
            audit.found.append(from_error(e, scene.place))
    return tuple(found)


def _place(where: str) -> Path:
    """The place that an error names."""
    return location(where) if is_remote(where) else Path(where)


def _stride(config: Config) -> int:
    """The multiple of pixels that the network works on: known for our own, 32 for encoders that others made."""
    if config.model.name == "unet":
        return 2 ** (config.model.depth or 4)
    return 32 if config.model.name.startswith("smp-") else 1


def _wanted(config: Config, scenes: Sequence[Scene], audit: Audit) -> tuple[int, ...] | None:
    """The bands that the model takes, by the first training scene; scenes with other numbers of bands are told of."""
    opened = [s for s in scenes if s.image in audit.infos]
    first = next((s for s in opened if s.split in (None, "trn")), opened[0] if opened else None)
    if first is None:
        return None
    try:
        wanted = select_bands(config, audit.infos[first.image], first).indexes
    except DataError as e:
        audit.found.append(from_error(e, first.place))
        return None
    found = []
    for image in dict.fromkeys(s.image for s in opened):
        info = audit.infos[image]
        path = info.path
        count = info.count - bool(info.alpha)
        if info.count < max(wanted):
            found.append(Finding("error", "bands-fewer", path, f"has {count} bands, the model takes bands {_span(wanted)} of {first.image.name}",
                                 "write the same bands in every scene, or choose with bands.select"))  # fmt: skip
        elif config.bands.select is None and count > len(wanted):
            found.append(Finding("warning", "bands-more", path, f"has {count} bands; as in {first.image.name}, bands {_span(wanted)} are used",
                                 "choose with bands.select"))  # fmt: skip
    audit.found += merged(found, len(audit.infos))
    return wanted


def _span(numbers: Sequence[int]) -> str:
    whole = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def _label_scenes(scenes: Sequence[Scene], audit: Audit) -> list[Scene]:
    """The scenes whose image and labels, if any, can be used."""
    placed = {image for image, info in audit.infos.items() if info.grid.crs is not None}
    audit.found += merged(pair_findings(scenes, placed), len(scenes), "scenes")
    often = Counter(f for s in scenes for f in s.label_files)
    sound, without = [], []
    for s in scenes:
        if s.image not in audit.probes or not all(p is None or p.exists() for p in (*s.label_files, s.aoi)):
            continue
        if s.labels is None:
            without.append(Finding("note", "labels-none", s.place, "has no labels: it is predicted only"))
            sound.append(s)
        elif audit.labels.add(s, audit.infos[s.image], shared=any(often[f] > 1 for f in s.label_files)):
            sound.append(s)
    if scenes and all(s.labels is None for s in scenes) and audit.labels.legend is not None:
        audit.found.append(
            Finding(
                "error", "labels-none", scenes[0].place, "no scene has labels", "fill the manifest's column `labels`"
            )
        )
    else:
        audit.found += merged(without, len(scenes), "scenes")
    return sound


def _between(scenes: Sequence[Scene], audit: Audit, regions: dict[str, Sequence[Region]]) -> list[Finding]:
    members = [
        Member(s.place, s.split, audit.probes[s.image], tuple(regions.get(s.name, ())), s.aoi is not None)
        for s in scenes if s.image in audit.probes
    ]  # fmt: skip
    images = list({m.path: m for m in sorted(members, key=lambda m: m.trains)}.values())
    chosen = images if audit.labels.legend is not None else []
    found = image_findings(chosen, audit.bands)
    for count in sorted({m.probe.info.count for m in images}) if not chosen else ():
        found += image_findings([m for m in images if m.probe.info.count == count], audit.bands)
    labelled = {s.place for s in scenes if s.labels is not None}
    return found + leak_findings([m for m in members if m.path in labelled])


def _loose_vector(path: Path, audit: Audit) -> list[Finding]:
    """The findings on a vector by itself and against all rasters given with it."""
    info = vector.vector_info(path)
    audit.inputs[path] = vector_input(info, "vector")
    if info.features == 0:
        return [Finding("warning", "vector-no-features", path, f"layer '{info.layer}' holds no feature")]
    layer = LayerAudit(path)
    layer.add(vector.read_features(path))
    found = list(layer.findings())
    audit.loose += layer.faults
    if info.crs is None:
        found.append(
            Finding(
                "note", "no-georeference", path, "has no coordinate system", "if it is known: ogr2ogr -a_srs EPSG:N"
            )
        )
    found += [*_on_rasters(info, [i for i in audit.infos.values() if (i.grid.crs is None) == (info.crs is None)])]
    return found


def _on_rasters(info: vector.VectorInfo, images: Sequence[RasterInfo]) -> list[Finding]:
    """How a layer lies on the rasters that were given with it: one of them may be its image."""
    found = []
    for image in images:
        placed = placement(info, vector.features_on_grid(info.path, image.grid), image, shared=True, background=False)
        if not any(f.code == "labels-absent" for f in placed):
            found.append([*crs_findings(info.path, info.crs, image, info.layer), *placed])
    if images and not found:
        return [
            Finding(
                "warning", "labels-absent", info.path, "touches none of the rasters", "check both coordinate systems"
            )
        ]
    return merged([f for on_image in found for f in on_image], len(images))


def render(result: dict[str, Any]) -> str:
    """The audit as text: a table of the inputs, then errors, warnings and notes, one line each."""
    folders = {os.path.dirname(i["path"]) for i in result["inputs"]}
    base = os.path.commonpath(folders) if folders and not any(map(is_remote, folders)) else ""
    inside = f"{base.rstrip(os.sep)}{os.sep}" if len(base) > 1 else ""
    rows = [
        [i["path"].removeprefix(inside), i["kind"], _size(i), i["bands"], i["dtype"], i["crs"]]
        for i in result["inputs"]
    ]
    lines = [f"in {base}:"] if inside else []
    if rows:
        lines.append(table(rows[:MOST_ROWS], ("input", "kind", "size", "bands", "type", "crs")))
    if len(rows) > MOST_ROWS:
        lines.append(f"... and {len(rows) - MOST_ROWS} more")
    for split, classes in result.get("classes", {}).items():
        shares = ", ".join(f"{n} {share(c['share'] or 0)}" for n, c in classes.items())
        lines.append(f"{split}: {sum(c['pixels'] for c in classes.values()):,} labelled pixels: {shares}")
    for f in result["findings"]:
        fix = f"; {f['fix']}" if f["fix"] else ""
        lines.append(f"{f['level']}: {f['where'].removeprefix(inside)}: {f['message']}{fix}")
    if "faults" in result:
        lines.append(f"faults: {result['faults']} ({result['faulty_features']:,} features)")
    counts = Counter(f["level"] for f in result["findings"])
    verdict = "ready" if result["ok"] else "not ready"
    return "\n".join([*lines, f"{verdict}: " + ", ".join(f"{counts[v]} {v}{'s' * (counts[v] != 1)}" for v in LEVELS)])


def _size(entry: dict[str, Any]) -> str | None:
    if entry["kind"] == "vector":
        return f"{entry['features']:,} features"
    return f"{entry['grid']['width']} x {entry['grid']['height']}" if entry["grid"] else None
