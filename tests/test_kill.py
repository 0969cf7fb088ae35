"""Nothing is lost when a job is killed: after a rerun the files are those of an uninterrupted run, byte for byte."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image, write_squares, write_town

pytest_plugins = ["fixtures_run"]

KILLS = [pytest.param(2, id="2"), pytest.param(20, id="20", marks=pytest.mark.soak)]
SECONDS = 900  # on a machine that has much else to do


def swath(*words: object) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-m", "swath", *map(str, words), "-q"]


def finish(words: list[str]) -> float:
    """Runs to the end and returns the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started


def killed(words: list[str], after: float) -> bool:
    """Kills the command after some seconds; False where it had finished before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def hashes(directory: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of the files that match, by name."""
    found = sorted({p for pattern in patterns for p in directory.glob(pattern)})
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def big_town(directory: Path) -> Path:
    """A town whose training scene is large enough that sampling takes seconds."""
    config = write_town(directory)
    found = squares(7, 1536)
    write_image(directory / "big.tif", np.tile(pixels(truth(found, 1536, 1536), 7), 1), corner(9), compress="deflate")
    write_squares(directory / "big.gpkg", found, corner(9))
    manifest = directory / "scenes.csv"
    header = manifest.read_text().splitlines()[0].split(",")
    row = {"image": "big.tif", "labels": "big.gpkg", "split": "trn", "field": "class"}
    manifest.write_text(manifest.read_text() + ",".join(row.get(c, "") for c in header) + "\n")  # publish: a test's own
    return config


def trial(base: Path, words, watched: Path, patterns: tuple[str, ...], kills: int, rerun=()) -> None:
    """Kills at random moments, each in a fresh copy, reruns, and compares with an uninterrupted run."""
    whole = base.parent / "whole"
    shutil.copytree(base, whole)
    seconds = finish(words(whole))
    expected = hashes(whole / watched, patterns)
    assert expected
    draw = random.Random(0)
    for n in range(kills):
        copy = base.parent / f"kill{n}"
        shutil.copytree(base, copy)
        while not killed(words(copy), draw.uniform(0.35, 0.98) * seconds):  # it was faster this time: strike earlier
            shutil.rmtree(copy)
            shutil.copytree(base, copy)
            seconds *= 0.7
        if n % 2:
            killed(words(copy) + list(rerun), draw.uniform(0.3, 0.9) * seconds)
        finish(words(copy) + list(rerun))
        assert hashes(copy / watched, patterns) == expected
        assert not [p for p in (copy / watched).rglob("*.spool")]
        shutil.rmtree(copy)


@pytest.mark.parametrize("kills", KILLS)
def test_sample_goes_on_after_a_kill(tmp_path: Path, kills: int) -> None:
    big_town(tmp_path / "base")
    trial(
        tmp_path / "base", lambda d: swath("sample", d / "roofs.yaml"), Path("runs/roofs/samples.store"),
        ("records.bin", "index.npy", "tiles.gpkg", "card.json"), kills,
    )  # fmt: skip


@pytest.mark.parametrize("kills", KILLS)
def test_train_goes_on_after_a_kill(tmp_path: Path, kills: int) -> None:
    write_town(tmp_path / "base")
    trial(
        tmp_path / "base", lambda d: swath("train", d / "roofs.yaml", "train.steps=120"), Path("runs/roofs"),
        ("best/*", "last/*", "evidence.json"), kills, rerun=("--resume",),
    )  # fmt: skip


@pytest.mark.parametrize("executor", ["rows", "tiles"])
@pytest.mark.parametrize("kills", KILLS)
def test_predict_goes_on_after_a_kill(tmp_path: Path, bundle: Path, kills: int, executor: str) -> None:
    base = tmp_path / "base"
    found = squares(3, 3072)
    write_image(base / "large.tif", pixels(truth(found, 3072, 3072), 3), corner(5), tiled=True, compress="deflate")
    settings = [f"predict.executor={executor}", "predict.save=[classes,confidence,probabilities]", "runtime.threads=1"]
    settings += ["predict.tile=256"] if executor == "tiles" else ["predict.strip=64"]
    trial(
        base, lambda d: swath("predict", bundle, d / "large.tif", "--out", d / "maps", *settings), Path("maps"),
        ("*.tif",), kills,
    )  # fmt: skip
