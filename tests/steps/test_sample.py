"""`sample` makes a whole store or none, keeps what is there, and tells what it dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from pyogrio.raw import read
from shapely import from_wkb
from tiny_town import SIDE, UTM, corner, pixels, squares, truth, write_image, write_squares

import swath
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.projects.project import load_project
from swath.disk.samples.plan import plan_places
from swath.disk.stores.store import StoreSamples, broken_records, load_index, read_card

pytest_plugins = ["fixtures_run"]
Fingerprint = Callable[[Path], dict[str, str]]


def test_the_result_names_the_store_and_counts_its_samples(own_town: Path) -> None:
    result = swath.sample(own_town)
    store = own_town.parent / "runs" / "roofs" / "samples.store"
    assert result["store"] == str(store)
    assert result["already_done"] is False
    assert result["dropped"] == {}
    assert sorted(p.name for p in store.iterdir()) == ["card.json", "index.npy", "records.bin", "tiles.gpkg"]
    town = load_project(own_town)
    for split in ("trn", "val", "tst"):
        assert result["samples"][split] == len(StoreSamples(store, split).places) == len(plan_places(town, split))  # type: ignore[arg-type]
    test = truth(squares(2))
    roof = result["classes"]["tst"]["roof"]
    assert roof["pixels"] == int(test.sum())
    assert roof["share"] == pytest.approx(test.mean())
    assert broken_records(store) == []


def test_a_finished_store_is_kept(own_town: Path, fingerprint: Fingerprint) -> None:
    first = swath.sample(own_town)
    before = fingerprint(own_town.parent)
    second = swath.sample(own_town, "train.steps=9", "predict.tile=64")
    assert second["already_done"] is True
    assert {k: second[k] for k in ("store", "samples", "dropped", "classes")} == {
        k: first[k] for k in ("store", "samples", "dropped", "classes")
    }
    assert fingerprint(own_town.parent) == before


def test_another_config_or_input_is_refused(own_town: Path) -> None:
    swath.sample(own_town)
    with pytest.raises(ResourceError, match="add --overwrite to replace it"):
        swath.sample(own_town, "sample.tile=48")
    assert swath.sample(own_town, "sample.tile=48", overwrite=True)["already_done"] is False
    assert swath.sample(own_town, "sample.tile=48")["already_done"] is True
    write_image(own_town.parent / "north.tif", pixels(truth(squares(0)), 9), corner(0))
    with pytest.raises(ResourceError, match="of another config or of other inputs"):
        swath.sample(own_town, "sample.tile=48")


def test_equal_inputs_give_equal_records(own_town: Path) -> None:
    store = own_town.parent / "runs" / "roofs" / "samples.store"
    swath.sample(own_town)
    first = {f: (store / f).read_bytes() for f in ("records.bin", "index.npy", "card.json")}
    swath.sample(own_town, overwrite=True)
    assert {f: (store / f).read_bytes() for f in first} == first


def test_dropped_samples_are_counted_by_reason(own_town: Path) -> None:
    bands = pixels(truth(squares(0)), 0)
    bands[:, :32, :32] = 0
    write_image(own_town.parent / "north.tif", bands, corner(0), nodata=0)
    blank = swath.sample(own_town)["dropped"]
    assert blank == {"no labelled pixel": 1}
    floor = swath.sample(own_town, "sample.class_min={roof: 0.2}", overwrite=True)
    assert floor["dropped"]["class floor"] > 0
    assert floor["samples"]["tst"] == 9
    share = swath.sample(own_town, "sample.min_annotated=0.2", overwrite=True)
    assert share["dropped"]["annotated share"] == floor["dropped"]["class floor"]
    planned = [len(plan_places(load_project(own_town), split)) for split in ("trn", "val")]
    assert share["samples"]["trn"] + share["samples"]["val"] + sum(share["dropped"].values()) == sum(planned)


def test_filters_that_leave_nothing_leave_no_store(own_town: Path, fingerprint: Fingerprint) -> None:
    before = fingerprint(own_town.parent)
    with pytest.raises(DataError, match=r"left no sample in 'trn'.*annotated share"):
        swath.sample(own_town, "sample.min_annotated=1")
    assert fingerprint(own_town.parent) == before
    assert swath.sample(own_town)["already_done"] is False


def test_a_failure_leaves_no_store_and_an_old_one_whole(own_town: Path, fingerprint: Fingerprint) -> None:
    swath.sample(own_town)
    run = own_town.parent / "runs"
    before = fingerprint(run)
    image = own_town.parent / "west.tif"
    write_image(image, pixels(truth(squares(2)), 2), corner(2), compress="deflate", tiled=True, blockxsize=32, blockysize=32)
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"west\.tif rows .* cannot be read"):
        swath.sample(own_town, overwrite=True)
    assert fingerprint(run) == before
    assert read_card(run / "roofs" / "samples.store")["scenes"] == ["north", "south", "west"]


def test_footprints_open_in_qgis_and_match_the_windows(own_town: Path) -> None:
    store = Path(swath.sample(own_town)["store"])
    card = read_card(store)
    index = load_index(store, card)
    layers = pyogrio.list_layers(store / "tiles.gpkg")
    assert layers[:, 0].tolist() == ["samples"]
    meta, _, geometry, columns = read(store / "tiles.gpkg")
    assert meta["crs"] == UTM
    values = dict(zip(meta["fields"], columns, strict=True))
    assert values["split"].tolist() == [("trn", "val", "tst")[s] for s in index["split"]]
    assert values["scene"].tolist() == [card["scenes"][s] for s in index["scene"]]
    assert np.array_equal(values["pixels_roof"], index["counts"][:, 1])
    for shape, row in zip(from_wkb(geometry), index, strict=True):
        top, left, height, width = row["read"].tolist()
        x, y = corner(int(row["scene"])) @ (left, top)
        assert shape.bounds == (x, y - height / 2, x + width / 2, y)


def test_scenes_of_two_coordinate_systems_have_two_layers(own_town: Path) -> None:
    found = squares(1)
    write_image(own_town.parent / "south.tif", pixels(truth(found), 1), corner(1), crs="EPSG:32619")
    (own_town.parent / "south.gpkg").unlink()
    write_squares(own_town.parent / "south.gpkg", found, corner(1), crs="EPSG:32619")
    store = Path(swath.sample(own_town)["store"])
    layers = pyogrio.list_layers(store / "tiles.gpkg")[:, 0].tolist()
    assert layers == ["samples", "samples_2"]
    assert [read(store / "tiles.gpkg", layer=layer)[0]["crs"] for layer in layers] == [UTM, "EPSG:32619"]


def test_padded_pixels_are_told(own_town: Path) -> None:
    result = swath.sample(own_town, "sample.tile=64", "sample.edge=pad")
    card = json.loads((Path(result["store"]) / "card.json").read_text())
    boxes = [p.read for p in plan_places(load_project(own_town, ["sample.tile=64", "sample.edge=pad"]), "trn")]
    beyond = sum(b.area - b.clip(SIDE, SIDE).area for b in boxes)
    assert beyond > 0
    assert result["events"]["pixel padded at the edge"] == card["events"]["pixel padded at the edge"] >= beyond


def test_the_inputs_stay_untouched(own_town: Path, fingerprint: Fingerprint) -> None:
    before = fingerprint(own_town.parent)
    swath.sample(own_town)
    after = fingerprint(own_town.parent)
    assert {k: v for k, v in after.items() if not k.startswith("runs")} == before


def test_a_folder_whose_footprints_could_not_be_written_is_refused_at_once(own_town: Path) -> None:
    with pytest.raises(ConfigError, match=r"samples\.store: its path holds '!'.*; rename the file or folder"):
        swath.sample(own_town, "output='!new'")
    assert not (own_town.parent / "!new").exists()
