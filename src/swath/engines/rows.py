"""The row executor: a traced network of finite radius walks the raster strip by strip, and nothing is computed twice.

Wide rasters are cut into bands of columns with margins on two sides; within a band strips join exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swath.core.stitch import Rows
from swath.core.windows import Tile, Window, strips, up
from swath.disk.sources.images import Reader
from swath.engines.extend import extended_shape, read_extended
from swath.engines.predictor import TorchPredictor
from swath.engines.rowgraph import RowGraph
from swath.engines.rowstream import RowStream
from swath.nets.network import probabilities

BAND_STEP = 512  # bands begin on multiples of it, so that each block of the output is written by one band
Pixels = tuple[NDArray[Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class RowsPlan:
    """How a raster is streamed: rows per strip, columns a band answers for, and the margin on its two sides."""

    strip: int
    band: int
    margin: int

    def bands(self, height: int, width: int, stride: int) -> list[Tile]:
        """The bands of columns of the extended raster, left to right; one, without margin, where the width fits."""
        tall, wide = extended_shape(height, width, stride)
        found = []
        for col in range(0, wide, self.band):
            core = Window(0, col, tall, min(self.band, wide - col))
            read = Window.span(0, core.col - self.margin, tall, core.col_end + self.margin).clip(tall, wide)
            found.append(Tile(read, core))
        return found


def run_rows(
    reader: Reader, predictor: TorchPredictor, graph: RowGraph, plan: RowsPlan,
    advance: Callable[[float], None] = lambda _: None, starts: Mapping[int, int] | None = None,
) -> Iterator[Rows]:  # fmt: skip
    """Finished rows of the raster, in order within each band of columns, each pixel once.

    `starts` (first column of a band -> row) says where a band goes on; the rows above that it depends on are read again.
    """
    height, width = reader.grid.shape
    for band in plan.bands(height, width, predictor.stride):
        start = (starts or {}).get(band.core.col, 0)
        if band.core.clip(height, width).area and start < height:
            first = resume_row(start, graph.radius_rows[0], up(plan.strip, predictor.stride))
            lower = Tile(_below(band.read, first), _below(band.core, first))
            yield from _stream_band(reader, predictor, graph, lower, plan.strip, advance)


def resume_row(start: int, above: int, strip: int) -> int:
    """The row at which a stream begins anew so that rows from `start` on come out as if it had never stopped.

    It lies on a strip of the first pass, above everything `start` depends on, and one strip more, so that every layer
    is fed as it was.
    """
    return max(0, (start - above) // strip - 1) * strip


def _below(window: Window, row: int) -> Window:
    return Window(row, window.col, window.row_end - row, window.width)


def _stream_band(
    reader: Reader,
    predictor: TorchPredictor,
    graph: RowGraph,
    band: Tile,
    strip: int,
    advance: Callable[[float], None],
) -> Iterator[Rows]:
    height, width = reader.grid.shape
    core = band.core.clip(height, width)
    columns = slice(core.col - band.read.col, core.col_end - band.read.col)
    stream, masks, done = RowStream(graph, band.read.height), _Masks(), band.read.row
    for raw, valid in _strips_ahead(reader, band.read, strip):
        masks.push(valid[:, columns])
        with torch.inference_mode():
            logits = stream.push(predictor.scaled(raw[None], valid[None]))
            scores = None if logits is None else probabilities(logits[:, :, :, columns])[0].cpu().numpy()
        if scores is None:
            continue
        mask = masks.take(scores.shape[1])
        keep = min(scores.shape[1], height - done)
        if keep > 0:
            yield Rows(done, scores[:, :keep], mask[:keep], core.col)
            advance(keep * core.width)
        done += scores.shape[1]


def _strips_ahead(reader: Reader, box: Window, strip: int) -> Iterator[Pixels]:
    """The pixels of consecutive strips of a band; the next strip is read by a thread while this one is computed."""
    with ThreadPoolExecutor(1, "swath-read") as pool:
        waiting: Future[Pixels] | None = None
        for start, stop in strips(box.height, strip):
            following = pool.submit(read_extended, reader, Window(box.row + start, box.col, stop - start, box.width))
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


class _Masks:
    """Valid masks of rows that went in and have not come out yet."""

    def __init__(self) -> None:
        self._parts: deque[NDArray[np.bool_]] = deque()

    def push(self, mask: NDArray[np.bool_]) -> None:
        self._parts.append(mask)

    def take(self, rows: int) -> NDArray[np.bool_]:
        """The next `rows` rows, in order."""
        taken: list[NDArray[np.bool_]] = []
        while rows > 0:
            part = self._parts.popleft()
            taken.append(part[:rows])
            if len(part) > rows:
                self._parts.appendleft(part[rows:])
            rows -= len(taken[-1])
        return np.concatenate(taken)


def plan_rows(graph: RowGraph, height: int, width: int, *, stride: int, memory: int, strip: int | None) -> RowsPlan:
    """Strip and band that fit into `memory` bytes: whole width with tall strips where that fits, else bands."""
    _, wide = extended_shape(height, width, stride)
    margin = up(max(graph.radius_columns), stride)
    rows = strip or graph.best_strip(wide, memory)
    if graph.peak_bytes(wide, rows) <= memory:
        return RowsPlan(rows, up(wide, BAND_STEP), 0)
    count = 2
    while (band := up(-(-wide // count), BAND_STEP)) > BAND_STEP and graph.peak_bytes(band + 2 * margin, rows) > memory:
        count += 1
    return RowsPlan(rows, band, margin)
