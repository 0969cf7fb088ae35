"""The sources of a config found for a scene: what they say of its own image holds too, and numbers are numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.core.errors import DataError
from swath.core.windows import Window
from swath.disk.scenes.manifest import Scene, scenes_from_rows
from swath.disk.scenes.sources import with_sources
from swath.disk.sources.images import image_info, image_reader
from swath.specs import SourceSpec

MakeRaster = Callable[..., Path]
COLOURS = ("red", "green", "blue", "nir")


@pytest.fixture
def folder(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """Four files of one band that hold 1 to 4, and a STAC item of them."""
    assets = {}
    for n, colour in enumerate(COLOURS, 1):
        file = make_raster(f"x_{colour[0].upper()}.tif", np.full((1, 6, 8), n, np.uint8))
        bands = [{"name": colour[0].upper(), "common_name": colour}]
        assets[colour] = {"href": file.name, "type": "image/tiff", "eo:bands": bands}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": {"gsd": 0.5}, "assets": assets}
    (tmp_path / "item.json").write_text(json.dumps(item))
    return tmp_path


def scene(folder: Path, **row: Any) -> Scene:
    return scenes_from_rows([("row", row)], folder)[0]


@pytest.mark.parametrize(("cell", "names"), [
    ("item.json", COLOURS),
    ("x_R.tif;x_G.tif;x_B.tif;x_N.tif", ("R", "G", "B", "N")),
])  # fmt: skip
@pytest.mark.parametrize("bands", [(4, 3, 2, 1), (2, 4), (1,)])
@pytest.mark.parametrize("further", [{}, {"gsd": SourceSpec(metadata="number")}])
def test_bands_of_the_image_are_taken_by_number_and_keep_their_names(
    folder: Path, cell: str, names: tuple[str, ...], bands: tuple[int, ...], further: dict[str, SourceSpec]
) -> None:
    sources = {"image": SourceSpec(bands=bands), **further}
    once = with_sources(scene(folder, image=cell, number=9), sources, (folder,))
    twice = with_sources(once, sources, (folder,))
    assert twice.image == once.image
    raw, _ = image_reader(once.image).read(Window(0, 0, 6, 8))
    assert raw[:, 0, 0].tolist() == [*bands, *([9] if further else [])]
    assert image_info(once.image).names == (*(names[b - 1] for b in bands), *further)


def test_the_nodata_value_of_the_image_holds_for_all_its_files(folder: Path) -> None:
    both = scene(folder, image="x_R.tif;x_G.tif")
    valid = image_reader(with_sources(both, {"image": SourceSpec(nodata_value=2)}, (folder,)).image, rule="any").read(Window(0, 0, 6, 8))[1]
    assert not valid.any()
    assert image_reader(both.image, rule="any").read(Window(0, 0, 6, 8))[1].all()


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-inf", "much", "1,5"])
def test_what_is_no_number_is_no_plane(folder: Path, value: str) -> None:
    with pytest.raises(DataError, match=r"'number' is '.*', no number") as caught:
        with_sources(scene(folder, image="x_R.tif", number=value), {"gsd": SourceSpec(metadata="number")}, (folder,))
    assert caught.value.code == "metadata-value"
