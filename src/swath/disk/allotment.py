"""Which label pixels of which scene belong to which split: what the manifest says, and what is held out beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swath.core.errors import DataError
from swath.core.splits import SPLITS, Block, Region, Split, block_size, block_windows, carve
from swath.core.windows import Window, grid_windows
from swath.disk.labels import Labels

if TYPE_CHECKING:
    from swath.disk.project import Project


def decide_regions(project: Project) -> tuple[tuple[Region, ...], ...]:
    """Which label pixels belong to which split, per scene.

    Rows of the manifest with a split keep it. Where there is no `val` (or, if asked for, no `tst`), it is carved out
    of the training scenes: whole scenes where there are many, else spatial blocks with a buffer that trains nothing.
    """
    scenes, spec = project.scenes, project.config.split
    if not any(s.labels for s in scenes):
        raise DataError("labels-none", project.path, "no scene has labels", "fill the manifest's column `labels`")
    regions: list[list[Region]] = [[] for _ in scenes]
    open_scenes = []
    for i, scene in enumerate(scenes):
        if scene.labels is None:
            continue
        if scene.split in ("val", "tst"):
            regions[i].append(Region(scene.split))
        else:
            open_scenes.append(i)
    if not open_scenes:
        raise DataError("split-empty", project.path, "no scene is left for training", "mark rows with split=trn")
    wanted: dict[Split, float] = {}
    if spec.tst and not any(s.split == "tst" for s in scenes):
        wanted["tst"] = spec.tst
    if spec.val and not any(s.split == "val" for s in scenes):
        wanted["val"] = spec.val
    held = _held_out(project, open_scenes, wanted) if wanted else {}
    for i in open_scenes:
        mine = [(split, w) for (split, scene), boxes in held.items() if scene == i for w in boxes]
        regions[i] += _scene_regions(project.infos[i].grid.shape, mine, spec.buffer)
    return tuple(tuple(r) for r in regions)


def _scene_regions(shape: tuple[int, int], held: list[tuple[Split, Window]], buffer: int) -> list[Region]:
    whole = Window(0, 0, *shape)
    if not held:
        return [Region("trn")]
    regions = [Region(s, tuple(w for split, w in held if split == s)) for s in SPLITS if any(x == s for x, _ in held)]
    if all(w == whole for _, w in held):
        return regions
    guard = tuple(w.pad(buffer).clip(*shape) for _, w in held)
    return [Region("trn", None, guard), *regions]


def _held_out(
    project: Project, open_scenes: list[int], wanted: dict[Split, float]
) -> dict[tuple[Split, int], list[Window]]:
    by = project.config.split.by
    if by == "auto":
        by = "scene" if len(open_scenes) >= 8 else "block"
        why = f"{len(open_scenes)} training scenes: " + (
            "enough to hold out whole ones" if by == "scene" else "too few"
        )
        project._decided("split.by", by, why)
    blocks = _scene_blocks(project, open_scenes) if by == "scene" else _blocks(project, open_scenes)
    held: dict[tuple[Split, int], list[Window]] = {}
    for split, fraction in wanted.items():
        groups = carve(blocks, fraction)
        for block in groups:
            held.setdefault((split, block.scene), []).append(block.window)
        blocks = [b for b in blocks if b not in groups]
    if not held:
        raise DataError("split-empty", project.path, "the labels are too few to hold some out for validation",
                        "mark a row of the manifest with split=val")  # fmt: skip
    return held


def _scene_blocks(project: Project, scenes: list[int]) -> list[Block]:
    return [Block(i, Window(0, 0, *project.infos[i].grid.shape), class_pixels(project, i)) for i in scenes]


def _blocks(project: Project, scenes: list[int]) -> list[Block]:
    areas = [project.infos[i].grid.height * project.infos[i].grid.width for i in scenes]
    side = project.config.split.block
    if side == "auto":
        side = block_size(areas, project.tile)
        project._decided("split.block", side, "about 16 blocks over the training scenes, none larger than a sample")
    return [
        Block(i, w, class_pixels(project, i, w))
        for i in scenes
        for w in block_windows(*project.infos[i].grid.shape, side)
    ]


def class_pixels(project: Project, scene: int, window: Window | None = None) -> Any:
    """Labelled pixels per class index, int64 (C,), of a scene or of a window of it; streamed."""
    labels = _labels_of(project, scene)
    shape = project.infos[scene].grid.shape
    window = window or Window(0, 0, *shape)
    counts = np.zeros(len(project.legend), np.int64)
    for part in grid_windows(window.height, window.width, 2048, 2048, "keep"):
        indices = labels.read(Window(window.row + part.row, window.col + part.col, part.height, part.width))
        counts += np.bincount(indices.ravel(), minlength=project.legend.ignore + 1)[: len(counts)]
    return counts


def _labels_of(project: Project, scene: int) -> Labels:
    cache = project.__dict__.setdefault("_labels", {})
    if scene not in cache:
        if len(cache) > 64:
            cache.clear()
        cache[scene] = project.labels(scene)
    return cache[scene]
