"""OTBTF: what its scripts and folders of samples become; scripts are read as text and never run."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from made_samples import made
from tiny_town import corner, squares, truth, write_image, write_town

import swath
from swath.cli import parser
from swath.config import load_config
from swath.disk.formats import FORMATS
from swath.disk.scenes.manifest import read_manifest
from swath.importers.otb_keys import FUNCTIONS
from swath.importers.scripts import Argument, python_arguments, shell_arguments

TEMPLATES = Path(__file__).parent / "templates"
CHAIN = """export DATADIR={folder}
otbcli_PolygonClassStatistics -in $DATADIR/north.tif -vec $DATADIR/north.gpkg -field class -out stats.xml
otbcli_SampleSelection -in $DATADIR/north.tif -vec $DATADIR/north.gpkg -instats stats.xml -field class -out points.shp
otbcli_PatchesExtraction -source1.il $DATADIR/north.tif -source1.patchsizex 32 -source1.patchsizey 32 \\
  -source1.out patches.tif -source2.il $DATADIR/other.tif -source2.patchsizex 8 -vec points.shp -field class -ram 512
otbcli_TensorflowModelTrain -training.source1.il patches.tif -training.batchsize 5 -training.epochs 40 -validation.step 10 \\
  -model.dir net
"""


def rows(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in result["report"]}


def test_the_chain_becomes_a_scene(tmp_path: Path) -> None:
    town = write_town(tmp_path / "town").parent
    write_image(town / "other.tif", np.ones((1, 96, 96), np.uint8), corner(0))
    (tmp_path / "chain.sh").write_text(CHAIN.format(folder=shlex.quote(str(town))))
    result = swath.import_("otb", tmp_path / "chain.sh", out=tmp_path / "new")
    (scene,) = read_manifest(result["manifest"])
    assert (scene.image.name, scene.labels and scene.labels.name, scene.field) == ("north.tif", "north.gpkg", "class")
    config = load_config(result["config"])
    assert config.legend().ids == (0, 1)
    assert config.sample.tile == 32
    assert (config.train.batch_size, config.train.epochs, config.train.evaluations) == (5, 40, 4)
    found = rows(result)
    assert list(config.sources) == ["image", "source2"]
    assert scene.attributes["source2"] == "../town/other.tif"
    assert found["PatchesExtraction.source2.il"]["became"] == "sources.source2"
    assert found["PatchesExtraction.source2.patchsizex"]["became"] is None
    assert found["TensorflowModelTrain.model.dir"]["note"].startswith("not yet: weights")
    assert f"swath points {town}/north.tif --labels {town}/north.gpkg --field class --strategy smallest --out points.gpkg" in (
        result["commands"]
    )
    assert swath.check(result["config"])["ok"]


@pytest.mark.parametrize("labels", [" -source2.il labels.tif -vec points.gpkg", " -vec points.gpkg"])
def test_points_are_where_samples_are_cut(labels: str, tmp_path: Path, make_vector: Any) -> None:
    town = write_town(tmp_path / "town").parent
    write_image(town / "labels.tif", truth(squares(0))[None], corner(0))
    at = [shapely.Point(corner(0) @ (x + 0.5, y + 0.5)) for x in range(20, 80, 10) for y in range(20, 80, 10)]
    values = [int(truth(squares(0))[y, x]) for x in range(20, 80, 10) for y in range(20, 80, 10)]
    make_vector(town / "points.gpkg", at, {"kind": values})
    (town / "a.sh").write_text(
        "otbcli_PatchesExtraction -source1.il north.tif -source1.patchsizex 16 -source1.patchsizey 16 -source1.nodata 0 "
        f"-field kind{labels}\n"
    )
    result = swath.import_("otb", town / "a.sh", out=tmp_path / "new")
    config = load_config(result["config"])
    assert config.sample.points == "../town/points.gpkg"
    assert (config.sample.tile, config.sample.reject_nodata, config.bands.nodata_value) == (16, "any", 0)
    assert config.classes.field == "kind"
    assert config.legend().ids == (0, 1)
    stored = swath.sample(result["config"], "split.buffer=4")
    assert sum(stored["samples"].values()) > 10
    dense = "source2" in labels
    assert rows(result)["PatchesExtraction.vec"]["became"] == ("scenes: labels, " if dense else "") + "sample.points"


def test_stacks_and_sources(tmp_path: Path) -> None:
    town = write_town(tmp_path / "town").parent
    (town / "a.sh").write_text(
        "otbcli_PatchesExtraction -source1.il north.tif north.tif -source2.il south.tif -source2.nodata -9 -vec north.gpkg "
        "-field class\notbcli_TensorflowModelServe -source1.il a.tif b.tif -source2.il c.tif -out maps/m.tif\n"
    )
    result = swath.import_("otb", town / "a.sh", out=tmp_path / "new")
    lines = (tmp_path / "new" / "scenes.csv").read_text().splitlines()
    assert lines == ["image,labels,field,source2", "../town/north.tif;../town/north.tif,../town/north.gpkg,class,../town/south.tif"]
    assert load_config(result["config"]).sources["source2"].nodata_value == -9
    assert "swath predict MODEL --source 'image=a.tif;b.tif' --source source2=c.tif --out maps" in result["commands"]


def test_commands_for_points_are_understood(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text(
        "otbcli_PatchesSelection -in a.tif -grid.step 12 -grid.psize 16 -grid.offsetx 3 -mask m.tif -nodata -1 -strategy split "
        "-strategy.split.trainprop 60 -strategy.split.validprop 20 -strategy.split.testprop 20\n"
        "otbcli_LabelImageSampleSelection -inref l.tif -strategy total -strategy.total.v 500 -outvec p.shp\n"
        "otbcli_SampleSelection -in a.tif -vec v.gpkg -field code -strategy constant -strategy.constant.nb 7 -sampler random -rand 3\n"
    )
    result = swath.import_("otb", tmp_path / "a.sh", out=tmp_path / "new", allow_missing=True)
    found = [c for c in result["commands"] if c.startswith("swath points")]
    assert found == [
        "swath points a.tif --strategy grid --patch 16 --step 12 --offset 0 3 --mask m.tif --nodata -1 --split proportions "
        "--shares 60 20 20 --out points.gpkg",
        "swath points a.tif --labels v.gpkg --field code --strategy constant --number 7 --sampler random --seed 3 --out points.gpkg",
        "swath points l.tif --strategy total --number 500 --out points.gpkg",
    ]
    for command in found:
        parser("points").parse_args(command.split()[2:])


def test_no_setting_of_points_is_left_out_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("#className requiredSamples\n1;120;5000\n12,8\n")
    (tmp_path / "a.sh").write_text(
        "otbcli_SampleSelection -in 'my image.tif' -vec v.gpkg -mask m.tif -strategy byclass -strategy.byclass.in rates.csv "
        "-sampler periodic -sampler.periodic.jitter 3\n"
        "otbcli_PatchesSelection -in a.tif -strategy split -strategy.split.random on\n"
    )
    (tmp_path / "b.sh").write_text(
        "otbcli_SampleSelection -in a.tif -strategy byclass -strategy.byclass.in gone.csv\n"
        "otbcli_PatchesSelection -in a.tif -strategy balanced -strategy.balanced.sp 0.5 -strategy.balanced.labelimage l.tif\n"
    )
    found = {}
    for name in ("a", "b"):
        result = swath.import_("otb", tmp_path / f"{name}.sh", out=tmp_path / "new", allow_missing=True, overwrite=True)
        found[name] = [c for c in result["commands"] if c.startswith("swath points")]
        for command in found[name]:
            parser("points").parse_args(shlex.split(command)[2:])
    assert found["a"] == [
        "swath points a.tif --strategy grid --split proportions --shares 50 25 25 --order random --out points.gpkg",
        "swath points 'my image.tif' --labels v.gpkg --mask m.tif --strategy byclass --counts 1:120 12:8 --jitter 1 --out points.gpkg",
    ]
    assert found["b"] == [
        "swath points a.tif --strategy balanced --labels l.tif --seed-share 0.5 --split chessboard --out points.gpkg",
        "swath points a.tif --strategy byclass --counts CLASS:POINTS --out points.gpkg",
    ]


def test_a_label_raster_and_a_grid(tmp_path: Path) -> None:
    town = write_town(tmp_path / "town").parent
    write_image(town / "labels.tif", np.eye(96, dtype=np.uint8)[None] * 7, corner(0))
    (town / "a.sh").write_text(
        "otbcli_PatchesSelection -in north.tif -grid.step 12 -grid.psize 16 -strategy split -strategy.split.trainprop 60 "
        "-strategy.split.validprop 20 -strategy.split.testprop 20 -strategy.balanced.labelimage labels.tif -nodata -1\n"
    )
    config = load_config(swath.import_("otb", town / "a.sh", out=tmp_path / "new")["config"])
    assert config.legend().ids == (0, 7)
    assert (config.sample.tile, config.sample.overlap) == (16, 4)
    assert (config.split.by, config.split.val, config.split.tst) == ("interleave", 0.2, 0.2)
    assert config.bands.nodata_value == -1


def test_serving_becomes_a_command(tmp_path: Path) -> None:
    for name, image in (("otb_serve.sh", "$DATADIR/fake_spot6.jp2"), ("otb_pyotb.py", "fake_spot6.jp2")):
        source = tmp_path / name
        shutil.copy(TEMPLATES / (name if name.endswith("sh") else f"{name}.txt"), source)
        result = swath.import_("otb", source, out=tmp_path / name.partition(".")[0])
        assert (result["config"], result["missing"]) == (None, [])
        found = rows(result)
        assert found["TensorflowModelServe.source1.il"]["value"] == image
        assert "the source names the layer" in found["TensorflowModelServe.output.names"]["note"]
        assert found["TensorflowModelServe.output.efieldx"]["note"].startswith("computed from the network")
    assert "swath predict MODEL fake_spot6.jp2 --out maps" in result["commands"]


def test_the_tutorial(tmp_path: Path) -> None:
    shutil.copy(TEMPLATES / "otb_tutorial.py.txt", tmp_path / "tutorial.py")
    result = swath.import_("otb", tmp_path / "tutorial.py", out=tmp_path / "new")
    config = load_config(result["config"])
    assert config.legend().ids == (0, 1)
    assert (config.train.epochs, config.train.lr, config.train.batch_size) == (100, 0.0001, 8)
    assert "computed when the script runs" in rows(result)["to_tfrecords.output_dir"]["note"]


def test_arguments_without_a_name_count_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        'ds = TFRecords("/tmp/records").read(batch_size=4)\nothers = DatasetFromPatchesImages({"x": ["a.tif"]})\n'
        "others.get_tf_dataset(16)\nothers.to_tfrecords('/tmp', 100)\nz = tf.one_hot(y, 3)\nopt = Adam(1e-3)\nf.read(7)\n"
    )
    result = swath.import_("otb", tmp_path / "train.py", out=tmp_path / "new")
    found = {k: r["value"] for k, r in rows(result).items() if "." in k and " " not in k}
    assert found == {
        "TFRecords.path": "/tmp/records", "read.batch_size": 4, "DatasetFromPatchesImages.filenames_dict": {"x": ["a.tif"]},
        "get_tf_dataset.batch_size": 16, "to_tfrecords.output_dir": "/tmp", "to_tfrecords.n_samples_per_shard": 100,
        "one_hot.labels": "y", "one_hot.nb_classes": 3, "Adam.learning_rate": 0.001,
    }  # fmt: skip
    config = load_config(result["config"])
    assert config.legend().ids == (0, 1, 2)
    assert config.train.lr == 0.001
    assert "(normalize_inputs)" not in rows(result)


def test_scaling_by_the_model_is_told(tmp_path: Path) -> None:
    text = "def normalize_inputs(self, inputs):\n    return {'x': inputs['x'] * 0.0001}\n\nfit(epochs=2)\none_hot(depth=2)\n"
    (tmp_path / "train.py").write_text(text)
    result = swath.import_("otb", tmp_path / "train.py", out=tmp_path / "new")
    assert "bands.method=standard" in rows(result)["(normalize_inputs)"]["note"]


@pytest.mark.parametrize("kind", ["tfrecords", "patches-images"])
def test_folders_of_samples_become_scenes(kind: str, tmp_path: Path) -> None:
    FORMATS[kind].write(made(6, ids=(0, 1)), tmp_path / "base")
    result = swath.import_("otb", tmp_path / "base", out=tmp_path / "new")
    scenes = read_manifest(result["manifest"])
    assert sorted(str(s.split) for s in scenes) == ["trn", "trn", "tst", "tst", "val", "val"]
    assert load_config(result["config"]).legend().ids == (0, 1)
    assert swath.check(result["config"])["ok"]
    assert kind in rows(result)["(samples)"]["note"]


def test_shell_texts(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text(
        "A=1 # one\nB='two words'\nls -l somewhere\npython train.py --x $A --y \"$B\" --z; otbcli_App -p -3 4 && otbcli Other -q ${C}\n"
    )
    found = shell_arguments(tmp_path / "a.sh")
    assert found == [
        Argument("train", "x", "1"), Argument("train", "y", "two words"), Argument("train", "z", True),
        Argument("App", "p", ["-3", "4"]), Argument("Other", "q", "${C}"),
    ]  # fmt: skip


def test_python_texts_are_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "a.py").write_text(
        f"open({str(mark)!r}, 'w').write('x')\nN = 3\nm.fit(x, epochs=N)\nm.fit(x, epochs=open({str(mark)!r}, 'w'))\n"
        "other(epochs=9)\n"
    )
    found = python_arguments(tmp_path / "a.py", FUNCTIONS)
    assert [(a.program, a.name) for a in found] == [("fit", "epochs"), ("fit", "epochs")]
    assert found[0].value == 3
    assert str(found[1].value).startswith("open(")
    assert not mark.exists()
