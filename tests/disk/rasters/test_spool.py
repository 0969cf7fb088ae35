"""A spool cut at any byte gives back whole chunks only, in order, with the pixels that were stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.core.errors import ResourceError
from swath.core.splits import Split
from swath.core.windows import Window
from swath.disk.rasters.spool import Spool
from swath.disk.stores.recordspool import RecordSpool
from swath.disk.stores.sample import Place, Sample
from swath.disk.stores.schema import Schema

SCHEMA = Schema(bands=2, dtype="uint16", side=4, labels="uint8", classes=3)


def stored(spool: Spool, heights: list[int], col: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(heights))
    row, arrays = 0, []
    for height in heights:
        arrays.append(rng.integers(0, 255, (2, height, 5), np.uint8))
        spool.append(Window(row, col, height, 5), arrays[-1])
        row += height
    return arrays


@given(heights=st.lists(st.integers(1, 6), min_size=1, max_size=6), share=st.floats(0, 1))
@settings(max_examples=60)
def test_a_torn_spool_keeps_its_whole_chunks(heights: list[int], share: float) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / ".map.spool"
        spool = Spool(path, "key", 2, "uint8")
        arrays = stored(spool, heights)
        ends = [c.position + c.size for c in spool.chunks]
        spool.close(remove=False)
        cut = int(share * path.stat().st_size)
        with path.open("r+b") as f:  # publish: damage on purpose
            f.truncate(cut)
        again = Spool(path, "key", 2, "uint8")
        whole = sum(end <= cut for end in ends)
        assert len(again.chunks) == whole
        for chunk, array in zip(again.chunks, arrays, strict=False):
            assert np.array_equal(again.read(chunk), array)
        assert again.stops().get(0, 0) == sum(heights[:whole])
        again.append(Window(again.stops().get(0, 0), 0, 1, 5), np.full((2, 1, 5), 7, np.uint8))
        assert (again.read(again.chunks[-1]) == 7).all()
        again.close(remove=True)
        assert not path.exists()


def test_a_changed_byte_ends_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ".map.spool", "key", 2, "uint8")
    stored(spool, [3, 4, 2])
    position = spool.chunks[1].position + 1
    spool.close(remove=False)
    data = bytearray((tmp_path / ".map.spool").read_bytes())
    data[position] ^= 4
    (tmp_path / ".map.spool").write_bytes(data)  # publish: damage on purpose
    again = Spool(tmp_path / ".map.spool", "key", 2, "uint8")
    assert again.stops() == {0: 3}
    again.close(remove=True)


def test_another_job_begins_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ".map.spool", "one", 2, "uint8")
    stored(spool, [3])
    spool.close(remove=False)
    other = Spool(tmp_path / ".map.spool", "two", 2, "uint8")
    assert other.stops() == {}
    other.close(remove=True)


def test_two_processes_do_not_share_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ".map.spool", "one", 2, "uint8")
    with pytest.raises(ResourceError, match="another process"):
        Spool(tmp_path / ".map.spool", "one", 2, "uint8")
    spool.close(remove=True)


def test_cut_drops_what_lies_beyond(tmp_path: Path) -> None:
    spool = Spool(tmp_path / ".map.spool", "key", 2, "uint8")
    stored(spool, [2, 2, 2])
    stored(spool, [3, 3], col=5)
    spool.cut({0: 6, 5: 3})
    assert spool.stops() == {0: 6, 5: 3}
    spool.cut({0: 2, 5: 3})
    assert spool.stops() == {0: 2}
    spool.close(remove=True)


def places(count: int) -> list[Place]:
    kinds: list[Split] = ["trn", "val"]
    return [Place(0, kinds[i % 2], Window(i, 0, 4, 4), Window(i, 0, 4, 4)) for i in range(count)]


def sample(number: int) -> Sample:
    rng = np.random.default_rng(number)
    return Sample(rng.integers(0, 999, (2, 4, 4), np.uint16), rng.integers(0, 3, (4, 4), np.uint8), np.ones((4, 4), bool))


def decide(spool: RecordSpool, until: int) -> None:
    """Decides places up to `until`: every third is dropped."""
    for n in range(spool.decided, until):
        if n % 3 == 2:
            spool.drop("class floor")
        else:
            found = sample(n)
            spool.keep(spool.schema.record(found), np.bincount(found.labels.ravel(), minlength=3))


@given(done=st.integers(0, 10), journal=st.floats(0, 1), records=st.floats(0, 1), codec=st.sampled_from(["none", "lz4"]))
@settings(max_examples=60)
def test_a_torn_journal_goes_on_to_the_same_store(done: int, journal: float, records: float, codec: str) -> None:
    schema = replace(SCHEMA, codec=codec)
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = RecordSpool(folder, schema, places(10), "key")
        decide(whole, 10)
        expected, bytes_expected = whole.index(), (folder / ".records.spool").read_bytes()
        whole.close(remove=True)
        torn = RecordSpool(folder, schema, places(10), "key")
        decide(torn, done)
        torn.close(remove=False)
        for file, share in ((".records.journal", journal), (".records.spool", records)):
            with (folder / file).open("r+b") as f:  # publish: damage on purpose
                f.truncate(int(share * (folder / file).stat().st_size))
        again = RecordSpool(folder, schema, places(10), "key")
        assert again.decided <= done
        decide(again, 10)
        assert np.array_equal(again.index(), expected)
        assert dict(again.dropped) == {"class floor": 3}
        assert (folder / ".records.spool").read_bytes() == bytes_expected
        again.close(remove=True)


def test_another_config_begins_the_journal_anew(tmp_path: Path) -> None:
    spool = RecordSpool(tmp_path, SCHEMA, places(10), "one")
    decide(spool, 5)
    spool.close(remove=False)
    other = RecordSpool(tmp_path, SCHEMA, places(10), "two")
    assert (other.decided, len(other.rows)) == (0, 0)
    with pytest.raises(ResourceError, match="another process"):
        RecordSpool(tmp_path, SCHEMA, places(10), "two")
    other.close(remove=True)
