"""Every odd file of other projects' test suites ends in pixels and polygons, or in one clear line; none is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from real_data import ODD

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.rasters.crs import metres_per_pixel
from swath.disk.rasters.raster import RasterReader
from swath.disk.vectors.vector import features_on_grid, read_features, repaired, vector_info

pytestmark = pytest.mark.real
INDEX = ODD / "index.tsv"
NAMES = [line.split("\t")[0] for line in INDEX.read_text("utf-8").splitlines()] if INDEX.exists() else []
SOMEWHERE = Affine(10, 0, 500_000, 0, -10, 4_500_000)


@pytest.fixture(scope="module", autouse=True)
def _untouched() -> Iterator[None]:
    """The files keep their sizes and times, and no sidecar appears."""

    def state() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in ODD.rglob("*") if p.is_file()}

    before = state()
    yield
    assert state() == before


def refusal(read: Callable[[], object]) -> DataError | None:
    """The error that reading ends in, if any; every other exception fails the test."""
    try:
        read()
    except DataError as error:
        return error
    return None


def assert_clear(error: DataError | None, path: Path) -> None:
    if error is not None:
        assert path.name in error.where
        assert error.fix
        assert "\n" not in error.line()
        assert len(error.line()) < 800


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # GDAL messages that are no UTF-8
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("rasters/")])
def test_odd_rasters(name: str) -> None:
    def read() -> None:
        reader = RasterReader(ODD / name)
        height, width = (min(side, 300) for side in reader.grid.shape)
        raw, valid = reader.read(Window(-2, -2, height + 4, width + 4))
        assert raw.shape == (len(reader.indexes), height + 4, width + 4)
        assert valid.shape == raw.shape[1:]
        assert not valid[:2].any()
        assert np.isfinite(raw[:, valid]).all()
        size = metres_per_pixel(reader.grid)
        assert size is None or min(size) > 0

    assert_clear(refusal(read), ODD / name)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("vectors/")])
@pytest.mark.parametrize("place", ["own", "utm"])
def test_odd_vectors(name: str, place: str) -> None:
    path = ODD / name

    def read() -> None:
        info = vector_info(path)
        field = info.fields[0] if info.fields else None
        if place == "own":
            found = read_features(path, field=field)
            assert len(found) == info.features
        else:
            grid = Grid(CRS("EPSG:32618").to_wkt() if info.crs else None, SOMEWHERE, 100, 100)
            found = features_on_grid(path, grid, field=field)
        usable = repaired(found, "fix", path, Events())
        assert (shapely.get_dimensions(usable.geometry) >= 2).all()
        assert field is None or (usable.values is not None and len(usable.values) == len(usable))

    assert_clear(refusal(read), path)
