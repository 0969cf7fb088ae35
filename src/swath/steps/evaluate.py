"""The result of `swath evaluate` is an exact score of a model on labelled scenes: every label pixel counted once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.legend import Legend
from swath.core.metrics import Confusion
from swath.core.splits import Region
from swath.core.stitch import Rows
from swath.core.windows import Window, grid_windows
from swath.disk.audits.likeness import unlike
from swath.disk.rasters.crs import on_grid
from swath.disk.rasters.maps import MapInfo, best_class, read_map_info
from swath.disk.rasters.raster import RasterReader
from swath.disk.scenes.labels import Labels, open_labels
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.sources import model_scenes
from swath.disk.sources.images import image_info, open_image
from swath.disk.sources.stamp import image_stamp
from swath.engines.choose import choose
from swath.engines.predictor import TorchPredictor, load_predictor
from swath.messages import warn
from swath.progress import Progress
from swath.specs import LabelsSpec, PredictSpec, RuntimeSpec

NO_DATA = "labelled pixel without image data left out"


def evaluate(
    model: str | Path,
    scenes: Sequence[Scene],
    *,
    split: str | None = "tst",
    regions: dict[str, Region] | None = None,
    labels: LabelsSpec | None = None,
    predict: PredictSpec | None = None,
    runtime: RuntimeSpec | None = None,
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The scores of a bundle on scenes: `mean_iou`, `classes` {name: {iou, f1, precision, recall, pixels}}, `scenes`.

    `sources` names files of a model's further sources.
    `split` picks the scenes (None: all); `regions` (by scene name) cut the labels that count. Whole scenes are
    predicted as `predict` does it. Raises DataError where no scene has labels.
    """
    started = time.monotonic()
    runtime, predict = runtime or RuntimeSpec(), predict or PredictSpec()
    chosen = _chosen(scenes, split, regions or {})
    predictor, bundle = load_predictor(model, device=runtime.device, threads=runtime.threads)
    chosen = model_scenes(chosen, bundle.sources, bundle.directory, sources)
    legend, events = bundle.legend, Events()
    total, per_scene = Confusion.zeros(len(legend)), {}
    sharing = Counter(s.label_files for s in scenes)
    for scene in chosen:
        region = (regions or {}).get(scene.name)
        alone = sharing[scene.label_files] == 1
        counts = _score_scene(scene, predictor, bundle.card.get("seen", {}), labels or LabelsSpec(), predict, region, events, alone=alone)
        per_scene[scene.name] = counts.scores(legend.names, legend.background)
        total = total + counts
    if total.total == 0:
        raise DataError("labels-none", chosen[0].name, "no labelled pixel has a prediction", "check labels and nodata")
    result = total.scores(legend.names, legend.background)
    training = bundle.card.get("training", {})
    return {
        **result,
        "scenes": per_scene,
        "split": split,
        "model": {
            "bundle": str(bundle.directory),
            "identity": bundle.identity,
            "validation_mean_iou": training.get("mean_iou"),
        },
        "events": events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def evaluate_map(
    path: str | Path, scenes: Sequence[Scene], *, legend: Legend | None = None, labels: LabelsSpec | None = None
) -> dict[str, Any]:
    """The scores of a finished map against the labels of the scene that it maps: the one on its grid and, where several
    are, of its image. Raises DataError where none or more than one is."""
    started = time.monotonic()
    info = read_map_info(path)
    legend = legend or info.legend
    if legend is None:
        raise DataError("map-legend", path, "the map does not say what its classes are", "evaluate the model instead")
    scene, events = _mapped(info, scenes), Events()
    truth = open_labels(scene, info.grid, legend, labels or LabelsSpec(), events)
    reader, total = RasterReader(path, [1], "none"), Confusion.zeros(len(legend))
    table = np.full(65536, legend.ignore, np.int64)
    table[list(legend.ids)] = range(len(legend))
    for window in grid_windows(*info.grid.shape, 2048, 2048, "keep"):
        ids, _ = reader.read(window)
        known, mapped = truth.read(window), table[ids[0]]
        events.count(NO_DATA, int(np.count_nonzero((known != legend.ignore) & (mapped == legend.ignore))))
        total = total + Confusion.of(known, mapped, len(legend))
    if total.total == 0:
        raise DataError("labels-none", scene.name, "no labelled pixel has a prediction", "check labels and nodata")
    scores = total.scores(legend.names, legend.background)
    return {
        **scores,
        "scenes": {scene.name: scores},
        "split": scene.split,
        "model": {"map": str(Path(path).absolute()), "identity": info.tags.get("MODEL")},
        "events": events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _mapped(info: MapInfo, scenes: Sequence[Scene]) -> Scene:
    """The labelled scene of a map. Grids without place tell images apart by their size alone, so the image itself counts."""
    fitting = [s for s in scenes if s.labels and on_grid(image_info(s.image).grid, info.grid)]
    stamp, name = info.tags.get("INPUT_STAMP"), info.tags.get("INPUT")
    same = [s for s in fitting if image_stamp(s.image) == stamp] or [s for s in fitting if s.image.name == str(name)]
    placed = [s for s in fitting if info.grid.crs and image_info(s.image).grid.crs]
    found = same or (placed if stamp else fitting)
    if not found:
        what = "is of its image" if fitting else "has the map's grid"
        raise DataError("map-scene", info.path, f"no labelled scene {what}", "name the manifest the map was made of")
    if len(found) > 1:
        raise DataError("map-scene", info.path, f"{len(found)} labelled scenes fit: {', '.join(s.name for s in found[:3])}",
                        "name a manifest with its scene alone, or evaluate the model instead")  # fmt: skip
    return found[0]


def _chosen(scenes: Sequence[Scene], split: str | None, regions: dict[str, Region]) -> list[Scene]:
    chosen = [s for s in scenes if s.labels is not None and (split is None or s.split == split or s.name in regions)]
    if not chosen:
        known = sorted({s.split or "none" for s in scenes})
        raise DataError("split-empty", split or "scenes", "no labelled scene is in this split",
                        f"splits of the manifest: {', '.join(known)}; choose one with --split")  # fmt: skip
    return chosen


def _score_scene(
    scene: Scene,
    predictor: TorchPredictor,
    seen: Mapping[str, Any],
    labels: LabelsSpec,
    spec: PredictSpec,
    region: Region | None,
    events: Events,
    *,
    alone: bool,
) -> Confusion:
    legend = predictor.legend
    reader = open_image(scene.image, predictor.bands)
    for text in unlike(reader, predictor.bands, seen):
        warn(f"{scene.image}: {text}")
    truth = open_labels(scene, reader.grid, legend, labels, events, alone=alone)
    choice = choose(reader, predictor.on(reader), spec)
    counts = Confusion.zeros(len(legend))
    with Progress(f"evaluate {scene.name}", reader.grid.height * reader.grid.width, "pixels") as progress:
        for rows in choice.run(progress.advance, {}):
            window = Window(rows.start, rows.col, *rows.scores.shape[1:])
            counts = counts + Confusion.of(
                _truth(truth, window, rows, region, legend, events), best_class(rows.scores), len(legend)
            )
    return counts


def _truth(
    labels: Labels, window: Window, rows: Rows, region: Region | None, legend: Legend, events: Events
) -> NDArray[Any]:
    """The class indices that count; labels where the image has no data are left out, and counted."""
    found = labels.read(window)
    if region is not None:
        found[~region.mask(window)] = legend.ignore
    if rows.valid is not None:
        events.count(NO_DATA, int(np.count_nonzero(found[~rows.valid] != legend.ignore)))
        found[~rows.valid] = legend.ignore
    return found
