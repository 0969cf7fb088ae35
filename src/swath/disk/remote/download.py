"""Local copies: of remote files, gone on with after a break and compared with what the server says of them; and of
databases beside which SQLite would write when it reads them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from swath.core.errors import DataError, ResourceError
from swath.disk.publish import publish, require_space, resources_explained
from swath.disk.remote import replies
from swath.disk.remote.access import Remote
from swath.disk.remote.replies import Head, too_large

MAX_COPY = 1_000_000_000  # bytes of a vector file that is copied unasked
_BLOCK = 1 << 20
_PASSING = {"remote-unreached", "remote-timeout", "remote-failed"}
_SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")


def part_of(target: Path, head: Head) -> Path:
    """Where the bytes of a download wait until it is whole; a file that changed at its source gets another one."""
    return target.with_name(f".{target.name}.{head.identity}.part")


def download(
    place: Remote, head: Head, target: Path, advance: Callable[[int], object] = lambda _: None,
    verify: Callable[[Path], object] | None = None,
) -> Path:  # fmt: skip
    """The local file `target` with the content of a remote one, whole and checked by `verify(path)`.

    What an earlier start left is gone on with where the server allows it. `advance` is called with bytes as they
    come. Raises DataError where the connection broke (the bytes are kept) or the content is not the stated one (they
    are not), ResourceError where another process is at it or the disk is full.
    """
    part = part_of(target, head)
    with resources_explained(target, head.size):
        for other in target.parent.glob(f".{_escaped(target.name)}.*.part"):
            if other != part:
                other.unlink(missing_ok=True)
        have = part.stat().st_size if part.exists() else 0
        require_space(target, max(0, head.size - have))
        with part.open("ab") as lock:  # publish: bytes on their way, that outlive a break
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                raise ResourceError("busy", target, "another process is copying it", "wait for it") from e
            _complete(place, head, part, advance)
            try:
                _checked(place, head, part, verify)
            except DataError:
                part.unlink(missing_ok=True)
                raise
            return publish(target, lambda made: os.replace(part, made))


def local_copy(place: Path, limit: int = MAX_COPY) -> Path:
    """The file itself, or a copy that lasts as long as the process: of a remote one, and of a GeoPackage with a
    write-ahead log, which is not read without making files beside it. Raises DataError.
    """
    if not isinstance(place, Remote):
        return _still(place, *_state(place)) if _has_log(place) else place
    copy = _copied(place, place.found(), limit)
    if place.suffix.lower() == ".shp":
        for suffix in _SHAPEFILE:
            other = place.with_suffix(suffix)
            if other.exists():
                beside = copy.with_suffix(suffix)
                if not beside.exists():
                    download(other, other.found(), beside)
    return copy


def _has_log(path: Path) -> bool:
    """True for an SQLite file in the mode of a write-ahead log, by its header."""
    if path.suffix.lower() not in (".gpkg", ".sqlite") or not path.is_file():
        return False
    with path.open("rb") as f:
        head = f.read(20)
    return head.startswith(b"SQLite format 3\0") and head[18:] == b"\2\2"


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a database or its log does."""
    there = [p.stat() for p in (path, path.with_name(f"{path.name}-wal")) if p.exists()]
    return tuple(n for s in there for n in (s.st_size, s.st_mtime_ns))


@cache
def _still(path: Path, *state: int) -> Path:
    """A copy of a database with what its log holds that is not in it yet."""
    copy = Path(tempfile.mkdtemp(dir=_folder().name)) / path.name
    with resources_explained(copy, state[0]):
        for end in ("", "-wal"):
            if (source := path.with_name(path.name + end)).exists():
                shutil.copyfile(source, copy.with_name(copy.name + end))  # publish: a copy to read, removed at the end
    return copy


@cache
def _copied(place: Remote, head: Head, limit: int) -> Path:
    if head.size > limit:
        raise too_large(place, head.size, limit)
    return download(place, head, Path(tempfile.mkdtemp(dir=_folder().name)) / place.name)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """The folder of copies, removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="swath-")


def _complete(place: Remote, head: Head, part: Path, advance: Callable[[int], object]) -> None:
    """Brings `part` to the file's size."""
    advance(part.stat().st_size)
    for attempt in range(1, replies.ATTEMPTS + 1):
        start = part.stat().st_size
        if start == head.size:
            return
        last: DataError | None = None
        try:
            _append(place, head, part, start if start < head.size else 0, advance)
        except DataError as e:
            if e.code not in _PASSING:
                raise
            last = e
        size = part.stat().st_size
        if size == head.size:
            return
        if size > head.size:
            raise replies.changed(place)
        if attempt == replies.ATTEMPTS:
            raise DataError(last.code if last else "remote-broken", place, f"the connection broke {attempt} times, after "
                            f"{size:,} of {head.size:,} bytes", "start again: it goes on from there") from last  # fmt: skip


def _append(place: Remote, head: Head, part: Path, start: int, advance: Callable[[int], object]) -> None:
    with place.opened(start, head) as reply, part.open("r+b") as f:  # publish: bytes on their way, that outlive a break
        advance(reply.first - f.seek(0, os.SEEK_END))
        f.truncate(reply.first)
        f.seek(reply.first)
        while f.tell() <= head.size and (block := reply.stream.read(_BLOCK)):
            f.write(block)
            advance(len(block))


def _checked(place: Remote, head: Head, part: Path, verify: Callable[[Path], object] | None) -> None:
    if head.md5 is not None:
        with part.open("rb") as f:
            found = hashlib.file_digest(f, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != head.md5:
            raise DataError("remote-checksum", place, "its MD5 is not the one that the server states", "copy it again")
    if verify is not None:
        verify(part)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
