"""Ground that two splits share is found in every form, cut out of training where that leaves enough, and reported."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyogrio.raw import write as write_vector
from pyproj import Transformer
from tiny_town import UTM, corner, pixels, squares, truth, write_image

import swath
from swath.core.errors import DataError, QualityError
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.projects.project import Project, load_project
from swath.disk.samples.leakage import leak_lines, leakage
from swath.disk.samples.plan import plan_places

pytest_plugins = ["fixtures_run"]
SIDE = 96
LABELS = truth(squares(0))


class Site:
    """A folder of small scenes and the config that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, list[str]()

    def scene(self, split: str, transform: Affine | None, *, crs: str | None = UTM, shape: tuple[int, int] = (SIDE, SIDE), seed: int | None = None,
              **columns: str) -> None:  # fmt: skip
        n = len(self.rows)
        labels = np.resize(LABELS, shape)
        write_image(self.folder / f"s{n}.tif", pixels(labels, n if seed is None else seed), transform, crs)
        write_image(self.folder / f"l{n}.tif", labels[None], transform, crs)
        self.row(f"s{n}.tif", f"l{n}.tif", split, **columns)

    def row(self, image: str, labels: str, split: str, **columns: str) -> None:
        more = "".join(f", {k}: {v}" for k, v in columns.items())
        self.rows.append(f"{{image: {image}, labels: {labels}, split: {split}, name: n{len(self.rows)}{more}}}")

    def project(self, *overrides: str) -> Project:
        text = f"scenes: [{', '.join(self.rows)}]\nclasses: {{1: roof}}\nsample: {{tile: 32}}\nsplit: {{val: 0, buffer: 0}}\n"
        (self.folder / "c.yaml").write_text(text)
        return load_project(self.folder / "c.yaml", overrides)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def shifted(rows: float = 0, cols: float = 0, number: int = 0) -> Affine:
    return corner(number) @ Affine.translation(cols, rows)


def trained(project: Project, scene: int = 0) -> NDArray[np.bool_]:
    region = project.region(scene, "trn")
    assert region is not None
    return region.mask(Window(0, 0, SIDE, SIDE))


