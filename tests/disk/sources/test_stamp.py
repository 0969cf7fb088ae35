"""A stamp follows what a file holds and means, not where it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swath.disk.sources.stamp import file_stamp


def written(path: Path, text: str = "pixels") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_content_counts_and_not_the_place(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.tif"), written(tmp_path / "elsewhere" / "b.tif")
    assert file_stamp(a) == file_stamp(b)
    written(b, "pixelz")
    assert file_stamp(a) != file_stamp(b)


@pytest.mark.parametrize(
    ("name", "beside", "counts"),
    [
        ("a.tif", "a.tfw", True),
        ("a.tif", "a.tif.msk", True),
        ("a.png", "a.pgw", True),
        ("a.asc", "a.prj", True),
        ("a.img", "a.hdr", True),
        ("a.shp", "a.prj", True),
        ("a.shp", "a.dbf", True),
        ("a.shp", "a.cpg", True),
        ("a.tif", "a.tif.aux.xml", False),
        ("a.tif", "a.prj", False),  # of the shapefile a.shp
        ("a.tif", "a.dbf", False),
        ("a.tif", "b.tfw", False),
        ("a.shp", "a.qpj", False),
    ],
)
def test_what_lies_beside_and_changes_the_meaning(tmp_path: Path, name: str, beside: str, counts: bool) -> None:
    file = written(tmp_path / name)
    alone = file_stamp(file)
    written(tmp_path / beside, "1")
    first = file_stamp(file)
    assert (first != alone) == counts
    written(tmp_path / beside, "2")
    assert (file_stamp(file) != first) == counts
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}_copy"))
    assert file_stamp(tmp_path.with_name(f"{tmp_path.name}_copy") / name) == file_stamp(file)
