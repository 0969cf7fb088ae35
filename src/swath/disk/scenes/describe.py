"""What the scenes of a manifest and STAC items say of themselves, as plain JSON values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.disk.rasters.crs import crs_name
from swath.disk.remote.access import Remote, is_remote, redacted
from swath.disk.remote.stac import StacAsset, stac_item
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.sources import scene_metadata
from swath.disk.sources.cells import cell_image
from swath.disk.sources.images import image_info
from swath.disk.sources.stack import Stack


def describe_scenes(scenes: Iterable[Scene], problems: Iterable[DataError]) -> dict[str, Any]:
    """How many scenes there are in which splits; `listed` has a row for each, `known` what is known of each by name.

    What is wrong with rows or with their metadata files is among the `problems`.
    """
    listed, known, told = [], {}, [p.line() for p in problems]
    found = list(scenes)
    for scene in found:
        listed.append(_row(scene))
        try:
            values = {k: plain(v) for k, v in scene_metadata(scene).items()}
        except DataError as e:
            told.append(e.line())
            continue
        if values:
            known[scene.name] = values
    return {
        "scenes": len(found),
        "splits": dict(Counter(s.split or "undecided" for s in found)),
        "labelled": sum(s.labels is not None for s in found),
        "listed": listed,
        "known": known,
        "problems": told,
    }


def _row(scene: Scene) -> dict[str, Any]:
    """One scene: files as absolute paths; columns that are empty are left out, but the four that every scene has."""
    image = scene.image
    files, item = (image.files, image.origin) if isinstance(image, Stack) else ((image,), None)
    row: dict[str, Any] = {
        "name": scene.name,
        "split": scene.split,
        "image": [str(f.absolute()) for f in files],
        "labels": "; ".join(str(f.absolute()) for f in scene.label_files) or None,
    }
    more = {"item": item, "field": scene.field, "layer": scene.layer, "group": scene.group, "aoi": scene.aoi}
    return row | {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in more.items() if v is not None}


def describe_item(path: Path) -> dict[str, Any]:
    """A STAC item: its assets with their bands and files at hand, its properties, and the image that they make."""
    item = stac_item(path)
    found = {
        "kind": "item",
        "id": item.id,
        "collection": item.collection,
        "version": item.version,
        "assets": [_asset(a) for a in item.assets],
        "properties": {k: plain(v) for k, v in item.properties.items()},
    }
    try:
        info = image_info(cell_image(path, path.parent))
    except DataError as e:
        return {**found, "image": None, "problems": [e.line()]}
    image = {"grid": info.grid.as_dict(), "crs": crs_name(info.grid.crs), "bands": list(info.names), "dtype": info.dtype}
    return {**found, "image": image, "problems": []}


def _asset(asset: StacAsset) -> dict[str, Any]:
    place = asset.place
    there = isinstance(place, Path) and not isinstance(place, Remote) and not is_remote(place) and place.is_file()
    return {
        "name": asset.name,
        "raster": asset.is_raster,
        "bands": [b.common_name or b.name or "" for b in asset.bands],
        "type": asset.media_type,
        "at_hand": there,
        "place": str(place.absolute()) if isinstance(place, Path) else redacted(place),
    }


def plain(value: Any) -> Any:
    """The value as JSON can hold it; others become text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
