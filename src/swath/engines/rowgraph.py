"""A network as a graph of operations that can be walked row by row, and how far its pixels see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from swath.engines.rowlaw import Node, Operation, Reach, Untraceable
from swath.engines.rowplan import RowPlan, extents, peak_bytes
from swath.engines.rowtrace import record

__all__ = ["BLOCK", "RowGraph", "Untraceable", "trace_rows"]

BLOCK = 16 << 20  # bytes of a layer computed at a time: most of it stays in the cache, and malloc needs no fresh pages
ALLOCATED = 2.6  # memory of the process for each byte of rows: 1.3 for parts not yet given back, 2 for malloc's reserve


@dataclass(frozen=True)
class RowGraph:
    """Operations in the order in which they run; `nodes[0]` is the image, `nodes[output]` the result."""

    nodes: tuple[Node, ...]
    output: int
    stride: int

    @property
    def channels(self) -> tuple[int, int]:
        """Number of channels of the image and of the result."""
        return self.nodes[0].channels, self.nodes[self.output].channels

    @cached_property
    def radius_rows(self) -> tuple[int, int]:
        """(above, below): how many rows above and below its own an output row depends on, at worst."""
        return _radius(self, "rows")

    @cached_property
    def radius_columns(self) -> tuple[int, int]:
        """(left, right): how many columns left and right of its own an output column depends on, at worst."""
        return _radius(self, "columns")

    def output_rows(self, height: int) -> int:
        """Rows of the result for an image of `height` rows.

        Raises ValueError where that is no multiple of the stride, or the network cannot be applied to it.
        """
        if height < 1 or height % self.stride:
            raise ValueError(f"{height} rows are no multiple of the stride {self.stride}")
        return extents(self.nodes, height, "rows")[self.output]

    def peak_bytes(self, width: int, strip: int, block: int = BLOCK) -> int:
        """An estimate, good within a factor of two, of how many bytes a process grows by while it streams.

        It does not depend on the height of the image. `width` is a multiple of the stride.
        """
        strips = -(-sum(self.radius_rows) // strip) + 4  # until the buffers are as full as they get, and two more
        height = -(-strips * strip // self.stride) * self.stride
        return int(ALLOCATED * peak_bytes(RowPlan(self.nodes, height, width, block), strip))

    def best_strip(self, width: int, memory: int) -> int:
        """The fastest number of rows to compute at a time within `memory` bytes: 1, 2, 4 or 8 strides.

        One stride where even that takes more than `memory`: compare `peak_bytes`, and use narrower bands.
        """
        for strides in (8, 4, 2):
            if self.peak_bytes(width, strides * self.stride) <= memory:
                return strides * self.stride
        return self.stride


def trace_rows(net: nn.Module, stride: int, channels: int | None = None) -> RowGraph:
    """The network as a graph of row-local operations, for images whose sides are multiples of `stride`.

    The network, as it is and where it is (weights, device), runs on two small images of different shape; both must
    lead to the same operations. Code that branches on sizes which these two do not tell apart is not noticed.
    `channels` is the number of input channels where the first convolution does not tell it.
    Raises Untraceable naming the first layer that stops it.
    """
    if net.training:
        raise Untraceable(type(net).__name__, "is in training mode, call eval() first")
    least, channels = max(2, -(-64 // stride)), channels or _channels(net)
    one = record(net, _noise(net, channels, least * stride, (least + 1) * stride))
    two = record(net, _noise(net, channels, (least + 3) * stride, (least + 2) * stride))
    _compare(one, two)
    return _needed(*one, stride)


def _noise(net: nn.Module, channels: int, height: int, width: int) -> Tensor:
    weight = next((p for p in net.parameters() if p.is_floating_point()), torch.empty(0))
    generator = torch.Generator(weight.device).manual_seed(height)
    return torch.rand((1, channels, height, width), generator=generator, dtype=weight.dtype, device=weight.device)


def _channels(net: nn.Module) -> int:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            return module.in_channels
    raise Untraceable(type(net).__name__, "has no convolution that tells the number of input channels")


def _compare(one: tuple[list[Node], int], two: tuple[list[Node], int]) -> None:
    for a, b in zip(one[0], two[0], strict=False):
        if not _equal(vars(a), vars(b)):
            raise Untraceable(b.layer, f"{b.operation.name} does other things on an image of another size")
    if len(one[0]) != len(two[0]) or one[1] != two[1]:
        longer = max(one[0], two[0], key=len)
        raise Untraceable(longer[-1].layer, f"{longer[-1].operation.name} runs for one size of the image only")


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.shape == b.shape and torch.equal(a, b))
    if isinstance(a, Operation) and isinstance(b, Operation):
        return _equal(vars(a), vars(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and bool(a == b)


def _needed(nodes: Sequence[Node], output: int, stride: int) -> RowGraph:
    """The graph without the nodes that the result does not depend on."""
    wanted = {0, output}
    for position in range(output, 0, -1):
        if position in wanted:
            wanted.update(nodes[position].inputs)
    order = sorted(wanted)
    place = {old: new for new, old in enumerate(order)}
    kept = [replace(nodes[old], inputs=tuple(place[i] for i in nodes[old].inputs)) for old in order]
    return RowGraph(tuple(kept), place[output], stride)


def _radius(graph: RowGraph, axis: str) -> tuple[int, int]:
    reaches: list[Reach] = [getattr(node.operation, axis) for node in graph.nodes]
    scales = [Fraction(1)]  # rows of a node for each row of the image
    for node, reach in zip(graph.nodes[1:], reaches[1:], strict=True):
        scales.append(scales[node.inputs[0]] * reach.up / reach.down)
    scale = scales[graph.output]
    period = lcm(*(s.denominator for s in scales))  # the pattern repeats after so many image rows
    before = after = 0
    for row in range(int(period * scale)):
        start, stop = _source(graph, reaches, row)
        before = max(before, int(row / scale) - start)
        after = max(after, stop - 1 - int(-(-(row + 1) / scale // 1) - 1))
    return before, after


def _source(graph: RowGraph, reaches: Sequence[Reach], row: int) -> tuple[int, int]:
    """The image rows [a, b) that one row of the result depends on, edges aside."""
    spans: dict[int, tuple[int, int]] = {graph.output: (row, row + 1)}
    for position in range(graph.output, 0, -1):
        if position not in spans:
            continue
        start, stop = reaches[position].span(*spans[position])
        for source in graph.nodes[position].inputs:
            low, high = spans.get(source, (start, stop))
            spans[source] = (min(low, start), max(high, stop))
    return spans[0]
