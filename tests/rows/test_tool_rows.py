"""Rows of the requirements on the tools for rasters: chips, mosaics, tables, summaries, functions, bad files among good."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from tiny_town import corner, pixels, squares, truth, write_image

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError

pytest_plugins = ["fixtures_run"]
Maker = Callable[..., Path]
HERE = Path(__file__).parent
CLASSES = "classes: {1: roof}\n"


def scene(folder: Path, number: int, **options: Any) -> Path:
    return write_image(folder / f"{number}.tif", pixels(truth(squares(number)), number), corner(number), **options)


def rows_of(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


# ROOF-011, ROOF-012, ROOF-014, ROOF-015 on the real frame
def test_roof_015_the_real_frame_is_cut_and_joined_bit_for_bit(data_dir: Path, tmp_path: Path) -> None:
    frame = data_dir / "roofs" / "frame.tif"
    assert main(["chip", str(frame), "--size", "65", "--expect", "99", "--out", str(tmp_path / "no")]) == 3
    assert not (tmp_path / "no").exists()
    assert main(["chip", str(frame), "--size", "65", "--expect", "100", "--out", str(tmp_path / "chips")]) == 0
    assert main(["mosaic", str(tmp_path / "chips"), "--out", str(tmp_path / "whole.tif")]) == 0
    with rasterio.open(frame) as before, rasterio.open(tmp_path / "whole.tif") as after:
        assert np.array_equal(before.read(), after.read())
        assert (before.transform, before.crs, before.dtypes) == (after.transform, after.crs, after.dtypes)
        with rasterio.open(tmp_path / "chips" / "frame_65_130.tif") as chip:
            assert chip.transform @ (0, 0) == pytest.approx(before.transform @ (130, 65), abs=1e-12)


# ROOF-016: two overlapping chips with `mean`
def test_roof_016_overlapping_chips_are_averaged(make_raster: Maker, tmp_path: Path) -> None:
    one = make_raster("a.tif", np.full((1, 8, 8), 10, np.float32))
    other = make_raster("b.tif", np.full((1, 8, 8), 20, np.float32), transform=Affine(0.5, 0, 583_002, 0, -0.5, 4_507_000))
    swath.mosaic([one, other], out=tmp_path / "m.tif", on_overlap="mean")
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.read(1)[0].tolist() == [10] * 4 + [15] * 4 + [20] * 4


# ROOF-025, ROOF-026: pairs are those of the manifest, whatever masks lie beside them
@pytest.mark.parametrize("extra", [False, True])
def test_roof_026_an_extra_mask_does_not_shift_pairs(tmp_path: Path, extra: bool) -> None:
    for n in range(3):
        write_image(tmp_path / f"d/images/{n}.tif", np.full((1, 4, 5), 10 + n, np.uint16), corner(n))
        write_image(tmp_path / f"d/masks/{n}.tif", np.full((1, 4, 5), n, np.uint8), corner(n))
    if extra:
        write_image(tmp_path / "d/masks/00.tif", np.full((1, 4, 5), 9, np.uint8), corner(0))
    made = swath.import_("images-masks", tmp_path / "d", out=tmp_path / "in", allow_missing=extra)
    flat = swath.flatten(made["manifest"], out=tmp_path / "t.csv", form="wide")
    assert flat["rows"] == 60
    assert {(r["image"], r["b1"], r["label"]) for r in rows_of(tmp_path / "t.csv")} == {(str(n), str(10 + n), str(n)) for n in range(3)}


# ROOF-027: four rasters become one table with the sum of their rows
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_roof_027_four_rasters_make_one_table(tmp_path: Path, form: str, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    raws = {}
    for n, dtype in enumerate(["uint8", "uint16", "uint16", "int16"]):
        raws[str(n)] = np.random.default_rng(n).integers(0, 120, (2, 5 + n, 7)).astype(dtype)
        write_image(tmp_path / f"in/{n}.tif", raws[str(n)], corner(n))
    target = tmp_path / f"t.{suffix}"
    result = swath.flatten(tmp_path / "in", out=target, form=form)
    parts = [swath.flatten(tmp_path / f"in/{n}.tif", out=tmp_path / f"{n}.csv", form=form)["rows"] for n in range(4)]
    assert result["rows"] == sum(parts) == sum(r.size for r in raws.values()) // (1 if form == "long" else 2)
    assert [(i["image"], i["pixels"]) for i in result["images"]] == [(n, r[0].size) for n, r in raws.items()]
    assert result["columns"][0] == "image"
    if suffix == "csv":
        found: list[dict[str, Any]] = rows_of(target)  # type: ignore[assignment]
    else:
        from pyarrow import parquet

        found = parquet.read_table(target).to_pylist()
    for row in found:
        for band in (0, 1):
            if form == "wide" or row["band"] == f"b{band + 1}":
                value = row[f"b{band + 1}"] if form == "wide" else row["value"]
                assert int(value) == raws[row["image"]][band, int(row["row"]), int(row["column"])]


def test_rasters_that_make_no_table(make_raster: Maker, tmp_path: Path) -> None:
    a = make_raster("x/a.tif", np.ones((2, 3, 3), np.uint8), descriptions=["red", "nir"])
    b = make_raster("x/b.tif", np.ones((2, 3, 3), np.uint8), descriptions=["nir", "red"])
    plain = make_raster("x/c.tif", np.ones((2, 3, 3), np.int16))
    with pytest.raises(DataError, match=r"has the bands nir, red, .* has red, nir"):
        swath.flatten([a, b], out=tmp_path / "t.csv", form="wide")
    assert swath.flatten([plain, a], out=tmp_path / "t.csv", form="wide")["columns"][-2:] == ["red", "nir"]
    assert swath.flatten([a, b], out=tmp_path / "u.csv")["rows"] == 36
    with pytest.raises(DataError, match="another image is called a too"):
        swath.flatten([a, make_raster("y/a.tif", np.ones((2, 3, 3), np.uint8))], out=tmp_path / "v.csv")
    (tmp_path / "s.csv").write_text("image,labels\nx/a.tif,x/b.tif\nx/c.tif,\n")
    result = swath.flatten(tmp_path / "s.csv", out=tmp_path / "w.csv", form="wide")
    assert result["events"] == {"pixel without label": 9}
    assert [r["label"] for r in rows_of(tmp_path / "w.csv")] == ["1"] * 9 + [""] * 9
    assert not (tmp_path / "v.csv").exists()


# ROOF-028, TRAP-69: plots of one file do not replace those of another, the range follows the data
def test_roof_028_every_image_has_its_own_plots_and_range(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    images = [data_dir / "roofs" / "frame.tif", data_dir / "massachusetts" / "22978945_15.tif"]
    made = swath.summarize(images, out=tmp_path / "s")
    for path, found in zip(images, made["images"], strict=True):
        with rasterio.open(path) as file:
            values = file.read()
        for band, raw in zip(found["bands"], values, strict=True):
            assert (band["min"], band["max"]) == (raw.min(), raw.max())
            assert band["mean"] == pytest.approx(raw.mean(), rel=1e-9)
            assert band["std"] == pytest.approx(raw.std(), rel=1e-9)
            assert int(raw.min()) - 1 <= band["histogram"]["low"] < band["histogram"]["high"] <= int(raw.max()) + 1
            assert sum(band["histogram"]["counts"]) == raw.size
        assert len(found["files"]["pictures"]) == 3
    assert len(list((tmp_path / "s").glob("*.png"))) == 6


# OTB-051: L2 norm, scalar product of two images
def l2(images: dict[str, NDArray[Any]]) -> NDArray[Any]:
    return np.sqrt((images["a"].astype(np.float64) ** 2).sum(0, keepdims=True))


def dot(images: dict[str, NDArray[Any]]) -> NDArray[Any]:
    return (images["a"].astype(np.float64) * images["b"]).sum(0, keepdims=True)


@pytest.mark.parametrize("name", ["l2", "dot"])
def test_otb_051_functions_equal_numpy_on_the_command_line(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    frame = data_dir / "roofs" / "frame.tif"
    with rasterio.open(frame) as file:
        raw, profile = file.read().astype(np.float64), file.profile
    other = np.flip(raw, 2).astype(np.uint16)
    with rasterio.open(tmp_path / "b.tif", "w", **profile) as file:
        file.write(other)
    words = ["apply", f"{Path(__file__).stem}:{name}", "--source", f"a:{frame}", "--source", f"b:{tmp_path / 'b.tif'}",
             "--out", str(tmp_path / "o.tif"), "--window", "100"]  # fmt: skip
    assert main(words) == 0
    wanted = np.sqrt((raw**2).sum(0)) if name == "l2" else (raw * other).sum(0)
    with rasterio.open(tmp_path / "o.tif") as file:
        assert np.array_equal(file.read(1), wanted)
        assert file.transform == profile["transform"]


# TRAP-3: one corrupt image among good ones ends with an error, and the others are written
@pytest.mark.parametrize("verb", ["chip", "mask", "summarize"])
def test_trap_3_one_corrupt_image_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    names = [scene(tmp_path / "in", n) for n in (1, 2, 3)]
    names[1].write_bytes(names[1].read_bytes()[:2000] if verb != "mask" else b"no raster")
    (tmp_path / "c.yaml").write_text(CLASSES)
    if verb == "mask":  # burns geometry, so only a header that cannot be read stops it
        for n in (1, 2, 3):
            write_image(tmp_path / f"l/{n}.tif", truth(squares(n))[None], corner(n))
        rows = "".join(f"in/{n}.tif,l/{n}.tif\n" for n in (1, 2, 3))
        (tmp_path / "s.csv").write_text(f"image,labels\n{rows}")
    words = {
        "chip": ["chip", *map(str, names), "--size", "48"],
        "mask": ["mask", str(tmp_path / "s.csv"), "--config", str(tmp_path / "c.yaml")],
        "summarize": ["summarize", *map(str, names)],
    }[verb]
    assert main([*words, "--out", str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert "2.tif" in error
    written = {p.name.partition(".")[0].partition("_")[0] for p in (tmp_path / "out").iterdir()}
    assert written == {"1", "3"}


# ROOF-023: nothing is taken for done that a kill left behind
def test_roof_023_a_half_file_is_never_taken_for_a_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = scene(tmp_path, 1)
    from swath.steps import chip as module

    whole, calls = module._write, []

    def die(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            swath.chip(picture, out=tmp_path / "chips", size=48)
    left = sorted(p.name for p in (tmp_path / "chips").iterdir())
    assert left == ["1_0_0.tif", "1_0_48.tif"]
    for name in left:
        with rasterio.open(tmp_path / "chips" / name) as file:
            assert file.read().shape == (3, 48, 48)
    assert swath.chip(picture, out=tmp_path / "chips", size=48, overwrite=True)["chips"] == 4


# TRAP-45: images smaller than their padding
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 40)])
def test_trap_45_tiny_images_are_mapped_whole(bundle: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    tiny = write_image(tmp_path / "t.tif", np.full((3, *shape), 500, np.uint16), corner(1))
    for how in ("rows", "tiles"):
        made = swath.predict(bundle, tiny, f"predict.executor={how}", out=tmp_path / how)
        with rasterio.open(made["maps"][0]["map"]) as file:
            assert file.shape == shape
            assert set(np.unique(file.read(1))) <= {0, 1}


# GDL-010: a manifest of three rows gives three maps, one split of it one
def test_gdl_010_a_split_of_a_manifest(bundle: Path, town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = town.parent / "scenes.csv"
    words = ["predict", str(bundle), str(manifest), "--json"]
    assert main([*words, "--out", str(tmp_path / "all")]) == 0
    assert len(json.loads(capsys.readouterr().out)["maps"]) == 3
    assert main([*words, "--out", str(tmp_path / "one"), "--split", "test"]) == 0
    assert [Path(m["map"]).name for m in json.loads(capsys.readouterr().out)["maps"]] == ["west_map.tif"]
    with pytest.raises(DataError, match="none of 3 inputs is in this split"):
        swath.predict(bundle, manifest, split="val", out=tmp_path / "no")
    with pytest.raises(ConfigError, match="did you mean 'tst'"):
        swath.predict(bundle, manifest, split="tset", out=tmp_path / "no")
