"""Rows of the requirements on configs, verbs, runs and sources, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.projects.project import load_project
from swath.nets.augment import ORDER
from swath.progress import set_quiet

pytest_plugins = ["fixtures_run"]
Fingerprint = Callable[[Path], dict[str, str]]
SHORT = ("train.steps=2", "train.evaluations=1")


# GDL-003, NIST-047: one argument suffices, in an empty directory
def test_gdl_003_a_bundle_predicts_where_there_is_nothing_else(
    copied_bundle: Path, town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main(["predict", str(copied_bundle), str(town.parent / "west.tif"), "--out", "maps", "-q"]) == 0
    assert [p.name for p in (empty / "maps").iterdir()] == ["west_map.tif"]


# GDL-004: what would change the weights' shape is refused by name
@pytest.mark.parametrize("override", ["model.depth=3", "classes.3=tree", "bands.select=[1]"])
def test_gdl_004_a_bundle_is_not_changed_by_predict(
    bundle: Path, town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    assert main(["predict", str(bundle), str(town.parent / "west.tif"), "--out", str(tmp_path / "m"), override]) == 2
    assert override.partition(".")[0] in capsys.readouterr().err


# OTB-068: the command and the function make the same file
def test_otb_068_command_and_function_are_the_same(bundle: Path, town: Path, tmp_path: Path, fingerprint: Fingerprint) -> None:
    image = town.parent / "west.tif"
    assert main(["predict", str(bundle), str(image), "--out", str(tmp_path / "a"), "predict.save=[confidence]", "-q"]) == 0
    swath.predict(bundle, image, "predict.save=[confidence]", out=tmp_path / "b")
    assert len(fingerprint(tmp_path / "a")) == 2
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


# GDL-021: a minimal config truly runs; GDL-102, NIST-022: the order of the augmentations is told
def test_gdl_021_a_config_of_three_lines_trains_an_epoch(own_town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_quiet(False)
    config = own_town.parent / "short.yaml"
    config.write_text("scenes: scenes.csv\nclasses: {1: roof}\ntrain: {epochs: 1}\n")
    assert main(["train", str(config)]) == 0
    printed = capsys.readouterr()
    told = json.loads((config.parent / "runs" / "short" / "settings.json").read_text())
    order = next(row["value"] for row in told if row["key"] == "augment (order)")
    assert order == ", ".join(ORDER)
    assert order in printed.out + printed.err
    assert next(row for row in told if row["key"] == "train.lr")["because"]


# NIST-022: the order that is told is the one that acts (flip before noise would draw other noise)
def test_the_order_holds_every_option() -> None:
    from dataclasses import fields

    from swath.nets.augment import AugmentOptions

    assert set(ORDER) == {f.name for f in fields(AugmentOptions)} - {"per_axis", "p_affine", "fill"}


# NIST-025, TRAP-56: values out of range and misspelt keys
@pytest.mark.parametrize(("override", "told"), [
    ("augment.hflip=1.2", "less than or equal to 1"), ("augment.translate=-0.1", "greater than or equal to 0"),
    ("model.coordvonc={}", "did you mean 'coordconv'"), ("train.drop_out=0.1", "unknown key 'train.drop_out'"),
    ("predict.smooth_prediction=true", "unknown key"), ("predict.nodata_grow=-1", "greater than or equal to 0"),
])  # fmt: skip
def test_nist_025_what_is_out_of_range_or_unknown_is_refused(own_town: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        swath.train(own_town, override)


# GDL-025: a missing directory is made, one that cannot be made is an error before any work
def test_gdl_025_the_output_directory(own_town: Path, tmp_path: Path) -> None:
    made = swath.train(own_town, *SHORT, f"output={tmp_path / 'deep' / 'er'}")
    assert Path(made["run"]) == tmp_path / "deep" / "er"
    for barred in ("/proc/x/y", "/dev/null/x"):
        with pytest.raises(ResourceError):
            swath.train(own_town, *SHORT, f"output={barred}")


# GDL-014: another run beside the first leaves it untouched; the same name with other settings is refused
def test_gdl_014_two_runs_of_one_config(own_town: Path, fingerprint: Fingerprint) -> None:
    first = swath.train(own_town, *SHORT)
    before = fingerprint(Path(first["run"]))
    with pytest.raises(ResourceError, match=r"train\.steps.*output=DIR"):
        swath.train(own_town, "train.steps=3", "train.evaluations=1")
    second = swath.train(own_town, "train.steps=3", "train.evaluations=1", "output=runs/other")
    assert Path(second["run"]) != Path(first["run"])
    assert fingerprint(Path(first["run"])) == before


# GDL-026, ROOF-046: bands by number and name; a wrong one names the file
def test_gdl_026_bands_are_chosen_and_a_wrong_one_names_the_file(own_town: Path) -> None:
    project = load_project(own_town, ["bands.select=[3, 1]"])
    raw, _ = project.reader(0).read(swath.Window(0, 0, 96, 96))
    with rasterio.open(own_town.parent / "north.tif") as file:
        assert np.array_equal(raw, file.read([3, 1]))
    swath.train(own_town, *SHORT, "bands.select=[3, 1]")
    assert swath.info(own_town.parent / "runs" / "roofs")["bundle"]["model"]["in_channels"] == 2
    with pytest.raises(DataError, match=r"north\.tif.*band 5"):
        swath.train(own_town, *SHORT, "bands.select=[1, 5]", "output=runs/wrong")


# GDL-146, TRAP-68: colours belong to values, not to ranks
def test_gdl_146_classes_1_and_255_keep_their_colours(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", pixels(truth(squares(1)), 1), corner(0))
    found = squares(1)
    write_squares(tmp_path / "l.gpkg", found, corner(0), [1, 255] * (len(found) // 2) + [1] * (len(found) % 2))
    (tmp_path / "c.yaml").write_text(
        "classes: {field: class, 1: {name: a, color: '#010203'}, 255: {name: b, color: '#fafbfc'}}\n")  # fmt: skip
    made = swath.mask(tmp_path / "a.tif", tmp_path / "l.gpkg", config=tmp_path / "c.yaml", out=tmp_path / "m")
    with rasterio.open(made["masks"][0]["mask"]) as file:
        colours = file.colormap(1)
        assert (colours[1][:3], colours[255][:3]) == ((1, 2, 3), (250, 251, 252))
        assert set(np.unique(file.read(1))) == {0, 1, 255}
        assert file.nodata not in (0, 1, 255)


# OTB-064: tile, core, margin and stride per source; OTB-060: an image of 1 m beside one of 4 m
def test_otb_064_info_tells_the_tiles_of_every_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["image,labels,split,ms"]
    for n, split in enumerate(["trn", "trn", "tst"]):
        bands = pixels(truth(squares(n)), n)
        write_image(tmp_path / f"pan{n}.tif", bands[:1], corner(n))
        write_image(tmp_path / f"ms{n}.tif", bands[1:, ::4, ::4], corner(n) @ Affine.scale(4))
        write_squares(tmp_path / f"l{n}.gpkg", squares(n), corner(n))
        rows.append(f"pan{n}.tif,l{n}.gpkg,{split},ms{n}.tif")
    (tmp_path / "scenes.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "two.yaml").write_text(
        "scenes: scenes.csv\nclasses: {field: class, 1: roof}\nsources: {image: {}, ms: {resample: nearest}}\n"
        "sample: {tile: 32}\nsplit: {buffer: 8}\nmodel: {depth: 2, width: 4}\n"
        "train: {steps: 2, evaluations: 1, batch_size: 4, precision: fp32}\nruntime: {device: cpu, threads: 1}\n")  # fmt: skip
    run = swath.train(tmp_path / "two.yaml")["run"]
    found = swath.info(run)["bundle"]
    assert {name: row["bands"] for name, row in found["tiling"].items()} == {"image": 1, "ms": 2}
    for row in found["tiling"].values():
        assert (row["stride"], row["margin"]) == (4, -(-found["radius"] // 4) * 4)
        assert row["tile"] == row["core"] + 2 * row["margin"]
        assert row["core"] % 4 == 0
    assert main(["info", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.strip() == "tiling:")
    assert lines[head + 1].split() == ["name", "bands", "tile", "core", "margin", "stride"]
    # an override that cannot be exact is not refused but says so; one below zero is refused
    made = swath.predict(run, tmp_path / "scenes.csv", "predict.margin=4", split="tst", out=tmp_path / "m")
    assert made["exact"] is False
    with pytest.raises(ConfigError):
        swath.predict(run, tmp_path / "scenes.csv", "predict.margin=-4", out=tmp_path / "m")


# GDL-011: the metadata of an image can be read
def test_gdl_011_metadata_of_an_image_are_shown(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_town.parent
    (folder / "north.json").write_text(json.dumps({"properties": {"eo:gsd": 0.4}, "type": "Feature"}))
    (folder / "m.csv").write_text("image,labels,metadata\nnorth.tif,north.gpkg,north.json\n")
    assert main(["info", str(folder / "m.csv")]) == 0
    assert "eo:gsd: 0.4" in " ".join(capsys.readouterr().out.split())
    (folder / "g.yaml").write_text(
        "scenes: m.csv\nclasses: {field: class, 1: roof}\nsources: {image: {}, gsd: {metadata: 'eo:gsd'}}\n")  # fmt: skip
    raw, _ = load_project(folder / "g.yaml").reader(0).read(swath.Window(0, 0, 5, 6))
    assert raw.shape[0] == 4
    assert (raw[3] == np.float32(0.4)).all()  # GDL-051


# NIST-005, ROOF-001: an import replaces nothing and moves nothing
def test_nist_005_an_import_refuses_what_is_there(tmp_path: Path, fingerprint: Fingerprint, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2):
        write_image(tmp_path / f"d/images/{n}.tif", np.full((1, 8, 8), 9 + n, np.uint16), None)
        write_image(tmp_path / f"d/masks/{n}.tif", np.eye(8, dtype=np.uint8)[None], None)
    before = fingerprint(tmp_path / "d")
    words = ["import", "images-masks", str(tmp_path / "d"), "--out", str(tmp_path / "in"), "-q"]
    assert main(words) == 0
    made = fingerprint(tmp_path / "in")
    assert main(words) != 0
    assert "overwrite" in capsys.readouterr().err
    assert fingerprint(tmp_path / "in") == made
    assert fingerprint(tmp_path / "d") == before


# OTB-053: an unknown name is told with the valid ones
@pytest.mark.parametrize("wrong", ["--source", "nodata"])
def test_otb_053_an_unknown_source_lists_the_known_ones(bundle: Path, town: Path, tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="it has image"):
        swath.predict(bundle, town.parent / "west.tif", source={wrong: "x.tif"}, out=tmp_path / "m")
    assert not (tmp_path / "m").exists() or not any((tmp_path / "m").iterdir())


def values(result: dict[str, Any]) -> list[str]:
    return [f["code"] for f in result["findings"]]


# GDL-061, NIST-028, TRAP-33: ids without a class stop before training
def test_gdl_061_an_unknown_id_stops_before_any_training(own_town: Path) -> None:
    write_image(own_town.parent / "mask.tif", np.where(truth(squares(0)) > 0, 7, 0)[None].astype(np.uint8), corner(0))
    (own_town.parent / "scenes.csv").write_text("image,labels,split\nnorth.tif,mask.tif,trn\nsouth.tif,south.gpkg,val\n")
    assert "class-unknown" in values(swath.check(own_town))
    with pytest.raises(DataError, match="7"):
        swath.train(own_town, *SHORT)
    assert not (own_town.parent / "runs" / "roofs" / "best").exists()
