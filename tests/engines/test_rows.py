"""Row streaming equals the whole image: any strip, any band of columns, any size, begun anew at any row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_town import corner, write_image

from swath.core.bands import Bands
from swath.core.errors import ConfigError
from swath.core.legend import ClassEntry, Legend
from swath.core.stitch import Rows
from swath.disk.rasters.raster import RasterReader
from swath.engines.choose import band_rows, choose
from swath.engines.predictor import TorchPredictor
from swath.engines.rowgraph import trace_rows
from swath.engines.rows import RowsPlan, plan_rows, resume_row, run_rows
from swath.nets.radius import measure_radius
from swath.nets.zoo import build_net
from swath.specs import PredictSpec

LEGEND = Legend(tuple(ClassEntry(i, f"class {i}", "#000000") for i in range(3)))
BANDS = Bands((1, 2), ("a", "b"), (0.01, 0.02), (-1.0, -0.5))
NETS = [("unet", {"depth": 2, "width": 6}), ("unet", {"depth": 1, "width": 4, "up": "bilinear"})]


def predictor(name: str, options: dict) -> TorchPredictor:
    """A network with spread-out statistics of batch norm, as a trained one has."""
    torch.manual_seed(3)
    net = build_net(name, 2, 3, options).eval().to(memory_format=torch.channels_last)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    radius = measure_radius(net, 2, net.stride).pixels
    return TorchPredictor(net, BANDS, LEGEND, net.stride, radius, torch.device("cpu"))


def image(path: Path, height: int, width: int, blocks: int | None = None, nodata: bool = False) -> RasterReader:
    """A noisy uint16 image; with `nodata` a third of its rows and a corner hold none."""
    pixels = np.random.default_rng(height * width).integers(1, 400, (2, height, width)).astype(np.uint16)
    if nodata:
        pixels[:, height // 3 : 2 * height // 3] = 0
        pixels[:, : height // 5, : width // 4] = 0
    options = {"tiled": True, "blockxsize": blocks, "blockysize": blocks} if blocks else {}
    write_image(path, pixels, corner(1), nodata=0, **options)
    return RasterReader.of(path, BANDS)


def assembled(parts: Iterable[Rows], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (3, H, W) and valid (H, W) of all rows; every pixel exactly once, in order within its band."""
    scores, valid = np.full((3, height, width), np.nan, np.float32), np.zeros((height, width), bool)
    seen, following = np.zeros((height, width), int), {}
    for part in parts:
        rows, cols = slice(part.start, part.stop), slice(part.col, part.col + part.scores.shape[2])
        assert part.start == following.get(part.col, part.start)
        following[part.col] = part.stop
        scores[:, rows, cols], valid[rows, cols] = part.scores, part.valid
        seen[rows, cols] += 1
    assert (seen == 1).all()
    return scores, valid


def walked(reader: RasterReader, model: TorchPredictor, **spec: object) -> tuple[np.ndarray, np.ndarray]:
    choice = choose(reader, model, PredictSpec(**spec))
    return assembled(choice.run(lambda _: None, {}), *reader.grid.shape)


