"""An image passes through a network strip by strip: nothing is computed twice, and only the rows still needed are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from swath.engines.rowbuffer import Rows
from swath.engines.rowgraph import RowGraph
from swath.engines.rowlaw import Node, Slot
from swath.engines.rowplan import RowPlan, Step, extents

INTO: dict[str, Callable[..., Tensor]] = {  # write into a given tensor
    "add": torch.add,
    "cat": torch.cat,
    "relu": lambda rows, out: torch.clamp_min(rows, 0, out=out),
}
OVER: dict[str, Callable[..., Tensor]] = {"add": Tensor.add_, "mul": Tensor.mul_, "relu": torch.relu_}  # in place


class RowStream:
    """One pass of an image of `height` rows (a multiple of the network's stride) through a traced network.

    Push its rows from top to bottom; the results, put together, are what the network gives for the whole image.
    `strip` rows are computed at a time, whatever number is pushed; None: as many as are pushed.
    Raises ValueError where the network cannot be applied to that height.
    """

    def __init__(self, graph: RowGraph, height: int, strip: int | None = None, part: int = 16 << 20) -> None:
        extents(graph.nodes, height, "rows")
        self.graph = graph
        self.height = height
        self.strip = strip
        self.part = part
        self._plan: RowPlan | None = None
        self._waiting = 0
        self._buffers = [Rows() for _ in graph.nodes]

    @property
    def buffered_bytes(self) -> int:
        """Memory that the kept rows take now, in bytes."""
        memory = {m.data_ptr(): m.nbytes() for buffer in self._buffers for m in buffer.memory()}
        return sum(memory.values())

    def push(self, rows: Tensor) -> Tensor | None:
        """The rows of the result that are finished with the next `rows`, (1, K, h', W'); None where there are none.

        rows: (1, C, h, W), h >= 1, in the dtype and on the device of the network; not kept after the call. With the
        last row of the image all the rest comes out. Raises ValueError where more rows come than announced, or of
        another shape.
        """
        plan = self._check(rows)
        self._buffers[0].append(rows)
        self._waiting += rows.shape[2]
        strip, ended = self.strip or rows.shape[2], self._buffers[0].stop == self.height
        results: list[Tensor] = []
        with torch.no_grad():
            while self._waiting >= strip or (ended and self._waiting):
                taken = min(strip, self._waiting)
                self._waiting -= taken
                for step in plan.advance(taken):
                    result = self._compute(plan, step)
                    if step.node == self.graph.output:
                        results.append(result)
        self._buffers[0].own()
        return torch.cat(results, 2) if len(results) > 1 else next(iter(results), None)

    def _check(self, rows: Tensor) -> RowPlan:
        channels, done = self.graph.channels[0], self._buffers[0].stop
        if rows.dim() != 4 or rows.shape[1] != channels or rows.shape[2] < 1:
            raise ValueError(f"rows have shape {tuple(rows.shape)}, expected (1, {channels}, h, W)")
        if done + rows.shape[2] > self.height:
            raise ValueError(f"{rows.shape[2]} more rows after {done} of {self.height}")
        if self._plan is None:
            self._plan = RowPlan(self.graph.nodes, self.height, rows.shape[3], self.part)
        if rows.shape[3] != self._plan.widths[0]:
            raise ValueError(f"rows are {rows.shape[3]} columns wide, those before {self._plan.widths[0]}")
        return self._plan

    def _compute(self, plan: RowPlan, step: Step) -> Tensor:
        node = self.graph.nodes[step.node]
        operation, buffer = node.operation, self._buffers[step.node]
        inputs = [self._buffers[source].take(step.first, step.last, operation.fill) for source in node.inputs]
        for source, row in zip(node.inputs, step.keep, strict=True):
            self._buffers[source].drop(row)
        args = _filled(operation.args, inputs)
        if operation.name in INTO and any(self.graph.nodes[r].windowed for r in plan.readers[step.node]):
            room = self._room(plan, step, inputs[0])
            INTO[operation.name](*args, **operation.kwargs, out=room)
            return room
        function = OVER[operation.name] if self._exclusive(plan, node) else operation.function
        result: Tensor = function(*args, **operation.kwargs)
        begin = step.start - operation.rows.offset(step.first)
        result = result.narrow(2, begin, step.stop - step.start)
        buffer.append(result)
        buffer.drop(plan.kept(step.node))
        return result

    def _room(self, plan: RowPlan, step: Step, like: Tensor) -> Tensor:
        node = self.graph.nodes[step.node]
        shape = (like.shape[0], node.channels, step.stop - step.start, plan.widths[step.node])
        return self._buffers[step.node].room(shape, node.dtype, like, plan.overlap(step.node, step.start))

    def _exclusive(self, plan: RowPlan, node: Node) -> bool:
        """True where the operation can overwrite its first input, which nobody else reads."""
        if node.operation.name not in OVER or not isinstance(node.operation.args[0], Slot):
            return False
        source = node.inputs[node.operation.args[0]]
        before = self.graph.nodes[source]
        return (
            source not in (0, self.graph.output)
            and before.operation.fresh
            and len(plan.readers[source]) == 1
            and (before.channels, before.dtype) == (node.channels, node.dtype)
        )


def _filled(value: Any, inputs: list[Tensor]) -> Any:
    """The arguments with each slot replaced by its input."""
    if isinstance(value, Slot):
        return inputs[value]
    if isinstance(value, tuple):
        return tuple(_filled(v, inputs) for v in value)
    return value
