"""The verb: what it refuses, what it lists, and that it leaves the source alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_town import write_town

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError

MINIMUM = """global:
  samples_size: 32
  num_classes: 1
  number_of_bands: 3
  model_name: unetsmall
sample:
  prep_csv_file: images.csv
training:
  batch_size: 2
  num_epochs: 1
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A yaml of geo-deep-learning with its list, images and polygons."""
    folder = write_town(tmp_path / "town").parent
    (folder / "images.csv").write_text("north.tif,,north.gpkg,properties/class,trn\nwest.tif,,west.gpkg,class,tst\n")
    (folder / "old.yaml").write_text(MINIMUM)
    return folder / "old.yaml"


def rows(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in result["report"]}


def test_the_result_and_the_files(old: Path, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]]) -> None:
    before = fingerprint(old.parent)
    result = swath.import_("gdl", old, out=tmp_path / "new")
    assert fingerprint(old.parent) == before
    assert result["config"] == str(tmp_path / "new" / "old.yaml")
    assert result["manifest"] == str(tmp_path / "new" / "scenes.csv")
    assert result["scenes"] == 2
    assert result["missing"] == []
    assert set(result["report"][0]) == {"key", "value", "became", "note"}
    assert rows(result)["global.samples_size"] == {
        "key": "global.samples_size", "value": 32, "became": "sample.tile", "note": "side of a sample in pixels",
    }  # fmt: skip
    text = (tmp_path / "new" / "scenes.csv").read_text()
    assert text.splitlines()[1] == "../town/north.tif,../town/north.gpkg,class,trn"


def test_the_command_prints_one_object(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "gdl", str(old), "--out", str(tmp_path / "new"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"config", "manifest", "report", "scenes", "missing", "commands", "seconds"} == set(result)
    assert main(["import", "gdl", str(old), "--out", str(tmp_path / "other")]) == 0
    shown = capsys.readouterr().out
    assert "global.num_classes" in shown
    assert f"then: swath check {tmp_path / 'other' / 'old.yaml'}" in shown


def test_nothing_is_replaced_unasked(old: Path, tmp_path: Path) -> None:
    swath.import_("gdl", old, out=tmp_path / "new")
    with pytest.raises(ResourceError, match="is there already"):
        swath.import_("gdl", old, out=tmp_path / "new")
    swath.import_("gdl", old, out=tmp_path / "new", overwrite=True)
    with pytest.raises(ResourceError, match="is the source itself"):
        swath.import_("gdl", old, out=old.parent, overwrite=True)


def test_an_unknown_key_is_told(old: Path, tmp_path: Path) -> None:
    old.write_text(MINIMUM + "  learning_rat: 0.1\nextra:\n  deep: {er: 1}\n")
    result = rows(swath.import_("gdl", old, out=tmp_path / "new"))
    assert result["training.learning_rat"]["note"] == (
        "unknown: no key of this system; did you mean 'training.learning_rate'?"
    )
    assert result["extra.deep.er"]["note"].startswith("unknown")
    assert result["extra.deep.er"]["became"] is None


def test_a_key_that_stands_twice_is_told(old: Path, tmp_path: Path) -> None:
    old.write_text(MINIMUM + "inference:\n  overlap: 10\n  overlap: 2\n")
    result = rows(swath.import_("gdl", old, out=tmp_path / "new"))
    assert result["inference.overlap"]["value"] == 2
    assert "the last one counts" in result["(twice) inference.overlap"]["note"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  learning_rate: fast", "training.learning_rate: 'fast' is no number"),
        ("  target_size: 12.5", "training.target_size: 12.5 is no whole number"),
        ("  learning_rate: -1", "a value has no place in Swath: train.lr"),
        ("  augmentation: {hflip_prob: 3}", "a value has no place in Swath: augment.hflip"),
        ("  class_weights: [a, b]", "'a' is no number"),
    ],
)
def test_a_wrong_value_is_one_line(line: str, told: str, old: Path, tmp_path: Path) -> None:
    old.write_text(MINIMUM + line + "\n")
    with pytest.raises(ConfigError) as e:
        swath.import_("gdl", old, out=tmp_path / "new")
    assert told in e.value.line()
    assert str(old) in e.value.where
    assert not (tmp_path / "new").exists()


def test_the_place_of_a_wrong_value(old: Path, tmp_path: Path) -> None:
    old.write_text(MINIMUM + "  learning_rate: fast\n")
    with pytest.raises(ConfigError) as e:
        swath.import_("gdl", old, out=tmp_path / "new")
    assert e.value.where == f"{old}:11:3"


def test_missing_files_are_listed_at_once(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old.parent / "images.csv").write_text("a.tif,,north.gpkg,class,trn\nnorth.tif,,b.gpkg,class,tst\n")
    assert main(["import", "gdl", str(old), "--out", str(tmp_path / "new")]) == 3
    told = capsys.readouterr().err
    assert "a.tif" in told
    assert "b.gpkg" in told
    assert not (tmp_path / "new").exists()
    result = swath.import_("gdl", old, out=tmp_path / "new", allow_missing=True)
    assert len(result["missing"]) == 2
    assert result["scenes"] == 2


def test_root_says_where_paths_start(old: Path, tmp_path: Path) -> None:
    away = tmp_path / "away" / "deep" / "deeper" / "deepest" / "still"
    away.mkdir(parents=True)
    moved = old.rename(away / "old.yaml")
    with pytest.raises(DataError, match="missing or unmatched"):
        swath.import_("gdl", moved, out=tmp_path / "new")
    result = swath.import_("gdl", moved, out=tmp_path / "new", root=old.parent)
    assert result["scenes"] == 2
    with pytest.raises(DataError, match="no such directory"):
        swath.import_("gdl", moved, out=tmp_path / "newer", root=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("system", "name", "text", "told"),
    [
        ("gdl", "a.yaml", "just words", "holds no sections"),
        ("gdl", "a.yaml", "a: !!python/object:os.system {}", "is not allowed"),
        ("gdl", "a.txt", "x", "is no yaml, csv or folder"),
        ("gdl", "a.csv", "", "lists no image"),
        ("gdl", "a.csv", "a.tif,,b.gpkg,class,trn,6\n", "6 values"),
        ("gdl", "a.csv", "a.tif,,b.gpkg,class,training\n", "unknown split 'training'"),
        ("roof", "a.json", "{", "is no JSON"),
        ("roof", "a.json", "[]", "holds no sections"),
        ("nist", "a.sh", "echo hello", "holds no call"),
        ("nist", "a.sh", "python train.py --x 'a", "quotes do not match"),
        ("otb", "a.py", "def (", "is no Python"),
        ("otb", "a.py", "print(1)", "holds no application"),
        ("images-masks", "a.txt", "", "is no folder"),
        ("frames-masks", "a.txt", "", "is no folder"),
        ("gld", "a.yaml", "", "did you mean 'gdl'?"),
    ],
)
def test_files_of_another_kind(system: str, name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((ConfigError, DataError)) as e:
        swath.import_(system, tmp_path / name, out=tmp_path / "new", allow_missing=True)
    assert told in e.value.line()


@pytest.mark.parametrize("system", ["gdl", "nist", "otb", "roof", "images-masks"])
def test_an_empty_folder(system: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises((ConfigError, DataError), match="holds no"):
        swath.import_(system, tmp_path / "empty", out=tmp_path / "new")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        swath.import_("gdl", tmp_path / "nothing.yaml", out=tmp_path / "new")
