"""Polygons come out in the raster's system, repaired and counted; what cannot be read is named with what there is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyogrio.raw import write
from pyproj import CRS
from rasterio.features import rasterize
from shapely.geometry import LineString, Point, Polygon, box

from swath.core.errors import DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.disk.rasters.crs import project
from swath.disk.rasters.raster import raster_info
from swath.disk.vectors.burning import geojson
from swath.disk.vectors.points import read_points
from swath.disk.vectors.vector import (
    Features,
    features_on_grid,
    file_state,
    read_features,
    repaired,
    vector_info,
)

MakeVector = Callable[..., Path]
UTM, LONLAT = "EPSG:32618", "EPSG:4326"
GRID = Grid(CRS(UTM).to_wkt(), Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000), 400, 500)
BOW_TIE = Polygon([(583_020, 4_506_820), (583_080, 4_506_880), (583_080, 4_506_820), (583_020, 4_506_880)])


def houses(count: int = 60) -> list[Polygon]:
    """Turned rectangles on the grid, some across its edge."""
    rng = np.random.default_rng(11)
    centres = np.column_stack([rng.uniform(582_995, 583_255, count), rng.uniform(4_506_795, 4_507_005, count)])
    return [
        shapely.affinity.rotate(box(x - w, y - h, x + w, y + h), angle)
        for (x, y), w, h, angle in zip(
            centres, rng.uniform(2, 9, count), rng.uniform(2, 9, count), rng.uniform(0, 90, count), strict=True
        )
    ]


def in_lonlat(geometries: list[Polygon]) -> list[Polygon]:
    return list(shapely.transform(np.array(geometries), lambda points: project(points, UTM, LONLAT)))


def mask(features: Features, grid: Grid = GRID) -> NDArray[np.uint8]:
    shapes = [(geometry, 1) for geometry in features.geometry]
    return rasterize(shapes, grid.shape, transform=grid.transform) if shapes else np.zeros(grid.shape, np.uint8)


def test_gdl_062_reprojected_labels_burn_the_same_mask(make_vector: MakeVector) -> None:
    """GDL-062: labels in EPSG:4326 give the mask of pre-projected ones on at least 99.9 % of the pixels."""
    direct = mask(features_on_grid(make_vector("utm.gpkg", houses(), crs=UTM), GRID))
    turned = mask(features_on_grid(make_vector("lonlat.gpkg", in_lonlat(houses()), crs=LONLAT), GRID))
    assert 0.05 < direct.mean() < 0.5
    assert (direct == turned).mean() >= 0.999


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb"])
def test_every_format_gives_the_same_features(make_vector: MakeVector, suffix: str) -> None:
    kinds = [f"kind {n % 3}" for n in range(20)]
    path = make_vector(f"a.{suffix}", in_lonlat(houses(20)), {"kind": kinds}, LONLAT, geometry_type="Polygon")
    found = features_on_grid(path, GRID, field="kind")
    order = np.lexsort(shapely.get_coordinates(shapely.centroid(found.geometry)).round().T)
    expected = sorted(houses(20), key=lambda g: (round(g.centroid.y), round(g.centroid.x)))
    assert len(found) == 20
    assert found.crs == GRID.crs
    assert [g.equals_exact(e, 0.01, normalize=True) for g, e in zip(found.geometry[order], expected, strict=True)] == [
        True
    ] * 20
    by_place = {round(g.centroid.x * 1000): k for g, k in zip(houses(20), kinds, strict=True)}
    near = [min(by_place, key=lambda x, g=g: abs(x - g.centroid.x * 1000)) for g in found.geometry]
    assert list(found.values if found.values is not None else ()) == [by_place[x] for x in near]


def test_only_features_near_the_grid_are_read(make_vector: MakeVector) -> None:
    far = box(590_000, 4_500_000, 590_100, 4_500_100)
    geometries = [*houses(5), far]
    for path in (
        make_vector("utm.gpkg", geometries, {"n": range(6)}, UTM),
        make_vector("lonlat.gpkg", in_lonlat(geometries), {"n": range(6)}, LONLAT),
    ):
        found = features_on_grid(path, GRID, field="n")
        assert found.values is not None
        assert sorted(found.values) == [0, 1, 2, 3, 4]
        assert len(read_features(path)) == 6


def test_a_private_id_of_the_same_system_moves_nothing(make_vector: MakeVector) -> None:
    """TRAP-73: the coordinates are taken as they are, to the last bit."""
    private = CRS(UTM).to_wkt("WKT1_GDAL").replace('AUTHORITY["EPSG","32618"]', 'AUTHORITY["NONE","4327"]')
    path = make_vector("a.gpkg", houses(5), crs=private)
    found = features_on_grid(path, GRID)
    assert shapely.equals_exact(found.geometry, np.array(houses(5)), 0).all()


def test_the_header_tells_what_is_there(make_vector: MakeVector) -> None:
    path = make_vector(
        "a.gpkg", houses(4), {"kind": list("abcd"), "n": [1, 2, 3, 4]}, UTM, "roofs", geometry_type="Polygon"
    )
    make_vector("a.gpkg", [Point(1, 2)], {}, LONLAT, "trees", append=True)
    info = vector_info(path)
    assert (info.path, info.driver, info.layer, info.layers) == (path, "GPKG", "roofs", ("roofs", "trees"))
    assert (info.geometry, info.features, info.fields) == ("Polygon", 4, ("kind", "n"))
    assert info.crs == UTM
    assert info.bounds == pytest.approx(shapely.total_bounds(houses(4)).tolist())
    trees = vector_info(path, "trees")
    assert (trees.layer, trees.features, trees.crs) == ("trees", 1, LONLAT)
    assert len(read_features(path, layer="trees")) == 1


def test_an_empty_layer_has_no_features(make_vector: MakeVector) -> None:
    path = make_vector("a.gpkg", [], {"kind": np.empty(0, object)}, UTM, geometry_type="Polygon")
    assert (vector_info(path).features, vector_info(path).bounds) == (0, None)
    found = features_on_grid(path, GRID, field="kind")
    assert len(found) == 0
    assert found.values is not None
    assert len(found.values) == 0
    assert len(repaired(found, "fix", path, Events())) == 0


def test_a_table_without_geometry_is_refused_not_taken_for_empty(make_vector: MakeVector) -> None:
    path = make_vector("a.gpkg", None, {"kind": ["a", "b"]}, crs=None, layer="legend")
    with pytest.raises(DataError, match="layer 'legend' holds no geometries") as error:
        read_features(path, field="kind")
    assert error.value.code == "vector-no-geometry"


def test_gdl_060_a_bow_tie_burns_both_halves(make_vector: MakeVector) -> None:
    """GDL-060: repaired and counted; GDAL alone may burn it, GEOS alone may drop one wing."""
    path = make_vector("a.gpkg", [BOW_TIE, *houses(3)])
    events = Events()
    found = repaired(features_on_grid(path, GRID), "fix", path, events)
    assert events.as_dict() == {"invalid geometry repaired": 1}
    assert shapely.is_valid(found.geometry).all()
    burnt = mask(Features(found.geometry[:1], found.fids[:1], None, found.crs))
    left, right = burnt[:, :100], burnt[:, 100:]
    assert left.sum() == pytest.approx(right.sum(), rel=0.05)
    assert burnt.sum() * 0.25 == pytest.approx(60 * 60 / 2, rel=0.03)


def test_invalid_geometries_are_skipped_or_refused_with_their_ids(make_vector: MakeVector) -> None:
    path = make_vector("a.gpkg", [*houses(3), BOW_TIE], {"n": [1, 2, 3, 4]})
    found = read_features(path, field="n")
    events = Events()
    kept = repaired(found, "skip", path, events)
    assert events.as_dict() == {"invalid geometry skipped": 1}
    assert kept.values is not None
    assert kept.values.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"1 invalid geometries \(feature ids 4\); repair them") as error:
        repaired(found, "error", path, Events())
    assert error.value.code == "geometry-invalid"
    repaired(found, "fix", path, Events())
    assert not shapely.is_valid(found.geometry[3]), "the features given in stay as they were"


def test_a_repair_burns_areas_only(make_vector: MakeVector) -> None:
    """A spike becomes a line and a flat polygon nothing but a line: neither may burn pixels."""
    house = [(583_010, 4_506_980), (583_030, 4_506_980), (583_030, 4_506_990), (583_010, 4_506_990)]
    spike = Polygon([*house[:2], (583_200, 4_506_980), *house[1:]])
    flat = Polygon([(583_100, 4_506_900), (583_200, 4_506_950), (583_150, 4_506_925)])
    mixed = shapely.GeometryCollection([Polygon(house), LineString([(583_000, 4_506_810), (583_240, 4_506_820)])])
    for geometry, told in (
        (spike, {"invalid geometry repaired": 1}),
        (flat, {"invalid geometry without area skipped": 1}),
        (mixed, {}),
    ):
        path = make_vector("a.gpkg", [geometry])
        events = Events()
        found = repaired(read_features(path), "fix", path, events)
        path.unlink()
        assert events.as_dict() == told
        assert mask(found).sum() == (0 if geometry is flat else 40 * 20)


def test_geometries_without_area_are_dropped_and_counted(make_vector: MakeVector) -> None:
    odd = [None, Polygon(), Point(583_010, 4_506_990), LineString([(583_000, 4_507_000), (583_010, 4_506_900)]), None]
    path = make_vector("a.gpkg", [*odd, *houses(2)], {"n": range(7)})
    for policy in ("fix", "skip", "error"):
        events = Events()
        found = repaired(read_features(path, field="n"), policy, path, events)
        assert events.as_dict() == {"null or empty geometry skipped": 3, "point or line skipped": 2}
        assert found.values is not None
        assert found.values.tolist() == [5, 6]
        assert len(found) == len(found.fids) == 2


def test_null_geometries_survive_reprojection(make_vector: MakeVector) -> None:
    path = make_vector("a.geojson", [None, *in_lonlat(houses(2))], {"n": [0, 1, 2]}, LONLAT)
    events = Events()
    found = repaired(features_on_grid(path, GRID, field="n"), "fix", path, events)
    assert found.values is not None
    assert found.values.tolist() == [1, 2]


def test_parts_heights_and_holes_are_kept_flat(make_vector: MakeVector) -> None:
    ring = box(583_000, 4_506_900, 583_100, 4_507_000) - box(583_020, 4_506_920, 583_080, 4_506_980)
    parts = shapely.MultiPolygon([ring, box(583_200, 4_506_900, 583_220, 4_506_920)])
    path = make_vector("a.gpkg", [shapely.force_3d(parts, 7.0)])
    found = repaired(read_features(path), "fix", path, Events())
    assert not shapely.has_z(found.geometry).any()
    assert found.geometry[0].area == pytest.approx(parts.area)
    assert mask(found).sum() * 0.25 == pytest.approx(parts.area, rel=0.01)


def refused(path: Path, **options: object) -> DataError:
    with pytest.raises(DataError) as error:
        read_features(path, **options)  # type: ignore[arg-type]
    assert error.value.exit_code == 3
    assert error.value.fix
    return error.value


def test_a_missing_field_or_layer_names_what_there_is(make_vector: MakeVector) -> None:
    path = make_vector("a.gpkg", houses(1), {"class": [1], "height": [3.0]}, layer="roofs")
    assert refused(path, field="klass").line() == f"{path}: has no field 'klass'; did you mean 'class'?"
    assert refused(path, field="zzz").fix == "known: class, height"
    assert refused(path, layer="rofs").line() == f"{path}: has no layer 'rofs'; did you mean 'roofs'?"
    assert refused(path, layer="zzz").code == "layer-missing"


def test_files_that_are_no_vector_are_refused(make_vector: MakeVector, tmp_path: Path) -> None:
    good = make_vector("good.gpkg", houses(2))
    fakes = {
        "text.gpkg": b"id,name\n",
        "empty.gpkg": b"",
        "text.geojson": b"not json",
        "half.gpkg": good.read_bytes()[:3000],
    }
    for name, data in fakes.items():
        (tmp_path / name).write_bytes(data)
        assert refused(tmp_path / name).code == "vector-unreadable"
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    assert refused(tmp_path / "table.xlsx").code == "vector-format"
    assert refused(tmp_path / "absent.gpkg").code == "file-missing"
    assert "is a directory" in refused(tmp_path).message


def test_a_vrt_in_a_geopackages_clothes_is_refused(make_vector: MakeVector, tmp_path: Path) -> None:
    source = make_vector("source.gpkg", houses(2))
    disguise = tmp_path / "a.gpkg"
    disguise.write_text(f'<OGRVRTDataSource><OGRVRTLayer name="source"><SrcDataSource>{source}</SrcDataSource>'
                        "</OGRVRTLayer></OGRVRTDataSource>")  # fmt: skip
    assert "is no gpkg file inside" in refused(disguise).message


def test_only_one_side_without_a_system_is_an_error(make_vector: MakeVector) -> None:
    path = make_vector("a.shp", houses(3), crs=None, geometry_type="Polygon")
    with pytest.raises(
        DataError, match="the vector has no CRS, the other has EPSG:32618; assign the right one"
    ) as error:
        features_on_grid(path, GRID)
    assert error.value.code == "crs-missing"
    with pytest.raises(DataError, match="the image has no CRS, the other has EPSG:32618"):
        features_on_grid(make_vector("b.gpkg", houses(3)), Grid(None, GRID.transform, 400, 500))
    assert len(features_on_grid(path, Grid(None, GRID.transform, 400, 500))) == 3
    assert len(features_on_grid(path, GRID, crs=UTM)) == 3


def test_systems_that_never_meet_are_an_error(make_vector: MakeVector) -> None:
    site = Grid('LOCAL_CS["site",UNIT["metre",1]]', GRID.transform, 400, 500)
    with pytest.raises(DataError, match="cannot be transformed"):
        features_on_grid(make_vector("a.gpkg", in_lonlat(houses(2)), crs=LONLAT), site)


@pytest.mark.parametrize(("left", "expected"), [(179, [1, 2]), (-181, [2, 1]), (285, [3]), (-75, [3]), (100, [])])
def test_a_grid_in_degrees_may_go_on_beyond_the_date_line(make_vector: MakeVector, left: float, expected: list[int]) -> None:
    """Two boxes that meet at the date line, and one at 74 degrees west, on grids that begin at `left`."""
    path = make_vector("a.gpkg", [box(179.2, -0.5, 180, 0.5), box(-180, -0.5, -179.5, 0.5), box(-74.5, -0.5, -73.5, 0.5)],
                       {"n": [1, 2, 3]}, crs=LONLAT)  # fmt: skip
    grid = Grid(CRS(LONLAT).to_wkt(), Affine(0.1, 0, left, 0, -0.1, 1), 20, 20)
    found = features_on_grid(path, grid, field="n")
    assert found.values is not None
    assert sorted(found.values.tolist()) == sorted(expected)
    burnt = np.zeros(grid.shape, np.uint8)
    if len(found):
        rasterize(zip(found.geometry, found.values, strict=True), out=burnt, transform=grid.transform)
    centres = left + 0.1 * np.arange(20) + 0.05
    wrapped = (centres + 180) % 360 - 180
    inside = {1: (wrapped > 179.2), 2: (wrapped < -179.5), 3: (wrapped > -74.5) & (wrapped < -73.5)}
    for value, where in inside.items():
        assert ((burnt[10] == value) == where).all()


def test_labels_beyond_the_date_line_are_found(make_vector: MakeVector) -> None:
    """A box from 179.7 to -179.8 degrees is no box: then everything is read."""
    grid = Grid(CRS("EPSG:32660").to_wkt(), Affine(100, 0, 800_000, 0, -100, 1_000), 20, 600)
    east, west = box(179.9, 0, 179.91, 0.005), box(-179.91, 0, -179.9, 0.005)
    found = features_on_grid(make_vector("a.gpkg", [east, west], crs=LONLAT), grid)
    assert len(found) == 2
    left, _, right, _ = shapely.bounds(found.geometry[1])
    assert 800_000 < left < right < 860_000
    assert mask(found, grid).sum() == pytest.approx(2 * 11 * 5.5, rel=0.3)


@pytest.mark.parametrize("zone", ["EPSG:32618", "EPSG:32660"])
def test_a_polygon_around_the_world_covers_the_grid(make_vector: MakeVector, zone: str) -> None:
    """Its far vertices have no place in the grid's system; the part at the grid has."""
    x = 583_000 if zone == UTM else 800_000
    grid = Grid(CRS(zone).to_wkt(), Affine(100, 0, x, 0, -100, 6_000), 20, 600)
    world, far = box(-180, -80, 180, 80), box(20, -5, 21, 5)
    path = make_vector("a.gpkg", [world, far], {"n": [1, 2]}, LONLAT)
    events = Events()
    found = repaired(features_on_grid(path, grid, field="n"), "fix", path, events)
    assert np.isfinite(shapely.bounds(found.geometry)).all()
    assert found.values is not None
    assert found.values.tolist() == [1]
    assert mask(found, grid).all()


