"""Samples around points: the right pixels, classes and splits, and a reason for every point that gives none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyogrio.raw import write as write_vector
from tiny_town import UTM, write_image, write_squares

import swath
from swath.core.errors import DataError
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.projects.point_places import _widest
from swath.disk.projects.project import load_project
from swath.disk.rasters.crs import project
from swath.disk.samples.rastersamples import RasterSamples
from swath.disk.stores.store import StoreSamples, load_index, read_card

CORNER = Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000)
SIDE = 96
CONFIG = """scenes: scenes.csv
classes: {field: kind, 0: ground, 1: roof, 3: {name: water, source: [7, lake]}}
sample: {points: points.gpkg, tile: 16}
split: {val: 0.2, buffer: 4}
model: {depth: 2, width: 4}
train: {steps: 6, batch_size: 4, evaluations: 2, precision: fp32}
runtime: {device: cpu, threads: 1}
"""
Place = tuple[float, float]  # row and column in pixels


def write_points(path: Path, places: list[Place], crs: str = UTM, **columns: list[Any]) -> Path:
    """A vector file of points with columns; None is a missing value."""
    xy = np.array([CORNER @ (c, r) for r, c in places])
    if crs != UTM:
        xy = project(xy, UTM, crs)
    data = [np.array(v, object) if any(isinstance(x, str | None) for x in v) else np.array(v) for v in columns.values()]
    path.unlink(missing_ok=True)
    driver = {".gpkg": "GPKG", ".geojson": "GeoJSON"}[path.suffix]
    write_vector(path, geometry=shapely.to_wkb(shapely.points(xy)), fields=list(columns), field_data=data, crs=crs,
                 geometry_type="Point", driver=driver, layer=path.stem)  # fmt: skip
    return path


def middle(places: list[tuple[int, int]]) -> list[Place]:
    return [(r + 0.5, c + 0.5) for r, c in places]


def image() -> NDArray[np.uint16]:
    """Two bands whose values tell the pixel: 1 + row, 1 + column."""
    return np.stack(np.meshgrid(np.arange(1, SIDE + 1), np.arange(1, SIDE + 1), indexing="ij")).astype(np.uint16)


def spread(count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Pixels whose patch of 16 lies inside."""
    return [tuple(p) for p in np.random.default_rng(seed).integers(8, SIDE - 8, (count, 2)).tolist()]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """An image and its config; the points are for the test to write."""
    write_image(tmp_path / "image.tif", image(), CORNER)
    (tmp_path / "scenes.csv").write_text("image\nimage.tif\n")
    (tmp_path / "roofs.yaml").write_text(CONFIG)
    return tmp_path / "roofs.yaml"


def rows(config: Path) -> tuple[Path, NDArray[Any]]:
    store = config.parent / "runs" / "roofs" / "samples.store"
    return store, load_index(store, read_card(store))


