"""The generated town: what is written, that it repeats, and that picture and polygons are one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from swath.core.errors import ConfigError
from swath.disk.town.build import BANDS, CLASSES, CRS, _extent, _frame, build_town, write_town

SIZE = 256


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"), size=SIZE)


def _polygons(manifest: Path) -> list[tuple[shapely.Polygon, int, str]]:
    _, _, shapes, (classes, names) = pyogrio.raw.read(manifest.parent / "labels.gpkg", layer="labels")
    return list(zip(shapely.from_wkb(shapes), classes.tolist(), names.tolist(), strict=True))


def _burned(manifest: Path, scene: str, order: int = 1) -> np.ndarray:
    with rasterio.open(manifest.parent / f"{scene}.tif") as source:
        transform, shape = source.transform, source.shape
    pairs = sorted(((p, k) for p, k, _ in _polygons(manifest)), key=lambda pair: order * pair[1])
    return rasterize(pairs, shape, transform=transform, dtype=np.uint8)


def _image(manifest: Path, scene: str) -> np.ndarray:
    with rasterio.open(manifest.parent / f"{scene}.tif") as source:
        return source.read().astype(float)


def test_manifest_names_existing_files_and_the_splits(town: Path) -> None:
    with town.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [r["split"] for r in rows] == ["trn", "trn", "tst"]
    assert {r["field"] for r in rows} == {"class"}
    assert all((town.parent / r[key]).is_file() for r in rows for key in ("image", "labels"))
    assert sorted(p.name for p in town.parent.iterdir()) == [
        "east.tif", "labels.gpkg", "north.tif", "scenes.csv", "south.tif",
    ]  # fmt: skip


def test_images_are_tiled_uint16_in_metres_with_named_bands(town: Path) -> None:
    for name in ("north", "east", "south"):
        with rasterio.open(town.parent / f"{name}.tif") as source:
            assert source.crs.to_string() == CRS
            assert source.crs.linear_units == "metre"
            assert source.res == (0.5, 0.5)
            assert (source.count, *source.shape) == (4, SIZE, SIZE)
            assert set(source.dtypes) == {"uint16"}
            assert source.descriptions == BANDS
            assert set(source.block_shapes) == {(256, 256)}
            assert source.compression.name == "deflate"
            low, high = np.percentile(source.read(), [1, 99])
        assert 120 < low < high < 4095


def test_scenes_do_not_touch(town: Path) -> None:
    boxes = []
    for name in ("north", "east", "south"):
        with rasterio.open(town.parent / f"{name}.tif") as source:
            boxes.append(shapely.box(*source.bounds))
    assert min(a.distance(b) for k, a in enumerate(boxes) for b in boxes[:k]) > 100
    inside = shapely.union_all(boxes).buffer(1e-6)
    assert all(inside.contains(p) for p, _, _ in _polygons(town))


def test_same_seed_same_files_other_seed_other_town(town: Path, tmp_path: Path) -> None:
    again = write_town(tmp_path / "again", size=SIZE)
    other = write_town(tmp_path / "other", size=SIZE, seed=1, scenes={"north": "trn"})
    for file in town.parent.iterdir():
        assert (again.parent / file.name).read_bytes() == file.read_bytes(), file.name
    assert (_image(other, "north") != _image(town, "north")).mean() > 0.9


def test_scenes_differ_from_each_other(town: Path) -> None:
    assert (_burned(town, "north") != _burned(town, "south")).mean() > 0.1


def test_polygons_are_valid_and_any_burning_order_gives_the_same_mask(town: Path) -> None:
    polygons = _polygons(town)
    assert all(p.is_valid and p.geom_type == "Polygon" for p, _, _ in polygons)
    assert all(CLASSES[k][0] == name for _, k, name in polygons)
    for scene in ("north", "east", "south"):
        assert np.array_equal(_burned(town, scene), _burned(town, scene, order=-1))


def test_every_class_has_a_fair_share_at_the_default_size() -> None:
    frame = _frame(2, 768)
    truth = build_town(_extent(frame), np.random.default_rng([0, 2, 0])).truth
    share = np.bincount(frame.burn(truth).ravel(), minlength=len(CLASSES)) / frame.size**2
    assert share.min() > 0.04
    assert share[0] < 0.7


def test_the_picture_is_painted_from_the_polygons(town: Path) -> None:
    for scene in ("north", "east", "south"):
        image, truth = _image(town, scene), _burned(town, scene)
        ndvi = (image[3] - image[2]) / (image[3] + image[2])
        trees, water, roads = (np.median(ndvi[truth == k]) for k in (4, 3, 2))
        assert trees > 0.2 > roads > water


def test_labels_fit_to_the_pixel(town: Path) -> None:
    """The step in brightness between road and the rest is steepest where the label changes, not beside it."""
    image, truth = _image(town, "north"), _burned(town, "north")
    step = np.abs(np.diff(image[3], axis=1))
    edge = (truth[:, 1:] == 2) != (truth[:, :-1] == 2)
    at_edge = step[edge].mean()
    assert at_edge > 1.5 * step[:, 2:][edge[:, :-2]].mean()
    assert at_edge > 1.5 * step[:, :-2][edge[:, 2:]].mean()


def test_a_size_too_small_for_a_town_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use 64 or more"):
        write_town(tmp_path, size=32)
    assert not list(tmp_path.iterdir())
