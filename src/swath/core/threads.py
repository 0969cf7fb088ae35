"""What each thread or process has of its own: open files and locks that no copy of a reader shares with another.

A process that was forked has the descriptors of its parent, and with them one common position in each file: two that
read by turns would give each other's bytes. A copy in another process, forked or unpickled, therefore opens anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock, local
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerThread(Generic[T]):
    """`make()`, called once per thread of each process: `own()` is what this thread has."""

    def __init__(self, make: Callable[[], T]) -> None:
        self.make = make
        self._kept = local()

    def __call__(self) -> T:
        if getattr(self._kept, "process", None) != os.getpid():
            self._kept.value, self._kept.process = self.make(), os.getpid()
        value: T = self._kept.value
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return PerThread, (self.make,)


class OwnLock:
    """A lock of the threads of one process: a copy of it in another process begins unlocked."""

    def __init__(self) -> None:
        self._lock, self._process = Lock(), os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._lock, self._process = Lock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnLock, ()
