"""When each operation of a network runs while rows come in: plain integers, no tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swath.engines.rowlaw import Node


@dataclass(frozen=True)
class Step:
    """Rows [start, stop) of a node are computed from the rows [first, last) of its inputs, which may reach beyond them.

    `keep`: for each input, the first row that some node still reads afterwards.
    """

    node: int
    start: int
    stop: int
    first: int
    last: int
    keep: tuple[int, ...]


class RowPlan:
    """The steps that each strip of an image of (height, width) makes possible, in order.

    No step computes or reads more than about `block` bytes (a single row may), and none leaves a convolution fewer
    values than its `least`, as far as the image has more. Raises ValueError where the network cannot be applied to an
    image of that size.
    """

    def __init__(self, nodes: Sequence[Node], height: int, width: int, block: int) -> None:
        self.nodes = nodes
        self.heights = extents(nodes, height, "rows")
        self.widths = extents(nodes, width, "columns")
        self.line = [n.channels * w * n.dtype.itemsize for n, w in zip(nodes, self.widths, strict=True)]
        self.done = [0] * len(nodes)  # rows computed so far
        self.readers: list[list[int]] = [[] for _ in nodes]
        self._read = [0] * len(nodes)  # the first input row that the node still reads
        self._least = [self._least_rows(node) for node in nodes]
        self._most = [self._most_rows(position, block) for position in range(len(nodes))]
        for position, node in enumerate(nodes):
            for source in dict.fromkeys(node.inputs):
                self.readers[source].append(position)

    def advance(self, rows: int) -> Iterator[Step]:
        """The steps after `rows` more rows of the image; each must be carried out before the next is taken."""
        self.done[0] += rows
        active = True
        while active:
            active = False
            for position in range(1, len(self.nodes)):
                step = self._step(position)
                if step:
                    active = True
                    yield step

    def kept(self, position: int) -> int:
        """The first row of a node that another still reads; the number of its rows so far where none does."""
        return min((self._read[r] for r in self.readers[position]), default=self.done[position])

    def windowed(self, position: int) -> bool:
        """True where some reader of a node reads several of its rows for one of its own."""
        return any(self.nodes[reader].windowed for reader in self.readers[position])

    def context(self, position: int, start: int) -> int:
        """How many rows before row `start` of a node are read again by a window that goes on to read from it."""
        rows = 0
        for reader in self.readers[position]:
            reach, again = self.nodes[reader].operation.rows, start - self._read[reader]
            if again <= (reach.last - reach.first) // reach.up:  # a reader that lags further behind gathers its rows
                rows = max(rows, again)
        return rows

    def _step(self, position: int) -> Step | None:
        node, start = self.nodes[position], self.done[position]
        stop = self._ready(node, position)
        if stop <= start:
            return None
        pieces = -(-(stop - start) // self._most[position])
        stop = start + -(-(stop - start) // pieces)
        reach, below = node.operation.rows, self.heights[node.inputs[0]]
        first, last = reach.span(start, stop)
        if node.operation.fill is None:
            first, last = max(0, first), min(below, last)
        ended = stop == self.heights[position]
        self.done[position] = stop
        self._read[position] = below if ended else min(below, max(0, reach.span(stop, stop + 1)[0]))
        return Step(position, start, stop, first, last, tuple(self.kept(source) for source in node.inputs))

    def _ready(self, node: Node, position: int) -> int:
        """Up to which row the node can be computed, such that neither this part nor the rest is less than the least."""
        available = min(self.done[source] for source in node.inputs)
        total, least = self.heights[position], self._least[position]
        if available == self.heights[node.inputs[0]]:
            return total
        ready = min(total - least, node.operation.rows.ready(available)) if available else 0
        return ready if ready - self.done[position] >= least else 0

    def _least_rows(self, node: Node) -> int:
        if not node.operation.least:
            return 1
        source, reach = node.inputs[0], node.operation.rows
        rows = -(-node.operation.least // (self.widths[source] * self.nodes[source].channels))
        return max(1, -(-((rows - 1) * reach.up - reach.last + reach.first) // reach.down) + 1)

    def _most_rows(self, position: int, block: int) -> int:
        widest = self.line[position]
        for source in self.nodes[position].inputs:
            widest = max(widest, self.line[source] * self.heights[source] // self.heights[position])
        return max(block // widest, 2 * self._least[position] - 1)


def extents(nodes: Sequence[Node], size: int, axis: str) -> list[int]:
    """The rows (axis "rows") or columns (axis "columns") of each node for an image of `size` rows or columns.

    Raises ValueError where the image is too small, or two inputs of a node come out of different size.
    """
    sizes = [size]
    for node in nodes[1:]:
        inputs = {sizes[source] for source in node.inputs}
        if len(inputs) > 1:
            raise ValueError(f"{node.layer} joins inputs of {sorted(inputs)} {axis} where the image has {size}")
        result = getattr(node.operation, axis).extent(inputs.pop())
        if result < 1:
            raise ValueError(f"{node.layer} gives {result} {axis} where the image has {size}")
        sizes.append(result)
    return sizes


def peak_bytes(plan: RowPlan, strip: int) -> int:
    """The largest memory in bytes that rows take while strips of `strip` rows run through the whole of a fresh plan."""
    held, total, peak = [0] * len(plan.nodes), 0, 0

    def hold(position: int) -> int:
        before = held[position]
        held[position] = (plan.done[position] - plan.kept(position)) * plan.line[position]
        return held[position] - before

    height = plan.heights[0]
    for start in range(0, height, strip):
        rows = min(strip, height - start)
        held[0] += rows * plan.line[0]
        total += rows * plan.line[0]
        for step in plan.advance(rows):
            node = plan.nodes[step.node]
            work = (step.stop - step.start) * plan.line[step.node]
            if node.windowed and (node.operation.rows.up > 1 or step.first < 0):
                work += (step.last - step.first) * plan.line[node.inputs[0]]
            peak = max(peak, total + work)
            total += hold(step.node) + sum(hold(source) for source in set(node.inputs))
    return peak
