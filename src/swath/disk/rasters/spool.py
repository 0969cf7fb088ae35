"""Finished rows on disk while a map is being made: an append-only file that survives a kill at any byte.

    one line of JSON: the key of the job     then chunks: header (place, length, CRC-32) and the pixels

A chunk that is cut short or whose checksum is wrong ends the file: what stands before it is kept, the rest is made
again. Chunks of a band of columns follow each other from the top.
"""

from __future__ import annotations

import fcntl
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ResourceError
from swath.core.windows import Window
from swath.disk.publish import resources_explained

_HEADER = struct.Struct("<4s4qQI")  # magic, row, col, height, width, bytes, crc
_MAGIC = b"rows"


@dataclass(frozen=True)
class Chunk:
    """One stored chunk: its window, the position of its pixels in the file, their length and checksum."""

    window: Window
    position: int
    size: int
    crc: int


class Spool:
    """The rows of one output raster: (bands, h, w) arrays of `dtype`, appended; opened again by the same `key`.

    Only one process may hold a spool: another one gets a ResourceError.
    """

    def __init__(self, path: Path, key: str, bands: int, dtype: str) -> None:
        self.path, self.bands, self.dtype = path, bands, np.dtype(dtype)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file: BinaryIO = path.open("r+b" if path.exists() else "w+b")  # publish: a journal of our own
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            self.file.close()
            raise ResourceError("locked", path, "another process is making this map", "wait for it, or stop it") from e
        self.chunks: list[Chunk] = []
        if not self._restore(key):
            self._begin(key)

    def stops(self) -> dict[int, int]:
        """First column of each band -> the first row that is not stored yet."""
        return {c.window.col: c.window.row_end for c in self.chunks}

    def append(self, window: Window, pixels: NDArray[Any]) -> None:
        """Stores the pixels (bands, h, w) of a window."""
        data = np.ascontiguousarray(pixels, self.dtype).tobytes()
        crc = zlib.crc32(data)
        header = _HEADER.pack(_MAGIC, window.row, window.col, window.height, window.width, len(data), crc)
        with resources_explained(self.path, len(data)):
            self.file.write(header)
            position = self.file.tell()
            self.file.write(data)
            self.file.flush()
        self.chunks.append(Chunk(window, position, len(data), crc))

    def cut(self, stops: dict[int, int]) -> None:
        """Drops every chunk that reaches beyond `stops`, and all after the first of them."""
        for i, chunk in enumerate(self.chunks):
            if chunk.window.row_end > stops.get(chunk.window.col, 0):
                self.file.seek(chunk.position - _HEADER.size)
                self.file.truncate()
                self.chunks = self.chunks[:i]
                return

    def read(self, chunk: Chunk) -> NDArray[Any]:
        """The pixels (bands, h, w) of a chunk."""
        self.file.seek(chunk.position)
        data = self.file.read(chunk.size)
        return np.frombuffer(data, self.dtype).reshape(self.bands, *chunk.window.shape)

    def close(self, *, remove: bool) -> None:
        """Gives the file back, and removes it."""
        if remove:
            self.path.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk refuses what is still in the buffer; it is a torn chunk like any other
            self.file.close()

    def _begin(self, key: str) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps({"key": key}).encode() + b"\n")
        self.file.flush()

    def _restore(self, key: str) -> bool:
        """True where the file is of this job; then its whole chunks are known and what follows them is cut off."""
        self.file.seek(0)
        line = self.file.readline(4096)
        try:
            if json.loads(line)["key"] != key:
                return False
        except (ValueError, KeyError, TypeError):
            return False
        self.chunks = list(self._whole_chunks(len(line)))
        end = self.chunks[-1].position + self.chunks[-1].size if self.chunks else len(line)
        self.file.seek(end)
        self.file.truncate()
        return True

    def _whole_chunks(self, start: int) -> Iterator[Chunk]:
        self.file.seek(start)
        while len(header := self.file.read(_HEADER.size)) == _HEADER.size:
            magic, row, col, height, width, size, crc = _HEADER.unpack(header)
            if magic != _MAGIC or size != self.bands * height * width * self.dtype.itemsize:
                return
            position = self.file.tell()
            data = self.file.read(size)
            if len(data) != size or zlib.crc32(data) != crc:
                return
            yield Chunk(Window(row, col, height, width), position, size, crc)
