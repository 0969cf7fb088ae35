"""Progress on standard error: a bar with ETA on a terminal, else one plain line every ten seconds."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turns all progress off (`-q`)."""
    global _quiet  # noqa: PLW0603
    _quiet = quiet


class Progress:
    """`with Progress("predict", total, "rows") as p: p.advance(n)`; shows share, speed and time left."""

    def __init__(self, title: str, total: float, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.before = 0.0
        self.note = ""
        self._started = self._shown = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if not _quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                       TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, note="")
        return self

    def resume(self, amount: float) -> None:
        """Counts work that an earlier start did: it is done, but tells nothing of the speed."""
        self.before += amount
        self.done += amount
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

    def advance(self, amount: float, note: str = "") -> None:
        """Adds work done; `note` is shown beside it."""
        self.done += amount
        self.note = note or self.note
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self.note)
        elif not _quiet and time.monotonic() - self._shown >= 10:
            self._shown = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The state as one line."""
        spent, fresh = time.monotonic() - self._started, self.done - self.before
        left = f", {duration(spent / fresh * (self.total - self.done))} left" if fresh > 0 else ""
        share = int(100 * self.done / self.total) if self.total else 100  # 100 only when all is done
        return f"{self.title}: {share}% of {self.total:,.0f} {self.unit}{left} {self.note}".rstrip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def duration(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 99.5:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
