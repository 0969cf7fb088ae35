"""Which label pixels of which scene belong to which split: what the manifest says, and what is held out beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swath.core.allot import Held, carved, chessboard, drawn, interleaved, tied
from swath.core.correlogram import correlation_range
from swath.core.errors import ConfigError, DataError
from swath.core.splits import SPLITS, Block, Region, Split, block_size, block_windows
from swath.core.windows import Window, grid_windows
from swath.disk.projects.opened import Opened
from swath.disk.projects.shared import without_shared
from swath.disk.scenes.labels import Labels

Boxes = dict[tuple[Split, int], list[Window]]  # what is held out of each scene
_WHOLE = ("scene", "group")  # units that are never cut
_ENOUGH = 8  # of them, from which on whole ones are held out
_LOOK, _PLANE, _SCENES = 40_000_000, 256, 8  # for the range of labels: pixels read, side of a thinned plane, scenes


def decide_regions(project: Opened) -> tuple[tuple[Region, ...], ...]:
    """Which label pixels belong to which split, per scene.

    Rows of the manifest with a split keep it. Where there is no `val` (or, if asked for, no `tst`), it is held out of
    the training scenes as `split.by` says. Then labels go that lie on ground which another split scores, by
    `split.overlap`, and the scenes beyond `split.files`.
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
    held, labelled = _held_out(project, open_scenes, wanted) if wanted and spec.by != "none" else ({}, 0)
    boxes: dict[int, list[tuple[Split, Window]]] = {}
    for (split, i), windows in held.items():
        boxes.setdefault(i, []).extend((split, w) for w in windows)
    for i in open_scenes:
        regions[i] += _scene_regions(project.infos[i].grid.shape, boxes.get(i, []), spec.buffer)
    _tell_of_buffers(project, {i: regions[i] for i in boxes}, labelled)
    return _first_files(project, without_shared(project, regions))


def _scene_regions(shape: tuple[int, int], held: list[tuple[Split, Window]], buffer: int) -> list[Region]:
    """The regions of a scene: held-out boxes, and training outside of them and their buffer.

    Where boxes of validation and test meet, validation gives way by the buffer.
    """
    whole = Window(0, 0, *shape)
    if not held:
        return [Region("trn")]
    boxes = {s: tuple(w for split, w in held if split == s) for s in SPLITS if any(x == s for x, _ in held)}
    guards = {s: tuple(w.pad(buffer).clip(*shape) for w in own) for s, own in boxes.items()}
    regions = []
    for split, own in boxes.items():
        near = guards.get("tst", ()) if split == "val" else ()
        regions.append(Region(split, own, tuple(g for g in near if any((g & w).area for w in own))))
    if all(w == whole for _, w in held):
        return regions
    return [Region("trn", None, tuple(w.pad(buffer).clip(*shape) for _, w in held)), *regions]


def _tell_of_buffers(project: Opened, regions: Mapping[int, Sequence[Region]], labelled: int) -> None:
    """Counts the labelled pixels of scenes that lie in no region, of `labelled` ones in all open scenes."""
    lost = 0
    for i, parts in regions.items():
        shape = project.infos[i].grid.shape
        for window in grid_windows(*shape, 1024, 1024, "keep") if len(parts) > 1 else ():
            open_ = ~np.logical_or.reduce([r.mask(window) for r in parts])
            if open_.any():
                lost += int(np.count_nonzero(_labels_of(project, i).read(window)[open_] != project.legend.ignore))
    project.events.count("labelled pixel in a buffer between splits", lost)
    project.buffered = lost / labelled if lost else 0.0
    if lost and "buffer" not in project.config.split.model_fields_set:
        project.decided("split.buffer", project.config.split.buffer, f"around held-out blocks; {100 * project.buffered:.2g} % of the "
                         "labelled pixels lie there and train nothing")  # fmt: skip


def _first_files(project: Opened, regions: list[list[Region]]) -> tuple[tuple[Region, ...], ...]:
    """The regions without the training scenes beyond `split.files`."""
    most, trained = project.config.split.files, 0
    out = []
    for parts in regions:
        trains = any(r.split == "trn" for r in parts)
        trained += trains
        beyond = trains and most is not None and trained > most
        project.events.count("training scene beyond split.files left out", int(beyond))
        out.append(tuple(r for r in parts if not (beyond and r.split == "trn")))
    return tuple(out)


def _held_out(project: Opened, open_scenes: list[int], wanted: Mapping[Split, float]) -> tuple[Boxes, int]:
    """What is held out of the open scenes, and how many labelled pixels they have."""
    spec, by = project.config.split, _unit(project, open_scenes)
    units = _units(project, open_scenes, by) if by in _WHOLE else []
    blocks = _whole_blocks(project, units) if units else _blocks(project, open_scenes)
    if by == "chessboard":
        _require_room(project, blocks)
        groups = chessboard(blocks, wanted)
    elif by == "interleave":
        groups = interleaved(blocks, wanted, spec.seed if spec.order == "random" else None)
    else:
        groups = carved(blocks, wanted) if spec.stratify else drawn(blocks, wanted, spec.seed)
    held = _boxes(project, groups, units)
    if not held:
        raise DataError("split-empty", project.path, "the labels are too few to hold some out for validation",
                        "mark a row of the manifest with split=val")  # fmt: skip
    return held, sum(int(b.pixels.sum()) for b in blocks)


