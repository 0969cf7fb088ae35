"""What threads and processes have of their own is never another's."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from functools import partial
from threading import Thread

from swath.core.threads import OwnLock, PerThread

MADE: list[int] = []


def made(name: str) -> tuple[str, int, int]:
    """The name, this process, and how many were made before."""
    MADE.append(1)
    return name, os.getpid(), len(MADE)


def test_each_thread_makes_one() -> None:
    own = PerThread(partial(made, "a"))
    found = [own(), own()]
    thread = Thread(target=lambda: found.extend([own(), own()]))
    thread.start()
    thread.join()
    assert found[0] is found[1]
    assert found[2] is found[3]
    assert found[0] is not found[2]


def test_a_forked_process_makes_its_own() -> None:
    own = PerThread(partial(made, "a"))
    mine = own()
    with multiprocessing.get_context("fork").Pool(1, initializer=KEPT.append, initargs=(own,)) as pool:
        theirs = pool.apply(asked)
    assert theirs[1] != mine[1] == os.getpid()
    assert own() is mine


KEPT: list[PerThread[tuple[str, int, int]]] = []


def asked() -> tuple[str, int, int]:
    return KEPT[0]()


def test_a_pickled_one_makes_its_own() -> None:
    own = PerThread(partial(made, "b"))
    mine = own()
    copy = pickle.loads(pickle.dumps(own))
    assert copy()[0] == "b"
    assert copy() is not mine


def test_a_copy_of_a_lock_begins_unlocked() -> None:
    lock = OwnLock()
    with lock:
        with pickle.loads(pickle.dumps(lock)):
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
