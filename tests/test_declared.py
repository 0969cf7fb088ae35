"""Declared pipelines: a second run does nothing, `--from` makes the tail anew, and what changed is made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError

PIPELINE = """steps:
  - chip: {images: imagery, out: chips, size: 48, expect: 4}
  - mask: {images: chips, labels: roofs.gpkg, config: classes.yaml, out: masks}
  - mosaic: {inputs: masks, out: mosaic.tif}
  - name: table
    summarize: {images: imagery, out: summary}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline beside an image with its polygons."""
    found = squares(1)
    write_image(tmp_path / "imagery" / "north.tif", pixels(truth(found), 1), corner(1))
    write_squares(tmp_path / "roofs.gpkg", found, corner(1))
    (tmp_path / "classes.yaml").write_text("classes: {field: class, 1: roof}\n")
    (tmp_path / "tools.yaml").write_text(PIPELINE)
    return tmp_path / "tools.yaml"


def test_roof_006_a_second_run_executes_nothing(pipeline: Path) -> None:
    first = swath.run(pipeline)
    assert first["executed"] == ["chip", "mask", "mosaic", "table"]
    assert (pipeline.parent / "mosaic.tif").exists()
    second = swath.run(pipeline)
    assert second["executed"] == []
    assert [s["result"] for s in second["steps"]] == json.loads(json.dumps([s["result"] for s in first["steps"]]))


def test_from_makes_the_tail_anew_and_only_some_steps(pipeline: Path) -> None:
    swath.run(pipeline)
    assert swath.run(pipeline, start="mask")["executed"] == ["mask", "mosaic", "table"]
    assert swath.run(pipeline, only="chip,table")["executed"] == ["chip", "table"]
    assert swath.run(pipeline, overwrite=True)["executed"] == ["chip", "mask", "mosaic", "table"]


def test_what_depends_on_a_change_is_made_again(pipeline: Path) -> None:
    swath.run(pipeline)
    found = squares(2)
    (pipeline.parent / "roofs.gpkg").unlink()
    write_squares(pipeline.parent / "roofs.gpkg", found, corner(1))
    assert swath.run(pipeline)["executed"] == ["mask", "mosaic"]
    (pipeline.parent / "mosaic.tif").unlink()
    assert swath.run(pipeline)["executed"] == ["mosaic"]
    pipeline.write_text(PIPELINE.replace("size: 48", "size: 32").replace("expect: 4", "expect: 9"))
    done = swath.run(pipeline)["executed"]
    assert done[0] == "chip"
    assert "table" not in done


def test_files_of_others_are_not_replaced(pipeline: Path) -> None:
    (pipeline.parent / "mosaic.tif").write_bytes(b"mine")
    with pytest.raises(ResourceError, match="is there already"):
        swath.run(pipeline)
    assert (pipeline.parent / "mosaic.tif").read_bytes() == b"mine"
    (pipeline.parent / "mosaic.tif").unlink()
    assert swath.run(pipeline)["executed"] == ["mosaic", "table"]


def test_settings_and_configs_with_scenes(pipeline: Path) -> None:
    root = pipeline.parent
    (root / "roofs.yaml").write_text("scenes: [{image: imagery/north.tif, labels: roofs.gpkg}]\nclasses: {field: class, 1: roof}\n")
    (root / "s.yaml").write_text("steps: [{sample: {config: roofs.yaml, settings: [sample.tile=32, split.buffer=4]}}]\n")
    assert swath.run(root / "s.yaml")["executed"] == ["sample"]
    assert swath.run(root / "s.yaml")["executed"] == []
    write_image(root / "imagery" / "north.tif", pixels(truth(squares(1)), 9), corner(1))
    assert swath.run(root / "s.yaml")["executed"] == ["sample"]


@pytest.mark.parametrize(("text", "where", "told"), [
    ("steps: []", ":1:1", "lists nothing"),
    ("steps: [{chop: {}}]", ":1:9", "no verb 'chop'; did you mean 'chip'"),
    ("steps: [{chip: {image: a}}]", ":1:9", "chip has no argument 'image'; did you mean 'images'"),
    ("steps: [{chip: {images: a, out: b}}]", ":1:9", "chip lacks the argument 'size'"),
    ("steps: [{chip: {images: a}, mask: {}}]", ":1:9", "one verb with its arguments"),
    ("steps: [{name: a, verify: {thing: x}}, {name: a, verify: {thing: y}}]", ":1:1", "two steps are named 'a'"),
    ("step: 1\nsteps: [{verify: {thing: x}}]", ":1:1", "unknown key 'step'"),
])  # fmt: skip
def test_bad_pipelines_are_one_line_with_their_place(tmp_path: Path, text: str, where: str, told: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        swath.run(tmp_path / "p.yaml")
    assert told in error.value.line()
    assert where in error.value.where


def test_unknown_steps_and_settings_are_refused(pipeline: Path) -> None:
    with pytest.raises(ConfigError, match="no step 'masks'; did you mean 'mask'"):
        swath.run(pipeline, start="masks")
    with pytest.raises(ConfigError, match="a pipeline takes no settings"):
        swath.run(pipeline, "train.steps=1")


def test_a_failed_step_leaves_those_before_it_done(pipeline: Path) -> None:
    pipeline.write_text(PIPELINE.replace("expect: 4", "expect: 4") + "  - check: {things: [imagery/north.tif, nothing.gpkg]}\n")
    with pytest.raises(DataError, match="check found errors"):
        swath.run(pipeline)
    pipeline.write_text(PIPELINE)
    assert swath.run(pipeline)["executed"] == []


def test_the_command_line_tells_what_was_made(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(pipeline), "--only", "chip"]) == 0
    assert "chip" in capsys.readouterr().out
    assert main(["run", str(pipeline), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["executed"] == ["mask", "mosaic", "table"]
