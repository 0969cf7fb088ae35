"""Open datasets of threads: each thread of each process has its own, and no more of them than a process may hold open."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import local
from typing import Any
from weakref import WeakKeyDictionary

MOST = 64  # handles open per thread: a manifest may have thousands of scenes, a process about a thousand files


class Handle:
    """What every thread opens for itself when it needs it.

    `open_(*arguments)` gives (what is used, the datasets to close after it). Beyond `MOST` a thread closes what it used
    longest ago; it is opened again when it is needed. A handle that nothing refers to closes its datasets, so `open_` must
    not refer to the owner of the handle. A copy in another process, forked or unpickled, opens anew: descriptors that
    processes share have one position, and two that read by turns would give each other's bytes.
    """

    def __init__(self, open_: Callable[..., tuple[Any, Sequence[Any]]], *arguments: Any) -> None:
        self._open, self._arguments = open_, arguments

    def get(self) -> Any:
        """What this thread has open, good until the thread has used `MOST` others."""
        mine = _mine()
        found = mine.pop(self, None) or self._open(*self._arguments)
        mine[self] = found
        while len(mine) > MOST:
            oldest = next(iter(mine.items()), None)
            if oldest is None:
                break
            mine.pop(oldest[0], None)
            for dataset in oldest[1][1]:
                dataset.close()
        return found[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return Handle, (self._open, *self._arguments)


_threads = local()


def _mine() -> WeakKeyDictionary[Handle, tuple[Any, Sequence[Any]]]:
    """What this thread of this process has open, in the order of use."""
    if getattr(_threads, "process", None) != os.getpid():
        _threads.mine, _threads.process = WeakKeyDictionary(), os.getpid()
    mine: WeakKeyDictionary[Handle, tuple[Any, Sequence[Any]]] = _threads.mine
    return mine
