"""The rasters and polygons that the benchmarks of sampling and loading share; run by no one alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyogrio.raw import write as write_vector

CORNER = (500_000.0, 4_500_000.0)


def sensor_raster(path: Path, height: int, width: int, bands: int = 4) -> Path:
    """A tiled deflate uint16 raster like that of an 11-bit sensor: 8 bits of a smooth scene times 8, and 3 bits of noise."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": "uint16", "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": "EPSG:32618", "num_threads": 2,
               "transform": Affine(0.5, 0, CORNER[0], 0, -0.5, CORNER[1]), "bigtiff": "if_safer"}  # fmt: skip
    texture = rng.normal(0, 4, (bands, 1024, 1024))
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, height, 512):
            h = min(512, height - row)
            y, x = np.mgrid[row : row + h, :width]
            smooth = 128 + 60 * np.sin(x / 40) + 50 * np.cos(y / 30)
            rough = np.take(np.take(texture, y[:, 0] % 1024, 1), x[0] % 1024, 2)
            scene = (smooth + rough).clip(0, 255).astype(np.uint16) * 8
            scene += rng.integers(0, 8, scene.shape, np.uint16)
            out.write(scene, window=rasterio.windows.Window(0, row, width, h))
    return path


def building_polygons(path: Path, height: int, width: int, count: int) -> Path:
    """Random turned boxes as polygons of class 1, about 8 % of the pixels with 5 in 10,000."""
    rng = np.random.default_rng(1)
    x = CORNER[0] + rng.random(count) * width * 0.5
    y = CORNER[1] - rng.random(count) * height * 0.5
    wide, tall = 3 + 9 * rng.random(count), 3 + 9 * rng.random(count)
    turn = rng.random(count) * np.pi
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) / 2
    u, v = corners[:, 0] * wide[:, None], corners[:, 1] * tall[:, None]
    sin, cos = np.sin(turn)[:, None], np.cos(turn)[:, None]
    boxes = shapely.polygons(np.stack([x[:, None] + cos * u - sin * v, y[:, None] + sin * u + cos * v], 2))
    write_vector(path, geometry=shapely.to_wkb(boxes), fields=["class"], field_data=[np.ones(count, np.int64)],
                 crs="EPSG:32618", geometry_type="Polygon", driver="GPKG", layer="roofs")  # fmt: skip
    return path
