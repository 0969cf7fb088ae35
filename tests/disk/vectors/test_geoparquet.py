"""GeoParquet is read as its metadata says: the same polygons as in a GeoPackage, or one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from rasterio.features import rasterize

import swath
from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.windows import Window
from swath.disk.scenes.labels import open_labels
from swath.disk.scenes.manifest import Scene
from swath.disk.vectors import geoparquet
from swath.disk.vectors.vector import features_on_grid, read_features, vector_info
from swath.specs import LabelsSpec

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

UTM = CRS("EPSG:32618")
CORNER = Affine(0.5, 0, 583_000, 0, -0.5, 4_507_000)
GRID = Grid(UTM.to_wkt(), CORNER, 120, 150)
MakeVector = Callable[..., Path]


def shapes(seed: int = 4, count: int = 60) -> list[shapely.Geometry]:
    """Triangles, boxes with holes and multipolygons all over the grid and beyond."""
    rng = np.random.default_rng(seed)
    out = []
    for n in range(count):
        x, y = 583_000 + rng.uniform(-5, 80), 4_507_000 - rng.uniform(-5, 65)
        box = shapely.box(x, y, x + rng.uniform(1, 9), y + rng.uniform(1, 9))
        ring = shapely.Polygon([(x, y), (x + 6, y + 1), (x + 2, y + 5)])
        out.append([ring, box.difference(box.buffer(-0.8)), shapely.MultiPolygon([box, shapely.box(x + 20, y, x + 22, y + 2)])][n % 3])
    return out


def write(
    path: Path, geometry: Sequence[Any], fields: dict[str, Any], crs: Any = UTM, *, rows: int | None = None,
    covering: bool = False, name: str = "geometry", meta: dict[str, Any] | None = None, bounds: bool = True,
) -> Path:  # fmt: skip
    """A GeoParquet file by hand. `crs` a pyproj CRS, None for null, "absent" for no word of it."""
    array = np.array(geometry, object)
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted({g.geom_type for g in geometry if g is not None})}
    if crs != "absent":
        column["crs"] = None if crs is None else crs.to_json_dict()
    if bounds and len(array):
        column["bbox"] = shapely.total_bounds(array).tolist()
    table = {**fields, name: pyarrow.array([None if g is None else shapely.to_wkb(g) for g in geometry], pyarrow.binary())}
    if covering:
        sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), shapely.bounds(array).T, strict=True))
        table["bbox"] = pyarrow.StructArray.from_arrays([pyarrow.array(v) for v in sides.values()], list(sides))
        column["covering"] = {"bbox": {side: ["bbox", side] for side in sides}}
    geo = {"version": "1.1.0", "primary_column": name, "columns": {name: column | (meta or {})}}
    made = pyarrow.table(table)
    parquet.write_table(made.replace_schema_metadata({"geo": json.dumps(geo)}), path, row_group_size=rows)
    return path


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        vector_info(path)
    assert "\n" not in caught.value.line()
    return caught.value


def test_the_same_polygons_burn_the_same_mask(make_vector: MakeVector, tmp_path: Path) -> None:
    polygons, ids = shapes(), np.arange(60) % 3 + 1
    legend = Legend(tuple(ClassEntry(n, f"class {n}", "#000000", (n,)) for n in range(4)), "background", (), "class")
    masks = []
    for path in (
        make_vector("a.gpkg", polygons, {"class": ids}),
        write(tmp_path / "b.parquet", polygons, {"class": ids}, rows=7, covering=True),
        write(tmp_path / "c.geoparquet", polygons, {"class": ids}, name="shape", bounds=False),
    ):
        labels = open_labels(Scene("a", tmp_path / "a.tif", path), GRID, legend, LabelsSpec(), Events())
        masks.append(labels.read(Window(0, 0, *GRID.shape)))
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])
    order = np.argsort(ids, kind="stable")
    golden = rasterize(zip(np.array(polygons, object)[order], ids[order].tolist(), strict=True), GRID.shape, transform=CORNER)
    assert np.array_equal(masks[0], golden)
    assert set(np.unique(golden)) == {0, 1, 2, 3}


def test_the_header_is_that_of_the_geopackage(make_vector: MakeVector, tmp_path: Path) -> None:
    polygons, ids = shapes(), np.arange(60)
    want = vector_info(make_vector("a.gpkg", polygons, {"class": ids, "what": np.array(["x", "y"] * 30)}))
    for bounds in (True, False):
        fields = {"class": ids, "what": ["x", "y"] * 30}
        found = vector_info(write(tmp_path / "a.parquet", polygons, fields, covering=True, bounds=bounds))
        assert (found.features, found.fields, found.layer, found.driver) == (60, want.fields, "a", "Parquet")
        assert found.bounds == pytest.approx(want.bounds)
        assert found.crs is not None
        assert CRS(found.crs) == UTM


def test_a_place_reads_what_touches_it_and_keeps_row_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [shapely.box(10 * n, 0, 10 * n + 5, 5) for n in range(40)]
    path = write(tmp_path / "a.parquet", boxes, {"n": np.arange(40)}, rows=10, covering=True)
    groups: list[int] = []
    told = geoparquet._is_off

    def off(group: Any, covering: tuple[str, ...], bounds: Any) -> bool:
        groups.append(found := told(group, covering, bounds))
        return found

    monkeypatch.setattr(geoparquet, "_is_off", off)
    found = read_features(path, field="n", bounds=(102, 1, 131, 2))
    assert found.fids.tolist() == [10, 11, 12, 13]
    assert found.values is not None
    assert found.values.tolist() == [10, 11, 12, 13]
    assert groups == [True, False, True, True], "other groups of rows are not read"
    assert len(read_features(path, bounds=(-9, -9, -8, -8))) == 0


def test_coordinate_systems_are_those_that_the_metadata_means(tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 1, 1)]
    assert vector_info(write(tmp_path / "none.parquet", boxes, {}, None)).crs is None
    lonlat = vector_info(write(tmp_path / "absent.parquet", boxes, {}, "absent")).crs
    assert lonlat is not None
    assert CRS(lonlat) == CRS("OGC:CRS84")
    old = write(tmp_path / "old.parquet", boxes, {}, "absent", meta={"crs": UTM.to_wkt()})
    assert CRS(vector_info(old).crs) == UTM
    assert refused(write(tmp_path / "bad.parquet", boxes, {}, "absent", meta={"crs": {"type": "x"}})).code == "crs-unknown"


def test_degrees_are_longitude_first(tmp_path: Path) -> None:
    from pyproj import Transformer

    move = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    boxes = [shapely.box(583_010, 4_506_960, 583_030, 4_506_990)]
    moved = [shapely.transform(b, lambda xy: np.column_stack(move.transform(xy[:, 0], xy[:, 1]))) for b in boxes]
    for crs in ("absent", CRS("EPSG:4326")):  # latitude first by its definition, not in GeoParquet
        found = features_on_grid(write(tmp_path / "a.parquet", moved, {}, crs), GRID)
        assert shapely.hausdorff_distance(found.geometry[0], boxes[0]) < 1e-4


def test_null_geometries_values_and_dictionaries(tmp_path: Path) -> None:
    boxes = [shapely.box(0, 0, 1, 1), None, shapely.Polygon(), shapely.Point(1, 2, 3)]
    fields = {
        "i": pyarrow.array([1, None, 3, 4]), "t": pyarrow.array(["a", None, "b", "a"]).dictionary_encode(),
        "b": pyarrow.array([True, None, False, True]), "l": pyarrow.array([[1], [2], [], None]),
    }  # fmt: skip
    path = write(tmp_path / "a.parquet", boxes, fields, bounds=False)
    info = vector_info(path)
    assert info.fields == ("i", "t", "b"), "lists are no values of a field"
    found = read_features(path, field="i")
    assert shapely.is_missing(found.geometry).tolist() == [False, True, False, False]
    assert not shapely.has_z(found.geometry).any()
    assert found.values is not None
    assert np.array_equal(found.values, [1, np.nan, 3, 4], equal_nan=True)
    assert read_features(path, field="t").values.tolist() == ["a", None, "b", "a"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="has no field 'kind'"):
        read_features(path, field="kind")
    with pytest.raises(DataError, match="has no layer 'other'"):
        vector_info(path, "other")


def test_the_type_holds_all_geometries(tmp_path: Path) -> None:
    point, box = shapely.Point(1, 2), shapely.box(0, 0, 1, 1)
    many = shapely.MultiPoint([(1, 2), (3, 4)])
    for told in ({}, {"geometry_types": []}):
        for shapes, kind in (([box], "Polygon"), ([point, None, many], "MultiPoint"), ([point, box], "Unknown")):
            assert vector_info(write(tmp_path / "a.parquet", shapes, {}, meta=told)).geometry == kind
    assert vector_info(write(tmp_path / "a.parquet", [], {})).geometry == "Unknown"
    flat = write(tmp_path / "z.parquet", [point], {}, meta={"geometry_types": ["Point Z"]})
    assert vector_info(flat).geometry == "Point"


def test_labels_are_burnt_checked_and_described(make_vector: MakeVector, make_raster: MakeVector, tmp_path: Path) -> None:
    polygons, ids = shapes(), np.arange(60) % 2 + 1
    image = make_raster("image.tif", np.random.default_rng(0).integers(1, 200, (3, 120, 150)).astype(np.uint8))
    packed = make_vector("labels.gpkg", polygons, {"class": ids})
    rows = write(tmp_path / "labels.parquet", polygons, {"class": ids})
    config = tmp_path / "c.yaml"
    config.write_text("scenes: []\nclasses: {field: class, 1: a, 2: b}\n")
    for labels in (packed, rows):
        swath.mask(image, labels, config=config, out=tmp_path / labels.suffix[1:])
    first, second = (next((tmp_path / kind).rglob("*.tif")) for kind in ("gpkg", "parquet"))
    assert first.read_bytes() == second.read_bytes()
    info = swath.info(rows)
    assert info["kind"] == "vector"
    assert info["layers"][0]["fields"] == [{"name": "class", "type": "integer", "values": {"1": 30, "2": 30}}]
    found = swath.check(image, rows)
    assert [i["kind"] for i in found["inputs"]] == ["raster", "vector"]
    assert found["ok"]


def test_what_is_not_read_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [shapely.box(0, 0, 1, 1)]
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "plain.parquet")
    assert "without `geo` metadata" in refused(tmp_path / "plain.parquet").message
    (tmp_path / "text.parquet").write_text("dear vector")
    assert refused(tmp_path / "text.parquet").code == "vector-unreadable"
    whole = write(tmp_path / "a.parquet", boxes, {})
    (tmp_path / "half.parquet").write_bytes(whole.read_bytes()[:-20])
    assert refused(tmp_path / "half.parquet").code == "vector-unreadable"
    arrow = write(tmp_path / "arrow.parquet", boxes, {}, meta={"encoding": "polygon"})
    assert "encoded as polygon" in refused(arrow).message
    texts = pyarrow.table({"geometry": ["x"]}).replace_schema_metadata(
        {"geo": json.dumps({"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}})}
    )
    parquet.write_table(texts, tmp_path / "texts.parquet")
    assert "no WKB" in refused(tmp_path / "texts.parquet").message
    for geo in ("{", "[]", '{"primary_column": "g"}', '{"primary_column": "g", "columns": {"g": {}}}'):
        parquet.write_table(texts.replace_schema_metadata({"geo": geo}), tmp_path / "bad.parquet")
        assert refused(tmp_path / "bad.parquet").code == "vector-unreadable"
    monkeypatch.setattr(geoparquet, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pyarrow, which is not installed"):
        vector_info(whole)
