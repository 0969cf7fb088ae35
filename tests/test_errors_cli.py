"""Bad inputs end in one line and the documented exit code, and leave nothing behind."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyogrio.raw import write as write_vector
from tiny_town import UTM, corner, pixels, squares, truth, write_image, write_squares

from swath.cli import main

pytest_plugins = ["fixtures_run"]
ON = ("runtime.device=cpu", "runtime.threads=1")
LINE = re.compile(r"^error: .+: .+$")


@dataclass
class Place:
    """A town of one's own beside a finished run, and what is called there."""

    config: Path
    run: Path

    @property
    def folder(self) -> Path:
        return self.config.parent


@pytest.fixture
def place(own_town: Path, trained: Path, tmp_path: Path) -> Place:
    run = shutil.copytree(trained.parent / "runs" / "roofs", tmp_path / "model")
    return Place(own_town, run)


# What is spoilt. Every function changes the town, or the model, before the verb is called.


def missing_image(p: Place) -> None:
    (p.folder / "west.tif").unlink()


def missing_labels(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").unlink()


def labels_elsewhere(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").unlink()
        write_squares(p.folder / f"{name}.gpkg", squares(1), corner(77))


def labels_in_another_crs(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        write_squares(p.folder / f"{name}.gpkg", squares(number), corner(number), crs="EPSG:4326")


def labels_without_crs(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of what is wanted here
            write_squares(p.folder / f"{name}.gpkg", squares(number), corner(number), crs=None)


def unknown_class(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        found = squares(number)
        write_squares(p.folder / f"{name}.gpkg", found, corner(number), values=[1] * (len(found) - 1) + [9])


def corrupt_images(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        path = p.folder / f"{name}.tif"
        tiles = {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32}
        write_image(path, pixels(truth(squares(number)), number), corner(number), **tiles)
        path.write_bytes(path.read_bytes()[:20_000])


def images_of_nothing(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.tif").write_bytes(b"")


def empty_vectors(p: Place) -> None:
    for name in ("north", "south", "west"):
        path = p.folder / f"{name}.gpkg"
        path.unlink()
        write_vector(
            path, geometry=shapely.to_wkb(np.array([], object)), fields=["class"], field_data=[np.array([], np.int64)],
            crs=UTM, geometry_type="Polygon", driver="GPKG", layer="roofs",
        )  # fmt: skip


def vectors_of_nothing(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").write_bytes(b"")


def unknown_field(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("field: class", "field: clas"))


def unknown_key(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("tile: 32", "tyle: 32"))


def broken_yaml(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("sample: {", "sample: {{"))


def no_config(p: Place) -> None:
    p.config.unlink()


def unknown_model(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("model: {", "model: {name: unett, "))


def unknown_split(p: Place) -> None:
    (p.folder / "scenes.csv").write_text("image,labels,split\nnorth.tif,north.gpkg,trian\n")


def no_manifest(p: Place) -> None:
    (p.folder / "scenes.csv").unlink()


def empty_manifest(p: Place) -> None:
    (p.folder / "scenes.csv").write_text("image,labels,split\n")


def weights_cut(p: Place) -> None:
    file = next((p.run / "best").glob("weights-*"))
    file.write_bytes(file.read_bytes()[:-1])


def card_cut(p: Place) -> None:
    card = p.run / "best" / "card.json"
    card.write_text(card.read_text()[:-20])


def no_bundle(p: Place) -> None:
    shutil.rmtree(p.run)


def out_is_a_file(p: Place) -> None:
    (p.folder / "out").write_text("mine")


def fewer_bands(p: Place) -> None:
    write_image(p.folder / "west.tif", pixels(truth(squares(2)), 2)[:2], corner(2))


def store_stale(p: Place) -> None:
    assert main(["sample", str(p.config), "-q"]) == 0
    p.config.write_text(p.config.read_text().replace("tile: 32", "tile: 48"))


def store_flipped(p: Place) -> None:
    assert main(["sample", str(p.config), "-q"]) == 0
    with (p.folder / "runs" / "roofs" / "samples.store" / "records.bin").open("r+b") as f:
        f.write(b"\xff\xff\xff\xff")


def map_made_otherwise(p: Place) -> None:
    words = ["predict", p.run, p.folder / "west.tif", "--out", p.folder / "out", "predict.tile=64", "-q", *ON]
    assert main([str(w) for w in words]) == 0


def plain_map(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None], None)


def float_map(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None].astype(np.float32), corner(2))


def cut_map(p: Place) -> None:
    path = write_image(p.folder / "map.tif", np.tile(truth(squares(2)), (4, 4))[None], corner(2), compress="deflate")
    path.write_bytes(path.read_bytes()[:1200])


def vectors_there(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None], corner(2))
    (p.folder / "map.gpkg").write_bytes(b"mine")


def nothing(p: Place) -> None:
    """The command line itself is wrong."""


SAMPLE = ["sample", "CONFIG"]
TRAIN = ["train", "CONFIG", "train.steps=2", "train.data=rasters"]
PREDICT = ["predict", "RUN", "FOLDER/west.tif", "--out", "FOLDER/out", *ON]
EVALUATE = ["evaluate", "RUN", "FOLDER/scenes.csv", "--split", "all", *ON]
VECTORIZE = ["vectorize", "FOLDER/map.tif", "--out", "FOLDER/map.gpkg"]
RUN = ["run", "CONFIG"]
CASES: list[tuple[Callable[[Place], None], list[str], int, str]] = [
    (missing_image, SAMPLE, 3, r"west\.tif: no such file; correct the paths"),
    (missing_image, TRAIN, 3, r"west\.tif: no such file"),
    (missing_image, PREDICT, 3, r"west\.tif: no such file"),
    (missing_image, EVALUATE, 3, r"west\.tif: no such file"),
    (missing_image, RUN, 3, r"west\.tif: no such file"),
    (nothing, VECTORIZE, 3, r"map\.tif: no such file"),
    (nothing, ["info", "FOLDER/nothing.tif"], 3, r"nothing\.tif: there is no such thing"),
    (nothing, ["verify", "FOLDER/nothing"], 3, r"nothing: is no store, bundle, run or raster"),
    (missing_labels, SAMPLE, 3, r"north\.gpkg: no such file and 2 more"),
    (missing_labels, EVALUATE, 3, r"north\.gpkg: no such file and 2 more"),
    (labels_elsewhere, SAMPLE, 3, r"north\.gpkg: covers .* the image .* they do not overlap"),
    (labels_elsewhere, TRAIN, 3, r"they do not overlap"),
    (labels_elsewhere, EVALUATE, 3, r"they do not overlap"),
    (labels_elsewhere, RUN, 3, r"north\.gpkg.* do not overlap"),
    (labels_in_another_crs, SAMPLE, 3, r"north\.gpkg: "),
    (labels_in_another_crs, TRAIN, 3, r"north\.gpkg: "),
    (labels_without_crs, SAMPLE, 3, r"north\.gpkg: the vector has no CRS, the other has EPSG:32618; assign the right one"),
    (labels_without_crs, TRAIN, 3, r"the vector has no CRS"),
    (labels_without_crs, EVALUATE, 3, r"the vector has no CRS"),
    (unknown_class, SAMPLE, 3, r"north\.gpkg: label values without a class: 9; add them to `classes`"),
    (unknown_class, TRAIN, 3, r"label values without a class: 9"),
    (unknown_class, EVALUATE, 3, r"label values without a class: 9"),
    (unknown_class, RUN, 3, r"without a class: 9"),
    (corrupt_images, SAMPLE, 3, r"\.tif.* cannot be (read|opened)"),
    (corrupt_images, TRAIN, 3, r"\.tif.* cannot be (read|opened)"),
    (corrupt_images, PREDICT, 3, r"west\.tif.* cannot be (read|opened)"),
    (corrupt_images, EVALUATE, 3, r"\.tif.* cannot be (read|opened)"),
    (images_of_nothing, SAMPLE, 3, r"north\.tif: the file is empty; replace it with a whole copy"),
    (images_of_nothing, PREDICT, 3, r"west\.tif: the file is empty"),
    (images_of_nothing, EVALUATE, 3, r"north\.tif: the file is empty"),
    (empty_vectors, TRAIN, 3, r"all training labels are background: there is nothing to tell apart"),
    (vectors_of_nothing, SAMPLE, 3, r"north\.gpkg: the file is empty"),
    (vectors_of_nothing, EVALUATE, 3, r"north\.gpkg: the file is empty"),
    (unknown_field, SAMPLE, 3, r"north\.gpkg: has no field 'clas'; did you mean 'class'\?"),
    *[(unknown_key, verb, 2, r"roofs\.yaml:4:10: unknown key 'sample\.tyle'; did you mean 'tile'\?")
      for verb in (SAMPLE, TRAIN, RUN, ["check", "CONFIG"], ["evaluate", "RUN", "CONFIG"])],
    (broken_yaml, SAMPLE, 2, r"roofs\.yaml:\d+:\d+: not valid YAML"),
    (no_config, TRAIN, 2, r"roofs\.yaml: cannot read the config"),
    (unknown_model, TRAIN, 2, r"unett: unknown model 'unett'; did you mean 'unet'\?"),
    (unknown_split, SAMPLE, 3, r"scenes\.csv:2: unknown split 'trian'; did you mean 'train'\?"),
    (no_manifest, SAMPLE, 3, r"scenes\.csv: no such manifest"),
    (empty_manifest, SAMPLE, 3, r"the manifest lists no scene"),
    (nothing, [*SAMPLE, "sample.tile=large"], 2, r"command line: sample\.tile: .*got 'large'"),
    (nothing, [*SAMPLE, "sampel.tile=3"], 2, r"unknown key 'sampel'; did you mean 'sample'\?"),
    *[(nothing, [*SAMPLE, o], 2, rf"command line: {re.escape(o.partition('=')[0])}: ")
      for o in ("sample.tile=0", "sample.tile=-5", "split.block=0", "sample.overlap=-1", "bands.select=[]")],
    *[(nothing, [*TRAIN, o], 2, rf"command line: {re.escape(o.partition('=')[0])}: ")
      for o in ("train.crop=0", "train.schedule={}", "runtime.threads=0", "train.average=1", "train.batch_size=0")],
    *[(nothing, [*PREDICT, o], 2, rf"predict|runtime.*{re.escape(o.partition('=')[0].partition('.')[2])}: ")
      for o in ("predict.tile=0", "predict.tile=-4", "predict.margin=-3", "predict.strip=-9", "predict.overlap=1",
                "predict.memory=0", "runtime.threads=-2")],
    (nothing, [*TRAIN, "sample.class_min={roof: 0.9}"], 3, r"there is no training sample; lower sample\.min_annotated"),
    (nothing, [*PREDICT, "predict.margin=wide"], 2, r"predict|margin: .*got 'wide'"),
    (nothing, [*PREDICT, "runtime.device=tpu"], 2, r"tpu: is no device"),
    (nothing, [*PREDICT, "runtime.device=cuda:7"], 5, r"cuda:7: this machine has \d+ GPUs"),
    (nothing, [*EVALUATE[:3], "--split", "vla"], 3, r"vla: no labelled scene is in this split; splits of the manifest: trn, tst"),
    (nothing, ["predict", "RUN", "FOLDER/*.jpg", "--out", "FOLDER/out"], 3, r"\*\.jpg: no raster found there"),
    (nothing, ["run", "CONFIG", "--from", "trian"], 2, r"trian: no step is called 'trian'; did you mean 'train'\?"),
    (nothing, ["run", "CONFIG", "--only", "vectorize"], 3, r"predict has not run yet; "),
    (nothing, ["run", "CONFIG", "--only", "picture"], 3, r"predict has not run yet; "),
    (nothing, ["run", "CONFIG", "--only", "evaluate"], 3, r"holds no model bundle"),
    (weights_cut, PREDICT, 3, r"weights-.*: does not have the checksum on the card"),
    (weights_cut, EVALUATE, 3, r"weights-.*: does not have the checksum on the card"),
    (card_cut, PREDICT, 3, r"card\.json: is not valid JSON"),
    (no_bundle, PREDICT, 3, r"model: holds no model bundle"),
    (no_bundle, EVALUATE, 3, r"model: holds no model bundle"),
    (out_is_a_file, PREDICT, 5, r"out: is a file; name a directory with --out"),
    (out_is_a_file, [*PREDICT[:4], "FOLDER/out/deeper", *ON], 5, r"out: is a file, no directory"),
    (out_is_a_file, [*SAMPLE, "output=out"], 5, r"out: is a file, no directory"),
    (out_is_a_file, [*TRAIN, "output=out/deeper"], 5, r"out: is a file, no directory"),
    (fewer_bands, PREDICT, 3, r"west\.tif: band 3 is wanted, the file has 2 bands"),
    (map_made_otherwise, PREDICT, 5, r"west_map\.tif: is there already, made otherwise; add --overwrite"),
    (store_stale, SAMPLE, 5, r"samples\.store: holds a store of another config or of other inputs; add --overwrite"),
    (store_stale, ["train", "CONFIG"], 3, r"samples\.store: was made with another config or other inputs"),
    (store_flipped, ["train", "CONFIG", "train.steps=8"], 3, r"record 0: its checksum is wrong; make the store anew"),
    (plain_map, [*VECTORIZE, "vectorize.min_area_m2=3"], 2, r"min_area_m2: .*map\.tif has no georeference"),
    (float_map, VECTORIZE, 3, r"map\.tif: "),
    (cut_map, VECTORIZE, 3, r"map\.tif.* cannot be (read|opened)"),
    (cut_map, ["info", "FOLDER/map.tif"], 3, r"map\.tif.* (cannot be (read|opened)|lie beyond the end of the file)"),
    (nothing, [*PREDICT, "predict.tyle=3"], 2, r"unknown key 'tyle'; did you mean 'tile'\?"),
    (nothing, [*VECTORIZE, "predict.tile=3"], 2, r"the section 'predict' has no meaning here"),
    (vectors_there, VECTORIZE, 5, r"map\.gpkg: is there already; add --overwrite"),
    (vectors_there, [*VECTORIZE, "--overwrite", "vectorize.classes=[roof]"], 2, r"no class 'roof'"),
]  # fmt: skip


def visible(folder: Path) -> dict[str, bytes]:
    """Every file under its final name, and temporaries that ought to be gone."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and (not p.name.startswith(".") or ".part" in p.name)
    }


@pytest.mark.parametrize(
    ("spoil", "words", "code", "told"), CASES, ids=[f"{c[0].__name__}-{c[1][0]}-{n}" for n, c in enumerate(CASES)]
)
def test_a_bad_input_is_one_line_and_leaves_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], spoil: Callable[[Place], None], words: list[str], code: int, told: str
) -> None:
    spoil(place)
    named = {"CONFIG": str(place.config), "RUN": str(place.run)}
    before = visible(place.folder.parent)
    capsys.readouterr()
    found = main([named.get(w, w).replace("FOLDER", str(place.folder)) for w in words])
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error")]
    assert found == code, err
    assert out == ""
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    assert LINE.match(lines[0])
    assert re.search(told, lines[0])
    assert "Traceback" not in err
    assert "this is a bug" not in err
    after = visible(place.folder.parent)
    assert {k: v for k, v in after.items() if "/runs/" not in k} == {k: v for k, v in before.items() if "/runs/" not in k}
    made = [k for k in after if k not in before]
    assert not [k for k in made if k.endswith((".tif", ".gpkg", ".safetensors", "card.json", "train.json")) or ".part" in k]


@pytest.mark.parametrize("verb", ["sample", "train", "predict", "evaluate", "run", "check", "info"])
def test_a_directory_in_place_of_a_file(place: Place, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    odd = place.folder / "odd.yaml"
    odd.mkdir()
    words: dict[str, list[object]] = {
        "predict": ["predict", place.run, odd, "--out", place.folder / "out"],
        "evaluate": ["evaluate", place.run, odd],
    }
    code = main([str(w) for w in words.get(verb, [verb, odd])])
    _, err = capsys.readouterr()
    assert code in (2, 3)
    assert err.startswith("error: ")
    assert "bug" not in err


@pytest.mark.parametrize(
    "spoil",
    [missing_image, labels_elsewhere, labels_without_crs, unknown_class, corrupt_images, vectors_of_nothing, unknown_field,
     images_of_nothing, missing_labels],
)  # fmt: skip
def test_check_finds_what_would_stop_the_chain(
    place: Place, capsys: pytest.CaptureFixture[str], spoil: Callable[[Place], None]
) -> None:
    spoil(place)
    before = visible(place.folder)
    capsys.readouterr()
    code = main(["check", str(place.config)])
    out, err = capsys.readouterr()
    assert code == 3
    assert "error: " in out + err
    assert "Traceback" not in out + err
    assert visible(place.folder) == before


def test_check_warns_of_a_layer_without_features(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    empty_vectors(place)
    main(["check", str(place.config)])
    assert "holds no feature" in capsys.readouterr().out


def test_labels_off_their_image_are_named_with_both_places(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    labels_elsewhere(place)
    main(["sample", str(place.config)])
    labels, _, image = capsys.readouterr().err.partition(", the image ")
    assert labels.partition(": covers ")[2].split()[0].startswith(str(int(corner(77).c))[:4])
    assert image.split()[0] == f"{corner(0).c:.10g}"
