"""`run` makes everything once, knows what is done, and redoes what was asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from tiny_town import corner, pixels, squares, truth, write_image, write_town

import swath
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.windows import Window
from swath.disk.projects.project import load_project
from swath.pipeline import STEPS, scenes_to_map, split_regions
from swath.steps import predict as predict_step
from swath.steps import train as train_step

pytest_plugins = ["fixtures_run"]
Fingerprint = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run: its config and result."""
    config = write_town(tmp_path_factory.mktemp("finished"))
    return config, swath.run(config)


def test_a_run_has_all_that_was_promised(finished: tuple[Path, dict[str, Any]]) -> None:
    config, result = finished
    run = config.parent / "runs" / "roofs"
    assert result["run"] == str(run)
    assert result["executed"] == list(STEPS)
    assert result["scores"]["mean_iou"] > 0.7
    assert set(result["scores"]["classes"]) == {"background", "roof"}
    assert [Path(m["map"]) for m in result["maps"]] == [run / "maps" / "west_map.tif"]
    assert result["vectors"] == [str(run / "vectors" / "west_map.gpkg")]
    assert result["picture"] == str(run / "map.png")
    for path in (result["maps"][0]["map"], result["maps"][0]["confidence"], *result["vectors"], result["picture"]):
        assert Path(path).is_file()
    assert json.loads((run / "scores.json").read_text())["mean_iou"] == result["scores"]["mean_iou"]
    with rasterio.open(result["picture"]) as found:
        assert found.shape == (96, 3 * 96 + 2 * 6)
    json.dumps(result, allow_nan=False)


def test_the_map_scores_what_the_run_says(finished: tuple[Path, dict[str, Any]]) -> None:
    config, result = finished
    again = swath.evaluate(result["maps"][0]["map"], config.parent / "scenes.csv")
    assert again["confusion"] == result["scores"]["confusion"]


def test_the_same_run_twice_in_one_place(own_town: Path, fingerprint: Fingerprint) -> None:
    first = swath.run(own_town)
    before = fingerprint(own_town.parent)
    second = swath.run(own_town)
    assert second["executed"] == []
    assert {k: v for k, v in second.items() if k != "executed"} == {k: v for k, v in first.items() if k != "executed"}
    assert fingerprint(own_town.parent) == before
    tail = swath.run(own_town, start="predict")
    assert tail["executed"] == ["predict", "vectorize", "picture"]
    assert swath.run(own_town, only="evaluate")["executed"] == ["evaluate"]
    assert swath.run(own_town)["executed"] == []
    (own_town.parent / "runs" / "roofs" / "maps" / "west_map.tif").unlink()
    assert "predict" in swath.run(own_town)["executed"]
    changed = swath.run(own_town, "vectorize.min_area_m2=5")
    assert changed["executed"] == ["vectorize"]
    with pytest.raises(ResourceError, match=r"was trained with other settings: train\.lr"):
        swath.run(own_town, "train.lr=0.5")
    replaced = swath.run(own_town, "train.lr=0.03", overwrite=True)
    assert replaced["executed"] == list(STEPS)


