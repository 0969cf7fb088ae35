"""Outputs at remote places: made whole in a temporary local directory, then sent; what was sent is compared."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.core.errors import ConfigError
from swath.disk.remote.access import Remote


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """The local directory where the files of `out` are made: `out` itself, or for a remote one a temporary directory.

    Raises ConfigError for a remote place that takes no files.
    """
    if not isinstance(out, Remote):
        yield out
        return
    if out.scheme != "s3":
        raise ConfigError("out-remote", out, "a web server takes no files", "write to s3://bucket/key or to a local path")
    folder = Path(tempfile.mkdtemp(prefix="swath-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_taken(target: Path) -> bool:
    """True where a file of that name is there already. Raises DataError where the server does not tell."""
    return target.head is not None if isinstance(target, Remote) else target.exists()


def send(made: Path, target: Path) -> None:
    """The finished local file under its final name: there already, or sent to its remote place in one piece.

    Until the last byte is there and accepted, the place holds what it held before. Raises DataError.
    """
    if isinstance(target, Remote):
        from swath.disk.remote import bucket

        bucket.put(made, target.bucket, target.key, str(target))
        made.unlink(missing_ok=True)
