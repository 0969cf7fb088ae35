"""Events are counted, whoever counts them."""

from __future__ import annotations

from threading import Thread

from swath.core.events import Events


def test_counts_add_up_most_frequent_first_and_zero_is_not_shown() -> None:
    events = Events()
    events.count("tile padded")
    events.count("geometry repaired", 3)
    events.count("geometry repaired", 4)
    events.count("never happened", 0)
    assert list(events.as_dict().items()) == [("geometry repaired", 7), ("tile padded", 1)]


def test_threads_share_one() -> None:
    events = Events()

    def work() -> None:
        for _ in range(2000):
            events.count("pixel clipped")

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events.as_dict() == {"pixel clipped": 8000}