@given(side=st.sampled_from([1, 2, 5, 16, 31]), corners=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patches_are_the_same_in_degrees(scene: Path, side: int, corners: bool, seed: int) -> None:
    """The pixel that holds the point is at [side // 2, side // 2], whether points lie on centres or on corners."""
    places = [(r + 0.0, c + 0.0) for r, c in spread(12, seed)] if corners else middle(spread(12, seed))
    for crs in (UTM, "EPSG:4326", "EPSG:3857"):
        write_points(scene.parent / "points.gpkg", places, crs, kind=[i % 2 for i in range(12)], split=["trn"] * 12)
        found = RasterSamples(load_project(scene, [f"sample.tile={side}"]), "trn", 10**9)
        inside = [(int(r), int(c)) for r, c in places
                  if side // 2 <= int(r) <= SIDE - side + side // 2 and side // 2 <= int(c) <= SIDE - side + side // 2]  # fmt: skip
        assert len(found.places) == len(inside)
        for i, (row, col) in enumerate(inside):
            sample = found.read(i)
            assert sample.image.shape == (2, side, side)
            assert sample.image[:, side // 2, side // 2].tolist() == [row + 1, col + 1]


def test_only_the_pixel_of_the_point_is_labelled(scene: Path) -> None:
    places = spread(30)
    values = [[0, 1, 7][i % 3] for i in range(30)]
    write_points(scene.parent / "points.gpkg", middle(places), kind=values, id=list(range(500, 530)))
    result = swath.sample(scene)
    assert sum(result["samples"].values()) + sum(result["dropped"].values()) == 30
    store, index = rows(scene)
    legend = load_project(scene).legend
    assert {int(i) for i in index["point"]} <= set(range(500, 530))
    for split in SPLITS[:2]:
        samples = StoreSamples(store, split)
        assert len(samples.places) > 0
        for n, row in enumerate(samples.index):
            labels, number = samples.read(n).labels, int(row["point"]) - 500
            assert samples.places[n].read == Window(places[number][0] - 8, places[number][1] - 8, 16, 16)
            assert legend.ids[row["label"]] == {0: 0, 1: 1, 7: 3}[values[number]]
            assert labels[8, 8] == row["label"]
            assert (labels != legend.ignore).sum() == 1


def test_every_refused_point_has_its_reason(scene: Path) -> None:
    places = [*middle(spread(20)), (3.5, 40.5), (90.5, 40.5), (40.5, -5.0), (50.5, 50.5), (60.5, 60.5)]
    values = [*[i % 2 for i in range(20)], 1, 1, 1, None, None]
    write_points(scene.parent / "points.gpkg", places, kind=values, split=["trn", "val"] * 12 + ["trn"])
    result = swath.sample(scene)
    assert result["dropped"] == {"no class value": 2, "patch outside the image": 3}
    assert result["samples"] == {"trn": 10, "val": 10, "tst": 0}
    told = {f["code"]: f["message"] for f in swath.check(scene)["findings"]}
    assert "2 x no class value" in told["points-refused"]
    assert "3 x patch outside" in told["points-refused"]


def test_values_without_a_class_are_refused(scene: Path) -> None:
    write_points(scene.parent / "points.gpkg", middle(spread(3)), kind=[1, 2, 7])
    with pytest.raises(DataError, match="without a class: 2"):
        swath.sample(scene)


@pytest.mark.parametrize(
    ("rule", "refused"),
    [("any", {3, 4, 5}), ("all", {5}), ("0.0", {3, 4, 5}), ("0.2", {4, 5}), ("0.9", {5}), ("1.0", set())],
)
def test_patches_with_nodata_are_refused_by_the_rule(scene: Path, rule: str, refused: set[int]) -> None:
    """Point 3 has one bad pixel, point 4 half of its patch, point 5 nothing but nodata."""
    values, places = image(), [(8, 8), (8, 40), (8, 70), (40, 8), (40, 40), (40, 70)]
    values[:, 32, 0] = 0
    values[:, 32:40, 32:48] = 0
    values[:, 32:48, 62:78] = 0
    write_image(scene.parent / "image.tif", values, CORNER, nodata=0)
    write_points(scene.parent / "points.gpkg", middle(places), kind=[0, 1] * 3, id=list(range(6)), split=["trn"] * 6)
    result = swath.sample(scene, f"sample.reject_nodata={rule}", "sample.max_nodata=1", overwrite=True)
    kept = {int(i) for i in rows(scene)[1]["point"]}
    # where nothing is refused, the pixel of point 5 is still no data: it has no label to teach
    assert kept == set(range(6)) - (refused | {5})
    assert result["dropped"] == ({"nodata in the patch": len(refused)} if refused else {"no labelled pixel": 1})


def test_one_bad_value_in_one_band_counts_where_the_rule_says_any(scene: Path) -> None:
    values = image()
    values[1, 20, 20] = 0
    write_image(scene.parent / "image.tif", values, CORNER, nodata=0)
    write_points(scene.parent / "points.gpkg", middle([(24, 24), (60, 60), (70, 70)]), kind=[1, 0, 1], split=["trn"] * 3)
    assert swath.sample(scene, "sample.reject_nodata=any", "bands.nodata=any")["dropped"] == {"nodata in the patch": 1}
    assert swath.sample(scene, "sample.reject_nodata=any", overwrite=True)["dropped"] == {}


def test_no_point_left_is_an_error_with_advice(scene: Path) -> None:
    write_points(scene.parent / "points.gpkg", [(1.5, 1.5), (95.5, 5.5)], kind=[1, 0])
    with pytest.raises(DataError, match=r"2 x patch outside the image\); .*smaller sample\.tile") as caught:
        swath.sample(scene)
    assert caught.value.exit_code == 3
    write_image(scene.parent / "image.tif", image(), CORNER, nodata=20)
    write_points(scene.parent / "points.gpkg", middle([(19, 19), (19, 19)]), kind=[1, 0], split=["trn", "trn"])
    with pytest.raises(DataError, match=r"relax sample\.reject_nodata"):
        swath.sample(scene, "sample.tile=1", "sample.reject_nodata=any", overwrite=True)
    with pytest.raises(DataError, match="no such file"):
        swath.sample(scene, "sample.points=nowhere.gpkg")
    assert [f["code"] for f in swath.check(scene, overrides=["sample.points=nowhere.gpkg"])["findings"] if f["level"] == "error"] == [
        "file-missing"
    ]


def dense(scene: Path, count: int = 60, **columns: list[Any]) -> NDArray[np.uint8]:
    """Gives the scene polygons and points: the truth (H, W)."""
    boxes = [(10, 10, 20), (40, 50, 30), (70, 5, 20)]
    write_squares(scene.parent / "roofs.gpkg", boxes, CORNER)
    (scene.parent / "scenes.csv").write_text("image,labels,field\nimage.tif,roofs.gpkg,class\n")
    scene.write_text(CONFIG.replace("field: kind, ", ""))
    write_points(scene.parent / "points.gpkg", middle(spread(count)), **{"class": [1] * count, **columns})
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for row, col, length in boxes:
        truth[row : row + length, col : col + length] = 1
    return truth


@pytest.mark.parametrize("own", [True, False])
def test_where_labels_exist_they_are_the_labels_of_the_patch(scene: Path, own: bool) -> None:
    """No label pixel is in two splits; those of validation and test count once."""
    deal = {"split": (["trn"] * 6 + ["val", "tst"]) * 8} if own else {"other": [0] * 64}
    truth = dense(scene, 64, **deal)
    result = swath.sample(scene, "sample.tile=15")
    store, _ = rows(scene)
    seen = np.zeros((3, SIDE, SIDE), int)
    for k, split in enumerate(SPLITS):
        samples = StoreSamples(store, split)
        for n, place in enumerate(samples.places):
            labels, rows_cols = samples.read(n).labels, place.read.slices()
            counts = labels != 255
            assert np.array_equal(labels[counts], truth[rows_cols][counts])
            seen[k][rows_cols] += counts
    assert result["samples"]["trn"] > 0
    assert result["samples"]["val"] > 0
    assert (seen.astype(bool).sum(0) <= 1).all()
    assert seen[1:].max() == 1
    assert seen[0].max() > 1  # training patches may overlap
    if own:
        marked = np.zeros((SIDE, SIDE), bool)
        for (r, c), split in zip(spread(64), deal["split"], strict=True):
            if split == "val":
                marked[r - 7 : r + 8, c - 7 : c + 8] = True
        assert (seen[1].astype(bool) == (marked & ~seen[2].astype(bool))).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_the_widest_squares_cover_as_much_as_all(seed: int, side: int) -> None:
    offsets = np.random.default_rng(seed).integers(1 - side, side, (30, 2))
    found = _widest(offsets, np.arange(30))

    def covered(numbers: list[int]) -> NDArray[np.bool_]:
        out = np.zeros((side, side), bool)
        for r, c in offsets[numbers].tolist():
            out[Window(r, c, side, side).clip(side, side).slices()] = True
        return out

    assert np.array_equal(covered(found), covered(list(range(30))))
    assert len(found) <= 4 * side


def test_points_go_to_the_split_whose_region_holds_them(scene: Path) -> None:
    dense(scene)
    town = load_project(scene)
    places, refused = town.placed
    assert sum(map(len, places.values())) + sum(refused.values()) == 60
    assert set(refused) <= {"between the splits"}
    for split, found in places.items():
        for place in found:
            assert place.point is not None
            region = town.region(0, split)
            assert region is not None
            assert region.touches(Window(place.point.row, place.point.col, 1, 1))


def test_the_class_may_be_missing_where_there_are_labels(scene: Path) -> None:
    dense(scene, 60, **{"class": [1, None] * 30})
    assert "no class value" not in swath.sample(scene)["dropped"]
    assert set(rows(scene)[1]["label"].tolist()) == {-1, 1}


def test_rasters_and_store_give_the_same_samples(scene: Path) -> None:
    dense(scene)
    swath.sample(scene)
    town, store = load_project(scene), rows(scene)[0]
    for split in ("trn", "val"):
        direct, kept = RasterSamples(town, split, 10**9), StoreSamples(store, split)  # type: ignore[arg-type]
        assert [p.read for p in direct.places] == [p.read for p in kept.places]
        for n in range(len(kept.places)):
            for a, b in zip(vars(direct.read(n)).values(), vars(kept.read(n)).values(), strict=True):
                assert np.array_equal(a, b)


@pytest.mark.parametrize("data", ["store", "rasters"])
def test_a_network_learns_from_points_alone(scene: Path, data: str) -> None:
    """Left half ground, right half roof: told by points only."""
    values = image()
    values[:, :, SIDE // 2 :] += 500
    write_image(scene.parent / "image.tif", values, CORNER)
    places = spread(60)
    write_points(scene.parent / "points.gpkg", middle(places), kind=[int(c >= SIDE // 2) for _, c in places],
                 split=["trn", "trn", "val"] * 20)  # fmt: skip
    if data == "store":
        swath.sample(scene)
    result = swath.train(scene, f"train.data={data}", "train.steps=40", "train.lr=0.02")
    assert result["data"] == data
    scores = swath.evaluate(result["run"], scene, split="val")
    assert sum(c["pixels"] for c in scores["classes"].values()) == len({p for i, p in enumerate(places) if i % 3 == 2})
    assert scores["overall_accuracy"] > 0.9


def test_patches_images_have_a_label_per_patch_in_the_order_of_the_points(scene: Path) -> None:
    """n = height / width; labels 1 x n; the way there and back is an identity."""
    places, values = spread(20), [[0, 1, 7][i % 3] for i in range(20)]
    write_points(scene.parent / "points.gpkg", middle(places), kind=values, split=["trn"] * 12 + ["val"] * 8)
    swath.sample(scene)
    store, out = rows(scene)[0], scene.parent
    told = swath.convert(store, out / "patches", to="patches-images")
    assert "label maps of 20 samples: one class is written per patch" in told["lost"]
    for split, first, count in (("trn", 0, 12), ("val", 12, 8)):
        with rasterio.open(out / "patches" / split / "image.tif") as source:
            assert (source.width, source.height) == (16, 16 * count)
            patches = source.read().reshape(2, count, 16, 16)
        with rasterio.open(out / "patches" / split / "labels.tif") as source:
            assert (source.width, source.height, source.dtypes) == (1, count, ("uint8",))
            labels = source.read(1).ravel().tolist()
        assert labels == [{0: 0, 1: 1, 7: 3}[v] for v in values[first : first + count]]
        centres = patches[:, :, 8, 8].T.tolist()
        assert centres == [[r + 1, c + 1] for r, c in places[first : first + count]]
    swath.convert(out / "patches", out / "back.store", to="store")
    swath.convert(out / "back.store", out / "again", to="patches-images")
    for name in ("trn/image.tif", "trn/labels.tif", "val/image.tif", "val/labels.tif"):
        assert (out / "again" / name).read_bytes() == (out / "patches" / name).read_bytes()
    assert "class of the patch as a whole of 20 samples" in swath.convert(store, out / "w", to="webdataset")["lost"]


def test_points_of_the_verb_are_known_by_their_columns(scene: Path) -> None:
    """Their classes are class ids, whatever label values stand for the classes; their scene is the one they name."""
    write_image(scene.parent / "other.tif", image(), CORNER)
    truth = np.tile(np.array([1, 7, 0], np.uint8), (SIDE, SIDE // 3))
    write_image(scene.parent / "labels.tif", truth[None], CORNER)
    (scene.parent / "scenes.csv").write_text("image,labels\nimage.tif,labels.tif\nother.tif,labels.tif\n")
    scene.write_text(CONFIG.replace("1: roof, 3: {name: water, source: [7, lake]}", "1: {name: roof, source: [7]}, 7: {name: water, source: [1]}"))
    made = swath.points(scene, out=scene.parent / "points.gpkg", strategy="constant", number=20)
    assert made["count"] == 60
    swath.sample(scene)
    store, index = rows(scene)
    assert len(index) + sum(read_card(store)["dropped"].values()) == 60
    legend = load_project(scene).legend
    assert len(set(index["scene"].tolist())) == 2
    for row in index:
        r, c = row["read"][:2] + 8
        assert legend.ids[row["label"]] == {1: 7, 7: 1, 0: 0}[int(truth[r, c])]


def test_centroids_parts_and_shapes_that_bend_around_theirs(scene: Path) -> None:
    def at(row: float, col: float) -> Place:
        return CORNER @ (col, row)

    bent = shapely.Polygon([at(20, 20), at(20, 60), at(24, 60), at(24, 24), at(60, 24), at(60, 20)])
    shapes = [bent, shapely.box(*at(44, 40), *at(40, 44)), shapely.MultiPoint([at(30.5, 70.5), at(70.5, 30.5)]), None]
    assert not bent.contains(bent.centroid)
    (scene.parent / "points.gpkg").unlink(missing_ok=True)
    write_vector(scene.parent / "points.gpkg", geometry=shapely.to_wkb(np.array(shapes, object)), fields=["kind"],
                 field_data=[np.array([1, 0, 7, 1])], crs=UTM, geometry_type="Unknown", driver="GPKG", layer="p")  # fmt: skip
    town = load_project(scene, ["split.val=0"])
    found = [(p.point.row, p.point.col, p.point.label) for p in town.placed[0]["trn"] if p.point]
    assert found[1:] == [(42, 42, 0), (30, 70, 2), (70, 30, 2)]
    assert bent.contains(shapely.Point(at(found[0][0] + 0.5, found[0][1] + 0.5)))
    assert town.placed[1] == {"no geometry": 1}


def test_points_in_the_manifest_are_sparse_labels(scene: Path) -> None:
    places = spread(40)
    write_points(scene.parent / "points.gpkg", middle(places), kind=[i % 2 for i in range(40)])
    (scene.parent / "scenes.csv").write_text("image,labels\nimage.tif,points.gpkg\n")
    town = load_project(scene, ["sample.points=null"])
    labels = town.labels(0).read(Window(-4, -4, SIDE + 8, SIDE + 8))
    wanted = np.full((SIDE + 8, SIDE + 8), 255)
    for i, (r, c) in enumerate(places):
        wanted[r + 4, c + 4] = i % 2
    assert np.array_equal(labels, wanted)
    assert swath.check(scene, overrides=["sample.points=null"])["ok"]


def test_odd_columns_are_refused(scene: Path) -> None:
    write_points(scene.parent / "points.gpkg", middle(spread(4)), kind=[1, 0, 1, 0], split=["trn", "val", "fold 3", "trn"])
    with pytest.raises(DataError, match="unknown split 'fold 3'"):
        swath.sample(scene)
    write_image(scene.parent / "image.tif", image(), None)
    write_points(scene.parent / "points.gpkg", middle(spread(4)), kind=[1, 0, 1, 0])
    with pytest.raises(DataError, match="the image has no CRS"):
        swath.sample(scene)


def test_yucatan_points_to_patches(data_dir: Path, tmp_path: Path) -> None:
    """Two dates, thirty polygons: the patches are the pixels around the points, on the date that they name."""
    folder = data_dir / "yucatan"
    images = [folder / f"LE7022049{d}_stack.gtif" for d in ("1999322EDC01", "2002106EDC00")]
    lines = [f"{p},{folder / 'training_data.shp'}" for p in images]
    (tmp_path / "scenes.csv").write_text("\n".join(["image,labels", *lines]))
    names = ("barren", "forest", "herbaceous", "urban", "water")
    table = ", ".join(f"{i}: {n}" for i, n in enumerate(names, 1))
    (tmp_path / "y.yaml").write_text(f"scenes: scenes.csv\nclasses: {{field: class, unlabelled: ignore, {table}}}\n"
                                     "bands: {nodata_value: -9999}\nsplit: {buffer: 2, val: 0.25}\n")  # fmt: skip
    drawn = swath.points(tmp_path / "y.yaml", out=tmp_path / "p.gpkg", strategy="constant", number=30)
    least = min(c["available"] for c in drawn["classes"].values())  # ground of both dates is of one split
    assert {c["points"] for c in drawn["classes"].values()} == {min(30, least)}
    result = swath.sample(tmp_path / "y.yaml", "sample.points=p.gpkg", "sample.tile=8")
    store = StoreSamples(Path(result["store"]), "trn")
    sources = [rasterio.open(p).read() for p in images]
    for n, place in enumerate(store.places):
        assert np.array_equal(store.read(n).image, sources[place.scene][(slice(None), *place.read.slices())])
        assert store.read(n).labels[4, 4] == store.index["label"][n]
    assert {p.scene for p in store.places} == {0, 1}


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_a_patch_must_lie_inside_every_source(scene: Path, crs: str) -> None:
    """A second source that covers columns 0 to 63 only, on a coarser grid: patches beyond are refused, one pixel counts."""
    coarse = CORNER @ Affine.scale(4)
    if crs != UTM:
        left, top = project(np.array([CORNER @ (-64, -64)]), UTM, crs)[0]
        right, bottom = project(np.array([CORNER @ (64, 160)]), UTM, crs)[0]
        coarse = Affine((right - left) / 32, 0, left, 0, (bottom - top) / 56, top)
        write_image(scene.parent / "dem.tif", np.ones((1, 56, 32), np.float32), coarse, crs)
    else:
        write_image(scene.parent / "dem.tif", np.ones((1, 24, 16), np.float32), coarse, crs)
    (scene.parent / "scenes.csv").write_text("image,dem\nimage.tif,dem.tif\n")
    scene.write_text(CONFIG + "sources: {image: {}, dem: {}}\n")
    places = [(40, 8), (40, 30), (60, 52 if crs != UTM else 56), (40, 58), (40, 80)]
    write_points(scene.parent / "points.gpkg", middle(places), kind=[1, 0, 1, 0, 1], id=[0, 1, 2, 3, 4], split=["trn"] * 5)
    assert swath.sample(scene)["dropped"] == {"patch outside the image": 2}
    assert rows(scene)[1]["point"].tolist() == [0, 1, 2]


def test_a_scored_patch_of_another_scene_teaches_nothing(scene: Path) -> None:
    """The patch of a validation point lies in the second image alone, half of it on ground that the first shows, too."""
    folder, labels = scene.parent, np.ones((1, SIDE, SIDE), np.uint8)
    east = CORNER @ Affine.translation(48, 0)
    write_image(folder / "east.tif", image(), east)
    for name, place in (("west_labels", CORNER), ("east_labels", east)):
        write_image(folder / f"{name}.tif", labels, place)
    (folder / "scenes.csv").write_text("image,labels\nimage.tif,west_labels.tif\neast.tif,east_labels.tif\n")
    write_points(folder / "points.gpkg", middle([(40, 92), (40, 82), (80, 20)]), split=["val", "trn", "trn"], kind=[1, 1, 1])
    result = swath.sample(scene)
    assert result["leakage"]["ok"]
    samples = StoreSamples(folder / "runs" / "roofs" / "samples.store", "trn")
    west = next(samples.read(n).labels for n, p in enumerate(samples.places) if p.scene == 0 and p.read.col == 74)
    assert (west[:, :10] == 1).all()  # columns 74 to 83; the validation patch begins at 84
    assert (west[:, 10:] == samples.legend.ignore).all()
