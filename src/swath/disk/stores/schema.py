"""The shape of a store's records, and how a sample becomes one and comes back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.disk.stores.codecs import CODECS, compressed, decompressed
from swath.disk.stores.sample import Sample


@dataclass(frozen=True)
class Record:
    """The bytes of a stored sample in `parts`, and their CRC-32."""

    parts: tuple[memoryview, ...]
    crc: int

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(p.nbytes for p in self.parts)


@dataclass(frozen=True)
class Schema:
    """The shape of a record: `bands` and `dtype` of the image, `side` in pixels, `labels` dtype, number of classes.

    `codec` says how records are stored: `none`, all of `record_bytes` one after another, or `lz4`, each as long as it is.
    `points`: the index has, per sample, the point's class index (`label`, -1: none) and its id (`point`).
    """

    bands: int
    dtype: str
    side: int
    labels: str
    classes: int
    points: bool = False
    codec: str = "none"

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise DataError("store-version", "schema", f"the codec '{self.codec}' is unknown to this Swath", "update Swath")

    @property
    def parts(self) -> tuple[int, int, int]:
        """Bytes of image, labels and valid."""
        area = self.side**2
        return self.bands * area * np.dtype(self.dtype).itemsize, area * np.dtype(self.labels).itemsize, area

    @property
    def record_bytes(self) -> int:
        """Bytes of a record that is not compressed."""
        return sum(self.parts)

    def index_dtype(self) -> np.dtype[Any]:
        """The columns of the index."""
        box = np.dtype((np.int64, (4,)))
        columns: list[Any] = [("scene", "<i4"), ("split", "<i1"), ("read", box), ("core", box),
                              ("counts", "<i8", (self.classes,)), ("crc", "<u4")]  # fmt: skip
        if self.points:
            columns += [("label", "<i4"), ("point", "<i8")]
        return np.dtype(columns if self.codec == "none" else [*columns, ("first", "<i8"), ("bytes", "<i8")])

    def total_bytes(self, index: NDArray[Any]) -> int:
        """Bytes of all records of an index."""
        return len(index) * self.record_bytes if self.codec == "none" else int(index["bytes"].sum())

    def record(self, sample: Sample) -> Record:
        """A sample as it is stored, with its checksum."""
        arrays = ((sample.image, self.dtype), (sample.labels, self.labels), (sample.valid, "u1"))
        plain = [np.ascontiguousarray(a, t) for a, t in arrays]
        parts = [a.reshape(-1).view(np.uint8).data if self.codec == "none" else memoryview(compressed(a)) for a in plain]
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        return Record(tuple(parts), crc)

    def empty(self) -> Sample:
        """Arrays of a sample, to be filled."""
        shape = self.side, self.side
        return Sample(np.empty((self.bands, *shape), self.dtype), np.empty(shape, self.labels), np.empty(shape, bool))

    def unpack_into(self, record: NDArray[np.uint8], out: Sample, where: str) -> None:
        """Decompresses a record into C-contiguous arrays. Raises DataError where it is none of this schema."""
        first = 0
        for array in (out.image, out.labels, out.valid):
            first += decompressed(record[first:], array, where)

    def unpack(self, record: NDArray[np.uint8]) -> Sample:
        """The arrays of a record that is not compressed, as views of its bytes."""
        image, labels, valid = self.views(record)
        return Sample(image[0], labels[0], valid[0])

    def views(self, data: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Image (n, C, S, S), labels (n, S, S) and valid (n, S, S) of records that are not compressed, as views."""
        side, image, labels = self.side, self.parts[0], self.parts[0] + self.parts[1]
        count = len(data) // self.record_bytes
        shapes = (((self.bands, side, side), self.dtype, 0), ((side, side), self.labels, image), ((side, side), bool, labels))
        parts = []
        for shape, kind, first in shapes:
            inner = np.empty(shape, kind).strides  # C-contiguous
            parts.append(np.ndarray((count, *shape), kind, data.data, first, (self.record_bytes, *inner)))  # type: ignore[arg-type]
        return parts[0], parts[1], parts[2]
