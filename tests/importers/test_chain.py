"""What was imported really runs: import, check, sample, and two steps of training, for every system."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_town import corner, pixels, squares, truth, write_image, write_squares, write_town

import swath

TEMPLATES = Path(__file__).parent / "templates"
TINY = ("train.steps=2", "train.evaluations=1", "train.warmup_steps=0", "train.precision=fp32", "runtime.device=cpu",
        "runtime.threads=1", "sample.tile=32", "sample.overlap=0", "model.depth=2", "model.width=4", "split.buffer=4")  # fmt: skip


def gdl(folder: Path) -> tuple[str, Path]:
    """The seed's template with its list, as the program wants them."""
    data = folder / "data"
    for number, name in enumerate(("north", "west")):
        found = squares(number, 384)
        write_image(data / f"{name}.tif", pixels(truth(found, 384, 384), number), corner(number))
        write_squares(data / f"{name}.gpkg", found, corner(number))
    (data / "images_to_samples_ci_csv.csv").write_text(
        "./data/north.tif,,./data/north.gpkg,properties/class,trn\n.\\data\\west.tif,,.\\data\\west.gpkg,properties/class,tst\n"
    )
    (data / "colormap.csv").write_text("value,class,colour\n1,roofs,#efcd08\n")
    (folder / "config").mkdir()
    shutil.copy(TEMPLATES / "gdl_massachusetts.yaml", folder / "config" / "gdl.yaml")
    return "gdl", folder / "config" / "gdl.yaml"


def gdl_csv(folder: Path) -> tuple[str, Path]:
    return "gdl-csv", gdl(folder)[1].parents[1] / "data" / "images_to_samples_ci_csv.csv"


def roof(folder: Path) -> tuple[str, Path]:
    """Frames and masks one level down, as its training leaves them, masks with the tag that made maps blank."""
    for number, word in enumerate(("train", "train", "val", "val")):
        labels = truth(squares(number))
        for kind, bands in (("frames", pixels(labels, number)), ("masks", labels[None])):
            tags = {"nodata": 1} if kind == "masks" else {}
            write_image(folder / "data" / f"{word}_{kind}" / word / f"{word}_{number}.tif", bands, corner(number), **tags)
    shutil.copy(TEMPLATES / "roof_settings.json", folder / "settings.json")
    return "roof", folder / "settings.json"


def frames_masks(folder: Path) -> tuple[str, Path]:
    return "frames-masks", roof(folder)[1].parent / "data"


def nist(folder: Path) -> tuple[str, Path]:
    """Pictures of one band without a place, and the flags of the programs."""
    for number in range(10):
        labels = truth(squares(number))
        for kind, bands in (("images", pixels(labels, number)[:1]), ("masks", labels[None])):
            write_image(folder / "data" / kind / f"img_{number}.tif", bands, None)
    shutil.copy(TEMPLATES / "nist.sh", folder / "run.sh")
    return "nist", folder / "run.sh"


def images_masks(folder: Path) -> tuple[str, Path]:
    return "images-masks", nist(folder)[1].parent / "data"


def nist_folder(folder: Path) -> tuple[str, Path]:
    return "nist", nist(folder)[1].parent / "data"


def otb(folder: Path) -> tuple[str, Path]:
    """The chain of applications on an image and its polygons."""
    data = shlex.quote(str(write_town(folder / "data").parent))
    (folder / "extract.sh").write_text(
        f"otbcli_PolygonClassStatistics -in {data}/north.tif -vec {data}/north.gpkg -field class -out stats.xml\n"
        f"otbcli_PatchesSelection -in {data}/north.tif -grid.step 32 -grid.psize 32 -strategy chessboard\n"
    )
    return "otb", folder / "extract.sh"


@pytest.mark.parametrize("made", [gdl, gdl_csv, roof, frames_masks, nist, nist_folder, images_masks, otb])
def test_the_imported_config_runs(made, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    system, source = made(tmp_path / "old")
    result = swath.import_(system, source, out=tmp_path / "new")
    check = swath.check(result["config"])
    assert [f for f in check["findings"] if f["level"] == "error"] == []
    stored = swath.sample(result["config"], *TINY)
    assert stored["samples"]["trn"] > 0
    assert stored["samples"]["val"] > 0
    trained = swath.train(result["config"], *TINY)
    assert trained["steps"] == 2
    card = json.loads((Path(trained["bundle"]) / "card.json").read_text())
    assert "legend" in card
    assert np.isfinite(trained["best"]["mean_iou"])
