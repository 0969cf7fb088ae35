"""Which executor walks a raster, with which tile and margin, and whether the result is exact; with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swath.config import PredictSpec
from swath.core.stitch import Rows
from swath.core.windows import up
from swath.disk.raster import RasterReader
from swath.engines.predictor import Predictor
from swath.engines.tiles import TilePlan, run_tiles

ACTIVATION_BYTES = 600  # per pixel of a tile: about two float32 layers of 64 channels at full resolution, measured
EFFECTIVE = 0.5  # share of the radius that `margin: effective` keeps


@dataclass(frozen=True)
class Choice:
    """The way a raster is predicted; `run(advance)` does it, `margin` in pixels, `overhead` = pixels computed / pixels."""

    executor: str
    run: Callable[[Callable[[float], None]], Iterator[Rows]]
    tiles: int
    margin: int
    exact: bool
    overhead: float
    because: str


def choose(reader: RasterReader, predictor: Predictor, spec: PredictSpec) -> Choice:
    """The executor for a raster by the config's `predict` section."""
    return choose_tiles(reader, predictor, spec)


def choose_tiles(reader: RasterReader, predictor: Predictor, spec: PredictSpec, because: str = "") -> Choice:
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
    core = core_side(reader, spec, margin, stride) if spec.tile == "auto" else up(spec.tile, stride)
    plan = TilePlan(core, margin, spec.batch_size, blend, spec.overlap)
    tiles = plan.tiles(*reader.grid.shape, stride)
    computed = sum(t.read.area for t in tiles)
    return Choice(
        "tiles", lambda advance: run_tiles(reader, predictor, plan, advance), len(tiles), margin, exact,
        computed / (reader.grid.height * reader.grid.width), because or f"tiles of {core} with a margin of {margin}",
    )  # fmt: skip


def core_side(reader: RasterReader, spec: PredictSpec, margin: int, stride: int) -> int:
    """The largest core side whose tile fits into the memory, at most the raster's own size."""
    side = int((spec.memory / ACTIVATION_BYTES / spec.batch_size) ** 0.5) - 2 * margin
    largest = up(max(reader.grid.shape), stride)
    return max(stride, min(largest, max(side, 64) // stride * stride))
