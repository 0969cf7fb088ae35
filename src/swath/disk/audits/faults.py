"""The features that an audit found fault with, as a GeoPackage to look at in a GIS."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from swath.disk.publish import publish, require_plain
from swath.disk.vectors.geopackage import forget_clock, write_explained

FIELDS = ("file", "feature_id", "fault", "detail")
MOST_FAULTS = 100_000  # kept of one layer


@dataclass(frozen=True)
class Fault:
    """A feature that something is wrong with: its file and id, what is wrong, its geometry and CRS (None: unknown)."""

    file: Path
    fid: int
    fault: str
    detail: str
    geometry: Any
    crs: str | None


def publish_faults(target: Path, faults: Sequence[Fault]) -> Path:
    """The GeoPackage of faulty features: layer `faults`, one more for every further CRS; empty where nothing is wrong.

    Columns: `file`, `feature_id`, `fault`, `detail`. Features without a geometry stand in it too.
    """
    ordered = sorted(faults, key=lambda f: (str(f.file), f.fault, f.fid))
    systems = list(dict.fromkeys(f.crs for f in ordered)) or [None]
    require_plain(target)

    def write(part: Path) -> None:
        with write_explained(target):
            for n, crs in enumerate(systems):
                mine = [f for f in ordered if f.crs == crs]
                _layer(part, "faults" if n == 0 else f"faults_{n + 1}", mine, crs, append=n > 0)
            forget_clock(part)

    return publish(target, write)


def _layer(part: Path, name: str, faults: Sequence[Fault], crs: str | None, *, append: bool) -> None:
    from pyogrio.raw import write

    columns: list[Any] = [
        np.array([f.file.name for f in faults], object),
        np.array([f.fid for f in faults], np.int64),
        np.array([f.fault for f in faults], object),
        np.array([f.detail for f in faults], object),
    ]
    shapes = np.array([f.geometry for f in faults], object)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        write(str(part), geometry=shapely.to_wkb(shapes), fields=list(FIELDS), field_data=columns, crs=crs,
              geometry_type="Unknown", driver="GPKG", layer=name, append=append)  # fmt: skip
