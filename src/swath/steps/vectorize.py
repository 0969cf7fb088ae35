"""The result of `swath vectorize` is a GeoPackage with one polygon per connected region of a class, ready for QGIS."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import swath
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.legend import ClassEntry, Legend, palette
from swath.disk.publish import publish, require_plain, sweep
from swath.disk.rasters.crs import metres_per_pixel
from swath.disk.rasters.maps import read_map_info
from swath.disk.rasters.raster import RasterReader
from swath.disk.remote.access import is_remote, location
from swath.disk.remote.outgoing import is_taken, send, workplace
from swath.disk.vectors.geopackage import Written, add_style, check_polygons, write_explained, write_polygons
from swath.disk.vectors.polygons import Polygons, class_raster, confidence_raster, map_polygons
from swath.messages import warn
from swath.progress import Progress
from swath.specs import VectorizeSpec

TOO_SMALL = "smaller than min_area_m2"


@dataclass(frozen=True)
class _Plan:
    """The map, its confidence and legend where it has one, the ids to write (None: all but 0), the settings."""

    source: RasterReader
    confidence: RasterReader | None
    legend: Legend | None
    wanted: tuple[int, ...] | None
    spec: VectorizeSpec

    def name(self, value: int) -> str:
        """The name of a class id: the legend's, else the number itself."""
        return next((c.name for c in self.legend.classes if c.id == value), str(value)) if self.legend else str(value)

    def classes(self, seen: set[int]) -> list[ClassEntry]:
        """The classes of the result; without a legend those that were seen or asked for, in colours of their own."""
        if self.legend is not None:
            return [c for c in self.legend.classes if (c.id != 0 if self.wanted is None else c.id in self.wanted)]
        ids = sorted(seen if self.wanted is None else self.wanted)
        return [ClassEntry(i, str(i), colour) for i, colour in zip(ids, palette(len(ids)), strict=True)]