def test_a_moved_or_copied_run_is_done_at_its_new_place(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config, first = finished
    copy = Path(shutil.copytree(config.parent, tmp_path / "else" / "where"))
    found = swath.run(copy / config.name)
    assert found["executed"] == []
    assert json.dumps(first).replace(str(config.parent), str(copy)) == json.dumps({**found, "executed": list(STEPS)})
    (copy / "runs" / "roofs" / "maps" / "west_map.tif").unlink()
    assert swath.run(copy / config.name)["executed"] == ["predict"]
    assert Path(first["maps"][0]["map"]).exists()


def test_a_moved_config_of_data_at_absolute_places_is_done(own_town: Path, tmp_path: Path) -> None:
    data, project = own_town.parent, tmp_path / "first" / "project"
    project.mkdir(parents=True)
    lines = (data / "scenes.csv").read_text().splitlines()
    rows = [",".join([str(data / c) if "." in c else c for c in line.split(",")]) for line in lines]
    (project / "scenes.csv").write_text("\n".join([lines[0], *rows[1:]]) + "\n")
    shutil.copy(own_town, project / "roofs.yaml")
    first = swath.run(project / "roofs.yaml")
    moved = tmp_path / "project"
    shutil.move(project, moved)
    found = swath.run(moved / "roofs.yaml")
    assert found["executed"] == []
    assert found["maps"][0]["input"] == first["maps"][0]["input"] == str(data / "west.tif")
    assert found["maps"][0]["map"] == str(moved / "runs" / "roofs" / "maps" / "west_map.tif")


def test_a_product_that_was_changed_is_made_anew(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config = Path(shutil.copytree(finished[0].parent, tmp_path / "own")) / finished[0].name
    run = config.parent / "runs" / "roofs"
    assert swath.verify(run)["ok"]
    for name, step in (("maps/west_map.tif", "predict"), ("vectors/west_map.gpkg", "vectorize"), ("scores.json", "evaluate")):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[: len(whole) // 2])
        assert swath.verify(run)["faults"] == [f"{run / name}: is not as the run left it"]
        assert swath.run(config)["executed"] == [step]
        assert swath.verify(run)["ok"]
        if step != "evaluate":  # which tells seconds
            assert (run / name).read_bytes() == whole
    (run / "map.png").unlink()
    assert swath.verify(run)["faults"] == [f"{run / 'map.png'}: is missing"]


def test_vectors_are_those_of_the_map_that_is_there(own_town: Path) -> None:
    swath.run(own_town)
    run = own_town.parent / "runs" / "roofs"
    swath.run(own_town, "train.lr=0.002", only="train")
    old = swath.run(own_town, "train.lr=0.002", only="vectorize")["vectors"]
    assert (run / "vectors" / "west_map.gpkg").samefile(old[0])
    made = swath.run(own_town, "train.lr=0.002")
    assert made["executed"] == ["evaluate", "predict", "vectorize", "picture"]


def test_maps_made_before_an_interruption_are_kept(own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text("image,labels\nnorth.tif,north.gpkg\nsouth.tif,\nwest.tif,\n")
    whole = predict_step._map_one

    def die(job: Any, *rest: Any, **options: Any) -> Any:
        if job.stem == "west":
            raise KeyboardInterrupt
        return whole(job, *rest, **options)

    for settings in ((), ("train.lr=0.002",)):
        with monkeypatch.context() as patch:
            patch.setattr(predict_step, "_map_one", die)
            with pytest.raises(KeyboardInterrupt):
                swath.run(own_town, *settings, overwrite=bool(settings))
        result = swath.run(own_town, *settings)
        assert [m["already_done"] for m in result["maps"]] == [True, False]
        assert Path(result["maps"][0]["confidence"]).exists()


def test_a_damaged_record_of_steps_is_told(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config = Path(shutil.copytree(finished[0].parent, tmp_path / "own")) / finished[0].name
    marks = config.parent / "runs" / "roofs" / "steps.json"
    for damage in ("", "[1]", '{"predict": 3}', marks.read_text()[:-40]):
        marks.write_text(damage)
        with pytest.raises(DataError, match=r"steps\.json: is not as it was written; delete it"):
            swath.run(config)
        assert "is not as it was written" in swath.verify(marks.parent)["faults"][0]
    marks.unlink()
    made = swath.run(config)
    assert made["maps"][0]["already_done"] is True


def test_an_interrupted_run_goes_on(own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "publish_curves", lambda run: run / "curves.png")
    whole = train_step.loop.Learner.step

    def die(self: Any, batch: Any, index: int) -> float:
        if index == 25:
            raise KeyboardInterrupt
        return whole(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(train_step.loop.Learner, "step", die)
        with pytest.raises(KeyboardInterrupt):
            swath.run(own_town)
    result = swath.run(own_town)
    assert result["executed"] == ["train", "evaluate", "predict", "vectorize", "picture"]
    lines = (own_town.parent / "runs" / "roofs" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30, 40]


def test_without_a_test_split_validation_is_scored_and_said(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = own_town.parent / "scenes.csv"
    manifest.write_text("image,labels\nnorth.tif,north.gpkg\nsouth.tif,south.gpkg\nwest.tif,\n")
    town = load_project(own_town)
    split, regions = split_regions(town)
    assert split == "val"
    assert "there is no test split" in capsys.readouterr().err
    held = sum(int(r.mask(Window(0, 0, 96, 96)).sum()) for r in regions.values())
    result = swath.run(own_town)
    assert result["scores"]["pixels"] == held
    assert [Path(m["map"]).name for m in result["maps"]] == ["west_map.tif"]


def test_which_scenes_are_mapped(own_town: Path) -> None:
    town = load_project(own_town)
    assert [s.name for s in scenes_to_map(town.scenes)] == ["west"]
    assert [s.name for s in scenes_to_map(town.scenes[:2])] == ["north", "south"]


def test_errors_of_the_check_stop_a_run_before_anything_is_made(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(own_town.parent / "south.tif", pixels(truth(squares(1)), 1), corner(90))
    with pytest.raises(DataError, match=r"south\.gpkg"):
        swath.run(own_town)
    assert "error:" not in capsys.readouterr().err
    assert not (own_town.parent / "runs").exists() or not list((own_town.parent / "runs" / "roofs").glob("*.store"))


@pytest.mark.parametrize("settings", [{"start": "trian"}, {"only": "trian"}])
def test_unknown_steps_name_the_closest(own_town: Path, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"no step is called 'trian'; did you mean 'train'\?"):
        swath.run(own_town, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("only", ["vectorize", "picture"])
def test_a_step_alone_needs_what_it_works_on(own_town: Path, only: str) -> None:
    with pytest.raises(DataError, match="predict has not run yet"):
        swath.run(own_town, only=only)


def test_a_demo_is_written_whole(tmp_path: Path) -> None:
    from swath.steps.demo import write_demo

    config = write_demo(tmp_path / "demo", seed=3, size=128)
    town = load_project(config)
    assert [s.split for s in town.scenes].count("tst") == 1
    labels = town.labels(0).read(Window(0, 0, 128, 128))
    assert len(np.unique(labels)) >= 3
    assert town.run_dir == (tmp_path / "demo" / "run").absolute()