def _unit(project: Opened, open_scenes: Sequence[int]) -> str:
    """`split.by`, decided where it is open."""
    by = project.config.split.by
    if by != "auto":
        return by
    grouped = any(project.scenes[i].group is not None for i in open_scenes)
    found = len(_units(project, open_scenes, "group")) if grouped else len(open_scenes)
    by = ("group" if grouped else "scene") if found >= _ENOUGH else "block"
    what = f"{found} groups of training scenes" if grouped else f"{found} training scenes"
    project.decided("split.by", by, f"{what}: " + ("too few" if by == "block" else "enough to hold out whole ones"))
    return by


def _units(project: Opened, scenes: Sequence[int], by: str) -> list[list[int]]:
    """Scenes that stay together: rows of one image, and with `group` those of one group."""
    rows = [project.scenes[i] for i in scenes]
    ties = [[("image", s.image.resolve()), *([("group", s.group)] if by == "group" and s.group else [])] for s in rows]
    return [[scenes[n] for n in unit] for unit in tied(ties)]


def _whole_blocks(project: Opened, units: Sequence[Sequence[int]]) -> list[Block]:
    """One block per unit, placed at its first scene, with the labelled pixels of all its scenes."""
    return [
        Block(unit[0], Window(0, 0, *project.infos[unit[0]].grid.shape), sum(class_pixels(project, i) for i in unit))
        for unit in units
    ]


def _boxes(project: Opened, groups: Held, units: Sequence[Sequence[int]]) -> Boxes:
    """The windows of every split and scene; a block of a unit stands for all of its scenes."""
    together = {unit[0]: unit for unit in units}
    held: Boxes = {}
    for split, blocks in groups.items():
        for block in blocks:
            if block.scene in together:
                held.update({(split, i): [Window(0, 0, *project.infos[i].grid.shape)] for i in together[block.scene]})
            else:
                held.setdefault((split, block.scene), []).append(block.window)
    return held


def _require_room(project: Opened, blocks: Sequence[Block]) -> None:
    side, buffer = max(max(b.window.shape) for b in blocks), project.config.split.buffer
    if 2 * buffer >= side:
        raise ConfigError("split-buffer", "split.buffer", f"{buffer} pixels on every side leave nothing of blocks of {side}",
                          "use a smaller split.buffer or a larger split.block")  # fmt: skip


def _blocks(project: Opened, scenes: list[int]) -> list[Block]:
    side = block_side(project, scenes)
    return [
        Block(i, w, class_pixels(project, i, w))
        for i in scenes
        for w in block_windows(*project.infos[i].grid.shape, side)
    ]


def block_side(project: Opened, scenes: Sequence[int]) -> int:
    """The side of spatial blocks in pixels: `split.block`, or as many pixels as give about 16 of them.

    They are no larger than a sample, unless labels resemble each other farther than that: then as large as their range,
    as long as about 16 blocks are left.
    """
    given = project.config.split.block
    if given != "auto":
        return given
    areas = [project.infos[i].grid.height * project.infos[i].grid.width for i in scenes]
    side, most = block_size(areas, project.tile), block_size(areas, max(areas))
    found = label_range(project, scenes)
    why = "about 16 blocks over the training scenes, none larger than a sample"
    if found is not None:
        reach, sure = found
        why += f"; labels resemble each other up to {'' if sure else 'more than '}{reach:.0f} pixels"
        if reach > side and most > side:
            side = min(most, -(-int(np.ceil(reach)) // 32) * 32)
            why = why.replace("none larger than a sample", "as large as that leaves")
    project.decided("split.block", side, why)
    return side


def label_range(project: Opened, scenes: Sequence[int]) -> tuple[float, bool] | None:
    """The range of the labels' autocorrelation in pixels, and whether it was reached; see `correlation_range`.

    Looks at up to eight scenes, 40 million pixels in all, thinned to planes of at most 256 pixels a side.
    """
    chosen = [scenes[n] for n in sorted({*np.linspace(0, len(scenes) - 1, _SCENES).round().astype(int).tolist()})]
    most = int((_LOOK / len(chosen)) ** 0.5)
    windows = [_middle(project.infos[i].grid.shape, most) for i in chosen]
    step = max(1, *(-(-max(w.shape) // _PLANE) for w in windows))
    planes = []
    for i, window in zip(chosen, windows, strict=True):
        labels = _labels_of(project, i)
        rows = [  # strips of whole steps, so that no large window is held
            labels.read(Window(window.row + top, window.col, min(step * 16, window.height - top), window.width))[::step, ::step]
            for top in range(0, window.height, step * 16)
        ]
        planes.append(np.concatenate(rows))
    return correlation_range(planes, len(project.legend), step)


def _middle(shape: tuple[int, int], most: int) -> Window:
    height, width = (min(n, most) for n in shape)
    return Window((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def class_pixels(project: Opened, scene: int, window: Window | None = None) -> Any:
    """Labelled pixels per class index, int64 (C,), of a scene or of a window of it; streamed."""
    labels = _labels_of(project, scene)
    shape = project.infos[scene].grid.shape
    window = window or Window(0, 0, *shape)
    counts = np.zeros(len(project.legend), np.int64)
    for part in grid_windows(window.height, window.width, 2048, 2048, "keep"):
        indices = labels.read(Window(window.row + part.row, window.col + part.col, part.height, part.width))
        counts += np.bincount(indices.ravel(), minlength=project.legend.ignore + 1)[: len(counts)]
    return counts


def _labels_of(project: Opened, scene: int) -> Labels:
    cache = project.__dict__.setdefault("_labels", {})
    if scene not in cache:
        if len(cache) > 64:
            cache.clear()
        cache[scene] = project.labels(scene)
    return cache[scene]
