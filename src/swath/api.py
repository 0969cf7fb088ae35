"""The verbs, with the names and results that they have on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swath.config import load_config, override, validated
from swath.core.errors import ConfigError, did_you_mean
from swath.core.legend import Legend
from swath.core.splits import SPLIT_OF
from swath.disk.remote.access import location, remote_access
from swath.specs import LabelsSpec, PredictSpec, RuntimeSpec, VectorizeSpec
from swath.yamltext import Marked

PathLike = str | Path


def check(*things: PathLike, overrides: Sequence[str] = (), faults: PathLike | None = None,
          overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The audit of a config, or of files, folders and manifests; `faults` names a GeoPackage for faulty features."""
    from swath.steps.check import check_files, check_project

    if len(things) == 1 and Path(things[0]).suffix in (".yaml", ".yml"):
        return check_project(things[0], overrides, faults=faults, overwrite=overwrite)
    (runtime,) = _sections(overrides, RuntimeSpec)
    with remote_access(runtime.remote):
        return check_files(things, faults=faults, overwrite=overwrite)


def sample(config: PathLike, *overrides: str, overwrite: bool = False) -> dict[str, Any]:
    """The sample store of a config."""
    from swath.disk.projects.project import load_project
    from swath.steps.sample import sample as step

    return step(load_project(config, overrides), overwrite=overwrite)


def analyze(config: PathLike, *overrides: str, search: bool = False) -> dict[str, Any]:
    """The preview of what `sample` would give, with better thresholds, leaks between splits and bands that tell the label."""
    from swath.disk.projects.project import load_project
    from swath.steps.analyze import analyze as step

    return step(load_project(config, overrides), search=search)


def train(config: PathLike, *overrides: str, resume: bool = False, overwrite: bool = False) -> dict[str, Any]:
    """The trained bundle of a config."""
    from swath.disk.projects.project import load_training
    from swath.steps.train import train as step

    return step(load_training(config, overrides), resume=resume, overwrite=overwrite)


