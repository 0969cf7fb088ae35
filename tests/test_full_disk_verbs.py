"""A disk that fills while a verb writes: exit code 5, one line with the free space, nothing under a final name, and
the same command goes on when there is room again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.cli import main

pytest_plugins = ["fixtures_run"]
Swath = Callable[..., tuple[int, str]]


def fill(disk: Path, leave: int) -> Path:
    """Fills the disk but for `leave` bytes; the filling file."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * max(0, shutil.disk_usage(disk).free - leave - 4096))  # publish: fills the disk
    return filler


@pytest.fixture
def swath(capfd: pytest.CaptureFixture[str]) -> Swath:
    """`swath("train", config)` is (exit code, standard error), of GDAL too."""

    def call(*words: object) -> tuple[int, str]:
        capfd.readouterr()
        code = main([*map(str, words), "-q"])
        return code, capfd.readouterr().err

    return call


def told(done: tuple[int, str]) -> None:
    """One line about the disk with what is free, exit code 5."""
    code, error = done
    assert code == 5, error
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert "free" in error


@pytest.mark.parametrize("leave", [2_000, 9_000, 20_000, 40_000, 60_000])
def test_predict_on_a_full_disk(bundle: Path, town: Path, small_disk: Path, leave: int, swath: Swath) -> None:
    filler = fill(small_disk, leave)
    words = ("predict", bundle, town.parent / "west.tif", "--out", small_disk / "maps",
             "predict.save=[classes,confidence,probabilities]")  # fmt: skip
    done = swath(*words)
    finals = sorted(p.name for p in (small_disk / "maps").glob("*.tif")) if (small_disk / "maps").exists() else []
    if done[0] == 0:
        assert len(finals) == 3
        return
    told(done)
    assert not [p for p in (small_disk / "maps").rglob("*.part*")]
    filler.unlink()
    assert swath(*words)[0] == 0
    assert len(list((small_disk / "maps").iterdir())) == 3


@pytest.mark.parametrize("leave", [4_000, 60_000])
def test_sample_on_a_full_disk(own_town: Path, small_disk: Path, leave: int, swath: Swath) -> None:
    filler = fill(small_disk, leave)
    words = ("sample", own_town, f"output={small_disk / 'run'}")
    told(swath(*words))
    store = small_disk / "run" / "samples.store"
    assert not (store / "card.json").exists()
    filler.unlink()
    assert swath(*words)[0] == 0
    assert swath("verify", store)[0] == 0


@pytest.mark.parametrize("leave", [8_000, 60_000])
def test_train_on_a_full_disk(own_town: Path, small_disk: Path, leave: int, swath: Swath) -> None:
    filler = fill(small_disk, leave)
    words = ("train", own_town, f"output={small_disk / 'run'}", "train.steps=4", "train.data=rasters")
    told(swath(*words))
    assert not (small_disk / "run" / "train.json").exists()
    filler.unlink()
    assert swath(*words, "--overwrite")[0] == 0