def test_an_invalid_polygon_without_a_place_is_an_error_not_a_guess(make_vector: MakeVector) -> None:
    wings = Polygon([(-76, -1), (15, 0.1), (15, -0.1), (-76, 1)])
    path = make_vector("a.gpkg", [wings], crs=LONLAT)
    with pytest.raises(DataError, match=r"features \(ids 1\) reach to where EPSG:32618 ends; cut") as error:
        features_on_grid(path, Grid(CRS(UTM).to_wkt(), Affine(100, 0, 500_000, 0, -100, 6_000), 20, 600))
    assert error.value.code == "geometry-beyond"


def test_reading_leaves_the_input_alone(
    make_vector: MakeVector, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]]
) -> None:
    for suffix in ("gpkg", "shp", "geojson", "fgb"):
        make_vector(f"a.{suffix}", houses(3), {"n": [1, 2, 3]}, geometry_type="Polygon")
    before = fingerprint(tmp_path)
    for suffix in ("gpkg", "shp", "geojson", "fgb"):
        path = tmp_path / f"a.{suffix}"
        repaired(features_on_grid(path, GRID, field="n"), "fix", path, Events())
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize(("encoding", "cpg", "fits"), [
    ("UTF-8", "UTF-8", True), ("UTF-8", None, True), ("ISO-8859-1", "ISO-8859-1", True), ("ISO-8859-1", None, True),
    ("CP1250", "windows-1250", True), ("CP1250", None, False),
])  # fmt: skip
def test_texts_of_shapefiles_are_read_whatever_their_encoding(
    tmp_path: Path, encoding: str, cpg: str | None, fits: bool, points: bool
) -> None:
    words = ["for\u00eat", "\u00e9t\u00e9"] if encoding != "CP1250" else ["\u017cyto", "\u0142an"]
    path = tmp_path / "a.shp"
    shapes = np.array([Point(1, 2), Point(3, 4)] if points else houses(2), object)
    write(path, geometry=shapely.to_wkb(shapes), fields=["class"], field_data=[np.array(words, object)], driver="ESRI Shapefile",
          geometry_type="Point" if points else "Polygon", crs=UTM, encoding=encoding)  # fmt: skip
    path.with_suffix(".cpg").unlink(missing_ok=True)
    if cpg is not None:
        path.with_suffix(".cpg").write_text(f"{cpg}\n")
    found = read_features(path, field="class").values
    assert found is not None
    assert (found.tolist() == words) == fits
    if fits and points:
        table = Legend((ClassEntry(0, "none", "#000000"), *(ClassEntry(n, w, "#ff0000") for n, w in enumerate(words, 1))))
        assert read_points(path, table).indices.tolist() == [1, 2]


