"""The result of `swath evaluate` is an exact score of a model on labelled scenes: every label pixel counted once."""

from __future__ import annotations

import time
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
from swath.disk.rasters.crs import on_grid
from swath.disk.rasters.maps import best_class, read_map_info
from swath.disk.rasters.raster import RasterReader
from swath.disk.scenes.labels import Labels, open_labels
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.sources import model_scenes
from swath.disk.sources.images import image_info, open_image
from swath.engines.choose import choose
from swath.engines.predictor import TorchPredictor, load_predictor
from swath.progress import Progress
from swath.specs import LabelsSpec, PredictSpec, RuntimeSpec


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
    for scene in chosen:
        region = (regions or {}).get(scene.name)
        alone = sum(s.label_files == scene.label_files for s in scenes) == 1
        counts = _score_scene(scene, predictor, labels or LabelsSpec(), predict, region, events, alone=alone)
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
    """The scores of a finished map against the labels of the scene that it maps (the one whose grid is the map's)."""
    info = read_map_info(path)
    legend = legend or info.legend
    if legend is None:
        raise DataError("map-legend", path, "the map does not say what its classes are", "evaluate the model instead")
    scene = next((s for s in scenes if s.labels and on_grid(image_info(s.image).grid, info.grid)), None)
    if scene is None:
        raise DataError(
            "map-scene", path, "no labelled scene has the map's grid", "name the manifest the map was made of"
        )
    events = Events()
    truth = open_labels(scene, info.grid, legend, labels or LabelsSpec(), events)
    reader, total = RasterReader(path, [1], "none"), Confusion.zeros(len(legend))
    table = np.full(65536, legend.ignore, np.int64)
    table[list(legend.ids)] = range(len(legend))
    for window in grid_windows(*info.grid.shape, 2048, 2048, "keep"):
        ids, _ = reader.read(window)
        total = total + Confusion.of(truth.read(window), table[ids[0]], len(legend))
    return {**total.scores(legend.names, legend.background), "scenes": {scene.name: {}}, "events": events.as_dict()}


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
    labels: LabelsSpec,
    spec: PredictSpec,
    region: Region | None,
    events: Events,
    *,
    alone: bool,
) -> Confusion:
    legend = predictor.legend
    reader = open_image(scene.image, predictor.bands)
    truth = open_labels(scene, reader.grid, legend, labels, events, alone=alone)
    choice = choose(reader, predictor.on(reader), spec)
    counts = Confusion.zeros(len(legend))
    with Progress(f"evaluate {scene.name}", reader.grid.height * reader.grid.width, "pixels") as progress:
        for rows in choice.run(progress.advance, {}):
            window = Window(rows.start, rows.col, *rows.scores.shape[1:])
            counts = counts + Confusion.of(
                _truth(truth, window, rows, region, legend), best_class(rows.scores), len(legend)
            )
    return counts


def _truth(labels: Labels, window: Window, rows: Rows, region: Region | None, legend: Legend) -> NDArray[Any]:
    found = labels.read(window)
    if rows.valid is not None:
        found[~rows.valid] = legend.ignore
    if region is not None:
        found[~region.mask(window)] = legend.ignore
    return found
