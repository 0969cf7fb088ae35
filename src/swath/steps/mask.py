"""The result of `swath mask` is a class raster of every image: its labels burnt on its own grid."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.legend import Legend
from swath.core.windows import Window, grid_windows
from swath.disk.pictures import coloured, publish_png
from swath.disk.publish import make_directory, sweep
from swath.disk.rasters.geotiff import BLOCK, Block, Header, publish_geotiff, require_free
from swath.disk.rasters.maps import PREFIX
from swath.disk.scenes.burn import NULLS, burnt_polygons, count_nulls, label_files, label_scenes, open_burnt
from swath.disk.scenes.labels import Labels
from swath.disk.scenes.manifest import Scene
from swath.disk.sources.images import image_info
from swath.disk.sources.stack import Image
from swath.disk.stores.sample import class_counts
from swath.messages import warn
from swath.progress import Progress
from swath.specs import LabelsSpec

PREVIEW = 1024  # pixels, the longest side of a picture


def mask(
    images: Sequence[str | Path] | str | Path,
    labels: Sequence[str | Path] | str | Path | None,
    out: str | Path,
    *,
    legend: Legend,
    labels_spec: LabelsSpec | None = None,
    preview: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The masks of images: `masks` [{input, mask, polygons, classes {name: pixels}, ignored, foreground, preview}],
    `foreground` of all, `events`, `out`.

    `images`: files, folders, globs, manifests; `labels`: a raster, or vectors (a file, a folder, a glob, several:
    their union), or None where manifests name them. A mask has the image's grid and stem; its pixels (uint8 or uint16)
    are class ids, and nodata, which is never a class, where labels are ignored. It carries a colour table and its
    legend. What the image shows is not looked at: a black pixel in a polygon is of its class. `foreground` is the share
    of the labelled pixels that are not of class 0. With `preview` a picture in the classes' colours lies beside each
    mask, at most 1024 pixels wide and high, since ids look black in most viewers.

    Raises DataError for labels that cannot be used (after all good images are done), ResourceError for files in the
    way.
    """
    started = time.monotonic()
    folder, events, spec = Path(out).absolute(), Events(), labels_spec or LabelsSpec()
    files = label_files(labels)
    scenes = label_scenes([images] if isinstance(images, str | Path) else images, files)
    targets = _targets(scenes, folder)
    pictures = [t.with_suffix(".png") for t in targets] if preview else []
    require_free([*targets, *pictures], [p for s in scenes for p in s.files], overwrite=overwrite)
    make_directory(folder)
    sweep(folder)
    done: list[dict[str, Any]] = []
    failures: list[DataError] = []
    for scene, target in zip(scenes, targets, strict=True):
        try:
            done.append(_mask_one(scene, files, target, legend, spec, events, preview=preview, alone=len(scenes) == 1))
        except DataError as e:
            if len(scenes) == 1:
                raise
            failures.append(e)
            warn(f"{scene.image}: {e.line()}")
    if failures:
        first = failures[0]
        raise DataError(first.code, first.where, f"{first.message} ({len(failures)} of {len(scenes)} images failed)",
                        first.fix)  # fmt: skip
    return {
        "out": str(folder),
        "masks": done,
        "foreground": _foreground(np.sum([list(m["classes"].values()) for m in done], axis=0), legend),
        "nodata": legend.nodata,
        "events": _all_events(events, scenes, files, spec),
        "seconds": round(time.monotonic() - started, 3),
    }


def _targets(scenes: Sequence[Scene], folder: Path) -> list[Path]:
    targets = [folder / f"{s.image.stem}.tif" for s in scenes]
    owner: dict[Path, Image] = {}
    for scene, target in zip(scenes, targets, strict=True):
        other = owner.setdefault(target, scene.image)
        if other != scene.image:
            raise DataError("mask-names", scene.place, f"its mask and that of {other} would both be {target.name}",
                            "mask them into different folders")  # fmt: skip
    return targets


def _mask_one(
    scene: Scene, files: Sequence[Path], target: Path, legend: Legend, spec: LabelsSpec, events: Events, *, preview: bool,
    alone: bool,
) -> dict[str, Any]:  # fmt: skip
    grid = image_info(scene.image).grid
    found = open_burnt(scene, files, grid, legend, spec, events, alone=alone)
    pixels = np.zeros(len(legend), np.int64)
    step = -(-max(grid.shape) // PREVIEW)
    seen = np.full((-(-grid.height // step), -(-grid.width // step)), legend.ignore, legend.index_dtype)

    def blocks() -> Iterator[Block]:
        with Progress(f"mask {scene.name}", grid.height * grid.width, "pixels") as bar:
            for window in grid_windows(*grid.shape, 2 * BLOCK, 2 * BLOCK, "keep"):
                indices = found.read(window)
                pixels[:] += class_counts(indices, legend)
                _thin(seen, indices, window, step)
                yield window, legend.to_ids(indices)[None], None
                bar.advance(window.area)

    dtype = np.dtype(legend.map_dtype).name
    publish_geotiff(target, _header(legend, Header(grid, 1, dtype, legend.nodata)), blocks, shown=True)
    picture = publish_png(target.with_suffix(".png"), coloured(seen, legend)) if preview else None
    return {
        "input": str(scene.image.absolute()),
        "mask": str(target),
        "polygons": _polygons(found),
        "classes": dict(zip(legend.names, pixels.tolist(), strict=True)),
        "ignored": grid.height * grid.width - int(pixels.sum()),
        "foreground": _foreground(pixels, legend),
        **({"preview": str(picture)} if picture else {}),
    }


def _thin(seen: NDArray[Any], indices: NDArray[Any], window: Window, step: int) -> None:
    """Puts every `step`-th row and column of the raster that lies in the window where it belongs."""
    row, col = -(-window.row // step), -(-window.col // step)
    part = indices[row * step - window.row :: step, col * step - window.col :: step]
    seen[row : row + part.shape[0], col : col + part.shape[1]] = part


def _foreground(pixels: NDArray[np.int64], legend: Legend) -> float | None:
    """The share of the labelled pixels that are not of class 0; None where nothing is labelled."""
    total = int(pixels.sum())
    return sum(int(n) for i, n in zip(legend.ids, pixels, strict=True) if i != 0) / total if total else None


def _header(legend: Legend, plain: Header) -> Header:
    assert legend.nodata not in legend.ids
    return Header(
        plain.grid, 1, plain.dtype, plain.nodata,
        names=("class",),
        colours={c.id: (*c.rgb, 255) for c in legend.classes} | {legend.nodata: (0, 0, 0, 0)},
        tags={f"{PREFIX}LEGEND": json.dumps(legend.as_dict())},
        band_tags=({f"CLASS_{c.id}": c.name for c in legend.classes},),
    )  # fmt: skip


def _polygons(labels: Labels) -> int | None:
    """How many polygons near the image are burnt; None where the labels are a raster."""
    vectors = burnt_polygons(labels)
    return sum(len(v.geometry) for v in vectors) if vectors else None


def _all_events(events: Events, scenes: Sequence[Scene], files: Sequence[Path], spec: LabelsSpec) -> dict[str, int]:
    """What happened; null geometries are counted once per file, not once per image."""
    nulls = Events()
    named = list(files) or [f for s in scenes for f in s.label_files]
    layers = [spec.layer] * len(files) or [s.layer or spec.layer for s in scenes for _ in s.label_files]
    count_nulls(named, layers, nulls)
    return {**{k: n for k, n in events.as_dict().items() if k != NULLS}, **nulls.as_dict()}
