"""Things as another process gets them."""

from __future__ import annotations

import multiprocessing
from typing import TypeVar

T = TypeVar("T")


def passed_on(thing: T) -> T:
    """The copy that another process would be given."""
    queue = multiprocessing.Queue()
    try:
        queue.put(thing)
        copy: T = queue.get(timeout=60)
        return copy
    finally:
        queue.close()
        queue.join_thread()
