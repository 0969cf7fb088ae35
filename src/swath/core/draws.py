"""Random numbers without a state: each is a pure function of (seed, stream, position, lane), whole arrays at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def fractions(seed: int, stream: int, positions: NDArray[np.int64], lane: int = 0) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one per position; streams and lanes are independent of each other."""
    return (bits(seed, stream, positions, lane) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(
    limit: int | NDArray[np.int64], seed: int, stream: int, positions: NDArray[np.int64], lane: int = 0
) -> NDArray[np.int64]:
    """Uniform integers in [0, limit), one per position."""
    return (fractions(seed, stream, positions, lane) * limit).astype(np.int64)


def bits(seed: int, stream: int, positions: NDArray[np.int64], lane: int = 0) -> NDArray[np.uint64]:
    """64 mixed bits per position: SplitMix64 (Steele, Lea and Flood 2014) over seed, stream, lane and position in turn."""
    return _mixed(_mixed(_start(seed, stream, lane) ^ positions.astype(np.uint64)))


@lru_cache(maxsize=256)
def _start(seed: int, stream: int, lane: int) -> NDArray[np.uint64]:
    state = np.zeros(1, np.uint64)
    for word in (seed, stream, lane):
        state = _mixed(state ^ np.uint64(word & 0xFFFFFFFFFFFFFFFF))
    return state


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = state + _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return z ^ (z >> np.uint64(31))
