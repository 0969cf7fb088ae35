"""The rows of one layer that later layers still read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Rows:
    """Consecutive rows, in parts as they came; a part may begin with a copy of the last rows of the part before it."""

    def __init__(self) -> None:
        self.stop = 0
        self._parts: list[tuple[int, Tensor]] = []  # first row, rows

    def memory(self) -> Iterator[torch.UntypedStorage]:
        """The memory that the parts take, perhaps the same more than once."""
        return (part.untyped_storage() for _, part in self._parts)

    def append(self, rows: Tensor) -> None:
        """Add the next rows, (1, C, h, W)."""
        self._parts.append((self.stop, rows))
        self.stop += rows.shape[2]

    def room(self, shape: tuple[int, ...], dtype: torch.dtype, like: Tensor, context: int) -> Tensor:
        """Empty next rows of (1, C, h, W) to be written into; the `context` rows before them lie in the same memory."""
        batch, channels, height, width = shape
        whole = torch.empty((batch, channels, context + height, width), dtype=dtype, device=like.device,
                            memory_format=_memory_format(like))  # fmt: skip
        if context:
            whole[:, :, :context] = self.take(self.stop - context, self.stop, None)
        self._parts.append((self.stop - context, whole))
        self.stop += height
        return whole[:, :, context:]

    def take(self, first: int, last: int, fill: float | None) -> Tensor:
        """The rows [first, last), with `fill` in those before row 0 and after the last; copied only where needed."""
        for start, part in reversed(self._parts):
            if start <= first and last <= start + part.shape[2]:
                return part.narrow(2, first - start, last - first)
        return torch.cat(list(self._gather(first, last, fill)), 2)

    def _gather(self, first: int, last: int, fill: float | None) -> Iterator[Tensor]:
        if first < 0:
            yield self._blank(min(0, last) - first, fill)
        row = max(first, 0)
        for index, (start, part) in enumerate(self._parts):
            following = self._parts[index + 1][0] if index + 1 < len(self._parts) else self.stop
            stop = min(last, start + part.shape[2], following)
            if row < stop:
                yield part.narrow(2, row - start, stop - row)
                row = stop
        if last > self.stop:
            yield self._blank(last - max(first, self.stop), fill)

    def _blank(self, rows: int, fill: float | None) -> Tensor:
        like = self._parts[-1][1]
        shape = (like.shape[0], like.shape[1], rows, like.shape[3])
        blank = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=_memory_format(like))
        return blank.fill_(fill or 0.0)

    def drop(self, row: int) -> None:
        """Forget the rows before `row`; the memory of a part is given back when most of it is forgotten."""
        while (len(self._parts) > 1 and self._parts[1][0] <= row) or (self._parts and row >= self.stop):
            del self._parts[0]
        if self._parts and self._parts[0][0] < row:
            start, part = self._parts[0]
            rest = part.narrow(2, row - start, part.shape[2] - (row - start))
            if 2 * rest.numel() * rest.element_size() <= rest.untyped_storage().nbytes():
                rest = rest.clone()
            self._parts[0] = row, rest

    def own(self) -> None:
        """Copy the rows, so that those who gave them may overwrite theirs."""
        self._parts = [(start, part.clone()) for start, part in self._parts]


def _memory_format(like: Tensor) -> torch.memory_format:
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
