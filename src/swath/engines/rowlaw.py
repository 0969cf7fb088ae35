"""The vocabulary of row streaming: which input rows an output row reads, and the operations of a traced network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


class Untraceable(Exception):
    """The network cannot be walked row by row; `layer` is the first module or function that stops it, `reason` why."""

    def __init__(self, layer: str, reason: str) -> None:
        self.layer = layer
        self.reason = reason
        super().__init__(f"{layer}: {reason}")


class Slot(int):
    """The place of the i-th input tensor in the arguments of an operation."""


@dataclass(frozen=True)
class Reach:
    """The input rows that output row o reads: floor((o * down + first) / up) to floor((o * down + last) / up).

    `grow` gives the number of output rows of n input rows, (n * up + grow) // down; `origin` the output row with which
    the function's result begins when it is given the rows from s on, (s * up + origin) // down. The same for columns.
    """

    up: int = 1
    down: int = 1
    first: int = 0
    last: int = 0
    grow: int = 0
    origin: int = 0

    def extent(self, size: int) -> int:
        """Number of output rows of `size` input rows; may be less than 1 where a window is larger than the input."""
        return (size * self.up + self.grow) // self.down

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The input rows [a, b) that the output rows [start, stop) read; may reach beyond the input."""
        return (start * self.down + self.first) // self.up, ((stop - 1) * self.down + self.last) // self.up + 1

    def ready(self, available: int) -> int:
        """Number of output rows that the input rows [0, available) suffice for, edges aside."""
        return max(0, (available * self.up - self.last - 1) // self.down + 1)

    def offset(self, start: int) -> int:
        """The output row with which the function's result begins when it is given the input rows from `start` on."""
        return (start * self.up + self.origin) // self.down


SAME = Reach()


def window(kernel: int, stride: int, dilation: int, padding: int) -> Reach:
    """The reach of a convolution or a pooling with `padding` rows on both sides."""
    taps = dilation * (kernel - 1)
    return Reach(1, stride, -padding, taps - padding, 2 * padding - taps - 1 + stride, padding)


def spread(kernel: int, stride: int, dilation: int, padding: int, extra: int) -> Reach:
    """The reach of a transposed convolution; `extra` is its output padding."""
    taps = dilation * (kernel - 1)
    first = min(padding, padding - taps + stride - 1)  # kernels shorter than the stride leave rows without a source
    return Reach(stride, 1, first, padding, taps + 1 + extra - stride - 2 * padding, -padding)


def repeat(factor: int) -> Reach:
    """The reach of an upsampling in which each row is repeated `factor` times."""
    return Reach(up=factor)


def interpolated(factor: int, taps: int) -> Reach:
    """The reach of an upsampling between pixel centres: 2 taps are bilinear, 4 bicubic."""
    before = (taps // 2 - 1) * factor + factor // 2
    return Reach(up=factor, first=-before, last=taps * factor - factor - before)


def shifted(before: int, after: int) -> Reach:
    """The reach of padding (positive) or cropping (negative) by whole rows."""
    return Reach(first=-before, last=-before, grow=before + after, origin=before)


@dataclass(frozen=True)
class Operation:
    """One function of the network, fit to be called on some of its rows.

    `args` and `kwargs` hold numbers, weights, and a `Slot` for each input; all inputs are read at the same rows.
    `fill` is the value of the rows beyond the true top and bottom; None: there are none, the function deals with the
    edge itself, so it is given clipped rows. `fresh` is False where the result may share memory with an input.
    Calls on fewer than `least` input values are avoided, where the image has more.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    rows: Reach = SAME
    columns: Reach = SAME
    fill: float | None = None
    fresh: bool = True
    least: int = 0


@dataclass(frozen=True)
class Node:
    """An operation in its place: qualified name of the layer, positions of its inputs, channels and type of its values.

    The node at position 0 is the input of the network and has no operation of its own.
    """

    layer: str
    operation: Operation
    inputs: tuple[int, ...]
    channels: int
    dtype: torch.dtype

    @property
    def windowed(self) -> bool:
        """True where an output row reads several input rows."""
        return self.operation.rows.last - self.operation.rows.first >= self.operation.rows.up


@dataclass(frozen=True)
class Call:
    """A call seen in the network: its layer, name and function, the shapes of its image-dependent inputs and result."""

    layer: str
    name: str
    function: Callable[..., Any]
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]

    def stop(self, reason: str) -> Untraceable:
        """The refusal of this call, to be raised."""
        return Untraceable(self.layer, f"{self.name} {reason}")


def only_image(call: Call, data: object, *others: object) -> None:
    """Check that the first tensor depends on the image and the others do not."""
    if not isinstance(data, Slot) or any(isinstance(o, Slot) for o in others):
        raise call.stop("takes weights that are computed from the image")
