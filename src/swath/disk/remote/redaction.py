"""Addresses shown without what is secret in them: users, passwords, signatures."""

from __future__ import annotations

import re

_IN_TEXT = re.compile(r"\b(s3|https?)://[^\s'\"<>|,;)]+", re.IGNORECASE)
_QUERY = re.compile(r"(?<=\S)\?[^\s'\"<>|?]*=[^\s'\"<>|)]*")  # of a name without its address, as GDAL tells it


def without_secrets(text: str) -> str:
    """The text with every address in it shown without user, password and query."""
    return _QUERY.sub("?...", _IN_TEXT.sub(lambda found: shown(found[0]), text))


def shown(url: str) -> str:
    """An address without user, password and query."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "s3":  # any character may stand in a key, those that steer a terminal too
        return "".join(c if c.isprintable() else "?" for c in url)
    rest = rest.partition("#")[0]
    before, asked, _ = rest.partition("?")
    host, slash, path = before.partition("/")
    hidden = "...@" if "@" in host else ""
    return f"{scheme}://{hidden}{host.rpartition('@')[2]}{slash}{path}{'?...' if asked else ''}"
