"""Networks and ways to stream through them, for the tests of row streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swath.engines.rowgraph import RowGraph
from swath.engines.rowstream import RowStream


class Applied(nn.Module):
    """Any function of an image as a network; `parts` are the modules that it uses."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.parts)


def lively(net: nn.Module) -> nn.Module:
    """The network in evaluation mode, channels last, with normalisation statistics as if trained."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval().to(memory_format=torch.channels_last)


def eager(graph: RowGraph) -> RowGraph:
    """The graph whose convolutions run on any number of values, as those of wide images do."""
    nodes = [replace(node, operation=replace(node.operation, least=0)) for node in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def random_heights(seed: int, largest: int) -> Iterator[int]:
    """Heights of strips without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(1, largest + 1))


def streamed(graph: RowGraph, image: Tensor, heights: int | Iterable[int], **options: Any) -> Tensor:
    """The result for an image that passes in strips of these heights."""
    stream, row, parts = RowStream(graph, image.shape[2], **options), 0, []
    for height in [heights] * image.shape[2] if isinstance(heights, int) else heights:
        if row >= image.shape[2]:
            break
        parts.append(stream.push(image[:, :, row : row + height]))
        row += height
    assert stream.buffered_bytes == 0
    return torch.cat([part for part in parts if part is not None], 2)
