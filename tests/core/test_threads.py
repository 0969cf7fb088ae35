"""A lock holds its own process up, and no copy of it elsewhere."""

from __future__ import annotations

import multiprocessing
from threading import Thread

from elsewhere import passed_on

from swath.core.threads import OwnLock


def test_a_copy_of_a_lock_begins_unlocked() -> None:
    lock = OwnLock()
    with lock:
        with passed_on(lock):
            pass
        LOCKS.append(lock)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(locked) is True
        LOCKS.clear()
    with lock:
        pass


LOCKS: list[OwnLock] = []


def locked() -> bool:
    with LOCKS[0]:
        return True


def test_threads_take_turns() -> None:
    lock, total = OwnLock(), [0]

    def add() -> None:
        for _ in range(2000):
            with lock:
                total[0] += 1

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == [8000]
