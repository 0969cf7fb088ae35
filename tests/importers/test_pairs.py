"""Images and masks find each other; all mismatches are told at once, and nothing is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_town import pixels, squares, truth, write_image

import swath
from swath.cli import main
from swath.config import load_config
from swath.core.errors import ConfigError, DataError
from swath.disk.scenes.manifest import read_manifest
from swath.importers.pairs import Pairing, class_table, mask_values, paired

IMAGE, MASK = np.ones((3, 8, 9), np.uint16), np.eye(8, 9, dtype=np.uint8)


@pytest.fixture
def folders(tmp_path: Path, make_raster: Callable[..., Path]) -> Callable[..., Path]:
    """`folders({"images": ["a.tif"], "masks": [...]})` fills folders with rasters: their root."""

    def make(names: dict[str, list[str]], root: str = "data") -> Path:
        for folder, files in names.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for name in files:
                make_raster(f"{root}/{folder}/{name}", MASK if "mask" in folder else IMAGE)
        return tmp_path / root

    return make


def pairs_of(result: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(s.image.name, str(s.labels and s.labels.name), s.split) for s in read_manifest(result["manifest"])]


FLAT = {"train_frames": ["a.tif", "b.tif"], "train_masks": ["a.tif", "b.tif"], "val_frames": ["c.tif"], "val_masks": ["c.tif"]}
NESTED = {f"{k}/{k.partition('_')[0]}": v for k, v in FLAT.items()}


@pytest.mark.parametrize("layout", [FLAT, NESTED], ids=["flat", "nested"])
def test_both_layouts_give_the_same_pairs(
    layout: dict[str, list[str]], folders: Callable[..., Path], tmp_path: Path, fingerprint: Callable[..., Any]
) -> None:
    root = folders(layout)
    before = fingerprint(root)
    for system in ("frames-masks", "roof"):
        result = swath.import_(system, root, out=tmp_path / system)
        assert pairs_of(result) == [("a.tif", "a.tif", "trn"), ("b.tif", "b.tif", "trn"), ("c.tif", "c.tif", "val")]
        assert load_config(result["config"]).legend().ids == (0, 1)
    assert fingerprint(root) == before


def test_every_mismatch_is_listed(
    folders: Callable[..., Path], tmp_path: Path, make_raster: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders({"images": ["a.tif", "b.tif", "big.tif"], "masks": ["b.tif", "c.tif", "d.tif"]})
    make_raster("data/masks/big.tif", np.zeros((8, 10), np.uint8))
    words = ["import", "images-masks", str(root), "--out", str(tmp_path / "new")]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert "4 missing or unmatched" in told
    for part in ("a.tif has no mask", "c.tif has no image", "d.tif has no image", "big.tif is 10 x 8 pixels, its image 9 x 8"):
        assert part in told
    assert main([*words, "--allow-missing"]) == 0
    assert "missing: " in capsys.readouterr().out


def test_a_suffix_does_not_matter(folders: Callable[..., Path], tmp_path: Path, make_raster: Callable[..., Path]) -> None:
    root = folders({"images": [], "masks": ["a.tif"]})
    make_raster("data/images/a.png", IMAGE.astype(np.uint8), crs=None, transform=None)
    make_raster("data/images/b.png", IMAGE.astype(np.uint8), crs=None, transform=None)
    with pytest.raises(DataError, match="has no mask"):
        swath.import_("images-masks", root, out=tmp_path / "new")
    (root / "images" / "b.png").unlink()
    assert pairs_of(swath.import_("images-masks", root, out=tmp_path / "new"))[0][:2] == ("a.png", "a.tif")


def test_by_regular_expression(folders: Callable[..., Path], tmp_path: Path) -> None:
    root = folders({"images": ["img_7_x.tif", "img_12_y.tif"], "masks": ["m_12.tif", "m_7.tif"]})
    result = swath.import_("images-masks", root, out=tmp_path / "new", pair_by="regex", pattern=r"_(\d+)")
    assert sorted(p[:2] for p in pairs_of(result)) == [("img_12_y.tif", "m_12.tif"), ("img_7_x.tif", "m_7.tif")]
    with pytest.raises(DataError, match=r"img_12_y\.tif has no mask"):
        swath.import_("images-masks", root, out=tmp_path / "newer")


def test_two_files_with_one_key_and_files_without(folders: Callable[..., Path], tmp_path: Path) -> None:
    root = folders({"images": ["a_1.tif", "b_1.tif", "none.tif"], "masks": ["m_1.tif"]})
    found, problems = paired(root / "images", root / "masks", Pairing("regex", r"_(\d)"))
    assert [(i.name, m.name) for i, m in found] == [("a_1.tif", "m_1.tif")]
    assert len(problems) == 2
    assert "are both '1'" in problems[0]
    assert "does not match the pattern" in problems[1]


def test_by_order(folders: Callable[..., Path], tmp_path: Path) -> None:
    root = folders({"images": ["a.tif", "b.tif"], "masks": ["x.tif", "y.tif", "z.tif"]})
    with pytest.raises(DataError, match=r"z.tif has no partner"):
        swath.import_("images-masks", root, out=tmp_path / "new", pair_by="order")
    result = swath.import_("images-masks", root, out=tmp_path / "new", pair_by="order", allow_missing=True)
    assert [p[:2] for p in pairs_of(result)] == [("a.tif", "x.tif"), ("b.tif", "y.tif")]


@pytest.mark.parametrize(
    ("by", "pattern", "told"),
    [("stems", None, "did you mean 'stem'?"), ("regex", None, "goes with"), ("stem", "a", "goes with"),
     ("regex", "(", "is no regular expression")],
)  # fmt: skip
def test_wrong_ways_to_pair(by: str, pattern: str | None, told: str) -> None:
    with pytest.raises(ConfigError) as e:
        Pairing(by, pattern)
    assert told in e.value.line()


def test_values_of_all_masks_are_looked_at(make_raster: Callable[..., Path]) -> None:
    tall = np.zeros((1500, 3), np.uint16)
    tall[1400, 1] = 300
    masks = [make_raster("a.tif", MASK, nodata=1), make_raster("b.tif", tall)]
    assert mask_values(masks) == [0, 1, 300]
    assert sorted(class_table([0, 1, 300])) == [1, 300]


def test_grey_masks_are_one_class() -> None:
    assert class_table([0, 255])[1]["source"] == [">127"]
    assert class_table(range(255))[1]["source"] == [">127"]
    with pytest.raises(ConfigError, match="hold 299 values"):
        class_table(range(300))


def test_masks_of_colours_are_refused(make_raster: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="has 3 bands of uint16, no class ids"):
        mask_values([make_raster("a.tif", IMAGE)])


def test_masks_of_floats_are_classes_where_they_are_whole(make_raster: Callable[..., Path]) -> None:
    values = np.array([[0, 1, np.nan], [3, 3, 0]], np.float32)
    assert mask_values([make_raster("a.tif", values)]) == [0, 1, 3]
    for wrong in (0.5, 1e9, np.inf, -np.inf):
        with pytest.raises(DataError, match="holds fractions, or numbers too large, as float32: no class ids"):
            mask_values([make_raster("b.tif", np.where(values == 3, np.float32(wrong), values))])


def test_float_masks_of_a_folder_check(tmp_path: Path) -> None:
    for number in range(2):
        labels = truth(squares(number))
        for kind, bands in (("train_frames", pixels(labels, number)), ("train_masks", labels[None].astype(np.float32))):
            write_image(tmp_path / "data" / kind / f"train_{number}.tif", bands, None)
    result = swath.import_("frames-masks", tmp_path / "data", out=tmp_path / "new")
    assert load_config(result["config"]).legend().ids == (0, 1)
    assert swath.check(result["config"])["ok"]


def test_a_hundred_pairs_of_cells(tmp_path: Path, data_dir: Path) -> None:
    result = swath.import_("images-masks", data_dir / "cells", out=tmp_path / "new")
    assert result["scenes"] == 100
    assert load_config(result["config"]).legend().ids == (0, 1)
    assert all(image == mask for image, mask, _ in pairs_of(result))


def test_grey_masks_of_roads(tmp_path: Path, data_dir: Path) -> None:
    result = swath.import_("images-masks", data_dir / "roads", out=tmp_path / "new")
    assert result["scenes"] == 60
    assert load_config(result["config"]).legend().thresholds
    assert any(row["note"].startswith("grey masks") for row in result["report"])
    assert swath.check(result["config"])["ok"]
