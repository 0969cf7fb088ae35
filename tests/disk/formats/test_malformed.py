"""What is wrong with a layout is told by name, all of it at once; nothing in a file is ever run or unpacked."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_samples import made, same

from swath.core.errors import DataError
from swath.disk.formats import FORMATS, ForeignSamples
from swath.disk.formats.foreign import Stems
from swath.disk.formats.literal import parse_literal
from swath.disk.formats.protobuf import encode
from swath.disk.formats.tfrecords import read_records, tensor_array, tensor_proto, write_record
from swath.disk.formats.tiff import write_raster


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


IMAGE, LABELS = npy(np.zeros((1, 4, 4), "u1")), npy(np.zeros((4, 4), "u1"))


def tar(path: Path, *members: tuple[tarfile.TarInfo | str, bytes]) -> Path:
    """A directory with one shard of these members."""
    path.mkdir(exist_ok=True)
    with tarfile.open(path / "trn-0.tar", "w") as out:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("member", [
    "../a.image.npy", "/tmp/a.image.npy", "b/../../a.image.npy", "a.pkl", "a.image.npz", "a", "b/a.image.npy",
    link("a.image.npy", tarfile.SYMTYPE), link("a.image.npy", tarfile.LNKTYPE), link("a.image.npy", tarfile.CHRTYPE),
    link("a.image.npy", tarfile.FIFOTYPE), link("a", tarfile.DIRTYPE),
], ids=str)  # fmt: skip
def test_unsafe_members_of_a_tar_are_refused(member: Any, tmp_path: Path) -> None:
    path = tar(tmp_path / "in", (member, b""), ("a.labels.npy", LABELS))
    with pytest.raises(DataError, match=r"trn-0\.tar: member"):
        list(FORMATS["webdataset"].read(path))
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "trn-0.tar"]


@pytest.mark.parametrize("members", [
    [("a.image.npy", IMAGE)], [("a.labels.npy", LABELS)], [("a.image.npy", b"x"), ("a.labels.npy", LABELS)],
    [("a.image.npy", IMAGE), ("a.image.npy", IMAGE)], [("a.image.npy", IMAGE), ("a.labels.npy", IMAGE)],
    [("a.image.npy", IMAGE), ("a.labels.npy", npy(np.zeros((4, 4), "f4")))],
    [("a.image.npy", IMAGE), ("a.labels.npy", LABELS), ("a.json", b"[]")],
    [("a.image.npy", IMAGE), ("a.labels.npy", LABELS), ("a.json", b"{")],
    [("a.image.npy", IMAGE), ("a.labels.npy", LABELS), ("a.json", b'{"grid": 3}')],
])  # fmt: skip
def test_malformed_samples_of_a_tar_are_refused(members: list[tuple[str, bytes]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in"):
        list(FORMATS["webdataset"].read(tar(tmp_path / "in", *members)))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        list(
            FORMATS["webdataset"].read(
                tar(tmp_path / "in", ("a.image.npy", buffer.getvalue()), ("a.labels.npy", LABELS))
            )
        )


def image(path: Path, *, bands: int = 1, side: int = 8, dtype: str = "uint8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, np.ones((bands, side, side), dtype))


def test_all_mismatches_of_folders_are_listed_at_once(tmp_path: Path, fingerprint: Any) -> None:
    for stem, bands, side in (("a", 3, 8), ("b", 3, 8), ("c", 2, 8), ("d", 3, 8)):
        image(tmp_path / "trn" / "images" / f"{stem}.tif", bands=bands, side=side)
    for stem, side in (("a", 8), ("c", 8), ("d", 9), ("e", 8)):
        image(tmp_path / "trn" / "masks" / f"{stem}.tif", side=side)
    before = fingerprint(tmp_path)
    with pytest.raises(DataError, match="4 mismatches") as found:
        FORMATS["folders"].read(tmp_path)
    for told in ("images/b.tif has no mask", "masks/e.tif has no image", "d.tif is 9 x 9", "c.tif has 2 bands"):
        assert told in found.value.message
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("layout", ["{s}_frames {s}_masks", "{s}_frames/{s} {s}_masks/{s}", "images/{s} masks/{s}",
                                    "{s}/images {s}/labels"])  # fmt: skip
def test_the_layouts_of_folders(layout: str, tmp_path: Path, fingerprint: Any) -> None:
    for split in ("train", "val"):
        images, masks = (tmp_path / part for part in layout.format(s=split).split())
        for stem in (f"{split}_0", f"{split}_1"):
            image(images / f"{stem}.tif", bands=3)
            image(masks / f"{stem}.tif")
    before = fingerprint(tmp_path)
    back = list(FORMATS["folders"].read(tmp_path))
    assert [(s.split, s.name) for s in back] == [
        ("trn", "train_0"),
        ("trn", "train_1"),
        ("val", "val_0"),
        ("val", "val_1"),
    ]
    assert fingerprint(tmp_path) == before


def test_png_masks_go_with_tif_images(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.tif", bands=4, dtype="uint16")
    (tmp_path / "masks").mkdir()
    with rasterio.open(
        tmp_path / "masks" / "a.png", "w", driver="PNG", count=1, height=8, width=8, dtype="uint8"
    ) as out:
        out.write(np.full((1, 8, 8), 255, "uint8"))
    sample = next(iter(FORMATS["folders"].read(tmp_path)))
    assert (sample.split, sample.image.shape, int(sample.labels.max())) == ("trn", (4, 8, 8), 255)


def hdf5_text(path: Path, name: str, text: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "trn_samples.hdf5", "a") as f:
        f[name][0, 0] = text


@pytest.mark.parametrize("text", ["__import__('os').system('touch pwned')", "open('x')", "(lambda: 1)()", "[].append(1)",
                                  "CRS.from_epsg(__import__('os'))", "Affine(*x)", "a.b", "{" * 300, "9" * 6000 + "("])  # fmt: skip
@pytest.mark.parametrize("name", ["metadata", "sample_metadata", "params"])
def test_texts_of_hdf5_are_never_run(name: str, text: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    out = FORMATS["hdf5"].write(made(2, splits=("trn",)), tmp_path / "out")
    hdf5_text(out, name, text)
    with pytest.raises(DataError, match=r"trn_samples\.hdf5") as found:
        list(FORMATS["hdf5"].read(out))
    assert found.value.code == "format-unsafe"


def test_hdf5_as_geo_deep_learning_writes_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    pixels, ids = rng.integers(0, 9999, (5, 6, 6, 4)).astype("u2"), rng.integers(-1, 3, (5, 6, 6)).astype("i2")
    header = "{'driver': 'GTiff', 'nodata': nan, 'crs': CRS.from_epsg(32618), 'transform': Affine(0.5, 0.0, 100.0,\n 0.0, -0.5, 200.0)}"
    with h5py.File(tmp_path / "val_samples.hdf5", "w") as f:
        f["sat_img"], f["map_img"], f["meta_idx"] = pixels, ids, np.zeros((5, 1), "i2")
        for name, rows in (("metadata", [header]), ("params", ["{'training': {'ignore_index': 255, 'lr': 0.1}}"]),
                           ("sample_metadata", [f"{{'sample_indices': ({i * 6}, 2)}}" for i in range(5)])):  # fmt: skip
            f.create_dataset(name, data=[[r] for r in rows], dtype=h5py.string_dtype())
    samples = FORMATS["hdf5"].read(tmp_path)
    back = list(samples)
    assert samples.facts.ignore == 255
    assert {s.split for s in back} == {"val"}
    assert np.array_equal(np.stack([s.image for s in back]), pixels.transpose(0, 3, 1, 2))
    assert np.array_equal(np.stack([s.labels for s in back]), np.where(ids < 0, 255, ids))
    grid = back[2].grid
    assert grid is not None
    assert (grid.transform.c, grid.transform.f) == (101.0, 194.0)
    assert "UTM zone 18N" in str(grid.crs)


@pytest.mark.parametrize(
    ("stated", "most", "dtype"),
    [(["uint8"], 255, "uint8"), (["uint8", "uint8"], 9, "uint8"), (["uint8"], 256, "uint16"), (["uint8", "uint16"], 9, "uint16"),
     (["uint16"], 9, "uint16"), ([], 9, "uint16")],
)  # fmt: skip
def test_bytes_that_geo_deep_learning_stored_as_words_are_bytes_again(
    stated: list[str], most: int, dtype: str, tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    pixels = np.random.default_rng(0).integers(0, most, (3, 4, 4, 2), endpoint=True).astype("u2")
    pixels[1, 2, 3, 0] = most
    with h5py.File(tmp_path / "trn_samples.hdf5", "w") as f:
        f["sat_img"], f["map_img"] = pixels, np.zeros((3, 4, 4), "i2")
        rows = [[f"{{'driver': 'GTiff', 'dtype': '{d}', 'count': {n}}}"] for n, d in enumerate(stated)]
        f.create_dataset("metadata", (len(rows), 1), data=rows or None, dtype=h5py.string_dtype())
    samples = FORMATS["hdf5"].read(tmp_path)
    assert samples.facts.dtype == dtype
    assert bool(samples.notes) == (dtype == "uint8")
    assert np.array_equal(np.stack([s.image for s in samples]), pixels.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("name", FORMATS)
def test_the_order_of_bytes_does_not_matter(name: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 8, 8, 2)).astype(">u2")
    (tmp_path / "old").mkdir()
    with h5py.File(tmp_path / "old" / "trn_samples.hdf5", "w") as f:
        f["sat_img"], f["map_img"] = pixels, np.tile(np.array([0, 1], ">i2"), (2, 8, 4))
    out = FORMATS[name].write(FORMATS["hdf5"].read(tmp_path / "old"), tmp_path / "new")
    back = list(FORMATS[name].read(out))
    assert np.array_equal(np.stack([s.image for s in back]), pixels.transpose(0, 3, 1, 2))
    assert all(np.array_equal(s.labels, np.tile([0, 1], (8, 4))) for s in back)


def test_literals() -> None:
    assert parse_literal("{'a': (1, -2.5, None), 'b': [True, 'x']}") == {"a": (1, -2.5, None), "b": [True, "x"]}
    assert parse_literal("CRS.from_dict(init='epsg:4326')") == {"crs": {"init": "epsg:4326"}}


def test_lmdb_as_nist_writes_it(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    pixels, mask = np.arange(12, dtype="<u2").reshape(3, 4), np.eye(3, 4, dtype="u1")
    record = encode([(1, 1), (2, 3), (3, 4), (4, b"<u2"), (5, b"|u1"), (6, pixels.tobytes()), (7, mask.tobytes()),
                     (8, b"\0\1")])  # fmt: skip
    with (
        lmdb.open(str(tmp_path / "test-HES.lmdb"), map_size=1 << 20) as environment,
        environment.begin(write=True) as change,
    ):
        change.put(b"img_000580_i0_j256:0,1", record)
        change.put(b"whole:0", record)
    back = list(FORMATS["lmdb"].read(tmp_path))
    assert [(s.name, s.split) for s in back] == [("img_000580_i0_j256", "tst"), ("whole", "tst")]
    assert np.array_equal(back[0].image[0], pixels)
    assert np.array_equal(back[0].labels, mask)


@pytest.mark.parametrize("record", [b"\xff", encode([(1, 1), (2, 3), (3, 4), (4, b"O"), (5, b"|u1")]),
                                    encode([(1, 1), (2, 3), (3, 4), (4, b"|u1"), (5, b"|u1"), (6, b"x"), (7, b"y")]),
                                    encode([(1, b"1")]), encode([(2, -1), (4, b"|u1"), (5, b"|u1")]), b""])  # fmt: skip
def test_records_that_are_no_pair_of_image_and_mask(record: bytes, tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "train-a.lmdb"), map_size=1 << 20) as environment,
        environment.begin(write=True) as change,
    ):
        change.put(b"stem:1", record)
    with pytest.raises(DataError, match="record stem"):
        list(FORMATS["lmdb"].read(tmp_path))


def test_the_map_of_lmdb_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmdb")
    from swath.disk.formats import lmdb as module

    monkeypatch.setattr(module, "_FIRST_MAP", 1 << 16)
    sent = made(40, side=64, bands=4)
    out = FORMATS["lmdb"].write(sent, tmp_path / "out")
    same(FORMATS["lmdb"].read(out), sent, FORMATS["lmdb"].keeps)
    assert sum(f.stat().st_blocks * 512 for f in out.rglob("data.mdb")) < 8_000_000


@pytest.mark.parametrize("at", [0, 9, 40, -1])
def test_a_flipped_byte_of_a_record_is_found(at: int, tmp_path: Path) -> None:
    out = FORMATS["tfrecords"].write(made(2, splits=("trn",)), tmp_path / "out")
    file = out / "train" / "0.records"
    data = bytearray(file.read_bytes())
    data[at] ^= 8
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"0\.records: record [01]"):
        list(FORMATS["tfrecords"].read(out))


def test_a_known_record(tmp_path: Path) -> None:
    """`b"abc"` framed: the length, its masked CRC, the bytes and theirs."""
    with (tmp_path / "a").open("wb") as f:
        write_record(f, b"abc")
    assert struct.unpack("<Q", (tmp_path / "a").read_bytes()[:8]) == (3,)
    assert list(read_records(tmp_path / "a")) == [b"abc"]


@pytest.mark.parametrize("data", [b"\xff", encode([(1, 7), (4, b"x")]), encode([(1, 1), (4, b"x")]), encode([(4, 3)])])
def test_what_is_no_tensor(data: bytes) -> None:
    with pytest.raises(DataError, match="here"):
        tensor_array(data, "here")


def test_unequal_counts_of_patches_are_told(tmp_path: Path) -> None:
    write_raster(tmp_path / "image.tif", np.ones((2, 24, 8), "uint8"))
    write_raster(tmp_path / "labels.tif", np.ones((1, 16, 8), "uint8"))
    with pytest.raises(DataError, match=r"hold 2 patches of labels, image\.tif 3 patches"):
        FORMATS["patches-images"].read(tmp_path)


def stacked(folder: Path, *names: str, count: int = 3) -> None:
    """Patches-images and labels whose values are their number in the list."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        write_raster(folder / f"{name}.tif", np.full((1, 8 * count, 8), number % 2 if "label" in name else number, "uint8"))


