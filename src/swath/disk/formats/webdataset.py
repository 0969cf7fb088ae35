"""WebDataset: tar shards `{split}-{i}.tar` of `{key}.image.npy`, `{key}.labels.npy`, `{key}.json`, `{key}.valid.npy`.

The mask is there only where pixels are invalid that are finite. A key has no dot; the sample's name is in the JSON.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.splits import SPLIT_OF, SPLITS, Split
from swath.disk.formats.foreign import (
    ForeignSample,
    ForeignSamples,
    Stems,
    first_facts,
    grid_of,
    malformed,
    read_card,
)
from swath.disk.formats.tiff import own_mask

PER_SHARD = 100
SUFFIXES = ("image.npy", "labels.npy", "valid.npy", "json")
MAX_MEMBER = 4 * 2**30
_TAR_FAULTS = (tarfile.TarError, OSError, EOFError, ValueError)


def found(path: Path) -> bool:
    """True for a directory of tar shards."""
    return path.is_dir() and any(path.glob("*.tar"))


def read(path: Path) -> ForeignSamples:
    """The samples of all shards, split by split. Raises DataError on unsafe, unknown or broken members."""
    shards = sorted(p for p in path.glob("*.tar") if not p.name.startswith("."))
    if not shards:
        raise malformed(path, "holds no tar shards", "expected: trn-000000.tar")
    shards.sort(key=lambda p: SPLITS.index(_split(p)))

    def stream() -> Iterator[ForeignSample]:
        for shard in shards:
            for key, parts in _groups(shard):
                yield _sample(shard, key, parts)

    card, _ = read_card(path)
    facts = card or first_facts(path, stream)
    return ForeignSamples(path, facts, stream)


def fill(samples: ForeignSamples, part: Path, per_shard: int = PER_SHARD) -> None:
    """Writes shards of `per_shard` samples, the last one with what is left."""
    part.mkdir()
    stems, counts = Stems(), Counter[str]()
    outs: dict[str, tarfile.TarFile] = {}
    with ExitStack() as stack:
        for s in samples:
            if counts[s.split] % per_shard == 0:
                if s.split in outs:
                    outs[s.split].close()
                shard = f"{s.split}-{counts[s.split] // per_shard:06d}.tar"
                outs[s.split] = stack.enter_context(tarfile.open(part / shard, "w"))
            counts[s.split] += 1
            _add(outs[s.split], stems.of(s, dots=False), s)


def _add(out: tarfile.TarFile, key: str, sample: ForeignSample) -> None:
    grid = sample.grid.as_dict() if sample.grid else None
    text = json.dumps({"name": sample.name, "split": sample.split, "grid": grid}, ensure_ascii=False)
    mask = own_mask(sample)
    parts = {"image.npy": _npy(sample.image), "labels.npy": _npy(sample.labels), "json": text.encode()}
    if mask is not None:
        parts["valid.npy"] = _npy(mask)
    for suffix, data in parts.items():
        member = tarfile.TarInfo(f"{key}.{suffix}")
        member.size, member.mode = len(data), 0o644
        out.addfile(member, io.BytesIO(data))


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _groups(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, suffix -> bytes) of members that follow each other; nothing is ever extracted to the disk."""
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(shard, "r:") as source:
            for member in source:
                mine, suffix = _member(shard, member)
                if mine != key and parts:
                    yield key, parts
                    parts = {}
                if suffix in parts:
                    raise malformed(shard, f"member {member.name} stands twice")
                file = source.extractfile(member)
                data = file.read() if file else b""
                if len(data) != member.size:
                    raise malformed(shard, f"member {member.name} is cut")
                key, parts[suffix] = mine, data
    except _TAR_FAULTS as e:
        raise malformed(shard, f"cannot be read as a tar file ({e})") from e
    if parts:
        yield key, parts


def _member(shard: Path, member: tarfile.TarInfo) -> tuple[str, str]:
    """(key, suffix) of a member. Raises DataError for links, devices, paths and unknown suffixes."""
    key, _, suffix = member.name.partition(".")
    if not member.isreg() or member.issparse():
        raise malformed(shard, f"member {member.name!r} is no regular file", "leave links and folders out")
    if not key or "/" in member.name or "\\" in member.name or "\0" in member.name:
        raise malformed(shard, f"member {member.name!r} is a path", "name members {key}.image.npy")
    if suffix not in SUFFIXES:
        raise malformed(shard, f"member {member.name!r} has an unknown suffix", f"known: {', '.join(SUFFIXES)}")
    if member.size > MAX_MEMBER:
        raise malformed(shard, f"member {member.name} has {member.size / 1e9:.1f} GB", "cut smaller samples")
    return key, suffix


def _sample(shard: Path, key: str, parts: dict[str, bytes]) -> ForeignSample:
    missing = [s for s in ("image.npy", "labels.npy") if s not in parts]
    if missing:
        raise malformed(shard, f"sample {key} has no {missing[0]}")
    try:
        image, labels = (np.load(io.BytesIO(parts[s]), allow_pickle=False) for s in ("image.npy", "labels.npy"))
        valid = np.load(io.BytesIO(parts["valid.npy"]), allow_pickle=False) if "valid.npy" in parts else None
        about = json.loads(parts.get("json", b"{}"))
    except (ValueError, EOFError, OSError) as e:
        raise malformed(shard, f"sample {key} cannot be read ({e})") from e
    if not isinstance(about, dict) or (valid is not None and valid.dtype != bool):
        raise malformed(shard, f"sample {key}: its JSON is no object, or its mask not of bool")
    split = SPLIT_OF.get(str(about.get("split")), _split(shard))
    return ForeignSample(str(about.get("name", key)), split, image, labels, valid, grid_of(about.get("grid"), shard))


def _split(shard: Path) -> Split:
    """The split that a shard's name begins with, else trn."""
    return SPLIT_OF.get(shard.stem.lower().replace("_", "-").partition("-")[0], "trn")
