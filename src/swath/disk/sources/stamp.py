"""What a file holds, told quickly: a hash that has nothing to do with its name, place or time."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from swath.disk.remote.access import Remote, location
from swath.disk.sources.stack import Image, Stack

BLOCK, BLOCKS = 16_384, 64
_OF_SHAPES = (".dbf", ".prj", ".cpg")
_OF_RASTERS = (".wld", ".tfw", ".tifw", ".tiffw", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".j2w", ".bpw", ".gfw", ".hdr", ".prj")


def file_stamp(path: str | Path) -> str:
    """A short hash of a file's length and content.

    Files up to a megabyte are read whole; of larger ones 64 evenly spread blocks of 16 KiB are, the first and the last
    among them, so that a raster of any size takes no time. An edit that keeps the length and misses every block is not
    seen. The sources of a VRT count with it, and so do files beside that say where pixels are or what shapes mean; what
    viewers write there (.aux.xml) does not. Of a remote file it is size, ETag and time of change that are hashed, as
    the server states them.
    """
    path = location(path)
    if isinstance(path, Remote):
        return path.found().identity
    if path.suffix.lower() == ".vrt":
        from swath.disk.rasters.raster import guarded_vrt  # loads GDAL, which stores do without

        parts = sorted(_digest(source) for source in (path, *guarded_vrt(path).files))
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]
    own, beside = _digest(path), [f"{p.suffix} {_digest(p)}" for p in _beside(path)]
    return (hashlib.sha256(" ".join([own, *beside]).encode()).hexdigest() if beside else own)[:16]


def _beside(path: Path) -> list[Path]:
    """The files beside one that change what it means."""
    shapes = path.suffix.lower() == ".shp"
    plain = path.suffix.lower() in (".tif", ".tiff", ".gtif")  # beside which .prj and .hdr belong to others
    endings = [e for e in (_OF_SHAPES if shapes else _OF_RASTERS) if not (plain and e in (".prj", ".hdr"))]
    found = [path.with_suffix(e) for e in endings] + [path.with_name(f"{path.name}.msk")]
    return [p for p in found if p != path and p.is_file()]


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
