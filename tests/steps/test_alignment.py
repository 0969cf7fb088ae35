"""Image and label stay on each other through every geometric step, and no step makes a label value of its own.

The image is a twin of the label: each of its pixels tells the class that must lie on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from tiny_town import corner, write_image

import swath
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.windows import Edge, Window
from swath.disk.projects.project import load_project
from swath.disk.samples.rastersamples import RasterSamples
from swath.disk.scenes.labels import RasterLabels
from swath.disk.sources.images import image_reader
from swath.disk.sources.stack import Files, Stack
from swath.disk.stores.store import StoreSamples
from swath.steps.chip import chip
from swath.steps.mosaic import mosaic

IDS = (0, 3, 7, 200)
IGNORE = 255
CORNER = corner(0)
UTM = CRS("EPSG:32618").to_wkt()
EDGES = st.sampled_from(["shift", "pad", "drop", "keep"])
LEGEND = Legend(tuple(ClassEntry(n, f"class {n}", "#000000", (n,)) for n in IDS), "ignore", (IGNORE,))


def classes(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Class ids (H, W) in patches of a few pixels, some ignored."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([*IDS, IGNORE], np.uint8), (-(-height // 3), -(-width // 2)))
    return coarse.repeat(3, 0).repeat(2, 1)[:height, :width]


def twin(labels: NDArray[Any]) -> NDArray[np.uint16]:
    """An image of two bands from which the label can be told, never 0."""
    wide = labels.astype(np.uint16)
    return np.stack([wide * 10 + 5, 4000 - wide * 10])


def write(path: Path, array: NDArray[Any], transform: Affine = CORNER, crs: str = UTM, **more: Any) -> Path:
    bands = array[None] if array.ndim == 2 else array
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **more) as out:
        out.write(bands)
    return path


def read(path: Path) -> tuple[NDArray[Any], NDArray[Any], Affine]:
    with rasterio.open(path) as file:
        return file.read(), file.dataset_mask() > 0, file.transform


@settings(max_examples=20)
@given(st.integers(3, 45), st.integers(3, 45), st.integers(9, 30), st.integers(0, 15), EDGES, st.integers(0, 99))
def test_chips_and_mosaics(height: int, width: int, size: int, overlap: int, edge: Edge, seed: int) -> None:
    labels, stride = classes(height, width, seed), size - min(overlap, size // 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, array in (("image", twin(labels)), ("labels", labels)):
            chip(write(folder / f"{kind}.tif", array), folder / kind, size=size, stride=stride, edge=edge, pattern="{row}_{col}.tif")
        images, masks = (sorted((folder / kind).glob("*.tif")) for kind in ("image", "labels"))
        assert [p.name for p in images] == [p.name for p in masks]
        for one, other in zip(images, masks, strict=True):
            pixels, valid, transform = read(one)
            ids, known, place = read(other)
            assert transform == place
            assert np.array_equal(valid, known)
            assert np.array_equal(pixels[:, valid], twin(ids[0])[:, valid])
            assert set(np.unique(ids[0][known])) <= set(np.unique(labels))
        if edge == "drop":  # what is left out cannot come back
            return
        for kind in ("image", "labels"):
            mosaic(folder / kind, folder / f"{kind}_again.tif")
        pixels, valid, transform = read(folder / "image_again.tif")
        ids, known, place = read(folder / "labels_again.tif")
        assert transform == place
        assert np.array_equal(valid, known)
        inside = pixels[:, :height, :width][:, valid[:height, :width]]
        assert np.array_equal(inside, twin(labels)[:, valid[:height, :width]])
        assert np.array_equal(pixels[:, valid], twin(ids[0])[:, valid])
        assert valid[:height, :width].all()


@settings(max_examples=15)
@given(st.integers(17, 60), st.integers(17, 60), st.sampled_from(["shift", "pad", "drop"]), st.sampled_from([8, 16]), st.integers(0, 99))
def test_samples_of_rasters_and_stores(height: int, width: int, edge: str, tile: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, truth = Path(name), {}
        for number, (scene, split) in enumerate((("a", "trn"), ("b", "val"))):
            truth[split] = classes(height, width, seed + number)
            truth[split][:2, :2] = 3  # at least one class everywhere
            write_image(folder / f"{scene}.tif", twin(truth[split]), corner(number))
            write(folder / f"{scene}_y.tif", truth[split], corner(number))
        (folder / "scenes.csv").write_text("image,labels,split\na.tif,a_y.tif,trn\nb.tif,b_y.tif,val\n")
        named = ", ".join(f"{n}: class{n}" for n in IDS)
        (folder / "c.yaml").write_text(f"scenes: scenes.csv\nclasses: {{{named}, ignore: [255], unlabelled: ignore}}\n"
                                       f"sample: {{tile: {tile}, edge: {edge}, max_nodata: 1}}\nmodel: {{depth: 2, width: 4}}\n")  # fmt: skip
        project = load_project(folder / "c.yaml")
        store = Path(swath.sample(folder / "c.yaml")["store"])
        for split in ("trn", "val"):
            everywhere = RasterSamples(project, split, np.iinfo(np.int64).max)  # type: ignore[arg-type]
            reached = np.zeros((height, width), bool)
            for samples in (everywhere, StoreSamples(store, split)):  # type: ignore[arg-type]
                for i, place in enumerate(samples.places):
                    found = samples.read(i)
                    known = found.labels != IGNORE
                    assert (found.valid | ~known).all()
                    ids = np.array(IDS)[found.labels[known]]
                    assert np.array_equal(found.image[:, known], twin(ids))
                    assert set(ids) <= set(np.unique(truth[split]))
                    inside = place.read.clip(height, width)
                    assert np.array_equal(found.image[(slice(None), *inside.slices(place.read))], twin(truth[split])[(slice(None), *inside.slices())])
                    core = place.core.clip(height, width)
                    reached[core.slices()] = True
            if edge != "drop" or split == "val":
                labelled = np.isin(truth[split], IDS)  # a sample of ignored pixels alone is left out
                assert reached[labelled].all(), "the samples cover every labelled pixel"


@settings(max_examples=40)
@given(st.floats(0.4, 3), st.floats(-6, 6), st.floats(-6, 6), st.floats(-40, 40), st.sampled_from([32618, 32617, 4326]), st.integers(0, 99))
def test_warped_labels_and_warped_sources(zoom: float, dx: float, dy: float, angle: float, code: int, seed: int) -> None:
    """Labels and an image on a grid of their own: both come to the reference's grid by the same way."""
    labels = classes(40, 50, seed)
    off = dx + 0.0137, dy + 0.0291  # no pixel's centre on an edge of the other grid, where two neighbours are equally near
    at = corner(0) @ Affine.translation(*off) @ Affine.rotation(angle) @ Affine.scale(zoom)
    if code != 32618:  # the affine that is closest to the same place in another system
        move = Transformer.from_crs(32618, code, always_xy=True)
        ends = np.array([at @ p for p in ((0, 0), (50, 0), (0, 40))])
        xs, ys = move.transform(ends[:, 0], ends[:, 1])
        at = Affine((xs[1] - xs[0]) / 50, (xs[2] - xs[0]) / 40, xs[0], (ys[1] - ys[0]) / 50, (ys[2] - ys[0]) / 40, ys[0])
    grid = Grid(UTM, corner(0), 45, 55)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crs = CRS(code).to_wkt()
        mask = write(folder / "mask.tif", labels, at, crs)
        other = write(folder / "twin.tif", twin(labels), at, crs)
        base = write(folder / "base.tif", np.ones((45, 55), np.uint8))
        found = RasterLabels(mask, grid, LEGEND, Events())
        indices = found.read(Window(0, 0, 45, 55))
        known = indices != LEGEND.ignore
        ids = LEGEND.to_ids(indices)[known]
        assert set(ids) <= set(np.unique(labels)) - {IGNORE}
        stack = Stack((Files("image", (base,)), Files("b", (other,), resample="nearest")))
        raw, valid = image_reader(stack).read(Window(0, 0, 45, 55))
        both = known & valid
        apart = (raw[1:, both] != twin(LEGEND.to_ids(indices)[both])).any(0)
        assert apart.sum() <= 0.02 * apart.size + 2, "nearest neighbours differ only where two are equally near"
        parts = [found.read(Window(r, c, 15, 11)) for r in range(0, 45, 15) for c in range(0, 55, 11)]
        rows = [np.concatenate(parts[n : n + 5], 1) for n in range(0, 15, 5)]
        assert np.array_equal(np.concatenate(rows), indices), "no window differs from the whole"


@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_a_marker_stays_in_its_place(tmp_path: Path, resample: str) -> None:
    """Golden: a square of known coordinates, written at twice the pixel size, on the reference grid."""
    coarse = np.zeros((20, 25), np.uint8)
    coarse[6:9, 10:14] = 200
    at = corner(0) @ Affine.scale(2)
    files: Callable[[str], Path] = lambda kind: write(tmp_path / f"{kind}.tif", coarse, at)  # noqa: E731
    base = write(tmp_path / "base.tif", np.ones((40, 50), np.uint8))
    stack = Stack((Files("image", (base,)), Files("b", (files("image"),), resample=resample)))  # type: ignore[arg-type]
    raw, _ = image_reader(stack).read(Window(0, 0, 40, 50))
    labels = RasterLabels(files("labels"), Grid(UTM, corner(0), 40, 50), LEGEND, Events())
    golden = np.zeros((40, 50), bool)
    golden[12:18, 20:28] = True
    assert np.array_equal(LEGEND.to_ids(labels.read(Window(0, 0, 40, 50))) == 200, golden)
    assert np.array_equal(raw[1] > 100, golden)
