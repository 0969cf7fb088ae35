"""The site that tests of `check` change.

Loaded by `pytest_plugins = ["fixtures_check"]` in the modules that use it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from check_site import Make, Site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the first site leaves its files for the others."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def site(tmp_path: Path, make_raster: Make, make_vector: Make, made: Path) -> Site:
    return Site(tmp_path, make_raster, make_vector, made)
