"""The sample store: packed, memory-mapped, checksummed records of one size, with a schema and an index.

    NAME.store/
      card.json      schema, bands, statistics, legend, scenes, counts, fingerprint; written last: it is the commit
      index.npy      one row per record: scene, split, read and core window, class counts, CRC-32
      records.bin    record i at i * record bytes: image (C, S, S), labels (S, S), valid (S, S), each C-contiguous; with
                     the codec lz4 record i at `first` of the index, the three arrays as Blosc2 chunks
      tiles.gpkg     the footprints of the samples for QGIS: scene, split, class counts

Only NumPy is needed to read it, and Blosc2 where it is compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.legend import Legend
from swath.core.splits import SPLITS, Split
from swath.core.threads import OwnLock
from swath.core.windows import Window
from swath.disk.publish import card_fault, file_sha256, publish, publish_card, sealed
from swath.disk.stores.codecs import require_codec
from swath.disk.stores.recordspool import JOURNAL, RecordSpool
from swath.disk.stores.sample import Place, Sample, Samples, cut
from swath.disk.stores.schema import Schema

VERSION, READABLE = 2, (1, 2)  # 1 knew no codec


def publish_store(directory: Path, spool: RecordSpool, card: dict[str, Any], footprints: Any) -> NDArray[Any]:
    """The finished store: records, index and footprints, then the card as commit. Returns the index.

    `footprints(index, path)` writes the GeoPackage of tile footprints to a temporary. An older store in the directory
    stays whole until the new records are in place.
    """
    schema, index = spool.schema, spool.index()

    def verify(part: Path) -> None:
        if part.stat().st_size != schema.total_bytes(index):
            raise DataError("write-unverified", part, "the records file has the wrong size", "check the disk")
        (directory / "card.json").unlink(missing_ok=True)

    def write_index(part: Path) -> None:
        with part.open("wb") as f:
            np.save(f, index, allow_pickle=False)

    publish(directory / "records.bin", spool.take, verify=verify)
    publish(directory / "index.npy", write_index)
    publish(directory / "tiles.gpkg", lambda part: footprints(index, part))
    files = {name: file_sha256(directory / name) for name in ("index.npy", "tiles.gpkg")}
    head = {"swath": "store", "version": VERSION, "schema": schema.__dict__}
    publish_card(directory / "card.json", {**head, **card, "files": files})
    return index


def read_card(directory: Path) -> dict[str, Any]:
    """The card of a finished store, as it was written. Raises DataError where there is none, it is of another version, or
    it was changed.
    """
    file = directory / "card.json"
    if not file.exists():
        raise DataError("store-missing", directory, "holds no finished store", "make it: swath sample CONFIG")
    card, fault = sealed(file)
    if card is None:
        raise DataError("store-corrupt", file, f"is no card: {fault}", "make the store anew: swath sample CONFIG")
    if not isinstance(card, dict) or card.get("swath") != "store":
        raise DataError("store-version", file, "is the card of something else", "name the directory of a store")
    version = card.get("version")
    if version not in READABLE:
        newer = isinstance(version, int) and version > VERSION
        raise DataError("store-version", file, f"is version {version}, this Swath reads 1 to {VERSION}",
                        "update Swath" if newer else "make the store anew: swath sample CONFIG --overwrite")  # fmt: skip
    if fault:
        raise DataError("store-corrupt", file, fault, "put back the card as it was, or make the store anew")
    return dict(card)


def unfinished(directory: Path) -> bool:
    """True for a directory with nothing but a store that is being made, or whose making was killed."""
    names = {p.name for p in directory.iterdir() if not p.name.startswith(".")} if directory.is_dir() else set()
    return JOURNAL in {p.name for p in directory.glob(".*")} and names <= {"records.bin", "index.npy", "tiles.gpkg"}


def fitting_card(
    directory: Path, legend: Legend, bands: Sequence[int | str] | None, side: int | None
) -> dict[str, Any]:
    """The card of a store that was made elsewhere, if it fits: the same classes, and bands and side where they are told.

    Raises DataError (store-missing, store-version, store-unfit).
    """
    card = read_card(directory)
    theirs = Legend.from_dict(card["legend"])
    names = card["bands"]["names"]
    fault = None
    if (theirs.ids, theirs.names) != (legend.ids, legend.names):
        told, own = (", ".join(f"{i} {n}" for i, n in zip(t.ids, t.names, strict=True)) for t in (theirs, legend))
        fault = f"holds the classes {told}; the config has {own}"
    elif bands is not None and len(bands) != len(names):
        fault = f"holds {len(names)} bands ({', '.join(names)}); bands.select names {len(bands)}"
    elif bands is not None and any(isinstance(b, str) and b.lower() != n.lower() for b, n in zip(bands, names, strict=True)):
        fault = f"holds the bands {', '.join(names)}; bands.select names {', '.join(map(str, bands))}"
    elif side is not None and side != card["schema"]["side"]:
        fault = f"holds samples of {card['schema']['side']} pixels; sample.tile is {side}"
    if fault:
        raise DataError("store-unfit", directory, fault, "correct the config, or name another store in train.store")
    return card


class StoreSamples(Samples):
    """The samples of one split of a store, memory-mapped; a record's checksum is verified at its first read."""

    def __init__(self, directory: Path, split: Split) -> None:
        self.directory, self.split, self.card = directory, split, read_card(directory)
        self.schema = Schema(**self.card["schema"])
        require_codec(self.schema.codec)
        self.legend = Legend.from_dict(self.card["legend"])
        self.scene_names: Sequence[str] = self.card["scenes"]
        index = load_index(directory, self.card)
        self.rows = np.flatnonzero(index["split"] == SPLITS.index(split))
        self.index = index[self.rows]
        self.counts = self.index["counts"]
        self.places: Sequence[Place] = [
            Place(int(r["scene"]), split, Window(*r["read"].tolist()), Window(*r["core"].tolist())) for r in self.index
        ]
        self.records = Records(directory, self.schema, index)
        self._verified = np.zeros(len(self.rows), bool)
        self._whole = np.zeros(len(self.rows), bool)  # no pixel is without data
        self._lock = OwnLock()
        self._views = self.schema.views(self.records.bytes) if self.schema.codec == "none" else None
        self.instant = self._views is not None
        self._numbers: list[int] = self.rows.tolist()
        self._scratch = local()
        self._shape = self.schema.side, self.schema.side

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process maps the files anew."""
        return type(self), (self.directory.absolute(), self.split)

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it; views of the mapped file where it is not compressed. Raises DataError."""
        record = self._record(index)
        if self._views is not None:
            return cut(self._viewed(index), part)
        out = self.schema.empty()
        self.schema.unpack_into(record, out, self._where(index))
        return cut(out, part)

    def read_into(self, index: int, part: Window, out: Sample) -> None:
        """Copies a window of a sample; a whole one that is compressed goes straight to its place."""
        if self._views is not None:
            if not self._verified[index]:
                self._record(index)
            found = self._viewed(index)
            if part.shape == self._shape and self._whole[index]:  # a mask that says nothing need not be read
                np.copyto(out.image, found.image, casting="same_kind")
                np.copyto(out.labels, found.labels)
                out.valid.fill(True)
            else:
                self._copy(found, part, out)
        elif part.shape == self._shape == out.labels.shape and out.image.flags.c_contiguous:
            self.schema.unpack_into(self._record(index), out, self._where(index))
        else:
            self._copy(self._unpacked(index), part, out)

    def _viewed(self, index: int) -> Sample:
        """The arrays of a record as they lie in the file."""
        assert self._views is not None
        row = self._numbers[index]
        return Sample(self._views[0][row], self._views[1][row], self._views[2][row])

    def _unpacked(self, index: int) -> Sample:
        """The decompressed sample that this thread asked for last."""
        if getattr(self._scratch, "index", None) != index:
            if not hasattr(self._scratch, "sample"):
                self._scratch.sample = self.schema.empty()
            self._scratch.index = None
            self.schema.unpack_into(self._record(index), self._scratch.sample, self._where(index))
            self._scratch.index = index
        return self._scratch.sample

    def _record(self, index: int) -> NDArray[np.uint8]:
        """The stored bytes of a record, verified when they are first read."""
        record = self.records[int(self.rows[index])]
        if not self._verified[index]:
            if zlib.crc32(record.data) != int(self.index["crc"][index]):
                raise DataError("store-corrupt", self._where(index), "its checksum is wrong",
                                "make the store anew: swath sample CONFIG --overwrite")  # fmt: skip
            with self._lock:
                self._whole[index] = self._views is not None and bool(self._viewed(index).valid.all())
                self._verified[index] = True
        return record

    def _where(self, index: int) -> str:
        return f"{self.directory} record {self.rows[index]}"


