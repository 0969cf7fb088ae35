"""NIST FC-DenseNet: what its folders, databases and flags become."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_samples import made
from tiny_town import pixels, squares, truth, write_image

import swath
from swath.cli import main
from swath.config import Config, load_config
from swath.core.errors import ConfigError, DataError
from swath.disk.formats import FORMATS
from swath.disk.scenes.manifest import read_manifest

TEMPLATES = Path(__file__).parent / "templates"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`data/images` and `data/masks` of ten pictures without a place."""
    for number in range(10):
        labels = truth(squares(number))
        for kind, bands in (("images", pixels(labels, number)), ("masks", labels[None])):
            write_image(tmp_path / "data" / kind / f"img_{number}.tif", bands, None)
    return tmp_path / "data"


def take(text: str, data: Path) -> tuple[Config, dict[str, dict[str, Any]], dict[str, Any]]:
    (data.parent / "run.txt").write_text(text)
    result = swath.import_("nist", data.parent / "run.txt", out=data.parent / "new", overwrite=True)
    return load_config(result["config"]), {r["key"]: r for r in result["report"]}, result


def test_a_folder_is_pairs_and_the_built_in_training(data: Path) -> None:
    result = swath.import_("nist", data, out=data.parent / "new")
    config = load_config(result["config"])
    assert result["scenes"] == 10
    assert {s.split for s in read_manifest(result["manifest"])} == {None}
    assert (config.split.by, config.split.val, config.bands.scope) == ("scene", 0.2, "image")
    assert (config.augment.preset, config.augment.rotate, config.augment.blur) == ("none", 180, 2)
    assert (config.train.lr, config.train.patience, config.train.monitor) == (0.0001, 10, "loss")


def test_the_test_database_is_told_to_be_val(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "nist", str(data), "--out", str(data.parent / "new")]) == 0
    assert "test database used as val" in capsys.readouterr().out


def test_all_flags(data: Path) -> None:
    shutil.copy(TEMPLATES / "nist.sh", data.parent / "run.sh")
    result = swath.import_("nist", data.parent / "run.sh", out=data.parent / "new")
    rows = {r["key"]: r for r in result["report"]}
    config = load_config(result["config"])
    assert result["scenes"] == 10
    assert config.split.val == 0.2
    assert (config.sample.tile, config.sample.overlap) == (512, 384)
    assert config.legend().ids == (0, 1)
    train = config.train
    assert (train.batch_size, train.lr, train.patience, train.sampler) == (4, 0.0001, 10, "class_presence")
    assert (train.steps, train.evaluations, train.warmup_steps) == (50_000, 50, 1000)
    assert config.augment.translate == 0.1
    assert "TensorFlow checkpoints and saved models are not read" in rows["inference.saved_model_filepath"]["note"]
    assert rows["train.test_database"]["note"].startswith("test database used as val")
    assert rows["build_lmdb.image_folder"]["value"] == "./data/images"
    assert "swath predict MODEL ./data/images --out ./masks" in result["commands"]


@pytest.mark.parametrize(("side", "stride"), [(256, 204), (448, 64), (512, 128), (832, 448)])
def test_the_old_strides(side: int, stride: int, data: Path) -> None:
    config, rows, _ = take(f"python build_lmdb.py --use_tiling 1 --tile_size {side}\n", data)
    assert config.sample.tile == side
    assert side - config.sample.overlap == stride
    assert f"stride was {stride}" in rows["build_lmdb.tile_size"]["note"]


def test_a_tile_size_without_tiling_has_no_effect(data: Path) -> None:
    config, _, _ = take("build_lmdb.py --tile_size 256 --use_tiling 0", data)
    assert config.sample.tile == "auto"


def test_bare_flags_find_their_program(data: Path) -> None:
    config, rows, _ = take("--batch_size 3\n--number_classes=4 --use_augmentation 0", data)
    assert config.train.batch_size == 3
    assert config.legend().ids == (0, 1, 2, 3)
    assert config.augment.given() == {}
    assert "train.batch_size" in rows


def test_the_number_of_classes_includes_background(data: Path) -> None:
    config, rows, _ = take("train.py --number_classes 2", data)
    assert config.legend().ids == (0, 1)
    assert "includes background" in rows["train.number_classes"]["note"]
    with pytest.raises(ConfigError, match="out of range"):
        take("train.py --number_classes 1", data)


def test_ids_beyond_the_classes_are_told(data: Path) -> None:
    write_image(data / "masks" / "img_3.tif", (truth(squares(3)) * 5)[None], None)
    _, rows, result = take("train.py --number_classes 2", data)
    assert rows["(masks)"]["value"] == "5"
    assert not swath.check(result["config"])["ok"]


