"""Claim: exact prediction by row streaming costs at most 1.2 times a zero-overlap tiling of the same raster, bands included.

Usage: exact.py [SIDE] [MODEL...]: a SIDE x SIDE raster (default 6000) of noise is predicted by both; both run the same
network in torch, float32, channels last. Prints one JSON line per network: seconds, ratio, and peak memory of the
streaming.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch

from swath.core.bands import Bands
from swath.core.legend import ClassEntry, Legend
from swath.disk.rasters.raster import RasterReader
from swath.engines.choose import choose
from swath.engines.predictor import TorchPredictor
from swath.engines.tiles import TilePlan, run_tiles
from swath.nets.network import model_card
from swath.nets.zoo import build_net
from swath.specs import ModelSpec, PredictSpec

MEMORIES = (2_000_000_000, 300_000_000)  # the second one forces bands of columns
NETWORKS = {"unet-16": ("unet", {"width": 16}), "smp-unet-resnet18": ("smp-unet", {"encoder": "resnet18"})}


def predictor_of(name: str, options: dict) -> TorchPredictor:
    """An untrained network with spread-out batch-norm statistics, as a trained one has."""
    torch.manual_seed(0)
    net = build_net(name, 3, 2, options).eval().to(memory_format=torch.channels_last)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    card = model_card(ModelSpec(name=name, **options), net, 3)
    legend = Legend((ClassEntry(0, "background", "#000000"), ClassEntry(1, "roof", "#ff0000")))
    bands = Bands((1, 2, 3), ("r", "g", "b"), (1 / 50,) * 3, (-2.5,) * 3)
    return TorchPredictor(net, bands, legend, card["stride"], card["radius"], torch.device("cpu"))


def noise_raster(path: Path, side: int) -> None:
    """A tiled uint8 raster of 3 bands of blocky noise."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, side, 512):
            rows = min(512, side - row)
            coarse = rng.integers(0, 256, (3, rows // 4 + 1, side // 4 + 1), np.uint8)
            block = coarse.repeat(4, 1).repeat(4, 2)[:, :rows, :side]
            out.write(block, window=rasterio.windows.Window(0, row, side, rows))


def walk(rows) -> tuple[float, int]:
    """Seconds and pixels of a pass."""
    started, pixels = time.monotonic(), 0
    for part in rows:
        pixels += part.scores.shape[1] * part.scores.shape[2]
    return time.monotonic() - started, pixels


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "noise.tif"
        noise_raster(path, side)
        for name in sys.argv[2:] or list(NETWORKS):
            predictor = predictor_of(*NETWORKS[name])
            reader = RasterReader.of(path, predictor.bands)
            plans = [choose(reader, predictor, PredictSpec(executor="rows", memory=m)) for m in MEMORIES]
            walks = [walk(plan.run(lambda _: None, {})) for plan in plans]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            plain, _ = walk(run_tiles(reader, predictor, TilePlan(1024, 0)))
            for plan, (ours, pixels) in zip(plans, walks, strict=True):
                print(json.dumps({"benchmark": "exact", "network": name, "side": side, "plan": plan.because,
                                  "seconds_rows": round(ours, 1), "seconds_plain_tiles": round(plain, 1),
                                  "ratio": round(ours / plain, 3), "pixels": pixels, "peak_mb": round(peak)}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
