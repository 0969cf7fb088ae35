"""Each finding on a raster is planted and found by its code; a clean raster has none; reads stay bounded."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from swath.config import BandsSpec
from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.splits import Region
from swath.core.windows import Window
from swath.disk.audit import FINDINGS, Finding, from_error, merged, raster_findings, share, shown
from swath.disk.audit_classes import band_label_findings, class_findings
from swath.disk.audit_labels import stored_code
from swath.disk.audit_scenes import Member, image_findings, leak_findings
from swath.disk.crs import parse_crs
from swath.disk.probe import PIXELS, Probe, probe, spread_windows
from swath.disk.raster import RasterInfo, raster_info
from swath.disk.tally import LabelValues, coarse, tally, tally_classes

SOURCE = Path(__file__).parents[2] / "src" / "swath"
READERS = ("raster", "vector", "crs", "labels", "scenes", "project", "probe", "tally", "inputs")
Make = Callable[..., Path]
LEGEND = Legend(
    (ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000"), ClassEntry(2, "tree", "#00ff00"))
)


def noise(bands: int = 3, side: int = 128, low: float = 60, high: float = 180, seed: int = 0) -> Any:
    """uint8 bands (C, H, W) that differ from one another, away from the ends of the type."""
    return np.random.default_rng(seed).uniform(low, high, (bands, side, side)).astype(np.uint8)


def codes(found: list[Finding], *levels: str) -> set[str]:
    return {f.code for f in found if not levels or f.level in levels}


def calls(name: str, position: int, files: list[Path]) -> set[str]:
    """The texts that calls `name(...)` in some files have as their argument at a position: codes."""
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    given = (n.args[position] for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == name)
    return {a.value for a in given if isinstance(a, ast.Constant)}


def test_every_code_is_in_the_table() -> None:
    audits = [*SOURCE.glob("disk/audit*.py"), SOURCE / "steps" / "check.py"]
    emitted = calls("Finding", 1, audits)
    raised = calls("DataError", 0, [SOURCE / "disk" / f"{n}.py" for n in READERS])
    assert len(emitted) > 50
    assert emitted | raised <= set(FINDINGS)
    assert set(FINDINGS) <= emitted | raised


def test_a_clean_raster_has_no_finding(make_raster: Make) -> None:
    assert raster_findings([probe(make_raster("a.tif", noise()))], BandsSpec(), 16) == []


def with_patch(value: float, rows: int = 20, dtype: str = "uint8", band: int | None = None) -> Any:
    bands = noise().astype(dtype)
    bands[slice(None) if band is None else band, :rows] = value
    return bands


def all_zero_corner() -> Any:
    bands = noise()
    bands[:, :20, :40] = 0
    return bands


def codes_band() -> Any:
    bands = noise()
    bands[1] = np.random.default_rng(1).choice([10, 20, 30, 80], bands[1].shape)
    return bands


def twin_bands() -> Any:
    bands = noise()
    bands[2] = bands[0]
    return bands


def some_white(rows: int = 20) -> Any:
    bands = noise()
    bands[:, 0, 0] = 255
    bands[0, 1:rows] = 255
    return bands


PLANTED = {
    "no-georeference": ("note", lambda: noise(), {"crs": None}),
    "grid-rotated": ("note", lambda: noise(), {"transform": Affine.translation(5e5, 4e6) @ Affine.rotation(30)}),
    "raster-small": ("warning", lambda: noise(side=12), {}),
    "nodata-collision": ("warning", some_white, {"nodata": 255}),
    "nodata-undeclared": ("warning", all_zero_corner, {}),
    "pixels-none": ("warning", lambda: np.zeros((3, 64, 64), "uint8"), {"nodata": 0}),
    "saturated": ("warning", lambda: with_patch(255, band=1), {}),
    "band-constant": ("warning", lambda: with_patch(7, rows=200, band=1), {}),
    "band-duplicate": ("warning", twin_bands, {}),
    "band-codes": ("warning", codes_band, {}),
    "dtype-range": ("note", lambda: noise().astype("uint16"), {}),
    "not-finite": ("warning", lambda: with_patch(np.nan, dtype="float32"), {}),
    "band-alpha": ("note", lambda: np.concatenate([noise(), np.full((1, 128, 128), 255, "uint8")]),
                   {"colorinterp": [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]}),
    "palette": ("warning", lambda: noise(1), {"colorinterp": [ColorInterp.palette]}),
}  # fmt: skip


@pytest.mark.parametrize("code", PLANTED)
def test_what_is_planted_is_found(code: str, make_raster: Make) -> None:
    level, array, options = PLANTED[code]
    found = [
        f for f in raster_findings([probe(make_raster("a.tif", array(), **options))], BandsSpec(), 16) if f.code == code
    ]
    assert [f.level for f in found] == [level]
    assert found[0].path.name == "a.tif"
    assert found[0].message


@pytest.mark.parametrize(
    ("value", "dtype"), [(-9999, "int16"), (-32768, "int16"), (-9999.0, "float32"), (60000, "uint16")]
)
def test_a_value_far_from_all_others_is_undeclared_nodata(value: float, dtype: str, make_raster: Make) -> None:
    plain, declared = (
        make_raster(n, with_patch(value, dtype=dtype, band=1), nodata=d) for n, d in (("a.tif", None), ("b.tif", value))
    )
    (found,) = (f for f in raster_findings([probe(plain)], BandsSpec()) if f.code == "nodata-undeclared")
    assert found.place == "band 2"
    assert f"{value:g}" in found.message
    assert "16 %" in found.message
    assert "nodata-undeclared" not in codes(raster_findings([probe(declared)], BandsSpec()))


def test_a_border_that_the_config_declares_is_none(make_raster: Make) -> None:
    path = make_raster("a.tif", all_zero_corner())
    assert "nodata-undeclared" in codes(raster_findings([probe(path)], BandsSpec()))
    assert codes(raster_findings([probe(path, nodata_value=0)], BandsSpec(nodata_value=0)), "warning") == set()


def test_the_collision_counts_pixels_and_names_the_rule(make_raster: Make) -> None:
    path = make_raster("a.tif", some_white(), nodata=255)
    some, every = 19 * 128 + 1, 1
    for rule, dropped in (("all", every), ("any", some), ("none", 0)):
        (found,) = (
            f for f in raster_findings([probe(path, rule=rule)], BandsSpec(nodata=rule)) if f.code == "nodata-collision"
        )
        assert f"{some:,} of 16,384 pixels have it in some band, {every:,} in all" in found.message
        assert f"by the rule '{rule}' {dropped:,} of them" in found.message


def test_a_nodata_tag_on_a_mask_or_inside_the_range_is_told(make_raster: Make) -> None:
    mask = np.zeros((64, 64), "uint8")
    mask[:8] = 1
    (found,) = (
        f for f in raster_findings([probe(make_raster("m.tif", mask, nodata=1))], BandsSpec()) if "collision" in f.code
    )
    assert "one of its few values (0, 1)" in found.message
    assert "512 of 4,096" in found.message
    (found,) = (
        f
        for f in raster_findings([probe(make_raster("g.tif", noise(1), nodata=100))], BandsSpec())
        if "collision" in f.code
    )
    assert "inside the range" in found.message


def test_a_nodata_value_beyond_the_type(make_raster: Make) -> None:
    path = make_raster("a.tif", noise(1))
    info = raster_info(path)
    seen = probe(path)
    beyond = Probe(**{**seen.__dict__, "info": info, "tags": (-9999.0,)})
    assert "nodata-beyond" in codes(raster_findings([beyond], BandsSpec()), "note")


def test_scaling_by_type_makes_the_narrow_range_a_warning(make_raster: Make) -> None:
    seen = [probe(make_raster("a.tif", noise().astype("uint16")))]
    assert "dtype-range" in codes(raster_findings(seen, BandsSpec(method="dtype")), "warning")


def test_quantised_amounts_are_no_codes(make_raster: Make) -> None:
    """A smooth temperature in steps of 7 has as few values as a class raster, but it changes by one step at a time."""
    rows, cols = np.mgrid[:200, :200]
    smooth = 2400 + 7 * ((rows + cols) // 25)
    assert "band-codes" not in codes(
        raster_findings([probe(make_raster("a.tif", smooth.astype("int16")))], BandsSpec())
    )
    shuffled = 2400 + 7 * np.random.default_rng(0).integers(0, 15, (200, 200))
    assert "band-codes" in codes(raster_findings([probe(make_raster("b.tif", shuffled.astype("int16")))], BandsSpec()))


def test_a_constant_band_in_few_of_many_scenes_is_no_finding(make_raster: Make) -> None:
    seen = [probe(make_raster(f"{n}.tif", with_patch(7, rows=200 if n == 0 else 0, band=1))) for n in range(5)]
    assert "band-constant" not in codes(raster_findings(seen, BandsSpec()))
    assert "band-constant" in codes(raster_findings(seen[:2], BandsSpec()))


def test_alike_findings_are_told_once_with_all_files(make_raster: Make) -> None:
    seen = [probe(make_raster(f"{n}.tif", noise(seed=n), crs=None)) for n in range(3)]
    (found,) = raster_findings(seen, BandsSpec())
    assert found.message.endswith("(and 2 more of 3 rasters)")
    assert [f.name for f in found.files] == ["0.tif", "1.tif", "2.tif"]
    assert found.as_dict().keys() == {"level", "code", "where", "message", "fix", "files"}
    assert found.as_dict()["where"] == str(seen[0].info.path)


def test_errors_stay_apart_and_keep_their_place() -> None:
    path = Path("/data/a.tif")
    error = DataError("raster-corrupt", f"{path} rows 0-8", "cannot be read", "replace it")
    found = merged([from_error(error, path), from_error(error, path)], 2)
    assert [f.as_dict()["where"] for f in found] == [f"{path} rows 0-8"] * 2


def test_shares_and_lists_as_text() -> None:
    assert [share(0.5), share(1, 3), share(0.0039), share(1, 0)] == ["50 %", "33 %", "0.39 %", "0 %"]
    assert shown([1, 2.5, "x"]) == "1, 2.5, x"
    assert shown(range(10), 2) == "0, 1 and 8 more"


# bounded reads


@given(
    height=st.integers(1, 5000), width=st.integers(1, 5000), pixels=st.integers(1, 2_000_000), bands=st.integers(1, 40),
    block=st.sampled_from([(1, 10**9), (16, 10**9), (128, 128), (256, 256), (512, 512), (2048, 2048), (10**9, 10**9)]),
)  # fmt: skip
def test_windows_are_disjoint_inside_and_bounded(
    height: int, width: int, pixels: int, bands: int, block: tuple[int, int]
) -> None:
    grid = Grid(None, Affine.identity(), height, width)
    block = min(block[0], height), min(block[1], width)
    info = RasterInfo(Path("a.tif"), "GTiff", grid, ("uint8",), ("b1",), (None,), block, None, None, False, False)
    windows = spread_windows(info, pixels, bands)
    assert len(set(windows)) == len(windows)
    assert all(Window(0, 0, height, width).contains(w) and w.area for w in windows)
    assert windows[0].row == windows[0].col == 0
    assert (max(w.row_end for w in windows), max(w.col_end for w in windows)) == (height, width)
    assert sum(w.area for w in windows) <= max(pixels, 4 * max(w.area for w in windows)) + max(w.area for w in windows)
    if height * width <= pixels:
        assert sum(w.area for w in windows) == height * width


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 256, "blockysize": 256}, {}])
def test_a_big_raster_is_sampled_in_seconds(tmp_path: Path, layout: dict[str, Any]) -> None:
    path, side = tmp_path / "big.tif", 10_000
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": side,
        "width": side,
        "dtype": "uint8",
        "sparse_ok": True,
        **layout,
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(noise(side=256), window=((0, 256), (0, 256)))
    started = time.monotonic()
    seen = probe(path)
    assert time.monotonic() - started < 3
    assert 1_000_000 < seen.looked <= 1.1 * PIXELS
    assert not seen.whole
    assert seen.sample.shape[1] <= 4096


def test_the_facts_of_a_small_raster_are_exact(make_raster: Make) -> None:
    bands = noise(2)
    seen = probe(make_raster("a.tif", bands))
    assert seen.whole
    assert seen.looked == seen.valid == bands[0].size
    for facts, band in zip(seen.bands, bands, strict=True):
        expected = [band.min(), *np.quantile(band, (0.02, 0.5, 0.98)), band.max()]
        assert list(facts.range().values()) == pytest.approx(expected)


def test_truncated_and_broken_files_are_refused(make_raster: Make, tmp_path: Path) -> None:
    whole = make_raster(
        "a.tif", noise(side=512), tiled=True, blockxsize=128, blockysize=128, compress="deflate"
    ).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="lie beyond the end of the file") as caught:
        probe(tmp_path / "cut.tif")
    assert caught.value.code == "raster-truncated"
    middle = len(whole) // 2
    (tmp_path / "bad.tif").write_bytes(whole[:middle] + bytes(20_000) + whole[middle + 20_000 :])
    with pytest.raises(DataError) as caught:
        probe(tmp_path / "bad.tif")
    assert caught.value.code == "raster-corrupt"


def test_equal_pixels_have_equal_content_whatever_the_file(make_raster: Make) -> None:
    bands = noise(side=256)
    plain = probe(make_raster("a.tif", bands)).content
    assert plain is not None
    assert plain == probe(make_raster("b.tif", bands.astype("uint16"), tiled=True, compress="lzw")).content
    assert plain != probe(make_raster("c.tif", noise(side=256, seed=1))).content
    assert probe(make_raster("d.tif", np.zeros((3, 64, 64), "uint8"))).content is None


# between scenes


def members(make_raster: Make, *arrays: Any, splits: str = "", **options: Any) -> list[Member]:
    names = [f"{n}.tif" for n in range(len(arrays))]
    words = splits.split() or [None] * len(arrays)
    shift = [Affine(0.5, 0, 583_000 + 1000 * n, 0, -0.5, 4_507_000) for n in range(len(arrays))]
    paths = [make_raster(n, a, **{"transform": t, **options}) for n, a, t in zip(names, arrays, shift, strict=True)]
    return [Member(p, w, probe(p)) for p, w in zip(paths, words, strict=True)]


def test_alike_scenes_have_no_finding(make_raster: Make) -> None:
    alike = members(make_raster, noise(), noise(seed=1), noise(seed=2), splits="trn trn tst")
    assert image_findings(alike, BandsSpec()) == []
    assert leak_findings(alike) == []


def test_trap_4_a_wide_type_with_narrow_values_is_named(make_raster: Make) -> None:
    mixed = members(make_raster, noise(), noise(seed=1).astype("uint16"), splits="trn tst")
    (found,) = image_findings(mixed, BandsSpec())
    assert (found.level, found.code, found.path.name) == ("warning", "dtype-differs", "1.tif")
    assert "uint16 holding only" in found.message
    assert "scaling comes from values, not from the dtype: handled" in found.message


@pytest.mark.parametrize(
    ("factor", "offset", "says"),
    [(6, -400, "times as wide"), (0.005, 0, "of the usual range"), (1, 1000, "beside the usual")],
)
def test_a_scene_of_another_range_is_an_outlier(factor: float, offset: float, says: str, make_raster: Make) -> None:
    plain = [noise(seed=n).astype("float32") for n in range(3)]
    mixed = members(make_raster, *plain, noise(seed=9).astype("float32") * np.float32(factor) + np.float32(offset))
    (found,) = image_findings(mixed, BandsSpec())
    assert (found.level, found.code, found.path.name) == ("warning", "range-differs", "3.tif")
    assert says in found.message
    (found,) = image_findings(mixed, BandsSpec(scope="image"))
    assert (found.level, "handled" in found.message) == ("note", True)


def test_pixel_sizes_systems_and_units_that_differ(make_raster: Make) -> None:
    alike = members(make_raster, noise(), noise(seed=1))
    coarser = make_raster("coarse.tif", noise(seed=2), transform=Affine(2, 0, 583_000, 0, -2, 4_507_000))
    degrees = make_raster(
        "degrees.tif", noise(seed=3), crs="EPSG:4326", transform=Affine(5.9e-6, 0, -74, 0, -4.5e-6, 40.7)
    )
    found = image_findings([*alike, *(Member(p, None, probe(p)) for p in (coarser, degrees))], BandsSpec())
    assert {f.code: f.level for f in found} == {"gsd-differs": "warning", "crs-several": "note", "crs-units": "note"}
    assert next(f for f in found if f.code == "gsd-differs").path == coarser


def test_bands_in_another_order_are_an_error(make_raster: Make) -> None:
    paths = [
        make_raster(f"{n}.tif", noise(seed=n), descriptions=d)
        for n, d in enumerate((["red", "green", "nir"], ["nir", "green", "red"]))
    ]
    (found,) = image_findings([Member(p, None, probe(p)) for p in paths], BandsSpec())
    assert (found.level, found.code) == ("error", "bands-order")


def test_trap_37_splits_that_share_ground(make_raster: Make) -> None:
    here, there = Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000), Affine(0.5, 0, 583_050, 0, -0.5, 4_507_000)
    a, b = make_raster("a.tif", noise(), transform=here), make_raster("b.tif", noise(seed=1), transform=there)
    (found,) = leak_findings([Member(a, "trn", probe(a)), Member(b, "tst", probe(b))])
    assert (found.level, found.code, found.path) == ("warning", "split-overlap", b)
    assert f"overlaps a.tif (trn) by {28 * 128:,} pixels" in found.message
    assert leak_findings([Member(a, "trn", probe(a)), Member(b, None, probe(b))]) == []


def test_edges_that_touch_and_other_systems(make_raster: Make) -> None:
    a = make_raster("a.tif", noise())
    beside = make_raster("b.tif", noise(seed=1), transform=Affine(0.5, 0, 583_064, 0, -0.5, 4_507_000))
    assert leak_findings([Member(a, "trn", probe(a)), Member(beside, "tst", probe(beside))]) == []
    (lon,), (lat,) = rasterio.warp.transform("EPSG:32618", "EPSG:4326", [583_000], [4_507_000])
    over = make_raster("c.tif", noise(seed=2), crs="EPSG:4326", transform=Affine(6e-6, 0, lon, 0, -6e-6, lat))
    (found,) = leak_findings([Member(a, "trn", probe(a)), Member(over, "val", probe(over))])
    assert found.code == "split-overlap"


def test_blocks_held_out_of_overlapping_scenes(make_raster: Make) -> None:
    a, b = make_raster("a.tif", noise()), make_raster("b.tif", noise(seed=1))
    held = (Region("trn", None, (Window(0, 0, 64, 64),)), Region("val", (Window(0, 0, 64, 64),)))
    (found,) = leak_findings([Member(a, "trn", probe(a), held), Member(b, "trn", probe(b), (Region("trn"),))])
    assert found.code == "split-overlap"
    assert "by 4,096 pixels" in found.message


def test_one_file_or_the_same_pixels_in_two_splits(make_raster: Make) -> None:
    a = make_raster("a.tif", noise(), crs=None)
    b = make_raster("b.tif", noise(), crs=None, compress="deflate")
    seen, copy = probe(a), probe(b)
    assert {f.code: f.level for f in leak_findings([Member(a, "trn", seen), Member(a, "tst", seen)])} == {
        "split-same-image": "error"
    }
    assert codes(leak_findings([Member(a, "trn", seen), Member(a, "trn", seen)]), "warning") == {"image-twice"}
    assert codes(leak_findings([Member(a, "trn", seen), Member(b, "val", copy)]), "warning") == {"split-same-content"}
    assert codes(leak_findings([Member(a, None, seen), Member(b, "trn", copy)]), "warning") == {"image-twice"}
    areas = [Member(a, s, seen, inside_area=True) for s in ("trn", "tst")]
    assert leak_findings(areas) == []


# classes


def test_classes_that_are_missing_or_rare() -> None:
    pixels = {"trn": {"ground": 10_000, "roof": 10, "tree": 0}, "val": {"ground": 90, "roof": 0, "tree": 9}}
    found = {(f.code, f.place) for f in class_findings(pixels, LEGEND, Path("a.yaml"))}
    assert found == {("class-rare", "roof"), ("class-absent", "roof val"), ("class-absent", "tree trn")}
    assert codes(list(class_findings({"trn": {"ground": 5, "roof": 5}}, LEGEND, Path("a")))) == {"class-never"}


def test_bands_that_tell_the_label(make_raster: Make) -> None:
    labels = np.zeros((128, 128), np.int64)
    labels[:30], labels[60:70] = 1, 2
    bands = noise().astype(float)
    bands[1] = labels * 50 + np.random.default_rng(2).normal(0, 0.1, labels.shape)
    spots = np.random.default_rng(3)
    bands[2] = np.where((labels == 1) ^ (spots.random(labels.shape) < 0.05), spots.uniform(1, 99, labels.shape), 0)
    facts = probe(make_raster("a.tif", bands.astype("float32"))).bands
    found = band_label_findings(bands.reshape(3, -1), labels.ravel(), facts, LEGEND, Path("a.yaml"))
    assert [(f.code, f.place) for f in found] == [("band-is-label", "band 2"), ("band-follows-label", "band 3")]


# values of labels


def test_values_and_ground_of_a_label_raster(make_raster: Make) -> None:
    values = np.zeros((600, 400), "int16")
    values[:100], values[100:, :50] = -5, 300
    path = make_raster("a.tif", values, transform=Affine(10, 0, 5e5, 0, -10, 4.5e6))
    source = LabelValues(path)
    info = raster_info(path)
    counts = tally(source, info.grid, spread_windows(info, float("inf")))["all"]
    split = tally(source, info.grid, spread_windows(info, float("inf")), [Region("val", (Window(0, 0, 100, 100),))])
    source.close()
    assert {v: n for v, (n, _) in counts.items()} == {-5: 40_000, 0: 175_000, 300: 25_000}
    scale = 0.9996**2  # of UTM at its central meridian
    assert counts[300][1] == pytest.approx(25_000 * 100 / scale, rel=1e-4)
    assert {v: n for v, (n, _) in split["val"].items()} == {-5: 10_000}


def test_too_many_values_are_no_classes(make_raster: Make) -> None:
    path = make_raster("a.tif", np.arange(10_000, dtype="int32").reshape(100, 100))
    with pytest.raises(DataError, match="amounts, no classes") as caught:
        tally(LabelValues(path), raster_info(path).grid, [Window(0, 0, 100, 100)])
    assert caught.value.code == "labels-continuous"


def test_large_images_are_counted_on_a_coarser_grid() -> None:
    grid = Grid(None, Affine.translation(3, 4), 30_000, 20_000)
    small = coarse(grid)
    assert small.height * small.width <= 100_000_000
    assert small.bounds == pytest.approx(grid.bounds)

    class Half:
        def read(self, window: Window) -> Any:
            rows = np.arange(window.row, window.row_end) < small.height // 2
            return np.broadcast_to(rows[:, None], window.shape).astype(np.uint8)

    counts, exact = tally_classes(Half(), grid, LEGEND, [Region("trn", None, (Window(0, 0, 15_000, 20_000),))])
    assert not exact
    assert counts["trn"][0][0] == pytest.approx(300_000_000, rel=1e-3)


def test_the_code_that_a_geopackage_stores(make_vector: Make) -> None:
    path = make_vector("a.gpkg", [shapely.box(0, 0, 1, 1)], crs="EPSG:26986")
    assert stored_code(path, "EPSG:26986") == "EPSG:26986"
    plain = parse_crs("EPSG:26986").to_wkt("WKT1_ESRI")
    assert stored_code(Path("a.shp"), plain) is None