def test_trap_37_ground_that_is_scored_does_not_train(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("tst", shifted(rows=80, cols=64))
    project = site.project()
    expected = np.ones((SIDE, SIDE), bool)
    expected[80:, 64:] = False
    assert np.array_equal(trained(project), expected)
    found = leakage(project)
    assert (found["ok"], found["label_pixels"], found["label_area_m2"]) == (True, 0, 0)
    assert [(k, v) for k, v, _ in project.reasons if k == "split.overlap"] == [("split.overlap", "cut")]
    buffered = np.ones((SIDE, SIDE), bool)
    buffered[72:, 56:] = False
    assert np.array_equal(trained(site.project("split.buffer=8")), buffered)


def test_kept_on_request_it_is_reported_in_pixels_and_square_metres(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("tst", shifted(rows=80, cols=64))
    project = site.project("split.overlap=keep")
    assert trained(project).all()
    found = leakage(project)
    assert (found["ok"], found["label_pixels"]) == (False, 16 * 32)
    assert found["label_area_m2"] == pytest.approx(16 * 32 * 0.25, rel=2e-3)  # half-metre pixels, a little off the ellipsoid
    (pair,) = found["pairs"]
    assert (pair["splits"], pair["scenes"], pair["kind"], pair["labels"], pair["context"]) == (["trn", "tst"], ["n0", "n1"], "same ground", 512, 0)
    assert leak_lines(found)[0].startswith("warning: 512 label pixels (128 m2) are in two splits, so scores are too good: n0 and n1 (same ground")


def test_an_overlap_is_a_gate_on_request(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("tst", shifted(rows=80, cols=64))
    with pytest.raises(QualityError, match=r"s0\.tif: 512 of its pixels in trn are scored by another split; cut the scenes apart") as e:
        _ = site.project("split.overlap=error").regions
    assert e.value.exit_code == 4


def test_another_date_of_the_same_place_trains_and_is_told(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("tst", shifted())
    project = site.project()
    assert trained(project).all()
    assert ("split.overlap", "keep") in [(k, v) for k, v, _ in project.reasons]
    assert leakage(project)["label_pixels"] == SIDE**2
    with pytest.raises(DataError, match="other splits score all of its ground"):
        _ = site.project("split.overlap=cut").regions


def test_scenes_that_touch_or_lie_apart_share_nothing(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("tst", shifted(cols=SIDE))
    site.scene("val", shifted(number=3))
    project = site.project("split.overlap=error")
    assert leakage(project)["pairs"] == []
    assert leak_lines(leakage(project)) == ["leakage: none, no pixel is seen by two splits"]


def test_other_pixel_sizes_and_other_systems(site: Site) -> None:
    """A coarser grid cuts whole pixels; a geographic one is carried over, and what is cut holds all of the common ground."""
    site.scene("trn", shifted())
    site.scene("tst", shifted(rows=90, cols=-3) @ Affine.scale(3), shape=(20, 20))
    assert (~trained(site.project())).sum() == 6 * 57
    (lon,), (lat,) = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform([583_030], [4_506_970])
    site.rows[1:] = []
    site.scene("tst", Affine(6e-6, 0, lon, 0, -4.5e-6, lat), crs="EPSG:4326", shape=(60, 60))
    project = site.project()
    assert (~trained(project)[60:, 60:]).mean() > 0.99
    assert trained(project)[:58, :58].all()
    assert leakage(project)["ok"]


def test_validation_gives_way_to_the_test(site: Site) -> None:
    for split, rows in (("val", 0), ("tst", 80), ("trn", 500)):
        site.scene(split, shifted(rows=rows))
    project = site.project()
    region = project.region(0, "val")
    assert region is not None
    assert region.mask(Window(0, 0, SIDE, SIDE)).sum() == 80 * SIDE
    assert leakage(project)["ok"]


def test_validation_carved_from_one_of_two_overlapping_scenes(site: Site) -> None:
    site.scene("trn", shifted())
    site.scene("trn", shifted(rows=8, cols=8))
    project = site.project("split.val=0.2", "split.block=24", "split.by=block")
    ground = {"trn": np.zeros((110, 110), bool), "val": np.zeros((110, 110), bool)}
    for scene, start in ((0, 0), (1, 8)):
        for region in project.regions[scene]:
            ground[region.split][start : start + SIDE, start : start + SIDE] |= region.mask(Window(0, 0, SIDE, SIDE))
    assert ground["val"].any()
    assert not (ground["val"] & ground["trn"]).any()
    assert leakage(project)["ok"]


def test_the_same_content_under_two_names(site: Site) -> None:
    site.scene("trn", None, crs=None, seed=1)
    site.scene("tst", None, crs=None, seed=1)
    site.scene("trn", None, crs=None, seed=2)
    project = site.project()
    found = leakage(project)
    assert [(p["kind"], p["scenes"], p["labels"], p["labels_m2"]) for p in found["pairs"]] == [("same content", ["n0", "n1"], SIDE**2, None)]
    assert found["label_area_m2"] is None
    cut = site.project("split.overlap=cut")
    assert [[r.split for r in parts] for parts in cut.regions] == [[], ["tst"], ["trn"]]
    assert leakage(cut)["ok"]


def test_empty_tiles_are_alike_without_showing_one_place(site: Site) -> None:
    for n, split in enumerate(("trn", "tst", "trn", "val")):
        site.scene(split, None, crs=None, seed=1)
        write_image(site.folder / f"s{n}.tif", np.full((3, SIDE, SIDE), 7, np.uint8), None, None)
    assert leakage(site.project())["pairs"] == []
    assert not any(f["code"] in ("split-same-content", "image-twice") for f in swath.check(site.folder / "c.yaml")["findings"])


def test_areas_of_interest_part_two_rows_of_one_image(site: Site) -> None:
    site.scene("trn", shifted())
    for name, (top, bottom) in (("upper", (0, 60)), ("lower", (60, SIDE))):
        box = shapely.box(*(shifted() @ (0, bottom)), *(shifted() @ (SIDE, top)))
        write_vector(site.folder / f"{name}.gpkg", geometry=np.array([shapely.to_wkb(box)], object), field_data=[], fields=[],
                     crs=UTM, geometry_type="Polygon", driver="GPKG")  # fmt: skip
    site.rows = []
    site.row("s0.tif", "l0.tif", "trn", aoi="upper.gpkg")
    site.row("s0.tif", "l0.tif", "tst", aoi="lower.gpkg")
    assert leakage(site.project("split.overlap=error"))["label_pixels"] == 0
    site.rows[1] = site.rows[1].replace(", aoi: lower.gpkg", "")
    assert leakage(site.project("split.overlap=keep"))["label_pixels"] == 60 * SIDE


def test_check_says_what_becomes_of_shared_ground(site: Site) -> None:
    site.scene("trn", shifted(), group="a")
    site.scene("tst", shifted(rows=80, cols=64), group="a")
    site.project()

    def told(*overrides: str) -> dict[str, str]:
        result = swath.check(site.folder / "c.yaml", overrides=overrides)
        assert overrides or result["leakage"]["label_pixels"] == 0
        return {f["code"]: f"{f['level']}: {f['message']}" for f in result["findings"]}

    overlap = "warning: overlaps s0.tif (trn) by 512 pixels (128 m2), and is scored in tst: labels there are left out of the other split"
    assert told()["split-overlap"] == overlap
    assert told()["split-group"] == "warning: groups of the manifest stand in several splits: a"
    assert told()["split-context"].startswith("note: 512 pixels around labels are seen")
    assert told("split.overlap=keep")["split-overlap"].endswith("ground that was trained on is scored")
    assert told("split.overlap=error")["split-overlap"].startswith(("error: 512 of its pixels", "warning: overlaps"))
    assert not swath.check(site.folder / "c.yaml", overrides=["split.overlap=error"])["ok"]


def test_groups_in_several_splits_are_named(site: Site) -> None:
    for split, group in (("trn", "a"), ("tst", "a"), ("val", "b")):
        site.scene(split, shifted(number=len(site.rows)), group=group)
    found = leakage(site.project())
    assert found["groups"] == ["a"]
    assert "warning: groups of the manifest in several splits: a" in leak_lines(found)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.integers(20, 50), buffer=st.integers(0, 9), tile=st.integers(16, 60), tst=st.sampled_from([0.0, 0.2]))
def test_context_is_counted_pixel_by_pixel(town: Path, block: int, buffer: int, tile: int, tst: float) -> None:
    chosen = {"split.block": block, "split.buffer": buffer, "sample.tile": tile, "split.tst": tst, "split.val": 0.2}
    both = "scenes=[{image: north.tif, labels: north.gpkg}, {image: south.tif, labels: south.gpkg}]"
    project = load_project(town, [both, *(f"{k}={v}" for k, v in chosen.items())])
    found = leakage(project)
    expected = 0
    for scene in (0, 1):
        read = {s: np.zeros((SIDE, SIDE), bool) for s in SPLITS}
        for split in SPLITS:
            for place in plan_places(project, split):
                if place.scene == scene:
                    read[split][place.read.clip(SIDE, SIDE).slices()] = True
        expected += sum(int((read[a] & read[b]).sum()) for a, b in itertools.combinations(SPLITS, 2))
    assert found["context_pixels"] == expected
    assert found["label_pixels"] == 0
