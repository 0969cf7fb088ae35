"""Acceptance checks on grids of samples, filters and splits, each on files and through the verbs; names carry the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.cli import main
from swath.core.errors import ConfigError
from swath.core.splits import SPLITS
from swath.disk.projects.project import load_project
from swath.disk.samples.plan import plan_places
from swath.disk.samples.rastersamples import RasterSamples
from swath.disk.stores.store import StoreSamples
from swath.nets.batches import Batch, Batches, Crop

pytest_plugins = ["fixtures_run"]
ALL = ("split.by=none", "split.buffer=0")
LARGE = 10**10


def site(folder: Path, images: dict[str, NDArray[np.uint8]], splits: str = "", sample: str = "{}", classes: str = "1: roof") -> Path:
    """A config of label rasters by name, with an image of two bands for each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,labels,split"]
    rng = np.random.default_rng(0)
    for number, (name, labels) in enumerate(images.items()):
        place = Affine(0.5, 0, 583_000 + 1000 * number, 0, -0.5, 4_507_000)
        write_image(folder / f"{name}.tif", rng.integers(1, 900, (2, *labels.shape)).astype(np.uint16), place)
        write_image(folder / f"{name}_labels.tif", labels[None], place)
        rows.append(f"{name}.tif,{name}_labels.tif,{splits.split(',')[number] if splits else ''}")
    (folder / "scenes.csv").write_text("\n".join(rows) + "\n")
    text = f"scenes: scenes.csv\nclasses: {{{classes}}}\nsample: {sample}\nmodel: {{depth: 2, width: 4}}\n"
    (folder / "c.yaml").write_text(text + "runtime: {device: cpu, threads: 1}\n")
    return folder / "c.yaml"


def half(height: int, width: int) -> NDArray[np.uint8]:
    """Labels whose left half is class 1."""
    out = np.zeros((height, width), np.uint8)
    out[:, : width // 2] = 1
    return out


def test_gdl_023_and_gdl_069_tiles_of_512_with_a_stride_of_384(tmp_path: Path) -> None:
    project = load_project(site(tmp_path, {"a": half(1000, 1300)}, sample="{tile: 512, overlap: 0.25}"), ALL)
    places = plan_places(project, "trn")
    assert project.stride == 384
    assert {p.read.shape for p in places} == {(512, 512)}
    assert sorted({p.read.row for p in places}) == [0, 384, 488]
    assert sorted({p.read.col for p in places}) == [0, 384, 768, 788]
    assert load_project(tmp_path / "c.yaml", ["sample.overlap=128"]).stride == 384


@pytest.mark.parametrize(("side", "boxes", "inside"), [(300, 4, True), (200, 1, False), (250, 1, False), (256, 1, True)])
def test_nist_008_and_nist_009_last_tiles_slide_back_and_small_images_are_padded(
    side: int, boxes: int, inside: bool, tmp_path: Path
) -> None:
    config = site(tmp_path, {"a": half(side, side)}, sample="{tile: 256}")
    made = swath.sample(config, *ALL)
    samples = StoreSamples(Path(made["store"]), "trn")
    assert len(samples.places) == boxes
    assert all((p.read.row_end <= side and p.read.col_end <= side) is inside for p in samples.places)
    seen = np.zeros((side, side), bool)
    for i, place in enumerate(samples.places):
        sample, part = samples.read(i), place.read.clip(side, side)
        counts = np.zeros((256, 256), bool)
        counts[part.slices(place.read)] = True
        assert (sample.labels[~counts] == samples.legend.ignore).all()
        assert (sample.labels[counts] != samples.legend.ignore).all()
        seen[part.slices()] = True
    assert seen.all()
    padded = made["events"].get("pixel padded at the edge", 0)
    assert padded == (0 if inside else 256**2 - side**2)


def test_nist_009_an_image_of_250_pixels_is_kept_whole_unasked(tmp_path: Path) -> None:
    project = load_project(site(tmp_path, {"a": half(250, 250)}), ALL)
    samples = RasterSamples(project, "trn", LARGE)
    assert project.tile == 256
    assert len(samples.places) == 1
    assert int(samples.counts.sum()) == 250**2


def test_nist_030_images_of_several_sizes_train_with_a_crop(tmp_path: Path) -> None:
    config = site(tmp_path, {"a": half(40, 70), "b": half(96, 96), "c": half(130, 64)}, ",,val", sample="{tile: 64}")
    trained = swath.train(config, "train.crop=32", "train.steps=3", "train.evaluations=1", "train.batch_size=4", "split.buffer=0")
    assert Path(trained["bundle"]).is_dir()


FILTERED = {"a": (490, 0), "b": (500, 0), "c": (1200, 400), "d": (1000, 500), "e": (0, 1600)}  # pixels of 10,000


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        pytest.param("min_annotated: 0.05", "bcde", id="GDL-071"),
        pytest.param("class_min: {roof: 0.1, road: 0.05}", "d", id="GDL-072-all"),
        pytest.param("class_min: {roof: 0.1, road: 0.05}, class_mode: any", "cde", id="GDL-072-any"),
        pytest.param("min_annotated: 0.155, class_min: {road: 0.045}", "e", id="GDL-073"),
        pytest.param("min_annotated: 0", "abcde", id="GDL-071-none"),
    ],
)
def test_filters_judge_the_shares_of_the_whole_tile(rules: str, kept: str, tmp_path: Path) -> None:
    images = {}
    for name, (roofs, roads) in FILTERED.items():
        flat = np.zeros(10_000, np.uint8)
        flat[:roofs], flat[roofs : roofs + roads] = 1, 2
        images[name] = flat.reshape(100, 100)
    config = site(tmp_path, images, sample=f"{{tile: 100, {rules}}}", classes="1: roof, 2: road")
    made = swath.sample(config, *ALL)
    samples = StoreSamples(Path(made["store"]), "trn")
    assert "".join(samples.scene_names[p.scene] for p in samples.places) == kept
    assert sum(made["dropped"].values()) == len(FILTERED) - len(kept)


