"""Maps are valid COGs on the input's grid that say what they are; what reads back wrong is never published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from swath.core.errors import ResourceError, SwathError
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.stitch import Rows
from swath.disk.rasters import maps
from swath.disk.rasters.maps import RasterSink, best_class, products, read_map_info
from swath.disk.rasters.spool import Chunk, Spool

LEGEND = Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(5, "roof", "#ff0000"), ClassEntry(9, "tree", "#00ff00")))
GRID = Grid("EPSG:32618", Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0), 700, 1100)
ALL = ("classes", "confidence", "probabilities")


def scores(grid: Grid = GRID, classes: int = 3) -> NDArray[np.float32]:
    raw = np.random.default_rng(0).random((classes, grid.height // 50 + 1, grid.width // 50 + 1)).astype(np.float32)
    large = np.kron(raw / raw.sum(0), np.ones((50, 50), np.float32))
    return np.ascontiguousarray(large[:, : grid.height, : grid.width])


def valid(grid: Grid = GRID) -> NDArray[np.bool_]:
    found = np.ones(grid.shape, bool)
    found[100:200, 300:420] = False
    return found


def write(folder: Path, name: str = "classes", legend: Legend = LEGEND, grid: Grid = GRID, step: int = 96) -> Path:
    """One product of the scores, written in strips of `step` rows."""
    product = products(legend, ALL)[name]
    sink = RasterSink(folder / f"a{product.suffix}", grid, product, legend, {"MODEL": "abc", "SETTINGS": {"tile": 64}})
    everything, mask = scores(grid, len(legend)), valid(grid)
    try:
        for row in range(0, grid.height, step):
            sink.write(Rows(row, everything[:, row : row + step], mask[row : row + step]))
        return sink.finish()
    except SwathError:
        sink.discard(keep=False)
        raise


@pytest.mark.parametrize("name", ALL)
def test_every_product_is_a_valid_cog_on_the_grid(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    good, errors, warnings = cog_validate(path, strict=True)
    assert good, (errors, warnings)
    with rasterio.open(path) as found:
        assert found.crs.to_epsg() == 32618
        assert found.transform == GRID.transform
        assert found.shape == GRID.shape
        assert found.overviews(1) == [2, 4][: len(found.overviews(1))] != []
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("step", [1, 96, 512, 700])
def test_the_class_map_holds_the_ids_of_the_best_class(tmp_path: Path, step: int) -> None:
    with rasterio.open(write(tmp_path, step=step)) as found:
        ids = np.array(LEGEND.ids, np.uint8)[scores().argmax(0)]
        assert np.array_equal(found.read(1), np.where(valid(), ids, 255))
        assert found.nodata == LEGEND.nodata == 255
        assert found.dtypes == ("uint8",)
        assert found.descriptions == ("class",)
        table = found.colormap(1)
        assert [table[i] for i in (0, 5, 9, 255)] == [(0, 0, 0, 255), (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 0, 0)]


def test_probabilities_and_confidence_agree(tmp_path: Path) -> None:
    with rasterio.open(write(tmp_path, "probabilities")) as found:
        probabilities = found.read()
        assert found.descriptions == LEGEND.names
        assert found.nodata == -1
    with rasterio.open(write(tmp_path, "confidence")) as found:
        confidence = found.read(1)
        assert found.nodata == 255
    seen = valid()
    assert np.array_equal(probabilities[:, seen], scores()[:, seen])
    assert np.abs(probabilities[:, seen].sum(0) - 1).max() < 1e-5
    assert (probabilities[:, ~seen] == -1).all()
    assert np.abs(confidence[seen] / 100 - probabilities[:, seen].max(0)).max() <= 0.0051
    assert (confidence[~seen] == 255).all()


def test_a_map_says_what_it_is(tmp_path: Path) -> None:
    found = read_map_info(write(tmp_path))
    assert found.legend == LEGEND
    assert found.tags == {"MODEL": "abc", "SETTINGS": {"tile": 64}}
    assert found.grid.shape == GRID.shape


def test_a_raster_that_is_no_map_has_no_legend(make_raster: Callable[..., Path]) -> None:
    found = read_map_info(make_raster("a.tif", np.zeros((4, 4), np.uint8)))
    assert found.legend is None
    assert found.tags == {}


def test_many_classes_and_large_ids_fit(tmp_path: Path) -> None:
    legend = Legend(tuple(ClassEntry(i * 7, f"c{i}", "#123456") for i in range(60)))
    grid = Grid(GRID.crs, GRID.transform, 120, 130)
    with rasterio.open(write(tmp_path, legend=legend, grid=grid)) as found:
        assert found.dtypes == ("uint16",)
        assert found.nodata == legend.nodata == 65535
        seen = valid(grid)
        assert np.array_equal(found.read(1)[seen], scores(grid, 60).argmax(0)[seen] * 7)
    assert read_map_info(tmp_path / "a_map.tif").legend == legend


@pytest.mark.parametrize("grid", [Grid(None, Affine.identity(), 40, 30), Grid("EPSG:4326", Affine(1e-5, 0, 8, 0, -1e-5, 50), 1, 1)])
def test_small_maps_and_maps_without_place(tmp_path: Path, grid: Grid) -> None:
    path = write(tmp_path, grid=grid)
    with rasterio.open(path) as found:
        assert found.shape == grid.shape
        assert found.transform == grid.transform
        assert (found.crs is None) == (grid.crs is None)


def test_columns_may_come_in_bands(tmp_path: Path) -> None:
    product = products(LEGEND, ())["classes"]
    sink = RasterSink(tmp_path / "a_map.tif", GRID, product, LEGEND, {})
    everything = scores()
    for col, width in ((0, 512), (512, 588)):
        for row in range(0, 700, 70):
            sink.write(Rows(row, everything[:, row : row + 70, col : col + width], None, col))
    with rasterio.open(sink.finish()) as found:
        assert np.array_equal(found.read(1), np.array(LEGEND.ids)[everything.argmax(0)])


def test_the_first_of_equal_scores_is_the_best() -> None:
    rng = np.random.default_rng(0)
    tied = rng.integers(0, 3, (5, 40, 50)).astype(np.float32)
    assert np.array_equal(best_class(tied), tied.argmax(0))


def test_what_reads_back_wrong_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Spool.read

    def careless(spool: Spool, chunk: Chunk) -> NDArray[Any]:
        """Loses a pixel of the second row of blocks on the way to the disk."""
        found = whole(spool, chunk).copy()
        found[0, 3, 4] += chunk.window.row > 0
        return found

    monkeypatch.setattr(Spool, "read", careless)
    with pytest.raises(ResourceError, match=r"a_map\.tif: rows 512 to 700 read back wrong"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_copy_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(source: str, target: str, **options: Any) -> None:
        with rasterio.open(source) as inside:
            array, profile = inside.read(), inside.profile
        array[:, 650, 20] += 1
        with rasterio.open(target, "w", **profile) as out:
            out.write(array)

    monkeypatch.setattr(maps, "rio_copy", copy)
    with pytest.raises(ResourceError, match="rows 512 to 700 read back wrong"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sink_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    sink = RasterSink(tmp_path / "a_map.tif", GRID, products(LEGEND, ())["classes"], LEGEND, {})
    sink.write(Rows(0, scores()[:, :600]))
    assert [p.name for p in tmp_path.iterdir()] == [".a_map.spool"]
    sink.discard(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_sink_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    def sink(key: str) -> RasterSink:
        return RasterSink(tmp_path / "a_map.tif", GRID, products(LEGEND, ())["classes"], LEGEND, {}, key)

    everything = scores()
    first = sink("job")
    first.write(Rows(0, everything[:, :600]))
    first.discard(keep=True)
    second = sink("job")
    assert second.spool.stops() == {0: 512}
    second.resume({0: 512})
    second.write(Rows(400, everything[:, 400:]))
    with rasterio.open(second.finish()) as found:
        assert np.array_equal(found.read(1), np.array(LEGEND.ids)[everything.argmax(0)])
    other = sink("another job")
    assert other.spool.stops() == {}
    other.discard(keep=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a_map.tif"]