def test_a_shapefile_without_its_index_says_what_to_do(make_vector: MakeVector) -> None:
    path = make_vector("a.shp", houses(2), {"n": [1, 2]}, geometry_type="Polygon")
    path.with_suffix(".shx").unlink()
    with pytest.raises(DataError, match=r"its index \.shx is missing") as caught:
        read_features(path)
    assert "SHAPE_RESTORE_SHX" in caught.value.fix
    assert not path.with_suffix(".shx").exists()


@pytest.mark.parametrize("writer", [False, True])
def test_a_geopackage_with_a_log_is_read_whole_and_left_alone(
    make_vector: MakeVector, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]], *, writer: bool
) -> None:
    path = make_vector("data/a.gpkg", houses(3), {"n": [1, 2, 3]})
    with closing(sqlite3.connect(path)) as open_elsewhere:
        assert open_elsewhere.execute("PRAGMA journal_mode=wal").fetchone() == ("wal",)
        if writer:
            open_elsewhere.execute("DELETE FROM a WHERE n = 2")
            open_elsewhere.commit()
        else:
            open_elsewhere.close()
        assert (path.parent / "a.gpkg-wal").exists() == writer
        before, touched = fingerprint(path.parent), path.parent.stat().st_mtime_ns
        assert features_on_grid(path, GRID, field="n").values.tolist() == ([1, 3] if writer else [1, 2, 3])  # type: ignore[union-attr]
        assert vector_info(path).features == (2 if writer else 3)
        assert (fingerprint(path.parent), path.parent.stat().st_mtime_ns) == (before, touched)


