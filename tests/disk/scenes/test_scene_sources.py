"""The sources of a config found for a scene: what they say of its own image holds too, and numbers are numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from swath.core.errors import DataError
from swath.core.windows import Window
from swath.disk.scenes.manifest import Scene, scenes_from_rows
from swath.disk.scenes.sources import with_sources
from swath.disk.sources.images import image_info, image_reader
from swath.specs import SourceSpec

MakeRaster = Callable[..., Path]
CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)
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


@pytest.fixture
def mixed(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """A STAC item as real ones are: a sharp panchromatic asset, colours of half its resolution, and a picture of three bands."""
    assets = {}
    for name, value, side in (("pan", 9, 1), ("red", 1, 2), ("nir", 4, 2)):
        file = make_raster(f"m_{name}.tif", np.full((1, 12 // side, 16 // side), value, np.uint8), transform=CORNER @ Affine.scale(side))
        assets[name] = {"href": file.name, "type": "image/tiff", "eo:bands": [{"name": name, "common_name": name}]}
    picture = make_raster("m_tci.tif", np.full((3, 3, 4), 7, np.uint8), transform=CORNER @ Affine.scale(4))
    shown = [{"name": n} for n in ("R", "G", "B")]
    assets["visual"] = {"href": picture.name, "type": "image/tiff", "eo:bands": shown}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": {}, "assets": assets}
    (tmp_path / "mixed.json").write_text(json.dumps(item))
    return tmp_path


def test_assets_of_an_item_are_chosen_by_the_names_of_their_bands(mixed: Path) -> None:
    with pytest.raises(DataError, match="is 8 x 6 pixels") as caught:
        image_info(scene(mixed, image="mixed.json").image)
    assert "sources.image.bands" in caught.value.fix
    sources = {"image": SourceSpec(bands=("pan",)), "ms": SourceSpec(bands=("NIR", "red"), resample="nearest")}
    once = with_sources(scene(mixed, image="mixed.json", ms="mixed.json"), sources, (mixed,))
    assert with_sources(once, sources, (mixed,)).image == once.image
    assert image_info(once.image).names == ("pan", "ms:nir", "ms:red")
    assert {f.name for f in once.files} == {"mixed.json", "m_pan.tif", "m_nir.tif", "m_red.tif"}
    raw, valid = image_reader(once.image).read(Window(0, 0, 12, 16))
    assert valid.all()
    assert [np.unique(band).tolist() for band in raw] == [[9], [4], [1]]
    colours = with_sources(scene(mixed, image="mixed.json"), {"image": SourceSpec(bands=("G", "B"))}, (mixed,))
    assert image_info(colours.image).names == ("G", "B")
    assert image_info(colours.image).grid.shape == (3, 4)


@pytest.mark.parametrize("cell", ["item.json", "x_R.tif;x_G.tif;x_B.tif;x_N.tif", "many.tif"])
def test_bands_by_name_are_those_of_their_numbers(folder: Path, make_raster: MakeRaster, cell: str) -> None:
    make_raster("many.tif", np.arange(1, 5, dtype=np.uint16).repeat(48).reshape(4, 6, 8), descriptions=("R", "G", "B", "N"))
    names = ("nir", "green") if cell == "item.json" else ("N", "g")
    found = with_sources(scene(folder, image=cell), {"image": SourceSpec(bands=names)}, (folder,))
    assert image_reader(found.image).read(Window(0, 0, 1, 1))[0].ravel().tolist() == [4, 2]
    assert [n.lower()[0] for n in image_info(found.image).names] == ["n", "g"]
    with pytest.raises(DataError, match=r"has no band 'swir': it has (red|R), ") as caught:
        image_info(with_sources(scene(folder, image=cell), {"image": SourceSpec(bands=("swir",))}, (folder,)).image)
    assert caught.value.code == "band-missing"
