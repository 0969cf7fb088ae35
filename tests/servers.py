"""A web server over a folder, with parts, ETags and faults on request, and a bucket of a store that speaks like S3."""

from __future__ import annotations

import gzip
import hashlib
import re
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

KEY, SECRET = "AKIAFAKEFAKEFAKEFAKE", "fake-secret-fake-secret-fake-secret"


@dataclass
class Web:
    """A running server of `folder`. `log` holds (method, path, status, bytes sent); faults are keyed by path.

    `break_after`: bytes of content after which the connection is closed, once per entry. `status`: an answer instead
    of the file. `no_head`: HEAD is refused with that status. `plain`: neither parts nor ETags. `slow`: seconds.
    `hang_after`: bytes of content after which nothing comes, as long as the entry is there.
    `unsized`: HEAD tells no size. `packed`: content is said to be compressed by gzip, and is.
    """

    folder: Path
    url: str = ""
    log: list[tuple[str, str, int, int]] = field(default_factory=list)
    break_after: dict[str, list[int]] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    no_head: dict[str, int] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    hang_after: dict[str, int] = field(default_factory=dict)
    unsized: set[str] = field(default_factory=set)
    packed: set[str] = field(default_factory=set)
    authorization: dict[str, list[str | None]] = field(default_factory=dict)

    def sent(self, path: str) -> int:
        """Bytes of content that were sent of a file."""
        return sum(n for method, p, _, n in self.log if p == path and method == "GET")

    def asked(self, path: str) -> list[str]:
        """The methods by which a file was asked for."""
        return [method for method, p, _, _ in self.log if p == path]


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of one web server."""

    web: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(send=True)

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def answer(self, *, send: bool) -> None:
        web, path = self.web, unquote(urlsplit(self.path).path)
        web.authorization.setdefault(path, []).append(self.headers.get("Authorization"))
        time.sleep(web.slow.get(path, 0))
        file = web.folder / path.lstrip("/")
        status = web.status.get(path) or (None if send else web.no_head.get(path))
        if path in web.redirect:
            self.begin(302, {"Location": web.redirect[path], "Content-Length": "0"}, path)
        elif status or not file.is_file():
            self.begin(status or 404, {"Content-Length": "0"}, path)
        else:
            self.content(file, path, send=send)

    def content(self, file: Path, path: str, *, send: bool) -> None:
        web, data, status, headers = self.web, file.read_bytes(), 200, {}
        if path in web.packed:
            data, headers = gzip.compress(data, mtime=0), {"Content-Encoding": "gzip"}
        whole = len(data)
        if path not in web.plain:
            etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
            if self.headers.get("If-Match", etag) != etag:
                self.begin(412, {"Content-Length": "0"}, path)
                return
            headers |= {"ETag": etag, "Accept-Ranges": "bytes", "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked and self.headers.get("If-Range", etag) == etag:
                first, last = int(asked[1]), min(int(asked[2] or whole), whole - 1)
                data, status = data[first : last + 1], 206 if first < whole else 416
                headers["Content-Range"] = f"bytes {first}-{last}/{whole}" if data else f"bytes */{whole}"
        breaks = web.break_after.get(path) if send else None
        part = data[: breaks.pop(0)] if breaks else data
        web.log.append((self.command, path, status, len(part) if send else 0))
        self.begin(status, {**headers, "Content-Length": str(len(data))}, path, log=False)
        if send:
            stop = web.hang_after.get(path, len(part))
            self.wfile.write(part[:stop])
            while path in web.hang_after:
                time.sleep(0.02)
            self.wfile.write(part[stop:])
            if len(part) < len(data):
                self.close_connection = True

    def begin(self, status: int, headers: dict[str, str], path: str, *, log: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name != "Content-Length" or self.command == "GET" or path not in self.web.unsized:
                self.send_header(name, value)
        self.end_headers()
        if log:
            self.web.log.append((self.command, path, status, 0))

    def log_message(self, *args: Any) -> None:
        """Nothing on standard error."""


@dataclass
class Bucket:
    """A bucket of the store with boto3's client."""

    name: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes | Path) -> str:
        """The address of a new object."""
        body = data.read_bytes() if isinstance(data, Path) else data
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        return [o["Key"] for o in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())]
