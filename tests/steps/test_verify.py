"""`verify` finds every changed byte of a store and a bundle, and says that whole ones are whole."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import swath
from swath.core.errors import DataError

pytest_plugins = ["fixtures_run"]

FLIPS = [pytest.param(60, id="60"), pytest.param(1000, id="1000", marks=pytest.mark.soak)]


def files_of(directory: Path) -> list[Path]:
    return sorted(p for p in directory.iterdir() if p.is_file())


def flip(directory: Path, draw: random.Random) -> tuple[Path, int, int]:
    """Changes one bit of one byte; bytes of all files are equally likely, small files get a share of their own."""
    files = files_of(directory)
    file = draw.choice(files) if draw.random() < 0.5 else draw.choices(files, [f.stat().st_size for f in files])[0]
    position, bit = draw.randrange(file.stat().st_size), 1 << draw.randrange(8)
    with file.open("r+b") as f:  # publish: damage on purpose
        f.seek(position)
        old = f.read(1)[0]
        f.seek(position)
        f.write(bytes([old ^ bit]))
    return file, position, bit


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("part", ["samples.store", "best"])
def test_every_changed_byte_is_found(trained: Path, tmp_path: Path, part: str, flips: int) -> None:
    whole = trained.parent / "runs" / "roofs" / part
    copy = tmp_path / part
    shutil.copytree(whole, copy)
    assert swath.verify(copy)["ok"]
    draw = random.Random(part)
    for _ in range(flips):
        file, position, bit = flip(copy, draw)
        found = swath.verify(copy)
        assert not found["ok"], f"bit {bit} of byte {position} of {file.name}"
        assert found["faults"]
        shutil.copy(whole / file.name, file)
    assert swath.verify(copy)["ok"]


def test_a_run_is_its_store_and_bundles(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.parent / "runs" / "roofs", run)
    assert swath.verify(run) == {"ok": True, "kind": "run", "path": str(run), "faults": []}
    (run / "last" / "card.json").unlink()
    weights = next((run / "best").glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-1])  # publish: damage on purpose
    faults = swath.verify(run)["faults"]
    assert weights.name in faults[0]
    assert faults[1] == f"{run / 'last'}: is missing"


def test_what_is_missing_is_told(trained: Path, tmp_path: Path) -> None:
    store = tmp_path / "samples.store"
    shutil.copytree(trained.parent / "runs" / "roofs" / "samples.store", store)
    (store / "tiles.gpkg").unlink()
    assert "tiles.gpkg" in swath.verify(store)["faults"][0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no store, bundle, run or raster"):
        swath.verify(tmp_path / "empty")


@pytest.mark.parametrize("to", ["webdataset", "lmdb", "patches-images"])
def test_samples_in_another_layout_are_proven(trained: Path, tmp_path: Path, to: str) -> None:
    pytest.importorskip("lmdb")
    out = tmp_path / "out"
    swath.convert(trained.parent / "runs" / "roofs" / "samples.store", out, to=to)
    assert swath.verify(out) == {"ok": True, "kind": to, "path": str(out), "faults": []}
    file = max((f for f in out.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)
    told = swath.verify(out)
    assert not told["ok"]
    assert len(told["faults"]) == 1
