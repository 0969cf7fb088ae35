"""Counts of everything that was dropped, clipped, padded, repaired or skipped, for the closing table of a step."""

from __future__ import annotations

from collections import Counter

from swath.core.threads import OwnLock


class Events:
    """How often each event happened. `count("geometry repaired", 3)`; threads may share one."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = OwnLock()

    def count(self, event: str, times: int = 1) -> None:
        """Adds `times` (0 is not shown)."""
        if times:
            with self._lock:
                self._counts[event] += int(times)

    def as_dict(self) -> dict[str, int]:
        """Event -> count, most frequent first."""
        return dict(self._counts.most_common())