def equal(a: np.ndarray, b: np.ndarray) -> None:
    """Probabilities within 1e-5; classes the same but where the two best lie within 1e-5."""
    assert np.abs(a - b).max() <= 1e-5
    best = np.sort(a, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    assert (a.argmax(0) == b.argmax(0))[clear].all()


@pytest.mark.parametrize(("name", "options"), NETS)
@pytest.mark.parametrize(("height", "width"), [(107, 83), (7, 90), (96, 5), (64, 64)])
def test_rows_tiles_and_whole_image_agree(tmp_path: Path, name: str, options: dict, height: int, width: int) -> None:
    model, reader = predictor(name, options), image(tmp_path / "a.tif", height, width, nodata=True)
    whole, valid = walked(reader, model, executor="tiles", tile=512)
    for spec in ({"executor": "tiles", "tile": 32}, {"executor": "tiles", "tile": 48, "batch_size": 3},
                 {"executor": "rows", "strip": 1}, {"executor": "rows", "strip": 37}, {"executor": "rows", "strip": 999}):  # fmt: skip
        scores, mask = walked(reader, model, **spec)
        assert np.array_equal(mask, valid)
        equal(scores[:, valid], whole[:, valid])


def test_threads_and_blocks_change_nothing(tmp_path: Path) -> None:
    model = predictor(*NETS[0])
    found = []
    for threads, blocks in ((1, None), (2, 16), (1, 64)):
        torch.set_num_threads(threads)
        found.append(walked(image(tmp_path / f"{threads}{blocks}.tif", 130, 110, blocks), model)[0])
    torch.set_num_threads(1)
    equal(found[0], found[1])
    equal(found[0], found[2])


@given(height=st.integers(1, 90), width=st.integers(1, 1300), strip=st.integers(1, 70), start=st.floats(0, 1))
@settings(max_examples=12)
def test_bands_and_new_starts_equal_the_whole(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, strip: int, start: float
) -> None:
    model = predictor("unet", {"depth": 1, "width": 2})
    reader = image(tmp_path_factory.mktemp("bands") / "a.tif", height, width)
    graph = trace_rows(model.net, model.stride)
    whole, _ = walked(reader, model, executor="tiles", tile=2048)
    plan = RowsPlan(strip, 512, model.stride * 8)
    scores, _ = assembled(run_rows(reader, model, graph, plan), height, width)
    equal(scores, whole)
    again = int(start * height)
    starts = {col: again for col in range(0, width, 512)}
    for part in run_rows(reader, model, graph, plan, starts=starts):
        rows, cols = slice(max(part.start, again), part.stop), slice(part.col, part.col + part.scores.shape[2])
        part_scores = part.scores[:, max(0, again - part.start) :]
        if part_scores.size:
            equal(part_scores, whole[:, rows, cols])


def test_a_new_start_lies_above_what_it_depends_on() -> None:
    for start in range(0, 900, 37):
        first = resume_row(start, above=100, strip=64)
        assert first % 64 == 0
        assert first == 0 or first + 100 + 64 <= start


def test_less_memory_gives_narrower_bands(tmp_path: Path) -> None:
    model = predictor(*NETS[0])
    graph = trace_rows(model.net, model.stride)
    wide = plan_rows(graph, 5000, 8000, stride=4, memory=8_000_000_000, strip=None)
    tight = plan_rows(graph, 5000, 8000, stride=4, memory=graph.peak_bytes(3000, 4), strip=None)
    assert wide.band >= 8000
    assert wide.margin == 0
    assert tight.band < 8000
    assert tight.margin >= max(graph.radius_columns)
    assert graph.peak_bytes(tight.band + 2 * tight.margin, tight.strip) <= graph.peak_bytes(3000, 4)


def test_the_band_of_tiles_stays_within_the_memory(tmp_path: Path) -> None:
    model = predictor(*NETS[0])
    reader = image(tmp_path / "wide.tif", 300, 900)
    memory = 3_000_000
    choice = choose(reader, model, PredictSpec(executor="tiles", memory=memory))
    rows = band_rows(reader, PredictSpec(memory=memory), 3, model.stride)
    assert rows < 300
    assert rows * 900 * 3 * 8 <= memory / 2
    scores, _ = assembled(choice.run(lambda _: None, {}), 300, 900)
    equal(scores, walked(reader, model, executor="tiles", tile=2048)[0])


def test_what_cannot_be_streamed_is_told(tmp_path: Path) -> None:
    model, reader = predictor("unet", {"depth": 1, "width": 16, "norm": "group"}), image(tmp_path / "a.tif", 60, 60)
    with pytest.raises(ConfigError, match="whole image"):
        choose(reader, model, PredictSpec(executor="rows"))
    choice = choose(reader, model, PredictSpec())
    assert (choice.executor, choice.exact) == ("tiles", False)
