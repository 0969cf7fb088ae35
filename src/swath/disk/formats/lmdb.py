"""NIST's LMDB: one environment per split, `train-NAME.lmdb`, `val-NAME.lmdb`, `test-NAME.lmdb`.

A key is `{stem}_i{row}_j{column}:{ids}` or `{stem}:{ids}`, the ids those in the mask. A value is the message

    ImageMaskPair { 1 channels, 2 img_height, 3 img_width, 4 img_type, 5 mask_type, 6 image, 7 mask, 8 labels }

image (H, W, C), mask (H, W), labels: the ids in the mask, of the mask's type. LMDB's keys end at 511 bytes: a longer one
becomes `~{number}`, and its name stands in the card; so does one that is taken already. The map grows as it is filled. An
environment is opened when samples are read and closed after them, so none is carried across a fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from swath.core.errors import ConfigError
from swath.core.splits import SPLIT_OF, SPLITS, Split
from swath.disk.formats.foreign import (
    ForeignSample,
    ForeignSamples,
    first_facts,
    malformed,
    read_card,
    read_dtype,
    safe_stem,
)
from swath.disk.formats.protobuf import Fields, ProtoError, decode, encode, last_bytes, last_int

MAX_KEY = 511
_PREFIX: dict[Split, str] = {"trn": "train", "val": "val", "tst": "test"}
_FIRST_MAP, _BATCH_BYTES = 16 << 20, 8 << 20
Records = list[tuple[bytes, bytes]]


def found(path: Path) -> bool:
    """True for a directory that holds LMDB environments, or is one."""
    return bool(_environments(path))


def read(path: Path) -> ForeignSamples:
    """The records of all environments. Raises ConfigError (extra-missing), DataError on anything malformed."""
    places = _environments(path)
    if not places:
        raise malformed(path, "holds no train-NAME.lmdb with a data.mdb")
    return read_environments(path, places)


def read_environments(path: Path, places: Sequence[tuple[Split, Path]]) -> ForeignSamples:
    """The records of these environments, whatever they are called; `path` is where a card of Swath may lie."""
    lmdb = _lmdb()
    for _, place in places:
        if not (place / "data.mdb").exists():
            raise malformed(place, "is no LMDB environment: it holds no data.mdb")
    card, value = read_card(path)
    names = value.get("names", {})

    def stream() -> Iterator[ForeignSample]:
        for split, place in places:
            with _opened(lmdb, place) as environment, environment.begin() as view:
                for key, record in view.cursor():
                    text = bytes(key).decode("utf-8", "replace").rpartition(":")
                    name = text[0] or text[2]
                    yield _sample(str(names.get(f"{split}/{name}", name)), split, record, place)

    facts = card or first_facts(path, stream)
    return ForeignSamples(path, facts, stream)


def fill(samples: ForeignSamples, part: Path) -> dict[str, Any]:
    """Writes one environment per split, and returns the names of short keys for the card."""
    lmdb, names, taken = _lmdb(), dict[str, str](), set[tuple[Split, bytes]]()
    part.mkdir()
    title = safe_stem(samples.source.stem).partition(".")[0] or "samples"
    waiting: dict[Split, Records] = {}
    counts = dict.fromkeys(SPLITS, 0)
    for s in samples:
        records = waiting.setdefault(s.split, [])
        key = _key(s, counts[s.split], names, taken)
        records.append((key, _message(s)))
        counts[s.split] += 1
        if sum(len(v) for _, v in records) >= _BATCH_BYTES:
            _put(lmdb, part / f"{_PREFIX[s.split]}-{title}.lmdb", records)
            waiting[s.split] = []
    for split, records in waiting.items():
        _put(lmdb, part / f"{_PREFIX[split]}-{title}.lmdb", records)
    return {"names": names}


def _key(sample: ForeignSample, number: int, names: dict[str, str], taken: set[tuple[Split, bytes]]) -> bytes:
    """The key of a sample; one that is too long, taken, or could be misread, is short and its name kept in `names`."""
    ids = ",".join(map(str, np.unique(sample.labels).tolist()))
    key = f"{sample.name}:{ids}".encode()
    if len(key) <= MAX_KEY and not sample.name.startswith("~") and (sample.split, key) not in taken:
        taken.add((sample.split, key))
        return key
    short = f"~{number:08d}"
    names[f"{sample.split}/{short}"] = sample.name
    return f"{short}:{ids}".encode() if len(ids) < MAX_KEY - 16 else f"{short}:".encode()


def _message(sample: ForeignSample) -> bytes:
    image = np.ascontiguousarray(sample.image.transpose(1, 2, 0))
    mask = np.ascontiguousarray(sample.labels)
    height, width, channels = image.shape
    return encode([
        (1, channels), (2, height), (3, width), (4, image.dtype.str.encode()), (5, mask.dtype.str.encode()),
        (6, image.tobytes()), (7, mask.tobytes()), (8, np.unique(mask).tobytes()),
    ])  # fmt: skip


def _put(lmdb: Any, place: Path, records: Records) -> None:
    """Adds records in one transaction; where the map is full it is doubled and all of them are put again."""
    size = max(_FIRST_MAP, place.joinpath("data.mdb").stat().st_size + _FIRST_MAP if place.exists() else 0)
    with lmdb.open(str(place), map_size=size, lock=False, readahead=False) as environment:
        while records:
            try:
                with environment.begin(write=True) as change:
                    for key, value in records:
                        if not change.put(key, value, overwrite=False):
                            raise malformed(
                                place, f"two samples have the key {key.decode()[:80]!r}", "rename one of them"
                            )
                return
            except lmdb.MapFullError:
                size *= 2
                environment.set_mapsize(size)


def _sample(name: str, split: Split, record: bytes, place: Path) -> ForeignSample:
    where = f"{place} record {name}"
    try:
        fields = decode(bytes(record))
        shape = tuple(last_int(fields, n) for n in (2, 3, 1))
        image = _array(fields, 6, 4, shape, where)
        labels = _array(fields, 7, 5, shape[:2], where)
    except ProtoError as e:
        raise malformed(where, f"is no ImageMaskPair ({e})") from e
    return ForeignSample(name, split, np.ascontiguousarray(image.transpose(2, 0, 1)), labels)


def _array(fields: Fields, number: int, kind: int, shape: tuple[int, ...], where: str) -> Any:
    dtype = read_dtype(last_bytes(fields, kind).decode("ascii", "replace"), where)
    data = last_bytes(fields, number)
    if min(shape) < 1 or len(data) != np.prod(shape, dtype=object) * dtype.itemsize:
        raise malformed(where, f"{len(data)} bytes are no array of {shape} {dtype.name}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


@contextmanager
def _opened(lmdb: Any, place: Path) -> Iterator[Any]:
    try:
        with lmdb.open(str(place), readonly=True, lock=False, create=False, max_readers=1) as environment:
            _require_pages(environment, place)
            yield environment
    except lmdb.Error as e:
        raise malformed(place, f"cannot be read as LMDB ({e})") from e


def _require_pages(environment: Any, place: Path) -> None:
    """Nothing, or a DataError where the file ends before its last page: to read on there would end the process."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = (place / "data.mdb").stat().st_size
    if size < needed:
        raise malformed(place, f"is cut: {size:,} of {needed:,} bytes")


def _environments(path: Path) -> list[tuple[Split, Path]]:
    """(split, directory) of the environments: those below the path, or the path itself."""
    if not path.is_dir():
        return []
    folders = [path] if (path / "data.mdb").exists() else sorted(p for p in path.iterdir() if (p / "data.mdb").exists())
    named = [(SPLIT_OF.get(p.name.lower().replace("_", "-").partition("-")[0], "trn"), p) for p in folders]
    return sorted(named, key=lambda n: SPLITS.index(n[0]))


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError as e:
        raise ConfigError("extra-missing", "convert", f"LMDB files need lmdb ({e})", "pip install 'swath[lmdb]'") from e
    return lmdb
