"""Open datasets of threads: each thread has its own, and no more of them than a process may hold open."""

from __future__ import annotations

from collections.abc import Callable
from threading import local
from typing import Any
from weakref import WeakKeyDictionary

MOST = 64  # open datasets per thread: a manifest may have thousands of scenes, a process about a thousand files


class Handle:
    """A dataset that every thread opens for itself when it needs it.

    `open_` gives an open dataset, and what else is to be closed after it. Beyond `MOST` a thread closes those that it used
    longest ago; they are opened again when they are needed. A handle that nothing refers to closes its datasets, so `open_`
    must not refer to the owner of the handle: it is called with `arguments`.
    """

    def __init__(self, open_: Callable[..., tuple[Any, ...]], *arguments: Any) -> None:
        self._open, self._arguments = open_, arguments

    def get(self) -> Any:
        """The dataset of this thread, good until the thread has used `MOST` others."""
        mine: WeakKeyDictionary[Handle, tuple[Any, ...]] = _threads.__dict__.setdefault("mine", WeakKeyDictionary())
        found = mine.pop(self, None) or self._open(*self._arguments)
        mine[self] = found
        while len(mine) > MOST:
            oldest = next(iter(mine.items()), None)
            if oldest is None:
                break
            mine.pop(oldest[0], None)
            for dataset in oldest[1]:
                dataset.close()
        return found[0]


_threads = local()
