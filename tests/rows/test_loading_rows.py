"""Acceptance checks on stores, loaders and plug-ins: readers and networks of one's own; names carry the rows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from made_samples import made

import swath
from swath.cli import main
from swath.core.errors import DataError
from swath.disk.formats import FORMATS
from swath.disk.stores.store import StoreSamples

pytest_plugins = ["fixtures_run"]
READER = '''
import numpy as np
import swath

class Own:
    """A reader of .npy files of (bands, rows, columns): half-metre pixels, 0 is nodata."""
    names = ("red", "green", "blue")
    dtype = "uint16"

    def __init__(self, location, east=583000.0):
        from affine import Affine
        self.pixels = np.load(location, mmap_mode="r")
        grid = Affine(0.5, 0, east, 0, -0.5, 4507000)
        self.grid = swath.Grid(CRS, grid, *self.pixels.shape[1:])

    def read(self, window):
        out = np.zeros((3, window.height, window.width), self.dtype)
        part = self.pixels[:, max(window.row, 0):window.row_end, max(window.col, 0):window.col_end]
        top, left = max(-window.row, 0), max(-window.col, 0)
        out[:, top:top + part.shape[1], left:left + part.shape[2]] = part
        return out, out[0] > 0
'''
BROKEN = """
class NoRead:
    dtype = "uint8"
class Kind:
    dtype = "uint7"
    def read(self, window):
        return None
class Flat:
    dtype = "float32"
    def read(self, window):
        import numpy as np
        return np.zeros(window.shape, "float32")
class Fails:
    dtype = "uint8"
    def read(self, window):
        raise KeyError("block 7")
def no_read(location): return NoRead()
def fails(location): return Fails()
def more(location, level): return Flat()
def kind(location): return Kind()
def flat(location): return Flat()
"""
NETS = """
import torch
class Net(torch.nn.Module):
    stride = 1
    def __init__(self, bands, classes, last):
        super().__init__()
        self.conv, self.last = torch.nn.Conv2d(bands, classes, 3, padding=1), last
    def forward(self, x):
        return self.last(self.conv(x))
def whole(bands, classes): return Net(bands, classes, lambda y: y)
def vector(bands, classes): return Net(bands, classes, lambda y: y.mean((2, 3)))
def half(bands, classes): return Net(bands, classes, lambda y: y[:, :, ::2, ::2])
def more(bands, classes): return Net(bands, classes + 2, lambda y: y)
def pair(bands, classes): return Net(bands, classes, lambda y: (y, y))
def other(bands, classes): return Net(bands + 1, classes, lambda y: y)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a user's modules on the path; forgotten afterwards."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_otb_029_a_reader_of_twenty_lines_trains_and_predicts(own_town: Path, modules: Path, tmp_path: Path) -> None:
    with rasterio.open(own_town.parent / "north.tif") as source:
        crs, pixels, transform = source.crs.to_wkt(), source.read(), source.transform
    (modules / "own_reader.py").write_text(f"{READER}\nCRS = {crs!r}\n")
    assert len(READER.strip().splitlines()) <= 21
    pixels[:, :4, :4] = 0
    np.save(own_town.parent / "north.npy", pixels)
    (own_town.parent / "own.csv").write_text("image,labels\nnorth.npy,north.gpkg\n")
    words = ("scenes=own.csv", f"sources={{image: {{reader: 'own_reader:Own', options: {{east: {transform.c}}}}}}}", "split.buffer=0",
             "train.steps=4", "train.evaluations=1")  # fmt: skip
    made_store = swath.sample(own_town, *words)
    samples = StoreSamples(Path(made_store["store"]), "trn")
    box = samples.places[0].read
    assert np.array_equal(samples.read(0).image, pixels[:, box.row : box.row_end, box.col : box.col_end])
    trained = swath.train(own_town, *words)
    mapped = swath.predict(trained["run"], own_town.parent / "own.csv", out=tmp_path / "maps")
    with rasterio.open(mapped["maps"][0]["map"]) as source:
        assert source.shape == pixels.shape[1:]
        assert source.transform == transform
        assert (source.read(1)[:4, :4] == source.nodata).all()


@pytest.mark.parametrize(
    ("function", "told"),
    [("fails", "raised KeyError: 'block 7' (wrong_readers.py, line "), ("more", "raised TypeError: more() missing 1 required"),
     ("no_read", "gives NoRead, which has no read(window)"), ("kind", "has the dtype 'uint7', no type of NumPy"),
     ("flat", "read gave (32, 32) for a window of (32, 32), (1, 32, 32) is expected")],
)  # fmt: skip
def test_otb_052_a_wrong_reader_is_one_line(
    function: str, told: str, own_town: Path, modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (modules / "wrong_readers.py").write_text(BROKEN)
    words = ["sample", str(own_town), f"sources={{image: {{}}, own: {{reader: 'wrong_readers:{function}'}}}}"]
    assert main(words) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0].replace("(96, 96)", "(32, 32)").replace("(1, 96, 96)", "(1, 32, 32)")


