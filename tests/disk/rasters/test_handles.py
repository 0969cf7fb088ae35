"""Threads open datasets for themselves, hold only so many open, and read the same when one was closed in between."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
from elsewhere import passed_on

from swath.core.windows import Window
from swath.disk.rasters.handles import MOST, Handle
from swath.disk.rasters.raster import RasterReader


class Dataset:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        log.append(f"open {name}")

    def close(self) -> None:
        self.log.append(f"close {self.name}")


def opened(number: int, log: list[str]) -> tuple[Dataset, tuple[Dataset, ...]]:
    """A dataset that stands on another."""
    own, below = Dataset(f"{number}", log), Dataset(f"{number} below", log)
    return own, (own, below)


def test_the_dataset_used_longest_ago_is_closed_with_what_it_stands_on() -> None:
    log: list[str] = []
    handles = [Handle(opened, n, log) for n in range(MOST + 1)]
    kept = [h.get() for h in handles[:MOST]]
    assert handles[0].get() is kept[0]
    handles[MOST].get()
    assert [line for line in log if line.startswith("close")] == ["close 1", "close 1 below"]
    assert handles[0].get() is kept[0]
    assert handles[1].get() is not kept[1]


def test_a_handle_of_its_own_for_every_thread() -> None:
    found: list[object] = []
    handle = Handle(opened, 1, [])
    threads = [Thread(target=lambda: found.append(handle.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(f) for f in [*found, handle.get()]}) == 4


def test_a_forked_process_opens_its_own() -> None:
    handle = Handle(opened, 1, [])
    mine = handle.get()
    with multiprocessing.get_context("fork").Pool(1, initializer=KEPT.append, initargs=(handle,)) as pool:
        assert pool.apply(opened_there) == ["open 1", "open 1 below", "open 1", "open 1 below"]
    assert handle.get() is mine


KEPT: list[Handle] = []


def opened_there() -> list[str]:
    return list(KEPT[0].get().log)


def test_a_handle_of_another_process_opens_its_own() -> None:
    handle = Handle(opened, 1, [])
    mine = handle.get()
    copy = passed_on(handle)
    assert copy.get().name == "1"
    assert copy.get() is not mine


def test_thousands_of_rasters_need_few_open_files(make_raster: Callable[..., Path]) -> None:
    files = [make_raster(f"{n}.tif", np.full((4, 4), n, np.uint8)) for n in range(3 * MOST)]
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    readers = [RasterReader(f) for f in files]
    for _ in range(2):
        assert [int(r.read(Window(0, 0, 4, 4))[0][0, 0, 0]) for r in readers] == list(range(3 * MOST))
    if before:
        assert MOST // 2 < len(os.listdir("/proc/self/fd")) - before <= MOST + 2
        del readers
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) - before <= 2
