"""A training ends in two bundles with their curves; killed and resumed it gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_town import SIDE, corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.bundle import read_bundle
from swath.disk.projects.lock import only_one
from swath.nets import loop
from swath.steps import train as step

pytest_plugins = ["fixtures_run"]
SHORT = ("train.steps=8", "train.evaluations=4")
Fingerprint = Callable[[Path], dict[str, str]]


def run_of(config: Path) -> Path:
    return config.parent / "runs" / "roofs"


def weights(run: Path) -> dict[str, str]:
    """SHA-256 of the weights of both bundles."""
    found = {}
    for name in ("best", "last"):
        file = read_bundle(run / name).card["weights"]["file"]
        found[name] = hashlib.sha256((run / name / file).read_bytes()).hexdigest()
    return found


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Drawing takes longer than training here; the session's own run draws."""
    monkeypatch.setattr(step, "publish_curves", lambda run: run / "curves.png")


def test_the_result_and_the_files_of_a_run(trained: Path) -> None:
    run = run_of(trained)
    again = swath.train(trained)
    assert again["already_done"] is True
    assert again["run"] == str(run)
    assert again["bundle"] == str(run / "best")
    assert again["bundle_last"] == str(run / "last")
    assert again["steps"] == 40
    assert again["data"] == "store"
    assert set(again["best"]) == {"epoch", "step", "mean_iou"}
    assert again["best"]["mean_iou"] > 0.7
    assert {p.name for p in run.iterdir()} >= {
        "best", "last", "checkpoint", "config.resolved.json", "curves.png", "evidence.json", "metrics.jsonl",
        "settings.json", "train.json", "validation.png",
    }  # fmt: skip


def test_the_best_is_the_best_line_of_the_metrics(trained: Path) -> None:
    lines = metrics(run_of(trained))
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    best = max(lines, key=lambda line: line["mean_iou"])
    told = read_bundle(run_of(trained)).card["training"]
    assert (told["step"], told["mean_iou"]) == (best["step"], best["mean_iou"])
    assert told["validation"]["classes"]["roof"]["iou"] == best["iou"]["roof"]
    assert read_bundle(run_of(trained) / "last").card["training"]["step"] == 40


def test_the_evidence_holds_input_quantiles_and_shares(trained: Path) -> None:
    found = json.loads((run_of(trained) / "evidence.json").read_text())
    assert [e["step"] for e in found] == [10, 20, 30, 40]
    for line in found:
        assert line["input_quantiles"] == sorted(line["input_quantiles"])
        assert sum(line["label_shares"]) == pytest.approx(1, abs=1e-5)
        assert sum(line["predicted_shares"]) == pytest.approx(1, abs=1e-5)


def test_settings_are_told_with_reasons(trained: Path) -> None:
    rows = {r["key"]: r for r in json.loads((run_of(trained) / "settings.json").read_text())}
    assert rows["split.by"]["value"] == "block"
    assert "train.steps" not in rows
    assert all(r["because"] for r in rows.values())


def test_a_finished_run_is_left_alone(own_town: Path, fingerprint: Fingerprint) -> None:
    first = swath.train(own_town, *SHORT)
    before = fingerprint(own_town.parent)
    for resume in (False, True):
        again = swath.train(own_town, *SHORT, resume=resume)
        assert again.pop("already_done") is True
        assert again == {k: v for k, v in first.items() if k != "already_done"}
        assert fingerprint(own_town.parent) == before


def test_other_settings_are_refused_by_name(own_town: Path) -> None:
    swath.train(own_town, *SHORT)
    with pytest.raises(ResourceError, match=r"other settings: model\.width, train\.lr; add --overwrite") as caught:
        swath.train(own_town, *SHORT, "train.lr=0.5", "model.width=5")
    assert caught.value.exit_code == 5
    before = weights(run_of(own_town))
    assert swath.train(own_town, *SHORT, "train.lr=0.5", overwrite=True)["already_done"] is False
    assert weights(run_of(own_town)) != before
    assert swath.train(own_town, *SHORT, "train.lr=0.5", "predict.tile=64", "runtime.memory=1GB")["already_done"] is True


def relabel(config: Path) -> None:
    """Other squares are roofs in the first training scene."""
    write_squares(config.parent / "north.gpkg", squares(7), corner(0))


def test_other_inputs_are_refused(own_town: Path) -> None:
    swath.train(own_town, *SHORT)
    before = weights(run_of(own_town))
    relabel(own_town)
    for resume in (False, True):
        with pytest.raises(ResourceError, match=r"was trained on other inputs: .* have changed; add --overwrite"):
            swath.train(own_town, *SHORT, resume=resume)
    assert weights(run_of(own_town)) == before
    assert swath.train(own_town, *SHORT, overwrite=True)["already_done"] is False
    assert weights(run_of(own_town)) != before