def test_unknown_flags_and_variables(data: Path) -> None:
    config, rows, _ = take("python train.py --batch_size $SIZE --colour red --balance_classes 0", data)
    assert rows["train.batch_size"]["value"] == "$SIZE"
    assert "computed when the script runs" in rows["train.batch_size"]["note"]
    assert rows["train.colour"]["note"].startswith("unknown")
    assert config.train.batch_size == 4
    assert config.train.sampler == "uniform"


def test_flags_of_other_programs_are_unknown(data: Path) -> None:
    config, rows, _ = take("python train.py --batch_size 3\npython other.py --batch_size 9\nrsync --archive a b", data)
    assert config.train.batch_size == 3
    assert rows["other.batch_size"]["note"].startswith("unknown")
    assert "rsync.archive" not in rows


def test_two_trainings_have_two_rows(data: Path) -> None:
    _, rows, _ = take("train.py --batch_size 3\ntrain.py --batch_size 5", data)
    assert [rows[k]["value"] for k in ("train.batch_size", "train.batch_size#2")] == ["3", "5"]


@pytest.mark.parametrize("by", ["folder", "flags"])
def test_databases_become_scenes(by: str, tmp_path: Path) -> None:
    FORMATS["lmdb"].write(made(ids=(0, 1), splits=("trn", "tst")), tmp_path / "base")
    source = tmp_path / "base"
    if by == "flags":
        train, test = (shlex.quote(str(next(source.glob(f"{w}*")))) for w in ("train", "test"))
        source = tmp_path / "run.sh"
        source.write_text(f"train.py --train_database {train} --test_database {test} --output_dir out --number_classes 2")
    result = swath.import_("nist", source, out=tmp_path / "new")
    scenes = read_manifest(result["manifest"])
    assert sorted(str(s.split) for s in scenes) == ["trn"] * 4 + ["val"] * 3
    rows = {r["key"]: r for r in result["report"]}
    assert rows["(test split)"]["note"].startswith("test database used as val")
    assert load_config(result["config"]).legend().ids == (0, 1)
    assert swath.check(result["config"])["ok"]


def test_a_hundred_cells_check(tmp_path: Path, data_dir: Path) -> None:
    result = swath.import_("nist", data_dir / "cells", out=tmp_path / "new")
    assert result["scenes"] == 100
    assert swath.check(result["config"])["ok"]


def pixels_of(path: object) -> Any:
    with rasterio.open(str(path)) as source:
        return source.read()


def databases(folder: Path, **seeds: int) -> None:
    """LMDB environments of three samples each, by the seed of their noise, all named as somebody liked."""
    for name, seed in seeds.items():
        FORMATS["lmdb"].write(made(3, seed=seed, splits=("trn",)), folder / "new")
        shutil.move(folder / "new" / "train-made.lmdb", folder / f"{name}.lmdb")
        shutil.rmtree(folder / "new")


def test_the_databases_that_are_named_are_taken_and_no_others(tmp_path: Path) -> None:
    for where in ("a", "b"):
        (tmp_path / where).mkdir()
    databases(tmp_path / "a", stars=1, cells=2, train_other=3)
    databases(tmp_path / "b", held_out=4)
    for kind in ("images", "masks"):  # the example that came with the program
        write_image(tmp_path / "data" / kind / "img.tif", truth(squares(1))[None], None)
    (tmp_path / "run.sh").write_text("train.py --train_database a/cells.lmdb --test_database b/held_out.lmdb\n")
    result = swath.import_("nist", tmp_path / "run.sh", out=tmp_path / "new")
    scenes = read_manifest(result["manifest"])
    wanted = [("trn", s) for s in made(3, seed=2)] + [("val", s) for s in made(3, seed=4)]
    assert [s.split for s in scenes] == [split for split, _ in wanted]
    for scene, (_, sample) in zip(scenes, wanted, strict=True):
        assert np.array_equal(pixels_of(scene.image), sample.image)


def test_databases_in_the_folder_where_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    databases(tmp_path, cells=2, held_out=4)
    monkeypatch.chdir(tmp_path)
    Path("run.sh").write_text("train.py --train_database cells.lmdb --test_database held_out.lmdb\n")
    assert swath.import_("nist", "run.sh", out="new")["scenes"] == 6


def test_every_database_that_is_not_there_is_listed(tmp_path: Path) -> None:
    databases(tmp_path, cells=2)
    (tmp_path / "run.sh").write_text("train.py --train_database cells.lmdb --test_database none.lmdb --number_classes 3\n")
    with pytest.raises(DataError, match=r"1 missing or unmatched: \S*none\.lmdb"):
        swath.import_("nist", tmp_path / "run.sh", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
