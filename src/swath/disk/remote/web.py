"""Files of web servers: what a server says of one, its content, and parts of it, over http and https."""

from __future__ import annotations

import base64
import http.client
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import swath
from swath.core.errors import DataError
from swath.disk.remote import replies
from swath.disk.remote.hosts import Allowed, permits
from swath.disk.remote.replies import Head, Reply, changed, refused, too_large, unreached

_NO_HEAD = (400, 403, 405, 501)  # answers of servers, and of signed addresses, that know GET only
_PASSING = (429, 500, 502, 503, 504)


class _Redirects(HTTPRedirectHandler):
    """Follows within http and https, never from https to http; keeps the method, and credentials for their host only."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            fp.close()
            raise URLError(f"the server leads to {new.scheme}://{new.hostname}")
        allowed = cast(Allowed, getattr(req, "allowed", True))
        if not permits(allowed, newurl):
            fp.close()
            raise URLError(f"the server leads to {new.hostname}, where runtime.remote does not allow to read")
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None:
            made.method, made.allowed = req.get_method(), allowed  # type: ignore[attr-defined]
            if old.netloc != new.netloc:
                made.remove_header("Authorization")
        return made


_opener = build_opener(_Redirects)


def head(url: str, where: str, allowed: Allowed = True) -> Head | None:
    """What the server says of a file; None where it has none. Raises DataError where it does not say."""
    try:
        with _asked(url, where, "HEAD", {}, allowed) as reply:
            if reply.headers.get("Content-Length") is not None:
                return _head(reply.headers, where)
    except _Status as e:
        if e.status not in _NO_HEAD:
            _refuse(e, where)
            return None
    try:
        with _asked(url, where, "GET", {"Range": "bytes=0-0"}, allowed) as reply:
            return _head(reply.headers, where)
    except _Status as e:
        _refuse(e, where)
        return None


def read(url: str, where: str, limit: int, allowed: Allowed = True) -> bytes:
    """The whole content of a file of at most `limit` bytes. Raises DataError."""
    for attempt in range(1, replies.ATTEMPTS + 1):
        with opened(url, where, allowed=allowed) as reply:
            data = bytes(reply.stream.read(limit + 1))
        if len(data) > limit:
            raise too_large(where, len(data), limit)
        if reply.size is None or len(data) == reply.size:
            break
        if attempt == replies.ATTEMPTS:
            raise replies.broken(where, len(data), reply.size)
    return data


@contextmanager
def opened(
    url: str, where: str, start: int = 0, wanted: Head | None = None, allowed: Allowed = True
) -> Iterator[Reply]:  # fmt: skip
    """The open content from byte `start` on, or from 0 where the server gives the whole file.

    `wanted` is the file as it was when it was asked for first. Raises DataError, also where it has changed since.
    """
    validator = wanted.validator if wanted else None
    asked = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
    try:
        with _asked(url, where, "GET", asked, allowed) as reply:
            etag = reply.headers.get("ETag")
            if wanted and wanted.etag and etag and etag != wanted.etag:
                raise changed(where)
            size = reply.headers.get("Content-Length", "")
            first = _first(reply) if reply.status == 206 else 0
            yield Reply(_Stream(reply, where), first, int(size) if size.isdecimal() else None)
    except _Status as e:
        _refuse(e, where)
        raise DataError("file-missing", where, "no such file", "check the address") from e


class _Stream:
    """The content of a reply; a connection that breaks is told as DataError."""

    def __init__(self, reply: Any, where: str) -> None:
        self.reply, self.where = reply, where

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, or where the server closed the connection."""
        try:
            return bytes(self.reply.read(size))
        except (http.client.HTTPException, OSError) as e:
            what = "timed out" if isinstance(e, TimeoutError) else f"the connection broke: {type(e).__name__}"
            raise unreached(self.where, what) from e


class _Status(Exception):
    """An HTTP status that is no success."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


@contextmanager
def _asked(url: str, where: str, method: str, headers: dict[str, str], allowed: Allowed) -> Iterator[Any]:
    """The open reply to a request; what may pass is tried again. Raises _Status or DataError."""
    reply = None
    for attempt in range(1, replies.ATTEMPTS + 1):
        try:
            reply = _opener.open(_request(url, method, headers, allowed), timeout=replies.PATIENCE)
            break
        except HTTPError as e:
            e.close()
            if e.code not in _PASSING or attempt == replies.ATTEMPTS:
                raise _Status(e.code) from e
        except (URLError, http.client.HTTPException, OSError) as e:
            found = unreached(where, str(getattr(e, "reason", e) or type(e).__name__))
            if attempt == replies.ATTEMPTS or found.code in ("remote-host", "remote-tls", "remote-timeout"):
                raise found from e
        time.sleep(0.2 * 2**attempt)
    assert reply is not None
    with reply:
        replies.refuse_encoded(where, reply.headers.get("Content-Encoding"))
        yield reply


def _request(url: str, method: str, headers: dict[str, str], allowed: Allowed) -> Request:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    agent = {"User-Agent": f"swath/{swath.__version__}", "Accept-Encoding": "identity", **headers}
    if at:
        agent["Authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
    bare = parts._replace(netloc=host, fragment="").geturl()
    made = Request(bare, method=method, headers=agent)
    made.allowed = allowed  # type: ignore[attr-defined]
    return made


def _refuse(error: _Status, where: str) -> None:
    """Nothing where a status says that there is no such file. Raises DataError for every other one."""
    if error.status not in (404, 410):
        raise refused(where, error.status) from error


def _head(headers: Any, where: str) -> Head:
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", ""))
    size = whole[1] if whole else headers.get("Content-Length")
    if size is None or not str(size).isdecimal():
        raise DataError("remote-size", where, "the server does not say how large it is", "copy it by other means")
    md5 = headers.get("Content-MD5")
    return Head(
        int(size),
        headers.get("ETag"),
        headers.get("Last-Modified"),
        base64.b64decode(md5).hex() if md5 and len(md5) == 24 else None,
        whole is not None or headers.get("Accept-Ranges", "").lower() == "bytes",
    )


def _first(reply: Any) -> int:
    found = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0
