"""The result of `swath predict` is a map of every input raster: a Cloud-Optimized GeoTIFF on the input's own grid."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import swath
from swath.core.errors import ConfigError, DataError, ResourceError, SwathError
from swath.core.stitch import Rows
from swath.disk.audits.likeness import unlike
from swath.disk.bundle import Bundle
from swath.disk.publish import make_directory, require_space, sweep
from swath.disk.rasters.maps import PRODUCT_SUFFIXES, RasterSink, products, read_map_info, spool_path
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.remote.access import is_remote, location
from swath.disk.remote.outgoing import is_taken, send, workplace
from swath.disk.scenes.manifest import Scene, expand_scenes, in_split
from swath.disk.scenes.sources import model_scenes
from swath.disk.sources.cells import cell_image
from swath.disk.sources.images import open_image
from swath.disk.sources.stack import Image
from swath.disk.sources.stamp import image_stamp
from swath.engines.choose import Choice, choose
from swath.engines.predictor import TorchPredictor, load_predictor
from swath.messages import say, warn
from swath.progress import Progress
from swath.specs import PredictSpec, RuntimeSpec


@dataclass(frozen=True)
class Job:
    """One input raster with the stem of its outputs."""

    image: Image
    stem: str

    def outputs(self, out: Path, save: tuple[str, ...], suffixes: dict[str, str]) -> dict[str, Path]:
        """Product name -> output path."""
        return {
            name: out / f"{self.stem}{suffixes[name]}" for name in ("classes", *[s for s in save if s != "classes"])
        }


def predict(
    model: str | Path,
    inputs: Sequence[str | Path | Scene],
    out: str | Path,
    *,
    spec: PredictSpec | None = None,
    runtime: RuntimeSpec | None = None,
    sources: Mapping[str, str] | None = None,
    split: str | None = None,
    overwrite: bool = False,
    replace: bool = False,
) -> dict[str, Any]:
    """The maps of all inputs: `maps` [{input, map, seconds, executor, tiles, ...}], `margin`, `exact`, `backend`,
    `megapixels_per_second`.

    `inputs`: files, STAC items, folders, globs, manifests; `sources` names files of a model's further sources (of
    `image` too, several files of one image as `a.tif;b.tif`), for all inputs; with `split` only rows of manifests with
    that split are mapped. A map that was made before by the same model and settings of the same input is kept, but with
    `overwrite`; another file of its name is refused, but with `overwrite` or `replace`. All good inputs are mapped before
    the bad ones are told: DataError (exit code 3) lists them.
    """
    spec, runtime = spec or PredictSpec(), runtime or RuntimeSpec()
    out = location(out)
    if not is_remote(out) and out.exists() and not out.is_dir():
        raise ResourceError("out-file", out, "is a file", "name a directory with --out")
    scenes = [s for i in inputs for s in ([i] if isinstance(i, Scene) else _expanded(i))]
    if split is not None:
        scenes = in_split(scenes, split)
    if sources and "image" in sources:
        scenes.append(Scene("image", cell_image(sources["image"], Path())))
    if not scenes:
        raise ConfigError("inputs-none", "predict", "no input is named", "name rasters, or --source image=FILE")
    predictor, bundle = load_predictor(model, device=runtime.device, threads=runtime.threads)
    complete = model_scenes(scenes, bundle.sources, bundle.directory, sources)
    jobs = plan_jobs(list(dict.fromkeys(s.image for s in complete)))
    maps: list[dict[str, Any]] = []
    failures: list[SwathError] = []
    with workplace(out) as folder:
        make_directory(folder)
        sweep(folder)
        for job in jobs:
            try:
                maps.append(_map_one(job, predictor, bundle, out, folder, spec, overwrite=overwrite, replace=replace))
            except (DataError, ConfigError) as e:
                if len(jobs) == 1:
                    raise
                failures.append(e)
                warn(f"{job.image}: skipped ({e.line()})")
    if failures:
        raise _listed(failures, len(jobs))
    return _summary(maps, predictor)


def _expanded(item: str | Path) -> list[Scene]:
    """The scenes that an input stands for; of a folder or a glob without the maps that earlier predictions left there."""
    scenes, place = expand_scenes([item], SUFFIXES), location(item)
    if is_remote(place) or place.is_file():  # a raster, or a manifest that names its own
        return scenes
    made = [s for s in scenes if _is_product(s.image)]
    if made:
        counted = f"{len(made)} map{'s' * (len(made) != 1)}"
        say(f"note: {item}: {counted} of earlier predictions left out; as an input name each by itself")
    return [s for s in scenes if s not in made]


def _is_product(image: Image) -> bool:
    """True for a raster that `predict` wrote."""
    if not isinstance(image, Path) or not image.name.endswith(PRODUCT_SUFFIXES):
        return False
    try:
        return "MODEL" in read_map_info(image).tags
    except (SwathError, ValueError, KeyError, TypeError):  # told where it is opened as an input
        return False


def plan_jobs(images: Sequence[Image]) -> list[Job]:
    """One job per image; images of equal names in different folders get their folder's name put before."""
    jobs: list[Job] = []
    stems = [p.stem for p in images]
    for image in images:
        stem = image.stem if stems.count(image.stem) == 1 else f"{image.parent.absolute().name}_{image.stem}"
        candidate, n = stem, 2
        while any(j.stem == candidate for j in jobs):
            candidate, n = f"{stem}_{n}", n + 1
        jobs.append(Job(image, candidate))
    return jobs


