"""OTBTF's TFRecords: per split a folder `train`, `valid`, `test` of `{i}.records`, output_types.json, output_shapes.json.

A record is a tf.train.Example; each feature is the bytes of a TensorProto: `image` (H, W, C), `labels` (H, W, 1). Here a
further feature `swath` holds name and grid as JSON, and `swath_valid` the mask where pixels do not tell it; TensorFlow
passes over features that it is not asked for. No shard is dropped. TensorFlow is not needed to read or write.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swath.core.splits import SPLIT_OF, SPLITS, Split
from swath.disk.formats.crc32c import crc32c, masked
from swath.disk.formats.foreign import (
    ForeignSample,
    ForeignSamples,
    first_facts,
    grid_of,
    malformed,
    read_card,
    read_json,
)
from swath.disk.formats.protobuf import ProtoError, decode, encode, last_bytes, last_int
from swath.disk.formats.tiff import LABEL_WORD, own_mask

PER_SHARD = 100
FOLDERS: dict[Split, str] = {"trn": "train", "val": "valid", "tst": "test"}
TYPES = {  # numbers of tensorflow/core/framework/types.proto
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10, "uint16": 17,
    "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
MAX_RECORD = 2**31
Arrays = dict[str, NDArray[Any]]


def found(path: Path) -> bool:
    """True for a directory of record shards, or of folders of them."""
    return bool(_shards(path))


def read(path: Path) -> ForeignSamples:
    """The samples of all shards. Raises DataError on a wrong checksum, cut records, unknown types, unclear features."""
    shards = _shards(path)
    if not shards:
        raise malformed(path, "holds no {i}.records")
    for folder in dict.fromkeys(s.parent for _, s in shards):
        _require_types(folder)

    def stream() -> Iterator[ForeignSample]:
        numbers = dict.fromkeys(SPLITS, 0)
        for split, shard in shards:
            for record in read_records(shard):
                yield _sample(record, shard, split, numbers[split])
                numbers[split] += 1

    card, _ = read_card(path)
    facts = card or first_facts(path, stream)
    return ForeignSamples(path, facts, stream)


def fill(samples: ForeignSamples, part: Path, per_shard: int = PER_SHARD) -> None:
    """Writes shards of `per_shard` samples, the last one with what is left, types, shapes."""
    part.mkdir()
    counts = dict.fromkeys(SPLITS, 0)
    shapes: dict[Split, dict[str, list[int | None]]] = {}
    types: dict[str, str] = {}
    outs: dict[Split, BinaryIO] = {}
    with ExitStack() as stack:
        for s in samples:
            number, folder = counts[s.split], part / FOLDERS[s.split]
            folder.mkdir(exist_ok=True)
            if number % per_shard == 0:
                if s.split in outs:
                    outs[s.split].close()
                shard = f"{number // per_shard}.records"
                outs[s.split] = stack.enter_context((part / FOLDERS[s.split] / shard).open("wb"))
            arrays = {"image": s.image.transpose(1, 2, 0), "labels": s.labels[:, :, None]}
            write_record(outs[s.split], _example(s, arrays))
            _note_shapes(shapes.setdefault(s.split, {}), arrays)
            types = {name: a.dtype.name for name, a in arrays.items()}
            counts[s.split] += 1
    for split, mine in shapes.items():
        (part / FOLDERS[split] / "output_types.json").write_text(json.dumps(types, indent=4), "utf-8")
        (part / FOLDERS[split] / "output_shapes.json").write_text(json.dumps(mine, indent=4), "utf-8")


def write_record(file: BinaryIO, data: bytes) -> None:
    """Appends a record: its length and bytes, each followed by its masked CRC-32C."""
    length = struct.pack("<Q", len(data))
    file.write(length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data))))


def read_records(shard: Path) -> Iterator[bytes]:
    """The records of a file. Raises DataError where one is cut or its checksum is wrong."""
    left = shard.stat().st_size
    with shard.open("rb") as file:
        number = 0
        while head := file.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else MAX_RECORD + 1
            if len(head) < 12 or struct.unpack("<I", head[8:])[0] != masked(crc32c(head[:8])):
                raise malformed(shard, f"record {number}: its length is cut or has a wrong checksum")
            left -= 16 + size
            if left < 0 or size > MAX_RECORD:
                raise malformed(shard, f"record {number} is cut")
            data, check = file.read(size), file.read(4)
            if struct.unpack("<I", check)[0] != masked(crc32c(data)):
                raise malformed(shard, f"record {number} has a wrong checksum")
            yield data
            number += 1


def tensor_proto(array: NDArray[Any]) -> bytes:
    """The TensorProto of an array, as `tf.io.serialize_tensor` makes it."""
    shape = encode((2, encode([(1, n)])) for n in array.shape)
    return encode([(1, TYPES[array.dtype.name]), (2, shape), (4, np.ascontiguousarray(array).tobytes())])


def tensor_array(data: bytes, where: object) -> NDArray[Any]:
    """The array of a TensorProto. Raises DataError."""
    try:
        fields = decode(data)
        sizes = [decode(dim) for dim in decode(last_bytes(fields, 2)).get(2, []) if isinstance(dim, bytes)]
        shape = tuple(last_int(d, 1) for d in sizes)
        number, content = last_int(fields, 1), last_bytes(fields, 4)
    except ProtoError as e:
        raise malformed(where, f"is no TensorProto ({e})") from e
    name = next((n for n, code in TYPES.items() if code == number), None)
    if name is None:
        raise malformed(where, f"tensors of type {number} are no numbers of a map")
    dtype = np.dtype(name).newbyteorder("<")
    if any(n < 0 for n in shape) or len(content) != np.prod(shape, dtype=object) * dtype.itemsize:
        raise malformed(where, f"{len(content)} bytes are no tensor of {shape} {name}")
    return np.frombuffer(content, dtype).reshape(shape).astype(name)


def _example(sample: ForeignSample, arrays: Arrays) -> bytes:
    grid, mask = sample.grid.as_dict() if sample.grid else None, own_mask(sample)
    features = {name: tensor_proto(a) for name, a in arrays.items()}
    features["swath"] = json.dumps({"name": sample.name, "grid": grid}, ensure_ascii=False).encode()
    if mask is not None:
        features["swath_valid"] = tensor_proto(mask)
    entries = [(1, encode([(1, k.encode()), (2, encode([(1, encode([(1, v)]))]))])) for k, v in features.items()]
    return encode([(1, encode(entries))])


def _features(record: bytes, where: object) -> dict[str, bytes]:
    """Feature name -> its one value of bytes; features of other kinds are left out."""
    try:
        found = {}
        for entry in decode(last_bytes(decode(record), 1)).get(1, []):
            fields = decode(entry if isinstance(entry, bytes) else b"")
            values = decode(last_bytes(decode(last_bytes(fields, 2)), 1)).get(1, [])
            if len(values) == 1 and isinstance(values[0], bytes):
                found[last_bytes(fields, 1).decode("utf-8", "replace")] = values[0]
        return found
    except ProtoError as e:
        raise malformed(where, f"holds a record that is no Example ({e})") from e


def _sample(record: bytes, shard: Path, split: Split, number: int) -> ForeignSample:
    features = _features(record, shard)
    about = _about(features.pop("swath", b"{}"), shard)
    valid = features.pop("swath_valid", None)
    image, labels = _roles({name: tensor_array(v, f"{shard} {name}") for name, v in features.items()}, shard)
    return ForeignSample(
        str(about.get("name", f"{split}_{number:06d}")), split, np.ascontiguousarray(image.transpose(2, 0, 1)), labels,
        None if valid is None else tensor_array(valid, shard), grid_of(about.get("grid"), shard),
    )  # fmt: skip


def _roles(arrays: Arrays, where: object) -> tuple[NDArray[Any], NDArray[Any]]:
    """(image (H, W, C), labels (H, W)): the labels are the one-band integers, by name where several could be."""
    arrays = {n: a[:, :, None] if a.ndim == 2 else a for n, a in arrays.items()}
    flat = [n for n, a in arrays.items() if a.ndim == 3 and a.shape[2] == 1 and a.dtype.kind in "iu"]
    named = [n for n in flat if LABEL_WORD.search(n)]
    chosen = named if len(named) == 1 else flat
    rest = [n for n in arrays if n not in chosen]
    if len(chosen) != 1 or len(rest) != 1 or arrays[rest[0]].ndim != 3:
        shapes = ", ".join(f"{n} {a.shape} {a.dtype}" for n, a in arrays.items())
        raise malformed(where, f"not one image and one label tensor: {shapes}", "keep one source and its labels")
    return arrays[rest[0]], arrays[chosen[0]][:, :, 0]


def _about(data: bytes, where: object) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as e:
        raise malformed(where, f"its feature `swath` is no JSON ({e})") from e
    return value if isinstance(value, dict) else {}


def _note_shapes(shapes: dict[str, list[int | None]], arrays: Arrays) -> None:
    """Takes the shapes in; a size that varies is null."""
    for name, array in arrays.items():
        known = shapes.setdefault(name, list(array.shape))
        shapes[name] = [a if a == b else None for a, b in zip(known, array.shape, strict=True)]


def _require_types(folder: Path) -> None:
    types = read_json(folder / "output_types.json")
    if not all(isinstance(t, str) for t in types.values()):
        raise malformed(folder / "output_types.json", "names no types")


def _shards(path: Path) -> list[tuple[Split, Path]]:
    """(split, file) of the shards, by split and number."""
    if not path.is_dir():
        return []
    folders = [(SPLIT_OF[p.name.lower()], p) for p in path.iterdir() if p.is_dir() and p.name.lower() in SPLIT_OF]
    listed = [(split, f) for split, p in [("trn", path), *folders] for f in p.glob("*.records")]
    return sorted(listed, key=lambda f: (SPLITS.index(f[0]), int((re.findall(r"\d+", f[1].stem) or [0])[-1]), f[1]))
