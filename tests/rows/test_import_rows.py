"""Acceptance checks on what other systems leave behind: folders, flags, models; names carry the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from made_samples import made as made_samples
from tiny_town import corner, pixels, squares, truth, write_image, write_town

import swath
from swath.cli import main
from swath.config import load_config
from swath.core.samplers import build_sampler
from swath.disk.formats import FORMATS
from swath.disk.stores.store import StoreSamples

Make = Callable[..., Path]
ALL = ("split.by=none", "split.buffer=0")


def test_nist_002_and_nist_007_ids_beyond_a_byte_are_kept_and_png_goes_with_tif(make_raster: Make, tmp_path: Path) -> None:
    for n in range(3):
        labels = truth(squares(n)).astype(np.uint16) * (300 if n else 1)
        make_raster(f"data/images/a{n}.png", pixels(truth(squares(n)), n)[:1], crs=None, transform=None, driver="PNG")
        make_raster(f"data/masks/a{n}.tif", labels)
    imported = swath.import_("images-masks", tmp_path / "data", out=tmp_path / "new")
    assert imported["scenes"] == 3
    assert load_config(imported["config"]).legend().ids == (0, 1, 300)
    made = swath.sample(imported["config"], *ALL)
    samples = StoreSamples(Path(made["store"]), "trn")
    found = sum(samples.counts)
    wanted = [truth(squares(n)).sum() for n in range(3)]
    assert found[1:].tolist() == [wanted[0], wanted[1] + wanted[2]]


@pytest.mark.parametrize("system", ["nist", "otb", "images-masks"])
def test_nist_055_and_otb_086_models_of_tensorflow_are_refused_by_name(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("saved/saved_model.pb", "check/model.ckpt.index"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"\x08\x01")
        for source in (tmp_path / name, (tmp_path / name).parent):
            assert main(["import", system, str(source), "--out", str(tmp_path / "new")]) == 2
            told = capsys.readouterr().err.strip().splitlines()
            assert len(told) == 1
            assert "a model of TensorFlow, whose checkpoints and saved models are not read; train again" in told[0]
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_beside_the_data_is_no_hindrance(make_raster: Make, tmp_path: Path) -> None:
    make_raster("data/images/a.tif", pixels(truth(squares(0)), 0))
    make_raster("data/masks/a.tif", truth(squares(0)))
    (tmp_path / "data" / "model.ckpt.index").write_bytes(b"\0")
    assert swath.import_("nist", tmp_path / "data", out=tmp_path / "new")["scenes"] == 1


@pytest.mark.parametrize("suffix", [".TIF", ".jp2", ".tiff"])
def test_roof_038_rasters_of_any_extension_are_frames(suffix: str, make_raster: Make, tmp_path: Path) -> None:
    options: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"} if suffix == ".jp2" else {}
    for n, word in enumerate(("train", "train", "val")):
        labels = truth(squares(n))
        frame = f"data/{word}_frames/f{n}{suffix}"
        if suffix == ".jp2":
            from rasterio.drivers import raster_driver_extensions

            if "jp2" not in raster_driver_extensions():
                pytest.skip("this GDAL writes no JPEG 2000")
        make_raster(frame, pixels(labels, n), **options)
        make_raster(f"data/{word}_masks/f{n}.tif", labels)
    imported = swath.import_("frames-masks", tmp_path / "data", out=tmp_path / "new")
    assert imported["scenes"] == 3
    assert swath.check(imported["config"])["ok"]


def test_roof_046_more_channels_than_the_file_has_name_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_town(tmp_path / "town")
    assert main(["sample", str(config), "bands.select=[1, 2, 3, 4, 5, 6, 7, 8]"]) == 3
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "north.tif" in told[0]
    assert "only 1 to 3" in told[0]


def test_roof_048_a_suggested_side_takes_images_of_any_size(tmp_path: Path) -> None:
    config = write_town(tmp_path / "town")
    labels = truth(squares(5, 130), 130, 130)
    write_image(config.parent / "large.tif", pixels(labels, 5), corner(7))
    write_image(config.parent / "large_labels.tif", labels[None], corner(7))
    (config.parent / "scenes.csv").write_text("image,labels,split\nlarge.tif,large_labels.tif,trn\nwest.tif,west.gpkg,val\n")
    made = swath.sample(config, "sample.tile=64")
    samples = StoreSamples(Path(made["store"]), "trn")
    seen = np.zeros((130, 130), bool)
    for place in samples.places:
        seen[place.read.slices()] = True
    assert seen.all()


def test_nist_029_reader_processes_become_threads(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("python train.py --batch_size 4 --number_classes 2 --reader_count 3 --learning_rate 1e-4\n")
    imported = swath.import_("nist", tmp_path / "run.sh", out=tmp_path / "new", allow_missing=True)
    rows = {r["key"]: r for r in imported["report"]}
    assert rows["train.reader_count"]["became"] == "runtime.workers"
    assert load_config(imported["config"]).runtime.workers == 3


def test_otb_025_to_otb_027_the_arguments_of_datasets(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(
        "data = otbtf.DatasetFromPatchesImages(filenames_dict={'x': ['a.tif']}, use_streaming=True, buffer_length=64,\n"
        "    max_nb_of_samples=10, iterator_cls=otbtf.RandomIterator)\n"
        "o = tf.one_hot(labels, depth=3)\n"
    )
    imported = swath.import_("otb", tmp_path / "run.py", out=tmp_path / "new", allow_missing=True)
    rows = {r["key"]: r for r in imported["report"]}
    assert rows["DatasetFromPatchesImages.max_nb_of_samples"]["became"] == "sample.limit"
    assert "waiting is reported" in rows["DatasetFromPatchesImages.buffer_length"]["note"]
    assert "package.module:function" in rows["DatasetFromPatchesImages.iterator_cls"]["note"]
    assert not any("unknown" in r["note"] for r in imported["report"])
    assert load_config(imported["config"]).sample.limit == {"trn": 10}


def test_gdl_150_a_yaml_of_something_else_is_no_config_of_the_old_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_town(tmp_path / "town")
    assert main(["import", "gdl", str(config), "--out", str(tmp_path / "new")]) == 2
    assert "holds no key of geo-deep-learning" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_nist_006_and_nist_027_on_a_hundred_pictures_of_cells(data_dir: Path, tmp_path: Path) -> None:
    imported = swath.import_("nist", data_dir / "cells", out=tmp_path / "new")
    assert imported["scenes"] == 100
    made = swath.sample(imported["config"])
    assert made["samples"] == {"trn": 80, "val": 20, "tst": 0}
    samples = {s: StoreSamples(Path(made["store"]), s) for s in ("trn", "val")}  # type: ignore[arg-type]
    names = {s: {own.scene_names[p.scene] for p in own.places} for s, own in samples.items()}
    assert names["trn"].isdisjoint(names["val"])
    counts = samples["trn"].counts
    drawn = build_sampler("class_presence", samples["trn"].population(256), 0)(np.arange(1000))
    alone = np.flatnonzero(counts[:, 0] == 0)  # TRAP-36: masks that hold class 1 only
    assert len(alone) >= 1
    expected = 0.5 * len(alone) / len(counts)  # they are drawn for class 1 only
    assert np.isin(drawn, alone).mean() == pytest.approx(expected, abs=0.02)


def test_nist_011_a_database_fits_on_a_disk_of_a_gigabyte(tmp_path: Path, make_disk: Callable[[str], Path]) -> None:
    disk = make_disk("1g")
    FORMATS["folders"].write(made_samples(30, side=64, splits=("trn", "val")), tmp_path / "folders")
    for kind in ("lmdb", "store"):
        told = swath.convert(tmp_path / "folders", disk / kind, to=kind)
        assert told["samples"] == {"trn": 15, "val": 15, "tst": 0}
    assert len(list(FORMATS["lmdb"].read(disk / "lmdb"))) == 30


@pytest.mark.parametrize("values", [(1, 2), (0, 4)])
def test_trap_28_beside_the_polygons_of_otbtf_nothing_is_background(values: tuple[int, int], make_vector: Make, tmp_path: Path) -> None:
    """One class alone keeps a background: it could not be told from anything."""
    town = write_town(tmp_path / "town").parent
    boxes = [shapely.box(*(corner(0) @ (c, r + 20)), *(corner(0) @ (c + 20, r))) for r, c in ((10, 10), (60, 60))]
    make_vector(town / "land.gpkg", boxes, {"code": list(values)})
    make_vector(town / "one.gpkg", boxes, {"code": [3, 3]})
    for name in ("land", "one"):
        (town / f"{name}.sh").write_text(f"otbcli_SampleSelection -in north.tif -vec {name}.gpkg -field code -out points.shp\n")
    imported = swath.import_("otb", town / "land.sh", out=tmp_path / "new")
    legend = load_config(imported["config"]).legend()
    assert legend.ids == values
    assert legend.fill == legend.ignore
    assert next(r for r in imported["report"] if r["key"] == "(always) classes.unlabelled")["became"] == "classes.unlabelled"
    made = swath.sample(imported["config"], *ALL, "sample.tile=32")
    counts = StoreSamples(Path(made["store"]), "trn").counts
    assert counts.sum(0).tolist() == [400, 400]
    alone = load_config(swath.import_("otb", town / "one.sh", out=tmp_path / "alone")["config"]).legend()
    assert (alone.ids, alone.fill) == ((0, 3), 0)
