"""A bundle tells what it is, equal content gives equal bytes, and damage or another version is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.core.legend import ClassEntry, Legend
from swath.disk.bundle import Bundle, read_bundle, write_bundle

pytest_plugins = ["fixtures_run"]
CARD = {
    "model": {"name": "m", "options": {}, "in_channels": 1, "out_channels": 2, "stride": 1, "radius": 0},
    "bands": Bands((1,), ("b1",), (1.0,), (0.0,)).as_dict(),
    "legend": Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000"))).as_dict(),
}
TENSORS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2], np.int64)}
PROBE = {"raw": np.ones((1, 2, 2), np.uint16), "output": np.zeros((2, 2, 2), np.float32)}


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def change(bundle: Path, **values: Any) -> None:
    card = bundle / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **values}))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = write_bundle(tmp_path / "m", CARD, TENSORS, PROBE)
    assert names(made.directory) == ["card.json", made.card["probe"]["file"], made.card["weights"]["file"]]
    for found, expected in ((made.tensors(), TENSORS), (made.probe(), PROBE)):
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert np.array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_equal_content_gives_equal_bytes_wherever_and_in_whatever_order(
    tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]]
) -> None:
    write_bundle(tmp_path / "a", CARD, TENSORS, PROBE)
    write_bundle(tmp_path / "b" / "c", CARD, dict(reversed(TENSORS.items())), dict(reversed(PROBE.items())))
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b" / "c")


def test_a_new_bundle_replaces_the_old_one_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "m", CARD, TENSORS, PROBE)
    second = write_bundle(tmp_path / "m", CARD, {"a": TENSORS["a"] + 1}, PROBE)
    assert second.identity != first.identity
    assert len(names(tmp_path / "m")) == 3
    assert second.tensors()["a"].tolist() == [2, 3]


def test_the_identity_follows_weights_bands_legend_and_model_only(bundle: Path, copied_bundle: Path) -> None:
    before = read_bundle(bundle).identity
    assert read_bundle(copied_bundle).identity == before
    change(copied_bundle, name="another", training={})
    assert read_bundle(copied_bundle).identity == before
    card = read_bundle(bundle).card
    change(copied_bundle, bands={**card["bands"], "offset": [0, 0, 0]})
    assert read_bundle(copied_bundle).identity != before


@pytest.mark.parametrize("part", ["", "best", "best/card.json"])
def test_a_run_a_bundle_or_its_card_names_the_bundle(bundle: Path, part: str) -> None:
    assert read_bundle(bundle.parent / part).directory == bundle


def test_the_card_tells_bands_legend_model_and_where_it_comes_from(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert found.legend.names == ("background", "roof")
    assert found.bands.indexes == (1, 2, 3)
    assert (found.model["stride"], found.model["radius"]) == (4, 7 * 4 - 5)
    assert found.model["options"] == {"depth": 2, "width": 4}
    assert found.card["provenance"]["config"]["train"]["steps"] == 40
    text = (bundle / "card.json").read_text()
    assert str(bundle.parents[2]) not in text


def test_what_is_no_bundle_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="holds no model bundle"):
            read_bundle(place)
    (tmp_path / "card.json").write_text('{"swath": "store", "version": 1}')
    with pytest.raises(DataError, match="is no model's card"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "bundle-corrupt"), ("[1]", "bundle-missing"), ('{"swath": "bundle", "version": 99}', "bundle-version"),
     ('{"swath": "bundle", "version": 1, "model": {}}', "bundle-corrupt")],
)  # fmt: skip
def test_a_damaged_card_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_bundle(tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [("bands", {"indexes": [1]}, "names"), ("bands", [], "list indices"), ("legend", {"classes": []}, "unlabelled"),
     ("model", {"name": "unet"}, "the model lacks options, in_channels"), ("model", 3, "not iterable")],
)  # fmt: skip
def test_a_card_of_another_form_is_refused(copied_bundle: Path, part: str, value: object, told: str) -> None:
    change(copied_bundle, **{part: value})
    with pytest.raises(DataError, match=rf"card\.json: cannot be understood \(.*{told}"):
        read_bundle(copied_bundle)


def test_bands_of_unequal_lengths_are_refused(copied_bundle: Path) -> None:
    bands = read_bundle(copied_bundle).card["bands"]
    change(copied_bundle, bands={**bands, "gain": bands["gain"][:2]})
    with pytest.raises(DataError, match="bands of unequal lengths"):
        read_bundle(copied_bundle)


def spoil(bundle: Bundle, part: str, how: str) -> None:
    file = bundle.directory / bundle.card[part]["file"]
    data = bytearray(file.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    file.write_bytes(data if how == "flipped" else data[:-1])
    if how == "missing":
        file.unlink()


@pytest.mark.parametrize("part", ["weights", "probe"])
@pytest.mark.parametrize(
    ("how", "code"), [("flipped", "bundle-corrupt"), ("cut", "bundle-corrupt"), ("missing", "bundle-incomplete")]
)
def test_damaged_files_are_refused(copied_bundle: Path, part: str, how: str, code: str) -> None:
    found = read_bundle(copied_bundle)
    spoil(found, part, how)
    with pytest.raises(DataError) as caught:
        found.tensors() if part == "weights" else found.probe()
    assert caught.value.code == code


def test_a_card_cannot_name_files_elsewhere(copied_bundle: Path, tmp_path: Path) -> None:
    found = read_bundle(copied_bundle)
    entry = found.card["weights"]
    (copied_bundle / entry["file"]).rename(tmp_path / entry["file"])
    for name in (f"../{entry['file']}", str(tmp_path / entry["file"])):
        change(copied_bundle, weights={**entry, "file": name})
        with pytest.raises(DataError, match="is missing"):
            read_bundle(copied_bundle).tensors()
