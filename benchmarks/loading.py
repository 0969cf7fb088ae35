"""Claim: batches come at 0.6 or more of the speed of a copy into a kept buffer from a raw store, and 100 times as fast as
torchgeo's random crops of a deflate GeoTIFF; 20 times from compressed records, 5 times straight from the GeoTIFF.

Usage: loading.py [SIDE], on a machine with nothing else to do: a SIDE x SIDE raster (default 6000) of 4 bands in uint16 and
its mask; samples of 256 in batches of 16, page cache warm, checksums verified before. Medians over alternating rounds.
Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np
import rasterio
from peers import torchgeo
from scenes import building_polygons, sensor_raster

import swath
from swath.disk.projects.project import load_project
from swath.disk.samples.rastersamples import RasterSamples
from swath.disk.stores.sample import Samples
from swath.disk.stores.store import StoreSamples
from swath.nets.batches import Batches

SIZE, BATCH, ROUNDS = 256, 16, 5
CONFIG = """scenes: scenes.csv
classes: {1: roof}
split: {val: 0}
"""


def made(work: Path, side: int) -> tuple[Path, Path]:
    """The config of a scene with a mask, both deflate GeoTIFFs in tiles of 512, and a config with samples of 512."""
    image = sensor_raster(work / "image.tif", side, side)
    polygons = building_polygons(work / "polygons.gpkg", side, side, side * side // 2000)
    (work / "burn.yaml").write_text("scenes: scenes.csv\nclasses: {field: class, 1: roof}\n")
    swath.mask(image, polygons, config=work / "burn.yaml", out=work / "burnt")
    burnt = next((work / "burnt").glob("*.tif"))
    with rasterio.open(burnt) as source:
        profile = {**source.profile, "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512,
                   "compress": "deflate", "nodata": None}  # fmt: skip
        keep = {k: v for k, v in profile.items() if k in (
            "driver", "height", "width", "count", "dtype", "crs", "transform", "tiled", "blockxsize", "blockysize", "compress")}  # fmt: skip
        with rasterio.open(work / "mask.tif", "w", **keep) as out:
            out.write(source.read())
    (work / "scenes.csv").write_text("image,labels,split\nimage.tif,mask.tif,trn\n")
    (work / "roofs.yaml").write_text(CONFIG)
    return work / "roofs.yaml", image


def speed(samples: Samples, steps: int, warm: int = 16, **options: object) -> float:
    """Samples per second of `steps` batches read ahead, after `warm` others."""
    batches = Batches(samples, crop=SIZE, batch_size=BATCH, seed=0, ignore=255, stride=16, workers=2, **options)  # type: ignore[arg-type]
    feed = batches.ahead(0)
    deque(islice(feed, warm), maxlen=0)
    started = time.monotonic()
    taken = sum(len(b.scenes) for b in islice(feed, steps))
    seconds = time.monotonic() - started
    feed.close()
    return taken / seconds


def copies(samples: StoreSamples, steps: int) -> float:
    """Samples per second of copies of image and labels, whole batches, from memory into a kept buffer."""
    images = np.stack([samples.read(i).image for i in range(len(samples.places))])
    labels = np.stack([samples.read(i).labels for i in range(len(samples.places))])
    image, label = np.zeros((BATCH, *images.shape[1:]), images.dtype), np.zeros((BATCH, SIZE, SIZE), labels.dtype)
    firsts = [BATCH * i % (len(images) - BATCH) for i in range(steps)]
    started = time.monotonic()
    for first in firsts:
        np.copyto(image, images[first : first + BATCH])
        np.copyto(label, labels[first : first + BATCH])
    return BATCH * steps / (time.monotonic() - started)


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    with tempfile.TemporaryDirectory() as name:
        config, image = made(Path(name), side)
        stores = {}
        for codec in ("none", "lz4"):
            words = ("sample.tile=256", f"sample.compress={codec}", f"output={codec}")
            stores[codec] = StoreSamples(Path(swath.sample(config, *words)["store"]), "trn")
            for i in range(len(stores[codec].places)):
                stores[codec].read(i)
        project = load_project(config, ["sample.tile=512"])
        direct = RasterSamples(project, "trn", 300_000_000, "none")
        epoch = len(direct.places) * direct.population(SIZE).visits // BATCH  # each pixel once: nothing is decoded twice
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            rounds = {
                "copy": copies(stores["none"], 800), "raw": speed(stores["none"], 800), "lz4": speed(stores["lz4"], 200),
                "rasters": speed(direct, epoch, 0, sampler="blocks"), "torchgeo": torchgeo("load", image, Path(name) / "mask.tif", 320),
            }  # fmt: skip
            for key, value in rounds.items():
                if value is not None:
                    found.setdefault(key, []).append(value)
        medians = {k: statistics.median(v) for k, v in found.items()}
        sizes = {c: os.path.getsize(s.directory / "records.bin") for c, s in stores.items()}
        peer = medians.get("torchgeo")
        print(json.dumps({
            "benchmark": "loading", "side": side, "samples_per_second": {k: round(v, 1) for k, v in medians.items()},
            "raw_to_copy": round(medians["raw"] / medians["copy"], 3), "compressed_bytes": round(sizes["lz4"] / sizes["none"], 3),
            **{f"{k}_to_torchgeo": round(medians[k] / peer, 1) if peer else None for k in ("raw", "lz4", "rasters")},
        }))  # fmt: skip


if __name__ == "__main__":
    main()
