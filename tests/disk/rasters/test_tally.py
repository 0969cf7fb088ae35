"""Label values are counted exactly, with their ground; large images on a coarser grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from audited import LEGEND, codes

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.splits import Region
from swath.core.windows import Window
from swath.disk.audits.labels import stored_code
from swath.disk.audits.masks import label_raster_findings
from swath.disk.rasters.crs import parse_crs
from swath.disk.rasters.raster import raster_info
from swath.disk.rasters.tally import LabelValues, coarse, tally, tally_classes
from swath.disk.sources.probe import spread_windows

Make = Callable[..., Path]


@pytest.mark.parametrize("how", ["mask", "alpha"])
def test_hidden_values_of_a_label_raster_do_not_count(make_raster: Make, how: str) -> None:
    values, seen = np.zeros((60, 40), np.uint8), np.full((60, 40), 255, np.uint8)
    values[:10], values[30:], seen[30:] = 1, 99, 0
    if how == "alpha":
        path = make_raster("a.tif", np.stack([values, seen]), ALPHA="YES")
    else:
        path = make_raster("a.tif", values)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
            sink.write_mask(seen)
    info = raster_info(path)
    source = LabelValues(path)
    counts = tally(source, info.grid, [Window(0, 0, 20, 40), Window(20, 0, 20, 40), Window(40, 0, 20, 40)])
    source.close()
    assert {v: n for v, (n, _) in counts["all"].items()} == {0: 800, 1: 400}
    found = label_raster_findings(info, None, LEGEND, counts)
    assert codes(found, "error", "warning") == set()


def test_values_and_ground_of_a_label_raster(make_raster: Make) -> None:
    values = np.zeros((600, 400), "int16")
    values[:100], values[100:, :50] = -5, 300
    path = make_raster("a.tif", values, transform=Affine(10, 0, 5e5, 0, -10, 4.5e6))
    source = LabelValues(path)
    info = raster_info(path)
    counts = tally(source, info.grid, spread_windows(info, float("inf")))["all"]
    split = tally(source, info.grid, spread_windows(info, float("inf")), [Region("val", (Window(0, 0, 100, 100),))])
    source.close()
    assert {v: n for v, (n, _) in counts.items()} == {-5: 40_000, 0: 175_000, 300: 25_000}
    scale = 0.9996**2  # of UTM at its central meridian
    assert counts[300][1] == pytest.approx(25_000 * 100 / scale, rel=1e-4)
    assert {v: n for v, (n, _) in split["val"].items()} == {-5: 10_000}


def test_too_many_values_are_no_classes(make_raster: Make) -> None:
    path = make_raster("a.tif", np.arange(10_000, dtype="int32").reshape(100, 100))
    with pytest.raises(DataError, match="amounts, no classes") as caught:
        tally(LabelValues(path), raster_info(path).grid, [Window(0, 0, 100, 100)])
    assert caught.value.code == "labels-continuous"


def test_large_images_are_counted_on_a_coarser_grid() -> None:
    grid = Grid(None, Affine.translation(3, 4), 30_000, 20_000)
    small = coarse(grid)
    assert small.height * small.width <= 100_000_000
    assert small.bounds == pytest.approx(grid.bounds)

    class Half:
        def read(self, window: Window) -> Any:
            rows = np.arange(window.row, window.row_end) < small.height // 2
            return np.broadcast_to(rows[:, None], window.shape).astype(np.uint8)

    counts, exact = tally_classes(Half(), grid, LEGEND, [Region("trn", None, (Window(0, 0, 15_000, 20_000),))])
    assert not exact
    assert counts["trn"][0][0] == pytest.approx(300_000_000, rel=1e-3)


def test_the_code_that_a_geopackage_stores(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [shapely.box(0, 0, 1, 1)], crs="EPSG:26986")
    assert stored_code(path, "EPSG:26986") == "EPSG:26986"
    plain = parse_crs("EPSG:26986").to_wkt("WKT1_ESRI")
    assert stored_code(Path("a.shp"), plain) is None
