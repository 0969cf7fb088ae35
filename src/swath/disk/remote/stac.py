"""STAC items: one acquisition as a JSON file that names its assets; of these none is opened here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from swath.core.errors import DataError
from swath.disk.remote.access import Remote, location, redacted

MAX_BYTES = 16_000_000  # of an item; real ones take some 10 KB
_RASTERS = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-geotiff")
_SUFFIXES = {".tif", ".tiff", ".jp2"}
_PICTURES = {"thumbnail", "overview", "metadata"}  # roles of assets that are no measured pixels
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_STRUCTURE = "a STAC item has `type: Feature`, `id`, `properties` and `assets` with an `href` each"


@dataclass(frozen=True)
class StacBand:
    """One band of an asset: its name, and its common name (red, nir, pan ...) where the item gives one."""

    name: str | None = None
    common_name: str | None = None


@dataclass(frozen=True)
class StacAsset:
    """One asset: where it is (`href`: a local path or the text of a URL), its bands, roles and media type.

    `beside` is the file of the same name beside the item, if there is one: the copy that a download left. `size` in bytes
    and `checksum` (a multihash in hexadecimal digits) are what the item states of the file.
    """

    name: str
    href: Path | str
    bands: tuple[StacBand, ...] = ()
    roles: tuple[str, ...] = ()
    media_type: str | None = None
    gsd: float | None = None
    title: str | None = None
    size: int | None = None
    checksum: str | None = None
    beside: Path | None = field(default=None, compare=False)

    @property
    def place(self) -> Path | str:
        """Where the pixels are read: the copy beside the item where there is one, else `href`."""
        return self.href if self.beside is None else self.beside

    @property
    def is_raster(self) -> bool:
        """True for measured pixels: a GeoTIFF or JPEG 2000 file that is no thumbnail, overview or metadata.

        Without a media type the role `data`, stated bands or the file's suffix tell.
        """
        if _PICTURES & set(self.roles):
            return False
        if self.media_type is not None:
            return self.media_type.partition(";")[0].strip().lower() in _RASTERS
        path = urlsplit(self.href).path if isinstance(self.href, str) else self.href.name
        return PurePosixPath(path).suffix.lower() in _SUFFIXES or "data" in self.roles or bool(self.bands)


@dataclass(frozen=True)
class StacItem:
    """A STAC item: its id, place, properties (`gsd`, `datetime` ...) and all assets in the item's order."""

    id: str
    path: Path | str
    version: str
    properties: Mapping[str, Any] = field(compare=False)
    assets: tuple[StacAsset, ...] = ()
    collection: str | None = None

    @property
    def rasters(self) -> tuple[StacAsset, ...]:
        """The assets that hold measured pixels, in the item's order."""
        return tuple(a for a in self.assets if a.is_raster)

    def asset(self, name: str) -> StacAsset:
        """The asset of a name, or the one whose only band has that name or common name. Raises DataError."""
        found = [a for a in self.assets if a.name == name] or [
            a for a in self.rasters if len(a.bands) == 1 and name.lower() in _names(a.bands[0])
        ]
        if len(found) == 1:
            return found[0]
        what = f"has no asset or band '{name}'" if not found else f"has {len(found)} assets with a band '{name}'"
        known = ", ".join(a.name for a in self.rasters) or "none"
        raise DataError("stac-asset", redacted(str(self.path)), what, f"name one of its raster assets: {known}")


def asset_file(asset: StacAsset, item: Path) -> Path:
    """Where an asset of an item is read; `item` is the item's own place.

    Raises DataError for a local file that a remote item names, ConfigError where remote places are not allowed.
    """
    if isinstance(item, Remote) and isinstance(asset.place, Path):
        raise DataError("remote-local", item, f"its asset '{asset.name}' is the local file {asset.place}",
                        "write hrefs relative to the item, or URLs")  # fmt: skip
    return location(asset.place)


def is_stac_item(path: str | Path) -> bool:
    """True where a JSON file is a STAC item; a manifest, GeoJSON layer or unreadable file is none."""
    try:
        value = _value(location(path))
    except DataError:
        return False
    return looks_like_item(value)


def looks_like_item(value: Any) -> bool:
    """True for parsed JSON with what only a STAC item has: a Feature with a `stac_version` or a mapping of assets."""
    if not isinstance(value, dict) or value.get("type", "Feature") != "Feature":
        return False
    return isinstance(value.get("assets"), dict) and ("stac_version" in value or "properties" in value)


