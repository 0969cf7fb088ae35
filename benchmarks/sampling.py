"""Claim: `swath sample` runs at 0.85 or more of the speed of a bare loop that does the least that must be done, 20 times as
fast as torchgeo, and its peak memory does not follow the raster's side.

Usage: sampling.py [SIDE]: a SIDE x SIDE raster (default 10000) of 4 bands in uint16, deflate, and 5 polygons in 10,000
pixels become samples of 512. The bare loop reads strips by two threads, burns each once, and writes raw image and labels;
it knows no nodata, splits, filters, statistics, checksums, footprints or resuming. Both are synced to the disk. Medians
over alternating rounds, each in a process of its own. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import numpy as np
import rasterio
import shapely
from peers import torchgeo
from pyogrio.raw import read
from rasterio.features import rasterize
from rasterio.windows import Window
from scenes import building_polygons, sensor_raster

from swath.disk.projects.project import load_project
from swath.steps.sample import sample

warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
SIZE, ROUNDS = 512, 7
CONFIG = """scenes: scenes.csv
classes: {field: class, 1: roof}
sample: {tile: 512, edge: pad}
split: {val: 0}
"""


def bare(image: Path, polygons: Path, out: Path) -> int:
    """The number of samples written by the least that must be done."""
    geometry = shapely.from_wkb(read(polygons)[2])
    tree, handles, count = shapely.STRtree(geometry), local(), 0
    with rasterio.open(image) as source:
        height, width, bands, transform, dtype = source.height, source.width, source.count, source.transform, source.dtypes[0]

    def strip(row: int) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(handles, "source"):
            handles.source = rasterio.open(image)
        rows = min(SIZE, height - row)
        pixels = handles.source.read(window=Window(0, row, width, rows))
        here = transform * rasterio.Affine.translation(0, row)
        box = shapely.box(here.c, here.f + rows * here.e, here.c + width * here.a, here.f)
        labels = np.zeros((rows, width), np.uint8)
        shapes = [(g, 1) for g in geometry[np.sort(tree.query(box))]]
        if shapes:
            rasterize(shapes, out=labels, transform=here)
        return pixels, labels

    queue: deque = deque()
    with ThreadPoolExecutor(2) as pool, out.open("wb", buffering=0) as file:

        def write(pixels: np.ndarray, labels: np.ndarray) -> None:
            nonlocal count
            for col in range(0, width, SIZE):
                wide, rows = min(SIZE, width - col), len(labels)
                image, label = np.zeros((bands, SIZE, SIZE), dtype), np.zeros((SIZE, SIZE), np.uint8)
                image[:, :rows, :wide], label[:rows, :wide] = pixels[:, :, col : col + wide], labels[:, col : col + wide]
                file.write(image.data)
                file.write(label.data)
                count += 1

        for row in range(0, height, SIZE):
            queue.append(pool.submit(strip, row))
            if len(queue) >= 4:
                write(*queue.popleft().result())
        while queue:
            write(*queue.popleft().result())
        os.fsync(file.fileno())
    return count


def alone(*words: object) -> dict[str, float]:
    """What one side prints in a process of its own, begun with nothing left to be written to the disk."""
    os.sync()
    done = subprocess.run([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one_side(kind: str, folder: Path) -> None:
    """Prints samples, seconds, processor seconds and peak memory (MB) of the bare loop or of `swath sample`."""
    started, busy = time.monotonic(), time.process_time()
    if kind == "bare":
        samples = bare(folder / "image.tif", folder / "polygons.gpkg", folder / "bare.bin")
    else:
        samples = sample(load_project(folder / "roofs.yaml"), overwrite=True)["samples"]["trn"]
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    peak = int(Path("/proc/self/status").read_text("utf-8").split("VmHWM:")[1].split()[0]) / 1e3
    print(json.dumps({"samples": samples, "seconds": seconds, "busy": busy, "peak": peak}))


def made(folder: Path, side: int) -> Path:
    """A folder with raster, polygons and config."""
    folder.mkdir()
    sensor_raster(folder / "image.tif", side, side)
    building_polygons(folder / "polygons.gpkg", side, side, side * side // 2000)
    (folder / "scenes.csv").write_text("image,labels,split\nimage.tif,polygons.gpkg,trn\n")
    (folder / "roofs.yaml").write_text(CONFIG)
    return folder


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        whole = made(Path(name) / "whole", side)
        rounds: dict[str, list[dict[str, float]]] = {"bare": [], "swath": []}
        for _ in range(ROUNDS):
            for kind, found in rounds.items():
                found.append(alone(kind, whole))
                (whole / "bare.bin").unlink(missing_ok=True)  # nothing of an earlier round is left to be replaced
                shutil.rmtree(whole / "runs", ignore_errors=True)
        medians = {k: statistics.median(f["samples"] / f["seconds"] for f in found) for k, found in rounds.items()}
        busy = {k: statistics.median(f["busy"] for f in found) for k, found in rounds.items()}
        peer = torchgeo("sample", whole / "image.tif", whole / "polygons.gpkg", 24)
        count, peak = rounds["swath"][0]["samples"], max(f["peak"] for f in rounds["swath"])
        half = alone("swath", made(Path(name) / "half", side // 2))["peak"]
        print(json.dumps({
            "benchmark": "sampling", "side": side, "samples": count, "samples_per_second": {k: round(v, 1) for k, v in medians.items()},
            "ratio_to_bare": round(medians["swath"] / medians["bare"], 3),
            "ratio_of_processor_time": round(busy["bare"] / busy["swath"], 3),
            "ratio_to_torchgeo": round(medians["swath"] / peer, 1) if peer else None,
            "peak_mb": round(peak), "peak_mb_half_the_side": round(half), "ratio_of_peaks": round(peak / half, 3),
        }))  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one_side(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
