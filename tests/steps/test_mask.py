"""Masks: which pixels are burnt, ids, colours, nodata, null geometries, unions, manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from shapely import box

from swath.core.errors import DataError, ResourceError
from swath.core.legend import ClassEntry, Legend
from swath.disk.rasters.maps import read_map_info
from swath.specs import LabelsSpec
from swath.steps.mask import mask

Maker = Callable[..., Path]
ROOFS = Legend((ClassEntry(0, "other", "#000000"), ClassEntry(1, "roof", "#efcd08")))
MANY = Legend((ClassEntry(0, "other", "#000000"), ClassEntry(7, "road", "#ff0000"), ClassEntry(300, "lake", "#0000ff")))


def pixels(row: int, col: int, height: int, width: int) -> Any:
    """The polygon around a window of the 20 x 20 image."""
    left, top = 583_000 + col / 2, 4_507_000 - row / 2
    return box(left, top - height / 2, left + width / 2, top)


def read(path: str | Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture
def image(make_raster: Maker) -> Path:
    """A black image: what it shows does not matter."""
    return make_raster("images/a.tif", np.zeros((3, 20, 20), np.uint8), nodata=0)


def test_four_of_five_are_burnt_and_the_null_is_counted(image: Path, make_vector: Maker, tmp_path: Path) -> None:
    shapes = [pixels(2 * i, 2 * i, 2, 2) for i in range(4)]
    labels = make_vector("roofs.gpkg", [*shapes, None])
    result = mask(image, labels, tmp_path / "out", legend=ROOFS)
    found = read(tmp_path / "out" / "a.tif")
    wanted = np.zeros((20, 20), np.uint8)
    for i in range(4):
        wanted[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = 1
    assert np.array_equal(found, wanted)
    (one,) = result["masks"]
    assert (one["polygons"], one["classes"], one["ignored"]) == (4, {"other": 384, "roof": 16}, 0)
    assert result["events"] == {"null or empty geometry skipped": 1}


def test_the_file_has_colours_a_legend_and_a_nodata_that_is_no_class(
    image: Path, make_vector: Maker, tmp_path: Path
) -> None:
    labels = make_vector("r.gpkg", [pixels(0, 0, 4, 4)])
    mask(image, labels, tmp_path / "out", legend=ROOFS)
    with rasterio.open(tmp_path / "out" / "a.tif") as file, rasterio.open(image) as whole:
        assert file.colormap(1)[1] == (0xEF, 0xCD, 0x08, 255)
        assert (file.nodata, file.dtypes, file.transform, file.crs) == (255, ("uint8",), whole.transform, whole.crs)
        assert file.tags(1)["CLASS_1"] == "roof"
    assert read_map_info(tmp_path / "out" / "a.tif").legend == ROOFS


def test_ids_are_kept_and_ignored_pixels_are_nodata(image: Path, make_vector: Maker, tmp_path: Path) -> None:
    legend = Legend(MANY.classes, unlabelled="ignore", field="kind")
    labels = make_vector("r.gpkg", [pixels(0, 0, 4, 4), pixels(2, 2, 4, 4)], {"kind": [7, 300]})
    result = mask(image, labels, tmp_path / "out", legend=legend)
    found = read(tmp_path / "out" / "a.tif")
    assert found.dtype == np.uint16
    assert (found[0, 0], found[3, 3], found[19, 19]) == (7, 300, legend.nodata)
    assert result["masks"][0]["ignored"] == 400 - 28
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert file.colormap(1)[300] == (0, 0, 255, 255)


def test_a_folder_of_vectors_is_their_union(image: Path, make_vector: Maker, tmp_path: Path) -> None:
    legend = Legend(MANY.classes, field="kind")
    make_vector("v/a.gpkg", [pixels(0, 0, 4, 4)], {"kind": [300]})
    make_vector("v/b.geojson", [pixels(2, 2, 4, 4)], {"kind": [7]})
    make_vector("v/c.gpkg", [pixels(10, 10, 4, 4), None], {"kind": [7, 7]})
    for labels in (tmp_path / "v", tmp_path / "v" / "*"):
        result = mask(image, labels, tmp_path / "out", legend=legend, overwrite=True)
        found = read(tmp_path / "out" / "a.tif")
        assert (found[3, 3], found[5, 5], found[11, 11], found[19, 0]) == (300, 7, 7, 0)
        assert result["masks"][0]["classes"] == {"other": 400 - 44, "road": 28, "lake": 16}
        assert result["events"] == {"null or empty geometry skipped": 1}
    mask(image, tmp_path / "v", tmp_path / "p", legend=legend, labels_spec=LabelsSpec(priority="kind"))
    assert np.array_equal(read(tmp_path / "p" / "a.tif"), found)


def test_the_union_counts_within_each_files_extent(image: Path, make_vector: Maker, tmp_path: Path) -> None:
    make_vector("v/a.gpkg", [pixels(0, 0, 1, 1), pixels(3, 3, 1, 1)])
    make_vector("v/b.gpkg", [pixels(10, 10, 2, 2)])
    mask(image, tmp_path / "v", tmp_path / "out", legend=ROOFS, labels_spec=LabelsSpec(extent="labels"))
    found = read(tmp_path / "out" / "a.tif")
    assert (found[0, 0], found[1, 1], found[10, 10], found[8, 8]) == (1, 0, 1, 255)


def test_a_manifest_pairs_images_and_masks(image: Path, make_raster: Maker, make_vector: Maker, tmp_path: Path) -> None:
    make_raster("images/b.tif", np.zeros((1, 20, 20), np.uint8))
    make_vector("v.gpkg", [pixels(0, 0, 4, 4)])
    make_raster("grey.tif", np.eye(20, dtype=np.uint8), nodata=1)  # TRAP-1: the class declared missing
    (tmp_path / "s.csv").write_text("image,labels\nimages/a.tif,v.gpkg\nimages/b.tif,grey.tif\n")
    result = mask(tmp_path / "s.csv", None, tmp_path / "out", legend=ROOFS)
    assert [m["classes"]["roof"] for m in result["masks"]] == [16, 20]
    assert result["events"] == {"nodata tag equal to a class not applied": 1}
    with pytest.raises(DataError, match="no labels"):
        mask(image, None, tmp_path / "p", legend=ROOFS)


def test_nothing_is_replaced_and_names_do_not_meet(image: Path, make_raster: Maker, make_vector: Maker) -> None:
    labels = make_vector("v.gpkg", [pixels(0, 0, 4, 4)])
    with pytest.raises(ResourceError, match="is an input"):
        mask(image, labels, image.parent, legend=ROOFS, overwrite=True)
    other = make_raster("other/a.tif", np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(DataError, match="would both be"):
        mask([image, other], labels, image.parent.parent / "out", legend=ROOFS)


def test_polygons_elsewhere_are_a_mistake(image: Path, make_vector: Maker, tmp_path: Path) -> None:
    labels = make_vector("far.gpkg", [pixels(5000, 5000, 4, 4)])
    with pytest.raises(DataError, match="do not overlap"):
        mask(image, labels, tmp_path / "out", legend=ROOFS)


def test_the_roofs_of_the_real_mask(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "roofs"
    result = mask(folder / "frame.tif", folder / "mask.tif", tmp_path / "out", legend=ROOFS)
    assert result["masks"][0]["classes"]["roof"] == 113_075
