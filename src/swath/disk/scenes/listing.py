"""What a source of files stands for: an object or prefix of a bucket, a folder, a file, a manifest, a list, a STAC item."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from swath.core.errors import DataError
from swath.disk.remote.access import Remote, location
from swath.disk.remote.replies import MAX_TEXT, Head, too_large
from swath.disk.remote.stac import asset_file, item_of, looks_like_item
from swath.disk.scenes.manifest import Scene, manifest_rows, survey
from swath.disk.sources.stack import Stack, image_files

LISTS = {".txt", ".lst"}
_SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True)
class Item:
    """One file of a source: where it is, its name below the output directory, and the checksum stated of it, if any.

    `size` is known from a listing; None where the server has to be asked.
    """

    place: Path
    name: str
    size: int | None = None
    checksum: str | None = field(default=None, compare=False)

    def head(self) -> Head:
        """What is known of the file. Raises DataError where it is not there."""
        if isinstance(self.place, Remote):
            return self.place.found()
        if not self.place.is_file():
            raise DataError("file-missing", self.place, "no such file", "check the path")
        found = self.place.stat()
        return Head(found.st_size, modified=str(found.st_mtime_ns))


def items_of(source: str | Path) -> tuple[list[Item], list[DataError]]:
    """The files of a source, in its order (folders and prefixes: by name), and what is wrong with its rows.

    Raises DataError where it stands for nothing.
    """
    place = location(source)
    kind = place.suffix.lower()
    if kind in (".csv", ".tsv") and place.exists():
        return _of_manifest(place)
    if kind == ".json" and place.exists():
        return _of_json(place)
    if kind in LISTS and place.exists():
        return _of_list(place), []
    found = _of_bucket(place) if isinstance(place, Remote) and place.scheme == "s3" else _of_files(place)
    if not found:
        raise DataError("inputs-none", place, "no file is there", "check the address")
    return found, []


def distinct(items: Sequence[Item], reserved: str) -> list[Item]:
    """The items, each place once, under names of their own: where two meet, the later ones get a folder or number."""
    out: dict[str, Item] = {reserved: Item(Path(), reserved)}
    first: dict[Path, Item] = {}
    for item in items:
        first.setdefault(item.place, item)
    for item in first.values():
        name = candidate = item.name
        if candidate in out:
            name = candidate = str(PurePosixPath(item.name).with_name(f"{_safe(item.place.parent.name)}_{item.place.name}"))
        n = 2
        while candidate in out:
            path = PurePosixPath(name)
            candidate, n = str(path.with_name(f"{path.stem}_{n}{path.suffix}")), n + 1
        out[candidate] = replace(item, name=candidate)
    return list(out.values())[1:]


def _of_bucket(place: Remote) -> list[Item]:
    """The object of a key, or those below it as a folder, or where there are none those whose keys begin with it."""
    from swath.disk.remote import bucket

    if place.key and not place.key.endswith("/") and place.exists():
        return [Item(place, _safe(place.name), place.found().size)]
    folder = f"{place.key.rstrip('/')}/" if place.key else ""
    found = bucket.listed(place.bucket, folder, str(place))
    root = folder
    if not found and folder != place.key:
        found = bucket.listed(place.bucket, place.key, str(place))
        root = f"{parent}/" if (parent := posixpath.dirname(place.key)) else ""
    return [
        Item(Remote.within(f"s3://{place.bucket}/{e.key}", place.allowed), _safe(e.key.removeprefix(root)), e.size)
        for e in found if not _hidden(e.key.removeprefix(root))
    ]  # fmt: skip


def _of_files(place: Path) -> list[Item]:
    if isinstance(place, Remote):
        if not place.key or place.url.endswith("/"):
            raise DataError("fetch-folder", place, "a web server has no listing that could be read",
                            "name a file, a manifest, a list of addresses (.txt) or a STAC item")  # fmt: skip
        return [*_with_parts(Item(place, _safe(place.name), place.found().size))]
    if place.is_dir():
        files = sorted(p for p in place.rglob("*") if p.is_file())
        names = {p: p.relative_to(place).as_posix() for p in files}
        return [Item(p, n, p.stat().st_size) for p, n in sorted(names.items(), key=lambda f: f[1]) if not _hidden(n)]
    item = Item(place.absolute(), _safe(place.name))
    return [*_with_parts(replace(item, size=item.head().size))]


def _of_manifest(place: Path) -> tuple[list[Item], list[DataError]]:
    """The manifest, and the images, labels and areas of its rows."""
    scenes, problems = survey(manifest_rows(place), place.parent)
    missing = {p.where for p in problems if p.code == "file-missing"}
    named = [i for s in scenes for i in _of_scene(s, place.parent) if str(i.place.absolute()) not in missing]
    return [Item(place, _safe(place.name)), *(part for i in named for part in _with_parts(i))], problems


def _of_scene(scene: Scene, root: Path) -> Iterator[Item]:
    """The files of a scene; the assets of a STAC item beside the item, where they are looked for."""
    origin = scene.image.origin if isinstance(scene.image, Stack) else None
    beside = set(image_files(scene.image)) if origin is not None else set()
    for path in scene.files:
        name = PurePosixPath(_below(origin if origin is not None and path in beside else path, root))
        yield Item(path, str(name.with_name(_safe(path.name))))


def _of_json(place: Path) -> tuple[list[Item], list[DataError]]:
    """The raster assets of a STAC item with the item itself, the files of a manifest, or the file alone."""
    size = place.stat().st_size
    if size > MAX_TEXT:
        return [Item(place, _safe(place.name), size)], []
    try:
        value = json.loads(place.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise DataError("json", place, "is not valid JSON", "check the file") from e
    if looks_like_item(value):
        return _of_stac(value, place), []
    if isinstance(value, list) or (isinstance(value, dict) and "scenes" in value):
        return _of_manifest(place)
    return [Item(place, _safe(place.name), size)], []


def _of_stac(value: Any, place: Path) -> list[Item]:
    found = item_of(value, place.url if isinstance(place, Remote) else place)
    if not found.rasters:
        raise DataError("stac-asset", place, "has no raster asset", "name an item with GeoTIFF or JPEG 2000 assets")
    folder = _safe(found.id.replace("/", "_"))
    files = [(asset_file(replace(a, beside=None), place), a) for a in found.rasters]
    return [Item(place, f"{folder}/{_safe(place.name)}"),
            *(Item(p, f"{folder}/{_safe(p.name)}", a.size, a.checksum) for p, a in files)]  # fmt: skip


def _of_list(place: Path) -> list[Item]:
    """The files that a plain list names, one a line, relative to it; `#` begins a comment."""
    size = place.stat().st_size
    if size > MAX_TEXT:
        raise too_large(place, size, MAX_TEXT)
    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as e:
        raise DataError("fetch-list", place, "is not UTF-8 text", "write one address a line") from e
    if lines and lines[0].lstrip().startswith("<"):
        raise DataError("fetch-list", place, "is a web page, no list", "write one address a line")
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    places = [location(text, place.parent) for text in named]
    if not places:
        raise DataError("inputs-none", place, "the list names no file", "write one address a line")
    return [i for p in places for i in _with_parts(Item(p, _below(p, place.parent)))]


def _with_parts(item: Item) -> Iterator[Item]:
    """The file, and those beside it without which a shapefile cannot be read."""
    yield item
    if item.place.suffix.lower() == ".shp":
        for suffix in _SHAPEFILE:
            other = item.place.with_suffix(suffix)
            if other.exists():
                yield Item(other, str(PurePosixPath(item.name).with_suffix(suffix)))


def _below(place: Path, root: Path) -> str:
    """The name of a place below a root, else its own name alone."""
    if isinstance(place, Remote) and isinstance(root, Remote):
        inside = place.scheme == root.scheme and place.bucket == root.bucket
        start = f"{root.key.rstrip('/')}/" if root.key else ""
        return _safe(place.key.removeprefix(start) if inside and place.key.startswith(start) else place.name)
    if isinstance(place, Remote) or isinstance(root, Remote):
        return _safe(place.name)
    name = os.path.relpath(place, root)
    return _safe(place.name if name.startswith("..") else name)


def _safe(name: str) -> str:
    """The name without parts that lead elsewhere and without control characters."""
    clean = re.sub(r"[\x00-\x1f\x7f\\]", "_", name)
    parts = [p for p in clean.split("/") if p not in ("", ".", "..")]
    return "/".join(parts) or "file"


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
