"""Wherever samples are kept, and whatever reads them, the same weights are learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

import swath
from swath.disk.bundle import read_bundle
from swath.disk.store import store_faults
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
