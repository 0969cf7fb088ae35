"""A tiny town on disk: scenes of bright squares on dark ground, with their polygons, as rasters, vectors and a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyogrio.raw import write as write_vector

UTM = "EPSG:32618"
SIDE = 96
CONFIG = """scenes: scenes.csv
classes: {field: class, 1: {name: roof, color: "#efcd08"}}
split: {buffer: 8}
sample: {tile: 32}
model: {depth: 2, width: 4}
train: {steps: 40, batch_size: 4, evaluations: 4, lr: 0.02, precision: fp32}
predict: {save: [classes, confidence, probabilities]}
runtime: {device: cpu, threads: 1}
"""
Squares = list[tuple[int, int, int]]


def squares(seed: int, side: int = SIDE) -> Squares:
    """(row, column, length) of squares that do not touch: one in most cells of a grid of 24 pixels."""
    rng = np.random.default_rng(seed)
    return [
        (row + int(rng.integers(2, 7)), col + int(rng.integers(2, 7)), int(rng.integers(8, 16)))
        for row in range(0, side - 23, 24)
        for col in range(0, side - 23, 24)
        if rng.random() < 0.8
    ]


def truth(found: Squares, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """Class indices (H, W): 1 inside the squares."""
    out = np.zeros((height, width), np.uint8)
    for row, col, length in found:
        out[row : row + length, col : col + length] = 1
    return out


def pixels(labels: NDArray[Any], seed: int) -> NDArray[np.uint16]:
    """Three noisy bands, brighter inside the squares."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 40, (3, *labels.shape))
    base = np.array([300, 400, 350])[:, None, None] + labels * np.array([500, 400, 450])[:, None, None]
    return np.clip(base + noise, 1, 4000).astype(np.uint16)


def corner(number: int) -> Affine:
    """The transform of the n-th scene: half-metre pixels, far from the others."""
    return Affine(0.5, 0, 583_000 + 1000 * number, 0, -0.5, 4_507_000)


def write_image(path: Path, bands: NDArray[Any], transform: Affine | None, crs: str | None = UTM, **options: Any) -> Path:
    """A GeoTIFF of (C, H, W)."""
    count, height, width = bands.shape
    place = {"crs": crs, "transform": transform} if transform is not None else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **place, **options
    ) as sink:
        sink.write(bands)
    return path


def write_squares(path: Path, found: Squares, transform: Affine, values: list[Any] | None = None, crs: str | None = UTM) -> Path:
    """A GeoPackage with one polygon per square and the field `class` (1 unless told)."""
    boxes = [shapely.box(*(transform @ (c, r + n)), *(transform @ (c + n, r))) for r, c, n in found]
    column = np.array(values if values is not None else [1] * len(found))
    write_vector(
        path, geometry=shapely.to_wkb(np.array(boxes, object)), fields=["class"],
        field_data=[column.astype(object) if column.dtype.kind == "U" else column],
        crs=crs, geometry_type="Polygon", driver="GPKG", layer="roofs",
    )  # fmt: skip
    return path


def write_town(folder: Path, config: str = CONFIG) -> Path:
    """Three scenes (two for training, one for the test), their polygons, the manifest and `roofs.yaml`: its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,labels,split"]
    for number, (name, split) in enumerate((("north", "trn"), ("south", "trn"), ("west", "tst"))):
        found = squares(number)
        write_image(folder / f"{name}.tif", pixels(truth(found), number), corner(number))
        write_squares(folder / f"{name}.gpkg", found, corner(number))
        rows.append(f"{name}.tif,{name}.gpkg,{split}")
    (folder / "scenes.csv").write_text("\n".join(rows) + "\n")
    (folder / "roofs.yaml").write_text(config)
    return folder / "roofs.yaml"
