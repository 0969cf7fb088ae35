"""What a file holds, told quickly: a hash that has nothing to do with its name, place or time."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from swath.disk.remote.access import Remote, location
from swath.disk.sources.stack import Image, Stack

BLOCK, BLOCKS = 16_384, 64


def file_stamp(path: str | Path) -> str:
    """A short hash of a file's length and content.

    Files up to a megabyte are read whole; of larger ones 64 evenly spread blocks of 16 KiB are, the first and the last
    among them, so that a raster of any size takes no time. An edit that keeps the length and misses every block is not
    seen. The sources of a VRT count with it. Of a remote file it is size, ETag and time of change that are hashed, as
    the server states them.
    """
    path = location(path)
    if isinstance(path, Remote):
        return path.found().identity
    if path.suffix.lower() == ".vrt":
        from swath.disk.rasters.raster import guarded_vrt  # loads GDAL, which stores do without

        parts = sorted(_digest(source) for source in (path, *guarded_vrt(path).files))
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]
    return _digest(path)[:16]


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as f:
        if size <= BLOCK * BLOCKS:
            digest.update(f.read())
        else:
            for i in range(BLOCKS):
                f.seek((size - BLOCK) * i // (BLOCKS - 1))
                digest.update(f.read(BLOCK))
    return digest.hexdigest()


def image_stamp(image: Image) -> str:
    """The stamp of an image: of its file, or of a stack's files and of what is made of them."""
    if not isinstance(image, Stack):
        return file_stamp(image)
    told = [{k: v for k, v in asdict(p).items() if k not in ("file", "files", "location")} for p in image.parts]
    text = repr([told, [file_stamp(f) for f in image.files if f.is_file()]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
