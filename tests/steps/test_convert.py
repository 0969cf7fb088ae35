"""A store goes into every format and comes back as the same store; what is lost is told, nothing is overwritten."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from made_samples import legend_of, made
from rasterio.crs import CRS
from tiny_town import write_town

from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.core.splits import SPLITS
from swath.disk.formats import FORMATS
from swath.disk.formats.swathstore import read_store
from swath.disk.projects.project import load_project
from swath.disk.stores.store import StoreSamples, read_card, store_faults
from swath.steps.convert import convert
from swath.steps.sample import sample

UTM = CRS.from_epsg(32618).to_wkt()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a tiny town."""
    return Path(sample(load_project(write_town(tmp_path_factory.mktemp("town"))))["store"])


def records(path: Path) -> list[tuple[str, bytes]]:
    """Split and bytes of all records, in an order of their own."""
    found = []
    for split in SPLITS:
        samples = StoreSamples(path, split)
        for i in range(len(samples.places)):
            s = samples.read(i)
            found.append((split, s.image.tobytes() + s.labels.tobytes() + s.valid.tobytes()))
    return sorted(found)


@pytest.mark.parametrize("name", FORMATS)
def test_a_store_comes_back(name: str, store: Path, tmp_path: Path) -> None:
    there = convert(store, tmp_path / "there", to=name)
    back = convert(there["out"], tmp_path / "back.store", to="store")
    assert back["from"] == name
    assert store_faults(tmp_path / "back.store") == []
    assert there["samples"] == back["samples"]
    assert sum(there["samples"].values()) == len(records(store))
    if "mask" not in " ".join(there["lost"]):
        assert records(tmp_path / "back.store") == records(store)
    first, second = read_card(store), read_card(tmp_path / "back.store")
    assert set(first) == set(second)
    assert first["legend"] == second["legend"]
    assert first["splits"] == second["splits"]
    assert first["schema"] == second["schema"]
    assert first["bands"]["names"] == second["bands"]["names"]
    assert ("georeference" in " ".join(there["lost"])) == ("georeference" not in FORMATS[name].keeps)
    if {"names", "georeference"} <= FORMATS[name].keeps:
        assert sorted(first["scenes"]) == sorted(second["scenes"])
        scenes = dict(zip(first["scenes"], first["grids"], strict=True))
        for scene, grid in zip(second["scenes"], second["grids"], strict=True):
            assert np.allclose(Affine(*grid["transform"]), Affine(*scenes[scene]["transform"]), rtol=0, atol=1e-6)


def test_a_converted_store_states_what_training_asks_for(store: Path, tmp_path: Path) -> None:
    convert(store, tmp_path / "there", to="folders")
    convert(tmp_path / "there", tmp_path / "back.store", to="store")
    for split in SPLITS:
        first, second = StoreSamples(store, split), StoreSamples(tmp_path / "back.store", split)
        assert np.array_equal(first.index["counts"].sum(0), second.index["counts"].sum(0))
        assert all(p.scene < len(second.card["scene_scaling"]) for p in second.places)
    bands = Bands.from_dict(read_card(tmp_path / "back.store")["bands"])
    assert all(g > 0 and g != 1 for g in bands.gain)


