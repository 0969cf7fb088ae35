"""How long training steps wait for their data: one warning with advice when it is too long, one line when it clears."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

STARVED, FED = 0.3, 0.1  # shares of a step's time spent waiting, above which is warned and below which it is over


@dataclass
class WaitMeter:
    """The share of the time of the last `steps` steps that was spent waiting; judged once they took `seconds`."""

    advice: str
    steps: int = 30
    seconds: float = 2.0
    state: Literal["quiet", "starved", "over"] = "quiet"
    _recent: deque[tuple[float, float]] = field(default_factory=deque)
    _tally: tuple[float, float] = (0.0, 0.0)

    def add(self, waited: float, spent: float) -> str | None:
        """Takes a step in that took `spent` seconds, `waited` of them for data; what is to be said, or None."""
        self._tally = self._tally[0] + waited, self._tally[1] + spent
        self._recent.append((waited, spent))
        if len(self._recent) > self.steps:
            self._recent.popleft()
        total = sum(s for _, s in self._recent)
        if len(self._recent) < self.steps or total < self.seconds:
            return None
        share = sum(w for w, _ in self._recent) / total
        if self.state == "quiet" and share > STARVED:
            self.state = "starved"
            return f"warning: training waits for data {share:.0%} of the time; {self.advice}"
        if self.state == "starved" and share < FED:
            self.state = "over"
            return f"training no longer waits for data ({share:.0%} of the time)"
        return None

    def taken(self) -> float | None:
        """The share since it was asked for last; None where no step was taken."""
        (waited, spent), self._tally = self._tally, (0.0, 0.0)
        return round(waited / spent, 4) if spent else None


def waiting_advice(source: str, codec: str, cache: str, threads: int, cores: int) -> str:
    """What to do against waiting, given where samples come from, how they are stored, how many threads read them, and how
    many cores this process may use: beyond one thread per core more of them only take time from each other.
    """
    busy = "its one core reads and learns" if cores == 1 else f"{threads} threads read on {cores} cores"
    more = "read with more threads (runtime.workers)" if 1 < cores > threads else f"give it more cores ({busy}: more threads do not help)"
    if source != "store":
        keep = "keep the samples (train.cache=disk), " if cache != "disk" else ""
        return f"make a store (swath sample CONFIG), {keep}or {more}"
    if codec != "none" and cache not in ("ram", "disk"):
        return f"keep the samples as they are (train.cache=ram or disk, or sample.compress=none), or {more}"
    return f"put the store on a faster disk, keep it in memory (train.cache=ram), or {more}"
