"""Tiles with the margin of the network give what the whole image gives; nodata tiles cost nothing; blends sum to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_town import corner, pixels, squares, truth, write_image

from swath.core.bands import Bands
from swath.core.blend import BLENDS
from swath.core.legend import ClassEntry, Legend
from swath.core.stitch import Rows
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterReader
from swath.engines.extend import extended_shape, read_extended
from swath.engines.predictor import TorchPredictor, load_predictor
from swath.engines.tiles import TilePlan, run_tiles

pytest_plugins = ["fixtures_run"]
H, W = 203, 151


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> TorchPredictor:
    return load_predictor(bundle, device="cpu", threads=1)[0]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster of odd size."""
    labels = truth(squares(4, 216), 216, 216)[:H, :W]
    return write_image(tmp_path_factory.mktemp("odd") / "odd.tif", pixels(labels, 4), corner(4), nodata=0)


def collected(rows: Iterator[Rows], height: int = H, width: int = W) -> tuple[NDArray[Any], NDArray[Any]]:
    """The scores (K, H, W) and mask of rows that come in order, each once."""
    scores, masks, at = [], [], 0
    for part in rows:
        assert part.start == at
        assert part.scores.shape[2] == width
        at = part.stop
        scores.append(part.scores)
        masks.append(part.valid)
    assert at == height
    return np.concatenate(scores, 1), np.concatenate(masks)


def whole(reader: RasterReader, predictor: TorchPredictor) -> NDArray[Any]:
    """The network applied once to the extended raster."""
    height, width = reader.grid.shape
    raw, valid = read_extended(reader, Window(0, 0, *extended_shape(height, width, predictor.stride)))
    return predictor(raw[None], valid[None])[0][:, :height, :width]