def test_two_stores_of_the_same_samples_are_equal(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert(store, tmp_path / name, to="webdataset")
        convert(tmp_path / name, tmp_path / f"{name}.store", to="store")
    files = [{p.name: p.read_bytes() for p in (tmp_path / f"{n}.store").iterdir()} for n in ("a", "b")]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["card.json", "index.npy", "records.bin", "tiles.gpkg"]


def test_the_scaling_is_fitted_on_training_pixels(tmp_path: Path) -> None:
    sent = made(9, masks=True, crs=UTM)
    FORMATS["webdataset"].write(sent, tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out", to="store")
    card = read_card(tmp_path / "out")
    pixels = np.concatenate([s.image[:, s.mask] for s in sent if s.split == "trn"], axis=1).astype(float)
    assert card["statistics"]["pixels"] == pixels.shape[1]
    assert np.allclose(card["bands"]["gain"], 1 / pixels.std(1))
    assert np.allclose(card["bands"]["offset"], -pixels.mean(1) / pixels.std(1))
    back = list(read_store(tmp_path / "out"))
    assert {s.name for s in back} == {s.name for s in sent}


def test_no_training_samples_and_several_sizes_make_no_store(tmp_path: Path) -> None:
    FORMATS["folders"].write(made(2, splits=("val",)), tmp_path / "in")
    with pytest.raises(DataError, match="training"):
        convert(tmp_path / "in", tmp_path / "out", to="store")
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced(store: Path, tmp_path: Path) -> None:
    convert(store, tmp_path / "a", to="webdataset")
    with pytest.raises(ResourceError, match="--overwrite"):
        convert(store, tmp_path / "a", to="folders")
    convert(store, tmp_path / "a", to="folders", overwrite=True)
    assert not list((tmp_path / "a").glob("*.tar"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for out in (tmp_path / "mine", tmp_path, store, store / "below"):
        with pytest.raises(ResourceError):
            convert(store, out, to="folders", overwrite=True)
    with pytest.raises(ResourceError, match="another layout"):
        convert(store, tmp_path / "a", to="store", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("at", ["publish_store", "publish_card"])
def test_a_killed_conversion_goes_on(at: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    whole = convert(store, tmp_path / "web", to="webdataset")
    convert(tmp_path / "web", tmp_path / "whole.store", to="store")
    with monkeypatch.context() as patch:
        patch.setattr(f"swath.disk.{'formats.swathstore' if at == 'publish_store' else 'stores.store'}.{at}", die)
        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "web", tmp_path / "made.store", to="store")
    assert (tmp_path / "made.store" / "index.npy").exists() == (at == "publish_card")
    with pytest.raises(ResourceError, match="no samples made by Swath"):
        convert(store, tmp_path / "made.store", to="folders")
    assert convert(tmp_path / "web", tmp_path / "made.store", to="store")["samples"] == whole["samples"]
    files = [sorted((p.name, p.read_bytes()) for p in (tmp_path / f"{n}.store").iterdir()) for n in ("made", "whole")]
    assert files[0] == files[1]


def test_what_a_killed_conversion_left_is_swept_away(store: Path, tmp_path: Path) -> None:
    left = tmp_path / ".web.4194999-0badcafe.part"  # no process has so high a number
    (left / "trn").mkdir(parents=True)
    convert(store, tmp_path / "web", to="webdataset")
    assert [p.name for p in tmp_path.iterdir()] == ["web"]


def test_beside_samples_by_others_there_is_place(tmp_path: Path) -> None:
    source = tmp_path / "project"
    FORMATS["lmdb"].write(made(4, splits=("trn", "tst")), source)
    with pytest.raises(ResourceError, match="lies in the source"):
        convert(source, source / "made.store", to="store")
    (source / "swath.json").unlink()
    told = convert(source, source / "made.store", to="store")
    assert told["samples"] == {"trn": 2, "val": 0, "tst": 2}
    assert store_faults(source / "made.store") == []
    assert convert(source, source / "deep" / "web", to="webdataset")["samples"] == told["samples"]
    for out, word in ((source / "train", "lies in"), (source / "Test" / "x", "lies in"), (source, "is"), (tmp_path, "holds")):
        with pytest.raises(ResourceError, match=f"{word} the source"):
            convert(source, out, to="webdataset", source_format="lmdb", overwrite=True)


def test_what_cannot_be_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'folders'"):
        convert(store, tmp_path / "a", to="folder")
    with pytest.raises(DataError, match="no such"):
        convert(tmp_path / "none", tmp_path / "a", to="store")
    with pytest.raises(DataError, match="no known layout"):
        convert(tmp_path, tmp_path / "a", to="store")


def test_a_missing_extra_is_named(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    for name in ("hdf5", "lmdb"):
        with pytest.raises(ConfigError, match=rf"pip install 'swath\[{name}\]'"):
            convert(store, tmp_path / name, to=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ids", "told"), [((0, 1, 255), True), ((0, 255), True), ((0, 1, 254), False)])
def test_255_is_taken_for_a_class_not_silently(ids: tuple[int, ...], told: bool, tmp_path: Path) -> None:
    source = made(4, ids=ids)
    plain = [replace(s, labels=np.where(s.labels == source.facts.ignore, 0, s.labels).astype("uint8")) for s in source]
    stated = replace(source, facts=replace(source.facts, legend=None, ignore=None), stream=lambda: iter(plain))
    out = FORMATS["folders"].write(stated, tmp_path / "in")
    stated_notes = convert(out, tmp_path / "stated", to="webdataset")["notes"]
    (out / "swath.json").unlink()
    notes = convert(out, tmp_path / "out", to="webdataset")["notes"]
    assert stated_notes == []
    assert any("255 was taken for a class" in n for n in notes) == told
    assert convert(out, tmp_path / "named", to="webdataset", legend=legend_of(ids))["notes"] == []


def test_a_legend_maps_the_values_of_labels(tmp_path: Path) -> None:
    out = FORMATS["folders"].write(made(4, ids=(0, 255)), tmp_path / "in")
    (out / "swath.json").unlink()
    result = convert(out, tmp_path / "out", to="webdataset", legend=legend_of((0, 254, 255)))
    assert result["classes"] == {"0": "kind of 0", "254": "kind of 254", "255": "kind of 255"}
    with pytest.raises(DataError, match="255"):
        convert(out, tmp_path / "other", to="webdataset", legend=legend_of((0, 254)))
