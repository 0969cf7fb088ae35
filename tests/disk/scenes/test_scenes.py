"""A manifest says the same in every format; what is wrong with it is told with its line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box

from swath.core.errors import ConfigError, DataError
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.scenes.manifest import COLUMNS, Scene, config_scenes, expand_inputs, read_manifest, scenes_from_rows
from swath.disk.sources.stack import image_files

MakeVector = Callable[..., Path]
ROWS: list[dict[str, Any]] = [
    {"image": "images/north.tif", "labels": "labels/north.gpkg", "field": "class", "layer": "roofs", "split": "trn",
     "group": "1", "name": "the north", "aoi": "aoi.gpkg", "year": "2017"},
    {"image": "images/east.tif", "labels": "labels/east.tif", "field": None, "layer": None, "split": "val",
     "group": None, "name": None, "aoi": None, "year": None},
    {"image": "images/south.tif", "labels": None, "field": None, "layer": None, "split": None,
     "group": None, "name": None, "aoi": None, "year": None},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that ROWS names."""
    for row in ROWS:
        for key in ("image", "labels", "aoi"):
            if row[key]:
                (tmp_path / row[key]).parent.mkdir(exist_ok=True)
                (tmp_path / row[key]).touch()
    return tmp_path


def table(rows: Sequence[dict[str, Any]], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def written(folder: Path, text: str | bytes, name: str = "scenes.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as error:
        read_manifest(path)
    assert error.value.exit_code == 3
    assert error.value.fix
    return error.value


def test_every_column_is_read(folder: Path) -> None:
    scenes = read_manifest(written(folder, table(ROWS)))
    assert scenes == (
        Scene("the north", folder / "images/north.tif", folder / "labels/north.gpkg", "class", "roofs", "trn", "1",
              folder / "aoi.gpkg"),
        Scene("east", folder / "images/east.tif", folder / "labels/east.tif", split="val"),
        Scene("south", folder / "images/south.tif"),
    )  # fmt: skip
    assert [s.attributes for s in scenes] == [{"year": "2017"}, {}, {}]


def test_every_format_gives_the_same_scenes(folder: Path, make_vector: MakeVector) -> None:
    expected = read_manifest(written(folder, table(ROWS)))
    columns = {key: [row[key] for row in ROWS] for key in ROWS[0]}
    manifests = [
        written(folder, table(ROWS, "\t"), "scenes.tsv"),
        written(folder, json.dumps(ROWS), "scenes.json"),
        written(folder, json.dumps({"scenes": ROWS}), "wrapped.json"),
        make_vector("scenes.gpkg", [box(n, 0, n + 1, 1) for n in range(3)], columns),
        make_vector("table.gpkg", None, columns, crs=None),
        make_vector("scenes.geojson", [box(n, 0, n + 1, 1) for n in range(3)], columns, "EPSG:4326"),
    ]
    for manifest in manifests:
        assert read_manifest(manifest) == expected, manifest.name


def test_scenes_of_a_config_are_a_manifest_or_rows(folder: Path) -> None:
    expected = read_manifest(written(folder, table(ROWS)))
    assert config_scenes("scenes.csv", folder / "roofs.yaml") == expected
    assert config_scenes(ROWS, folder / "roofs.yaml") == expected
    with pytest.raises(ConfigError, match="`scenes` lists nothing"):
        config_scenes([], folder / "roofs.yaml")
    with pytest.raises(DataError, match=r"roofs\.yaml scene 2: the row names no image"):
        config_scenes([ROWS[0], {"labels": "x"}], folder / "roofs.yaml")


@pytest.mark.parametrize("alias", ["label", "mask", "masks", "gpkg", "labels", " Labels ", "LABEL"])
def test_names_of_the_labels_column(folder: Path, alias: str) -> None:
    (scene,) = read_manifest(written(folder, f"img,{alias}\nimages/east.tif,labels/east.tif\n"))
    assert (scene.image, scene.labels) == (folder / "images/east.tif", folder / "labels/east.tif")


@pytest.mark.parametrize(
    ("word", "split"),
    [("trn", "trn"), ("train", "trn"), ("Training", "trn"), ("val", "val"), ("valid", "val"), ("validation", "val"),
     ("tst", "tst"), ("TEST", "tst"), (" testing ", "tst"), ("", None)],
)  # fmt: skip
def test_words_for_the_splits(folder: Path, word: str, split: str | None) -> None:
    (scene,) = read_manifest(written(folder, f"image,split\nimages/east.tif,{word}\n"))
    assert scene.split == split


def test_an_unknown_split_gets_the_closest_with_its_line(folder: Path) -> None:
    path = written(folder, "image,split\nimages/east.tif,trn\n\nimages/south.tif,tets\n")
    error = refused(path)
    assert error.line() == f"{path}:4: unknown split 'tets'; did you mean 'test'?"
    assert error.code == "manifest-split"
    assert refused(written(folder, "image,split\nimages/east.tif,7\n")).fix.startswith("known: test, testing")


def test_gdl_007_backslashes_are_folders(folder: Path) -> None:
    """GDL-007: a row written on Windows resolves here."""
    (scene,) = read_manifest(written(folder, "image,labels\nimages\\east.tif,.\\labels\\east.tif\n"))
    assert scene.image.samefile(folder / "images/east.tif")
    assert scene.labels is not None
    assert scene.labels.samefile(folder / "labels/east.tif")


def test_a_backslash_may_be_part_of_a_name(folder: Path) -> None:
    (folder / "a\\b.tif").touch()
    (scene,) = read_manifest(written(folder, "image\na\\b.tif\n"))
    assert scene.image == folder / "a\\b.tif"


@pytest.mark.parametrize("column", ["field", "attribute"])
def test_gdl_008_the_prefix_of_a_geojson_key_is_stripped(folder: Path, column: str) -> None:
    """GDL-008: `class` and `properties/class` name the same field."""
    rows = f"image,{column}\nimages/east.tif,properties/class\nimages/south.tif,class\n"
    assert [s.field for s in read_manifest(written(folder, rows))] == ["class", "class"]


def test_gdl_010_three_rows_are_three_scenes_and_three_inputs(folder: Path) -> None:
    """GDL-010: predicting a manifest takes every row, whatever its split."""
    path = written(folder, table(ROWS))
    assert len(read_manifest(path)) == 3
    assert expand_inputs([path], SUFFIXES) == [folder / row["image"] for row in ROWS]


def test_missing_files_are_counted_and_the_first_is_named(folder: Path) -> None:
    rows = "image,labels,aoi\nimages/east.tif,gone.gpkg,also.gpkg\nno.tif,labels/east.tif,\n"
    error = refused(written(folder, rows))
    assert error.line() == f"{folder / 'gone.gpkg'}: no such file and 2 more; correct the paths in the manifest"
    one = refused(written(folder, "image\nno.tif\n"))
    assert (one.message, one.where) == ("no such file", str(folder / "no.tif"))


def test_absolute_paths_and_paths_upwards(folder: Path) -> None:
    (folder / "sub").mkdir()
    rows = f"image\n{folder / 'images/east.tif'}\n../images/south.tif\n"
    scenes = read_manifest(written(folder / "sub", rows))
    assert [s.image.resolve() for s in scenes] == [folder / "images/east.tif", folder / "images/south.tif"]


def test_equal_stems_get_unique_names(folder: Path) -> None:
    for place in ("a", "b", "c"):
        (folder / place).mkdir()
        (folder / place / "tile.tif").touch()
    for other in ("tile.png", "a_tile.tif", "other.tif"):
        (folder / "c" / other).touch()
    images = ["a/tile.tif", "b/tile.tif", "c/tile.tif", "c/tile.png", "c/a_tile.tif", "c/other.tif", "a/tile.tif"]
    names = [s.name for s in read_manifest(written(folder, "image\n" + "\n".join(images)))]
    assert names == ["a_tile", "b_tile", "c_tile", "c_tile_2", "a_tile_2", "other", "a_tile_3"]


def test_many_equal_names_stay_unique_and_one_file_is_one_input(folder: Path) -> None:
    path = written(folder, "image,name\n" + "".join(f"images/east.tif,scene {n % 500}\n" for n in range(5_000)))
    assert len({s.name for s in read_manifest(path)}) == 5_000
    assert expand_inputs([path, path], SUFFIXES) == [folder / "images/east.tif"]


def test_the_mark_of_windows_editors_and_its_line_ends_are_no_text(folder: Path) -> None:
    csv_file = written(folder, b"\xef\xbb\xbfimage,split\r\nimages/east.tif,trn\r\n")
    assert [(s.name, s.split) for s in read_manifest(csv_file)] == [("east", "trn")]
    json_file = written(folder, b'\xef\xbb\xbf[{"image": "images/east.tif"}]', "scenes.json")
    assert [s.name for s in read_manifest(json_file)] == ["east"]


def test_names_with_spaces_commas_and_letters(folder: Path) -> None:
    (folder / "2018-10-13, L1C, B01 é.tiff").touch()
    for text in ('image\n"2018-10-13, L1C, B01 é.tiff"\n', "image\tsplit\n2018-10-13, L1C, B01 é.tiff\ttrn\n"):
        path = written(folder, text, "scenes.tsv" if "\t" in text else "scenes.csv")
        assert [s.name for s in read_manifest(path)] == ["2018-10-13, L1C, B01 é"]


def test_short_rows_are_filled_and_long_ones_refused(folder: Path) -> None:
    path = written(folder, "image,labels,split\nimages/east.tif\nimages/south.tif,,trn\n")
    assert [(s.labels, s.split) for s in read_manifest(path)] == [(None, None), (None, "trn")]
    error = refused(written(folder, "image,split\nimages/east.tif,trn\nimages/a, b.tif,trn,x\n"))
    assert error.where.endswith("scenes.csv:3")
    assert "more values than columns" in error.message


def test_further_columns_are_attributes(folder: Path) -> None:
    rows = [{"image": "images/east.tif", "gsd": 0.5, "sensor": "drone", "cloud": None, "Season": "dry"}]
    (scene,) = read_manifest(written(folder, json.dumps(rows), "scenes.json"))
    assert scene.attributes == {"gsd": 0.5, "sensor": "drone", "season": "dry"}
    assert not set(scene.attributes) & set(COLUMNS)


def test_numbers_of_tables_are_plain_values(folder: Path, make_vector: MakeVector) -> None:
    columns = {"image": ["images/east.tif", "images/south.tif"], "gsd": [0.5, float("nan")], "year": [2017, 2018],
               "group": [3, 4]}  # fmt: skip
    scenes = read_manifest(make_vector("scenes.gpkg", None, columns, crs=None))
    assert [s.attributes for s in scenes] == [{"gsd": 0.5, "year": 2017}, {"year": 2018}]
    assert [s.group for s in scenes] == ["3", "4"]
    assert type(scenes[0].attributes["year"]) is int


BAD = [
    ("scenes.csv", "picture,labels\na,b\n", "scenes.csv:1", "names no column `image`", "begin with: image,labels"),
    ("scenes.csv", "", "scenes.csv:1", "names no column `image`", "begin with"),
    ("scenes.csv", "image,split\n", "", "the manifest lists no scene", "add a row"),
    ("scenes.csv", "image,split\n\n,trn\n", "scenes.csv:3", "the row names no image", "columns are image, labels"),
    (
        "scenes.csv",
        "image,mask,labels\nimages/east.tif,labels/east.tif,\n",
        "scenes.csv:1",
        "`labels` stands twice",
        "one",
    ),
    ("scenes.csv", "image,image\nimages/east.tif,x\n", "csv:1", "`image` stands twice", "keep one"),
    ("scenes.csv", b"image\nimages/\xe9.tif\n", "scenes.csv", "is not UTF-8 text", "save it as UTF-8"),
    ("scenes.csv", 'image\n"' + "x" * 200_000, "scenes.csv:2", "is no CSV", "quotes"),
    ("scenes.csv", '"' + "x" * 200_000, "scenes.csv:1", "is no CSV", "quotes"),
    ("scenes.json", "{", "scenes.json", "is not valid JSON", "check commas"),
    ("scenes.json", b'["\xe9"]', "scenes.json", "is not valid JSON", "check commas"),
    ("scenes.json", "3", "scenes.json", "holds no list of scenes", "write {"),
    ("scenes.json", '["a.tif"]', "scenes.json", "holds no list of scenes", "write {"),
    ("scenes.json", '{"rows": []}', "scenes.json", "holds no list of scenes", "write {"),
    ("scenes.json", '[{"image": "a", "label": "b", "mask": "c"}]', "scene 1", "`labels` stands twice", "keep one"),
    ("scenes.json", "[]", "", "the manifest lists no scene", "add a row"),
    ("scenes.json", '[{"image": "a"}, {}]', "scenes.json scene 2", "the row names no image", "fill the column"),
    ("scenes.gpkg", "not a database", "scenes.gpkg", "is no gpkg file inside", "export"),
    ("scenes.txt", "image\n", "scenes.txt", "'.txt' is no manifest", "write CSV, JSON or GeoPackage"),
]


@pytest.mark.parametrize(("name", "text", "where", "told", "fix"), BAD, ids=[f"{b[0]} {b[3]}" for b in BAD])
def test_bad_manifests(folder: Path, name: str, text: str | bytes, where: str, told: str, fix: str) -> None:
    error = refused(written(folder, text, name))
    assert error.where.endswith(where)
    assert str(folder) in error.where
    assert told in error.message
    assert fix in error.fix


def test_an_absent_manifest_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.csv").line().startswith(f"{tmp_path / 'absent.csv'}: no such manifest")


def test_inputs_are_files_folders_globs_and_manifests_each_once(folder: Path) -> None:
    manifest = written(folder, table(ROWS[:2]))
    images = folder / "images"
    for name in (".hidden.tif", "notes.txt", "a.JP2", "z.png"):
        (images / name).touch()
    east, north, south = images / "east.tif", images / "north.tif", images / "south.tif"
    assert expand_inputs([images], SUFFIXES) == [images / "a.JP2", east, north, south, images / "z.png"]
    assert expand_inputs([str(images / "*th.tif")], SUFFIXES) == [north, south]
    assert expand_inputs([str(folder / "**" / "e*.tif")], SUFFIXES) == [east, folder / "labels/east.tif"]
    assert expand_inputs([manifest], SUFFIXES) == [north, east]
    assert expand_inputs([south, manifest, str(images / "*.tif"), south], SUFFIXES) == [south, north, east]


def test_a_file_is_taken_as_it_is_even_with_odd_letters(folder: Path) -> None:
    odd = folder / "images" / "a[1].tif"
    odd.touch()
    assert expand_inputs([odd], SUFFIXES) == [odd]
    assert expand_inputs([folder / "absent.tif"], SUFFIXES) == [folder / "absent.tif"]


def test_inputs_that_stand_for_nothing_are_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    for item in (folder / "empty", str(folder / "*.jp2")):
        with pytest.raises(DataError, match=r"no raster found there; looked for .*\.tif") as error:
            expand_inputs([folder / "images", item], SUFFIXES)
        assert error.value.where == str(item)
        assert error.value.code == "inputs-none"


@pytest.mark.real
def test_the_manifests_of_the_real_data_are_read(data_dir: Path) -> None:
    for name in ("massachusetts", "cells", "roads", "kampala", "water"):
        scenes = read_manifest(data_dir / name / "scenes.csv")
        assert len(scenes) > 1
        assert len({s.name for s in scenes}) == len(scenes)
        assert {s.split for s in scenes} <= {"trn", "val", "tst"}


@pytest.mark.parametrize("root", ["plain", "run [1]*"])
@pytest.mark.parametrize(("cell", "names"), [
    ("v/b.gpkg;v/a.gpkg", ["b.gpkg", "a.gpkg"]),
    ("v/b.gpkg ; v/b.gpkg", ["b.gpkg"]),
    ("v", ["a.gpkg", "b.gpkg", "c.shp"]),
    ("v/[ab].*", ["a.gpkg", "b.gpkg"]),
    ("v/?.gpkg;v/c.shp", ["a.gpkg", "b.gpkg", "c.shp"]),
    (["v/b.gpkg", "v/c.shp"], ["b.gpkg", "c.shp"]),
    (["v"], ["a.gpkg", "b.gpkg", "c.shp"]),
    ("one", ["only.tif"]),
    ("one/*.tif", ["only.tif"]),
    ("v/semi;colon.gpkg", ["semi;colon.gpkg"]),
])  # fmt: skip
def test_labels_may_be_several_vector_files(tmp_path: Path, root: str, cell: Any, names: list[str]) -> None:
    folder = tmp_path / root
    for name in ("a.tif", "v/a.gpkg", "v/b.gpkg", "v/c.shp", "v/c.dbf", "v/notes.txt", "v/.hidden.gpkg", "one/only.tif", "w/x.gpkg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if "semi" in str(cell):
        (folder / "v" / "semi;colon.gpkg").touch()
    (scene,) = scenes_from_rows([("row", {"image": "a.tif", "labels": cell})], folder)
    assert [f.name for f in scene.label_files] == names
    assert scene.labels == scene.label_files[0]
    assert set(scene.label_files) < set(scene.files)


@pytest.mark.parametrize(("cell", "told"), [
    ("v/a.gpkg;v/m.tif", "m.tif among them is no vector"),
    ("rasters", "no vector"),
    ("none/*.gpkg", "no file is there"),
    ("empty", "no file is there"),
])  # fmt: skip
def test_labels_that_cannot_stand_together_are_told_with_their_row(tmp_path: Path, cell: str, told: str) -> None:
    for name in ("a.tif", "v/a.gpkg", "v/m.tif", "rasters/1.tif", "rasters/2.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    error = refused(written(tmp_path, f"image,labels\na.tif,{cell}\n"))
    assert (error.code, error.where) == ("manifest-labels", f"{tmp_path / 'scenes.csv'}:2")
    assert told in error.message


def test_a_manifest_cut_by_semicolons_says_so(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "image;labels;split\na.tif;b.gpkg;trn\n"))
    assert error.code == "manifest-header"
    assert "semicolons" in error.message
    assert "commas" in error.fix


def test_an_area_of_interest_is_one_file(tmp_path: Path) -> None:
    for name in ("a.tif", "x.gpkg", "y.gpkg"):
        (tmp_path / name).touch()
    assert refused(written(tmp_path, "image,aoi\na.tif,x.gpkg;y.gpkg\n")).code == "manifest-aoi"


def test_a_pattern_is_looked_for_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "scene [2024]?"
    folder.mkdir()
    for n in "234":
        (folder / f"T_B0{n}.tif").touch()
    (scene,) = scenes_from_rows([("row", {"image": "T_B0[2-4].tif"})], folder)
    assert [f.name for f in image_files(scene.image)] == ["T_B02.tif", "T_B03.tif", "T_B04.tif"]
