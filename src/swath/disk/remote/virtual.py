"""Remote rasters through GDAL's virtual file systems: no listing, bounded waiting, credentials of the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

from rasterio.env import Env

from swath.disk.remote import replies
from swath.disk.remote.access import Remote, redacted

T = TypeVar("T")


class _Redacting(logging.Filter):
    """Hides what is secret in addresses from whoever listens to rasterio's log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("rasterio._env", "rasterio._err", "rasterio._base", "rasterio._io", "rasterio.env", "rasterio.session"):
    logging.getLogger(_name).addFilter(_Redacting())


def open_virtual(place: Remote, open_: Callable[[str], T]) -> T:
    """What `open_` makes of GDAL's name of a remote file, within settings that later reads of it keep."""
    settings = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # neither listings nor sidecars
        "GDAL_HTTP_CONNECTTIMEOUT": str(replies.CONNECT),
        "GDAL_HTTP_TIMEOUT": str(10 * replies.PATIENCE),
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # byte per second, over:
        "GDAL_HTTP_LOW_SPEED_TIME": str(replies.PATIENCE),
        "GDAL_HTTP_MAX_RETRY": str(replies.ATTEMPTS - 1),
        "GDAL_HTTP_RETRY_DELAY": "0.4",
        "GDAL_HTTP_RETRY_CODES": "ALL",
        "CPL_VSIL_CURL_HEADER_FILE_KVP_ENABLED": "NO",
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/",  # a file that changes on the server is seen when opened anew
        "VSI_CACHE": "TRUE",
    }
    etag = place.found().etag
    if etag and etag.startswith('"'):  # so that no pixels of two states of a file stand in one map
        settings["GDAL_HTTP_HEADERS"] = f"If-Match: {etag}\r\n"  # with the line's end GDAL takes it as it is
    trusted = os.environ.get("SSL_CERT_FILE") or os.environ.get("CURL_CA_BUNDLE")
    if trusted:  # as Python's own connections do; rasterio's wheels bring a list of their own
        settings |= {"GDAL_CURL_CA_BUNDLE": trusted, "CURL_CA_BUNDLE": trusted}
    session = None
    if place.scheme == "s3":
        from swath.disk.remote import bucket

        session, own = bucket.gdal_session()
        settings |= own
    with Env(session=session, **settings):
        return open_(place.virtual)
