"""The device is chosen at run time; what runs on a GPU runs here on whatever there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swath.core.bands import Bands
from swath.core.errors import ConfigError, ResourceError
from swath.nets.batches import Scaler, as_float
from swath.nets.device import bf16_is_fast, choose_device, choose_precision, reading_threads, set_threads
from swath.nets.losses import build_loss
from swath.nets.network import class_indices, probabilities
from swath.nets.zoo import build_net

DEVICES = [torch.device("cpu"), *(torch.device("cuda", i) for i in range(min(1, torch.cuda.device_count())))]


def test_auto_is_a_gpu_if_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(ResourceError, match=r"has \d+ GPUs"):
        choose_device("cuda:63")
    with pytest.raises(ConfigError, match="is no device"):
        choose_device("gpu please")


def test_precision_follows_the_processor() -> None:
    assert choose_precision("fp32", DEVICES[0]) == torch.float32
    assert choose_precision("bf16", DEVICES[0]) == torch.bfloat16
    expected = torch.bfloat16 if bf16_is_fast(DEVICES[0]) else torch.float32
    assert choose_precision("auto", DEVICES[0]) == expected


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    assert set_threads(1) == torch.get_num_threads() == 1
    assert set_threads("auto") >= 1
    torch.set_num_threads(before)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_raw_pixels_of_any_type_become_the_same_input(device: torch.device, dtype: str) -> None:
    raw = np.random.default_rng(0).integers(0, 120, (2, 3, 5, 7)).astype(dtype)
    valid = np.ones((2, 5, 7), bool)
    valid[0, 2] = False
    bands = Bands((1, 2, 3), ("a", "b", "c"), (0.5, 0.01, 3.0), (-1.0, 0.25, 7.0))
    found = Scaler(lambda _: bands, device)(torch.from_numpy(raw), torch.from_numpy(valid), [0, 1]).cpu().numpy()
    expected = np.stack([bands.scale(r, v) for r, v in zip(raw, valid, strict=True)])
    assert np.array_equal(found, expected)
    assert np.array_equal(as_float(torch.from_numpy(raw), device).cpu().numpy(), raw.astype(np.float32))


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_a_step_and_its_scores_run_on_the_device(device: torch.device) -> None:
    net = build_net("unet", 3, 4, {"depth": 2, "width": 4}).to(device, memory_format=torch.channels_last)
    x = torch.randn(2, 3, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, 4, (2, 16, 16), device=device).to(torch.uint8)
    with torch.autocast(device.type, torch.bfloat16):
        logits = net(x)
    build_loss({"ce": 1.0, "dice": 0.5}, ignore=255)(logits.float(), target).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    scores = probabilities(logits.detach())
    assert torch.allclose(scores.sum(1), torch.ones(2, 16, 16, device=device), atol=1e-5)
    assert torch.equal(class_indices(logits.detach().float()).long(), logits.detach().float().argmax(1))


def test_gdl_104_reading_threads_follow_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 0), (2, 2), (64, 2)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert reading_threads("auto") == threads
        assert reading_threads(0) == 0
        assert reading_threads(7) == 7
