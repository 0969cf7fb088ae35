"""roof-classify: what its settings and steps become."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image

import swath
from swath.config import load_config
from swath.disk.scenes.manifest import read_manifest

TEMPLATES = Path(__file__).parent / "templates"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folders of roof-classify below `data`, and settings.json beside it."""
    for number, word in enumerate(("train", "train", "train", "val", "val")):
        labels = truth(squares(number))
        for kind, bands in (("frames", pixels(labels, number)), ("masks", labels[None])):
            tags = {"nodata": 1} if kind == "masks" else {}
            write_image(tmp_path / "data" / f"{word}_{kind}" / f"{word}_{number}.tif", bands, corner(number), **tags)
    shutil.copy(TEMPLATES / "roof_settings.json", tmp_path / "settings.json")
    return tmp_path / "data"


def take(settings: Path, **changes: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    document = json.loads(settings.read_text())
    for key, value in changes.items():
        section = next(s for s in document if key in document[s])
        document[section][key] = value
    settings.write_text(json.dumps(document))
    result = swath.import_("roof", settings, out=settings.parent / "new", overwrite=True)
    return result, {row["key"]: row for row in result["report"]}


def test_four_folders_become_rows_in_groups(data: Path) -> None:
    result, rows = take(data.parent / "settings.json")
    scenes = read_manifest(result["manifest"])
    assert [(s.name, s.split, s.group) for s in scenes] == [
        ("train_0", "trn", "train"), ("train_1", "trn", "train"), ("train_2", "trn", "train"), ("val_3", "val", "val"),
        ("val_4", "val", "val"),
    ]  # fmt: skip
    for word, count in (("train", 3), ("val", 2)):
        for kind in ("frames", "masks"):
            assert rows[f"path_args.{word}_{kind}"]["became"] == "scenes"
            assert rows[f"path_args.{word}_{kind}"]["note"].startswith(f"{count} rows")


def test_training_alone_is_no_group(data: Path) -> None:
    shutil.rmtree(data / "val_frames")
    result = swath.import_("roof", data.parent / "settings.json", out=data.parent / "new", allow_missing=True)
    assert {s.group for s in read_manifest(result["manifest"])} == {None}
    assert any("val_frames" in m for m in result["missing"])


def test_settings(data: Path) -> None:
    result, rows = take(data.parent / "settings.json")
    config = load_config(result["config"])
    assert config.output == "runs/results_4"
    assert config.bands.select == (1, 2, 3)
    assert config.bands.method == "standard"
    assert config.sample.tile == 640
    assert (config.model.name, config.model.depth, config.model.width, config.model.head) == ("unet", 5, 16, "binary")
    train = config.train
    assert (train.batch_size, train.epochs, train.evaluations, train.patience) == (4, 50, 50, 10)
    assert (train.loss, train.optimizer, train.lr) == ({"bce": 1}, "adam", 0.001)
    assert config.legend().names == ("background", "roof")
    assert rows["training_args.results_folder"]["note"] == "unused in the seed"
    assert rows["training_args.verbose"]["note"].startswith("`-q`")


def test_the_momentum_is_converted_and_warned_about(data: Path) -> None:
    _, rows = take(data.parent / "settings.json")
    row = rows["model_args.bachnorm_momentum"]
    assert row["became"] is None
    for part in ("0.99", "Warning", "keeps torch's 0.1", "the text says", "the source"):
        assert part in row["note"]


def test_augmentation_acted_with_keras_only(data: Path) -> None:
    result, rows = take(data.parent / "settings.json", custom=1)
    augment = load_config(result["config"]).augment
    assert (augment.preset, augment.shear, augment.scale, augment.hflip) == ("none", None, None, None)
    assert rows["load_dataset_args.shear_range"]["became"] is None
    result, rows = take(data.parent / "settings.json", custom=0)
    augment = load_config(result["config"]).augment
    assert (augment.shear, augment.scale, augment.hflip) == (0.2, 0.2, 0.5)
    assert rows["load_dataset_args.zoom_range"]["became"] == "augment.scale"


def test_eight_bands(data: Path) -> None:
    result, rows = take(data.parent / "settings.json", input_shape=[640, 640, 8], channels=8)
    assert load_config(result["config"]).bands.select == tuple(range(1, 9))
    assert not swath.check(result["config"])["ok"]
    _, rows = take(data.parent / "settings.json", input_shape=[640, 640, 8], channels=3)
    assert "one of the two is wrong" in rows["load_dataset_args.channels"]["note"]


def test_what_is_not_built_in_is_refused_with_a_note(data: Path) -> None:
    _, rows = take(data.parent / "settings.json", pool_size=[3, 3], strides=[2, 2], activation="tanh")
    for key in ("model_args.pool_size", "model_args.strides", "model_args.activation"):
        assert rows[key]["note"].startswith("refused")
    assert rows["model_args.kernel_size"]["note"].endswith("as in Swath's U-Net")


def test_weights_are_not_taken_over(data: Path) -> None:
    _, rows = take(data.parent / "settings.json", pretrained=True)
    assert rows["training_args.pretrained"]["note"].startswith("not yet: weights")


def test_several_classes_need_several_scores(data: Path) -> None:
    mask = data / "train_masks" / "train_0.tif"
    write_image(mask, (truth(squares(0)) * 2)[None].astype(np.uint8), corner(0))
    result, rows = take(data.parent / "settings.json")
    config = load_config(result["config"])
    assert config.legend().ids == (0, 1, 2)
    assert config.model.head == "multiclass"
    assert "one sigmoid cannot" in rows["(model.head)"]["note"]


def test_steps_become_commands(tmp_path: Path) -> None:
    result = swath.import_("roof", TEMPLATES / "roof_test.json", out=tmp_path / "new")
    assert (result["config"], result["manifest"]) == (None, None)
    assert "swath chip run/chip/test.tif --size 65 --out run/chips/ --expect 100" in result["commands"]
    assert "swath split scenes.csv --out split.csv --trn 0.75 --val 0.25 --tst 0" in result["commands"]
    rows = {row["key"]: row for row in result["report"]}
    assert rows["chip_args.expected"]["became"] == "swath chip --expect"
    assert "the source wrote one per so many files" in rows["mosaic_args.chunksize"]["note"]
    assert rows["predict_args.model_name"]["note"].startswith("not yet: weights")
    assert not (tmp_path / "new").exists()


def test_the_commands_are_understood(tmp_path: Path) -> None:
    from swath.cli import parser

    result = swath.import_("roof", TEMPLATES / "roof_test.json", out=tmp_path / "new")
    assert len(result["commands"]) == 2
    for command in result["commands"]:
        _, verb, *words = command.split()
        parser(verb).parse_args(words)