@pytest.mark.parametrize(
    ("function", "told"),
    [("vector", "gives (1, 2) for an input of (1, 3, 64, 64); (1, 2, 64, 64) is expected"),
     ("half", "gives (1, 2, 32, 32) for"), ("more", "gives (1, 4, 64, 64) for"), ("pair", "gives tuple for"),
     ("other", "own_nets:other on an input of (1, 3, 64, 64): raised RuntimeError")],
)  # fmt: skip
def test_otb_052_a_network_of_another_rank_is_told_with_both_shapes(
    function: str, told: str, own_town: Path, modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (modules / "own_nets.py").write_text(NETS)
    plain = own_town.read_text().replace("model: {depth: 2, width: 4}\n", "")
    own_town.write_text(plain)
    assert main(["train", str(own_town), "train.steps=2", "train.evaluations=1", f"model.name=own_nets:{function}"]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 1
    assert told in lines[-1]
    assert not (own_town.parent / "runs" / "roofs" / "best").exists()


def test_a_network_of_ones_own_trains(own_town: Path, modules: Path) -> None:
    (modules / "own_nets.py").write_text(NETS)
    own_town.write_text(own_town.read_text().replace("model: {depth: 2, width: 4}\n", ""))
    trained = swath.train(own_town, "train.steps=2", "train.evaluations=1", "model.name=own_nets:whole")
    assert Path(trained["bundle"]).is_dir()


def test_otb_035_and_trap_43_no_sample_of_250_is_lost_on_the_way_to_shards_and_back(tmp_path: Path) -> None:
    FORMATS["folders"].write(made(250, side=8, bands=1, splits=("trn",)), tmp_path / "folders")
    store = swath.convert(tmp_path / "folders", tmp_path / "one.store", to="store")
    shards = swath.convert(tmp_path / "one.store", tmp_path / "shards", to="tfrecords")
    assert len(list((tmp_path / "shards" / "train").glob("*.records"))) == 3
    back = swath.convert(tmp_path / "shards", tmp_path / "two.store", to="store")
    assert store["samples"] == shards["samples"] == back["samples"] == {"trn": 250, "val": 0, "tst": 0}
    mine, theirs = (StoreSamples(tmp_path / f"{n}.store", "trn") for n in ("one", "two"))
    found = [{s.read(i).image.tobytes() + s.read(i).labels.tobytes() for i in range(250)} for s in (mine, theirs)]
    assert found[0] == found[1]
    loader = swath.open_dataset(tmp_path / "two.store").loader(100)
    assert [len(x["scene"]) for x, _ in loader] == [100, 100, 50]


def test_otb_036_two_ranks_see_disjoint_halves_of_the_shards(tmp_path: Path) -> None:
    FORMATS["tfrecords"].write(made(25, side=8, bands=1, splits=("trn",)), tmp_path / "shards")
    swath.convert(tmp_path / "shards", tmp_path / "a.store", to="store")
    data = swath.open_dataset(tmp_path / "a.store", scaled=False)
    whole = {data[i]["image"].numpy().tobytes() for i in range(len(data))}
    for _ in range(2):
        parts = [{i.numpy().tobytes() for x, _ in data.loader(4, rank=r, ranks=2) for i in x["image"]} for r in range(2)]
        assert parts[0].isdisjoint(parts[1])
        assert parts[0] | parts[1] == whole
        assert sorted(map(len, parts)) == [12, 13]


def test_otb_025_the_time_spent_waiting_is_told(trained: Path, own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StoreSamples.read_into

    def slow(self: StoreSamples, *given: Any) -> None:
        time.sleep(0.005)
        plain(self, *given)

    monkeypatch.setattr(StoreSamples, "read_into", slow)
    loader = swath.open_dataset(trained.parent / "runs" / "roofs" / "samples.store").loader(4, workers=0)
    assert loader.waited == 0
    assert len(list(loader)) == len(loader)
    assert loader.waited > 0.005


def test_otb_031_and_otb_033_inputs_and_targets_with_a_key_of_a_hook(trained: Path) -> None:
    store = trained.parent / "runs" / "roofs" / "samples.store"
    hook = lambda batch: {**batch, "onehot": torch.nn.functional.one_hot(batch["labels"].clamp(max=1), 2)}  # noqa: E731
    inputs, targets = next(iter(swath.open_dataset(store).loader(2, targets=("labels", "onehot"), transform=hook)))
    assert set(inputs) == {"image", "valid", "scene"}
    assert set(targets) == {"labels", "onehot"}
    with pytest.raises(DataError, match="no target 'masks' in the batch"):  # OTB-032
        next(iter(swath.open_dataset(store).loader(2, targets=("masks",))))


def test_trap_47_negative_and_broken_numbers_keep_their_value(tmp_path: Path) -> None:
    sent = made(3, dtype="float32", splits=("trn",), masks=True)
    FORMATS["webdataset"].write(sent, tmp_path / "tar")
    swath.convert(tmp_path / "tar", tmp_path / "a.store", to="store")
    samples = StoreSamples(tmp_path / "a.store", "trn")
    known = {s.image.tobytes() for s in sent}
    assert {np.ascontiguousarray(samples.read(i).image).tobytes() for i in range(3)} == known
    assert samples.schema.dtype == "float32"
    assert min(samples.read(i).image.min() for i in range(3)) < 0


def test_nist_026_one_epoch_holds_each_sample_once_and_steps_are_endless(trained: Path) -> None:
    data = swath.open_dataset(trained.parent / "runs" / "roofs" / "samples.store", scaled=False)
    loader = data.loader(3)
    for _ in range(3):
        sums = list(chain.from_iterable(x["image"].to(torch.int64).sum((1, 2, 3)).tolist() for x, _ in loader))
        assert len(sums) == len(data)
        assert sorted(sums) == sorted(int(data[i]["image"].to(torch.int64).sum()) for i in range(len(data)))


def test_roof_059_quiet_prints_errors_only(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(own_town), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["sample", str(own_town), "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"]["trn"] > 0
    assert main(["sample", str(own_town), "sample.tile=48", "-q"]) == 5
    out, err = capsys.readouterr()
    assert (out, len(err.strip().splitlines())) == ("", 1)
    assert err.startswith("error: ")
