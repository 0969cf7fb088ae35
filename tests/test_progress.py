"""Progress tells share, speed and time left, in words that need no explanation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swath import progress
from swath.progress import Progress, duration, set_quiet


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that have passed; nothing else makes time go by."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    set_quiet(False)
    yield now
    set_quiet(False)


def test_a_line_every_ten_seconds(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("predict a.tif", 1_000_000, "pixels") as bar:
        for _ in range(4):
            clock[0] += 4
            bar.advance(100_000)
    assert capsys.readouterr().err == "predict a.tif: 30% of 1,000,000 pixels, 28 s left\n"


def test_work_of_an_earlier_start_is_no_speed(clock: list[float]) -> None:
    bar = Progress("train", 1000, "steps")
    bar.resume(900)
    clock[0] += 10
    assert bar.line() == "train: 90% of 1,000 steps"
    bar.advance(1, "loss 0.5")
    assert bar.line() == "train: 90% of 1,000 steps, 16 min left loss 0.5"


def test_a_hundred_per_cent_is_all(clock: list[float]) -> None:
    bar = Progress("train", 1000, "steps")
    clock[0] += 999
    bar.advance(999)
    assert bar.line().startswith("train: 99% of")
    clock[0] += 1
    bar.advance(1)
    assert bar.line() == "train: 100% of 1,000 steps, 0 s left"
    assert Progress("nothing", 0, "rows").line() == "nothing: 100% of 0 rows"


def test_quiet_is_quiet(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    set_quiet(True)
    with Progress("train", 10, "steps") as bar:
        clock[0] += 60
        bar.advance(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (99.4, "99 s"), (99.6, "2 min"), (600, "10 min"), (5940, "99 min"), (5999, "1 h 40 min"),
     (7260, "2 h 1 min"), (172_000, "47 h 47 min"), (190_800, "2 d 5 h")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
