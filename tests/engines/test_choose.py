"""What a raster is predicted with: rows or tiles, margin, exact or not, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image

from swath.core.errors import ConfigError, DataError
from swath.disk.rasters.raster import RasterReader
from swath.engines.choose import Choice, choose, core_side
from swath.engines.predictor import TorchPredictor, load_predictor
from swath.specs import PredictSpec

pytest_plugins = ["fixtures_run"]


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> TorchPredictor:
    return load_predictor(bundle, device="cpu", threads=1)[0]


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> RasterReader:
    labels = truth(squares(4, 144), 144, 144)[:130, :143]
    return RasterReader(write_image(tmp_path_factory.mktemp("c") / "a.tif", pixels(labels, 4), corner(4)))


def scores(choice: Choice) -> np.ndarray:
    found = np.full((2, 130, 143), np.nan, np.float32)
    for rows in choice.run(lambda _: None, {}):
        found[:, rows.start : rows.stop, rows.col : rows.col + rows.scores.shape[2]] = rows.scores
    return found


@pytest.mark.parametrize(
    ("spec", "executor", "margin", "exact"),
    [
        ({}, "rows", 0, True),
        ({"executor": "rows"}, "rows", 0, True),
        ({"executor": "tiles"}, "tiles", 24, True),
        ({"tile": 64}, "tiles", 24, True),
        ({"margin": 23}, "tiles", 24, True),
        ({"margin": 40}, "tiles", 40, True),
        ({"margin": 8}, "tiles", 8, False),
        ({"margin": 0}, "tiles", 0, False),
        ({"margin": "effective"}, "tiles", 12, False),
    ],
)
def test_the_settings_decide(
    reader: RasterReader, predictor: TorchPredictor, spec: dict[str, Any], executor: str, margin: int, exact: bool
) -> None:
    found = choose(reader, predictor, PredictSpec(**spec))
    assert (found.executor, found.margin, found.exact) == (executor, margin, exact)
    assert found.because
    assert found.tiles >= 1
    assert found.overhead >= 1


def test_every_exact_way_gives_the_same(reader: RasterReader, predictor: TorchPredictor) -> None:
    ways = ({"executor": "rows"}, {"executor": "rows", "strip": 16}, {"executor": "tiles"}, {"tile": 40, "batch_size": 3}, {"margin": 60})
    found = [scores(choose(reader, predictor, PredictSpec(**w))) for w in ways]
    for other in found[1:]:
        assert np.abs(found[0] - other).max() <= 1e-5


def test_an_infinite_radius_is_blended_and_said_so(reader: RasterReader, predictor: TorchPredictor) -> None:
    endless = replace(predictor, radius=None)
    found = choose(reader, endless, PredictSpec(tile=64))
    assert (found.executor, found.margin, found.exact) == ("tiles", 0, False)
    assert "whole image" in found.because
    assert np.abs(scores(found).sum(0) - 1).max() < 1e-5
    fixed = choose(reader, endless, PredictSpec(tile=64, margin=32))
    assert (fixed.margin, fixed.exact) == (32, False)
    with pytest.raises(ConfigError, match=r"whole image.*; use predict\.executor=tiles"):
        choose(reader, endless, PredictSpec(executor="rows"))


def test_tiles_are_rounded_to_the_stride(reader: RasterReader, predictor: TorchPredictor) -> None:
    found = choose(reader, predictor, PredictSpec(tile=50))
    assert found.tiles == 3 * 3
    assert found.overhead > 1.3


@pytest.mark.parametrize(("memory", "side"), [(10**12, 144), (30_000_000, 144), (10_000_000, 80), (1, 64)])
def test_the_memory_bounds_the_tile(reader: RasterReader, memory: int, side: int) -> None:
    assert core_side(reader, PredictSpec(memory=memory), 24, 4) == side


@pytest.mark.parametrize("executor", ["rows", "tiles"])
def test_scores_that_are_no_numbers_are_told(reader: RasterReader, predictor: TorchPredictor, executor: str) -> None:
    far = replace(predictor, bands=replace(predictor.bands, gain=(1e38,) * 3))
    with pytest.raises(DataError, match=r"a\.tif rows 0-\d+: the network's scores are no numbers: .* `swath info`"):
        list(choose(reader, far, PredictSpec(executor=executor)).run(lambda _: None, {}))
