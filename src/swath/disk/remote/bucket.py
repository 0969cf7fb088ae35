"""Files of S3 and of stores that speak like it, through boto3 (the extra `s3`): list, head, get, put.

Credentials, region and endpoint come from the environment and the files of the AWS command line, as boto3 finds them.
Without credentials requests are not signed, which public buckets allow.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swath.core.errors import DataError, ResourceError
from swath.disk.remote import replies
from swath.disk.remote.replies import Head, Reply, changed, refused, unreached

PART = 64_000_000  # bytes; larger files are sent in parts of it, and appear when the last one is there


@dataclass(frozen=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int


def head(bucket: str, key: str, where: str) -> Head | None:
    """What the store says of an object; None where it has none. Raises DataError."""
    with _explained(where):
        found = _client().head_object(Bucket=bucket, Key=key)
        replies.refuse_encoded(where, found.get("ContentEncoding"))
        return _head(found)
    return None


def listed(bucket: str, prefix: str, where: str) -> list[Entry]:
    """The objects whose keys begin with `prefix`, by key; the empty ones that stand for folders are left out."""
    found: list[Entry] = []
    with _explained(where) as status:
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found += [Entry(o["Key"], int(o["Size"])) for o in page.get("Contents", ()) if not o["Key"].endswith("/")]
    if status:
        raise DataError("remote-bucket", where, "there is no such bucket", "check the address")
    return sorted(found, key=lambda e: e.key)


def read(bucket: str, key: str, where: str) -> bytes:
    """The content of a small object. Raises DataError."""
    with opened(bucket, key, where) as reply:
        return bytes(reply.stream.read())


@contextmanager
def opened(bucket: str, key: str, where: str, start: int = 0, wanted: Head | None = None) -> Iterator[Reply]:
    """The open content from byte `start` on. Raises DataError, also where the object is no longer the `wanted` one."""
    asked = {"Range": f"bytes={start}-"} if start else {}
    if wanted and wanted.etag:
        asked["IfMatch"] = wanted.etag
    with _explained(where) as status:
        try:
            found = _client().get_object(Bucket=bucket, Key=key, **asked)
        except _errors().ClientError as e:
            if _status(e) in (412, 416):
                raise changed(where) from e
            raise
        replies.refuse_encoded(where, found.get("ContentEncoding"))
        with closing(found["Body"]) as body:
            yield Reply(body, start)
    if status:
        raise DataError("file-missing", where, "no such file", "check the address")


def put(file: Path, bucket: str, key: str, where: str) -> None:
    """The object with the content of a local file: there at once when it is whole, its checksum compared.

    Raises DataError where it is refused or differs from the file.
    """
    from boto3.exceptions import S3UploadFailedError
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    with _explained(where) as status:
        try:
            _client().upload_file(str(file), bucket, key, Config=config)
        except S3UploadFailedError as e:
            cause = e.__context__ if isinstance(e.__context__, _errors().ClientError) else None
            if cause is None:
                raise DataError("remote-failed", where, "the store did not take it", "check bucket and permissions") from e
            raise cause from e
        made = _client().head_object(Bucket=bucket, Key=key)
        if made["ContentLength"] != file.stat().st_size or not _same(made, file):
            raise DataError("write-unverified", where, "the store holds other bytes than were sent", "send it again")
    if status:
        raise DataError("remote-bucket", where, "there is no such bucket", "make the bucket first")


def gdal_session() -> tuple[Any, dict[str, str]]:
    """The rasterio session with boto3's credentials, and GDAL's settings of endpoint and address style."""
    from rasterio.session import AWSSession

    session = _session()
    endpoint = urlsplit(_client().meta.endpoint_url)
    own = _endpoint() is not None
    unsigned = session.get_credentials() is None or _unsigned()
    settings = {"AWS_REGION": _client().meta.region_name or "us-east-1"}
    if own:
        settings |= {"AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    return AWSSession(session=session, aws_unsigned=unsigned, endpoint_url=endpoint.netloc if own else None), settings


def plain_md5(etag: str | None) -> str | None:
    """The MD5 of an object's content, where its ETag is one: sent in one part, not encrypted by a key service."""
    text = (etag or "").strip('"')
    return text if len(text) == 32 and all(c in "0123456789abcdef" for c in text) else None