def evaluate(model: PathLike, scenes: PathLike, *overrides: str, split: str | None = "tst",
             source: Mapping[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    """The scores of a bundle, run or map on the labelled scenes of a manifest or config."""
    from swath.disk.projects.project import load_project
    from swath.disk.scenes.manifest import read_manifest
    from swath.steps.evaluate import evaluate as step
    from swath.steps.evaluate import evaluate_map

    predict_spec, runtime, labels = _sections(overrides, PredictSpec, RuntimeSpec, LabelsSpec)
    regions, split = None, _split(split)
    with remote_access(runtime.remote):
        if Path(scenes).suffix in (".yaml", ".yml"):
            project = load_project(scenes)
            rows, labels = project.scenes, project.config.labels
            if split is not None:
                regions = {s.name: r for i, s in enumerate(rows) if (r := project.region(i, split))}  # type: ignore[arg-type]
        else:
            rows = read_manifest(scenes)
        if Path(model).suffix.lower() in (".tif", ".tiff"):
            return evaluate_map(location(model), rows, labels=labels)
        return step(model, rows, split=split, regions=regions, labels=labels, predict=predict_spec, runtime=runtime,
                    sources=source)  # fmt: skip


def _split(word: str | None) -> str | None:
    """The split of any of its words; None for all scenes. Raises ConfigError for another word."""
    if word is not None and word.lower() not in SPLIT_OF:
        raise ConfigError("split-unknown", word, "is no split", did_you_mean(word, [*SPLIT_OF, "all"]))
    return None if word is None else SPLIT_OF[word.lower()]


def predict(model: PathLike, inputs: Sequence[PathLike] | PathLike, *overrides: str, out: PathLike,
            source: Mapping[str, str] | None = None, split: str | None = None,
            overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The maps of rasters: files, STAC items, folders, globs or manifests; `source` names files of further sources."""
    from swath.steps.predict import predict as step

    spec, runtime = _sections(overrides, PredictSpec, RuntimeSpec)
    listed = [inputs] if isinstance(inputs, str | Path) else inputs
    with remote_access(runtime.remote):
        return step(model, listed, out, spec=spec, runtime=runtime, sources=source, split=split, overwrite=overwrite)


def vectorize(map_path: PathLike, *overrides: str, out: PathLike, overwrite: bool = False) -> dict[str, Any]:
    """The polygons of a map as a GeoPackage."""
    from swath.steps.vectorize import vectorize as step

    spec, runtime = _sections(overrides, VectorizeSpec, RuntimeSpec)
    with remote_access(runtime.remote):
        return step(map_path, out, spec=spec, overwrite=overwrite)


def info(thing: PathLike, *overrides: str) -> dict[str, Any]:
    """What a raster, vector, store, bundle, run, map, manifest, STAC item or config is."""
    from swath.steps.info import info as step

    (runtime,) = _sections(overrides, RuntimeSpec)
    with remote_access(runtime.remote):
        return step(thing)


def run(config: PathLike, *overrides: str, start: str | None = None, only: str | None = None,
        overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The whole chain on a config, or the steps of a declared pipeline; `only` may then name several, as "a,b"."""
    from swath.declared import is_declared, run_declared
    from swath.pipeline import run as chain

    if is_declared(Path(config)):
        if overrides:
            raise ConfigError("override", overrides[0], "a pipeline takes no settings", "write them as `settings` of its steps")
        wanted = [w for w in (only or "").split(",") if w]
        return run_declared(config, DECLARED, start=start, only=wanted, overwrite=overwrite)
    return chain(config, overrides, start=start, only=only, overwrite=overwrite)


def demo(out: PathLike = "demo", *overrides: str, seed: int = 0, overwrite: bool = False) -> dict[str, Any]:
    """The whole chain on a generated town."""
    from swath.pipeline import run as chain
    from swath.steps.demo import write_demo

    config = Path(out) / "town.yaml"
    if overwrite or not config.exists():
        config = write_demo(Path(out), seed=seed)
    return {"config": str(config.absolute()), **chain(config, overrides, overwrite=overwrite)}


def verify(thing: PathLike) -> dict[str, Any]:
    """Whether a store, bundle, run or raster is as it was written, with the faults."""
    from swath.steps.verify import verify as step

    return step(thing)


def convert(
    source: PathLike, out: PathLike, *, to: str, source_format: str | None = None, classes: PathLike | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The same samples in another layout, and what it could not hold; `classes` is a config with the class table."""
    from swath.steps.convert import convert as step

    legend = load_config(classes, scenes=False).legend() if classes else None
    return step(source, out, to=to, source_format=source_format, legend=legend, overwrite=overwrite)


def import_(
    system: str, source: PathLike, *, out: PathLike, root: PathLike | None = None, pair_by: str = "stem",
    pattern: str | None = None, allow_missing: bool = False, overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The config and manifest made from another system's, with a row for every old key."""
    from swath.importers.import_ import import_ as step
    from swath.importers.pairs import Pairing

    return step(system, source, out, root=root, pairing=Pairing(pair_by, pattern), allow_missing=allow_missing,
                overwrite=overwrite)  # fmt: skip


def schema() -> dict[str, Any]:
    """The JSON Schema of configs."""
    from swath.config import json_schema

    return json_schema()


def _sections(overrides: Sequence[str], *specs: type[Any]) -> list[Any]:
    """The specs that overrides such as `predict.tile=1024` give; other sections are refused."""
    names = {s.__name__.removesuffix("Spec").lower(): s for s in specs}
    marked = Marked({name: {} for name in names}, "command line")
    for text in overrides:
        section = text.partition("=")[0].split(".")[0]
        if section not in names:
            raise ConfigError(
                "override", text, f"the section '{section}' has no meaning here", did_you_mean(section, names)
            )
        override(marked, text)
    return [
        validated(spec, Marked(marked.value[name], f"command line, section {name}")) for name, spec in names.items()
    ]


def chip(images: Sequence[PathLike] | PathLike, *overrides: str, out: PathLike, size: int, stride: int | None = None,
         edge: str = "keep", pattern: str = "{stem}_{row}_{col}.tif", expect: int | None = None,
         overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """Georeferenced windows of rasters, a GeoTIFF each."""
    from swath.steps.chip import chip as step

    (runtime,) = _sections(overrides, RuntimeSpec)
    with remote_access(runtime.remote):
        return step(images, out, size=size, stride=stride, edge=_choice("edge", edge, ("keep", "pad", "shift", "drop")),
                    pattern=pattern, expect=expect, overwrite=overwrite)  # fmt: skip


def mosaic(inputs: Sequence[PathLike] | PathLike, *overrides: str, out: PathLike, on_overlap: str = "first", kind: str | None = None,
           overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """One raster of many that lie side by side: a COG, or by the suffix .vrt a VRT."""
    from swath.steps.mosaic import mosaic as step

    rule = _choice("on_overlap", on_overlap, ("first", "last", "mean", "max", "min"))
    made = _choice("kind", kind or ("vrt" if Path(out).suffix.lower() == ".vrt" else "cog"), ("cog", "vrt"))
    (runtime,) = _sections(overrides, RuntimeSpec)
    with remote_access(runtime.remote):
        return step(inputs, out, on_overlap=rule, kind=made, overwrite=overwrite)


def mask(images: Sequence[PathLike] | PathLike, labels: Sequence[PathLike] | PathLike | None = None, *overrides: str,
         config: PathLike, out: PathLike, preview: bool = False, overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The class raster of every image: labels burnt on its grid, by the classes of a config."""
    from swath.steps.mask import mask as step

    legend, spec, remote = _classes(config, overrides)
    assert legend is not None
    with remote_access(remote):
        return step(images, labels, out, legend=legend, labels_spec=spec, preview=preview, overwrite=overwrite)


def summarize(images: Sequence[PathLike] | PathLike, *overrides: str, out: PathLike | None = None,
              labels: Sequence[PathLike] | PathLike | None = None, config: PathLike | None = None,
              bins: int = 256) -> dict[str, Any]:  # fmt: skip
    """What rasters hold: statistics per band and per class, areas, histograms."""
    from swath.steps.summarize import summarize as step

    legend, spec, remote = _classes(config, overrides)
    with remote_access(remote):
        return step(images, out=out, labels=labels, legend=legend, labels_spec=spec, bins=bins)


def flatten(images: Sequence[PathLike] | PathLike, *overrides: str, out: PathLike, labels: Sequence[PathLike] | PathLike | None = None,
            config: PathLike | None = None, form: str = "long", bands: Sequence[int | str] | None = None,
            overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The table of the pixels of rasters, CSV or Parquet."""
    from swath.steps.flatten import flatten as step

    legend, spec, remote = _classes(config, overrides)
    with remote_access(remote):
        return step(images, out, labels=labels, legend=legend, labels_spec=spec, bands=bands,
                    form=_choice("form", form, ("long", "wide")), overwrite=overwrite)  # fmt: skip


def apply(function: str | Callable[..., Any], sources: Mapping[str, PathLike], *, out: PathLike, window: int = 1024, margin: int = 0,
          dtype: str | None = None, workers: int = 1, overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The raster that a function, also by its name `package.module:function`, makes of others, window by window."""
    from swath.steps.apply import apply as step

    return step(function, sources, out, window=window, margin=margin, dtype=dtype, workers=workers, overwrite=overwrite)


def split(manifest: PathLike, *, out: PathLike, trn: float = 0.8, val: float = 0.1, tst: float = 0.1, by: str = "scene",
          seed: int = 0, method: str = "random", overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """The manifest with its column `split` filled; nothing is copied or moved."""
    from swath.steps.split_files import split_files

    return split_files(manifest, out, trn=trn, val=val, tst=tst, by=_choice("by", by, ("scene", "folder")), seed=seed,
                       method=_choice("method", method, ("random", "interleave")), overwrite=overwrite)  # fmt: skip


def points(*things: PathLike, out: PathLike | None = None, labels: PathLike | None = None, field: str | None = None,
           nodata: float | None = None, mask: PathLike | None = None, strategy: str = "smallest",
           number: float | None = None, counts: Mapping[int, int] | None = None, sampler: str = "periodic",
           jitter: float = 0.0, patch: int | None = None, step: int | None = None, offset: tuple[int, int] = (0, 0),
           seed_share: float = 0.25, split: str | None = None, order: str = "interleave",
           shares: Sequence[float] = (50, 25, 25), seed: int = 0, statistics: PathLike | None = None,
           overrides: Sequence[str] = (), overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """Sample points of a config, or of images with labels, or of label images, as a GeoPackage."""
    from swath.core.events import Events
    from swath.core.selection import GRID_STRATEGIES, STRATEGIES, Draw
    from swath.disk.projects.project import load_project
    from swath.disk.samples.candidates import file_sources, project_sources
    from swath.steps.points import points as draw_points

    is_config = len(things) == 1 and Path(things[0]).suffix in (".yaml", ".yml")
    by = _choice("split", split or ("regions" if is_config else "none"), ("regions", "chessboard", "proportions", "none"))
    draw = Draw(_choice("strategy", strategy, (*STRATEGIES, *GRID_STRATEGIES)), number, counts,
                _choice("sampler", sampler, ("periodic", "random")), jitter, seed, patch, step, (offset[0], offset[1]), seed_share,
                by, _choice("order", order, ("interleave", "random")), tuple(shares))  # fmt: skip
    events = Events()
    if is_config:
        if any(given is not None for given in (labels, field, nodata, mask)):
            raise ConfigError("points-config", "points", "a config has its own labels and nodata", "leave them out")
        project = load_project(things[0], [*overrides, "sample.points=null"])  # drawn from labels, not from points
        sources, events = project_sources(project), project.events
    else:
        if overrides:
            raise ConfigError("override", overrides[0], "overrides need a config", "name the YAML file")
        sources = file_sources(things, labels, field_name=field, nodata=nodata, mask=mask,
                               label_images=strategy != "grid", events=events)  # fmt: skip
    return draw_points(sources, out, draw=draw, events=events, statistics=statistics, overwrite=overwrite)


def fetch(sources: Sequence[PathLike] | PathLike, *, out: PathLike | None = None, listing: bool = False,
          include: Sequence[str] | str = (), limit: int | None = None, overwrite: bool = False) -> dict[str, Any]:  # fmt: skip
    """Copies of remote files in a directory, checksummed, or with `listing` what there is."""
    from swath.steps.fetch import fetch as step

    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    globs = [include] if isinstance(include, str) else list(include)
    return step(listed, out, listing=listing, include=globs, limit=limit, overwrite=overwrite)


# the verbs that a pipeline may declare, by name
DECLARED = {f.__name__.rstrip("_"): f for f in (
    check, sample, analyze, train, evaluate, predict, vectorize, run, verify, convert, import_, fetch, chip, mosaic, mask, split,
    points, flatten, summarize, apply,
)}  # fmt: skip


def _classes(config: PathLike | None, overrides: Sequence[str]) -> tuple[Legend | None, LabelsSpec | None, bool | tuple[str, ...]]:
    """The class table and label settings of a config, none without one; and which remote files may be read."""
    if config is None:
        others = [text for text in overrides if not text.startswith("runtime.")]
        if others:
            raise ConfigError("override", others[0], "overrides need a config", "name the YAML file with --config")
        (runtime,) = _sections(overrides, RuntimeSpec)
        return None, None, runtime.remote
    loaded = load_config(config, overrides, scenes=False)
    return loaded.legend(), loaded.labels, loaded.runtime.remote


def _choice(key: str, value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ConfigError("choice", key, f"'{value}' is no choice", did_you_mean(value, known))
    return value