def test_a_training_is_not_resumed_on_other_inputs(own_town: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        killed_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            swath.train(own_town, *SHORT)
    relabel(own_town)
    with pytest.raises(ResourceError, match="was trained on other inputs"):
        swath.train(own_town, *SHORT, resume=True)


@pytest.mark.parametrize("damage", ["", "[]", "{"])
def test_a_damaged_run_is_told(own_town: Path, damage: str) -> None:
    swath.train(own_town, *SHORT)
    (run_of(own_town) / "train.json").write_text(damage)
    with pytest.raises(DataError, match=r"train\.json: is not .*; train anew with --overwrite"):
        swath.train(own_town, *SHORT)


def test_a_finished_run_without_its_bundle_is_told(own_town: Path) -> None:
    swath.train(own_town, *SHORT)
    shutil.rmtree(run_of(own_town) / "best")
    with pytest.raises(DataError, match=r"best: is missing from a finished training; train anew with --overwrite"):
        swath.train(own_town, *SHORT)


@pytest.mark.parametrize("settings", [{}, {"resume": True}, {"overwrite": True}])
def test_two_do_not_train_in_one_run(own_town: Path, settings: dict[str, bool]) -> None:
    swath.train(own_town, *SHORT)
    (run_of(own_town) / "train.json").unlink()
    before = sorted(p.name for p in (run_of(own_town) / "checkpoint").iterdir())
    with only_one(run_of(own_town), "training"), pytest.raises(ResourceError, match="another process is training there; wait for it"):
        swath.train(own_town, *SHORT, **settings)
    assert sorted(p.name for p in (run_of(own_town) / "checkpoint").iterdir()) == before
    assert swath.train(own_town, *SHORT, **(settings or {"resume": True}))["already_done"] is False


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The training is interrupted before that step (0-based)."""
    whole = loop.Learner.step

    def step_or_die(self: loop.Learner, batch: Any, index: int) -> float:
        if index == number:
            raise KeyboardInterrupt
        return whole(self, batch, index)

    monkeypatch.setattr(loop.Learner, "step", step_or_die)


@pytest.mark.parametrize(
    "settings",
    [(), ("train.optimizer=sgd",), ("train.average=0.9", "train.data=rasters"), ("model.dropout=0.3", "train.sampler=class_presence")],
)
@pytest.mark.parametrize("number", [2, 5])
def test_interrupted_and_resumed_gives_the_same_bytes(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], number: int
) -> None:
    for name in ("whole", "cut"):
        shutil.copytree(town.parent, tmp_path / name)
    whole, cut = tmp_path / "whole" / town.name, tmp_path / "cut" / town.name
    swath.train(whole, *SHORT, *settings)
    with monkeypatch.context() as patch:
        killed_at(patch, number)
        with pytest.raises(KeyboardInterrupt):
            swath.train(cut, *SHORT, *settings)
    assert not (run_of(cut) / "train.json").exists()
    with pytest.raises(ResourceError, match="add --resume to go on, or --overwrite"):
        swath.train(cut, *SHORT, *settings)
    with pytest.raises(ResourceError, match=r"other settings: train\.seed"):
        swath.train(cut, *SHORT, *settings, "train.seed=9", resume=True)
    result = swath.train(cut, *SHORT, *settings, resume=True)
    assert result["steps"] == 8
    assert weights(run_of(cut)) == weights(run_of(whole))
    timeless = [[{k: v for k, v in line.items() if "seconds" not in k} for line in metrics(run_of(c))] for c in (whole, cut)]
    assert timeless[0] == timeless[1]
    assert (run_of(cut) / "evidence.json").read_bytes() == (run_of(whole) / "evidence.json").read_bytes()


def test_a_killed_process_is_resumed_to_the_same_bytes(town: Path, tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        shutil.copytree(town.parent, tmp_path / name)
    whole, cut = tmp_path / "whole" / town.name, tmp_path / "cut" / town.name
    swath.train(whole, *SHORT)
    script = f"""
import os, signal, swath
from swath.nets import loop
step = loop.Learner.step
def dying(self, batch, index):
    if index == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)
