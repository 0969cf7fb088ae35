"""What differs or leaks between scenes, and classes that are rare or told by a band, are planted and found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from audited import LEGEND, codes, noise

from swath.core.legend import ClassEntry, Legend
from swath.core.splits import Region
from swath.core.windows import Window
from swath.disk.audits.classes import band_label_findings, class_findings
from swath.disk.audits.scenes import Member, image_findings, leak_findings
from swath.disk.sources.probe import probe
from swath.specs import BandsSpec

Make = Callable[..., Path]

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


def test_many_classes_are_told_in_one_line() -> None:
    entries = tuple(ClassEntry(i, f"c{i}", "#000000") for i in range(60))
    trn = {f"c{i}": (10**6 if i == 0 else 5 if i < 20 else 0) for i in range(60)}
    val = {f"c{i}": 5 * (i >= 50) for i in range(55)}
    found = list(class_findings({"trn": trn, "val": val}, Legend(entries), Path("a.yaml")))
    assert [(f.code, f.message.partition(":")[0]) for f in found] == [
        ("class-never", "35 classes never occur in the labels"),
        ("class-absent", "5 classes do not occur in trn"),
        ("class-absent", "20 classes do not occur in val"),
        ("class-rare", "19 classes have less than 0.5 % of the training pixels each"),
    ]
    assert found[1].message.endswith(": c50, c51, c52, c53, c54")
    assert found[2].message.endswith("c6, c7 and 12 more")


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
