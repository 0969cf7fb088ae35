"""Nodata of the image grown in the map: by how much, whatever walks the raster, and never from beyond its edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from tiny_town import corner, pixels, squares, truth, write_image

import swath
from swath.core.errors import ConfigError

pytest_plugins = ["fixtures_run"]
HOLES = ((0, 0), (40, 70), (41, 70), (95, 30))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A scene of the town with a few pixels that declare themselves missing."""
    bands = pixels(truth(squares(5)), 5)
    for row, col in HOLES:
        bands[:, row, col] = 0
    return write_image(tmp_path / "holes.tif", bands, corner(5), nodata=0)


@pytest.mark.parametrize("how", [["predict.executor=rows", "predict.strip=16"], ["predict.tile=32"]])
def test_otb_050_nodata_grows_by_the_radius(bundle: Path, image: Path, tmp_path: Path, how: list[str]) -> None:
    plain = swath.predict(bundle, image, *how, out=tmp_path / "plain")
    for radius in (0, 1, 5):
        out = tmp_path / str(radius)
        made = swath.predict(bundle, image, *how, f"predict.nodata_grow={radius}", "predict.save=[confidence]", out=out)
        grown_alike(made, plain, radius)


def grown_alike(made: dict[str, Any], plain: dict[str, Any], radius: int) -> None:
    missing = np.zeros((96, 96), bool)
    for row, col in HOLES:
        missing[max(0, row - radius) : row + radius + 1, max(0, col - radius) : col + radius + 1] = True
    with rasterio.open(made["maps"][0]["map"]) as found, rasterio.open(plain["maps"][0]["map"]) as whole:
        assert np.array_equal(found.read(1) == 255, missing)
        assert np.array_equal(found.read(1)[~missing], whole.read(1)[~missing])  # what is kept does not change
    with rasterio.open(made["maps"][0]["confidence"]) as found:
        assert np.array_equal(found.read(1) == 255, missing)
    assert made["maps"][0]["nodata_pixels"] == missing.sum()


def test_another_growth_is_another_map(bundle: Path, image: Path, tmp_path: Path) -> None:
    swath.predict(bundle, image, out=tmp_path)
    with pytest.raises(swath.SwathError, match="made otherwise"):
        swath.predict(bundle, image, "predict.nodata_grow=2", out=tmp_path)


@pytest.mark.parametrize("value", ["-1", "1.5", "many"])
def test_other_radii_are_refused(bundle: Path, image: Path, tmp_path: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match="nodata_grow"):
        swath.predict(bundle, image, f"predict.nodata_grow={value}", out=tmp_path)
