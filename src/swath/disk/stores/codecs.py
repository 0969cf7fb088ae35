"""Arrays as compressed bytes and back: Blosc2 frames of bit-shuffled LZ4, one thread each, the interpreter's lock released."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError

Codec = str
CODECS: tuple[Codec, ...] = ("none", "lz4")


def require_codec(codec: Codec) -> None:
    """Nothing, or a ConfigError (extra-missing) where records of the codec can be neither written nor read here."""
    if codec != "none":
        blosc2()


def compressed(array: NDArray[Any]) -> bytes:
    """The array as one Blosc2 chunk. Raises ConfigError (extra-missing)."""
    b2 = blosc2()
    return b2.compress2(
        np.ascontiguousarray(array), codec=b2.Codec.LZ4, clevel=5, typesize=array.dtype.itemsize,
        filters=[b2.Filter.BITSHUFFLE], filters_meta=[0], nthreads=1,
    )  # fmt: skip


def decompressed(chunk: NDArray[np.uint8], out: NDArray[Any], where: str) -> int:
    """Fills the C-contiguous `out` from a chunk at the beginning of some bytes; returns the chunk's length.

    Raises DataError where the bytes are no chunk of that size.
    """
    b2 = blosc2()
    if len(chunk) >= 32:
        size, length, _ = b2.get_cbuffer_sizes(bytes(chunk[:32]))
        if size == out.nbytes and 32 <= length <= len(chunk):
            b2.decompress2(chunk[:length], dst=out.view(np.uint8), nthreads=1)
            return int(length)
    raise DataError("store-corrupt", where, "holds no compressed array of the schema's size", "make the store anew")


@lru_cache(maxsize=1)
def blosc2() -> ModuleType:
    """The library, so set that threads run side by side. Raises ConfigError where it is not installed."""
    try:
        import blosc2 as library
    except ImportError as e:
        raise ConfigError("extra-missing", "sample.compress", f"compressed records need blosc2 ({e})",
                          "pip install 'swath[lz4]', or set sample.compress=none") from e  # fmt: skip
    library.set_releasegil(True)
    return library
