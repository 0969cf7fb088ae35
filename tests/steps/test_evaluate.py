"""Scores count every label pixel of a split once, by the map that `predict` would make."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tiny_town import SIDE, corner, pixels, squares, truth, write_image

import swath
from swath.core.errors import ConfigError, DataError
from swath.core.metrics import Confusion
from swath.core.windows import Window
from swath.disk.projects.project import load_project

pytest_plugins = ["fixtures_run"]
ON = ("runtime.device=cpu", "runtime.threads=1")
Fingerprint = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def ids(trained: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The map of every scene."""
    out = tmp_path_factory.mktemp("maps")
    found = {}
    for made in swath.predict(bundle, trained.parent / "scenes.csv", *ON, out=out)["maps"]:
        with rasterio.open(made["map"]) as image:
            found[Path(made["map"]).name.removesuffix("_map.tif")] = image.read(1)
    return found


def test_the_scores_are_those_of_the_map(trained: Path, bundle: Path, ids: dict[str, np.ndarray]) -> None:
    found = swath.evaluate(bundle, trained.parent / "scenes.csv", *ON)
    expected = Confusion.of(truth(squares(2)), ids["west"], 2)
    assert found["confusion"] == expected.counts.tolist()
    assert found["pixels"] == SIDE**2
    assert set(found["scenes"]) == {"west"}
    assert {"mean_iou", "mean_iou_foreground", "overall_accuracy", "kappa", "classes"} <= set(found)
    assert set(found["classes"]) == {"background", "roof"}
    assert {"iou", "f1", "precision", "recall", "pixels"} <= set(found["classes"]["roof"])
    counts = expected.counts
    assert found["classes"]["roof"]["iou"] == pytest.approx(counts[1, 1] / (counts.sum() - counts[0, 0]))


def test_all_scenes_add_up(trained: Path, bundle: Path, ids: dict[str, np.ndarray]) -> None:
    found = swath.evaluate(bundle, trained.parent / "scenes.csv", *ON, split=None)
    total = sum((Confusion.of(truth(squares(n)), ids[s], 2) for n, s in enumerate(("north", "south", "west"))), Confusion.zeros(2))
    assert found["confusion"] == total.counts.tolist()
    assert sum(s["pixels"] for s in found["scenes"].values()) == found["pixels"] == 3 * SIDE**2


@pytest.mark.parametrize("split", ["trn", "val"])
def test_a_config_scores_the_regions_of_its_splits(
    trained: Path, bundle: Path, ids: dict[str, np.ndarray], split: str
) -> None:
    found = swath.evaluate(bundle, trained, *ON, split=split)
    town, total = load_project(trained), Confusion.zeros(2)
    for i, name in enumerate(("north", "south")):
        region = town.region(i, split)  # type: ignore[arg-type]
        if region:
            labels = np.where(region.mask(Window(0, 0, SIDE, SIDE)), truth(squares(i)), 255)
            total = total + Confusion.of(labels, ids[name], 2)
    assert 0 < total.total < 2 * SIDE**2
    assert found["confusion"] == total.counts.tolist()


def test_a_run_scores_like_its_best_bundle(trained: Path, bundle: Path) -> None:
    manifest = trained.parent / "scenes.csv"
    run = swath.evaluate(bundle.parent, manifest, *ON)
    assert run["confusion"] == swath.evaluate(bundle, manifest, *ON)["confusion"]
    assert run["model"]["validation_mean_iou"] == pytest.approx(swath.train(trained)["best"]["mean_iou"])


def test_tiles_do_not_change_the_score(trained: Path, bundle: Path) -> None:
    manifest = trained.parent / "scenes.csv"
    found = [swath.evaluate(bundle, manifest, *ON, *w) for w in ((), ("predict.tile=40",), ("predict.executor=tiles",))]
    assert found[0]["confusion"] == found[1]["confusion"] == found[2]["confusion"]


def test_a_finished_map_is_scored_like_its_model(trained: Path, bundle: Path, tmp_path: Path) -> None:
    manifest = trained.parent / "scenes.csv"
    made = swath.predict(bundle, trained.parent / "west.tif", *ON, out=tmp_path / "out")["maps"][0]["map"]
    found = swath.evaluate(made, manifest)
    assert found["confusion"] == swath.evaluate(bundle, manifest, *ON)["confusion"]
    assert list(found["scenes"]) == ["west"]
    plain = write_image(tmp_path / "plain.tif", np.zeros((1, 9, 9), np.uint8), corner(0))
    with pytest.raises(DataError, match="does not say what its classes are"):
        swath.evaluate(plain, manifest)
    elsewhere = write_image(tmp_path / "far.tif", pixels(truth(squares(1)), 1), corner(50))
    far = swath.predict(bundle, elsewhere, *ON, out=tmp_path / "out")["maps"][0]["map"]
    with pytest.raises(DataError, match="no labelled scene has the map's grid"):
        swath.evaluate(far, manifest)