def stac_item(path: str | Path) -> StacItem:
    """The STAC item of a JSON file; hrefs are resolved against the file's folder.

    Raises DataError (`stac-item`) for a file that is no item, is broken or larger than 16 MB.
    """
    path = location(path)
    return item_of(_value(path), path.url if isinstance(path, Remote) else path)


def item_of(value: Any, place: Path | str) -> StacItem:
    """The STAC item of parsed JSON that was read at `place`, a local path or the text of a URL. Raises DataError."""
    if not looks_like_item(value):
        raise _broken(place, "is no STAC item")
    properties = value.get("properties") or {}
    if not isinstance(value.get("id"), str) or not value["id"]:
        raise _broken(place, "has no `id`")
    if not isinstance(properties, dict):
        raise _broken(place, "its `properties` are no object")
    assets = tuple(_asset(name, entry, place) for name, entry in value["assets"].items())
    collection = value.get("collection")
    return StacItem(
        value["id"], place, str(value.get("stac_version", "")), properties, assets,
        collection if isinstance(collection, str) else None,
    )  # fmt: skip


def _asset(name: str, entry: Any, place: Path | str) -> StacAsset:
    if not isinstance(entry, dict) or not isinstance(entry.get("href"), str) or not entry["href"].strip():
        raise _broken(place, f"its asset '{name}' has no `href`")
    href = _resolved(entry["href"].strip(), place)
    roles = entry.get("roles") or ()
    if not isinstance(roles, list | tuple) or not all(isinstance(r, str) for r in roles):
        raise _broken(place, f"the `roles` of its asset '{name}' are no list of words")
    return StacAsset(
        name=name,
        href=href,
        bands=_bands(name, entry, place),
        roles=tuple(roles),
        media_type=_text(entry.get("type")),
        gsd=_number(entry.get("gsd")),
        title=_text(entry.get("title")),
        size=int(size) if (size := _number(entry.get("file:size"))) is not None else None,
        checksum=_text(entry.get("file:checksum")),
        beside=_beside(href, place),
    )


def _bands(name: str, entry: Mapping[str, Any], place: Path | str) -> tuple[StacBand, ...]:
    """The bands of an asset, by `eo:bands` or by the `bands` of STAC 1.1; else as many as `raster:bands` counts."""
    listed = entry.get("eo:bands") or entry.get("bands") or entry.get("raster:bands") or ()
    if not isinstance(listed, list | tuple) or not all(isinstance(b, dict) for b in listed):
        raise _broken(place, f"the bands of its asset '{name}' are no list of objects")
    return tuple(
        StacBand(_text(b.get("name")), _text(b.get("eo:common_name")) or _text(b.get("common_name"))) for b in listed
    )


def _resolved(href: str, place: Path | str) -> Path | str:
    """The absolute place of an href: a path below or beside a local item, else the text of a URL."""
    if href.lower().startswith("file:"):
        parts = urlsplit(href)
        if parts.netloc not in ("", "localhost"):
            raise _broken(place, f"'{href}' names another machine")
        return Path(unquote(parts.path))
    if _SCHEME.match(href):
        return href
    if isinstance(place, str):
        return _joined(place, href)
    return place.parent / href


def _joined(place: str, href: str) -> str:
    """`href` against the URL it was read from; object stores have no relative links of their own."""
    scheme, separator, rest = place.partition("://")
    return (
        f"{scheme}://{urljoin(f'http://{rest}', href).removeprefix('http://')}" if separator else urljoin(place, href)
    )


def _beside(href: Path | str, place: Path | str) -> Path | None:
    """The file that has the name of a remote asset and lies beside the local item."""
    if isinstance(href, Path) or isinstance(place, str):
        return None
    name = PurePosixPath(unquote(urlsplit(href).path)).name
    found = place.parent / name
    return found if name and found.is_file() else None


def _value(path: Path) -> Any:
    if not path.exists():
        raise DataError("file-missing", path, "no such file", "check the path in the manifest or on the command line")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise _broken(path, f"is no JSON file of at most {MAX_BYTES // 10**6} MB")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise _broken(path, f"is not valid JSON ({e})") from e


def _broken(place: Path | str, what: str) -> DataError:
    return DataError("stac-item", redacted(str(place)), redacted(what), _STRUCTURE)


def _names(band: StacBand) -> set[str]:
    return {n.lower() for n in (band.name, band.common_name) if n}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
