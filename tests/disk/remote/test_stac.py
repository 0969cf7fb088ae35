"""STAC items: what is read of real ones, how hrefs are resolved, which assets are rasters, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from real_data import DATA, ODD

from swath.core.errors import DataError
from swath.disk.remote.stac import StacBand, is_stac_item, item_of, stac_item

VEGAS = DATA / "las_vegas" / "SpaceNet_AOI_2_Las_Vegas-056155973080_01_P001-WV03.json"
RIOTILER = ODD / "vectors" / "riotiler"


def item(**assets: Any) -> dict[str, Any]:
    """A small item with these assets."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "scene", "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z", "gsd": 0.5}, "links": [], "assets": assets,
    }  # fmt: skip


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.mark.real
@pytest.mark.skipif(not VEGAS.exists(), reason="no real data")
def test_a_real_item_names_its_bands_in_order_and_finds_the_copies_beside_it() -> None:
    found = stac_item(VEGAS)
    assert found.id == VEGAS.stem
    assert found.collection == "spacenet-samples"
    assert found.properties["proj:epsg"] == 32611
    rasters = {a.name: a for a in found.rasters}
    assert [a.name for a in found.rasters][:3] == ["N", "Y", "G"]
    assert rasters["N"].bands == (StacBand("n", "nir"),)
    assert rasters["N"].href == (
        "http://datacube-stage-data-public.s3.ca-central-1.amazonaws.com/store/imagery/optical/spacenet-samples/"
        f"{VEGAS.stem}-N.tif"
    )
    assert rasters["N"].place == VEGAS.with_name(f"{VEGAS.stem}-N.tif")
    assert rasters["Y"].beside is None
    assert rasters["Y"].place == rasters["Y"].href
    assert "METADATA" not in rasters
    assert found.asset("nir").name == found.asset("N").name == "N"


@pytest.mark.real
@pytest.mark.skipif(not RIOTILER.exists(), reason="no real data")
@pytest.mark.parametrize(
    ("name", "rasters"),
    [
        ("stac_no_ext.json", ["red", "green", "blue"]),
        ("stac_relative.json", ["MS1", "MS2", "MS4", "PAN", "MS3"]),
        ("stac_netcdf.json", ["geotiff"]),
        ("stac_proj.json", ["red", "green", "blue", "lowres"]),
        ("stac-proj-titiler-issue1074.json", ["data"]),
    ],
)
def test_real_items_of_many_versions_give_their_rasters(name: str, rasters: list[str]) -> None:
    assert is_stac_item(RIOTILER / name)
    assert [a.name for a in stac_item(RIOTILER / name).rasters if a.name in rasters] == rasters


def test_hrefs_are_resolved_against_the_place_of_the_item(tmp_path: Path) -> None:
    value = item(
        near={"href": "./a b.tif"}, up={"href": "../c.tif"}, file={"href": "file:///data/d%20e.tif"},
        web={"href": "https://host/x.tif?sig=1"}, store={"href": "s3://bucket/y.tif"},
    )  # fmt: skip
    local = {a.name: a.href for a in stac_item(written(tmp_path / "i.json", value)).assets}
    assert local == {
        "near": tmp_path / "a b.tif", "up": tmp_path / "../c.tif", "file": Path("/data/d e.tif"),
        "web": "https://host/x.tif?sig=1", "store": "s3://bucket/y.tif",
    }  # fmt: skip
    remote = {a.name: a.href for a in item_of(value, "s3://bucket/items/2020/i.json").assets}
    assert remote["near"] == "s3://bucket/items/2020/a b.tif"
    assert remote["up"] == "s3://bucket/items/c.tif"
    over_http = {a.name: a.href for a in item_of(value, "https://host:8080/items/i.json").assets}
    assert over_http["up"] == "https://host:8080/c.tif"


def test_bands_of_both_generations_are_read() -> None:
    value = item(
        old={"href": "o.tif", "eo:bands": [{"name": "B4", "common_name": "red"}, {"name": "B8"}]},
        new={"href": "n.tif", "bands": [{"name": "B4", "eo:common_name": "red"}, {}]},
        bare={"href": "b.tif", "raster:bands": [{"data_type": "uint8"}, {"data_type": "uint8"}]},
    )
    old, new, bare = item_of(value, Path("i.json")).assets
    assert old.bands == (StacBand("B4", "red"), StacBand("B8", None))
    assert new.bands == (StacBand("B4", "red"), StacBand())
    assert bare.bands == (StacBand(), StacBand())


