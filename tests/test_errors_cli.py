"""Bad inputs end in one line and the documented exit code, and leave nothing behind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import spoiled_town as bad
from spoiled_town import ON, Place
from tiny_town import corner

from swath.cli import main

pytest_plugins = ["fixtures_run"]
LINE = re.compile(r"^error: .+: .+$")


@pytest.fixture
def place(own_town: Path, trained: Path, tmp_path: Path) -> Place:
    run = shutil.copytree(trained.parent / "runs" / "roofs", tmp_path / "model")
    return Place(own_town, run)


SAMPLE = ["sample", "CONFIG"]
TRAIN = ["train", "CONFIG", "train.steps=2", "train.data=rasters"]
PREDICT = ["predict", "RUN", "FOLDER/west.tif", "--out", "FOLDER/out", *ON]
EVALUATE = ["evaluate", "RUN", "FOLDER/scenes.csv", "--split", "all", *ON]
VECTORIZE = ["vectorize", "FOLDER/map.tif", "--out", "FOLDER/map.gpkg"]
RUN = ["run", "CONFIG"]
CASES: list[tuple[Callable[[Place], None], list[str], int, str]] = [
    (bad.missing_image, SAMPLE, 3, r"west\.tif: no such file; correct the paths"),
    (bad.missing_image, TRAIN, 3, r"west\.tif: no such file"),
    (bad.missing_image, PREDICT, 3, r"west\.tif: no such file"),
    (bad.missing_image, EVALUATE, 3, r"west\.tif: no such file"),
    (bad.missing_image, RUN, 3, r"west\.tif: no such file"),
    (bad.nothing, VECTORIZE, 3, r"map\.tif: no such file"),
    (bad.nothing, ["info", "FOLDER/nothing.tif"], 3, r"nothing\.tif: there is no such thing"),
    (bad.nothing, ["verify", "FOLDER/nothing"], 3, r"nothing: is no store, bundle, run or raster"),
    (bad.missing_labels, SAMPLE, 3, r"north\.gpkg: no such file and 2 more"),
    (bad.missing_labels, EVALUATE, 3, r"north\.gpkg: no such file and 2 more"),
    (bad.labels_elsewhere, SAMPLE, 3, r"north\.gpkg: covers .* the image .* they do not overlap"),
    (bad.labels_elsewhere, TRAIN, 3, r"they do not overlap"),
    (bad.labels_elsewhere, EVALUATE, 3, r"they do not overlap"),
    (bad.labels_elsewhere, RUN, 3, r"north\.gpkg.* do not overlap"),
    (bad.labels_in_another_crs, SAMPLE, 3, r"north\.gpkg: "),
    (bad.labels_in_another_crs, TRAIN, 3, r"north\.gpkg: "),
    (bad.labels_without_crs, SAMPLE, 3, r"north\.gpkg: the vector has no CRS, the other has EPSG:32618; assign the right one"),
    (bad.labels_without_crs, TRAIN, 3, r"the vector has no CRS"),
    (bad.labels_without_crs, EVALUATE, 3, r"the vector has no CRS"),
    (bad.unknown_class, SAMPLE, 3, r"north\.gpkg: label values without a class: 9; add them to `classes`"),
    (bad.unknown_class, TRAIN, 3, r"label values without a class: 9"),
    (bad.unknown_class, EVALUATE, 3, r"label values without a class: 9"),
    (bad.unknown_class, RUN, 3, r"without a class: 9"),
    (bad.corrupt_images, SAMPLE, 3, r"\.tif.* cannot be (read|opened)"),
    (bad.corrupt_images, TRAIN, 3, r"\.tif.* cannot be (read|opened)"),
    (bad.corrupt_images, PREDICT, 3, r"west\.tif.* cannot be (read|opened)"),
    (bad.corrupt_images, EVALUATE, 3, r"\.tif.* cannot be (read|opened)"),
    (bad.images_of_nothing, SAMPLE, 3, r"north\.tif: the file is empty; replace it with a whole copy"),
    (bad.images_of_nothing, PREDICT, 3, r"west\.tif: the file is empty"),
    (bad.images_of_nothing, EVALUATE, 3, r"north\.tif: the file is empty"),
    (bad.empty_vectors, TRAIN, 3, r"all training labels are background: there is nothing to tell apart"),
    (bad.vectors_of_nothing, SAMPLE, 3, r"north\.gpkg: the file is empty"),
    (bad.vectors_of_nothing, EVALUATE, 3, r"north\.gpkg: the file is empty"),
    (bad.unknown_field, SAMPLE, 3, r"north\.gpkg: has no field 'clas'; did you mean 'class'\?"),
    *[(bad.unknown_key, verb, 2, r"roofs\.yaml:4:10: unknown key 'sample\.tyle'; did you mean 'tile'\?")
      for verb in (SAMPLE, TRAIN, RUN, ["check", "CONFIG"], ["evaluate", "RUN", "CONFIG"])],
    (bad.broken_yaml, SAMPLE, 2, r"roofs\.yaml:\d+:\d+: not valid YAML"),
    (bad.no_config, TRAIN, 2, r"roofs\.yaml: cannot read the config"),
    (bad.unknown_model, TRAIN, 2, r"unett: unknown model 'unett'; did you mean 'unet'\?"),
    (bad.unknown_split, SAMPLE, 3, r"scenes\.csv:2: unknown split 'trian'; did you mean 'train'\?"),
    (bad.no_manifest, SAMPLE, 3, r"scenes\.csv: no such manifest"),
    (bad.empty_manifest, SAMPLE, 3, r"the manifest lists no scene"),
    (bad.nothing, [*SAMPLE, "sample.tile=large"], 2, r"command line: sample\.tile: .*got 'large'"),
    (bad.nothing, [*SAMPLE, "sampel.tile=3"], 2, r"unknown key 'sampel'; did you mean 'sample'\?"),
    *[(bad.nothing, [*SAMPLE, o], 2, rf"command line: {re.escape(o.partition('=')[0])}: ")
      for o in ("sample.tile=0", "sample.tile=-5", "split.block=0", "sample.overlap=-1", "bands.select=[]")],
    *[(bad.nothing, [*TRAIN, o], 2, rf"command line: {re.escape(o.partition('=')[0])}: ")
      for o in ("train.crop=0", "train.schedule={}", "runtime.threads=0", "train.average=1", "train.batch_size=0")],
    *[(bad.nothing, [*PREDICT, o], 2, rf"predict|runtime.*{re.escape(o.partition('=')[0].partition('.')[2])}: ")
      for o in ("predict.tile=0", "predict.tile=-4", "predict.margin=-3", "predict.strip=-9", "predict.overlap=1",
                "predict.memory=0", "runtime.threads=-2")],
    (bad.nothing, [*TRAIN, "sample.class_min={roof: 0.9}"], 3, r"there is no training sample; lower sample\.min_annotated"),
    (bad.nothing, [*PREDICT, "predict.margin=wide"], 2, r"predict|margin: .*got 'wide'"),
    (bad.nothing, [*PREDICT, "runtime.device=tpu"], 2, r"tpu: is no device"),
    (bad.nothing, [*PREDICT, "runtime.device=cuda:7"], 5, r"cuda:7: this machine has \d+ GPUs"),
    (bad.nothing, [*EVALUATE[:3], "--split", "vla"], 2, r"vla: is no split; did you mean 'val'\?"),
    (bad.nothing, [*EVALUATE[:3], "--split", "val"], 3, r"val: no labelled scene is in this split; splits of the manifest: trn, tst"),
    (bad.nothing, ["predict", "RUN", "FOLDER/*.jpg", "--out", "FOLDER/out"], 3, r"\*\.jpg: no raster found there"),
    (bad.nothing, ["run", "CONFIG", "--from", "trian"], 2, r"trian: no step is called 'trian'; did you mean 'train'\?"),
    (bad.nothing, ["run", "CONFIG", "--only", "vectorize"], 3, r"predict has not run yet; "),
    (bad.nothing, ["run", "CONFIG", "--only", "picture"], 3, r"predict has not run yet; "),
    (bad.nothing, ["run", "CONFIG", "--only", "evaluate"], 3, r"holds no model bundle"),
    (bad.weights_cut, PREDICT, 3, r"weights-.*: does not have the checksum on the card"),
    (bad.weights_cut, EVALUATE, 3, r"weights-.*: does not have the checksum on the card"),
    (bad.card_cut, PREDICT, 3, r"card\.json: is not valid JSON"),
    (bad.no_bundle, PREDICT, 3, r"model: holds no model bundle"),
    (bad.no_bundle, EVALUATE, 3, r"model: holds no model bundle"),
    (bad.out_is_a_file, PREDICT, 5, r"out: is a file; name a directory with --out"),
    (bad.out_is_a_file, [*PREDICT[:4], "FOLDER/out/deeper", *ON], 5, r"out: is a file, no directory"),
    (bad.out_is_a_file, [*SAMPLE, "output=out"], 5, r"out: is a file, no directory"),
    (bad.out_is_a_file, [*TRAIN, "output=out/deeper"], 5, r"out: is a file, no directory"),
    (bad.fewer_bands, PREDICT, 3, r"west\.tif: band 3 is wanted, the file has 2 bands"),
    (bad.map_made_otherwise, PREDICT, 5, r"west_map\.tif: is there already, made otherwise; add --overwrite"),
    (bad.store_stale, SAMPLE, 5, r"samples\.store: holds a store of another config or of other inputs; add --overwrite"),
    (bad.store_stale, ["train", "CONFIG"], 3, r"samples\.store: was made with another config or other inputs"),
    (bad.store_flipped, ["train", "CONFIG", "train.steps=8"], 3, r"record 0: its checksum is wrong; make the store anew"),
    (bad.plain_map, [*VECTORIZE, "vectorize.min_area_m2=3"], 2, r"min_area_m2: .*map\.tif has no georeference"),
    (bad.float_map, VECTORIZE, 3, r"map\.tif: "),
    (bad.cut_map, VECTORIZE, 3, r"map\.tif.* cannot be (read|opened)"),
    (bad.cut_map, ["info", "FOLDER/map.tif"], 3, r"map\.tif.* (cannot be (read|opened)|lie beyond the end of the file)"),
    (bad.nothing, [*PREDICT, "predict.tyle=3"], 2, r"unknown key 'tyle'; did you mean 'tile'\?"),
    (bad.nothing, [*VECTORIZE, "predict.tile=3"], 2, r"the section 'predict' has no meaning here"),
    (bad.vectors_there, VECTORIZE, 5, r"map\.gpkg: is there already; add --overwrite"),
    (bad.vectors_there, [*VECTORIZE, "--overwrite", "vectorize.classes=[roof]"], 2, r"no class 'roof'"),
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
    [bad.missing_image, bad.labels_elsewhere, bad.labels_without_crs, bad.unknown_class, bad.corrupt_images,
     bad.vectors_of_nothing, bad.unknown_field,
     bad.images_of_nothing, bad.missing_labels],
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
    bad.empty_vectors(place)
    main(["check", str(place.config)])
    assert "holds no feature" in capsys.readouterr().out


def test_labels_off_their_image_are_named_with_both_places(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    bad.labels_elsewhere(place)
    main(["sample", str(place.config)])
    labels, _, image = capsys.readouterr().err.partition(", the image ")
    assert labels.partition(": covers ")[2].split()[0].startswith(str(int(corner(77).c))[:4])
    assert image.split()[0] == f"{corner(0).c:.10g}"