def agree(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Equal to 1e-5, and the classes the same but for near ties."""
    close = np.abs(found - expected).max() <= 1e-5
    tied = np.abs(expected[0] - expected[1]) < 1e-4
    return bool(close and (tied | (found.argmax(0) == expected.argmax(0))).all())


@pytest.mark.parametrize("core", [64, 96, 256])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_tiles_give_the_whole_image(predictor: TorchPredictor, image: Path, core: int, batch_size: int) -> None:
    reader = RasterReader(image)
    found, mask = collected(run_tiles(reader, predictor, TilePlan(core, 24, batch_size)))
    assert agree(found, whole(reader, predictor))
    assert mask.all()


@pytest.mark.parametrize("side", [(1, 1), (3, 2), (4, 5), (7, 64), (65, 33)])
def test_small_and_narrow_rasters(predictor: TorchPredictor, tmp_path: Path, side: tuple[int, int]) -> None:
    path = write_image(tmp_path / "a.tif", pixels(truth(squares(4))[5:, 5:][: side[0], : side[1]], 1), corner(0))
    reader = RasterReader(path)
    found, mask = collected(run_tiles(reader, predictor, TilePlan(32, 24)), *side)
    assert agree(found, whole(reader, predictor))
    assert mask.shape == side


def test_a_margin_below_the_radius_is_not_exact(predictor: TorchPredictor, image: Path) -> None:
    reader = RasterReader(image)
    found, _ = collected(run_tiles(reader, predictor, TilePlan(64, 0)))
    assert np.abs(found - whole(reader, predictor)).max() > 1e-3


def test_statistics_of_the_image_do_not_depend_on_the_tiles(predictor: TorchPredictor, image: Path) -> None:
    reader = RasterReader(image)
    bound = replace(predictor, bands=replace(predictor.bands, scope="image")).on(reader)
    assert bound.bands.gain != predictor.bands.gain
    found, _ = collected(run_tiles(reader, bound, TilePlan(64, 24)))
    assert agree(found, whole(reader, bound))


def test_rows_from_a_later_start_are_the_same_rows(predictor: TorchPredictor, image: Path) -> None:
    reader, plan = RasterReader(image), TilePlan(64, 24)
    expected, _ = collected(run_tiles(reader, predictor, plan))
    for start in (0, 1, 63, 64, 130, H - 1):
        parts = list(run_tiles(reader, predictor, plan, start=start))
        assert parts[0].start <= start
        assert parts[-1].stop == H
        joined = np.concatenate([p.scores for p in parts], 1)
        assert np.array_equal(joined, expected[:, parts[0].start :])
    assert list(run_tiles(reader, predictor, plan, start=H)) == []


@dataclass
class Echo:
    """Gives the first band back as the first of two scores, and notes what it was asked."""

    stride: int = 4
    radius: int | None = 0
    backend: str = "echo"
    bands: Bands = field(default_factory=lambda: Bands((1, 2, 3), ("a", "b", "c"), (1.0,) * 3, (0.0,) * 3))
    legend: Legend = field(
        default_factory=lambda: Legend((ClassEntry(0, "a", "#000000"), ClassEntry(1, "b", "#ffffff")))
    )
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        self.asked.append(raw.shape)
        assert raw.shape[2] % self.stride == raw.shape[3] % self.stride == 0
        first = raw[:, 0].astype(np.float32) / 4000
        return np.stack([first, 1 - first], 1)

    def on(self, reader: RasterReader) -> Echo:
        return self


@pytest.mark.parametrize("blend", [None, *BLENDS])
@pytest.mark.parametrize(("core", "overlap"), [(32, 0.5), (64, 0.25), (48, 0.9), (512, 0.5)])
def test_an_identity_gives_the_image_back(image: Path, blend: str | None, core: int, overlap: float) -> None:
    reader = RasterReader(image)
    found, mask = collected(run_tiles(reader, Echo(), TilePlan(core, 0, 2, blend, overlap)))
    expected = reader.read(Window(0, 0, H, W))[0][0].astype(np.float32) / 4000
    assert np.abs(found[0] - expected).max() < 1e-5
    assert np.abs(found.sum(0) - 1).max() < 1e-5
    assert mask.all()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_without_data_are_not_computed(tmp_path: Path, batch_size: int) -> None:
    bands = pixels(truth(squares(4, 216), 216, 216)[:H, :W], 4)
    bands[:, :64, :] = 0
    bands[:, 70:75, 30:40] = 0
    bands[0, 100, 100] = 0
    reader, echo = RasterReader(write_image(tmp_path / "a.tif", bands, corner(0), nodata=0)), Echo()
    advanced: list[float] = []
    found, mask = collected(run_tiles(reader, echo, TilePlan(64, 0, batch_size), advanced.append))
    assert np.array_equal(mask, (bands != 0).any(0))
    assert mask[100, 100]
    assert (found[:, :64] == 0).all()
    assert sum(shape[0] for shape in echo.asked) == 3 * 3
    assert sum(advanced) == H * W


def test_batches_join_tiles_of_one_row_and_shape(image: Path) -> None:
    echo = Echo()
    collected(run_tiles(RasterReader(image), echo, TilePlan(64, 0, 3)))
    assert echo.asked == [(2, 3, 64, 64), (1, 3, 64, 24), (2, 3, 64, 64), (1, 3, 64, 24), (2, 3, 64, 64),
                          (1, 3, 64, 24), (2, 3, 12, 64), (1, 3, 12, 24)]  # fmt: skip


@pytest.mark.parametrize("plan", [TilePlan(64, 24), TilePlan(50, 7), TilePlan(64, 0, 1, "hann", 0.5)])
def test_plans_cover_the_extended_raster_in_order(plan: TilePlan) -> None:
    tiles = plan.tiles(H, W, 4)
    tall, wide = extended_shape(H, W, 4)
    seen = np.zeros((tall, wide), int)
    for tile in tiles:
        seen[tile.core.slices()] += 1
        assert tile.read.contains(tile.core)
        for box in (tile.read, tile.core):
            assert all(v % 4 == 0 for v in (box.row, box.col, box.height, box.width))
            assert Window(0, 0, tall, wide).contains(box)
    assert (seen == 1).all() if plan.blend is None else (seen >= 1).all()
    assert [t.core.row for t in tiles] == sorted(t.core.row for t in tiles)


def test_a_failing_model_is_told(image: Path) -> None:
    class Broken(Echo):
        def __call__(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_tiles(RasterReader(image), Broken(), TilePlan(64, 0)))


def test_progress_reaches_the_end(predictor: TorchPredictor, image: Path, tmp_path: Path) -> None:
    advanced: list[float] = []
    advance: Callable[[float], None] = advanced.append
    list(run_tiles(RasterReader(image), predictor, TilePlan(96, 24, 2), advance))
    assert sum(advanced) == H * W
