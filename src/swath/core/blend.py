"""Weights with which overlapping tiles are averaged: a table of one-dimensional profiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Profile = NDArray[np.float32]


def flat(size: int) -> Profile:
    """Every pixel counts alike."""
    return np.ones(size, np.float32)


def linear(size: int) -> Profile:
    """A triangle that falls towards both edges, never to zero."""
    ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1))
    return (ramp / ramp.max()).astype(np.float32)


def hann(size: int) -> Profile:
    """A raised cosine that falls towards both edges, never to zero."""
    phase = (np.arange(size) + 0.5) / size
    return np.maximum(np.sin(np.pi * phase) ** 2, 1e-3).astype(np.float32)


def spline(size: int) -> Profile:
    """A quadratic spline (two parabolas joined at a quarter), never zero."""
    x = np.abs((np.arange(size) + 0.5) / size * 2 - 1)
    inner, outer = 1 - 2 * x**2, 2 * (1 - x) ** 2
    return np.maximum(np.where(x < 0.5, inner, outer), 1e-3).astype(np.float32)


BLENDS: dict[str, Callable[[int], Profile]] = {"none": flat, "linear": linear, "hann": hann, "spline": spline}


def weights(name: str, height: int, width: int) -> NDArray[np.float32]:
    """The (height, width) weights of one tile: the outer product of two profiles, all above zero."""
    profile = BLENDS[name]
    return np.outer(profile(height), profile(width)).astype(np.float32)
