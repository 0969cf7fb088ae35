"""The tiny town that the tests of whole chains share: trained once a session, read by all, copied by those that write.

Loaded by `pytest_plugins = ["fixtures_run"]` in the modules that use it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_town import write_town

import swath
from swath.disk.projects.project import Project, load_project
from swath.messages import set_verbosity
from swath.progress import set_quiet


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of the tiny town; nobody writes beside it."""
    return write_town(tmp_path_factory.mktemp("town"))


@pytest.fixture
def own_town(town: Path, tmp_path: Path) -> Path:
    """A copy of the town for one test to change: its config."""
    shutil.copytree(town.parent, tmp_path / "own")
    return tmp_path / "own" / town.name


@pytest.fixture
def project(own_town: Path) -> Callable[..., Project]:
    """`project("sample.tile=64")` is the town's own copy as a project."""
    return lambda *overrides: load_project(own_town, overrides)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a town whose store and run are finished; tests read them only."""
    config = write_town(tmp_path_factory.mktemp("trained"))
    swath.sample(config)
    swath.train(config)
    return config


@pytest.fixture(scope="session")
def bundle(trained: Path) -> Path:
    """The best bundle of the trained town."""
    return trained.parent / "runs" / "roofs" / "best"


@pytest.fixture
def copied_bundle(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle for one test to damage."""
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(autouse=True)
def _loud() -> None:
    """Messages and progress as at the start, whatever `-q` a test before gave."""
    set_verbosity(1)
    set_quiet(False)