def _map_one(
    job: Job, predictor: TorchPredictor, bundle: Bundle, out: Path, folder: Path, spec: PredictSpec, *, overwrite: bool,
    replace: bool,
) -> dict[str, Any]:  # fmt: skip
    """The maps of one input, made in `folder` and published in `out`."""
    started = time.monotonic()
    reader = open_image(job.image, bundle.bands)
    wanted = products(bundle.legend, spec.save)
    paths = job.outputs(out, spec.save, {n: p.suffix for n, p in wanted.items()})
    tags = _tags(bundle, job.image, spec)
    done = set() if overwrite else {name for name, path in paths.items() if _made_so(path, tags)}
    for name in done:
        spool_path(folder / paths[name].name).unlink(missing_ok=True)  # of a start that was killed right after publishing
    if done == set(paths):
        return {"input": str(job.image.absolute()), **_places(paths), "seconds": 0.0,
                "executor": "kept", "tiles": 0, "already_done": True, "exact": None, "margin": None}  # fmt: skip
    for name, path in paths.items():
        if not overwrite and not replace and name not in done and is_taken(path):
            raise ResourceError("exists", path, "is there already, made otherwise", "add --overwrite to replace it")
    grid = reader.grid
    require_space(
        folder / "x", grid.height * grid.width * (2 + sum(4 * p.bands for n, p in wanted.items() if n == "probabilities"))
    )
    strange = unlike(reader, bundle.bands, bundle.card.get("seen", {}))
    for text in strange:
        warn(f"{job.image}: {text}")
    bound = predictor.on(reader)
    choice = choose(reader, bound, spec)
    tags = {**tags, "EXACT": choice.exact}
    key = json.dumps([tags, choice.executor, choice.because])
    sinks: dict[str, RasterSink] = {}
    try:
        for name, product in wanted.items():
            if name in done:  # published before a kill that spared the others
                continue
            sinks[name] = RasterSink(folder / paths[name].name, grid, product, bundle.legend, tags, key)
        resumed, invalid = _stream(choice, list(sinks.values()), grid.height * grid.width, job)
        for name, sink in sinks.items():
            sink.finish()
            send(folder / paths[name].name, paths[name])
    except BaseException as e:
        for sink in sinks.values():
            sink.discard(keep=not isinstance(e, DataError))
        raise
    seconds = time.monotonic() - started
    return {
        "input": str(job.image.absolute()),
        **_places(paths),
        "seconds": round(seconds, 3),
        "executor": choice.executor,
        "because": choice.because,
        "tiles": choice.tiles,
        "margin": choice.margin,
        "exact": choice.exact,
        "overhead": round(choice.overhead, 3),
        "megapixels": grid.height * grid.width / 1e6,
        "nodata_pixels": invalid,
        "unlike_training": strange,
        "resumed_pixels": resumed,
        "already_done": False,
    }


def _places(paths: dict[str, Path]) -> dict[str, str]:
    """The path of each product under its name; that of the classes is the `map`."""
    return {"map" if n == "classes" else n: str(p.absolute()) for n, p in paths.items()}


def _stream(choice: Choice, sinks: list[RasterSink], pixels: int, job: Job) -> tuple[int, int]:
    """Writes all rows to every sink; returns the pixels found done by an earlier start, and those without data."""
    stops = _common_stops([sink.spool.stops() for sink in sinks])
    for sink in sinks:
        sink.resume(stops)
    resumed = sum(c.window.area for c in sinks[0].spool.chunks)
    invalid = 0
    with Progress(f"predict {job.image.name}", pixels, "pixels") as progress:
        progress.resume(resumed)
        for rows in choice.run(progress.advance, stops):
            for sink in sinks:
                sink.write(rows)
            invalid += _missing(rows)
    return resumed, invalid


def _common_stops(stops: list[dict[int, int]]) -> dict[int, int]:
    """Per band of columns, the first row that some sink has not stored."""
    return {col: min(s.get(col, 0) for s in stops) for col in stops[0]}


def _missing(rows: Rows) -> int:
    return 0 if rows.valid is None else int(rows.valid.size - rows.valid.sum())


def _tags(bundle: Bundle, image: Image, spec: PredictSpec) -> dict[str, Any]:
    """What a map says of its making: no time, no path, so that equal work gives equal files."""
    settings = spec.model_dump(mode="json", exclude={"memory"})
    return {
        "VERSION": swath.__version__,
        "MODEL": bundle.identity,
        "MODEL_NAME": bundle.card.get("name", ""),
        "INPUT": image.name,
        "INPUT_STAMP": image_stamp(image),
        "SETTINGS": settings,
    }


def _made_so(path: Path, tags: dict[str, Any]) -> bool:
    """True where an output is there and was made by the same model and settings of the same input."""
    if not path.exists():
        return False
    try:
        found = read_map_info(path).tags
    except SwathError:
        return False
    return all(found.get(k) == tags[k] for k in ("MODEL", "INPUT_STAMP", "SETTINGS"))


def _listed(failures: list[SwathError], total: int) -> DataError:
    first = failures[0]
    if len(failures) == 1:
        return DataError(first.code, first.where, f"{first.message} (1 of {total} inputs failed)", first.fix)
    names = ", ".join(f.where for f in failures[1:4])
    return DataError(first.code, first.where, f"{first.message} ({len(failures)} of {total} inputs failed, also {names})",
                     first.fix)  # fmt: skip


def _summary(maps: list[dict[str, Any]], predictor: TorchPredictor) -> dict[str, Any]:
    fresh = [m for m in maps if not m["already_done"]]
    seconds = sum(m["seconds"] for m in fresh)
    return {
        "maps": maps,
        "margin": max((m["margin"] for m in fresh), default=None),
        "exact": all(m["exact"] for m in fresh) if fresh else None,
        "radius": predictor.radius,
        "backend": predictor.backend,
        "megapixels_per_second": round(sum(m["megapixels"] for m in fresh) / seconds, 4) if seconds else None,
    }