def load_index(directory: Path, card: dict[str, Any]) -> NDArray[Any]:
    """The index of a store. Raises DataError where it is not the one on the card, or does not fit the schema."""
    file = directory / "index.npy"
    try:
        if file_sha256(file) != card["files"]["index.npy"]:
            raise DataError("store-corrupt", file, "does not have the checksum on the card", "make the store anew")
        index = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as e:
        raise DataError("store-corrupt", file, "cannot be read", "make the store anew") from e
    if index.dtype != Schema(**card["schema"]).index_dtype():
        raise DataError("store-corrupt", file, "does not fit the schema", "make the store anew")
    return index


class Records:
    """The stored bytes of every record of an index, memory-mapped. Raises DataError where the file does not fit it."""

    def __init__(self, directory: Path, schema: Schema, index: NDArray[Any]) -> None:
        file = directory / "records.bin"
        total = schema.total_bytes(index)
        if not file.exists() or file.stat().st_size != total:
            raise DataError("store-corrupt", file, "is missing or has the wrong size", "make the store anew")
        if schema.codec == "none":
            self.sizes = np.full(len(index), schema.record_bytes)
        else:
            self.sizes = index["bytes"].astype(np.int64)
        self.firsts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]) if len(index) else np.empty(0, np.int64)
        if (self.sizes < 0).any() or (schema.codec != "none" and (self.firsts != index["first"]).any()):
            raise DataError("store-corrupt", directory / "index.npy", "does not fit the records", "make the store anew")
        mapped = np.memmap(file, np.uint8, "r") if total else np.empty(0, np.uint8)
        self.bytes = mapped.view(np.ndarray)  # a plain array is cut faster than a memmap

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """The bytes of a record."""
        first = int(self.firsts[number])
        return self.bytes[first : first + int(self.sizes[number])]


def broken_records(directory: Path) -> list[int]:
    """The numbers of all records whose checksum is wrong."""
    card = read_card(directory)
    schema, index = Schema(**card["schema"]), load_index(directory, card)
    records = Records(directory, schema, index)
    return [i for i in range(len(index)) if zlib.crc32(records[i].data) != int(index["crc"][i])]


def store_faults(directory: Path) -> list[str]:
    """Everything wrong with the files of a store; empty where all are as they were written."""
    fault = card_fault(directory / "card.json")
    if fault:
        return [f"{directory / 'card.json'}: {fault}"]
    files = read_card(directory)["files"]
    faults = [
        f"{directory / name}: does not have the checksum on the card"
        for name, digest in files.items()
        if not (directory / name).exists() or file_sha256(directory / name) != digest
    ]
    if not faults:
        try:
            faults = [f"{directory / 'records.bin'}: record {i} is damaged" for i in broken_records(directory)]
        except DataError as e:
            faults = [f"{e.where}: {e.message}"]
    return faults
