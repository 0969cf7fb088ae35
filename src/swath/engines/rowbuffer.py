"""The rows of one layer that later layers still read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class RowBuffer:
    """Consecutive rows, in parts as they came; a part may begin with a copy of the last rows of the part before it."""

    def __init__(self) -> None:
        self.stop = 0  # rows so far, those that were dropped included
        self._parts: list[tuple[int, Tensor]] = []  # (first row, rows)
        self._like: Tensor | None = None  # one row, from which blank rows take their form

    def memory(self) -> Iterator[torch.UntypedStorage]:
        """The memory of the parts, perhaps the same more than once."""
        return (part.untyped_storage() for _, part in self._parts)

    def append(self, rows: Tensor) -> None:
        """Add the next rows, (1, C, h, W)."""
        self._add(rows, 0)

    def room(self, shape: tuple[int, ...], dtype: torch.dtype, like: Tensor, context: int) -> Tensor:
        """The next rows, (1, C, h, W), still to be written; the `context` rows before them lie in the same memory."""
        batch, channels, height, width = shape
        rows = _empty((batch, channels, context + height, width), dtype, like)
        if context:
            rows[:, :, :context] = self.take(self.stop - context, self.stop, None)
        self._add(rows, context)
        return rows[:, :, context:]

    def _add(self, rows: Tensor, context: int) -> None:
        if self._like is None:
            self._like = rows[:, :, :1].clone()
        self._parts.append((self.stop - context, rows))
        self.stop += rows.shape[2] - context

    def take(self, first: int, last: int, fill: float | None) -> Tensor:
        """The rows [first, last), with `fill` in those before row 0 and after the last; copied only where needed."""
        for start, part in reversed(self._parts):
            if start <= first and last <= start + part.shape[2]:
                return part.narrow(2, first - start, last - first)
        return torch.cat(list(self._gather(first, last, fill or 0.0)), 2)

    def _gather(self, first: int, last: int, fill: float) -> Iterator[Tensor]:
        if first < 0:
            yield self._blank(min(0, last) - first, fill)
        row = max(first, 0)
        for start, part in self._parts:
            stop = min(last, start + part.shape[2])
            if row < stop:
                yield part.narrow(2, row - start, stop - row)
                row = stop
        if last > self.stop:
            yield self._blank(last - max(first, self.stop), fill)

    def _blank(self, rows: int, fill: float) -> Tensor:
        assert self._like is not None
        batch, channels, _, width = self._like.shape
        return _empty((batch, channels, rows, width), self._like.dtype, self._like).fill_(fill)

    def drop(self, row: int) -> None:
        """Forget the rows before `row`; memory is given back where most of its rows are forgotten."""
        while len(self._parts) > 1 and row >= self._parts[1][0]:
            del self._parts[0]
        if row >= self.stop:
            self._parts.clear()
        if not self._parts or self._parts[0][0] >= row:
            return
        start, part = self._parts[0]
        rest = part.narrow(2, row - start, part.shape[2] - (row - start))
        if 2 * rest.numel() * rest.element_size() <= rest.untyped_storage().nbytes():
            rest = rest.clone()
        self._parts[0] = row, rest

    def release(self, rows: Tensor) -> None:
        """Copy what lies in the memory of `rows`, so that their owner may overwrite it."""
        memory = rows.untyped_storage().data_ptr()
        self._parts = [
            (start, part.clone() if part.untyped_storage().data_ptr() == memory else part)
            for start, part in self._parts
        ]


def _empty(shape: tuple[int, ...], dtype: torch.dtype, like: Tensor) -> Tensor:
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=form)
