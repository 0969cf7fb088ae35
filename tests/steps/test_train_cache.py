"""Wherever samples are kept, and whatever reads them, the same weights are learnt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import swath
from swath.disk.bundle import read_bundle
from swath.disk.stores.store import store_faults
from swath.nets.batches import Batch, Batches, Crop
from swath.nets.waiting import WaitMeter
from swath.steps import train as step

pytest_plugins = ["fixtures_run"]
SHORT = ("train.steps=6", "train.evaluations=2", "train.data=rasters", "train.crop=16")


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "publish_curves", lambda run: run / "curves.png")


def digest(config: Path, *overrides: str) -> str:
    """The checksum of the last weights of a new run."""
    result = swath.train(config, *SHORT, *overrides, overwrite=True)
    return str(read_bundle(Path(result["bundle_last"])).card["weights"]["sha256"])


@pytest.mark.parametrize("memory", ["4GB", "1000"])
def test_otb_024_every_cache_gives_the_same_weights(own_town: Path, memory: str) -> None:
    found = {c: digest(own_town, f"train.cache={c}", f"runtime.memory={memory}") for c in ("auto", "none", "ram", "disk")}
    assert len(set(found.values())) == 1, found
    assert store_faults(own_town.parent / "runs" / "roofs" / "cache.store") == []


def test_nist_029_any_number_of_threads_gives_the_same_weights(own_town: Path) -> None:
    found = {n: digest(own_town, f"runtime.workers={n}", "runtime.memory=1000") for n in (0, 1, 3)}
    assert len(set(found.values())) == 1, found


def test_a_store_may_be_kept_too(own_town: Path) -> None:
    pytest.importorskip("blosc2")
    swath.sample(own_town, "sample.compress=lz4")
    packed = ("sample.compress=lz4", "train.data=store")
    found = {c: digest(own_town, *packed, f"train.cache={c}") for c in ("auto", "none", "ram", "disk")}
    found["rasters"] = digest(own_town)
    assert len(set(found.values())) == 1, found
    cache = own_town.parent / "runs" / "roofs" / "cache.store"
    assert (cache / "records.bin").stat().st_size > (cache.parent / "samples.store" / "records.bin").stat().st_size


def test_the_cache_on_disk_is_made_once(own_town: Path, fingerprint: object) -> None:
    cache = own_town.parent / "runs" / "roofs" / "cache.store" / "card.json"
    digest(own_town, "train.cache=disk")
    made = cache.stat().st_mtime_ns
    digest(own_town, "train.cache=disk", "train.seed=3")
    assert cache.stat().st_mtime_ns == made
    digest(own_town, "train.cache=disk", "sample.tile=48")
    assert cache.stat().st_mtime_ns != made


def test_nist_032_a_slow_reader_is_warned_about(
    own_town: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first batch takes long to read; what the meter hears of 30 steps is then as if all of them did, later none."""
    heard: list[tuple[float, float]] = []
    plain = Batches._fill

    class Meter(WaitMeter):
        def add(self, waited: float, spent: float) -> str | None:
            heard.append((waited, spent))
            return super().add(0.9 if len(heard) <= 30 else 0.0, 1.0)

    def fill(self: Batches, crops: Sequence[Crop], first: int, batch: Batch) -> None:
        if crops[0][0] == 0:
            time.sleep(0.2)
        plain(self, crops, first, batch)

    monkeypatch.setattr(Batches, "_fill", fill)
    monkeypatch.setattr(step, "WaitMeter", lambda advice: Meter(advice, steps=8, seconds=0.05))
    long = [s.replace("steps=6", "steps=120") for s in SHORT]
    result = swath.train(own_town, *long, "runtime.workers=0")  # read in the step, so that all of the sleep is waiting
    assert len(heard) == 120
    assert 0.2 <= heard[0][0] <= heard[0][1], "the wait for a batch is part of its step"
    assert all(0 <= waited <= spent for waited, spent in heard)
    said = capsys.readouterr().err
    assert said.count("warning: training waits for data") == 1
    assert "make a store (swath sample CONFIG)" in said
    assert said.index("warning: training waits") < said.index("training no longer waits for data")
    shares = [json.loads(line)["waiting_seconds_share"] for line in (Path(result["run"]) / "metrics.jsonl").read_text().splitlines()]
    assert shares == [0.45, 0.0]


def test_nist_031_an_interrupted_training_ends_at_once(own_town: Path) -> None:
    words = [sys.executable, "-m", "swath", "train", str(own_town), "train.data=rasters", "train.steps=1000000", "runtime.memory=1000",
             "train.evaluations=1"]  # fmt: skip
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a runner in the background may ignore it
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heard)  # noqa: PLW1509  no thread runs yet
    deadline = time.monotonic() + 300
    while not (own_town.parent / "runs" / "roofs" / "settings.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, said
