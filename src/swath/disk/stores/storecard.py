"""What describes a store beside its records: the counts on its card, and the footprints of its samples for QGIS."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.grid import Grid
from swath.core.legend import Legend
from swath.core.splits import SPLITS
from swath.core.statistics import BandStatistics
from swath.disk.stores.recordspool import RecordSpool


def store_card(
    spool: RecordSpool, fingerprint: str, legend: Legend, bands: Bands, scaling: Sequence[Bands], statistics: BandStatistics,
    scenes: Sequence[str], grids: Sequence[Grid], events: dict[str, int],
) -> dict[str, Any]:  # fmt: skip
    """The card of the store whose records are in the spool; `scaling` are the bands as fitted for each scene."""
    return {
        "fingerprint": fingerprint,
        "legend": legend.as_dict(),
        "bands": bands.as_dict(),
        "scene_scaling": [[list(b.gain), list(b.offset)] for b in scaling],
        "statistics": statistics.as_dict(),
        "scenes": list(scenes),
        "grids": [g.as_dict() for g in grids],
        "dropped": dict(sorted(spool.dropped.items())),
        "splits": split_counts(spool.index(), legend.names),
        "events": dict(sorted(events.items())),
    }


def split_counts(index: NDArray[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Per split: the number of `samples`, and of label pixels per class with their share (None where there is none)."""
    found: dict[str, Any] = {}
    for n, split in enumerate(SPLITS):
        rows = index[index["split"] == n]
        pixels, total = rows["counts"].sum(0).tolist(), int(rows["counts"].sum())
        classes = {c: {"pixels": p, "share": p / total if total else None} for c, p in zip(names, pixels, strict=True)}
        found[split] = {"samples": len(rows), "classes": classes}
    return found


def write_footprints(index: NDArray[Any], card: dict[str, Any], part: Path) -> None:
    """Writes the GeoPackage of sample footprints: one layer per coordinate system, with split and class counts."""
    from pyogrio.raw import write  # GDAL is loaded only where a store is written

    from swath.disk.vectors.geopackage import forget_clock

    grids = [Grid.from_dict(g) for g in card["grids"]]
    names = [c["name"] for c in card["legend"]["classes"]]
    for n, crs in enumerate(dict.fromkeys(g.crs for g in grids)):
        rows = [r for r in index if grids[r["scene"]].crs == crs]
        columns = {
            "scene": np.array([card["scenes"][r["scene"]] for r in rows], object),
            "split": np.array([SPLITS[r["split"]] for r in rows], object),
            **{f"pixels_{c}": np.array([int(r["counts"][i]) for r in rows], np.int64) for i, c in enumerate(names)},
        }
        if "point" in (index.dtype.names or ()):
            columns["point"] = np.array([int(r["point"]) for r in rows], np.int64)
            columns["label"] = np.array([names[r["label"]] if r["label"] >= 0 else None for r in rows], object)
        outlines = np.array([shapely.to_wkb(_outline(grids[r["scene"]], r["read"])) for r in rows], object)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # pixels without georeference
            write(str(part), geometry=outlines, field_data=list(columns.values()), fields=list(columns), crs=crs,
                  geometry_type="Polygon", driver="GPKG", layer="samples" if n == 0 else f"samples_{n + 1}",
                  append=n > 0)  # fmt: skip
    forget_clock(part)


def _outline(grid: Grid, box: NDArray[np.int64]) -> shapely.Polygon:
    row, col, height, width = box.tolist()
    corners = [(col, row), (col + width, row), (col + width, row + height), (col, row + height)]
    return shapely.Polygon([grid.transform @ c for c in corners])
