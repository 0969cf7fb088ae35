"""Splits of a manifest: proportions, what stays together, paths, sameness."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.scenes.manifest import read_manifest
from swath.steps.split_files import split_files


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Twenty scenes with masks, four to a group."""
    rows = ["image,label,group,cloud"]
    for i in range(20):
        for kind in ("img", "msk"):
            file = tmp_path / "set" / kind / f"{i}.tif"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        rows.append(f"img/{i}.tif,msk/{i}.tif,g{i // 4},{i / 10}")
    path = tmp_path / "set" / "s.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_groups_and_masks_stay_together_in_the_shares(manifest: Path, tmp_path: Path) -> None:
    result = split_files(manifest, tmp_path / "out" / "s.csv", trn=3, val=1, tst=1, seed=7)
    assert result["scenes"] == {"trn": 12, "val": 4, "tst": 4}
    assert result["units"] == {"trn": 3, "val": 1, "tst": 1}
    found = read_manifest(result["manifest"])  # every path is found from the new place
    assert [s.image.resolve().parent.name for s in found] == ["img"] * 20
    assert all(s.labels is not None and s.labels.stem == s.image.stem for s in found)
    for group in range(5):
        assert len({s.split for s in found if s.group == f"g{group}"}) == 1
    assert [r["cloud"] for r in rows_of(result["manifest"])] == [str(i / 10) for i in range(20)]


def test_the_seed_decides_and_nothing_else(manifest: Path, tmp_path: Path) -> None:
    texts = []
    for i, seed in enumerate((1, 1, 2, 3, 4)):
        split_files(manifest, tmp_path / f"{i}.csv", trn=0.6, val=0.2, tst=0.2, seed=seed)
        texts.append((tmp_path / f"{i}.csv").read_text())
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_interleaved_without_groups(manifest: Path, tmp_path: Path) -> None:
    text = "\n".join(",".join(line.split(",")[:2]) for line in manifest.read_text().splitlines())
    manifest.write_text(text)
    result = split_files(manifest, tmp_path / "s.csv", trn=2, val=1, tst=1, method="interleave")
    splits = [r["split"] for r in rows_of(result["manifest"])]
    assert all(Counter(splits[i : i + 4]) == {"trn": 2, "val": 1, "tst": 1} for i in range(0, 20, 4))
    one = split_files(manifest, tmp_path / "t.csv", trn=4, val=1, tst=0, by="scene", seed=3)
    assert one["scenes"] == {"trn": 16, "val": 4, "tst": 0}


def test_shared_files_tie_scenes(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text("image,labels\nimg/0.tif,msk/0.tif\nimg/1.tif,msk/1.tif\nimg/0.tif,msk/2.tif\nimg/3.tif,msk/1.tif\n")
    result = split_files(manifest, tmp_path / "s.csv", trn=1, val=1, tst=0)
    first, second, third, fourth = (r["split"] for r in rows_of(result["manifest"]))
    assert (first, second) == (third, fourth)
    assert first != second
    with pytest.raises(DataError, match="cannot fill 3 splits"):
        split_files(manifest, tmp_path / "t.csv", trn=1, val=1, tst=1)
    with pytest.raises(DataError, match="1 units"):
        split_files(manifest, tmp_path / "t.csv", trn=1, val=1, tst=0, by="folder")


def test_an_old_split_is_replaced_and_told(manifest: Path, tmp_path: Path) -> None:
    first = split_files(manifest, tmp_path / "set" / "a.json", trn=1, val=0, tst=0)
    second = split_files(first["manifest"], tmp_path / "b.csv", trn=0, val=0, tst=1)
    assert (first["replaced"], second["replaced"]) == (0, 20)
    assert {s.split for s in read_manifest(second["manifest"])} == {"tst"}


def test_what_is_refused(manifest: Path, tmp_path: Path) -> None:
    for shares in ((-1, 1, 1), (0, 0, 0), (float("nan"), 1, 1)):
        with pytest.raises(ConfigError, match="proportions"):
            split_files(manifest, tmp_path / "s.csv", trn=shares[0], val=shares[1], tst=shares[2])
    with pytest.raises(ResourceError, match="is an input"):
        split_files(manifest, manifest, trn=1, val=1, tst=1, overwrite=True)
