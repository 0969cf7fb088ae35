"""Claim: peak memory of `sample` and `predict` does not follow the raster's height, and 20,000 x 20,000 stays under 1.5 GB.

Usage: memory.py [SIDE]: rasters of SIDE (default 4000) and 2 x SIDE rows are sampled and predicted by a tiny network in
processes of their own; then a sparse raster of 20,000 x 20,000 with data in 1 % of its blocks is predicted. Prints one
JSON line per verb with both peaks in MB and their ratio, and one for the sparse raster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyogrio.raw import write as write_vector

CONFIG = """scenes: scenes.csv
classes: {field: class, 1: roof}
model: {depth: 2, width: 4}
train: {steps: 4, batch_size: 2, evaluations: 1}
"""


def raster(path: Path, height: int, width: int, share: float = 1.0) -> Path:
    """A tiled deflate uint16 raster of 3 bands; a `share` of its blocks of 512 holds noise, the others are not stored."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint16", "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "crs": "EPSG:32618", "nodata": 0,
               "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_500_000), "sparse_ok": True, "bigtiff": "if_safer"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, height, 512):
            for col in range(0, width, 512):
                if rng.random() < share:
                    h, w = min(512, height - row), min(512, width - col)
                    out.write(rng.integers(1, 4000, (3, h, w), np.uint16), window=rasterio.windows.Window(col, row, w, h))
    return path


def labels(path: Path, height: int, width: int, count: int = 20_000) -> Path:
    """Random boxes as polygons of class 1."""
    rng = np.random.default_rng(1)
    x = 500_000 + rng.random(count) * width * 0.5
    y = 4_500_000 - rng.random(count) * height * 0.5
    boxes = shapely.box(x, y, x + 5 + 10 * rng.random(count), y + 5 + 10 * rng.random(count))
    write_vector(path, geometry=shapely.to_wkb(boxes), fields=["class"], field_data=[np.ones(count, np.int64)],
                 crs="EPSG:32618", geometry_type="Polygon", driver="GPKG", layer="roofs")  # fmt: skip
    return path


def peak(*words: object) -> tuple[float, float]:
    """(peak memory in MB, seconds) of a swath command in a process of its own."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "swath", *map(str, words), "-q"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"swath {words[0]} failed")
    return usage.ru_maxrss / 1e3, time.monotonic() - started


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    with tempfile.TemporaryDirectory() as work:
        found: dict[str, list[float]] = {"sample": [], "predict": []}
        for n, height in enumerate((side, 2 * side)):
            place = Path(work) / str(n)
            place.mkdir()
            image = raster(place / "image.tif", height, side)
            labels(place / "labels.gpkg", height, side)
            (place / "scenes.csv").write_text("image,labels,split\nimage.tif,labels.gpkg,trn\n")
            (place / "roofs.yaml").write_text(CONFIG)
            found["sample"].append(peak("sample", place / "roofs.yaml")[0])
            if n == 0:
                peak("train", place / "roofs.yaml")
            found["predict"].append(peak("predict", Path(work) / "0/runs/roofs", image, "--out", place / "maps")[0])
        for verb, (one, two) in found.items():
            print(json.dumps({"benchmark": "memory", "verb": verb, "width": side, "peak_mb": round(one),
                              "peak_mb_twice_the_height": round(two), "ratio": round(two / one, 3)}), flush=True)  # fmt: skip
        sparse = raster(Path(work) / "sparse.tif", 20_000, 20_000, 0.01)
        mb, seconds = peak("predict", Path(work) / "0/runs/roofs", sparse, "--out", Path(work) / "sparse_maps")
        print(json.dumps({"benchmark": "memory", "verb": "predict", "raster": "20000 x 20000, 1 % of blocks",
                          "peak_mb": round(mb), "seconds": round(seconds)}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
