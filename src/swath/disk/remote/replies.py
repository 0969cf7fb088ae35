"""What servers say of files, and their refusals told as errors that a user can act on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from swath.core.errors import DataError

MAX_TEXT = 64_000_000  # bytes of a remote manifest, list or item
CONNECT, PATIENCE = 10, 30  # seconds: for a connection, and without a byte
ATTEMPTS = 3  # tries of a request that a server or the net failed


@dataclass(frozen=True)
class Head:
    """What a server says of a file: bytes, and its marks of identity (ETag, time of change), where it has them.

    `md5` is the checksum of the content where the server states it. `ranges`: parts of the file can be asked for.
    """

    size: int
    etag: str | None = None
    modified: str | None = None
    md5: str | None = None
    ranges: bool = True

    @property
    def identity(self) -> str:
        """A short hash of size, ETag and time of change: another one means that the file was changed."""
        text = "\n".join([str(self.size), self.etag or "", self.modified or ""])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def validator(self) -> str | None:
        """What `If-Range` takes: a strong ETag, else the time of change; None where a download cannot be gone on with."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


@dataclass(frozen=True)
class Reply:
    """Content on its way: a stream with `read(n)`, the byte of the file that it begins with, and its length if stated."""

    stream: Any
    first: int
    size: int | None = None


def changed(where: object) -> DataError:
    """A file that is another one than when it was asked for first."""
    return DataError("remote-changed", where, "changed while it was read", "start again")


def broken(where: object, size: int, whole: int) -> DataError:
    """Content that ended before its end, each time."""
    return DataError("remote-broken", where, f"the connection broke {ATTEMPTS} times, after {size:,} of {whole:,} bytes",
                     "try again later")  # fmt: skip


def refuse_encoded(where: object, encoding: str | None) -> None:
    """Nothing, or a DataError for content that is sent in another form than the file's own."""
    kinds = {k.strip().lower() for k in (encoding or "").split(",")} - {"", "identity", "aws-chunked"}
    if kinds:
        raise DataError("remote-encoded", where, f"the server sends it compressed ({', '.join(sorted(kinds))}), not as it is",
                        "store it without Content-Encoding, or unpack a copy")  # fmt: skip


def too_large(where: object, size: int, limit: int) -> DataError:
    """A file beyond what is read into memory or copied unasked."""
    return DataError("remote-large", where, f"has {size / 1e6:,.0f} MB, more than {limit / 1e6:,.0f} MB are not read "
                     "from afar", "copy it first: swath fetch, and name the copy")  # fmt: skip


def refused(where: object, status: int) -> DataError:
    """The error of an HTTP status that is no success and no 404."""
    if status in (401, 403):
        return DataError("remote-denied", where, f"the server refuses access ({status})",
                         "check the credentials in the environment, or the signature of the address")  # fmt: skip
    if status == 429 or status >= 500:
        return DataError("remote-failed", where, f"the server failed ({status}) {ATTEMPTS} times", "try again later")
    return DataError("remote-failed", where, f"the server answers with {status}", "check the address")


def unreached(where: object, what: str) -> DataError:
    """The error of a server that was not reached: unknown, closed, silent, or not trusted."""
    low = what.lower()
    if "timed out" in low or "timeout" in low:
        return DataError("remote-timeout", where, f"no answer within {PATIENCE} s", "try again later, or copy it: swath fetch")
    if any(w in low for w in ("name or service", "name resolution", "no address", "nodename", "getaddrinfo", "resolve")):
        return DataError("remote-host", where, "the host is unknown", "check the address and the network")
    if "certificate" in low or "ssl" in low:
        return DataError("remote-tls", where, f"the connection cannot be trusted ({what})", "check the server's certificate")
    return DataError("remote-unreached", where, f"no connection ({what})", "check the address and the network")