@pytest.mark.real
def test_real_labels_lie_on_their_buildings(
    data_dir: Path, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]]
) -> None:
    """TRAP-73: the sample's GeoPackage hides its system under a private id; nothing may be reprojected."""
    path = tmp_path / "labels.gpkg"
    shutil.copy(data_dir / "massachusetts" / "massachusetts_buildings.gpkg", path)
    before = fingerprint(tmp_path)
    grid = raster_info(data_dir / "massachusetts" / "22978945_15.tif").grid
    found = features_on_grid(path, grid, field="class")
    raw = read_features(path, field="class", bounds=grid.bounds)
    assert 0 < len(found) == len(raw) < vector_info(path).features
    assert shapely.equals_exact(found.geometry, raw.geometry, 0).all()
    assert 0.05 < mask(found, grid).mean() < 0.5
    assert fingerprint(tmp_path) == before


def test_mappings_burn_as_the_geometries_themselves() -> None:
    """Polygons with and without holes, of several parts, and collections."""
    rng = np.random.default_rng(0)
    plain = [shapely.box(x, y, x + 3.3, y + 2.7) for x, y in rng.random((20, 2)) * 40]
    holed = shapely.box(5, 5, 20, 20).difference(shapely.box(8, 8, 12, 12))
    parts = shapely.MultiPolygon([shapely.box(30, 30, 34, 34), shapely.box(40, 40, 44, 41)])
    mixed = shapely.GeometryCollection([shapely.box(1, 40, 4, 44), shapely.box(6, 40, 7, 44)])
    geometry = np.array([*plain[:10], holed, *plain[10:], parts, mixed], object)
    expected = rasterize(((g, n) for n, g in enumerate(geometry, 1)), out_shape=(50, 50), dtype="uint8")
    found = rasterize(zip(geojson(geometry), range(1, 100), strict=False), out_shape=(50, 50), dtype="uint8")
    assert np.array_equal(found, expected)
    assert geojson(np.array([], object)) == []
    assert [g["type"] for g in geojson(np.array([holed, plain[0], parts], object))] == ["Polygon", "Polygon", "MultiPolygon"]


