"""Nothing is lost when a job is killed: after a rerun the files are those of an uninterrupted run, byte for byte."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image, write_squares, write_town

from swath.cli import main

pytest_plugins = ["fixtures_run"]

KILLS = [pytest.param(2, id="2"), pytest.param(20, id="20", marks=pytest.mark.soak)]
SECONDS = 900  # on a machine that has much else to do


def swath(*words: object) -> list[str]:
    """The words of a verb."""
    return [*map(str, words), "-q"]


def finish(words: list[str], folder: Path) -> int:
    """Goes on to the end, in this process: what it finds is on the disk. The most bytes that `folder` ever held."""
    seen, done = [0], Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(held(folder))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        assert main(words) == 0
    finally:
        done.set()
        watcher.join()
    return max(seen)


def killed(words: list[str], folder: Path, enough: float) -> bool:
    """Kills the command once files of `folder` hold so many bytes; False where it had finished before."""
    process = subprocess.Popen([sys.executable, "-m", "swath", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + SECONDS
    try:
        while process.poll() is None:
            assert time.monotonic() < ends
            if held(folder) >= enough:
                process.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    return False


def held(folder: Path) -> int:
    """Bytes of all files, some of which may vanish meanwhile."""
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size
    return found


def hashes(directory: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of the files that match, by name."""
    found = sorted({p for pattern in patterns for p in directory.glob(pattern)})
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def big_town(directory: Path) -> Path:
    """A town whose training scene is large enough that a kill meets the sampling at work."""
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
    """Kills when some share is written, each time in a fresh copy, reruns, and compares with an uninterrupted run."""
    whole = base.parent / "whole"
    shutil.copytree(base, whole)
    most = finish(words(whole), whole / watched)
    assert most
    expected = hashes(whole / watched, patterns)
    assert expected
    draw = random.Random(0)
    for n in range(kills):
        copy = base.parent / f"kill{n}"
        shutil.copytree(base, copy)
        share = draw.uniform(0.05, 0.9)
        while not killed(words(copy), copy / watched, share * most):  # it was too quick to be seen: strike earlier
            shutil.rmtree(copy)
            shutil.copytree(base, copy)
            share *= 0.7
        if n % 2:
            killed([*words(copy), *rerun], copy / watched, draw.uniform(share, 1) * most)
        finish([*words(copy), *rerun], copy / watched)
        assert hashes(copy / watched, patterns) == expected
        assert not list((copy / watched).rglob("*.spool"))
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
    found = squares(3, 1536)
    write_image(base / "large.tif", pixels(truth(found, 1536, 1536), 3), corner(5), tiled=True, compress="deflate")
    settings = [f"predict.executor={executor}", "predict.save=[classes,confidence,probabilities]", "runtime.threads=1"]
    settings += ["predict.tile=256"] if executor == "tiles" else ["predict.strip=64"]
    trial(
        base, lambda d: swath("predict", bundle, d / "large.tif", "--out", d / "maps", *settings), Path("maps"),
        ("*.tif",), kills,
    )  # fmt: skip
