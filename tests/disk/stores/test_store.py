"""A store is whole or it is none: every damage is found, by name, at the first read."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from sealed import reseal

from swath.core.errors import DataError
from swath.core.windows import Window
from swath.disk.stores.sample import Sample
from swath.disk.stores.schema import Schema
from swath.disk.stores.store import StoreSamples, broken_records, read_card

pytest_plugins = ["fixtures_run"]


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained town's store."""
    made = trained.parent / "runs" / "roofs" / "samples.store"
    return shutil.copytree(made, tmp_path / "samples.store")


@pytest.mark.parametrize(("dtype", "labels"), [("uint8", "uint8"), ("uint16", "uint8"), ("float32", "uint16")])
def test_records_round_trip(dtype: str, labels: str) -> None:
    rng = np.random.default_rng(0)
    schema = Schema(bands=3, dtype=dtype, side=7, labels=labels, classes=2)
    sample = Sample(
        rng.integers(0, 200, (3, 7, 7)).astype(dtype), rng.integers(0, 2, (7, 7)).astype(labels), rng.random((7, 7)) > 0.5
    )
    record = schema.record(sample)
    packed = b"".join(record.parts)
    assert len(packed) == record.size == schema.record_bytes
    assert zlib.crc32(packed) == record.crc
    back = schema.unpack(np.frombuffer(packed, np.uint8))
    for name in ("image", "labels", "valid"):
        assert np.array_equal(getattr(back, name), getattr(sample, name))


def test_a_whole_store_has_no_broken_record(store: Path) -> None:
    assert broken_records(store) == []
    assert len(StoreSamples(store, "trn").places) == 16


@pytest.mark.parametrize("record", [0, 5, 26])
def test_a_flipped_byte_is_found(store: Path, record: int) -> None:
    size = Schema(**read_card(store)["schema"]).record_bytes
    with (store / "records.bin").open("r+b") as f:
        f.seek(record * size + size // 3)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 4]))
    assert broken_records(store) == [record]
    found = []
    for split in ("trn", "val", "tst"):
        samples = StoreSamples(store, split)  # type: ignore[arg-type]
        for i in range(len(samples.places)):
            if samples.rows[i] == record:
                with pytest.raises(DataError, match=rf"record {record}: its checksum is wrong"):
                    samples.read(i, Window(0, 0, 2, 2))
                found.append(split)
            else:
                samples.read(i, Window(0, 0, 2, 2))
    assert len(found) == 1


def test_a_record_is_verified_once(store: Path) -> None:
    samples = StoreSamples(store, "trn")
    first = samples.read(0).image.copy()
    with (store / "records.bin").open("r+b") as f:
        f.seek(int(samples.rows[0]) * samples.schema.record_bytes)
        f.write(b"\xff\xff\xff\xff")
    again = samples.read(0).image
    assert not np.array_equal(first, again)
    with pytest.raises(DataError, match="checksum"):
        StoreSamples(store, "trn").read(0)


def test_a_cut_file_is_found(store: Path) -> None:
    records = store / "records.bin"
    records.write_bytes(records.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"records\.bin: is missing or has the wrong size"):
        StoreSamples(store, "val")
    records.unlink()
    with pytest.raises(DataError, match=r"records\.bin: is missing"):
        broken_records(store)


def test_a_damaged_index_is_found(store: Path) -> None:
    index = store / "index.npy"
    data = index.read_bytes()
    index.write_bytes(data[:-10])
    with pytest.raises(DataError, match=r"index\.npy: does not have the checksum on the card"):
        StoreSamples(store, "trn")
    reseal(store)
    with pytest.raises(DataError, match=r"index\.npy: cannot be read"):
        StoreSamples(store, "trn")
    np.save(index, np.zeros(27))
    reseal(store)
    with pytest.raises(DataError, match="does not fit the schema"):
        StoreSamples(store, "trn")
    index.unlink()
    with pytest.raises(DataError, match=r"index\.npy: cannot be read"):
        StoreSamples(store, "trn")


@pytest.mark.parametrize("file", ["card.json", "index.npy"])
def test_no_flipped_bit_of_card_or_index_goes_unseen(file: str, store: Path) -> None:
    whole = (store / file).read_bytes()
    rng = np.random.default_rng(0)
    places = {0, len(whole) - 1, *range(60, 130), *rng.integers(0, len(whole), 150).tolist()}
    for at in sorted(places):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        (store / file).write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            StoreSamples(store, "trn")
        assert caught.value.code in ("store-corrupt", "store-version")


@pytest.mark.parametrize(
    ("change", "code"),
    [({"version": 99}, "store-version"), ({"version": 0}, "store-version"), ({"swath": "bundle"}, "store-version"),
     ("{", "store-corrupt"), ("[]", "store-version"), ("3", "store-version"), ({"scenes": []}, "store-corrupt")],
)  # fmt: skip
def test_a_card_of_another_kind_is_refused(store: Path, change: dict[str, object] | str, code: str) -> None:
    card = store / "card.json"
    card.write_text(change if isinstance(change, str) else json.dumps({**json.loads(card.read_text()), **change}))
    with pytest.raises(DataError) as caught:
        read_card(store)
    assert caught.value.code == code


@pytest.mark.parametrize(("version", "fix"), [(99, "update Swath"), (0, "make the store anew")])
def test_what_to_do_about_another_version(version: int, fix: str, store: Path) -> None:
    reseal(store, lambda card: card.update(version=version))
    with pytest.raises(DataError, match=f"is version {version}, this Swath reads 1 to 2; {fix}"):
        StoreSamples(store, "trn")


def test_a_store_without_its_card_is_none(store: Path) -> None:
    (store / "card.json").unlink()
    with pytest.raises(DataError, match="holds no finished store; make it: swath sample CONFIG"):
        StoreSamples(store, "trn")


def test_a_split_without_samples_is_empty(store: Path) -> None:
    index = np.load(store / "index.npy")
    index["split"] = 0
    np.save(store / "index.npy", index)
    reseal(store)
    assert StoreSamples(store, "val").places == []
