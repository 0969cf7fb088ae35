"""Which executor walks a raster, with which tile and margin, and whether the result is exact; with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from swath.core.errors import ConfigError, DataError
from swath.core.stitch import Rows
from swath.core.tiling import largest_core
from swath.core.windows import up
from swath.disk.sources.images import Reader
from swath.engines.grow import grown
from swath.engines.predictor import Predictor, TorchPredictor
from swath.engines.rowgraph import RowGraph, Untraceable, trace_rows
from swath.engines.rows import plan_rows, run_rows
from swath.engines.tiles import TilePlan, run_tiles
from swath.specs import PredictSpec

EFFECTIVE = 0.5  # share of the radius that `margin: effective` keeps


@dataclass(frozen=True)
class Choice:
    """The way a raster is predicted; `run(advance, starts)` does it, from row `starts[col]` on
    in the band of columns that begins at `col` (default 0); `margin` in pixels, `overhead` = pixels computed / pixels."""

    executor: str
    run: Callable[[Callable[[float], None], Mapping[int, int]], Iterator[Rows]]
    tiles: int
    margin: int
    exact: bool
    overhead: float
    because: str


def choose(reader: Reader, predictor: Predictor, spec: PredictSpec) -> Choice:
    """The executor for a raster by the config's `predict` section; its rows have nodata grown as `nodata_grow` says.

    `auto` is row streaming where the network can be traced and its margin is to be exact; else tiles, with the reason.
    Raises ConfigError where `rows` is asked for and cannot be done; its rows DataError where scores are no numbers.
    """
    found = _executor(reader, predictor, spec)

    def run(advance: Callable[[float], None], starts: Mapping[int, int]) -> Iterator[Rows]:
        rows = _finite(found.run(advance, starts), reader)
        return grown(rows, reader, spec.nodata_grow) if spec.nodata_grow else rows

    return replace(found, run=run)


def _finite(found: Iterator[Rows], reader: Reader) -> Iterator[Rows]:
    """The rows. Raises DataError where a score is no number: the best class would be the first one, everywhere."""
    for rows in found:
        if not np.isfinite(rows.scores).all():
            raise DataError("scores-not-finite", f"{reader.path} rows {rows.start}-{rows.stop}",
                            "the network's scores are no numbers: the pixels lie too far from those it was trained on",
                            "look at their values with `swath info`, and declare fill values: bands.nodata_value")  # fmt: skip
        yield rows


def _executor(reader: Reader, predictor: Predictor, spec: PredictSpec) -> Choice:
    if spec.executor == "tiles":
        return choose_tiles(reader, predictor, spec)
    graph, obstacle = streamable(predictor, spec)
    if graph is not None and isinstance(predictor, TorchPredictor):
        return choose_rows(reader, predictor, graph, spec)
    if spec.executor == "rows":
        raise ConfigError("rows-impossible", "predict.executor", obstacle, "use predict.executor=tiles")
    return choose_tiles(reader, predictor, spec, obstacle)


def streamable(predictor: Predictor, spec: PredictSpec) -> tuple[RowGraph | None, str]:
    """The traced network, or None with what stands in the way of streaming rows."""
    if not isinstance(predictor, TorchPredictor):
        return None, f"the {predictor.backend} engine has no graph to walk"
    if predictor.radius is None:
        return None, "the network sees the whole image: tiles are blended"
    if spec.executor == "auto" and (spec.margin != "exact" or spec.tile != "auto"):
        return None, "a tile or a margin was asked for"
    try:
        return trace_rows(predictor.net, predictor.stride, len(predictor.bands)), ""
    except Untraceable as e:
        return None, f"rows cannot be streamed through {e.layer}: {e.reason}"


def choose_rows(reader: Reader, predictor: TorchPredictor, graph: RowGraph, spec: PredictSpec) -> Choice:
    """Row streaming with a strip and bands of columns that fit into the memory."""
    height, width = reader.grid.shape
    strip = None if spec.strip == "auto" else spec.strip
    plan = plan_rows(graph, height, width, stride=predictor.stride, memory=spec.memory, strip=strip)
    bands = plan.bands(height, width, predictor.stride)
    computed = sum(b.read.area for b in bands)
    return Choice(
        "rows", lambda advance, starts: run_rows(reader, predictor, graph, plan, advance, starts),
        sum(-(-b.read.height // plan.strip) for b in bands), plan.margin if len(bands) > 1 else 0, True,
        computed / (height * width), f"strips of {plan.strip} rows in {len(bands)} bands of columns",
    )  # fmt: skip


def choose_tiles(reader: Reader, predictor: Predictor, spec: PredictSpec, because: str = "") -> Choice:
    """Tiles with the margin that the config asks for; blended where the radius is infinite and no margin was given."""
    radius, stride = predictor.radius, predictor.stride
    if isinstance(spec.margin, int):
        margin, exact = spec.margin, radius is not None and spec.margin >= radius
        blend = None
    elif radius is None:
        margin, exact, blend = 0, False, spec.blend
        because = because or "the network sees the whole image: tiles are blended"
    elif spec.margin == "effective":
        margin, exact, blend = round(radius * EFFECTIVE), False, None
    else:
        margin, exact, blend = radius, True, None
    margin = up(margin, stride)
    rows = band_rows(reader, spec, len(predictor.legend), stride)
    core = core_side(reader, spec, margin, stride) if spec.tile == "auto" else up(spec.tile, stride)
    if blend is not None and spec.tile == "auto":
        core = min(core, rows)
    plan = TilePlan(core, margin, spec.batch_size, blend, spec.overlap, rows)
    tiles = plan.tiles(*reader.grid.shape, stride)
    computed = sum(t.read.area for t in tiles)
    return Choice(
        "tiles", lambda advance, starts: run_tiles(reader, predictor, plan, advance, starts.get(0, 0)), len(tiles), margin, exact,
        computed / (reader.grid.height * reader.grid.width), because or f"tiles of {core} with a margin of {margin}",
    )  # fmt: skip


def band_rows(reader: Reader, spec: PredictSpec, classes: int, stride: int) -> int:
    """The most rows of tiles whose scores of all classes take at most half of the memory, whatever the width."""
    row = 8 * (classes + 2) * reader.grid.width  # scores, weights and masks, and the copy that is given out
    return max(stride, min(spec.memory // 2 // row, up(reader.grid.height, stride)) // stride * stride)


def core_side(reader: Reader, spec: PredictSpec, margin: int, stride: int) -> int:
    """The largest core side whose tile fits into the memory, at most the raster's own size."""
    return min(up(max(reader.grid.shape), stride), largest_core(spec.memory, spec.batch_size, margin, stride))
