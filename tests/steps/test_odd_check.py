"""Every odd file of other projects' test suites through `check`, one after the other in one process.

What rasterio or pyogrio reads is reported as they give it, or with a finding that says why not.
"""

from __future__ import annotations

import faulthandler
import resource
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import rasterio
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from real_data import ODD

import swath
from swath.disk.audits.audit import FINDINGS

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # GDAL messages that are no UTF-8
]
INDEX = ODD / "index.tsv"
NAMES = [line.split("\t")[0] for line in INDEX.read_text("utf-8").splitlines()] if INDEX.exists() else []
PLAIN = ("GTiff", "PNG", "JPEG", "JP2OpenJPEG")
HANG = 60  # seconds after which a file counts as hanging; the slowest takes two
BROKEN = {"raster-corrupt", "raster-truncated"}  # pixels that nobody can read, though the header can be
LIMITS = {"raster-limits", "raster-block", "raster-dtype"}  # beyond the stated limits
Checked = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def checked() -> Iterator[Checked]:
    """What `check` says of each file, by its name."""
    if not NAMES:
        pytest.skip(f"no {INDEX}: set SWATH_TEST_DATA")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {}
    for name in NAMES:
        faulthandler.dump_traceback_later(HANG, exit=True)
        found[name] = swath.check(ODD / name)
        faulthandler.cancel_dump_traceback_later()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000, "kB more than before"
    return found  # type: ignore[return-value]


def errors(result: dict[str, Any]) -> list[str]:
    return [f["code"] for f in result["findings"] if f["level"] == "error"]


def test_every_file_is_told_of(checked: Checked) -> None:
    for name, result in checked.items():
        assert [Path(i["path"]) for i in result["inputs"]] == [(ODD / name).absolute()], name
        for finding in result["findings"]:
            assert finding["code"] in FINDINGS, name
            assert "\n" not in finding["message"] + finding["fix"], name
            assert finding["fix"] or finding["level"] != "error", name
        assert result["ok"] == (not errors(result))


def test_rasters_are_told_of_as_rasterio_gives_them(checked: Checked) -> None:
    counts: Counter[str] = Counter()
    for name in (n for n in NAMES if n.startswith("rasters/")):
        try:
            with rasterio.open(ODD / name) as file:
                if file.driver not in PLAIN:
                    continue
                header = _header(file)
        except RasterioError:
            assert not checked[name]["ok"], f"{name}: rasterio cannot open it"
            continue
        if errors(checked[name]):
            assert set(errors(checked[name])) <= set(FINDINGS)
            counts["broken" if set(errors(checked[name])) <= BROKEN | LIMITS else "refused"] += 1
            continue
        entry = checked[name]["inputs"][0]
        grid = entry["grid"]
        told = (grid["height"], grid["width"], tuple(grid["transform"]), entry["bands"], entry["dtype"])
        assert told == header[:-1], name
        assert (CRS.from_wkt(grid["crs"]) if grid["crs"] else None) == header[-1], name
        assert (entry["crs"] is None) == (header[-1] is None), name
        counts["same"] += 1
    assert counts["same"] > 300
    assert counts["refused"] <= 0.05 * counts.total()


def _header(file: Any) -> tuple[Any, ...]:
    dtype = np.result_type(*file.dtypes).name if "complex_int16" not in file.dtypes else "complex"
    return (*file.shape, tuple(file.transform)[:6], file.count, dtype, file.crs)


def test_broken_rasters_are_those_that_rasterio_cannot_read(checked: Checked) -> None:
    names = [n for n in NAMES if set(errors(checked[n])) & BROKEN]
    assert len(names) > 10
    for name in names:
        with rasterio.open(ODD / name) as file:
            if file.width * file.height * file.count > 10**8:
                continue
            with pytest.raises(RasterioError):
                file.read()


def test_vectors_are_told_of_as_pyogrio_gives_them(checked: Checked) -> None:
    counts: Counter[str] = Counter()
    for name in (n for n in NAMES if n.startswith("vectors/")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pyogrio.read_info(ODD / name, force_feature_count=True, force_total_bounds=True)
                pyogrio.raw.read(ODD / name, columns=[])
        except (DataSourceError, DataLayerError):
            assert not checked[name]["ok"], f"{name}: pyogrio cannot open it"
            continue
        if errors(checked[name]):
            counts["refused"] += 1
            continue
        entry = checked[name]["inputs"][0]
        assert entry["kind"] == "vector", name
        assert (entry["features"], entry["geometry"]) == (header["features"], header["geometry_type"]), name
        assert entry["fields"] == [str(f) for f in header["fields"]], name
        assert (entry["crs"] is None) == (header["crs"] is None), name
        if entry["bounds"] is not None:
            assert entry["bounds"] == [float(v) for v in header["total_bounds"]], name
        counts["same"] += 1
    assert counts["same"] > 100
    assert counts["refused"] <= 0.05 * counts.total()
