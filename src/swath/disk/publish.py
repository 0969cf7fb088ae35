"""The one way to write: an output appears under its final name only when it is whole and verified.

    write a temporary beside the target -> close -> verify -> fsync -> rename -> fsync the directory

A failure removes the temporary; a kill leaves a `.NAME.<id>.part.EXT` that the next start sweeps away.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError, ResourceError, SwathError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NEARLY_FULL = 1_000_000  # bytes; GDAL's errors carry no errno, so the free space must tell
_BARRED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip
_SEAL = b',\n  "sha256": "'  # how the last entry of a sealed card begins
_END = b"\n}\n"  # and how a card ends
_PART = re.compile(r"^\..*\.(\d+)-[0-9a-f]{8}\.part")  # what `part_name` makes


def publish(
    path: str | Path,
    write: Callable[[Path], object],
    *,
    verify: Callable[[Path], object] | None = None,
    expected_bytes: int = 0,
) -> Path:
    """The target, whole: what `write(temporary)` made, checked by `verify(temporary)`, renamed into place.

    `write` and `verify` raise where something is wrong; then the target is untouched and no temporary stays.
    `expected_bytes` is compared with the free space before anything is written.

    Raises ResourceError where the disk is full, the quota met or the directory not writable.
    """
    path = _local(path)
    with resources_explained(path, expected_bytes):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_space(path, expected_bytes)
        part = part_name(path)
        try:
            write(part)
            if verify is not None:
                verify(part)
            _commit(part, path)
        except BaseException as e:
            full = _told_without_errno(e) and shutil.disk_usage(path.parent).free < _NEARLY_FULL
            _remove(part)
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from e
            raise
    return path


def publish_bytes(path: str | Path, data: bytes) -> Path:
    """The file with exactly these bytes, read back before it gets its name."""

    def write(part: Path) -> None:
        part.write_bytes(data)

    def verify(part: Path) -> None:
        if part.read_bytes() != data:
            raise DataError("write-unverified", path, "the bytes read back differ from those written", "check the disk")

    return publish(path, write, verify=verify, expected_bytes=len(data))


def publish_text(path: str | Path, text: str) -> Path:
    """The UTF-8 text file."""
    return publish_bytes(path, text.encode())


def publish_json(path: str | Path, value: Any) -> Path:
    """The JSON file: sorted keys where order has no meaning is the caller's choice; two spaces, final newline."""
    return publish_text(path, _json_text(value))


def publish_card(path: str | Path, value: dict[str, Any]) -> Path:
    """The JSON file sealed by a SHA-256 of its own content under `sha256`, so that any changed byte is found."""
    return publish_json(path, {**value, "sha256": _seal(value)})


def card_fault(path: str | Path) -> str | None:
    """What is wrong with a sealed JSON file: unreadable, not written as it is written here, or changed; None if right."""
    return sealed(path)[1]


def sealed(path: str | Path) -> tuple[Any, str | None]:
    """(value, what is wrong with it) of a sealed JSON file; the value is None where it cannot be read."""
    try:
        data = Path(path).read_bytes()
        value = json.loads(data)
    except (OSError, ValueError) as e:
        return None, f"cannot be read ({e})"
    body, mark, seal = data.rpartition(_SEAL)  # the seal stands last: what is before it is the text that was sealed
    if not isinstance(value, dict) or not mark:
        return value, "is not as it was written"
    digest = hashlib.sha256(body)
    digest.update(_END)
    whole = seal == digest.hexdigest().encode() + b'"' + _END
    return value, None if whole else "does not have the checksum it states"


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, streamed."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _seal(value: dict[str, Any]) -> str:
    return hashlib.sha256(_json_text(value).encode()).hexdigest()


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def part_name(path: Path) -> Path:
    """A fresh temporary name beside `path` that keeps its extension (drivers choose by it)."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")


def sweep(directory: str | Path) -> int:
    """The number of stale temporaries removed from `directory`: those whose process is gone."""
    swept = 0
    for part in Path(directory).glob(".*.part*"):
        found = _PART.match(part.name)
        if found and not _running(int(found[1])):
            _remove(part)
            swept += 1
    return swept


def _running(process: int) -> bool:
    """True while a process has this number, also where it is another user's and hidden from this one."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def make_directory(path: str | Path) -> Path:
    """The directory, there. Raises ResourceError where a file stands in its place, or it cannot be made."""
    path = _local(path)
    blocking = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None)
    if blocking is not None:
        raise ResourceError("out-file", blocking, "is a file, no directory", "name another output directory")
    with resources_explained(path, 0):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as e:  # from a file system that takes no directories, or a link that leads nowhere
            raise ResourceError("not-writable", path, "cannot be made there", "name another output directory") from e
    return path


def _local(path: str | Path) -> Path:
    """The path. Raises ConfigError for one made of the text of a URL: a folder named `s3:` helps nobody."""
    path = Path(path)
    if any(part in ("s3:", "https:", "http:", "file:") for part in path.parts):
        raise ConfigError("out-remote", path.name, "this output must be a local path", "only `predict` and `vectorize` "
                          "write to s3://, and `file://` is left out of paths")  # fmt: skip
    return path


def require_plain(path: str | Path, refused: type[SwathError] = ConfigError) -> None:
    """Nothing, or an error for a path with `!` or a line break: vectors are read and written by a library that would
    take what stands behind the one for a file inside an archive, and leave out the other."""
    odd = next((c for c in "!\n\r\t" if c in str(path)), None)
    if odd is not None:
        what = "'!'" if odd == "!" else "a line break or a tab"
        raise refused("path-name", path, f"its path holds {what}, which vector files cannot be found by", "rename the file or folder")


def require_space(path: Path, needed: int) -> None:
    """Nothing, or a ResourceError that names needed and free space."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise ResourceError(
            "disk-full",
            path,
            f"needs {_mb(needed)}, {_mb(free)} are free",
            "free some space or choose another output directory",
        )


def _commit(part: Path, path: Path) -> None:
    for inner in [*part.rglob("*"), part]:
        _fsync(inner)
    if part.is_dir() and path.is_dir() and not path.is_symlink():
        _exchange(part, path)
    else:
        os.replace(part, path)
    _fsync(path.parent)


def _exchange(part: Path, path: Path) -> None:
    """Puts a new directory in the place of an old one, which returns where that fails and is never half removed."""
    old = part_name(path)
    os.replace(path, old)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def _fsync(path: Path) -> None:
    """Makes the bytes of a file, or the entries of a directory, durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    for stray in (part, Path(f"{part}.aux.xml"), Path(f"{part}-journal"), Path(f"{part}-wal"), Path(f"{part}-shm")):
        with suppress(OSError):
            stray.unlink(missing_ok=True)


@contextmanager
def resources_explained(path: Path, needed: int) -> Iterator[None]:
    """Operating-system failures of writing, told as a ResourceError with the path, the needed and the free space."""
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            free = shutil.disk_usage(_existing(path.parent)).free
            need = f"needs {_mb(needed)}, " if needed else ""
            raise ResourceError(
                "disk-full",
                path,
                f"the disk is full ({need}{_mb(free)} free)",
                "free some space or choose another output directory",
            ) from e
        if e.errno in _BARRED:
            raise ResourceError(
                "not-writable", path, f"cannot write ({e.strerror})", "check the directory's permissions and the disk"
            ) from e
        raise


def _told_without_errno(error: BaseException) -> bool:
    """True for the errors of rasterio (OSError) and pyogrio (RuntimeError), whatever their cause."""
    return isinstance(error, OSError | RuntimeError) and getattr(error, "errno", None) is None


def _existing(directory: Path) -> Path:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
