"""An image passes through a network strip by strip: nothing is computed twice, and only the rows still needed are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from swath.engines.rowbuffer import RowBuffer
from swath.engines.rowgraph import BLOCK, RowGraph
from swath.engines.rowlaw import Node, Slot
from swath.engines.rowplan import RowPlan, Step

INTO: dict[str, Callable[..., Tensor]] = {  # write into a given tensor
    "add": torch.add,
    "cat": torch.cat,
    "relu": lambda rows, out: torch.clamp_min(rows, 0, out=out),
}
OVER: dict[str, Callable[..., Tensor]] = {"add": Tensor.add_, "mul": Tensor.mul_, "relu": torch.relu_}  # in place


class RowStream:
    """One pass of an image of `height` rows (a multiple of the network's stride) through a traced network.

    Push its rows from top to bottom; the results, put together, are what the network gives for the whole image.
    `strip` rows are computed at a time, whatever number is pushed; None: as many as are pushed. `block` bounds the
    bytes of a layer that are computed at a time.
    Raises ValueError where the network cannot be applied to that height.
    """

    def __init__(self, graph: RowGraph, height: int, strip: int | None = None, block: int = BLOCK) -> None:
        graph.output_rows(height)
        self.graph = graph
        self.height = height
        self.strip = strip
        self.block = block
        self._plan: RowPlan | None = None
        self._waiting = 0  # rows pushed and not yet computed with
        self._buffers = [RowBuffer() for _ in graph.nodes]

    @property
    def buffered_bytes(self) -> int:
        """Memory that the kept rows take now, in bytes."""
        memory = {m.data_ptr(): m.nbytes() for buffer in self._buffers for m in buffer.memory()}
        return sum(memory.values())

    def push(self, rows: Tensor) -> Tensor | None:
        """The rows of the result that are finished with the next `rows`, (1, K, h', W'); None where there are none.

        rows: (1, C, h, W), h >= 1, in the dtype and on the device of the network; the caller may overwrite them
        afterwards. With the last row of the image all the rest comes out.
        Raises ValueError where more rows come than announced, or of another shape.
        """
        plan = self._check(rows)
        self._buffers[0].append(rows)
        self._waiting += rows.shape[2]
        with torch.no_grad():
            results = list(self._results(plan, self.strip or rows.shape[2]))
            self._buffers[0].release(rows)
            return torch.cat(results, 2) if len(results) > 1 else next(iter(results), None)

    def _check(self, rows: Tensor) -> RowPlan:
        channels, done = self.graph.channels[0], self._buffers[0].stop
        if rows.dim() != 4 or rows.shape[1] != channels or rows.shape[2] < 1:
            raise ValueError(f"rows have shape {tuple(rows.shape)}, expected (1, {channels}, h, W)")
        if rows.dtype != self.graph.nodes[0].dtype:
            raise ValueError(f"rows are {rows.dtype}, the network takes {self.graph.nodes[0].dtype}")
        if done + rows.shape[2] > self.height:
            raise ValueError(f"{rows.shape[2]} more rows after {done} of {self.height}")
        if self._plan is None:
            if rows.shape[3] % self.graph.stride:
                raise ValueError(f"{rows.shape[3]} columns are no multiple of the stride {self.graph.stride}")
            self._plan = RowPlan(self.graph.nodes, self.height, rows.shape[3], self.block)
        if rows.shape[3] != self._plan.widths[0]:
            raise ValueError(f"rows are {rows.shape[3]} columns wide, those before {self._plan.widths[0]}")
        return self._plan

    def _results(self, plan: RowPlan, strip: int) -> Iterator[Tensor]:
        ended, last = self._buffers[0].stop == self.height, self.graph.output
        fresh = self.graph.nodes[last].operation.fresh
        while self._waiting >= strip or (ended and self._waiting):
            rows = min(strip, self._waiting)
            self._waiting -= rows
            for step in plan.advance(rows):
                result = self._compute(plan, step)
                if step.node == last:
                    yield result if fresh else result.clone()

    def _compute(self, plan: RowPlan, step: Step) -> Tensor:
        node, buffer = self.graph.nodes[step.node], self._buffers[step.node]
        operation = node.operation
        inputs = [self._buffers[source].take(step.first, step.last, operation.fill) for source in node.inputs]
        for source, row in zip(node.inputs, step.keep, strict=True):
            self._buffers[source].drop(row)
        args = _filled(operation.args, inputs)
        if operation.name in INTO and plan.windowed(step.node):
            shape = (inputs[0].shape[0], node.channels, step.stop - step.start, plan.widths[step.node])
            room = buffer.room(shape, node.dtype, inputs[0], plan.context(step.node, step.start))
            return INTO[operation.name](*args, **operation.kwargs, out=room)
        function = OVER[operation.name] if self._exclusive(plan, node) else operation.function
        result: Tensor = function(*args, **operation.kwargs)
        result = result.narrow(2, step.start - operation.rows.offset(step.first), step.stop - step.start)
        if plan.readers[step.node]:
            buffer.append(result)
        return result

    def _exclusive(self, plan: RowPlan, node: Node) -> bool:
        """True where the operation may overwrite its first input, which nobody else reads."""
        if node.operation.name not in OVER or not isinstance(node.operation.args[0], Slot):
            return False
        source = node.inputs[node.operation.args[0]]
        before = self.graph.nodes[source]
        return (
            source != 0
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
