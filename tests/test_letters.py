"""Letters of any kind in class and file names go through the whole chain, whatever the machine's locale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_town import CONFIG, write_town

import swath
from swath.cli import main

SHORT = ("train.steps=2", "train.evaluations=1")
CHAIN = """
import sys
from swath.cli import main
for _ in range(2):
    assert main(["run", sys.argv[1], *sys.argv[2:], "-q"]) == 0
assert main(["check", sys.argv[1]]) == 0
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def named(folder: Path, name: str) -> Path:
    """The config of a town whose class has this name."""
    return write_town(folder, CONFIG.replace("name: roof", f"name: '{name}'"))


def test_a_locale_of_ascii_only_spoils_nothing(tmp_path: Path) -> None:
    config = named(tmp_path, "crépi 屋")
    words = [sys.executable, "-c", CHAIN, str(config), *SHORT]
    done = subprocess.run(words, capture_output=True, env={**os.environ, **ASCII}, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"cr\xe9pi \u5c4b" in done.stdout
    scores = json.loads((tmp_path / "runs" / "roofs" / "scores.json").read_text("utf-8"))
    assert scores["classes"]["crépi 屋"]["pixels"] > 0


@pytest.mark.parametrize("name", ["$x_{1$", "cost $5 or $6", "_hidden", "屋根", "a%b\\n{c}"])
def test_names_of_classes_are_drawn_as_they_are(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = named(tmp_path, name)
    assert main(["analyze", str(config)]) == 0
    assert main(["train", str(config), *SHORT]) == 0
    assert "Glyph" not in capsys.readouterr().err
    assert (tmp_path / "runs" / "roofs" / "curves.png").stat().st_size > 1000
    made = swath.summarize(tmp_path / "north.tif", labels=tmp_path / "north.gpkg", config=config, out=tmp_path / "summary")
    assert list(made["images"][0]["classes"]) == ["background", name]


@pytest.mark.parametrize("words", [("info", "{}"), ("check", "{}"), ("chip", "{}", "--size", "50", "--out", "chips")])
def test_a_name_that_is_no_text_is_told(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_town(tmp_path)
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"n\xff.tif")
    Path("north.tif").rename(odd)
    assert main([w.format(odd) for w in words]) == 3
    assert capsys.readouterr().err.endswith("n\\udcff.tif: the name holds bytes that are no letters here; rename the file or folder "
                                            "in UTF-8 (or, where it is, set a locale of UTF-8: LC_ALL=C.UTF-8)\n")  # fmt: skip