def vectorize(
    map_path: str | Path,
    out: str | Path,
    *,
    spec: VectorizeSpec | None = None,
    confidence: str | Path | None = None,
    legend: Legend | None = None,
    memory: int = 2_000_000_000,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """The polygons of a map, one per connected region of a class, as a GeoPackage.

    Returns `classes` {name: {polygons, area_m2 (None without georeference), pixels}}, `vectors` (path), `dropped`
    {reason: polygons}, `seconds`.

    `map_path`: a class raster, uint8 or uint16. Its class table is the one inside the map, else `legend`, else every
    value but 0 and nodata is a class named by its value. `confidence`: a raster in percent on the same grid (default:
    the one that predict wrote beside the map). `memory`: bytes for pixels and outlines. `progress` is called with
    (rows done, rows) instead of showing a bar.

    Layer `polygons`: `class`, `name`, `area_m2` (of the pixel outline, on the ellipsoid; null without georeference),
    `pixels`, `confidence` (mean, 0 to 1; null where there is none), in the CRS of the map; without one in pixels.
    Equal maps and settings give equal files. `spec.simplify_m` moves no border by more than that; borders that polygons
    share stay shared, without gaps and overlaps; `area_m2` and `pixels` stay those of the map.

    Raises DataError for a map or confidence raster that cannot be used, ConfigError for settings that do not fit the
    map, ResourceError where `out` exists (without `overwrite`), memory does not suffice or the disk is full.
    """
    started = time.monotonic()
    target, spec = location(out).absolute(), spec or VectorizeSpec()
    plan = _plan(location(map_path), spec, confidence, legend)
    _free(target, overwrite)
    dropped: Counter[str] = Counter()
    done: list[Written] = []

    def write(part: Path) -> None:
        batches = _kept(_batches(plan, memory, progress), spec, dropped)
        written = write_polygons(part, batches, plan.source.grid.crs, plan.name)
        add_style(part, plan.classes(set(written.polygons)), _description(plan))
        done.append(written)

    with workplace(target.parent) as folder, write_explained(target):
        sweep(folder)
        made = publish(folder / target.name, write, verify=lambda part: check_polygons(part, done[-1], target))
        send(made, target)
    return {
        "classes": _summary(plan, done[-1]),
        "vectors": str(target),
        "dropped": dict(dropped),
        "seconds": round(time.monotonic() - started, 3),
    }


def _plan(path: Path, spec: VectorizeSpec, confidence: str | Path | None, legend: Legend | None) -> _Plan:
    source = class_raster(path)
    legend = _legend(path) or legend
    wanted = _wanted(spec, legend, path)
    if (spec.min_area_m2 > 0 or spec.simplify_m > 0) and metres_per_pixel(source.grid) is None:
        key = "min_area_m2" if spec.min_area_m2 > 0 else "simplify_m"
        raise ConfigError("no-georeference", f"vectorize.{key}", f"{path} has no georeference, so it has no metres",
                          f"leave {key} at 0, or assign the CRS: gdal_edit.py -a_srs EPSG:N {path.name}")  # fmt: skip
    nodata = source.nodata[0]
    if nodata is not None and nodata in (legend.ids if legend else wanted or ()):
        warn(f"{path}: the nodata tag {nodata:g} is a class; the tag is not applied")
        source.nodata = [None]
    beside = _confidence_beside(path) if confidence is None else location(confidence)
    return _Plan(source, confidence_raster(beside, source.grid) if beside else None, legend, wanted, spec)


def _legend(path: Path) -> Legend | None:
    """The class table inside a map."""
    try:
        return read_map_info(path).legend
    except (ValueError, KeyError, TypeError, ConfigError) as e:
        raise DataError("map-legend", path, "the class table inside the map is damaged",
                        "predict the map anew, or remove that table and name the legend") from e  # fmt: skip


def _wanted(spec: VectorizeSpec, legend: Legend | None, path: Path) -> tuple[int, ...] | None:
    """The ids of the classes that the settings name; None: all but the background."""
    if spec.classes is None:
        return None
    if legend is not None:
        return tuple(legend.ids[legend.index(name)] for name in spec.classes)
    bad = [name for name in spec.classes if not (name.isascii() and name.isdigit() and int(name) < 65536)]
    if bad:
        raise ConfigError("class-unknown", "vectorize.classes", f"{path} has no class table and no class '{bad[0]}'",
                          "name classes by their values, such as 1")  # fmt: skip
    return tuple(int(name) for name in spec.classes)


def _confidence_beside(path: Path) -> Path | None:
    """The confidence raster that predict wrote beside a map, if it did; one of another model or image is left out."""
    beside = path.with_name(f"{path.stem.removesuffix('_map')}_confidence.tif")
    if not beside.exists() or beside == path:
        return None
    mine, theirs = _making(path), _making(beside)
    if mine and theirs and mine != theirs:
        warn(f"{beside}: was made with another model, image or settings than {path.name}: it is left out; predict both together")
        return None
    return beside


def _making(path: Path) -> dict[str, Any]:
    """What a raster says of the prediction that it comes of, empty for one that says nothing."""
    try:
        tags = read_map_info(path).tags
    except (ValueError, KeyError, TypeError, ConfigError):  # a class table of somebody else's, or a damaged one
        return {}
    told: dict[str, Any] = {k: tags[k] for k in ("MODEL", "INPUT_STAMP", "SETTINGS") if k in tags}
    if isinstance(told.get("SETTINGS"), dict):
        told["SETTINGS"] = {k: v for k, v in told["SETTINGS"].items() if k != "save"}
    return told


def _free(target: Path, overwrite: bool) -> None:
    """Nothing, or an error where the output has another kind of name, or is there already."""
    if target.suffix.lower() != ".gpkg":
        raise ConfigError("out-suffix", target, "polygons are written as a GeoPackage", "name the output with .gpkg")
    if not is_remote(target):
        require_plain(target)
    if target.is_dir():
        raise ResourceError("out-directory", target, "is a directory", "name a file")
    if not overwrite and is_taken(target):
        raise ResourceError("exists", target, "is there already", "add --overwrite to replace it")


def _batches(plan: _Plan, memory: int, progress: Callable[[int, int], object] | None) -> Iterator[Polygons]:
    """The polygons of the map, while progress is shown."""
    height = plan.source.grid.height
    done = 0
    with Progress(f"vectorize {plan.source.path.name}", height, "rows") as bar:

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if progress is None:
                bar.advance(rows)
            else:
                progress(done, height)

        yield from map_polygons(
            plan.source, wanted=plan.wanted, legend=plan.legend, confidence=plan.confidence,
            simplify_m=plan.spec.simplify_m, memory=memory, advance=advance,
        )  # fmt: skip


def _kept(batches: Iterator[Polygons], spec: VectorizeSpec, dropped: Counter[str]) -> Iterator[Polygons]:
    """The polygons that are large enough; the others are counted. An unknown area is not small."""
    for batch in batches:
        small = batch.area_m2 < spec.min_area_m2
        if small.any():
            dropped[TOO_SMALL] += int(np.count_nonzero(small))
            batch = batch.take(~small)
        yield batch


def _summary(plan: _Plan, written: Written) -> dict[str, dict[str, Any]]:
    placed = metres_per_pixel(plan.source.grid) is not None
    return {
        c.name: {
            "polygons": written.polygons.get(c.id, 0),
            "area_m2": written.area_m2.get(c.id, 0.0) if placed else None,
            "pixels": written.pixels.get(c.id, 0),
        }
        for c in plan.classes(set(written.polygons))
    }


def _description(plan: _Plan) -> str:
    """What the layer says of itself: of which map, by which version and settings."""
    settings = json.dumps(plan.spec.model_dump(), sort_keys=True)
    return f"polygons of {plan.source.path.name} by swath {swath.__version__}, {settings}"
