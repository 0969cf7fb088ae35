"""Every input gets its map on its own grid, made once; a bad input stops none of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate
from tiny_town import corner, pixels, squares, truth, write_image

import swath
from swath.core.errors import DataError, ResourceError
from swath.disk.bundle import read_bundle
from swath.disk.rasters.maps import read_map_info
from swath.engines import predictor as engine
from swath.steps import predict as step
from swath.steps.predict import plan_jobs

pytest_plugins = ["fixtures_run"]
ON = ("runtime.device=cpu", "runtime.threads=1")
SAVE = "predict.save=[classes, confidence, probabilities]"
Fingerprint = Callable[[Path], dict[str, str]]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A raster of odd size with a hole in its data."""
    bands = pixels(truth(squares(7, 144), 144, 144)[:131, :117], 7)
    bands[:, 30:60, 40:50] = 0
    return write_image(tmp_path / "in" / "odd.tif", bands, corner(7), nodata=0)


def read(path: str | Path) -> NDArray[np.generic]:
    with rasterio.open(path) as found:
        return found.read()


def test_a_map_lies_on_the_grid_of_its_input(bundle: Path, image: Path, tmp_path: Path) -> None:
    result = swath.predict(bundle, [image], SAVE, *ON, out=tmp_path / "out")
    made = result["maps"][0]
    assert made["input"] == str(image)
    assert made["map"] == str(tmp_path / "out" / "odd_map.tif")
    assert (made["executor"], made["exact"], result["exact"], result["backend"]) == ("rows", True, True, "torch")
    assert made["nodata_pixels"] == 300
    assert result["megapixels_per_second"] > 0
    outputs = [Path(made[k]) for k in ("map", "confidence", "probabilities")]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in outputs)
    with rasterio.open(image) as source:
        for path in outputs:
            assert cog_validate(path, strict=True)[0]
            with rasterio.open(path) as found:
                assert (found.crs, found.transform, found.shape) == (source.crs, source.transform, source.shape)


def test_classes_confidence_and_probabilities_agree(bundle: Path, image: Path, tmp_path: Path) -> None:
    made = swath.predict(bundle, image, SAVE, *ON, out=tmp_path / "out")["maps"][0]
    ids, percent, scores = read(made["map"])[0], read(made["confidence"])[0], read(made["probabilities"])
    valid = np.ones((131, 117), bool)
    valid[30:60, 40:50] = False
    assert ((ids == 255) == ~valid).all()
    assert np.array_equal(ids[valid], scores.argmax(0)[valid])
    assert np.abs(scores[:, valid].sum(0) - 1).max() < 1e-5
    assert np.abs(percent[valid] / 100 - scores[:, valid].max(0)).max() < 0.01
    expected = truth(squares(7, 144), 144, 144)[:131, :117]
    assert (ids == expected)[valid].mean() > 0.9


def test_every_way_of_walking_gives_the_same_map(bundle: Path, image: Path, tmp_path: Path) -> None:
    ways = {"rows": (), "tiles": ("predict.executor=tiles",), "small": ("predict.tile=40", "predict.batch_size=3")}
    found = {n: swath.predict(bundle, image, SAVE, *ON, *w, out=tmp_path / n)["maps"][0] for n, w in ways.items()}
    first = read(found["rows"]["probabilities"])
    tied = np.abs(first[0] - first[1]) < 1e-4
    for name in ("tiles", "small"):
        assert found[name]["exact"] is True
        assert np.abs(read(found[name]["probabilities"]) - first).max() <= 1e-5
        assert (tied | (read(found[name]["map"])[0] == read(found["rows"]["map"])[0])).all()


def test_what_is_not_exact_says_so(bundle: Path, image: Path, tmp_path: Path) -> None:
    result = swath.predict(bundle, image, *ON, "predict.margin=4", "predict.tile=40", out=tmp_path / "out")
    assert result["exact"] is False
    assert result["margin"] == 4
    assert read_map_info(result["maps"][0]["map"]).tags["EXACT"] is False


