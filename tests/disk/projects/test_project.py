"""What a config leaves open is decided from the data, with reasons, and no label pixel lands in two splits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_town import CONFIG, SIDE, corner, pixels, squares, truth, write_image, write_squares

from swath.core.errors import ConfigError, DataError
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.projects.allotment import class_pixels
from swath.disk.projects.project import Project, fit_bands, load_project

pytest_plugins = ["fixtures_run"]
Projects = Callable[..., Project]
SHORT = "scenes: scenes.csv\nclasses: {field: class, 1: roof}\n"


def reasons(project: Project) -> dict[str, tuple[object, str]]:
    return {key: (value, because) for key, value, because in project.settle()}


def masks(project: Project, scene: int) -> dict[str, np.ndarray]:
    """Per split the label pixels (H, W) of a scene that it may use."""
    whole = Window(0, 0, *project.infos[scene].grid.shape)
    return {s: r.mask(whole) for s in SPLITS if (r := project.region(scene, s))}


def test_sizes_and_splits_are_decided_from_the_data(own_town: Path) -> None:
    own_town.write_text(SHORT)
    found = reasons(load_project(own_town))
    assert found["sample.tile"] == (96, "scenes are about 96 pixels wide; at most 512")
    assert found["train.crop"][0] == 96
    assert found["split.by"] == ("block", "2 training scenes: too few")
    assert found["split.block"][0] == 32
    assert all(because for _, because in found.values())


def test_every_setting_is_told_once_and_given_ones_are_not(own_town: Path) -> None:
    keys = [key for key, _, _ in load_project(own_town).settle()]
    assert len(keys) == len(set(keys))
    assert not {"sample.tile", "model.depth", "train.steps", "split.buffer"} & set(keys)
    assert {"train.loss", "predict.margin", "bands.nodata", "train.crop"} <= set(keys)


@pytest.mark.parametrize(("side", "tile"), [(20, 32), (96, 96), (100, 112), (600, 512)])
def test_the_tile_follows_the_scenes(tmp_path: Path, side: int, tile: int) -> None:
    found = squares(1, max(side, 48))
    labels = truth(found, max(side, 48), max(side, 48))[:side, :side]
    write_image(tmp_path / "a.tif", pixels(labels, 1), corner(1))
    write_squares(tmp_path / "a.gpkg", found, corner(1))
    (tmp_path / "c.yaml").write_text("scenes: [{image: a.tif, labels: a.gpkg}]\nclasses: {1: roof}\n")
    assert load_project(tmp_path / "c.yaml").tile == tile


@pytest.mark.parametrize("overrides", [(), ("split.tst=0.2",), ("split.buffer=0",), ("split.by=scene",)])
def test_no_label_pixel_belongs_to_two_splits(project: Projects, overrides: tuple[str, ...]) -> None:
    town = project(*overrides)
    for scene in range(3):
        found = masks(town, scene)
        assert np.sum(list(found.values()), axis=0).max() == 1
    assert masks(town, 2)["tst"].all()
    assert any("val" in masks(town, scene) for scene in (0, 1))


def test_a_buffer_around_held_out_blocks_trains_nothing(project: Projects) -> None:
    town = project("split.buffer=8")
    cut = [i for i in (0, 1) if town.region(i, "val")]
    assert cut
    for scene in cut:
        trn, val = masks(town, scene)["trn"], masks(town, scene)["val"]
        rows, cols = np.nonzero(val)
        near = np.zeros_like(val)
        for dr in range(-8, 9):
            for dc in range(-8, 9):
                r, c = rows + dr, cols + dc
                inside = (r >= 0) & (r < SIDE) & (c >= 0) & (c < SIDE)
                near[r[inside], c[inside]] = True
        assert np.array_equal(trn, ~near)


def test_the_share_held_out_is_about_what_was_asked(project: Projects) -> None:
    town = project("split.val=0.25", "split.buffer=0")
    held = sum(masks(town, i)["val"].sum() for i in (0, 1) if town.region(i, "val"))
    assert held / (2 * SIDE**2) == pytest.approx(0.25, abs=0.06)


def test_many_scenes_are_held_out_whole(own_town: Path) -> None:
    rows = ["image,labels"]
    for n in range(9):
        shutil.copy(own_town.parent / "north.tif", own_town.parent / f"s{n}.tif")
        rows.append(f"s{n}.tif,north.gpkg")
    (own_town.parent / "scenes.csv").write_text("\n".join(rows))
    town = load_project(own_town)
    held = [i for i in range(9) if town.region(i, "val")]
    assert len(held) == 1
    assert [s for s in SPLITS if town.region(held[0], s)] == ["val"]
    assert reasons(town)["split.by"] == ("scene", "9 training scenes: enough to hold out whole ones")


def test_gdl_009_val_rows_are_the_validation_and_nothing_is_carved(own_town: Path) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text(manifest.read_text().replace("south.gpkg,trn", "south.gpkg,val"))
    town = load_project(own_town)
    assert [[r.split for r in regions] for regions in town.regions] == [["trn"], ["val"], ["tst"]]
    assert town.region(0, "trn").mask(Window(0, 0, SIDE, SIDE)).all()  # type: ignore[union-attr]
    assert "split.by" not in {key for key, _, because in town.reasons}


def test_without_labels_or_training_scenes_there_is_no_project(own_town: Path) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text("image,labels,split\nnorth.tif,north.gpkg,tst\n")
    with pytest.raises(DataError, match=r"no scene is left for training; mark rows with split=trn"):
        _ = load_project(own_town).regions
    manifest.write_text("image\nnorth.tif\n")
    with pytest.raises(DataError, match="no scene has labels"):
        _ = load_project(own_town).regions


def test_labels_too_few_to_hold_some_out(own_town: Path) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text("image,labels,split\nnorth.tif,north.gpkg,trn\n")
    with pytest.raises(DataError, match="too few to hold some out"):
        _ = load_project(own_town, ["split.block=96"]).regions


def test_bands_by_number_and_name(project: Projects, own_town: Path) -> None:
    import rasterio

    assert project().bands.indexes == (1, 2, 3)
    assert project("bands.select=[3, 1]").bands.indexes == (3, 1)
    with rasterio.open(own_town.parent / "north.tif", "r+") as image:
        image.descriptions = ("red", "green", "NIR")
    found = project("bands.select=[nir, 1, Green]").bands
    assert found.indexes == (3, 1, 2)
    assert found.names == ("NIR", "red", "green")


def test_wrong_bands_are_refused_with_what_there_is(project: Projects, own_town: Path) -> None:
    with pytest.raises(DataError, match="has no band 4, only 1 to 3"):
        _ = project("bands.select=[1, 4]").bands
    with pytest.raises(DataError, match=r"north\.tif: has no band 'nirr'"):
        _ = project("bands.select=[nirr]").bands
    write_image(own_town.parent / "south.tif", pixels(truth(squares(1)), 1)[:2], corner(1))
    with pytest.raises(DataError, match=r"south\.tif: band 3 is wanted, the file has 2 bands"):
        project().reader(1)


def test_scaling_is_fitted_on_training_pixels_only(own_town: Path) -> None:
    town = load_project(own_town)
    bands, statistics = fit_bands(town)
    values = [town.reader(i).read(Window(0, 0, SIDE, SIDE))[0][:, masks(town, i)["trn"]] for i in (0, 1)]
    joined = np.concatenate(values, axis=1).astype(float)
    assert statistics.count == joined.shape[1]
    assert np.allclose(statistics.mean, joined.mean(1))
    assert np.allclose(bands.gain, 1 / joined.std(1))
    assert bands.scope == "dataset"
    with pytest.raises(DataError, match="no valid pixel"):
        fit_bands(_blanked(own_town))


def _blanked(config: Path) -> Project:
    for number, name in enumerate(("north", "south")):
        write_image(config.parent / f"{name}.tif", np.zeros((3, SIDE, SIDE), np.uint16), corner(number), nodata=0)
    return load_project(config)


def test_a_value_that_spoils_the_scaling_is_told(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = pixels(truth(squares(0)), 0).astype(np.float32)
    for far, told in ((None, False), (-3e38, True)):
        if far is not None:
            values[1, 10, 10] = far
        write_image(own_town.parent / "north.tif", values, corner(0))
        fit_bands(load_project(own_town, ["split.by=none"]))
        assert ("warning: band 2 (b2): a few values up to -3e+38 lie so far" in capsys.readouterr().err) == told
    fit_bands(load_project(own_town, ["bands.method=percentile"]))
    assert "warning" not in capsys.readouterr().err


def test_scenes_of_different_light_are_scaled_one_by_one(own_town: Path) -> None:
    rows = ["image,labels"]
    for n in range(10):
        labels = truth(squares(0))
        write_image(own_town.parent / f"s{n}.tif", pixels(labels, n) * np.uint16(n + 1), corner(0))
        rows.append(f"s{n}.tif,north.gpkg")
    (own_town.parent / "scenes.csv").write_text("\n".join(rows))
    town = load_project(own_town)
    assert fit_bands(town)[0].scope == "image"
    assert fit_bands(load_project(own_town, ["bands.scope=dataset"]))[0].scope == "dataset"
    assert reasons(town)["bands.scope"][1].startswith("the scenes' means differ by ")


def test_few_scenes_do_not_tell_how_they_differ(own_town: Path) -> None:
    town = load_project(own_town)
    assert fit_bands(town)[0].scope == "dataset"
    assert reasons(town)["bands.scope"] == ("dataset", "2 training scenes: too few to tell how they differ")


def test_class_pixels_count_every_label_once(project: Projects) -> None:
    town = project()
    assert class_pixels(town, 0).tolist() == np.bincount(truth(squares(0)).ravel()).tolist()
    assert class_pixels(town, 0, Window(10, 20, 30, 40)).sum() == 1200


def test_an_event_of_the_labels_is_counted_once(own_town: Path) -> None:
    import swath

    coarse = truth(squares(0))[::2, ::2]
    write_image(own_town.parent / "mask.tif", coarse[None], corner(0) @ type(corner(0)).scale(2))
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text(manifest.read_text().replace("north.gpkg", "mask.tif"))
    assert swath.sample(own_town)["events"]["label raster warped by nearest neighbour"] == 1


def test_the_fingerprint_follows_settings_and_inputs(own_town: Path) -> None:
    def mark(*overrides: str) -> str:
        return load_project(own_town, overrides).fingerprint("bands", "labels", "sample")

    before = mark()
    assert mark("train.steps=7") == before
    assert mark("sample.tile=48") != before
    image = own_town.parent / "north.tif"
    image.write_bytes(image.read_bytes() + b"\0")
    assert mark() != before


def test_the_overlap_must_leave_a_step(project: Projects) -> None:
    assert project("sample.overlap=0.25").stride == 24
    assert project("sample.overlap=8").stride == 24
    with pytest.raises(ConfigError, match="32 pixels is no less than the tile of 32"):
        _ = project("sample.overlap=32").stride


def test_unknown_class_names_in_the_filter(project: Projects) -> None:
    with pytest.raises(ConfigError, match=r"no class is named 'rof'; did you mean 'roof'\?"):
        _ = project("sample.class_min={rof: 0.1}").filter


def test_the_run_lies_beside_the_config_or_where_output_says(project: Projects, own_town: Path) -> None:
    assert project().run_dir == own_town.parent / "runs" / "roofs"
    assert project("output=elsewhere").run_dir == own_town.parent / "elsewhere"
    assert CONFIG in own_town.read_text()
