"""The tile executor: any network, tile by tile. Exact with a margin of the network's radius, else blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.blend import weights
from swath.core.stitch import Rows, Stitcher
from swath.core.windows import Tile, grid_windows, margin_tiles, up
from swath.disk.sources.images import Reader
from swath.engines.extend import extended_shape, read_extended
from swath.engines.predictor import Predictor

Read = tuple[Tile, NDArray[Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class TilePlan:
    """How a raster is cut: core side and margin in pixels; with `blend` overlapping tiles are averaged instead.

    `rows` makes cores lower than they are wide, so that the band of rows in which tiles are put together stays small.
    """

    core: int
    margin: int
    batch_size: int = 1
    blend: str | None = None
    overlap: float = 0.5
    rows: int | None = None

    def tiles(self, height: int, width: int, stride: int) -> list[Tile]:
        """The tiles of a raster, ordered by row."""
        tall, wide = extended_shape(height, width, stride)
        if self.blend is None:
            return list(
                margin_tiles(tall, wide, (min(self.core, self.rows or self.core), self.core), self.margin, stride)
            )
        side = up(min(self.core, max(tall, wide)), stride)
        step = max(stride, int(side * (1 - self.overlap)) // stride * stride)
        boxes = sorted(grid_windows(tall, wide, side, step, "shift"))
        return [Tile(read=b.clip(tall, wide), core=b.clip(tall, wide)) for b in boxes]


def run_tiles(
    reader: Reader, predictor: Predictor, plan: TilePlan, advance: Callable[[float], None] = lambda _: None,
    start: int = 0,
) -> Iterator[Rows]:  # fmt: skip
    """Finished rows of the raster, in order, each once, from `start` or a little above. Tiles without a valid pixel
    are not computed.
    """
    height, width = reader.grid.shape
    tiles = [t for t in plan.tiles(height, width, predictor.stride) if t.core.row_end > start]
    if start >= height or not tiles:
        return
    stitcher, masks = Stitcher(height, width, tiles[0].core.row), Stitcher(height, width, tiles[0].core.row)
    classes = len(predictor.legend)
    starts = [t.core.row for t in tiles[1:]] + [height]
    for found, last in _read_ahead(reader, _groups(tiles, plan.batch_size)):
        for (tile, _, valid), scores in zip(found, _answers(predictor, found, classes), strict=True):
            rows, cols = tile.core_in_read
            share = weights(plan.blend, *tile.core.shape) if plan.blend else None
            stitcher.add(tile.core, scores[:, rows, cols], share)
            masks.add(tile.core, valid[None, rows, cols].astype(np.float32))
            advance(tile.core.clip(height, width).area)
        for done, mask in zip(stitcher.finished(starts[last]), masks.finished(starts[last]), strict=True):
            yield Rows(done.start, done.scores, mask.scores[0] > 0.5)


def _groups(tiles: Sequence[Tile], size: int) -> Iterator[tuple[list[Tile], int]]:
    """Runs of at most `size` tiles of one row of tiles and one shape, each with the position of its last tile."""
    group: list[Tile] = []
    for i, tile in enumerate(tiles):
        group.append(tile)
        following = tiles[i + 1] if i + 1 < len(tiles) else None
        joined = (
            following is not None and following.read.shape == tile.read.shape and following.core.row == tile.core.row
        )
        if len(group) == size or not joined:
            yield group, i
            group = []


def _read_ahead(reader: Reader, groups: Iterator[tuple[list[Tile], int]]) -> Iterator[tuple[list[Read], int]]:
    """The pixels of each group's tiles; the next group is read by a thread while this one is computed."""

    def read(group: list[Tile]) -> list[Read]:
        return [(tile, *read_extended(reader, tile.read)) for tile in group]

    with ThreadPoolExecutor(1, "swath-read") as pool:
        waiting: tuple[Any, int] | None = None
        for group, last in groups:
            following = pool.submit(read, group), last
            if waiting is not None:
                yield waiting[0].result(), waiting[1]
            waiting = following
        if waiting is not None:
            yield waiting[0].result(), waiting[1]


def _answers(predictor: Predictor, found: Sequence[Read], classes: int) -> list[NDArray[np.float32]]:
    """Scores (K, h, w) per tile; zeros where the core holds no valid pixel, without asking the model."""
    asked = [i for i, (tile, _, valid) in enumerate(found) if valid[tile.core_in_read].any()]
    empty = (classes, *found[0][0].read.shape)
    answers = (
        [np.zeros(empty, np.float32) for _ in found]
        if len(asked) < len(found)
        else [np.empty(0, np.float32)] * len(found)
    )
    if asked:
        raw, valid = np.stack([found[i][1] for i in asked]), np.stack([found[i][2] for i in asked])
        for i, scores in zip(asked, predictor(raw, valid), strict=True):
            answers[i] = scores
    return answers
