"""Locks that no copy in another process shares."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any


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
