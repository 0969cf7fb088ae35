"""What torchgeo reaches on the same raster: run by `loading.py` and `sampling.py` with the Python of `.venv-peers`.

Usage: peer_torchgeo.py load IMAGE MASK COUNT | sample IMAGE POLYGONS COUNT. Prints one JSON line: samples per second.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, VectorDataset, stack_samples
from torchgeo.samplers import GridGeoSampler, RandomGeoSampler

warnings.filterwarnings("ignore")


def datasets(image: str, labels: str):
    """The image and its mask or polygons, intersected."""

    class Image(RasterDataset):
        filename_glob = Path(image).name

    class Mask(RasterDataset):
        filename_glob = Path(labels).name
        is_image = False

    class Polygons(VectorDataset):
        filename_glob = Path(labels).name

    pictures = Image(image)
    return pictures & (Mask(labels) if labels.endswith(".tif") else Polygons(labels, res=pictures.res))


def load(image: str, mask: str, count: int) -> float:
    """Random crops of 256 in batches of 16, in this process (workers are slower on two cores)."""
    data = datasets(image, mask)
    sampler = RandomGeoSampler(data, size=256, length=count, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(data, batch_size=16, sampler=sampler, collate_fn=stack_samples)
    started = time.monotonic()
    seen = sum(len(batch["image"]) for batch in loader)
    return seen / (time.monotonic() - started)


def sample(image: str, polygons: str, count: int) -> float:
    """The first tiles of 512 on a grid with their burnt polygons, each written as one npz."""
    data = datasets(image, polygons)
    started, done = time.monotonic(), 0
    out = Path(polygons).parent / "torchgeo"
    out.mkdir(exist_ok=True)
    for place in GridGeoSampler(data, size=512, stride=512):
        found = data[place]
        np.savez(out / f"{done}.npz", image=found["image"].numpy().astype("uint16"), mask=found["mask"].numpy().astype("uint8"))
        done += 1
        if done == count:
            break
    return done / (time.monotonic() - started)


if __name__ == "__main__":
    verb, image, labels, count = sys.argv[1:5]
    speed = {"load": load, "sample": sample}[verb](image, labels, int(count))
    print(json.dumps({"samples_per_second": round(speed, 2)}))
