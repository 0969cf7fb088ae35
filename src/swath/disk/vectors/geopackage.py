"""A GeoPackage of classed polygons with the colours that QGIS shows them in."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import shapely

from swath.core.errors import DataError, ResourceError
from swath.core.legend import ClassEntry
from swath.disk.vectors.polygons import Polygons

LAYER, GEOMETRY = "polygons", "geom"
FIELDS = ("class", "name", "area_m2", "pixels", "confidence")
NO_CLOCK = "1970-01-01T00:00:00.000Z"  # equal maps give equal files

_STYLES = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT CURRENT_TIMESTAMP)
"""


@dataclass
class Written:
    """What went into a layer: polygons, pixels and square metres (NaN where not known) per class id."""

    polygons: dict[int, int] = field(default_factory=dict)
    pixels: dict[int, int] = field(default_factory=dict)
    area_m2: dict[int, float] = field(default_factory=dict)

    def add(self, batch: Polygons) -> None:
        """Counts a batch."""
        for i in np.unique(batch.classes).tolist():
            own = batch.classes == i
            self.polygons[i] = self.polygons.get(i, 0) + int(np.count_nonzero(own))
            self.pixels[i] = self.pixels.get(i, 0) + int(batch.pixels[own].sum())
            known = batch.area_m2[own]
            self.area_m2[i] = self.area_m2.get(i, 0.0) + float(known[~np.isnan(known)].sum())


def write_polygons(path: Path, batches: Iterable[Polygons], crs: str | None, name: Callable[[int], str]) -> Written:
    """The counts of the layer "polygons" written to a new GeoPackage; `name` gives the class name of an id.

    Fields: `class` (id), `name`, `area_m2`, `pixels`, `confidence` (0..1); unknown areas and confidences are null.
    """
    written = Written()
    _append(path, _nothing(), crs, name, first=True)
    for batch in batches:
        written.add(batch)
        _append(path, batch, crs, name, first=False)
    return written


def add_style(path: Path, classes: Sequence[ClassEntry], description: str) -> None:
    """Adds the class colours as the layer's default style for QGIS, and what the layer is; removes clock times."""
    row = {
        "f_table_catalog": "", "f_table_schema": "", "f_table_name": LAYER, "f_geometry_column": GEOMETRY,
        "styleName": "classes", "styleQML": qml(classes), "styleSLD": "", "useAsDefault": 1,
        "description": "class colours", "owner": "", "ui": None, "update_time": NO_CLOCK,
    }  # fmt: skip
    marks = ", ".join("?" * len(row))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(_STYLES)
        db.execute(f"INSERT INTO layer_styles ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        db.execute("INSERT INTO gpkg_contents (table_name, data_type, identifier) "
                   "VALUES ('layer_styles', 'attributes', 'layer_styles')")  # fmt: skip
        db.execute("INSERT INTO gpkg_ogr_contents (table_name, feature_count) VALUES ('layer_styles', 1)")
        db.execute("UPDATE gpkg_contents SET description = ? WHERE table_name = ?", (description, LAYER))
    forget_clock(path)


def forget_clock(path: Path) -> None:
    """Pins the times of change in a GeoPackage, so that equal content gives equal files.

    Also SQLite's counter of changes, at bytes 24 and 92 of its header: GDAL writes the time once more where a clock tick
    lies between creating and closing.
    """
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE gpkg_contents SET last_change = ?", (NO_CLOCK,))
    with path.open("r+b") as f:  # publish: a temporary of the caller
        for place in (24, 92):
            f.seek(place)
            f.write((1).to_bytes(4, "big"))


def check_polygons(path: Path, written: Written, target: Path) -> None:
    """Nothing, or DataError where the file at `path` does not hold what was written; `target` is its final name."""
    from pyogrio import read_info

    features = int(read_info(path, layer=LAYER, force_feature_count=True)["features"])
    with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as db:
        sound = db.execute("PRAGMA integrity_check").fetchone()[0]
        pixels, area = db.execute(f"SELECT total(pixels), total(area_m2) FROM {LAYER}").fetchone()
    expected = (sum(written.polygons.values()), sum(written.pixels.values()), sum(written.area_m2.values()))
    same = features == expected[0] and pixels == expected[1] and math.isclose(area, expected[2], rel_tol=1e-9)
    if sound != "ok" or not same:
        found = f"{features} polygons, {pixels:.0f} pixels, {area} m2; integrity check: {sound}"
        raise DataError("write-unverified", target, f"reads back other than it was written ({found}; expected "
                        f"{expected[0]}, {expected[1]}, {expected[2]})", "check the disk and try again")  # fmt: skip


def qml(classes: Sequence[ClassEntry]) -> str:
    """A QGIS style that fills each class with its colour, and its outline with a darker one."""
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = ElementTree.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="class", symbollevels="0",
                                      enableorderby="0", forceraster="0")  # fmt: skip
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for i, entry in enumerate(classes):
        ElementTree.SubElement(categories, "category", symbol=str(i), value=str(entry.id), type="long",
                               label=entry.name, render="true")  # fmt: skip
        _symbol(symbols, str(i), entry.rgb)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}"


def _symbol(symbols: ElementTree.Element, name: str, rgb: tuple[int, int, int]) -> None:
    symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name=name, alpha="0.8", clip_to_extent="1",
                                    force_rhr="0")  # fmt: skip
    plain = {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    layer = ElementTree.SubElement(symbol, "layer", plain)
    options = ElementTree.SubElement(layer, "Option", type="Map")
    properties = {
        "color": _rgba(rgb), "style": "solid", "joinstyle": "miter", "outline_style": "solid",
        "outline_color": _rgba((rgb[0] * 3 // 5, rgb[1] * 3 // 5, rgb[2] * 3 // 5)), "outline_width": "0.2",
        "outline_width_unit": "MM",
    }  # fmt: skip
    for key, value in properties.items():
        ElementTree.SubElement(options, "Option", type="QString", name=key, value=value)
        ElementTree.SubElement(layer, "prop", k=key, v=value)  # QGIS before 3.26


def _rgba(rgb: tuple[int, int, int]) -> str:
    return ",".join(map(str, (*rgb, 255)))


def _append(path: Path, batch: Polygons, crs: str | None, name: Callable[[int], str], *, first: bool) -> None:
    from pyogrio.raw import write

    names = {i: name(i) for i in np.unique(batch.classes).tolist()}
    data = [
        batch.classes.astype(np.int32),
        np.array([names[i] for i in batch.classes.tolist()], object),
        batch.area_m2,
        batch.pixels,
        batch.confidence,
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        write(path, shapely.to_wkb(batch.geometry), data, FIELDS, layer=LAYER, driver="GPKG", geometry_type="Polygon",
              crs=crs, append=not first)  # fmt: skip


def _nothing() -> Polygons:
    none: Any = np.empty(0, np.int64)
    unknown = np.empty(0, np.float64)
    return Polygons(np.empty(0, object), none, none, unknown, unknown)


@contextmanager
def write_explained(target: Path) -> Iterator[None]:
    """Failures of GDAL and SQLite in writing and reading back, told as a ResourceError that names the target."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, sqlite3.Error) as e:
        text = " ".join(str(e).split())[:200]
        raise ResourceError(
            "write-failed", target, f"cannot be written ({text})", "free some space, or choose another output directory"
        ) from e