@pytest.mark.parametrize(("name", "what"), [("!new", "'!'"), ("two\nlines", "a line break"), ("a\tb", "a line break or a tab")])
def test_a_path_that_would_be_taken_for_another_is_refused(make_vector: MakeVector, tmp_path: Path, name: str, what: str) -> None:
    whole = make_vector("whole.gpkg", [box(0, 0, 1, 1)])
    for odd in (tmp_path / name / "in.gpkg", tmp_path / f"{name}.gpkg"):
        odd.parent.mkdir(exist_ok=True)
        shutil.copy(whole, odd)
        shutil.copy(whole, tmp_path / "twolines.gpkg")  # which would be read instead
        with pytest.raises(DataError, match=f"its path holds {what}.*; rename the file or folder"):
            vector_info(odd)


def test_a_header_is_read_once_until_the_file_changes(
    make_vector: MakeVector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large files are parsed whole for it, and it is asked for by every step."""
    asked: list[Path] = []
    plain = pyogrio.read_info

    def counted(path: Path, **options: Any) -> Any:
        asked.append(path)
        return plain(path, **options)

    monkeypatch.setattr(pyogrio, "read_info", counted)
    path = make_vector("a.geojson", [shapely.box(0, 0, 1, 1)], {"class": [1]})
    assert [vector_info(path).features for _ in range(3)] == [1, 1, 1]
    assert len(asked) == 1
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        vector_info(path)
    make_vector("a.geojson", [shapely.box(0, 0, 1, 1)] * 2, {"kind": [1, 2]})
    assert (vector_info(path).features, vector_info(path).fields) == (2, ("kind",))
    assert len(asked) == 2


def test_what_lies_beside_a_file_counts_as_the_file(make_vector: MakeVector) -> None:
    for name, beside in (("a.gpkg", "a.gpkg-wal"), ("b.shp", "b.cpg")):
        path = make_vector(name, [shapely.box(0, 0, 1, 1)], {"class": [1]}, geometry_type="Polygon")
        before = file_state(path)
        assert file_state(path) == before
        (path.parent / beside).write_bytes(b"UTF-8 or anything")
        assert file_state(path) != before
