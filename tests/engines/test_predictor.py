"""The predictor's input is what training saw, bit for bit, and its output is probabilities."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_town import corner, pixels, squares, truth, write_image

from swath.core.errors import ConfigError, DataError
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterReader
from swath.engines.predictor import TorchPredictor, load_predictor

pytest_plugins = ["fixtures_run"]


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> TorchPredictor:
    return load_predictor(bundle, device="cpu", threads=1)[0]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_the_model_input_is_that_of_the_bands(predictor: TorchPredictor, dtype: str) -> None:
    rng = np.random.default_rng(0)
    raw = (rng.random((2, 3, 17, 23)) * 250).astype(dtype)
    for valid in (np.ones((2, 17, 23), bool), rng.random((2, 17, 23)) > 0.3):
        found = predictor.scaled(raw, valid)
        expected = np.stack([predictor.bands.scale(r, v) for r, v in zip(raw, valid, strict=True)])
        assert found.dtype == torch.float32
        assert np.array_equal(found.numpy(), expected)


def test_scores_are_probabilities_of_every_class(predictor: TorchPredictor) -> None:
    raw = pixels(truth(squares(5)), 5)[None]
    scores = predictor(raw, np.ones((1, 96, 96), bool))
    assert scores.shape == (1, 2, 96, 96)
    assert scores.dtype == np.float32
    assert np.abs(scores.sum(1) - 1).max() < 1e-6
    found = scores[0].argmax(0)
    assert (found == truth(squares(5))).mean() > 0.9


def test_what_is_not_valid_does_not_matter(predictor: TorchPredictor) -> None:
    raw = pixels(truth(squares(5)), 5)[None]
    valid = np.ones((1, 96, 96), bool)
    valid[:, 20:40] = False
    other = raw.copy()
    other[:, :, 20:40] = 65535
    assert np.array_equal(predictor(raw, valid), predictor(other, valid))


def test_scaling_by_image_is_fitted_on_the_whole_raster(predictor: TorchPredictor, tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.tif", pixels(truth(squares(5)), 5) * np.uint16(3), corner(0))
    reader = RasterReader(image)
    assert predictor.on(reader) is predictor
    by_image = replace(predictor, bands=replace(predictor.bands, scope="image")).on(reader)
    raw, valid = reader.read(Window(0, 0, 96, 96))
    x = by_image.scaled(raw[None], valid[None])[0]
    assert torch.allclose(x.mean((1, 2)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(x.std((1, 2)), torch.ones(3), atol=1e-3)


def test_the_bundle_is_proven_before_it_predicts(copied_bundle: Path, bundle: Path) -> None:
    found, read = load_predictor(bundle, device="cpu", threads=1)
    assert (found.stride, found.radius, found.backend, found.identity) == (4, 23, "torch", read.identity)
    assert not found.net.training
    card = json.loads((copied_bundle / "card.json").read_text())
    card["bands"]["offset"][0] += 1e-3
    (copied_bundle / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="its preprocessing differs from training"):
        load_predictor(copied_bundle, device="cpu", threads=1)


@pytest.mark.parametrize("device", ["gpu", "cpuu"])
def test_a_device_that_is_none(bundle: Path, device: str) -> None:
    with pytest.raises(ConfigError, match="is no device; write auto, cpu, cuda or cuda:0"):
        load_predictor(bundle, device=device)


def test_the_number_of_threads_is_what_was_asked(bundle: Path) -> None:
    set_before = torch.get_num_threads()
    try:
        load_predictor(bundle, device="cpu", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(set_before)


def test_one_call_answers_for_many_tiles(predictor: TorchPredictor) -> None:
    raw = np.stack([pixels(truth(squares(n)), n)[:, :64, :64] for n in range(3)])
    valid = np.ones((3, 64, 64), bool)
    together = predictor(raw, valid)
    for i in range(3):
        assert np.abs(together[i] - predictor(raw[i : i + 1], valid[i : i + 1])[0]).max() < 1e-5