def test_patches_of_a_source_of_any_name_pair_by_number(tmp_path: Path) -> None:
    stacked(tmp_path, "xs_1", "labels_1", "xs_2", "labels_2", "xs_12", "labels_12")
    samples = list(FORMATS["patches-images"].read(tmp_path))
    assert [int(s.image[0, 0, 0]) for s in samples] == [0] * 3 + [4] * 3 + [2] * 3


@pytest.mark.parametrize("names", [
    ("xs_1", "pan_1", "labels_1"), ("xs_1", "labels_1", "labels-1"), ("xs_1", "xs_2", "labels_1", "labels_3"),
])  # fmt: skip
def test_patches_that_do_not_pair_are_listed(names: tuple[str, ...], tmp_path: Path) -> None:
    stacked(tmp_path, *names)
    with pytest.raises(DataError, match=r"labels do not pair: .*; name them image_1\.tif") as caught:
        FORMATS["patches-images"].read(tmp_path)
    alone = set(names) - ({"xs_1", "labels_1"} if "xs_2" in names else set())
    assert all(f"{n}.tif" in caught.value.message for n in alone)


def test_labels_of_one_value_per_patch(tmp_path: Path) -> None:
    write_raster(tmp_path / "source1.tif", np.arange(3 * 64, dtype="uint8").reshape(1, 24, 8))
    write_raster(tmp_path / "labels.tif", np.array([[[4], [0], [9]]], "uint8"))
    samples = FORMATS["patches-images"].read(tmp_path)
    assert [np.unique(s.labels).tolist() for s in samples] == [[4], [0], [9]]
    assert samples.notes


