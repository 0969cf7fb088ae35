"""Every format gives back what it was given, refuses what is none of its own, and appears only when it is whole."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import legend_of, made, same
from rasterio.crs import CRS

from swath.core.errors import ConfigError, DataError
from swath.disk.formats import FORMATS, Facts, ForeignSample, ForeignSamples, format_of

UTM = CRS.from_epsg(32618).to_wkt()
TABLE = pytest.mark.parametrize("name", FORMATS)


@TABLE
@settings(max_examples=5)
@given(
    seed=st.integers(0, 999), dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]), bands=st.integers(1, 5),
    side=st.integers(2, 20), width=st.integers(2, 20), count=st.integers(1, 5), crs=st.sampled_from([None, UTM]), masks=st.booleans(),
    ids=st.sampled_from([(0, 1), (0, 1, 7), (3, 200), (0, 254), (1, 1000), tuple(range(40))]),
    splits=st.sampled_from([("trn",), ("trn", "val"), ("trn", "val", "tst"), ("tst", "trn")]),
)  # fmt: skip
def test_samples_come_back(name, seed, dtype, bands, side, width, count, crs, masks, ids, splits) -> None:  # type: ignore[no-untyped-def]
    wide = side if name == "patches-images" else width  # that layout holds squares only
    sent = made(count, seed=seed, dtype=dtype, bands=bands, side=side, width=wide, ids=ids, splits=splits, crs=crs, masks=masks)
    with tempfile.TemporaryDirectory() as folder:
        out = FORMATS[name].write(sent, Path(folder) / "out")
        assert format_of(out) == name
        same(FORMATS[name].read(out), sent, FORMATS[name].keeps)
        assert [p.name for p in Path(folder).iterdir()] == ["out"]


@TABLE
def test_no_shard_is_dropped(name: str, tmp_path: Path) -> None:
    count = 250 if name in ("webdataset", "tfrecords", "lmdb", "hdf5", "patches-images") else 8
    sent = made(count, side=4, splits=("trn",), bands=1)
    out = FORMATS[name].write(sent, tmp_path / "out")
    assert len(list(FORMATS[name].read(out))) == count
    shards = {"webdataset": "*.tar", "tfrecords": "train/*.records"}
    if name in shards:
        assert len(list(out.glob(shards[name]))) == 3


@TABLE
def test_odd_and_long_names(name: str, tmp_path: Path) -> None:
    odd = ["a" * 600, "ü ß/../x", "..", "a:b:c", "~00000001", "A", "a", "x.y.z"]
    base = made(len(odd), splits=("trn",))
    samples = [replace(s, name=n) for s, n in zip(base, odd, strict=True)]
    sent = replace(base, stream=lambda: iter(samples))
    out = FORMATS[name].write(sent, tmp_path / "out")
    back = list(FORMATS[name].read(out))
    assert len(back) == len(odd)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    if name in ("hdf5", "lmdb", "tfrecords", "webdataset"):
        assert {s.name for s in back} == set(odd)


@TABLE
def test_a_failure_leaves_nothing(name: str, tmp_path: Path) -> None:
    base = made(5)

    def broken():  # type: ignore[no-untyped-def]
        yield from list(base)[:4]
        raise DataError("store-corrupt", "record 4", "its checksum is wrong")

    with pytest.raises(DataError, match="checksum"):
        FORMATS[name].write(replace(base, stream=broken), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@TABLE
def test_an_empty_directory_is_refused(name: str, tmp_path: Path) -> None:
    assert not FORMATS[name].found(tmp_path)
    with pytest.raises(DataError):
        list(FORMATS[name].read(tmp_path))
    with pytest.raises(DataError, match="no known layout"):
        format_of(tmp_path)


@TABLE
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.98])
def test_cut_files_are_refused(name: str, keep: float, tmp_path: Path) -> None:
    """Every file of a layout is cut in turn; the reader names it, or nothing was lost."""
    sent = made(3, splits=("trn",), side=16)
    out = FORMATS[name].write(sent, tmp_path / "out")
    for file in sorted(p for p in out.rglob("*") if p.is_file() and p.name != "lock.mdb"):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * keep)])
        refused = None
        try:
            back = list(FORMATS[name].read(out))
        except DataError as e:
            refused = e
        if refused is None:
            assert all(np.array_equal(a.image, b.image) for a, b in zip(sent, back, strict=True)), file
        else:
            assert "out" in refused.where, file
        file.write_bytes(whole)
    same(FORMATS[name].read(out), sent, FORMATS[name].keeps)


def test_a_legend_is_found_and_labels_without_a_class_are_listed(tmp_path: Path) -> None:
    image, labels = np.zeros((1, 4, 4), "uint8"), np.arange(16).reshape(4, 4) % 3 * 5
    sent = ForeignSamples(tmp_path, Facts(("b1",), "uint8"),
                          lambda: iter([ForeignSample("a", "trn", image, labels)]))  # fmt: skip
    back = FORMATS["folders"].read(FORMATS["folders"].write(sent, tmp_path / "out"))
    assert back.facts.legend is not None
    assert back.facts.legend.ids == (0, 5, 10)
    known = replace(sent, facts=replace(sent.facts, legend=legend_of((0, 5))))
    with pytest.raises(DataError, match="10"):
        FORMATS["folders"].write(known, tmp_path / "other")


def test_one_class_alone_makes_no_legend(tmp_path: Path) -> None:
    image, labels = np.zeros((1, 4, 4), "uint8"), np.full((4, 4), -3)
    sent = ForeignSamples(tmp_path, Facts(("b1",), "uint8"),
                          lambda: iter([ForeignSample("a", "trn", image, labels)]))  # fmt: skip
    with pytest.raises(ConfigError, match="-3"):
        FORMATS["folders"].write(sent, tmp_path / "out")