def _head(found: dict[str, Any]) -> Head:
    encrypted = str(found.get("ServerSideEncryption", "")).startswith("aws:") or "SSECustomerAlgorithm" in found
    changed = found.get("LastModified")
    return Head(
        int(found["ContentLength"]), found.get("ETag"), changed.isoformat() if changed else None,
        None if encrypted else plain_md5(found.get("ETag")),
    )  # fmt: skip


def _same(made: dict[str, Any], file: Path) -> bool:
    """True where the ETag is that of the file; one that is no checksum, of encrypted objects, tells nothing."""
    etag = str(made.get("ETag", "")).strip('"')
    if str(made.get("ServerSideEncryption", "")).startswith("aws:") or not etag:
        return True
    with file.open("rb") as f:
        parts = [hashlib.md5(block, usedforsecurity=False).digest() for block in iter(lambda: f.read(PART), b"")]
    if "-" not in etag:
        with file.open("rb") as f:
            return etag == hashlib.file_digest(f, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return etag == f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


@contextmanager
def _explained(where: str) -> Iterator[list[int]]:
    """Errors of boto3 told as DataError; the list that it gives holds the status 404 where there is no such thing."""
    errors, status = _errors(), list[int]()
    try:
        yield status
    except errors.ClientError as e:
        number = _status(e)
        if number not in (404, 410):
            raise refused(where, number) from e
        status.append(number)
    except (errors.ConnectionError, errors.HTTPClientError, errors.IncompleteReadError) as e:
        raise unreached(where, "timed out" if "timeout" in type(e).__name__.lower() else str(e)) from e
    except (errors.BotoCoreError, ValueError) as e:
        raise DataError("remote-failed", where, f"cannot be asked for ({type(e).__name__})",
                        "check the AWS settings in the environment") from e  # fmt: skip


def _status(error: Any) -> int:
    with suppress(KeyError, ValueError):
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 0


def _endpoint() -> str | None:
    """The endpoint that the environment names: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or GDAL's AWS_S3_ENDPOINT."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if os.environ.get(name):
            return os.environ[name]
    host = os.environ.get("AWS_S3_ENDPOINT")
    if not host:
        return None
    if "://" in host:
        return host
    secure = os.environ.get("AWS_HTTPS", "YES").upper() not in ("NO", "FALSE", "OFF")
    return f"{'https' if secure else 'http'}://{host}"


def _unsigned() -> bool:
    return os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "ON", "1")


def _boto3() -> Any:
    try:
        import boto3
    except ModuleNotFoundError as e:
        raise ResourceError("extra-missing", "s3", "places of s3:// need boto3", "install it: pip install 'swath[s3]'") from e
    return boto3


def _errors() -> Any:
    _boto3()
    import botocore.exceptions

    return botocore.exceptions


_SETTINGS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_NO_SIGN_REQUEST",
)  # fmt: skip


def _session() -> Any:
    return _made(_asked_for())[0]


def _client() -> Any:
    return _made(_asked_for())[1]


def _asked_for() -> tuple[Any, ...]:
    return (*(os.environ.get(name) for name in _SETTINGS), replies.PATIENCE, replies.ATTEMPTS)


@cache
def _made(asked_for: tuple[Any, ...]) -> tuple[Any, Any]:
    """The session and client of the settings that the environment holds now."""
    boto3 = _boto3()
    from botocore import UNSIGNED
    from botocore.config import Config

    session = boto3.Session()
    unsigned = _unsigned() or session.get_credentials() is None
    config = Config(
        connect_timeout=replies.CONNECT, read_timeout=replies.PATIENCE, retries={"total_max_attempts": replies.ATTEMPTS},
        s3={"addressing_style": "path"} if _endpoint() else {}, **({"signature_version": UNSIGNED} if unsigned else {}),
    )  # fmt: skip
    region = session.region_name or os.environ.get("AWS_REGION") or "us-east-1"
    return session, session.client("s3", endpoint_url=_endpoint(), region_name=region, config=config)
