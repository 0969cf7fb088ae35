"""Samples on disk while a store is being made: records and a journal of every decision, which survive a kill.

    .records.spool    the records kept so far
    .records.journal  one line of JSON per place decided: the reason why it was dropped, or its counts and checksum

A torn last line or a record whose checksum is wrong ends the journal; what stands before it is kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError, ResourceError
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.publish import resources_explained
from swath.disk.stores.sample import Place
from swath.disk.stores.schema import Record, Schema

JOURNAL = ".records.journal"


class RecordSpool:
    """The samples of a store under way, for `places` in their order; opened again by the same `key`.

    `decided` places need no second look. Only one process may hold it: another one gets a ResourceError.
    """

    def __init__(self, directory: Path, schema: Schema, places: list[Place], key: str) -> None:
        self.schema, self.places = schema, places
        self.records_path, self.journal_path = directory / ".records.spool", directory / JOURNAL
        self.journal = self.journal_path.open("a+b")  # publish: a journal of our own
        try:
            fcntl.flock(self.journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            self.journal.close()
            raise ResourceError(
                "locked", directory, "another process is making this store", "wait for it, or stop it"
            ) from e
        self.records = self.records_path.open("a+b", buffering=0)  # publish: the same
        self.rows: list[tuple[Any, ...]] = []
        self.dropped: Counter[str] = Counter()
        self.decided = 0
        self.bytes = 0
        self._restore(json.dumps({"key": key}).encode() + b"\n")

    def keep(self, record: Record, counts: NDArray[np.int64]) -> None:
        """Stores the sample of the next place."""
        with resources_explained(self.records_path, record.size):
            for part in record.parts:
                while part:
                    part = part[self.records.write(part) :]
        self._note({"counts": counts.tolist(), "crc": record.crc, "bytes": record.size})

    def drop(self, reason: str) -> None:
        """Leaves the next place out."""
        self._note({"drop": reason})

    def index(self) -> NDArray[Any]:
        """The index of the records kept."""
        return np.array(self.rows, self.schema.index_dtype())

    def take(self, part: Path) -> None:
        """Moves the records to `part`."""
        self.records.close()
        os.replace(self.records_path, part)

    def __enter__(self) -> RecordSpool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What is finished, or can never be, is removed; what was interrupted is kept to be gone on with."""
        self.close(remove=error is None or isinstance(error, DataError))

    def close(self, *, remove: bool) -> None:
        """Gives the files back, and removes them."""
        if remove:
            self.journal_path.unlink(missing_ok=True)
            self.records_path.unlink(missing_ok=True)
        for file in (self.records, self.journal):
            with suppress(OSError):  # a full disk refuses what is still in the buffer; it is torn like any other
                file.close()

    def _note(self, entry: dict[str, Any]) -> None:
        with resources_explained(self.journal_path, 0):
            self.journal.write(json.dumps(entry).encode() + b"\n")
            self.journal.flush()
        self._count(entry)

    def _count(self, entry: dict[str, Any]) -> None:
        place = self.places[self.decided]
        if "drop" in entry:
            self.dropped[entry["drop"]] += 1
        else:
            split = SPLITS.index(place.split)
            row = (place.scene, split, _box(place.read), _box(place.core), entry["counts"], entry["crc"])
            packed = () if self.schema.codec == "none" else (self.bytes, entry["bytes"])
            self.rows.append((*row, *self._point(place), *packed))
            self.bytes += entry["bytes"]
        self.decided += 1

    def _point(self, place: Place) -> tuple[int, ...]:
        """(class index, -1 without; id) of the point, where the index has them."""
        if not self.schema.points:
            return ()
        mark = place.point
        return (-1, -1) if mark is None else (mark.label if mark.label < self.schema.classes else -1, mark.id)

    def _restore(self, head: bytes) -> None:
        """Takes over whole entries of a journal of the same key; everything after them is cut off."""
        self.journal.seek(0)
        good = 0
        if self.journal.readline() == head:
            good = len(head)
            for line in self.journal:
                entry = self._entry(line)
                if entry is None or self.decided >= len(self.places):
                    break
                self._count(entry)
                good += len(line)
        self.journal.seek(good)
        self.journal.truncate()
        if good == 0:
            self.journal.write(head)
            self.journal.flush()
        self.records.truncate(self.bytes)
        self.records.seek(self.bytes)

    def _entry(self, line: bytes) -> dict[str, Any] | None:
        """A journal line whose record, if it has one, is whole; else None."""
        try:
            entry = json.loads(line)
        except ValueError:
            return None
        if not line.endswith(b"\n") or not isinstance(entry, dict):
            return None
        if "drop" in entry:
            return entry
        size = entry.get("bytes")
        if not isinstance(size, int):
            return None
        self.records.seek(self.bytes)
        data = self.records.read(size)
        return entry if len(data) == size and zlib.crc32(data) == entry.get("crc") else None


def _box(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.col, window.height, window.width