def test_a_map_without_place_is_scored_on_the_labels_of_its_image(bundle: Path, tmp_path: Path) -> None:
    rows = ["image,labels"]
    for n in range(3):
        ids = truth(squares(n))
        write_image(tmp_path / f"i{n}.tif", pixels(ids, n), None, None)
        write_image(tmp_path / f"y{n}.tif", ids[None], None, None)
        rows.append(f"i{n}.tif,y{n}.tif")
    manifest = tmp_path / "scenes.csv"
    manifest.write_text("\n".join(rows) + "\n")
    made = swath.predict(bundle, [tmp_path / f"i{n}.tif" for n in range(3)], *ON, out=tmp_path / "out")["maps"]
    each = swath.evaluate(bundle, manifest, *ON, split=None)["scenes"]
    for n in range(3):
        found = swath.evaluate(made[n]["map"], manifest)
        assert list(found["scenes"]) == [f"i{n}"]
        assert found["confusion"] == found["scenes"][f"i{n}"]["confusion"] == each[f"i{n}"]["confusion"]
    manifest.write_text("\n".join([rows[0], "i0.tif,y0.tif"]) + "\n")
    with pytest.raises(DataError, match="no labelled scene is of its image"):
        swath.evaluate(made[1]["map"], manifest)
    manifest.write_text("\n".join([rows[0], "i1.tif,y0.tif", "i1.tif,y1.tif"]) + "\n")
    with pytest.raises(DataError, match="2 labelled scenes fit: "):
        swath.evaluate(made[1]["map"], manifest)


def test_a_map_whose_image_was_written_anew_is_scored_by_its_place(trained: Path, bundle: Path, tmp_path: Path) -> None:
    made = swath.predict(bundle, trained.parent / "west.tif", *ON, out=tmp_path / "out")["maps"][0]["map"]
    write_image(tmp_path / "anew.tif", pixels(truth(squares(2)), 2), corner(2), compress="deflate")
    shutil.copy(trained.parent / "west.gpkg", tmp_path / "west.gpkg")
    (tmp_path / "scenes.csv").write_text("image,labels\nanew.tif,west.gpkg\n")
    assert list(swath.evaluate(made, tmp_path / "scenes.csv")["scenes"]) == ["anew"]


def test_pixels_without_data_and_ignored_labels_do_not_count(own_town: Path, bundle: Path) -> None:
    bands = pixels(truth(squares(2)), 2)
    bands[:, :10] = 0
    write_image(own_town.parent / "west.tif", bands, corner(2), nodata=0)
    found = swath.evaluate(bundle, own_town.parent / "scenes.csv", *ON)
    assert found["pixels"] == SIDE * (SIDE - 10)
    assert found["events"] == {"labelled pixel without image data left out": SIDE * 10}
    made = swath.predict(bundle, own_town.parent / "west.tif", *ON, out=own_town.parent / "out")["maps"][0]["map"]
    assert swath.evaluate(made, own_town.parent / "scenes.csv")["events"] == found["events"]
    write_image(own_town.parent / "west.tif", bands * 0, corner(2), nodata=0)
    with pytest.raises(DataError, match="no labelled pixel has a prediction"):
        swath.evaluate(bundle, own_town.parent / "scenes.csv", *ON)


def test_a_class_without_pixels_has_no_score_and_no_part_in_the_mean(own_town: Path, bundle: Path) -> None:
    write_image(own_town.parent / "west.tif", pixels(np.zeros((SIDE, SIDE), np.uint8), 2), corner(2))
    write_image(own_town.parent / "mask.tif", np.zeros((1, SIDE, SIDE), np.uint8), corner(2))
    (own_town.parent / "scenes.csv").write_text("image,labels,split\nwest.tif,mask.tif,tst\n")
    found = swath.evaluate(bundle, own_town.parent / "scenes.csv", *ON)
    roof, ground = found["classes"]["roof"], found["classes"]["background"]
    assert roof["recall"] is None
    assert roof["iou"] == (0 if roof["predicted"] else None)
    assert found["mean_iou"] == ground["iou"] / (2 if roof["predicted"] else 1)


def test_a_split_without_scenes(trained: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match="splits of the manifest: trn, tst"):
        swath.evaluate(bundle, trained.parent / "scenes.csv", *ON, split="val")
    with pytest.raises(ConfigError, match="tset: is no split; did you mean 'tst'"):
        swath.evaluate(bundle, trained.parent / "scenes.csv", *ON, split="tset")


def test_evaluating_writes_nothing(own_town: Path, bundle: Path, fingerprint: Fingerprint) -> None:
    before = fingerprint(own_town.parent), fingerprint(bundle)
    swath.evaluate(bundle, own_town.parent / "scenes.csv", *ON, split=None)
    assert (fingerprint(own_town.parent), fingerprint(bundle)) == before
