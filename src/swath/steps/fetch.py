"""The result of `swath fetch` is a directory with copies of remote files, checksummed; an interrupted copy is gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event, Lock
from typing import Any

import swath
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.events import Events
from swath.disk.publish import card_fault, file_sha256, make_directory, publish, publish_card, sweep
from swath.disk.remote.access import Remote, remote_access
from swath.disk.remote.download import download, part_of
from swath.disk.remote.replies import Head
from swath.disk.scenes.listing import Item, distinct, items_of
from swath.messages import warn
from swath.progress import Progress

CARD = "fetch.json"
_AT_ONCE = 4  # files that are copied at a time
_MULTIHASH = {"1220": "sha256", "1114": "sha1", "1340": "sha512", "d50110": "md5"}


class _StoppedError(Exception):
    """Another file's failure, or a signal, ends this copy; its bytes are kept."""


@dataclass
class _Copies:
    """The output directory with the card of what was copied into it."""

    out: Path
    overwrite: bool
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: Events = field(default_factory=Events)

    def write_card(self) -> None:
        """Publishes the card."""
        files = dict(sorted(self.files.copy().items()))  # a copy: other threads add to it
        publish_card(self.out / CARD, {"swath": "fetch", "version": swath.__version__, "files": files})


def fetch(
    sources: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    listing: bool = False,
    include: Sequence[str] = (),
    limit: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """The copies of the files that sources stand for: `files` [{name, source, size, sha256, state}], `fetched`,
    `skipped`, `failed` [{name, source, code, message, fix}], `bytes` copied now, `events`, `card`, `ok`.

    `sources`: s3:// objects and prefixes, http(s):// and file:// files, local files and folders; manifests, plain lists
    (.txt) and STAC items stand for the files that they name. `listing`: `files` {name, source, size} only, nothing is
    copied. `include`: globs of names, one of which must fit; `limit`: the first so many. Being called is the permission
    to go to the net.

    A file that is there with the size and SHA-256 of the card `fetch.json`, and unchanged at its source, is skipped; a
    broken copy is gone on with. All good files are copied before the bad ones are told in `failed` (a single one is
    raised). Raises DataError, ConfigError for settings, ResourceError where the disk is full.
    """
    started = time.monotonic()
    if out is None and not listing:
        raise ConfigError("out-missing", "--out", "where are the files to go?", "name a directory, or --list only")
    with remote_access(True):
        items, failed = _wanted(sources, include, limit)
        if listing:
            return _listing(items, failed)
    assert out is not None
    _apart(items, Path(out).resolve())
    copies = _opened(Path(out).absolute(), overwrite)
    heads = _heads(items, failed)
    done = _all_copied(heads, copies, failed)
    for f in failed:
        warn(f"{f['source']}: {f['message']}; {f['fix']}")
    return {
        "ok": not failed,
        "out": str(copies.out),
        "card": str(copies.out / CARD),
        "files": done,
        "fetched": sum(f["state"] == "fetched" for f in done),
        "skipped": sum(f["state"] == "skipped" for f in done),
        "failed": failed,
        "bytes": sum(f.pop("moved") for f in done),
        "events": copies.events.as_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _apart(items: Sequence[Item], out: Path) -> None:
    """Nothing, or a ResourceError where a local file already lies where the copies go: it would be copied into itself."""
    inside = next((i.place for i in items if isinstance(i.place, Path) and out in i.place.resolve().parents), None)
    if inside is not None:
        raise ResourceError("out-input", out, f"holds {inside}, which is to be copied", "name a directory outside the sources")


def _all_copied(heads: dict[Item, Head], copies: _Copies, failed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What became of every file, in their order; a few are copied at a time, and the card is kept up on the way."""
    done: list[dict[str, Any]] = []
    every = max(1, len(heads) // 100)
    lock, stop = Lock(), Event()
    with Progress("fetch", sum(h.size for h in heads.values()), "bytes") as bar, ThreadPoolExecutor(_AT_ONCE) as pool:

        def advance(amount: float) -> None:
            if stop.is_set():
                raise _StoppedError
            with lock:
                bar.advance(amount)

        copied = [(item, pool.submit(_copied, item, head, copies, advance)) for item, head in heads.items()]
        try:
            for n, (item, outcome) in enumerate(copied, 1):
                try:
                    done.append(outcome.result())
                except DataError as e:
                    failed.append(_failure(item.name, item.place, e))
                if n % every == 0 or n == len(copied):
                    copies.write_card()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            copies.write_card()
            raise
    return done


def _wanted(sources: Sequence[str | Path], include: Sequence[str], limit: int | None) -> tuple[list[Item], list[dict[str, Any]]]:
    """The items of all sources that are to be copied, and the sources and rows that stand for nothing."""
    found: list[Item] = []
    failed: list[dict[str, Any]] = []
    for source in sources:
        try:
            items, problems = items_of(source)
        except DataError as e:
            if len(sources) == 1:
                raise
            items, problems = [], [e]
        found += items
        failed += [{"name": None, "source": p.where, "code": p.code, "message": p.message, "fix": p.fix} for p in problems]
    named = distinct(found, CARD)
    chosen = [i for i in named if not include or any(_fits(i.name, g) for g in include)]
    if not chosen and not failed:
        raise DataError("inputs-none", ", ".join(include) or "sources", f"fits none of {len(named)} files", "correct --include")
    if limit is not None and limit < 1:
        raise ConfigError("limit", "--limit", f"{limit} is no number of files", "give 1 or more")
    return chosen[:limit], failed


def _fits(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name.rpartition("/")[2], glob)


def _listing(items: Sequence[Item], failed: list[dict[str, Any]]) -> dict[str, Any]:
    heads = _heads([i for i in items if i.size is None], failed)
    sizes = {i: heads[i].size if i in heads else i.size for i in items}
    files = [{"name": i.name, "source": str(i.place), "size": s} for i, s in sizes.items() if s is not None]
    return {"ok": not failed, "files": files, "failed": failed, "bytes": sum(f["size"] for f in files)}


def _opened(out: Path, overwrite: bool) -> _Copies:
    """The output directory, made, with the card of an earlier start."""
    make_directory(out)
    sweep(out)
    card = out / CARD
    if not card.exists():
        return _Copies(out, overwrite)
    fault = card_fault(card)
    known = {} if fault else json.loads(card.read_text("utf-8"))
    if fault or known.get("swath") != "fetch":
        if not overwrite:
            raise DataError("fetch-card", card, fault or "is no card of copies", "remove it, or add --overwrite")
        known = {}
    return _Copies(out, overwrite, dict(known.get("files", {})))


def _heads(items: Sequence[Item], failed: list[dict[str, Any]]) -> dict[Item, Head]:
    """What is known of every item; those that are not there are `failed`. A single one is raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(_asked, items))
    for item, answer in zip(items, answers, strict=True):
        if isinstance(answer, DataError):
            if len(items) == 1 and not failed:
                raise answer
            failed.append(_failure(item.name, item.place, answer))
    return {i: a for i, a in zip(items, answers, strict=True) if not isinstance(a, DataError)}


def _asked(item: Item) -> Head | DataError:
    """What is known of a file, or why nothing is."""
    try:
        return item.head()
    except DataError as e:
        return e


def _copied(item: Item, head: Head, copies: _Copies, advance: Callable[[float], object]) -> dict[str, Any]:
    """One file, copied now or found to be there."""
    target = copies.out / item.name
    kept = _kept(item, head, target, copies)
    if kept is not None:
        advance(head.size)
        return {**_told(item, head, kept), "state": "skipped", "moved": 0}
    make_directory(target.parent)
    had = part.stat().st_size if (part := part_of(target, head)).exists() else 0
    sums: list[str] = []

    def verify(made: Path) -> None:
        _as_stated(item, made, copies.events)
        sums.append(file_sha256(made))

    if isinstance(item.place, Remote):
        download(item.place, head, target, advance, verify)
        copies.events.count("copy gone on with", int(had > 0))
    else:
        _copied_here(item.place, head, target, verify)
        advance(head.size)
    entry = {"source": str(item.place), "size": head.size, "sha256": sums[-1], "identity": head.identity}
    copies.files[item.name] = entry
    return {**_told(item, head, sums[-1]), "state": "fetched", "moved": head.size - had}


def _kept(item: Item, head: Head, target: Path, copies: _Copies) -> str | None:
    """The SHA-256 of a file that is there and need not be copied, else None. Raises DataError for another's file."""
    if not target.exists():
        return None
    known = copies.files.get(item.name)
    same = target.is_file() and target.stat().st_size == head.size
    found = file_sha256(target) if same else ""
    if known and same and known["sha256"] == found and known["identity"] == head.identity:
        return found
    if known is None and same and _proven(item, head, target):
        copies.files[item.name] = {"source": str(item.place), "size": head.size, "sha256": found, "identity": head.identity}
        return found
    if copies.overwrite and not target.is_dir():
        copies.events.count("file replaced")
        return None
    if known and known["identity"] != head.identity and target.is_file() and file_sha256(target) == known["sha256"]:
        copies.events.count("file changed at its source, copied again")
        return None
    raise DataError("exists", target, "is there already, with other content" if known else "is there already, and not copied by fetch",
                    "add --overwrite, or name another directory")  # fmt: skip


def _proven(item: Item, head: Head, target: Path) -> bool:
    """True where a checksum that the server or the item states is that of the file."""
    kind, stated = _stated(item.checksum) if item.checksum else ("md5", head.md5)
    return bool(kind and stated) and _digest(target, kind or "") == stated


def _as_stated(item: Item, made: Path, events: Events) -> None:
    """Nothing, or a DataError where a file has not the checksum or size that its STAC item states."""
    if item.size is not None and made.stat().st_size != item.size:
        raise DataError("remote-checksum", item.place, f"has {made.stat().st_size:,} bytes, {item.size:,} are stated", "copy it again")
    if not item.checksum:
        return
    kind, stated = _stated(item.checksum)
    if kind is None:
        events.count("stated checksum of an unknown kind not compared")
    elif _digest(made, kind) != stated:
        raise DataError("remote-checksum", item.place, f"its {kind} is not the one that the item states", "copy it again")


def _stated(checksum: str) -> tuple[str | None, str]:
    """(algorithm, hexadecimal digest) of a multihash; None where the algorithm is not known."""
    text = checksum.lower()
    return next(((kind, text.removeprefix(p)) for p, kind in _MULTIHASH.items() if text.startswith(p)), (None, text))


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _copied_here(source: Path, head: Head, target: Path, verify: Callable[[Path], object]) -> None:
    """The copy of a local file, compared with it."""

    def compare(made: Path) -> None:
        verify(made)
        if file_sha256(made) != file_sha256(source):
            raise DataError("write-unverified", target, "differs from its source", "copy it again")

    publish(target, lambda part: shutil.copyfile(source, part), verify=compare, expected_bytes=head.size)


def _told(item: Item, head: Head, sha256: str) -> dict[str, Any]:
    return {"name": item.name, "source": str(item.place), "size": head.size, "sha256": sha256}


def _failure(name: str, place: Path, error: DataError | ResourceError) -> dict[str, Any]:
    return {"name": name, "source": str(place), "code": error.code, "message": error.message, "fix": error.fix}
