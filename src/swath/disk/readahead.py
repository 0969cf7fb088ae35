"""Work done ahead by threads, its results in the order of the items: for reading, where GDAL and NumPy let others run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def read_ahead(
    work: Callable[[A], B], items: Iterable[A], *, threads: int = 2, ahead: int = 4
) -> Generator[B, None, None]:
    """`work(item)` for every item in order, at most `ahead` of them begun and not yet taken.

    Closing the generator, or an error in it, lets what has begun end and begins nothing more: no thread stays.
    """
    queue: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, "swath-ahead") as pool:
        try:
            for item in items:
                queue.append(pool.submit(work, item))
                if len(queue) >= ahead:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()
