"""Factories of small rasters and vectors, the real data where it is present, hypothesis without a clock, and an
environment like everybody's.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import settings
from numpy.typing import NDArray
from real_data import DATA

UTM = "EPSG:32618"
CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)  # half-metre pixels, north up

# what a user's shell may hold to change GDAL, the net or the look of a terminal; who tests a variable sets it
FOREIGN = re.compile(
    r"(GDAL|CPL|VSI|OGR|GTIFF|AWS|BOTO|PROJ_NETWORK|PYTHONWARNINGS|PYTHONOPTIMIZE|COLUMNS|LINES|TERM|NO_COLOR|FORCE_COLOR"
    r"|CURL_CA_BUNDLE|SSL_CERT|REQUESTS_CA_BUNDLE|((HTTPS?|FTP|ALL|NO)_PROXY))(_|$)", re.IGNORECASE,
)  # fmt: skip
PLACES = {"GDAL_DATA", "GDAL_DRIVER_PATH"}  # where an installation of GDAL keeps its files
for _name in [n for n in os.environ if FOREIGN.match(n) and n not in PLACES]:
    del os.environ[_name]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks lose by more; tests of threads ask for theirs

settings.register_profile("swath", deadline=None, database=None, max_examples=100, derandomize=True)
settings.register_profile("fuzz", deadline=None, database=None, max_examples=400)  # other examples in every run
settings.load_profile(os.environ.get("SWATH_PROPERTIES", "swath"))


def pytest_configure(config: pytest.Config) -> None:
    """Rasters without georeference are legal inputs: their warning is no failure."""
    config.addinivalue_line("filterwarnings", "ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="session", autouse=True)
def _unhurried_disk() -> Iterator[None]:
    """Files are handed to the system, not to the disk, which may be slow: no test pulls the plug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data."""
    if not (DATA / "massachusetts").is_dir():
        pytest.skip(f"no real data in {DATA}: set SWATH_TEST_DATA")
    return DATA


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch works with one thread: small networks gain nothing by more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., Path]:
    """`make_raster(path, array, ...)` writes a GeoTIFF of (C, H, W) or (H, W) and returns its path.

    A relative `path` lies in `tmp_path`. Further keywords are GDAL creation options (`tiled=True`, `compress=...`).
    """

    def make(
        path: str | Path,
        array: NDArray[Any],
        *,
        crs: str | None = UTM,
        transform: Affine | None = CORNER,
        nodata: float | None = None,
        descriptions: Sequence[str] | None = None,
        dtype: str | None = None,
        colorinterp: Sequence[Any] | None = None,
        **options: Any,
    ) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        bands = np.asarray(array, dtype)
        bands = bands[None] if bands.ndim == 2 else bands
        count, height, width = bands.shape
        profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype, **options}
        if transform is not None:
            profile["transform"] = transform
        with rasterio.open(target, "w", crs=crs, nodata=nodata, **profile) as sink:
            sink.write(bands)
            if descriptions:
                sink.descriptions = tuple(descriptions)
            if colorinterp:
                sink.colorinterp = tuple(colorinterp)
        return target

    return make


@pytest.fixture
def make_vector(tmp_path: Path) -> Callable[..., Path]:
    """`make_vector(path, geometries, fields, ...)` writes a vector file and returns its path.

    A relative `path` lies in `tmp_path`; the driver follows the suffix; None stands for a null geometry, and
    `geometries=None` for a table without geometry.
    """
    drivers = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}

    def make(
        path: str | Path,
        geometries: Sequence[shapely.Geometry | None] | None,
        fields: Mapping[str, Sequence[Any]] | None = None,
        crs: str | None = UTM,
        layer: str | None = None,
        *,
        geometry_type: str = "Unknown",
        append: bool = False,
    ) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: np.asarray(values) for name, values in (fields or {}).items()}
        texts = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in columns.items()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            pyogrio.raw.write(
                target,
                geometry=None if geometries is None else shapely.to_wkb(np.array(geometries, object)),
                field_data=list(texts.values()),
                fields=list(texts),
                crs=crs,
                layer=layer or target.stem,
                driver=drivers[target.suffix],
                geometry_type=None if geometries is None else geometry_type,
                append=append,
            )
        return target

    return make


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`make_disk("1m")` is the folder of a disk of that size of its own; skipped where this user may not mount one."""
    made: list[Path] = []

    def make(size: str) -> Path:
        disk = tmp_path / f"disk{len(made)}"
        disk.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
        if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("no tmpfs can be mounted here")
        made.append(disk)
        return disk

    yield make
    for disk in made:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def small_disk(make_disk: Callable[[str], Path]) -> Path:
    """A disk of 1 MB."""
    return make_disk("1m")


@pytest.fixture
def fingerprint() -> Callable[[Path], dict[str, str]]:
    """`fingerprint(folder)` is the sha256 of every file in it: equal before and after means untouched, no sidecar."""

    def of(folder: Path) -> dict[str, str]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    return of