def test_gdl_063_labels_elsewhere_end_with_both_extents(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_squares(own_town.parent / "north.gpkg", squares(0), Affine(0.5, 0, 588_000, 0, -0.5, 4_507_000))
    assert main(["sample", str(own_town), "labels.extent=labels"]) == 3
    told = capsys.readouterr().err
    assert "588001" in told
    assert "583000" in told
    assert len(told.strip().splitlines()) == 1


def test_gdl_009_the_tiles_of_a_row_for_validation_are_all_in_val(tmp_path: Path) -> None:
    config = site(tmp_path, {"a": half(200, 200), "b": half(200, 200), "c": half(96, 96)}, "trn,val,tst", sample="{tile: 64}")
    store = Path(swath.sample(config)["store"])
    samples = {s: StoreSamples(store, s) for s in SPLITS}
    found = {s: {own.scene_names[p.scene] for p in own.places} for s, own in samples.items()}
    assert found == {"trn": {"a"}, "val": {"b"}, "tst": {"c"}}
    assert int(samples["val"].counts.sum()) == 200 * 200


def test_nist_046_the_test_split_has_to_be_a_real_one(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained.parent / "runs" / "roofs"
    assert main(["evaluate", str(run), str(trained.parent / "scenes.csv"), "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "tst"
    home = trained.parent
    (tmp_path / "none.csv").write_text(
        f"image,labels,split\n{home}/north.tif,{home}/north.gpkg,trn\n{home}/west.tif,{home}/west.gpkg,val\n"
    )
    assert main(["evaluate", str(run), str(tmp_path / "none.csv"), "--split", "test"]) == 3
    assert "no labelled scene is in this split; splits of the manifest: trn, val" in capsys.readouterr().err


def test_otb_027_and_gdl_079_ten_of_a_hundred_samples(tmp_path: Path) -> None:
    config = site(tmp_path, {"a": half(160, 160)}, sample="{tile: 16}")
    assert len(plan_places(load_project(config, ALL), "trn")) == 100

    def chosen(seed: int) -> list[tuple[int, int]]:
        made = swath.sample(config, *ALL, "sample.limit={trn: 10}", f"split.seed={seed}", f"output=runs/{seed}", overwrite=True)
        return [(p.read.row, p.read.col) for p in StoreSamples(Path(made["store"]), "trn").places]

    first = chosen(1)
    assert len(set(first)) == len(first) == 10
    assert chosen(1) == first
    assert set(chosen(2)) != set(first)


def test_trap_40_and_trap_42_seeds_are_kept_with_the_run(trained: Path) -> None:
    run = trained.parent / "runs" / "roofs"
    config = json.loads((run / "config.resolved.json").read_text())
    assert (config["split"]["seed"], config["train"]["seed"]) == (0, 0)


def test_trap_48_samplers_count_classes_once_and_read_no_labels(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = StoreSamples(trained.parent / "runs" / "roofs" / "samples.store", "trn")
    monkeypatch.setattr(StoreSamples, "read", lambda *_: pytest.fail("a sample was read"))
    for name in ("class_presence", "class_set", "pixel_weighted"):
        batches = Batches(samples, crop=16, batch_size=4, seed=0, ignore=samples.legend.ignore, stride=4, sampler=name)
        assert set(batches.draw(np.arange(50)).tolist()) <= set(range(len(samples.places)))


def test_roof_040_an_epoch_of_ten_images_by_four_sees_all_ten(tmp_path: Path) -> None:
    images = {f"i{n}": half(32, 32) for n in range(11)}
    config = site(tmp_path, images, ",".join(["trn"] * 10 + ["val"]), sample="{tile: 32}")
    drawn: list[int] = []
    plain = Batches._fill

    def noted(self: Batches, crops: Sequence[Crop], first: int, batch: Batch) -> None:
        drawn.extend(index for _, index, _ in crops)
        plain(self, crops, first, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "_fill", noted)
        trained = swath.train(config, "train.epochs=1", "train.evaluations=1", "train.batch_size=4", "runtime.workers=0")
    assert trained["steps"] == 3
    assert set(drawn[:12]) == set(range(10))


@pytest.mark.parametrize("verb", ["sample", "analyze", "train"])
def test_a_tile_that_no_memory_holds_is_named(verb: str, own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, str(own_town), "sample.tile=100000"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: sample.tile: a sample of 100,000 x 100,000 pixels takes")
    with pytest.raises(ConfigError, match=r"smaller sample\.tile"):
        swath.sample(own_town, "sample.tile=60000")


def test_a_crop_is_no_larger_than_a_sample_and_that_is_told(own_town: Path) -> None:
    project = load_project(own_town, ["train.crop=4096"])
    assert project.crop == 32
    assert ("train.crop", 32, "a sample has no more; 4096 was asked for") in project.reasons


def test_the_split_words_of_manifests_are_those_of_all(tmp_path: Path) -> None:
    found = squares(1)
    image = write_image(tmp_path / "a.tif", pixels(truth(found), 1), Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000))
    write_squares(tmp_path / "a.gpkg", found, Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000))
    from swath.core.splits import SPLIT_OF
    from swath.disk.scenes.manifest import read_manifest

    lines = "\n".join(f"{image.name},a.gpkg,{word.upper()}" for word in SPLIT_OF)
    (tmp_path / "m.csv").write_text(f"image,labels,split\n{lines}\n")
    assert [s.split for s in read_manifest(tmp_path / "m.csv")] == list(SPLIT_OF.values())


def test_tiles_larger_than_the_scenes_that_train_are_no_empty_store(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(own_town), "sample.edge=drop", "sample.tile=200"]) == 3
    assert "no tile of 200 pixels lies inside the scenes that train; use a smaller sample.tile" in capsys.readouterr().err
    assert not (own_town.parent / "runs" / "roofs" / "samples.store" / "card.json").exists()


def test_trap_52_a_batch_that_no_memory_holds_is_named(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(own_town), "train.batch_size=1000000", "train.steps=2"]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "train.batch_size: batches of 1,000,000 crops of 32 pixels, read ahead, take" in told[0]


@pytest.mark.parametrize("declared", ["Point", "Unknown"])
def test_trap_28_points_are_sparse_labels_whatever_the_layer_calls_them(declared: str, make_vector: Callable[..., Path], tmp_path: Path) -> None:
    """A GeoPackage may leave the kind of its geometries open; read as polygons they would make everything background."""
    found = squares(3)
    image = write_image(tmp_path / "a.tif", pixels(truth(found), 3), corner(0))
    at = [shapely.Point(corner(0) @ (c + 0.5, r + 0.5)) for r in range(4, 92, 8) for c in range(4, 92, 8)]
    kinds = [int(truth(found)[r, c]) for r in range(4, 92, 8) for c in range(4, 92, 8)]
    make_vector(tmp_path / "points.gpkg", at, {"class": kinds}, geometry_type=declared)
    (tmp_path / "scenes.csv").write_text(f"image,labels\n{image.name},points.gpkg\n")
    (tmp_path / "c.yaml").write_text("scenes: scenes.csv\nclasses: {field: class, 0: ground, 1: roof}\nsample: {tile: 32}\n")
    made = swath.sample(tmp_path / "c.yaml", *ALL)
    counts = StoreSamples(Path(made["store"]), "trn").counts
    assert counts.sum(0).tolist() == [kinds.count(0), kinds.count(1)]
