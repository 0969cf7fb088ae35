"""Remote rasters through GDAL's virtual file systems: no listing, bounded waiting, credentials of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rasterio.env import Env

from swath.disk import replies
from swath.disk.remote import Remote

T = TypeVar("T")


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
    session = None
    if place.scheme == "s3":
        from swath.disk import bucket

        session, own = bucket.gdal_session()
        settings |= own
    with Env(session=session, **settings):
        return open_(place.virtual)
