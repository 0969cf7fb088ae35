"""The GeoPackage of sample points that `swath points` writes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.splits import SPLITS
from swath.disk.publish import publish, require_plain
from swath.disk.vectors.geopackage import forget_clock, write_explained


@dataclass(frozen=True)
class Drawn:
    """Points of one scene: `x`, `y` in the CRS of its `grid`, class ids `ids` where `known`, `splits` 0..2; all (n,)."""

    scene: str
    grid: Grid
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ids: NDArray[np.int64]
    splits: NDArray[np.int64]
    known: NDArray[np.bool_]


def publish_points(target: Path, drawn: Sequence[Drawn], names: Mapping[int, str]) -> Path:
    """The GeoPackage of points, read back before it appears: layer `points`, one more for every further CRS.

    Columns: `id` from 1, `class` and `name` (null where there is no class), `split`, `x`, `y`, `scene`. Equal points
    give equal bytes.
    """
    total = sum(len(d.x) for d in drawn)
    require_plain(target)

    def write(part: Path) -> None:
        with write_explained(target):
            first = 1
            for n, crs in enumerate(dict.fromkeys(d.grid.crs for d in drawn)):
                mine = [d for d in drawn if d.grid.crs == crs]
                _write_layer(part, "points" if n == 0 else f"points_{n + 1}", mine, crs, names, first, append=n > 0)
                first += sum(len(d.x) for d in mine)
            forget_clock(part)

    def verify(part: Path) -> None:
        from pyogrio import list_layers, read_info

        with write_explained(target):
            found = sum(int(read_info(part, layer=str(n), force_feature_count=True)["features"]) for n, _ in list_layers(part))
        if found != total:
            raise DataError("write-unverified", target, f"holds {found} points, {total} were written", "check the disk")

    return publish(target, write, verify=verify)


def _write_layer(
    part: Path, layer: str, drawn: Sequence[Drawn], crs: str | None, names: Mapping[int, str], first: int, *, append: bool
) -> None:
    from pyogrio.raw import write

    x, y, ids, splits, known = (
        np.concatenate([getattr(d, key) for d in drawn]) for key in ("x", "y", "ids", "splits", "known")
    )
    columns: dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]] = {
        "id": (np.arange(first, first + len(x), dtype=np.int64), None),
        "class": (ids, ~known),
        "name": (np.array([names.get(i, str(i)) if k else None for i, k in zip(ids.tolist(), known, strict=True)], object), None),
        "split": (np.array([SPLITS[i] for i in splits.tolist()], object), None),
        "x": (x, None),
        "y": (y, None),
        "scene": (np.array([d.scene for d in drawn for _ in d.x], object), None),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        write(
            str(part), geometry=shapely.to_wkb(shapely.points(x, y)), fields=list(columns),
            field_data=[v for v, _ in columns.values()], field_mask=[m for _, m in columns.values()], crs=crs,
            geometry_type="Point", driver="GPKG", layer=layer, append=append,
        )  # fmt: skip
