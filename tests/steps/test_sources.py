"""Named sources through the whole chain: trained, evaluated and mapped with the same planes, missing ones told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyogrio.raw import write as write_vector
from tiny_town import UTM, corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.core.errors import ConfigError, DataError
from swath.disk.projects.project import load_project
from swath.disk.scenes.sources import scene_metadata

CONFIG = """scenes: scenes.csv
classes: {field: class, 1: {name: roof}}
sources:
  image: {bands: [1]}
  ms: {resample: nearest}
  roads: {vector: aux/roads.gpkg, encode: distance, log: true, scale: 0.5, limit: 16}
  gsd: {metadata: "eo:gsd"}
  place: {coordinates: {radius: true}}
split: {buffer: 8}
sample: {tile: 32}
model: {depth: 2, width: 4}
train: {steps: 30, batch_size: 4, evaluations: 2, lr: 0.02, precision: fp32}
runtime: {device: cpu, threads: 1}
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny town with a single sharp band, three coarse ones, roads and a number per scene."""
    root = tmp_path_factory.mktemp("sources")
    (root / "aux").mkdir()
    rows = ["image,labels,split,ms,metadata"]
    lines = []
    for number, split in enumerate(["trn", "trn", "val", "tst"]):
        found = squares(number)
        bands = pixels(truth(found), number)
        place = corner(number)
        write_image(root / f"pan{number}.tif", bands[:1], place)
        coarse = bands.reshape(3, 24, 4, 24, 4).mean((2, 4)).astype(np.uint16)
        write_image(root / f"ms{number}.tif", coarse, place @ Affine.scale(4))
        write_squares(root / f"roofs{number}.gpkg", found, place)
        (root / f"meta{number}.json").write_text(json.dumps({"properties": {"eo:gsd": 0.5 + number}, "type": "Feature"}))
        lines.append(shapely.LineString([place @ (0, 40), place @ (96, 60)]))
        rows.append(f"pan{number}.tif,roofs{number}.gpkg,{split},ms{number}.tif,meta{number}.json")
    write_vector(root / "aux" / "roads.gpkg", geometry=shapely.to_wkb(np.array(lines, object)), fields=["id"],
                 field_data=[np.arange(4)], crs=UTM, geometry_type="LineString", driver="GPKG", layer="roads")  # fmt: skip
    (root / "scenes.csv").write_text("\n".join(rows) + "\n")
    (root / "town.yaml").write_text(CONFIG)
    return root / "town.yaml"


@pytest.fixture(scope="module")
def trained(town: Path) -> Path:
    """The run of that town, from its store."""
    swath.sample(town)
    swath.train(town)
    return town.parent / "runs" / "town"


def test_bands_stand_in_the_order_of_the_sources(town: Path) -> None:
    bands = load_project(town).bands
    assert bands.names == ("b1", "ms:b1", "ms:b2", "ms:b3", "roads", "gsd", "place:row", "place:column", "place:radius")
    assert bands.plain == (4, 5, 6, 7, 8)


def test_the_bundle_keeps_values_of_planes_and_scales_the_others(trained: Path) -> None:
    card = json.loads((trained / "best" / "card.json").read_text())
    assert card["bands"]["gain"][4:] == [1.0] * 5
    assert card["bands"]["offset"][4:] == [0.0] * 5
    assert all(g != 1.0 for g in card["bands"]["gain"][:4])
    assert list(card["sources"]) == ["image", "ms", "roads", "gsd", "place"]
    assert card["model"]["in_channels"] == 9


def test_check_names_every_file_of_an_image(town: Path) -> None:
    result = swath.check(town)
    assert result["ok"], result["findings"]
    first = next(i for i in result["inputs"] if i["path"].endswith("pan0.tif"))
    assert [Path(f).name for f in first["files"]] == ["pan0.tif", "ms0.tif", "roads.gpkg"]
    assert first["bands"] == 9


def test_maps_are_the_same_by_tiles_and_by_rows_and_need_no_repetition(trained: Path, town: Path, tmp_path: Path) -> None:
    maps = {}
    for name, settings in {"rows": ["predict.executor=rows", "predict.strip=16"],
                           "tiles": ["predict.executor=tiles", "predict.tile=32"]}.items():  # fmt: skip
        made = swath.predict(trained, town.parent / "scenes.csv", *settings, "predict.save=[probabilities]", out=tmp_path / name)
        assert len(made["maps"]) == 4
        assert made["exact"]
        with rasterio.open(made["maps"][3]["probabilities"]) as source:
            maps[name] = source.read()
            assert source.shape == (96, 96)
    assert np.abs(maps["rows"] - maps["tiles"]).max() < 1e-6  # so small tiles, other rounding
    scores = swath.evaluate(trained, town.parent / "scenes.csv")
    assert scores["classes"]["roof"]["iou"] > 0.2


def test_rasters_and_store_give_the_same_samples(town: Path, trained: Path) -> None:
    from swath.disk.samples.rastersamples import RasterSamples
    from swath.disk.stores.store import StoreSamples

    store, rasters = StoreSamples(trained / "samples.store", "trn"), RasterSamples(load_project(town), "trn", 10**9)
    assert len(store.places) == len(rasters.places) > 0
    for i in range(len(store.places)):
        mine, theirs = store.read(i), rasters.read(i)
        assert np.array_equal(mine.image, theirs.image)
        assert np.array_equal(mine.labels, theirs.labels)


def test_sources_of_one_image_by_the_command_line(trained: Path, town: Path, tmp_path: Path) -> None:
    root = town.parent
    by_manifest = swath.predict(trained, root / "scenes.csv", out=tmp_path / "a")["maps"][3]["map"]
    (tmp_path / "one.csv").write_text(f"image,eo:gsd\n{root / 'pan3.tif'},3.5\n")
    by_hand = swath.predict(trained, tmp_path / "one.csv", source={"ms": str(root / "ms3.tif")}, out=tmp_path / "b")["maps"][0]["map"]
    with rasterio.open(by_manifest) as one, rasterio.open(by_hand) as other:
        assert np.array_equal(one.read(), other.read())


def test_a_missing_source_is_told(trained: Path, town: Path, tmp_path: Path) -> None:
    image = town.parent / "pan3.tif"
    with pytest.raises(DataError, match="names no file for the source 'ms'"):
        swath.predict(trained, image, out=tmp_path / "m")
    with pytest.raises(ConfigError, match="the model has no source 'mss'; it has image, ms, roads, gsd, place"):
        swath.predict(trained, image, source={"mss": "x.tif"}, out=tmp_path / "m")
    with pytest.raises(DataError, match="has no 'eo:gsd'"):
        swath.predict(trained, image, source={"ms": str(town.parent / "ms3.tif")}, out=tmp_path / "m")
    alone = tmp_path / "bundle"
    shutil.copytree(trained / "best", alone)
    with pytest.raises(DataError, match="the auxiliary vector 'roads' is missing"):
        swath.predict(alone, image, source={"ms": str(town.parent / "ms3.tif")}, out=tmp_path / "m")
    assert not list((tmp_path / "m").glob("*")) if (tmp_path / "m").exists() else True


def test_another_number_of_a_scene_makes_another_store(town: Path) -> None:
    before = load_project(town).fingerprint("sources")
    meta = town.parent / "meta0.json"
    kept = meta.read_text()
    meta.write_text(kept.replace("0.5", "0.7"))
    assert load_project(town).fingerprint("sources") != before
    meta.write_text(kept)
    assert load_project(town).fingerprint("sources") == before


def test_metadata_of_files_columns_and_stac(town: Path) -> None:
    project = load_project(town)
    assert scene_metadata(project.scenes[2])["eo:gsd"] == 2.5


@pytest.mark.parametrize(("sources", "told"), [
    ("{dem: {}}", "names no file for the source 'dem'"),
    ("{roads: {vector: none.gpkg}}", "the auxiliary vector 'roads' is missing"),
    ("{a: {vector: aux/roads.gpkg, metadata: x}}", "is vector and metadata at once"),
    ("{a: {vector: aux/roads.gpkg, field: id}}", "needs `ids`"),
    ("{a: {vector: aux/roads.gpkg, encode: constant}}", "encode: constant is not for vector"),
    ("{a: {vector: aux/roads.gpkg, field: kind, ids: [1]}}", "has no field 'kind'; it has id"),
    ("{a: {metadata: none}}", "has no 'none'"),
    ("{image: {bands: [2]}}", "the source 'image' has 1 band, band 2 is wanted"),
])  # fmt: skip
def test_bad_sources_are_one_clear_line(town: Path, tmp_path: Path, sources: str, told: str) -> None:
    config = town.parent / f"bad_{abs(hash(sources))}.yaml"
    config.write_text(f"scenes: scenes.csv\nclasses: {{field: class, 1: roof}}\nsources: {sources}\n")
    with pytest.raises((DataError, ConfigError), match=told.replace("(", r"\(")):
        _ = load_project(config).bands


def test_a_stac_item_is_an_image_of_its_assets(data_dir: Path, tmp_path: Path) -> None:
    """The bands of las_vegas lie in four files; four more assets of the item are elsewhere."""
    folder = data_dir / "las_vegas"
    item = next(folder.glob("*.json"))
    (tmp_path / "scenes.csv").write_text(f"image,labels\n{item},{item.with_suffix('.gpkg')}\n")
    config = tmp_path / "lv.yaml"
    config.write_text("scenes: scenes.csv\nclasses: {1: building}\nbands: {select: [nir, red, green]}\n"
                      "sources: {image: {}, gsd: {metadata: 'proj:epsg'}}\n")  # fmt: skip
    project = load_project(config, ["bands.select=[nir, red, green, gsd]"])
    reader = project.reader(0)
    raw, valid = reader.read(swath_window(100, 100, 50, 60))
    assert project.bands.names == ("nir", "red", "green", "gsd")
    assert project.bands.plain == (3,)
    for band, letter in enumerate("NRG"):
        with rasterio.open(next(folder.glob(f"*-{letter}.tif"))) as source:
            assert np.array_equal(raw[band], source.read(1)[100:150, 100:160])
    assert (raw[3] == 32611).all()  # what the item says of itself
    assert valid.all()
    result = swath.check(config)
    assert result["ok"], result["findings"]
    assert any(f["code"] == "stac-assets-absent" for f in result["findings"])


def test_single_band_files_with_spaces_and_commas_make_one_image(data_dir: Path) -> None:
    from swath.disk.sources.cells import cell_image
    from swath.disk.sources.images import image_info, image_reader

    image = cell_image("*B0[2-4].tiff", data_dir / "nc_coast")
    info = image_info(image)
    assert info.names == ("B02", "B03", "B04")
    assert info.grid.shape == (2201, 2629)
    assert image.stem == "2018-10-13, Sentinel-2B L1C"
    raw, _ = image_reader(image).read(swath_window(1000, 1000, 64, 64))
    with rasterio.open(data_dir / "nc_coast" / "2018-10-13, Sentinel-2B L1C, B03.tiff") as source:
        assert np.array_equal(raw[1], source.read(1)[1000:1064, 1000:1064])


def swath_window(row: int, col: int, height: int, width: int) -> swath.Window:
    """A window."""
    return swath.Window(row, col, height, width)


@pytest.mark.parametrize(("coordconv", "bands"), [("{}", 3), ("{radius: true}", 4), ("{scale: 0.4}", 3)])
def test_coordconv_at_the_input_adds_planes(town: Path, coordconv: str, bands: int) -> None:
    config = town.parent / "coord.yaml"
    config.write_text(f"scenes: scenes.csv\nclasses: {{field: class, 1: roof}}\nmodel: {{coordconv: {coordconv}}}\n")
    project = load_project(config)
    assert len(project.bands) == bands
    assert project.bands.names[1:3] == ("coordconv:row", "coordconv:column")
    raw, _ = project.reader(0).read(swath_window(0, 0, 96, 96))
    assert raw[1].max() == pytest.approx(0.2 if "scale" in coordconv else 0.5)


def test_coordconv_everywhere_trains_and_blends(town: Path, tmp_path: Path) -> None:
    config = town.parent / "everywhere.yaml"
    config.write_text(CONFIG.replace("model: {depth: 2, width: 4}", "model: {depth: 1, width: 4, coordconv: {where: all}}")
                      .replace("steps: 30", "steps: 2"))  # fmt: skip
    swath.train(config)
    made = swath.predict(town.parent / "runs" / "everywhere", town.parent / "scenes.csv", out=tmp_path)
    assert made["exact"] is False
    assert made["radius"] is None
