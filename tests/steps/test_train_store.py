"""A training from a named store needs the store alone: no scene, no raster library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import swath
from swath.core.errors import DataError
from swath.disk.bundle import read_bundle
from swath.disk.stores.store import read_card

pytest_plugins = ["fixtures_run"]
CONFIG = """classes: {1: {name: roof, color: "#efcd08"}}
model: {depth: 2, width: 4}
train: {store: made.store, steps: 6, batch_size: 4, evaluations: 2, lr: 0.02, precision: fp32}
runtime: {device: cpu, threads: 1}
"""
WITHOUT_GDAL = """
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rasterio", "osgeo", "pyogrio", "fiona"):
            raise ModuleNotFoundError(f"{name} is barred here")
sys.meta_path.insert(0, Barred())
from swath.cli import main
sys.exit(main(sys.argv[1:]))
"""


def place(trained: Path, folder: Path, text: str = CONFIG) -> Path:
    """A config beside a link to the trained town's store: its scenes are far away."""
    (folder / "made.store").symlink_to(trained.parent / "runs" / "roofs" / "samples.store")
    (folder / "far.yaml").write_text(text)
    return folder / "far.yaml"


def test_otb_039_training_without_gdal(trained: Path, tmp_path: Path) -> None:
    config = place(trained, tmp_path)
    words = [sys.executable, "-c", WITHOUT_GDAL, "train", str(config), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["data"] == "store"
    assert result["steps"] == 6
    assert "sample.tile" not in done.stderr
    assert "train.crop" in done.stderr
    card = read_bundle(Path(result["bundle"])).card
    assert card["provenance"]["inputs"] == read_card(tmp_path / "made.store")["fingerprint"]


def test_a_store_is_proven_without_gdal(trained: Path, tmp_path: Path) -> None:
    place(trained, tmp_path)
    words = [sys.executable, "-c", WITHOUT_GDAL, "verify", str(tmp_path / "made.store"), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "store"


def test_the_named_store_gives_what_the_own_one_gives(trained: Path, own_town: Path, tmp_path: Path) -> None:
    swath.sample(own_town)
    steps = ("train.steps=6", "train.evaluations=2")
    own = swath.train(own_town, *steps)
    named = swath.train(place(trained, tmp_path))
    digests = [read_bundle(Path(r["bundle_last"])).card["weights"]["sha256"] for r in (own, named)]
    assert digests[0] == digests[1]


def test_a_converted_store_is_trained_from(trained: Path, tmp_path: Path) -> None:
    place(trained, tmp_path)
    swath.convert(tmp_path / "made.store", tmp_path / "folders", to="folders")
    swath.convert(tmp_path / "folders", tmp_path / "back.store", to="store")
    result = swath.train(tmp_path / "far.yaml", "train.store=back.store")
    assert result["data"] == "store"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("classes.2=road", "holds the classes 0 background, 1 roof; the config has 0 background, 1 roof, 2 road"),
        ("bands.select=[1, 2]", r"holds 3 bands \(.*\); bands.select names 2"),
        ("bands.select=[nir, b2, b3]", "bands.select names nir, b2, b3"),
        ("sample.tile=64", "holds samples of 32 pixels; sample.tile is 64"),
    ],
)
def test_a_store_that_does_not_fit_is_refused(trained: Path, tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        swath.train(place(trained, tmp_path), override)
    assert caught.value.code == "store-unfit"
    assert not (tmp_path / "runs").exists()


def test_a_missing_store_is_told(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished store"):
        swath.train(place(trained, tmp_path), "train.store=other.store")


def test_another_store_under_the_same_name_is_another_training(trained: Path, tmp_path: Path) -> None:
    config = place(trained, tmp_path)
    swath.train(config)
    assert swath.train(config)["already_done"] is True
    swath.convert(tmp_path / "made.store", tmp_path / "folders", to="folders")
    (tmp_path / "made.store").unlink()
    swath.convert(tmp_path / "folders", tmp_path / "made.store", to="store")
    with pytest.raises(swath.SwathError, match=r"other settings: store\.records"):
        swath.train(config)


def test_only_train_does_without_scenes(trained: Path, tmp_path: Path) -> None:
    config = place(trained, tmp_path)
    for verb in (swath.sample, swath.run):
        with pytest.raises(swath.SwathError, match="'scenes' is missing"):
            verb(config)
    assert swath.info(config)["kind"] == "config"


def test_a_run_with_scenes_learns_from_the_named_store(trained: Path, own_town: Path) -> None:
    store = trained.parent / "runs" / "roofs" / "samples.store"
    result = swath.run(own_town, f"train.store={store}", "train.steps=4", "train.evaluations=1")
    assert "train" in result["executed"]
    assert not (own_town.parent / "runs" / "roofs" / "samples.store").exists()
    assert result["scores"]["mean_iou"] is not None


def test_a_class_that_no_sample_holds_is_warned_about(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = swath.train(own_town, "classes.2=lake", "train.sampler=class_presence", "train.steps=2", "train.evaluations=1")
    assert result["steps"] == 2
    assert "warning: no training sample holds 'lake': train.sampler=class_presence draws from" in capsys.readouterr().err


def test_the_sampler_is_decided_and_told(trained: Path) -> None:
    rows = json.loads((trained.parent / "runs" / "roofs" / "settings.json").read_text())
    told = {r["key"]: (r["value"], r["because"]) for r in rows}
    assert told["train.sampler"] == ("uniform", "every sample once an epoch")
