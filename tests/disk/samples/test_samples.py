"""Samples hold the pixels and labels of their windows; each label pixel counts for one split, outside training once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_town import SIDE, corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.core.splits import SPLITS, Split
from swath.core.windows import Window
from swath.disk.projects.project import Project, load_project
from swath.disk.samples.plan import fit_image, plan_places, scene_bands
from swath.disk.samples.rastersamples import RasterSamples
from swath.disk.stores.sample import Sample, class_counts, cut
from swath.disk.stores.store import StoreSamples

pytest_plugins = ["fixtures_run"]
Projects = Callable[..., Project]
LARGE = 10**9


def counted(project: Project, split: Split) -> list[NDArray[Any]]:
    """How often each label pixel of each scene counts in the samples of a split."""
    found = [np.zeros(info.grid.shape, int) for info in project.infos]
    samples = RasterSamples(project, split, LARGE)
    for i, place in enumerate(samples.places):
        labels = samples.read(i).labels
        inside = place.read.clip(*project.infos[place.scene].grid.shape)
        found[place.scene][inside.slices()] += labels[inside.slices(place.read)] != project.legend.ignore
    return found


@pytest.mark.parametrize("overrides", [(), ("sample.tile=48", "split.tst=0.2", "split.buffer=3"), ("sample.tile=80",)])
def test_held_out_label_pixels_count_once(project: Projects, overrides: tuple[str, ...]) -> None:
    town = project(*overrides)
    whole = Window(0, 0, SIDE, SIDE)
    for split in ("val", "tst"):
        expected = [r.mask(whole) if (r := town.region(i, split)) else np.zeros((SIDE, SIDE), bool) for i in range(3)]
        for found, mask in zip(counted(town, split), expected, strict=True):
            assert np.array_equal(found, mask.astype(int))
    for found, trn in zip(counted(town, "trn"), [town.region(i, "trn") for i in range(3)], strict=True):
        assert np.array_equal(found > 0, trn.mask(whole) if trn else np.zeros_like(found, bool))


@pytest.mark.parametrize("overrides", [(), ("sample.tile=80", "sample.overlap=0.5", "sample.edge=pad")])
def test_store_and_rasters_give_the_same_samples(own_town: Path, overrides: tuple[str, ...]) -> None:
    swath.sample(own_town, *overrides)
    town = load_project(own_town, overrides)
    for split in SPLITS:
        packed = StoreSamples(town.store_dir, split)
        for memory in (1, LARGE):
            direct = RasterSamples(town, split, memory)
            assert direct.keep == (memory == LARGE)
            assert list(packed.places) == list(direct.places)
            assert list(packed.scene_names) == list(direct.scene_names)
            for i in range(len(packed.places)):
                for part in (None, Window(3, 5, 20, 11)):
                    a, b = packed.read(i, part), direct.read(i, part)
                    for name in ("image", "labels", "valid"):
                        assert np.array_equal(getattr(a, name), getattr(b, name))
                        assert getattr(a, name).dtype == getattr(b, name).dtype


def test_a_sample_is_the_raster_in_its_window(project: Projects) -> None:
    town = project("split.buffer=0")
    samples = RasterSamples(town, "trn", LARGE)
    for i, place in enumerate(samples.places):
        found, label = samples.read(i), truth(squares(place.scene))
        rows, cols = place.read.slices()
        assert np.array_equal(found.image, pixels(label, place.scene)[:, rows, cols])
        used = town.region(place.scene, "trn").mask(place.read)  # type: ignore[union-attr]
        assert np.array_equal(found.labels, np.where(used, label[rows, cols], 255))
        assert found.valid.all()


def large_scene(folder: Path, side: int, edge: str) -> Project:
    """A project of one test scene of `side` pixels with tiles of 512, and one to train on."""
    for name, seed in (("a", 1), ("b", 2)):
        found = squares(seed, side)
        write_image(folder / f"{name}.tif", pixels(truth(found, side, side), seed), corner(seed))
        write_squares(folder / f"{name}.gpkg", found, corner(seed))
    (folder / "scenes.csv").write_text("image,labels,split\na.tif,a.gpkg,trn\nb.tif,b.gpkg,val\n")
    text = f"scenes: scenes.csv\nclasses: {{1: roof}}\nsample: {{tile: 512, edge: {edge}}}\n"
    (folder / "c.yaml").write_text(text)
    return load_project(folder / "c.yaml")


@pytest.mark.parametrize(("edge", "boxes"), [("pad", 4), ("shift", 4), ("drop", 1)])
def test_gdl_070_edge_tiles(tmp_path: Path, edge: str, boxes: int) -> None:
    town = large_scene(tmp_path, 600, edge)
    samples = RasterSamples(town, "trn", LARGE)
    assert len(samples.places) == boxes
    for i, place in enumerate(samples.places):
        found = samples.read(i)
        inside = np.zeros((512, 512), bool)
        inside[place.read.clip(600, 600).slices(place.read)] = True
        assert (found.labels[~inside] == 255).all()
        assert (found.labels[inside] != 255).all()
        assert np.array_equal(found.valid, inside)
        assert (found.image[:, ~inside] == 0).all()
    reached = {p.read.row_end for p in samples.places}
    assert max(reached) == {"pad": 1024, "shift": 600, "drop": 512}[edge]
    if edge != "drop":
        assert counted(town, "trn")[0].min() == 1


def test_pixels_without_data_have_no_label(own_town: Path) -> None:
    bands = pixels(truth(squares(0)), 0)
    bands[:, 10:20, 30:50] = 0
    bands[0, 60, 60] = 0
    write_image(own_town.parent / "north.tif", bands, corner(0), nodata=0)
    town = load_project(own_town, ["split.buffer=0"])
    seen = counted(town, "trn")[0] + counted(town, "val")[0]
    assert (seen[10:20, 30:50] == 0).all()
    assert seen.sum() == SIDE**2 - 200
    assert seen[60, 60] == 1


def test_parts_are_views() -> None:
    image = np.arange(48).reshape(3, 4, 4)
    sample = Sample(image, image[0], image[0] > 3)
    part = cut(sample, Window(1, 2, 3, 2))
    assert np.array_equal(part.image, image[:, 1:4, 2:4])
    assert np.shares_memory(part.image, image)
    assert cut(sample, None) is sample


def test_scaling_by_image_is_fitted_once_per_scene(own_town: Path) -> None:
    town = load_project(own_town, ["bands.scope=image"])
    of = scene_bands(town, town.bands)
    for scene in range(3):
        raw, valid = town.reader(scene).read(Window(0, 0, SIDE, SIDE))
        scaled = of(scene).scale(raw, valid)
        assert np.allclose(scaled.mean((1, 2)), 0, atol=1e-4)
        assert np.allclose(scaled.std((1, 2)), 1, atol=1e-4)
        assert of(scene) is of(scene)
    same = scene_bands(town, load_project(own_town).bands)
    assert same(0) is same(2)


def test_an_image_without_data_keeps_its_scaling(own_town: Path) -> None:
    write_image(own_town.parent / "north.tif", np.zeros((3, SIDE, SIDE), np.uint16), corner(0), nodata=0)
    town = load_project(own_town)
    assert fit_image(town.reader(0), town.bands) is town.bands


def test_places_of_all_splits_partition_the_scenes(project: Projects) -> None:
    town = project()
    assert {p.split for s in SPLITS for p in plan_places(town, s)} == set(SPLITS)
    assert {p.scene for p in plan_places(town, "tst")} == {2}


def test_class_counts_leave_out_what_is_ignored(project: Projects) -> None:
    labels = np.array([[0, 1, 1], [255, 255, 0]], np.uint8)
    assert class_counts(labels, project().legend).tolist() == [2, 2]
