"""Messages to people, on standard error."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from typing import Any

_level = 1


def set_verbosity(level: int) -> None:
    """0: errors only, 1: messages and warnings."""
    global _level  # noqa: PLW0603
    _level = level


def say(text: str = "") -> None:
    """A message."""
    if _level >= 1:
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A warning."""
    say(f"warning: {text}")


def table(rows: Iterable[Iterable[Any]], header: Iterable[str]) -> str:
    """Rows as aligned text columns under a header."""
    listed = [[str(c) for c in header], *[[_cell(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in listed) for i in range(len(listed[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in listed]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def counts(title: str, events: Mapping[str, int]) -> str:
    """A closing table of what was dropped, padded, repaired or skipped; empty where nothing was."""
    return f"{title}: " + ", ".join(f"{n:,} x {what}" for what, n in events.items()) if events else ""


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(v) for v in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_cell(v)}" for k, v in value.items()) or "-"
    return str(value)


def quiet_libraries() -> None:
    """Says nothing where rasterio could not log a message of GDAL's that is no UTF-8: the error itself is raised.

    Such messages come from file names and tags of odd files. Changes hooks of the whole process, so it is for the command
    line, not for a library.
    """
    unraisable, excepthook = sys.unraisablehook, sys.excepthook
    if unraisable.__module__ == __name__:
        return  # done before

    def unless_of_gdals_log(problem: Any) -> None:
        if not (isinstance(problem.exc_value, UnicodeDecodeError) and "rasterio._env" in str(problem.object)):
            unraisable(problem)

    def unless_without_a_trace(kind: type[BaseException], value: BaseException, trace: Any) -> None:
        if not (isinstance(value, UnicodeDecodeError) and trace is None):
            excepthook(kind, value, trace)

    sys.unraisablehook, sys.excepthook = unless_of_gdals_log, unless_without_a_trace


def tolerant_output() -> None:
    """Standard output that shows letters which its encoding lacks as escapes, as standard error does, and never fails.

    Such letters stand in names of classes and files, and in a file's name may be bytes that are no UTF-8.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