def test_a_map_says_how_it_was_made_but_not_when_or_where(bundle: Path, image: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        swath.predict(bundle, image, *ON, out=tmp_path / name)
    assert (tmp_path / "a" / "odd_map.tif").read_bytes() == (tmp_path / "b" / "odd_map.tif").read_bytes()
    tags = read_map_info(tmp_path / "a" / "odd_map.tif").tags
    assert tags["INPUT"] == "odd.tif"
    assert tags["MODEL"] == read_bundle(bundle).identity
    assert tags["SETTINGS"]["margin"] == "exact"
    assert tags["VERSION"] == swath.__version__


def test_the_same_again_is_kept(bundle: Path, image: Path, tmp_path: Path, fingerprint: Fingerprint) -> None:
    swath.predict(bundle, image, SAVE, *ON, out=tmp_path / "out")
    before = fingerprint(tmp_path)
    again = swath.predict(bundle, image, SAVE, *ON, out=tmp_path / "out")
    assert again["maps"][0]["already_done"] is True
    assert again["maps"][0]["map"] == str(tmp_path / "out" / "odd_map.tif")
    assert fingerprint(tmp_path) == before


def test_a_map_made_otherwise_is_refused_or_replaced(bundle: Path, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    swath.predict(bundle, image, *ON, out=out)
    with pytest.raises(ResourceError, match=r"odd_map\.tif: is there already, made otherwise; add --overwrite"):
        swath.predict(bundle, image, *ON, "predict.tile=64", out=out)
    made = swath.predict(bundle, image, *ON, "predict.tile=64", out=out, overwrite=True)["maps"][0]
    assert made["executor"] == "tiles"
    write_image(image, pixels(truth(squares(8, 144), 144, 144)[:131, :117], 8), corner(7))
    with pytest.raises(ResourceError, match="is there already"):
        swath.predict(bundle, image, *ON, "predict.tile=64", out=out)
    (out / "odd_map.tif").write_bytes(b"no raster")
    with pytest.raises(ResourceError, match="is there already"):
        swath.predict(bundle, image, *ON, out=out)


def test_trap_72_equal_names_give_two_maps(bundle: Path, image: Path, tmp_path: Path) -> None:
    for name in ("a.v1.tif", "a.v2.tif", "east/a.v1.tif"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        shutil.copy(image, tmp_path / "in" / name)
    inputs = [tmp_path / "in" / n for n in ("a.v1.tif", "a.v2.tif", "east/a.v1.tif")]
    made = swath.predict(bundle, inputs, *ON, out=tmp_path / "out")["maps"]
    assert [Path(m["map"]).name for m in made] == ["in_a.v1_map.tif", "a.v2_map.tif", "east_a.v1_map.tif"]
    assert all(Path(m["map"]).exists() for m in made)


def test_names_never_collide() -> None:
    paths = [Path(p) for p in ("x/a.tif", "y/a.tif", "z/x/a.tif", "x_a.tif", "b.tif")]
    stems = [j.stem for j in plan_jobs(paths)]
    assert len(set(stems)) == 5
    assert stems[-1] == "b"
    assert stems[:2] == ["x_a", "y_a"]


def test_folders_globs_and_manifests_stand_for_their_rasters(bundle: Path, own_town: Path, tmp_path: Path) -> None:
    folder = own_town.parent
    for n, inputs in enumerate(([folder], [str(folder / "*th.tif")], [folder / "scenes.csv"], [folder, folder / "west.tif"])):
        made = swath.predict(bundle, inputs, *ON, out=tmp_path / str(n))["maps"]
        names = sorted(Path(m["map"]).name for m in made)
        assert names == ["north_map.tif", "south_map.tif", "west_map.tif"][: len(names)]
        assert len(names) == (2 if n == 1 else 3)


def test_maps_in_the_folder_of_the_images_are_no_inputs(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    for n, name in enumerate(("a", "b_map")):  # the second is an image, whatever its name says
        write_image(folder / f"{name}.tif", pixels(truth(squares(n)), n), corner(n))
    first = swath.predict(bundle, folder, SAVE, *ON, out=folder)["maps"]
    assert [Path(m["map"]).name for m in first] == ["a_map.tif", "b_map_map.tif"]
    for inputs in (folder, str(folder / "*.tif")):
        capsys.readouterr()
        again = swath.predict(bundle, inputs, SAVE, *ON, out=folder)["maps"]
        assert [(m["input"], m["already_done"]) for m in again] == [(m["input"], True) for m in first]
        assert "6 maps of earlier predictions left out" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"a_map\.tif: band 3 is wanted|a_map\.tif: band 2 is wanted"):
        swath.predict(bundle, folder / "a_map.tif", *ON, out=tmp_path / "out")


def test_one_bad_input_of_three(bundle: Path, own_town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_town.parent
    bad = folder / "south.tif"
    write_image(bad, pixels(truth(squares(1)), 1), corner(1), compress="deflate", tiled=True, blockxsize=32, blockysize=32)
    bad.write_bytes(bad.read_bytes()[:9000])
    with pytest.raises(DataError, match=r"south\.tif.*\(1 of 3 inputs failed\)") as caught:
        swath.predict(bundle, folder / "scenes.csv", SAVE, *ON, out=tmp_path / "out")
    assert caught.value.exit_code == 3
    suffixes = ("map", "confidence", "probabilities")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f"{n}_{s}.tif" for n in ("north", "west") for s in suffixes)
    assert "south.tif: skipped" in capsys.readouterr().err


def test_all_bad_inputs_are_named(bundle: Path, own_town: Path, tmp_path: Path) -> None:
    folder = own_town.parent
    inputs = [folder / "north.tif", folder / "nowhere.tif", folder / "roofs.yaml"]
    with pytest.raises(DataError, match=r"nowhere\.tif: no such file \(2 of 3 inputs failed, also .*roofs\.yaml\)"):
        swath.predict(bundle, inputs, *ON, out=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["north_map.tif"]


@pytest.mark.parametrize("when", ["streaming", "publishing"])
def test_a_failure_leaves_no_map(
    bundle: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("made-up", "somewhere", "a failure", "none")

    monkeypatch.setattr(step.RasterSink, "write" if when == "streaming" else "finish", fail)
    with pytest.raises(DataError, match="a failure"):
        swath.predict(bundle, image, SAVE, *ON, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("way", "last", "resumed"), [("predict.tile=128", 700, 512 * 96), ("predict.strip=128", 100, None)]
)
def test_an_interrupted_map_goes_on(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, last: int, resumed: int | None
) -> None:
    labels = truth(squares(3, 1248), 1248, 96)
    image = write_image(tmp_path / "tall.tif", pixels(labels, 3), corner(3))
    settings = (way, SAVE, *ON)
    swath.predict(bundle, image, *settings, out=tmp_path / "whole")
    write = step.RasterSink.write

    def die(sink: step.RasterSink, rows: object) -> None:
        if rows.start > last:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        write(sink, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(step.RasterSink, "write", die)
        with pytest.raises(KeyboardInterrupt):
            swath.predict(bundle, image, *settings, out=tmp_path / "cut")
    assert [p.name for p in (tmp_path / "cut").glob("[!.]*")] == []
    made = swath.predict(bundle, image, *settings, out=tmp_path / "cut")["maps"][0]
    assert resumed is None or made["resumed_pixels"] == resumed
    for name in ("tall_map.tif", "tall_confidence.tif", "tall_probabilities.tif"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(list((tmp_path / "cut").iterdir())) == 3


def test_statistics_of_an_image_are_computed_once(
    bundle: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fit, load = engine.fit_image, step.load_predictor

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return fit(*arguments)  # type: ignore[arg-type]

    def by_image(*arguments: object, **named: object) -> object:
        found, read_ = load(*arguments, **named)  # type: ignore[arg-type]
        return replace(found, bands=replace(found.bands, scope="image")), read_

    monkeypatch.setattr(engine, "fit_image", counted)
    monkeypatch.setattr(step, "load_predictor", by_image)
    made = swath.predict(bundle, image, *ON, "predict.tile=40", out=tmp_path / "out")["maps"][0]
    assert made["tiles"] == 12
    assert len(calls) == 1


def test_rasters_without_place_or_with_other_bands(bundle: Path, tmp_path: Path) -> None:
    bare = write_image(tmp_path / "bare.tif", pixels(truth(squares(1)), 1), None)
    made = swath.predict(bundle, bare, *ON, out=tmp_path / "out")["maps"][0]
    with rasterio.open(made["map"]) as found:
        assert found.crs is None
        assert found.transform == Affine.identity()
    two = write_image(tmp_path / "two.tif", pixels(truth(squares(1)), 1)[:2], corner(0))
    with pytest.raises(DataError, match=r"two\.tif: band 3 is wanted, the file has 2 bands"):
        swath.predict(bundle, two, *ON, out=tmp_path / "out")


def test_a_raster_without_any_data_is_all_nodata(bundle: Path, tmp_path: Path) -> None:
    blank = write_image(tmp_path / "blank.tif", np.zeros((3, 40, 50), np.uint16), corner(0), nodata=0)
    made = swath.predict(bundle, blank, *ON, out=tmp_path / "out")["maps"][0]
    assert (read(made["map"]) == 255).all()
    assert made["nodata_pixels"] == 2000


def test_an_image_unlike_the_training_is_told(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = pixels(truth(squares(1)), 1)
    usual = swath.predict(bundle, write_image(tmp_path / "a.tif", values, corner(0)), *ON, out=tmp_path / "out")["maps"][0]
    assert usual["unlike_training"] == []
    assert "warning" not in capsys.readouterr().err
    coarse = Affine(10, 0, 583_000, 0, -10, 4_507_000)
    far = write_image(tmp_path / "b.tif", values + np.uint16(30_000), coarse)
    found = swath.predict(bundle, far, *ON, out=tmp_path / "out")["maps"][0]["unlike_training"]
    told = capsys.readouterr().err
    assert len(found) == 2
    assert f"warning: {far}: a pixel is 10 m wide, the model was trained on 0.5 m" in told
    assert f"warning: {far}: band 1 lies beside the usual range" in told


def test_numbers_beyond_float32_are_nodata(bundle: Path, tmp_path: Path) -> None:
    far = np.full((3, 40, 50), 300.0)
    far[1, 20:] = -1e300
    made = swath.predict(bundle, write_image(tmp_path / "far.tif", far, corner(0)), *ON, out=tmp_path / "out")["maps"][0]
    assert made["nodata_pixels"] == 1000
    assert (read(made["map"])[0, 20:] == 255).all()


def test_the_output_must_be_a_directory(bundle: Path, image: Path) -> None:
    with pytest.raises(ResourceError, match=r"is a file; name a directory with --out"):
        swath.predict(bundle, image, *ON, out=image)


def test_the_inputs_stay_untouched(bundle: Path, own_town: Path, tmp_path: Path, fingerprint: Fingerprint) -> None:
    before = fingerprint(own_town.parent), fingerprint(bundle)
    swath.predict(bundle, own_town.parent, *ON, out=tmp_path / "out")
    assert (fingerprint(own_town.parent), fingerprint(bundle)) == before


def test_products_published_before_a_kill_are_kept(bundle: Path, town: Path, tmp_path: Path) -> None:
    """A kill between the publishing of two products: the rerun makes the missing ones only."""
    words = (bundle, town.parent / "west.tif", "predict.save=[classes,confidence,probabilities]")
    whole = swath.predict(*words, out=tmp_path / "whole")["maps"][0]
    made = swath.predict(*words, out=tmp_path / "maps")["maps"][0]
    kept = Path(made["map"]).stat().st_mtime_ns
    Path(made["probabilities"]).unlink()
    Path(made["confidence"]).unlink()
    again = swath.predict(*words, out=tmp_path / "maps")["maps"][0]
    assert Path(again["map"]).stat().st_mtime_ns == kept
    for name in ("map", "confidence", "probabilities"):
        assert Path(again[name]).read_bytes() == Path(whole[name]).read_bytes()
