"""Every key of every template of the old systems has exactly one row, found here by readers of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import swath
from swath.config import load_config
from swath.importers.gdl_keys import GDL
from swath.importers.nist_keys import NIST
from swath.importers.otb_keys import OTB, plain
from swath.importers.roof_keys import ROOF

TEMPLATES = Path(__file__).parent / "templates"
WHOLE = {"class_proportion", "meta_map"}  # maps that are one value
NAMES = sorted(p.name for p in TEMPLATES.iterdir() if p.is_file())
TABLES = {"gdl": GDL, "roof": ROOF, "nist": NIST, "otb": OTB}


def walked(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, below in value.items():
        if isinstance(below, dict) and name not in WHOLE:
            yield from walked(below, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def keys_of(path: Path) -> list[str]:
    """The keys of a template, without the importers' help."""
    text = path.read_text()
    if path.suffix == ".yaml":
        return list(walked(yaml.safe_load(text)))
    if path.suffix == ".json":
        return list(walked(json.loads(text)))
    if path.name == "nist.sh":
        programs = {"build_lmdb": "build_lmdb", "train_unet": "train", "inference_unet": "inference"}
        found, program = [], ""
        for word in re.findall(r"(\w+)\.py|--(\w+)", text):
            program = programs[word[0]] if word[0] else program
            found += [f"{program}.{word[1]}"] if word[1] else []
        return found
    if path.name == "otb_tutorial.py.txt":
        calls = re.findall(r"(\w+)\(|(\w+)=(?!=)", text.replace("tf.keras.losses.CategoricalCrossentropy()", "1"))
        assert len(calls) > 15
        return [
            "DatasetFromPatchesImages.filenames_dict", "get_tf_dataset.batch_size", "get_tf_dataset.targets_keys",
            "to_tfrecords.output_dir", "to_tfrecords.n_samples_per_shard", "TFRecords.path", "read.shuffle_buffer_size", "read.batch_size",
            "read.target_keys", "one_hot.labels", "one_hot.nb_classes", "compile.loss", "compile.optimizer",
            "compile.metrics", "Adam.learning_rate", "fit.epochs", "fit.validation_data",
        ]  # fmt: skip
    named = re.findall(r"""(?:^-|\(["']|^\s+")([a-z][\w.]*)""", text, re.MULTILINE)
    assert len(named) == 10
    return [f"TensorflowModelServe.{name}" for name in named]


def imported(name: str, tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / name.removesuffix(".txt")
    shutil.copy(TEMPLATES / name, source)
    return swath.import_(name.partition("_")[0].partition(".")[0], source, out=tmp_path / "out", allow_missing=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_one_row(name: str, tmp_path: Path) -> None:
    report = imported(name, tmp_path)["report"]
    keys = keys_of(TEMPLATES / name)
    assert len(keys) >= 10
    told = Counter(row["key"] for row in report if not row["key"].startswith("("))
    assert told == Counter(keys)
    assert [row["key"] for row in report if row["note"].startswith("unknown")] == []
    assert all(row["note"] for row in report)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_key_became_is_what_the_docs_say(name: str, tmp_path: Path) -> None:
    report = imported(name, tmp_path)["report"]
    table = TABLES[name.partition("_")[0].partition(".")[0]]
    for row in report:
        rule = table.get(plain(row["key"]))
        if rule is not None and rule.became not in (None, "as in sample"):
            told = {key for key in (row["became"] or "").split(", ") if key and not key.startswith(f"{rule.became}.")}
            assert told <= set(str(rule.became).split(", ")), row
        elif rule is not None and rule.became is None:
            assert row["became"] is None, row


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith((".yaml", "settings.json", "nist.sh"))])
def test_the_config_is_one(name: str, tmp_path: Path) -> None:
    result = imported(name, tmp_path)
    config = load_config(result["config"])
    assert len(config.legend()) >= 2
    assert result["manifest"] is None
    assert result["missing"]


def test_the_walker_would_notice() -> None:
    keys = keys_of(TEMPLATES / "gdl_full.yaml")
    assert len(keys) == 80
    assert "training.normalization.mean" in keys
    assert "sample.sampling_method.class_proportion" in keys
    assert {"build_lmdb.tile_size", "train.reader_count", "inference.image_format"} <= set(keys_of(TEMPLATES / "nist.sh"))
