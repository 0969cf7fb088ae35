"""Places that are no local files: `s3://bucket/key`, `https://`, `http://`; asked for once, allowed or refused there.

A `Remote` is a path of another kind: what reads inputs takes it where it takes a `Path`. It can only be made inside
`remote_access(True)`, that is where `runtime.remote` says so; whoever holds one may read it, in any thread. It shows
itself without the secrets that a URL may carry, and is never handed to the operating system.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path, PosixPath, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from swath.core.errors import ConfigError, DataError
from swath.disk.remote.hosts import Allowed, joined, permits
from swath.disk.remote.redaction import shown, without_secrets
from swath.disk.remote.replies import MAX_TEXT, Head, Reply, too_large

SCHEMES = ("s3", "https", "http")
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_allowed: ContextVar[Allowed] = ContextVar("remote places that may be named", default=())


@contextmanager
def remote_access(allowed: bool | Sequence[str]) -> Iterator[None]:
    """Within it, texts that name remote places become places if `allowed` here or around it; else they are refused.

    A list of hosts and buckets allows those alone.
    """
    token = _allowed.set(joined(_allowed.get(), allowed))
    try:
        yield
    finally:
        _allowed.reset(token)


def is_allowed(url: str) -> bool:
    """True where the text of an address becomes a place."""
    return permits(_allowed.get(), url)


def location(text: str | Path, root: Path | None = None) -> Path:
    """The place that a text names, relative to `root`: a local path or, where remote reads are allowed, a `Remote`.

    Raises ConfigError (`remote-off`) where they are not, DataError for a scheme that is not read and for a local file
    named by a remote list.
    """
    if isinstance(text, Path):
        return text
    scheme = _URL.match(text)
    if scheme is None:
        if not isinstance(root, Remote):
            return Path(text) if root is None else root / text
        if text.startswith("/"):
            raise _local_of_remote(text, root)
        return root / text
    kind = scheme[1].lower()
    if kind == "file":
        if isinstance(root, Remote):
            raise _local_of_remote(text, root)
        return _local(text)
    if kind not in SCHEMES:
        raise DataError("remote-scheme", redacted(text), f"places of '{kind}://' are not read",
                        "use s3://, https://, http://, file:// or a path")  # fmt: skip
    allowed = _allowed.get()
    if not allowed:
        raise ConfigError("remote-off", redacted(text), "is not local, and remote places are off",
                          "write runtime.remote=true, or `runtime: {remote: true}` in the config")  # fmt: skip
    return Remote.within(text, allowed)


def is_remote(text: object) -> bool:
    """True for a `Remote`, and for a text with the scheme of one."""
    found = _URL.match(text) if isinstance(text, str) else None
    return isinstance(text, Remote) or (found is not None and found[1].lower() in SCHEMES)


def redacted(text: str, place: object = None) -> str:
    """The text with every URL in it shown without user, password and query, where signatures are.

    `place`: what the text is about; what is secret in its address is hidden wherever it stands.
    """
    if isinstance(place, Remote) and place.scheme != "s3":
        parts = urlsplit(place.url)
        for secret in (parts.query, parts.netloc.rpartition("@")[0]):
            text = text.replace(secret, "...") if secret else text
    return without_secrets(text)


class Remote(PosixPath):
    """A remote file. `url` is its whole address; `str()` of it hides secrets. Equal where the addresses are.

    `allowed` is what may be asked for it, also where a server leads elsewhere.
    """

    url: str
    allowed: Allowed = True

    def __new__(cls, url: str) -> Remote:
        """The place of an address; made by `location`, which asks for permission."""
        made = super().__new__(cls, url)
        made.url = _clean(url)
        return made

    @classmethod
    def within(cls, url: str, allowed: Allowed) -> Remote:
        """The place of an address. Raises ConfigError where it is not allowed."""
        made = cls(url)
        if not permits(allowed, made.url):
            raise ConfigError("remote-off", made, "lies where runtime.remote does not allow it", f"add s3://{made.bucket} to its list"
                              if made.scheme == "s3" else f"add {urlsplit(made.url).hostname} to its list")  # fmt: skip
        made.allowed = allowed
        return made

    @property
    def scheme(self) -> str:
        """`s3`, `https` or `http`."""
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> str:
        """The bucket, or the host with its port."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """What stands after the bucket or host, decoded, without query."""
        path = self.url.partition("://")[2].partition("/")[2]
        return path if self.scheme == "s3" else unquote(path.partition("#")[0].partition("?")[0])

    @property
    def virtual(self) -> str:
        """The name by which GDAL opens it: may hold secrets, so it is shown to nobody."""
        return f"/vsis3/{self.bucket}/{self.key}" if self.scheme == "s3" else f"/vsicurl/{self.url}"

    @property
    def head(self) -> Head | None:
        """What the server says of the file, asked once; None where there is no such file. Raises DataError."""
        if isinstance(self._answer, DataError):
            raise self._answer
        return self._answer

    @cached_property
    def _answer(self) -> Head | DataError | None:
        """The answer or the failure: a server that does not answer is not waited for again."""
        try:
            if not self.key or self.url.endswith("/"):
                raise DataError("remote-folder", self, "is a folder, and remote folders are not listed here",
                                "name files or a manifest, or copy it: swath fetch")  # fmt: skip
            if self.scheme == "s3":
                from swath.disk.remote import bucket

                return bucket.head(self.bucket, self.key, str(self))
            from swath.disk.remote import web

            return web.head(self.url, str(self), self.allowed)
        except DataError as e:
            return e

    def found(self) -> Head:
        """What the server says of the file. Raises DataError where there is none."""
        if self.head is None:
            raise DataError("file-missing", self, "no such file", "check the address")
        return self.head

    def has_changed(self) -> bool:
        """True where the server says of the file what it did not say at first; False where it says nothing."""
        try:
            return self.within(self.url, self.allowed).head != self.head
        except DataError:
            return False

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The suffix of the name."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> Remote:
        """The folder of the file, without the query of its address."""
        return self._at(posixpath.dirname(self.key.rstrip("/")))

    def __truediv__(self, name: Any) -> Remote:
        """A place below this one; `..` leads up, but not out of the bucket or host."""
        if isinstance(name, Remote) or self.scheme == "s3":
            text = posixpath.normpath(f"/{self.key}/{name}").lstrip("/")
            return name if isinstance(name, Remote) else self._at(text)
        base = f"{self._at(self.key).url.rstrip('/')}/"
        return self._beside(urljoin(base, quote(str(name), safe="/%?=&+:@,;~!$'()*")))

    def with_name(self, name: str) -> Remote:
        """The file of another name in the same folder."""
        return self.parent / quote(name) if self.scheme != "s3" else self.parent / name

    def with_suffix(self, suffix: str) -> Remote:
        """The file with another suffix in the same folder."""
        return self.with_name(f"{self.stem}{suffix}")

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """False where the server says that it has no such file; one that does not answer is told of when it is read."""
        try:
            return self.head is not None
        except DataError:
            return True

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """As `exists`."""
        return self.exists()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """False: nothing remote is listed when it is read."""
        return False

    def absolute(self) -> Remote:
        """The place itself."""
        return self

    def resolve(self, strict: bool = False) -> Remote:
        """The place itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """The size as a regular file's."""
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, self.found().size, 0, 0, 0))

    def read_bytes(self, limit: int = MAX_TEXT) -> bytes:
        """The content of a small file. Raises DataError where it is larger than `limit`."""
        if self.found().size > limit:
            raise too_large(self, self.found().size, limit)
        if self.scheme == "s3":
            from swath.disk.remote import bucket

            return bucket.read(self.bucket, self.key, str(self))
        from swath.disk.remote import web

        return web.read(self.url, str(self), limit, self.allowed)

    def opened(self, start: int = 0, wanted: Head | None = None) -> AbstractContextManager[Reply]:
        """The open content from byte `start` on (from 0 where a server gives no parts), of the file as it was `wanted`."""
        if self.scheme == "s3":
            from swath.disk.remote import bucket

            return bucket.opened(self.bucket, self.key, str(self), start, wanted)
        from swath.disk.remote import web

        return web.opened(self.url, str(self), start, wanted, self.allowed)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """The content of a small text file."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def _at(self, key: str) -> Remote:
        path = key if self.scheme == "s3" else quote(key)
        return self._beside(f"{self.scheme}://{self.bucket}/{path}")

    def _beside(self, url: str) -> Remote:
        return self.within(url, self.allowed)

    def __fspath__(self) -> str:
        """Refused: the operating system must never see it, or a file of a strange name would appear."""
        raise DataError("remote-place", self, "a local file is needed here", "copy it first: swath fetch")

    def __str__(self) -> str:
        return shown(self.url)

    def __repr__(self) -> str:
        return f"Remote({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: Any) -> bool:
        return self.url < (other.url if isinstance(other, Remote) else str(other))

    def __reduce__(self) -> tuple[Any, tuple[str, Allowed]]:
        return type(self).within, (self.url, self.allowed)


def _local_of_remote(text: str, root: Remote) -> DataError:
    return DataError("remote-local", root, f"a remote list names the local file {text}", "write paths relative to the list, or URLs")


def _local(text: str) -> Path:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise DataError("remote-scheme", text, "names another machine", "write file:///PATH for a file of this one")
    return Path(unquote(parts.path))


def _clean(url: str) -> str:
    """The address with its scheme in small letters. Raises DataError for one without bucket or host."""
    scheme, _, rest = url.partition("://")
    if not rest.partition("/")[0].rpartition("@")[2]:
        raise DataError("remote-address", url, "names no bucket or host", "write s3://bucket/key or https://host/path")
    if scheme.lower() == "s3":
        return f"s3://{rest}"
    if any(ord(c) < 32 for c in rest):
        raise DataError("remote-address", redacted(url), "holds control characters", "correct the address")
    if any(c in rest.partition("/")[0] for c in "?#\\"):  # what the host is would be told in two ways
        raise DataError("remote-address", redacted(url), "has a host with ?, # or \\", "write https://host/path")
    return f"{scheme.lower()}://{rest.strip().replace(' ', '%20')}"
