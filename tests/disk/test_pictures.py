"""Pictures show the image stretched, the classes in their colours, and where nothing counts in grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from swath.core.legend import ClassEntry, Legend
from swath.disk.pictures import coloured, overlay, publish_png, rgb, side_by_side, stacked

LEGEND = Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000")))


def test_bands_are_stretched_between_their_percentiles() -> None:
    ramp = np.linspace(100, 1100, 10_000).reshape(100, 100)
    image = np.stack([ramp, ramp * 2, ramp * 3])
    picture = rgb(image, np.ones((100, 100), bool))
    assert picture.dtype == np.uint8
    assert (picture.min(), picture.max()) == (0, 255)
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert abs(int(picture[50, 50, 0]) - 128) < 5


def test_red_green_and_blue_are_found_by_name() -> None:
    image = np.zeros((4, 4, 4))
    image[3, :2] = 1
    picture = rgb(image, np.ones((4, 4), bool), ["nir", "Blue", "green", "RED"])
    assert picture[0, 0].tolist() == [255, 0, 0]
    assert rgb(image[3:], np.ones((4, 4), bool))[0, 0].tolist() == [255, 255, 255]


def test_pixels_without_data_are_black_and_do_not_count() -> None:
    image = np.tile(np.arange(10.0), (3, 10, 1))
    image[:, 0] = 1e6
    valid = np.ones((10, 10), bool)
    valid[0] = False
    picture = rgb(image, valid)
    assert (picture[0] == 0).all()
    assert picture[1].max() == 255
    assert (rgb(image, np.zeros((10, 10), bool)) == 0).all()


def test_classes_have_their_colours_and_ignored_pixels_are_grey() -> None:
    indices = np.array([[0, 1, 255]], np.uint8)
    assert coloured(indices, LEGEND).tolist() == [[[0, 0, 0], [255, 0, 0], [128, 128, 128]]]


def test_an_overlay_tints_the_foreground_only() -> None:
    picture = np.full((1, 3, 3), 100, np.uint8)
    found = overlay(picture, np.array([[0, 1, 255]], np.uint8), LEGEND, strength=0.5)
    assert found.tolist() == [[[100, 100, 100], [177, 50, 50], [100, 100, 100]]]


def test_pictures_are_joined_with_white_gaps() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    row = side_by_side([black, black])
    assert row.shape == (4, 16, 3)
    assert (row[:, 5:11] == 255).all()
    page = stacked([row, black])
    assert page.shape == (14, 16, 3)
    assert (page[4:10] == 255).all()
    assert (page[10:, 5:] == 255).all()


def test_a_png_is_published_without_a_sidecar(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    path = publish_png(tmp_path / "a.png", picture)
    with rasterio.open(path) as found:
        assert np.array_equal(np.moveaxis(found.read(), 0, 2), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
