"""Waiting for data is warned about once, with what to do about it, and its end is told."""

from __future__ import annotations

import pytest

from swath.nets.waiting import WaitMeter, waiting_advice


def told(meter: WaitMeter, shares: list[float], spent: float = 0.5) -> list[tuple[int, str]]:
    found = [(n, meter.add(share * spent, spent)) for n, share in enumerate(shares)]
    return [(n, text) for n, text in found if text]


def test_nist_032_one_warning_and_one_recovery() -> None:
    found = told(WaitMeter("do this", steps=10), [0.9] * 20 + [0.0] * 20 + [0.9] * 20)
    assert [n for n, _ in found] == [9, 28]
    assert found[0][1] == "warning: training waits for data 90% of the time; do this"
    assert found[1][1] == "training no longer waits for data (9% of the time)"


def test_a_well_fed_training_says_nothing() -> None:
    assert told(WaitMeter("", steps=10), [0.29] * 100) == []


def test_a_slow_start_is_no_starvation() -> None:
    assert told(WaitMeter("", steps=10), [1.0] * 2 + [0.0] * 50) == []
    assert told(WaitMeter("", steps=10), [1.0] * 50, spent=0.01) == []


def test_the_share_is_that_since_it_was_last_asked_for() -> None:
    meter = WaitMeter("")
    assert meter.taken() is None
    meter.add(1.0, 2.0)
    meter.add(0.0, 2.0)
    assert meter.taken() == 0.25
    meter.add(0.0, 1.0)
    assert meter.taken() == 0.0


@pytest.mark.parametrize(
    ("source", "codec", "cache", "words"),
    [
        ("rasters", "none", "auto", ["swath sample", "train.cache=disk", "runtime.workers"]),
        ("rasters, kept on disk", "none", "disk", ["swath sample", "runtime.workers"]),
        ("store", "lz4", "auto", ["sample.compress=none", "train.cache=ram"]),
        ("store", "none", "none", ["faster disk", "runtime.workers"]),
    ],
)
def test_the_advice_fits_the_source(source: str, codec: str, cache: str, words: list[str]) -> None:
    text = waiting_advice(source, codec, cache, 2, 8)
    assert all(word in text for word in words)


@pytest.mark.parametrize("source", ["rasters", "store"])
@pytest.mark.parametrize(
    ("threads", "cores", "words"),
    [
        (0, 1, "give it more cores (its one core reads and learns: more threads do not help)"),
        (1, 1, "give it more cores (its one core reads and learns: more threads do not help)"),
        (2, 2, "give it more cores (2 threads read on 2 cores: more threads do not help)"),
        (16, 4, "give it more cores (16 threads read on 4 cores: more threads do not help)"),
        (0, 2, "read with more threads (runtime.workers)"),
        (3, 4, "read with more threads (runtime.workers)"),
    ],
)
def test_more_threads_are_advised_only_where_a_core_is_left(source: str, threads: int, cores: int, words: str) -> None:
    for cache in ("auto", "disk"):
        text = waiting_advice(source, "none", cache, threads, cores)
        assert text.endswith(f"or {words}")
        assert ("runtime.workers" in text) == (words[:4] == "read")
