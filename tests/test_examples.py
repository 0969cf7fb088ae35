"""The example that `swath VERB --help` begins with runs as it stands, and the verb's page names all that it gives."""

from __future__ import annotations

import glob
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from servers import Bucket
from tiny_town import corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.cli import VERBS, main

pytest_plugins = ["fixtures_run", "fixtures_servers"]
PAGES = Path(__file__).parents[1] / "docs" / "verbs"
BEGINNERS = {"analyze", "run", "sample", "train"}  # where there is no run yet
OTHERWISE = {"demo": "is the chain of `run` on a town of its own, and takes minutes"}
GDL = "global: {number_of_bands: 3, num_classes: 1}\nsample: {prep_csv_file: images.csv}\ntraining: {num_epochs: 1}\n"
INDICES = "def ndvi(images):\n    a = images['a'].astype('float32')\n    return (a[2:] - a[:1]) / (a[2:] + a[:1])\n"


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with all that the examples name."""
    verb = request.node.callspec.params["verb"]
    here: Path = tmp_path / "here"
    shutil.copytree(request.getfixturevalue("town" if verb in BEGINNERS else "trained").parent, here)
    for name, number in (("images/north.tif", 0), ("images/south.tif", 1), ("new/town.tif", 2), ("image.tif", 0)):
        write_image(here / name, pixels(truth(squares(number)), number), corner(number))
    shutil.copy(write_squares(here / "roofs.gpkg", squares(0), corner(0)), here / "fields.gpkg")
    (here / "mine").mkdir()
    (here / "mine" / "indices.py").write_text(INDICES)
    (here / "config.yaml").write_text(GDL)
    (here / "images.csv").write_text("north.tif,,north.gpkg,class,trn\nwest.tif,,west.gpkg,class,tst\n")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    if verb == "vectorize":
        swath.predict("runs/roofs", "new/town.tif", out="maps")
    if verb == "mosaic":
        swath.chip("images", out="chips", size=40)
    return here


@pytest.fixture
def words(request: pytest.FixtureRequest, verb: str) -> list[str]:
    """The example as a shell would pass it on; the bucket is the tests' own."""
    found = shlex.split(VERBS[verb].example.partition(" > ")[0])
    if verb == "fetch":
        bucket: Bucket = request.getfixturevalue("bucket")
        bucket.put("scenes/a.tif", request.getfixturevalue("here") / "north.tif")
        found = [w.replace("s3://bucket/", f"{bucket.url}/") for w in found]
    return [file for word in found for file in (sorted(glob.glob(word)) or [word])]


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in OTHERWISE])
def test_the_example_runs_and_its_result_is_told(
    verb: str, here: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[:2] == ["swath", verb]
    assert main([*words[1:], "--json", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    prose = re.sub(r"^```.*?^```", "", (PAGES / f"{verb}.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    told = {word for code in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"\w+", code)}
    assert [key for key in result if key not in told] == [] or verb in ("info", "schema"), "info tells what the kind has"
