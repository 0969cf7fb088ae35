"""Which hosts and buckets may be asked: all, none, or those of a list."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import urlsplit

Allowed = Literal[True] | tuple[str, ...]  # all, or these: `host`, `host:port`, `*.domain`, `s3://bucket`; none where empty


def joined(around: Allowed, further: bool | Sequence[str]) -> Allowed:
    """What is allowed by either."""
    if around is True or further is True:
        return True
    return (*around, *(further or ()))


def permits(allowed: Allowed, url: str) -> bool:
    """True where an address lies on an allowed host, or in an allowed bucket."""
    if allowed is True:
        return True
    parts = urlsplit(url)
    names = {parts.netloc.rpartition("@")[2].lower(), (parts.hostname or "").lower()}
    names = {f"s3://{n}" for n in names} if parts.scheme.lower() == "s3" else names
    return any(fnmatchcase(name, _plain(entry)) for entry in allowed for name in names)


def _plain(entry: str) -> str:
    """An entry in small letters, without the scheme of a web server and a slash at its end."""
    return entry.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")
