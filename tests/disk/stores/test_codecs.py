"""Compressed records give back what was stored, save what they promise, and are refused where they are damaged."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed import reseal

import swath
from swath.core.errors import ConfigError, DataError
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.stores import codecs
from swath.disk.stores.sample import Sample
from swath.disk.stores.schema import Schema
from swath.disk.stores.store import StoreSamples, broken_records, load_index, read_card, store_faults

pytest_plugins = ["fixtures_run"]
pytest.importorskip("blosc2")
SCHEMA = Schema(bands=3, dtype="uint16", side=7, labels="uint8", classes=2, codec="lz4")


@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]), side=st.integers(1, 40), seed=st.integers(0, 99)
)
@settings(max_examples=40)
def test_records_round_trip(dtype: str, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    schema = replace(SCHEMA, dtype=dtype, side=side, labels="uint16")
    image = rng.integers(0, 200, (3, side, side)).astype(dtype)
    sample = Sample(image, rng.integers(0, 2, (side, side)).astype("uint16"), rng.random((side, side)) > 0.5)
    out = schema.empty()
    schema.unpack_into(np.frombuffer(b"".join(schema.record(sample).parts), np.uint8), out, "here")
    for name in ("image", "labels", "valid"):
        assert np.array_equal(getattr(out, name), getattr(sample, name))


def test_eleven_bit_imagery_takes_at_most_0_62_of_the_bytes() -> None:
    """8 bits of a smooth scene and 3 of noise: PERFORMANCE's stand-in for an 11-bit sensor."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    scene = 128 + 60 * np.sin(x / 40) + 50 * np.cos(y / 30) + rng.normal(0, 4, (4, 256, 256))
    image = scene.clip(0, 255).astype(np.uint16) * 8 + rng.integers(0, 8, (4, 256, 256)).astype(np.uint16)
    labels = np.zeros((256, 256), np.uint8)
    labels[50:90, 60:100] = 1
    schema = Schema(4, "uint16", 256, "uint8", 2, codec="lz4")
    assert schema.record(Sample(image, labels, np.ones((256, 256), bool))).size <= 0.62 * schema.record_bytes


@pytest.fixture
def stores(own_town: Path) -> tuple[Path, Path]:
    """The town's samples, raw and compressed."""
    made = Path(swath.sample(own_town)["store"])
    raw = shutil.copytree(made, own_town.parent / "raw.store")
    swath.sample(own_town, "sample.compress=lz4", overwrite=True)
    return raw, made


def test_a_compressed_store_holds_the_same_samples(stores: tuple[Path, Path]) -> None:
    raw, packed = stores
    assert read_card(packed)["schema"]["codec"] == "lz4"
    assert (packed / "records.bin").stat().st_size < (raw / "records.bin").stat().st_size
    assert store_faults(packed) == []
    for split in SPLITS:
        a, b = StoreSamples(raw, split), StoreSamples(packed, split)
        assert list(a.places) == list(b.places)
        assert np.array_equal(a.counts, b.counts)
        for i in range(len(a.places)):
            for part in (None, Window(3, 5, 20, 11)):
                for name in ("image", "labels", "valid"):
                    assert np.array_equal(getattr(a.read(i, part), name), getattr(b.read(i, part), name))


def test_both_train_to_the_same_weights(own_town: Path, stores: tuple[Path, Path]) -> None:
    digests = []
    for store in stores:
        result = swath.train(own_town, f"train.store={store}", f"output={store.name}.run", "train.steps=6", "train.evaluations=1")
        bundle = json.loads((Path(result["bundle_last"]) / "card.json").read_text())
        digests.append(bundle["weights"]["sha256"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("record", [0, 5, 26])
def test_a_flipped_byte_is_found(stores: tuple[Path, Path], record: int) -> None:
    _, store = stores
    index = load_index(store, read_card(store))
    with (store / "records.bin").open("r+b") as f:  # publish: damage on purpose
        f.seek(int(index["first"][record] + index["bytes"][record] // 2))
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 16]))
    assert broken_records(store) == [record]
    split = SPLITS[index["split"][record]]
    samples = StoreSamples(store, split)
    mine = int(np.flatnonzero(samples.rows == record)[0])
    with pytest.raises(DataError, match=rf"record {record}: its checksum is wrong"):
        samples.read_into(mine, Window(0, 0, 32, 32), samples.schema.empty())


def test_an_index_that_points_elsewhere_is_refused(stores: tuple[Path, Path]) -> None:
    _, store = stores
    index = np.load(store / "index.npy")
    for change in (lambda i: i["first"].__setitem__(3, 7), lambda i: i["bytes"].__setitem__(slice(0, 2), np.add(i["bytes"][:2], [9, -9]))):
        wrong = index.copy()
        change(wrong)
        np.save(store / "index.npy", wrong)
        reseal(store)
        with pytest.raises(DataError, match="does not fit the records"):
            StoreSamples(store, "trn")


def test_bytes_that_are_no_chunk_of_the_schema_are_refused() -> None:
    chunk = np.frombuffer(codecs.compressed(np.arange(100, dtype=np.uint16)), np.uint8)
    for bad, out in ((chunk, np.empty(99, np.uint16)), (chunk[:-4], np.empty(100, np.uint16)), (chunk[:9], np.empty(100, np.uint16))):
        with pytest.raises(DataError, match="no compressed array of the schema's size"):
            codecs.decompressed(bad, out, "record 3")


def test_a_store_of_the_first_version_still_opens(stores: tuple[Path, Path]) -> None:
    raw, _ = stores

    def first(card: dict[str, Any]) -> None:
        card["version"] = 1
        del card["schema"]["codec"]

    reseal(raw, first)
    assert StoreSamples(raw, "trn").read(0).image.shape == (3, 32, 32)


def test_an_unknown_codec_is_told(stores: tuple[Path, Path]) -> None:
    raw, _ = stores
    reseal(raw, lambda card: card["schema"].update(codec="zstd"))
    with pytest.raises(DataError, match="the codec 'zstd' is unknown"):
        StoreSamples(raw, "trn")


def test_without_the_library_one_line_tells_what_to_do(own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blosc2", None)
    codecs.blosc2.cache_clear()
    with pytest.raises(ConfigError, match=r"compressed records need blosc2 .*pip install 'swath\[lz4\]'"):
        swath.sample(own_town, "sample.compress=lz4")
    assert not (own_town.parent / "runs").exists()
    monkeypatch.undo()
    codecs.blosc2.cache_clear()