loop.Learner.step = dying
swath.train({str(cut)!r}, *{SHORT!r})
"""
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL
    swath.train(cut, *SHORT, resume=True)
    assert weights(run_of(cut)) == weights(run_of(whole))


def test_killed_between_the_last_step_and_the_end(own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (*SHORT, "train.patience=1", "train.min_delta=1000")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, "_finish", die)
        with pytest.raises(KeyboardInterrupt):
            swath.train(own_town, *settings)
    assert [line["step"] for line in metrics(run_of(own_town))] == [2, 4]
    assert swath.train(own_town, *settings, resume=True)["steps"] == 4
    assert read_bundle(run_of(own_town) / "last").card["training"]["step"] == 4


def test_patience_ends_a_training_that_no_longer_improves(own_town: Path) -> None:
    result = swath.train(own_town, *SHORT, "train.patience=2", "train.min_delta=1000")
    assert result["steps"] == 6
    assert result["best"]["step"] == 2
    assert read_bundle(run_of(own_town) / "last").card["training"]["step"] == 6


def test_a_resume_without_anything_begun_begins(own_town: Path) -> None:
    assert swath.train(own_town, *SHORT, resume=True)["steps"] == 8


def test_store_and_rasters_train_alike(own_town: Path, tmp_path: Path) -> None:
    filters = ("sample.min_annotated=0.1",)
    swath.sample(own_town, *filters)
    swath.train(own_town, *SHORT, *filters)
    packed = weights(run_of(own_town))
    result = swath.train(own_town, *SHORT, *filters, "train.data=rasters", overwrite=True)
    assert result["data"] == "rasters"
    assert weights(run_of(own_town)) == packed


def test_scenes_of_different_types_keep_their_values(own_town: Path) -> None:
    bands = pixels(truth(squares(0)), 0)
    write_image(own_town.parent / "north.tif", (bands // 8).astype(np.uint8), corner(0))
    swath.sample(own_town)
    swath.train(own_town, *SHORT)
    packed = weights(run_of(own_town))
    swath.train(own_town, *SHORT, "train.data=rasters", overwrite=True)
    assert weights(run_of(own_town)) == packed


def test_a_store_that_is_missing_or_stale_is_told(own_town: Path) -> None:
    with pytest.raises(DataError, match="there is no store; make it: swath sample CONFIG"):
        swath.train(own_town, *SHORT, "train.data=store")
    swath.sample(own_town)
    with pytest.raises(DataError, match="was made with another config or other inputs"):
        swath.train(own_town, *SHORT, "sample.tile=48")
    assert not (run_of(own_town) / "train.json").exists()


def test_a_class_that_is_never_predicted_is_warned_about(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swath.train(own_town, "train.steps=4", "train.evaluations=4", "train.lr=0.000001")
    told = capsys.readouterr()
    assert "class 'roof' was not predicted once in 3 evaluations" in told.err
    assert told.err.count("was not predicted") == 1
    assert told.out == ""


def test_a_budget_becomes_steps(own_town: Path) -> None:
    result = swath.train(own_town, "train.budget=0.4s", "train.steps=", "train.evaluations=2")
    assert result["steps"] == metrics(run_of(own_town))[-1]["step"] >= 1
    assert swath.train(own_town, "train.budget=0.4s", "train.steps=", "train.evaluations=2")["already_done"] is True


def test_the_monitor_may_be_the_loss(own_town: Path) -> None:
    swath.train(own_town, *SHORT, "train.monitor=loss")
    best = min(metrics(run_of(own_town)), key=lambda line: line["val_loss"])
    assert read_bundle(run_of(own_town)).card["training"]["step"] == best["step"]


def test_training_starts_from_a_bundle(own_town: Path, bundle: Path) -> None:
    result = swath.train(own_town, "train.steps=1", "train.lr=0.0000001", f"train.init_from={bundle}")
    assert result["best"]["mean_iou"] > 0.7
    with pytest.raises(DataError, match="its weights do not fit the network"):
        swath.train(own_town, "train.steps=1", f"train.init_from={bundle}", "model.width=6", overwrite=True)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.optimizer=adamm", r"unknown optimiser 'adamm'; did you mean 'adam'"),
        ("train.loss={cee: 1}", r"unknown loss 'cee'; did you mean 'ce'"),
        ("train.schedule={name: polly}", r"unknown schedule 'polly'; did you mean 'poly'"),
        ("train.class_weights={rof: 2}", r"no class is named 'rof'; did you mean 'roof'"),
        ("model.name=unett", r"unknown model 'unett'; did you mean 'unet'"),
        ("model.encoder=resnet18", r"the network 'unet' has no option 'encoder'"),
        ("runtime.device=tpu9", r"tpu9: is no device"),
    ],
)
def test_unknown_words_name_the_closest_known_one(own_town: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        swath.train(own_town, *SHORT, override)
    assert not (run_of(own_town) / "best").exists()


def test_labels_of_one_class_teach_nothing(own_town: Path) -> None:
    for number, name in enumerate(("north", "south")):
        write_image(own_town.parent / f"{name}_mask.tif", np.zeros((1, SIDE, SIDE), np.uint8), corner(number))
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text("image,labels\nnorth.tif,north_mask.tif\nsouth.tif,south_mask.tif\n")
    for data in ("rasters", "store"):
        if data == "store":
            swath.sample(own_town)
        with pytest.raises(DataError, match="all training labels are background: there is nothing to tell apart"):
            swath.train(own_town, *SHORT, f"train.data={data}")


def test_without_validation_there_is_no_training(own_town: Path) -> None:
    with pytest.raises(DataError, match="there is no validation sample"):
        swath.train(own_town, *SHORT, "split.val=0")


def test_samples_smaller_than_the_stride(own_town: Path) -> None:
    result = swath.train(own_town, "train.steps=2", "model.depth=6", "model.width=1", "train.crop=16")
    assert read_bundle(result["bundle"]).model["stride"] == 64


def test_a_loss_that_is_not_finite_leaves_no_bundle(own_town: Path) -> None:
    with pytest.raises(DataError, match=r"step \d+, scenes (north|south)(, south)?: the loss is (nan|inf)"):
        swath.train(own_town, *SHORT, "train.lr=1e30", "train.schedule={name: constant}", "model.norm=none")
    assert not (run_of(own_town) / "train.json").exists()