@pytest.mark.parametrize(("key", "value"), [("channel_names", ["a"]), ("labels", {"roof": [1, 2]}), ("numTraining", 9),
                                            ("file_ending", ".nii.gz"), ("labels", {"a": 0, "b": -4})])  # fmt: skip
def test_a_dataset_json_that_does_not_fit(key: str, value: Any, tmp_path: Path) -> None:
    out = FORMATS["nnunet"].write(made(3), tmp_path / "out")
    about = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps({**about, key: value}))
    with pytest.raises(DataError, match="out"):
        list(FORMATS["nnunet"].read(out))


def test_nnunet_by_others_keeps_names_and_ignores(tmp_path: Path) -> None:
    out = FORMATS["nnunet"].write(made(6, ids=(3, 9)), tmp_path / "out")
    about = json.loads((out / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "kind of 3": 1, "kind of 9": 2, "ignore": 3}
    (out / "swath.json").unlink()
    facts = FORMATS["nnunet"].read(out).facts
    assert facts.legend is not None
    assert facts.legend.names == ("background", "kind of 3", "kind of 9")
    assert facts.ignore == 3


def test_missing_channels_are_listed(tmp_path: Path) -> None:
    out = FORMATS["nnunet"].write(made(6), tmp_path / "out")
    files = sorted((out / "labelsTr").iterdir())
    files[0].unlink()
    for file in (out / "imagesTr").glob(f"{files[1].stem}_*"):
        file.unlink()
    with pytest.raises(DataError, match="2 mismatches"):
        FORMATS["nnunet"].read(out)


def test_samples_of_several_sizes(tmp_path: Path) -> None:
    small, large = list(made(2, side=4)), list(made(2, side=6))
    sent = replace(made(2), stream=lambda: iter([small[0], replace(large[0], name="b")]))
    for name in ("folders", "webdataset", "lmdb", "tfrecords", "nnunet"):
        assert len(list(FORMATS[name].read(FORMATS[name].write(sent, tmp_path / name)))) == 2
    for name in ("hdf5", "patches-images"):
        with pytest.raises(DataError, match="choose folders"):
            FORMATS[name].write(sent, tmp_path / name)


def test_tensorflow_reads_the_records(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    sent = made(5, splits=("trn",), dtype="uint16")
    out = FORMATS["tfrecords"].write(sent, tmp_path / "out") / "train"
    types = json.loads((out / "output_types.json").read_text())
    records = tf.data.TFRecordDataset(sorted(map(str, out.glob("*.records"))))
    wanted = {k: tf.io.FixedLenFeature([], tf.string) for k in types}
    for record, sample in zip(records, sent, strict=True):
        parsed = tf.io.parse_single_example(record, wanted)
        found = {k: tf.io.parse_tensor(parsed[k], types[k]).numpy() for k in types}
        assert np.array_equal(found["image"], sample.image.transpose(1, 2, 0))
        assert np.array_equal(found["labels"][:, :, 0], sample.labels)
        assert tensor_proto(found["image"]) == tf.io.serialize_tensor(found["image"]).numpy()
    shutil.rmtree(out)


def test_channels_that_differ_are_told(tmp_path: Path) -> None:
    out = FORMATS["nnunet"].write(made(3), tmp_path / "out")
    channel = out / "imagesTr" / "town_i0_j0_0001.tif"
    write_raster(channel, np.zeros((1, 4, 5), np.uint16))
    with pytest.raises(DataError, match=r"j0_0001\.tif: is 5 x 4 pixels of uint16, its first channel 12 x 12 pixels of uint16"):
        list(FORMATS["nnunet"].read(out))


@pytest.mark.parametrize("name", FORMATS)
def test_no_flipped_bit_gives_other_samples(name: str, tmp_path: Path) -> None:
    """Whatever bit is changed: what Swath wrote comes back, or an error; layouts without checksums have one in the card."""
    sent = made(4, splits=("trn", "tst"), side=8)
    out = FORMATS[name].write(sent, tmp_path / "out")
    wanted = contents(FORMATS[name].read(out))
    rng = np.random.default_rng(1)
    refused = 0
    for file in sorted(f for f in out.rglob("*") if f.is_file()):
        whole = file.read_bytes()
        for at in rng.integers(0, len(whole), 12).tolist():
            damaged = bytearray(whole)
            damaged[at] ^= 1 << int(rng.integers(0, 8))
            file.write_bytes(damaged)
            try:
                assert contents(FORMATS[name].read(out)) == wanted
            except DataError:
                refused += 1
        file.write_bytes(whole)
    assert refused
    assert contents(FORMATS[name].read(out)) == wanted


def contents(samples: ForeignSamples) -> list[tuple[str, bytes, bytes]]:
    return sorted((s.split, s.image.tobytes(), s.labels.tobytes()) for s in samples)


def test_the_card_tells_when_samples_were_changed(tmp_path: Path) -> None:
    out = FORMATS["folders"].write(made(3, splits=("trn",)), tmp_path / "out")
    mask = out / "trn" / "masks" / "town_i0_j0.tif"
    write_raster(mask, np.ones((1, 12, 12), np.uint8))
    with pytest.raises(DataError, match=r"their checksum differs; put back what was written, or remove swath\.json"):
        list(FORMATS["folders"].read(out))
    (out / "swath.json").unlink()
    assert any((s.labels == 1).all() for s in FORMATS["folders"].read(out))


def test_names_that_differ_by_a_dot_are_two_members(tmp_path: Path) -> None:
    sent = made(2, splits=("trn",))
    named = [replace(s, name=n) for s, n in zip(sent, ("a.b", "a_b"), strict=True)]
    out = FORMATS["webdataset"].write(replace(sent, stream=lambda: iter(named)), tmp_path / "out")
    assert [s.name for s in FORMATS["webdataset"].read(out)] == ["a.b", "a_b"]
    with tarfile.open(out / "trn-000000.tar") as members:
        assert {m.split(".")[0] for m in members.getnames()} == {"a_b", "a_b_2"}


@pytest.mark.parametrize(("dtype", "wide"), [("float16", "float32"), ("bool", "uint8")])
def test_types_that_no_raster_has_are_widened(dtype: str, wide: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    image = (np.random.default_rng(0).normal(0, 9, (4, 8, 8, 2)) if dtype == "float16" else np.eye(8)[None, ..., None] * np.ones(2)).astype(dtype)
    image = np.broadcast_to(image, (4, 8, 8, 2))
    (tmp_path / "old").mkdir()
    with h5py.File(tmp_path / "old" / "trn_samples.hdf5", "w") as sink:
        sink["sat_img"], sink["map_img"] = image, np.tile(np.int16([0, 1]), (4, 8, 4))
    samples = FORMATS["hdf5"].read(tmp_path / "old")
    assert samples.notes == (f"{dtype} pixels are held as {wide}, which changes no value",)
    for name in FORMATS:
        out = FORMATS[name].write(samples, tmp_path / name)
        back = [s.image for s in FORMATS[name].read(out)]
        assert all(b.dtype == wide for b in back)
        assert np.array_equal(np.stack(back), image.transpose(0, 3, 1, 2).astype(wide))


def test_stems_are_unique_whatever_the_names() -> None:
    sample, stems = next(iter(made(1))), Stems()
    names = ["a_2", "a", "A", "a", "a_2", "a", "a/b", "a b"]
    found = [stems.of(replace(sample, name=n)) for n in names]
    assert found[:2] == ["a_2", "a"]
    assert len({s.lower() for s in found}) == len(names)
    assert len({stems.of(replace(sample, name="same")) for _ in range(5000)}) == 5000
    assert stems.of(replace(sample, name="a", split="tst")) == "a"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_samples_of_one_name_all_come_back(name: str, tmp_path: Path) -> None:
    sent = made(6, splits=("trn", "val"))
    alike = [replace(s, name="one", labels=np.zeros_like(s.labels)) for s in sent]
    out = FORMATS[name].write(replace(sent, stream=lambda: iter(alike)), tmp_path / "out")
    back = FORMATS[name].read(out)
    assert contents(back) == sorted((s.split, s.image.tobytes(), s.labels.tobytes()) for s in alike)
