"""Threads open datasets for themselves, hold only so many open, and read the same when one was closed in between."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np

from swath.core.windows import Window
from swath.disk.rasters.handles import MOST, Handle
from swath.disk.rasters.raster import RasterReader


class Dataset:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        log.append(f"open {name}")

    def close(self) -> None:
        self.log.append(f"close {self.name}")


def test_the_dataset_used_longest_ago_is_closed_with_what_it_stands_on() -> None:
    log: list[str] = []
    handles = [Handle(lambda n=n: (Dataset(f"{n}", log), Dataset(f"{n} below", log))) for n in range(MOST + 1)]
    kept = [h.get() for h in handles[:MOST]]
    assert handles[0].get() is kept[0]
    handles[MOST].get()
    assert [line for line in log if line.startswith("close")] == ["close 1", "close 1 below"]
    assert handles[0].get() is kept[0]
    assert handles[1].get() is not kept[1]


def test_a_handle_of_its_own_for_every_thread() -> None:
    found: list[object] = []
    handle = Handle(lambda: (Dataset("one", []),))
    threads = [Thread(target=lambda: found.append(handle.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(f) for f in [*found, handle.get()]}) == 4


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
