"""The public names are importable, lazy, complete, and told in the docs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import swath
from swath import api
from swath.cli import VERBS
from swath.commands import python_name

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.mark.parametrize("name", swath.__all__)
def test_every_public_name_is_there_and_told(name: str) -> None:
    assert getattr(swath, name) is not None
    assert name == "__version__" or re.search(rf"`swath\.{name}[`(]", PAGE.read_text())


def test_names_are_listed_and_others_refused() -> None:
    assert sorted(dir(swath)) == sorted(swath.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = swath.nonsense


def test_verbs_and_functions_have_the_same_names() -> None:
    functions = {n for n, f in inspect.getmembers(api, inspect.isfunction) if f.__module__ == "swath.api" and n[0] != "_"}
    assert functions == {python_name(verb) for verb in VERBS}
    assert functions <= set(swath.__all__)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_says_its_result(name: str) -> None:
    assert "." in (inspect.getdoc(getattr(swath, python_name(name))) or "")


def test_importing_swath_is_cheap() -> None:
    script = """
import sys, swath
dir(swath), swath.__version__
heavy = {"torch", "rasterio", "pyogrio", "pydantic", "matplotlib", "numpy"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_labels_and_maps_need_no_torch() -> None:
    script = """
import sys, swath
swath.Bundle, swath.Scene, swath.Legend, swath.Grid, swath.Confusion
import swath.disk.rasters.maps, swath.disk.stores.store, swath.disk.scenes.labels, swath.disk.projects.project
import swath.steps.sample, swath.steps.vectorize
import swath.steps.check, swath.steps.info, swath.steps.verify
sys.exit("imported torch" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
