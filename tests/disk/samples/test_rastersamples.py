"""Samples decoded region by region are those of their windows; regions follow the raster's blocks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

from swath.core.windows import Window
from swath.disk.projects.project import Project, load_project
from swath.disk.rasters.raster import RasterReader
from swath.disk.samples.rastersamples import RasterSamples, region_numbers, visits
from swath.disk.samples.strips import STRIP_PIXELS, read_places, strips
from swath.disk.stores.sample import Place
from swath.nets.batches import Batch, Batches

pytest_plugins = ["fixtures_run"]
Projects = Callable[..., Project]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One training scene of 2,100 x 2,600 pixels in tiles of 256, cut into samples of 256, and one for validation."""
    folder = tmp_path_factory.mktemp("wide")
    for name, seed, height, width in (("a", 1, 2100, 2600), ("b", 2, 256, 256)):
        found = squares(seed, max(height, width))
        labels = truth(found, max(height, width), max(height, width))[:height, :width]
        write_image(folder / f"{name}.tif", pixels(labels, seed), corner(seed), tiled=True, blockxsize=256, blockysize=256)
        write_squares(folder / f"{name}.gpkg", found, corner(seed))
    (folder / "scenes.csv").write_text("image,labels,split\na.tif,a.gpkg,trn\nb.tif,b.gpkg,val\n")
    (folder / "c.yaml").write_text("scenes: scenes.csv\nclasses: {1: roof}\nsample: {tile: 256}\n")
    return load_project(folder / "c.yaml")


def feed(project: Project, memory: int, cache: str, steps: int, first: int = 0, workers: int = 2) -> list[list[np.ndarray]]:
    """The arrays of some batches of crops of 64, drawn by `blocks`."""
    samples = RasterSamples(project, "trn", memory, cache)
    made = Batches(samples, crop=64, batch_size=8, seed=3, ignore=255, stride=4, sampler="blocks", workers=workers)
    row = made.ahead(first)
    found = [[x.numpy().copy() for x in (b.image, b.labels, b.valid)] for b in islice(row, steps)]
    row.close()
    return found


def test_otb_024_decoded_regions_give_the_same_crops_as_memory(wide: Project) -> None:
    steps = 20  # more than an epoch
    kept = feed(wide, 10**9, "ram", steps)
    for memory, workers in ((1, 2), (1, 0), (30_000_000, 2), (10**8, 0), (10**8, 1), (10**8, 4)):
        direct = feed(wide, memory, "none", steps, workers=workers)
        assert all(np.array_equal(a, b) for x, y in zip(kept, direct, strict=True) for a, b in zip(x, y, strict=True))


def test_a_feed_goes_on_at_any_step(wide: Project) -> None:
    whole = feed(wide, 10**8, "none", 30)
    late = feed(wide, 10**8, "none", 9, first=21)
    assert all(np.array_equal(a, b) for x, y in zip(whole[21:], late, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_region_is_decoded_once_for_its_crops(workers: int, wide: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = RasterSamples(wide, "trn", 10**8, "none")
    read: Counter[Window] = Counter()
    lock = threading.Lock()
    plain = RasterReader.read

    def counted(self: RasterReader, window: Window) -> object:
        with lock:
            read[window] += 1
        return plain(self, window)

    monkeypatch.setattr(RasterReader, "read", counted)
    made = Batches(samples, crop=64, batch_size=8, seed=3, ignore=255, stride=4, sampler="blocks", workers=workers)
    row = made.ahead(0)
    taken = sum(1 for _ in islice(row, made.epoch // 8))
    row.close()
    regions = samples.regions.max() + 1
    assert regions == 6
    assert made.epoch == len(samples.places)  # some 16 samples a region: one crop each
    assert taken * 8 > 6 * sum(read.values())
    assert max(read.values()) <= 2  # the next epoch has begun


@pytest.mark.parametrize("workers", [0, 2])
def test_no_thread_outlives_its_feed(workers: int, wide: Project) -> None:
    samples = RasterSamples(wide, "trn", 10**8, "none")
    row = Batches(samples, crop=64, batch_size=8, seed=3, ignore=255, stride=4, sampler="blocks", workers=workers).ahead(0)
    assert isinstance(next(row), Batch)
    assert any(t.name.startswith("swath-decode") for t in threading.enumerate())
    row.close()
    assert not any(t.name.startswith("swath") for t in threading.enumerate())


def test_regions_follow_the_blocks(wide: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place(0, "trn", Window(r, c, 256, 256), Window(r, c, 256, 256)) for r in (0, 900, 1100) for c in (0, 1000, 1030)]
    assert region_numbers(wide, places).tolist() == [0, 0, 1, 0, 0, 1, 2, 2, 3]
    info = wide.infos[0]
    monkeypatch.setitem(wide.__dict__, "infos", (type(info)(**{**info.__dict__, "block": (1, 2600)}), *wide.infos[1:]))
    assert region_numbers(wide, places).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("side", "crop", "members", "expected"),
    [(512, 256, 4, 4), (256, 256, 4, 1), (512, 128, 4, 4), (64, 256, 90, 1), (512, 512, 1, 1), (1024, 128, 1, 16)],
)
def test_an_epoch_covers_a_sample_once_by_at_most_16_crops_a_region(side: int, crop: int, members: int, expected: int) -> None:
    assert visits(side, crop, members) == expected


def test_strips_join_neighbours_of_a_row() -> None:
    def place(row: int, col: int, scene: int = 0, split: str = "trn", side: int = 512) -> Place:
        box = Window(row, col, side, side)
        return Place(scene, split, box, box)  # type: ignore[arg-type]

    row = [place(0, c) for c in range(0, 6144, 512)]
    assert [len(g) for g in strips(row)] == [STRIP_PIXELS // 512**2, 4]
    apart = [place(0, 0), place(0, 2000), place(0, 2512, 1), place(0, 3024, 1, "val"), place(512, 3536, 1, "val")]
    assert [len(g) for g in strips(apart)] == [1] * 5
    assert [len(g) for g in strips([place(0, 0, side=4096), place(0, 4096, side=4096)])] == [1, 1]
    assert strips([]) == []


def test_strips_give_what_single_reads_give(project: Projects) -> None:
    town = project("sample.tile=48", "sample.overlap=0.5", "split.tst=0.2", "split.buffer=3")
    for split in ("trn", "val", "tst"):
        samples = RasterSamples(town, split, 10**9)  # type: ignore[arg-type]
        for i, place in enumerate(samples.places):
            alone = samples.source.read(place, place.read)
            for name in ("image", "labels", "valid"):
                assert np.array_equal(getattr(samples.read(i), name), getattr(alone, name))


def test_a_broken_raster_is_told_and_leaves_no_thread(own_town: Path) -> None:
    town = load_project(own_town)
    samples = RasterSamples(town, "trn", 10**9)
    broken = read_places(samples.source, list(samples.places), lambda sample: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(broken)
    assert not any(t.name.startswith("swath") for t in threading.enumerate())
