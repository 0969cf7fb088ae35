"""What belongs to a shapefile beside its geometries: the index without which it is not read, and the encoding of its texts."""

from __future__ import annotations

import codecs
from pathlib import Path

from swath.core.errors import DataError

_LOOKED = 4_000_000  # bytes of texts


def require_index(path: Path, file: Path) -> None:
    """Nothing, or a DataError where the `.shx` of a shapefile is missing. `path` is its name in errors."""
    if file.suffix.lower() == ".shp" and _beside(file, ".shx") is None:
        raise DataError("vector-unreadable", path, "its index .shx is missing", "copy it too, or make it anew: "
                        f"ogr2ogr --config SHAPE_RESTORE_SHX YES out.gpkg {path.name}")  # fmt: skip


def text_encoding(file: Path) -> str | None:
    """`UTF-8` for a shapefile that says nothing of its encoding (no `.cpg`) and whose texts are UTF-8 beyond ASCII; else
    None: what the file says counts, or Latin-1 where it says nothing.
    """
    if file.suffix.lower() != ".shp" or _beside(file, ".cpg") is not None or (table := _beside(file, ".dbf")) is None:
        return None
    with table.open("rb") as f:
        head = f.read(32)
        length = int.from_bytes(head[8:10], "little")
        fields = f.read(max(0, length - 32))
        texts = b"".join(fields[i : i + 11] for i in range(0, len(fields) - 31, 32)) + f.read(_LOOKED)
    if texts.isascii():
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(texts)
    except UnicodeDecodeError:
        return None
    return "UTF-8"


def _beside(file: Path, suffix: str) -> Path | None:
    """The file of the same stem with a suffix, in small or capital letters."""
    return next((p for s in (suffix, suffix.upper()) if (p := file.with_suffix(s)).exists()), None)
