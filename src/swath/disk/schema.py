"""The shape of a store's records, and how a sample becomes one and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.disk.sample import Sample


@dataclass(frozen=True)
class Schema:
    """The shape of a record: `bands` and `dtype` of the image, `side` in pixels, `labels` dtype, number of classes."""

    bands: int
    dtype: str
    side: int
    labels: str
    classes: int

    @property
    def parts(self) -> tuple[int, int, int]:
        """Bytes of image, labels and valid."""
        area = self.side**2
        return self.bands * area * np.dtype(self.dtype).itemsize, area * np.dtype(self.labels).itemsize, area

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return sum(self.parts)

    def index_dtype(self) -> np.dtype[Any]:
        """The columns of the index."""
        box = np.dtype((np.int64, (4,)))
        return np.dtype([("scene", "<i4"), ("split", "<i1"), ("read", box), ("core", box),
                         ("counts", "<i8", (self.classes,)), ("crc", "<u4")])  # fmt: skip

    def pack(self, sample: Sample) -> bytes:
        """The bytes of a record."""
        return b"".join(
            np.ascontiguousarray(a, t).tobytes()
            for a, t in ((sample.image, self.dtype), (sample.labels, self.labels), (sample.valid, "u1"))
        )

    def unpack(self, record: NDArray[np.uint8]) -> Sample:
        """A record's arrays as views of its bytes."""
        image, labels, _ = self.parts
        side = self.side
        return Sample(
            record[:image].view(self.dtype).reshape(self.bands, side, side),
            record[image : image + labels].view(self.labels).reshape(side, side),
            record[image + labels :].view(np.bool_).reshape(side, side),
        )
