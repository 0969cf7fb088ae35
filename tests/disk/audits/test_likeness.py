"""An image unlike those of the training is told before it is mapped; one like them is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from tiny_town import UTM, corner, pixels, squares, truth, write_image

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.disk.audits.likeness import unlike
from swath.disk.rasters.raster import RasterReader

BANDS = Bands((1, 2, 3), ("b1", "b2", "b3"), (1.0,) * 3, (0.0,) * 3)
SEEN = {"p2": [230.0, 330.0, 280.0], "p50": [320.0, 420.0, 370.0], "p98": [870.0, 870.0, 870.0], "pixel_m": 0.5}
SCENE = pixels(truth(squares(3)), 3)


def found(path: Path, values: Any = SCENE, transform: Affine | None = None, seen: Any = SEEN, bands: Bands = BANDS) -> list[str]:
    image = write_image(path / "x.tif", np.asarray(values), transform or corner(0))
    return unlike(RasterReader.of(image, bands), bands, seen)


def test_an_image_of_the_same_kind_is_not_mentioned(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    assert found(tmp_path, transform=Affine(0.55, 0, 583_000, 0, -0.55, 4_507_000)) == []


def test_pixels_of_another_size_are_told_in_metres(tmp_path: Path) -> None:
    told = found(tmp_path, transform=Affine(10, 0, 583_000, 0, -10, 4_507_000))
    assert len(told) == 1
    assert told[0].startswith("a pixel is 10 m wide, the model was trained on 0.5 m")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (SCENE / 10_000.0, "spreads over"),
        (SCENE * 20.0, r"spreads [12]\d(\.\d)? times as wide as usual"),
        (SCENE + 20_000.0, "lies beside the usual range"),
        (SCENE.astype(np.int16) - 20_000, "lies beside the usual range"),
    ],
)
def test_values_of_another_range_are_told(tmp_path: Path, values: Any, what: str) -> None:
    told = found(tmp_path, values)
    assert len(told) == 1
    assert re.search(what, told[0])
    assert told[0].endswith("the model was trained on other values; check its unit and scaling")


def test_one_odd_band_of_three_is_not_enough(tmp_path: Path) -> None:
    values = SCENE.astype(np.float32)
    values[2] += 20_000
    assert found(tmp_path, values) == []


def test_codes_blank_images_and_planes_are_not_compared(tmp_path: Path) -> None:
    assert found(tmp_path, np.full((3, 50, 50), 9000, np.uint16)) == []
    assert found(tmp_path, np.full((3, 50, 50), np.nan, np.float32)) == []
    planes = Bands((1, 2, 3), ("b1", "b2", "b3"), (1.0,) * 3, (0.0,) * 3, plain=(0, 1, 2))
    assert found(tmp_path, SCENE + 20_000.0, bands=planes) == []
    by_image = Bands((1, 2, 3), ("b1", "b2", "b3"), (1.0,) * 3, (0.0,) * 3, scope="image")
    assert found(tmp_path, SCENE + 20_000.0, bands=by_image) == []


@pytest.mark.parametrize("seen", [{}, {"p2": [None] * 3, "p50": [None] * 3, "p98": [None] * 3, "pixel_m": None}])
def test_what_is_not_known_is_not_compared(tmp_path: Path, seen: dict[str, Any]) -> None:
    assert found(tmp_path, SCENE + 20_000.0, Affine(10, 0, 583_000, 0, -10, 4_507_000), seen) == []


def test_a_far_corner_of_a_large_image_is_not_seen_but_most_of_it_is(tmp_path: Path) -> None:
    large = np.tile(SCENE, (1, 12, 12)).astype(np.float32)
    large[:, :100, :100] += 20_000
    assert found(tmp_path, large) == []
    assert found(tmp_path, large + 20_000)


def described(path: Path, names: tuple[str, ...], count: int = 3) -> RasterReader:
    image = write_image(path / "named.tif", np.concatenate([SCENE, SCENE])[:count], corner(0), UTM)
    with rasterio.open(image, "r+") as file:
        file.descriptions = names
    return RasterReader.of(image, Bands((1, 2, 3), ("Red", "green", "blue"), (1.0,) * 3, (0.0,) * 3))


@pytest.mark.parametrize("names", [("blue", "green", "red"), ("nir", "red", "green", "blue")])
def test_bands_in_another_order_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    reader = described(tmp_path, names, len(names))
    bands = Bands((1, 2, 3), ("Red", "green", "blue"), (1.0,) * 3, (0.0,) * 3)
    with pytest.raises(DataError, match=rf"named\.tif: its bands are {', '.join(names)}, those of the model red, green, blue"):
        unlike(reader, bands, {})


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("x", "y", "z"), ("blue", "green", "x"), ("red", "green", "blue", "nir")])
def test_bands_of_other_names_or_more_bands_pass(tmp_path: Path, names: tuple[str, ...]) -> None:
    bands = Bands((1, 2, 3), ("Red", "green", "blue"), (1.0,) * 3, (0.0,) * 3)
    assert unlike(described(tmp_path, names, len(names)), bands, {}) == []