@pytest.mark.parametrize(
    ("asset", "raster"),
    [
        ({"href": "a.tif", "type": "image/tiff; application=geotiff"}, True),
        ({"href": "a.jp2", "type": "image/jp2", "roles": ["data"]}, True),
        ({"href": "a.TIF"}, True),
        ({"href": "https://h/a.tif?sig=b.png"}, True),
        ({"href": "a", "roles": ["data"]}, True),
        ({"href": "a", "eo:bands": [{"name": "b"}]}, True),
        ({"href": "a.nc", "type": "application/x-netcdf", "roles": ["data"]}, False),
        ({"href": "a.tif", "type": "image/tiff", "roles": ["thumbnail"]}, False),
        ({"href": "a.tif", "roles": ["overview"]}, False),
        ({"href": "a.xml", "type": "application/xml", "roles": ["metadata"]}, False),
        ({"href": "a.png"}, False),
    ],
)
def test_rasters_are_told_from_other_assets(asset: dict[str, Any], raster: bool) -> None:
    assert item_of(item(a=asset), Path("i.json")).assets[0].is_raster is raster


@pytest.mark.parametrize(
    "value",
    [
        {"scenes": [{"image": "a.tif"}]},
        [{"image": "a.tif"}],
        {"type": "FeatureCollection", "features": []},
        {"type": "Feature", "geometry": None, "properties": {}},
        {"type": "Catalog", "stac_version": "1.0.0", "assets": {}},
        3,
    ],
)
def test_manifests_and_layers_are_no_items(tmp_path: Path, value: Any) -> None:
    assert not is_stac_item(written(tmp_path / "x.json", value))
    with pytest.raises(DataError, match="is no STAC item") as e:
        stac_item(tmp_path / "x.json")
    assert e.value.code == "stac-item"


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ({"id": ""}, "has no `id`"),
        ({"properties": [1]}, "`properties` are no object"),
        ({"assets": {"a": {"title": "no href"}}}, "'a' has no `href`"),
        ({"assets": {"a": "a.tif"}}, "'a' has no `href`"),
        ({"assets": {"a": {"href": "a.tif", "roles": "data"}}}, "`roles` of its asset 'a'"),
        ({"assets": {"a": {"href": "a.tif", "eo:bands": ["red"]}}}, "the bands of its asset 'a'"),
        ({"assets": {"a": {"href": "file://elsewhere/a.tif"}}}, "names another machine"),
    ],
)
def test_broken_items_are_refused_with_their_fault(tmp_path: Path, broken: dict[str, Any], what: str) -> None:
    path = written(tmp_path / "i.json", {**item(), **broken})
    with pytest.raises(DataError) as e:
        stac_item(path)
    assert e.value.code == "stac-item"
    assert what in e.value.message
    assert str(path) in e.value.where


def test_text_that_is_no_json_and_files_beyond_the_cap_are_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.json"
    torn.write_text(json.dumps(item())[:-20])
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)
    large = tmp_path / "large.json"
    with large.open("wb") as f:
        f.truncate(16_000_001)
    for path in (torn, deep, large, tmp_path):
        assert not is_stac_item(path)
        with pytest.raises(DataError) as e:
            stac_item(path)
        assert e.value.code == "stac-item"
    with pytest.raises(DataError) as e:
        stac_item(tmp_path / "none.json")
    assert e.value.code == "file-missing"


def test_a_name_that_is_no_asset_lists_those_there_are() -> None:
    value = item(red={"href": "r.tif", "eo:bands": [{"name": "B4"}]}, view={"href": "v.png"})
    with pytest.raises(DataError, match="red") as e:
        item_of(value, Path("i.json")).asset("nir")
    assert e.value.code == "stac-asset"
    twice = item(a={"href": "a.tif", "bands": [{"name": "x"}]}, b={"href": "b.tif", "bands": [{"name": "X"}]})
    with pytest.raises(DataError, match="2 assets"):
        item_of(twice, Path("i.json")).asset("x")
