"""One process at a time in a run: two that trained there would take each other's checkpoints away."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.core.errors import ResourceError


@contextmanager
def only_one(run: Path, doing: str) -> Iterator[None]:
    """The run's directory is held inside the block; a kill gives it back. Raises ResourceError where another process has it.

    Where the file system knows no locks, nobody is kept out.
    """
    handle = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise ResourceError("locked", run, f"another process is {doing} there", "wait for it, or set output=DIR") from e
        yield
    finally:
        os.close(handle)
