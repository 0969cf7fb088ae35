"""An output appears under its final name only when it is whole and verified; whatever goes wrong leaves nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

from swath.core.errors import DataError, ResourceError
from swath.disk import publish as module
from swath.disk.publish import (
    part_name,
    publish,
    publish_bytes,
    publish_json,
    publish_text,
    require_space,
    sweep,
)

SOURCE = Path(module.__file__).parents[2]


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def raising(error: BaseException) -> Callable[[Path], None]:
    """A writer that writes half and then fails."""

    def write(part: Path) -> None:
        part.write_bytes(b"half")
        raise error

    return write


def test_bytes_text_and_json_are_written_as_they_are(tmp_path: Path) -> None:
    assert publish_bytes(tmp_path / "new" / "folder" / "a.bin", b"\0\xff").read_bytes() == b"\0\xff"
    assert publish_text(tmp_path / "a.txt", "é\n").read_bytes() == b"\xc3\xa9\n"
    assert publish_json(tmp_path / "a.json", {"b": 1, "a": "é"}).read_text("utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    assert listing(tmp_path) == ["a.json", "a.txt", "new"]


def test_bytes_that_the_disk_changes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: real(path, data[:-1] + b"?"))
    with pytest.raises(DataError, match="the bytes read back differ"):
        publish_bytes(tmp_path / "a.bin", b"abc")
    assert listing(tmp_path) == []


def test_json_holds_no_nan_and_then_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        publish_json(tmp_path / "a.json", {"a": float("nan")})
    assert listing(tmp_path) == []


def test_the_writer_gets_a_hidden_name_beside_the_target_with_its_extension(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(part: Path) -> None:
        seen.append(part)
        part.write_bytes(b"x")

    assert publish(tmp_path / "map.tif", write) == tmp_path / "map.tif"
    (part,) = seen
    assert part.parent == tmp_path
    assert part.suffix == ".tif"
    assert part.name.startswith(f".map.{os.getpid()}-")
    assert part_name(tmp_path / "map.tif") != part_name(tmp_path / "map.tif")
    assert listing(tmp_path) == ["map.tif"]


def test_the_old_file_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    target = publish_text(tmp_path / "a.txt", "old")
    during: list[str] = []

    def write(part: Path) -> None:
        part.write_bytes(b"new")
        during.append(target.read_text())

    publish(target, write, verify=lambda part: during.append(target.read_text()))
    assert during == ["old", "old"]
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [DataError("x", "y", "z"), KeyboardInterrupt(), ValueError("no"), SystemExit(3)])
@pytest.mark.parametrize("stage", ["write", "verify"])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failure_leaves_nothing_and_the_old_file_as_it_was(
    tmp_path: Path, error: BaseException, stage: str, old: str | None
) -> None:
    target = tmp_path / "a.txt"
    if old:
        publish_text(target, old)
    write = raising(error) if stage == "write" else lambda part: part.write_bytes(b"whole")
    verify = raising(error) if stage == "verify" else None
    with pytest.raises(type(error)):
        publish(target, write, verify=verify)
    assert listing(tmp_path) == (["a.txt"] if old else [])
    assert not old or target.read_text() == old


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    publish_text(tmp_path / "a.txt", "old")
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "a.txt", lambda part: None)
    assert (tmp_path / "a.txt").read_text() == "old"


def test_sidecars_of_a_failed_writer_go_with_it(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        for end in ("", ".aux.xml", "-journal", "-wal", "-shm"):
            Path(f"{part}{end}").write_bytes(b"x")
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        publish(tmp_path / "a.gpkg", write)
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (errno.ENOSPC, "disk-full", r"the disk is full \(needs 3\.0 MB, [\d,.]+ MB free\)"),
        (errno.EDQUOT, "disk-full", r"MB free"),
        (errno.EFBIG, "disk-full", r"MB free"),
        (errno.EACCES, "not-writable", "cannot write .Permission denied"),
        (errno.EPERM, "not-writable", "cannot write"),
        (errno.EROFS, "not-writable", "Read-only"),
        (errno.EIO, "not-writable", "Input/output error"),
    ],
)
def test_failures_of_the_disk_are_resource_errors(tmp_path: Path, number: int, code: str, told: str) -> None:
    target = tmp_path / "a.tif"
    with pytest.raises(ResourceError, match=told) as error:
        publish(target, raising(OSError(number, os.strerror(number))), expected_bytes=3_000_000)
    assert error.value.code == code
    assert error.value.exit_code == 5
    assert error.value.where == str(target)
    assert error.value.fix
    assert listing(tmp_path) == []


def test_other_failures_of_the_system_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        publish(tmp_path / "a.tif", raising(OSError(errno.EMFILE, os.strerror(errno.EMFILE))))
    assert listing(tmp_path) == []


def test_more_than_is_free_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    written: list[Path] = []
    with pytest.raises(ResourceError, match=r"needs 1,000,000,000,000\.0 MB, [\d,.]+ MB are free") as error:
        publish(tmp_path / "a.tif", written.append, expected_bytes=10**18)
    assert error.value.exit_code == 5
    assert written == []
    require_space(tmp_path / "a.tif", 1)


@pytest.mark.parametrize("target", ["file", "file/a.txt", "file/deep/a.txt", "folder"])
def test_a_file_or_folder_in_the_way_is_a_resource_error(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"in the way")
    is_folder = target == "file"
    with pytest.raises(ResourceError, match="cannot write") as error:
        publish(tmp_path / target, (lambda part: part.mkdir()) if is_folder else (lambda part: part.write_bytes(b"x")))
    assert error.value.exit_code == 5
    assert listing(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"in the way"


def write_folder(content: str) -> Callable[[Path], None]:
    def write(part: Path) -> None:
        (part / "inner").mkdir(parents=True)
        (part / "inner" / "a.txt").write_bytes(content.encode())
        (part / f"{content}.txt").write_bytes(content.encode())

    return write


def test_a_folder_is_published_and_replaced_whole(tmp_path: Path) -> None:
    target = publish(tmp_path / "bundle", write_folder("one"))
    assert listing(target) == ["inner", "one.txt"]
    publish(target, write_folder("two"), verify=lambda part: (part / "two.txt").read_bytes())
    assert listing(target) == ["inner", "two.txt"]
    assert (target / "inner" / "a.txt").read_text() == "two"
    assert listing(tmp_path) == ["bundle"]


def test_a_folder_that_cannot_be_replaced_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = publish(tmp_path / "bundle", write_folder("one"))
    real, calls = os.replace, []

    def failing(source: str | Path, destination: str | Path) -> None:
        calls.append(destination)
        if Path(destination) == target and len(calls) <= 2:
            raise OSError(errno.EIO, "broken")
        real(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ResourceError, match="broken"):
        publish(target, write_folder("two"))
    assert listing(target) == ["inner", "one.txt"]
    assert listing(tmp_path) == ["bundle"]


def test_a_folder_whose_verification_fails_stays_as_it_was(tmp_path: Path) -> None:
    target = publish(tmp_path / "bundle", write_folder("one"))
    with pytest.raises(DataError):
        publish(target, write_folder("two"), verify=raising_of_folder)
    assert listing(target) == ["inner", "one.txt"]
    assert listing(tmp_path) == ["bundle"]


def raising_of_folder(part: Path) -> None:
    raise DataError("unverified", part, "not what was written")


DEAD = 2**22 + 1  # beyond the largest number that Linux gives a process: never one that began meanwhile


def test_the_sweep_takes_stale_parts_only(tmp_path: Path) -> None:
    ends = ("part.tif", "part", "part.gpkg-journal")
    stale = [f".a.b.{DEAD}-0123abcd.{end}" for end in ends]
    mine = [f".a.{os.getpid()}-0123abcd.part.tif", ".a.1-0123abcd.part.tif"]
    others = ["a.tif", ".hidden", ".film.part", ".notes.partial", ".thesis.part2.docx", f".a.{DEAD}.part.txt"]
    for name in (*stale, *mine, *others):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / f".run.{DEAD}-0123abcd.part").mkdir()
    (tmp_path / f".run.{DEAD}-0123abcd.part" / "inner").write_bytes(b"x")
    assert sweep(tmp_path) == 4
    assert listing(tmp_path) == sorted([*mine, *others])
    assert sweep(tmp_path) == 0


def test_the_sweep_leaves_what_another_user_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose processes may be hidden in /proc."""
    (tmp_path / f".a.{DEAD}-0123abcd.part.tif").write_bytes(b"x")
    (tmp_path / f".a.{10**30}-0123abcd.part.tif").write_bytes(b"x")

    def refused(process: int, signal: int) -> None:
        raise OverflowError if process > DEAD else PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert sweep(tmp_path) == 1
    assert listing(tmp_path) == [f".a.{DEAD}-0123abcd.part.tif"]


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that order: parts flushed, renamed, the directory flushed."""
    done: list[tuple[str, str]] = []
    replace = os.replace

    def renamed(part: Path, target: Path) -> None:
        done.append(("rename", target.name))
        replace(part, target)

    monkeypatch.setattr(os, "fsync", lambda fd: done.append(("flush", Path(os.readlink(f"/proc/self/fd/{fd}")).name)))
    monkeypatch.setattr(os, "replace", renamed)
    publish_bytes(tmp_path / "a.bin", b"a")
    flushed, *rest = done
    assert flushed[0] == "flush"
    assert flushed[1].startswith(".a.")
    assert rest == [("rename", "a.bin"), ("flush", tmp_path.name)]
    done.clear()
    publish(tmp_path / "folder", write_folder("b"))
    *flushed, part, renamed_to, above = done
    assert sorted(flushed) == [("flush", "a.txt"), ("flush", "b.txt"), ("flush", "inner")]
    assert part[1].startswith(".folder.")
    assert (renamed_to, above) == (("rename", "folder"), ("flush", tmp_path.name))


def test_the_sweep_of_an_absent_folder_finds_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent") == 0


KILLED = """
import sys, time
from pathlib import Path
from swath.disk.publish import publish

def write(part):
    if sys.argv[2] == "folder":
        part.mkdir()
        part = part / "inner"
    with part.open("wb") as file:
        file.write(b"half")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)

publish(Path(sys.argv[1]), write)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("old", [False, True])
def test_kill_9_leaves_no_final_file_and_the_next_sweep_cleans(tmp_path: Path, kind: str, old: bool) -> None:
    target = tmp_path / "out"
    if old:
        publish(target, write_folder("old") if kind == "folder" else lambda part: part.write_bytes(b"old"))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target), kind],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert sweep(tmp_path) == 0
        process.send_signal(signal.SIGKILL)
    assert len(listing(tmp_path)) == 1 + old
    assert target.exists() == old
    assert sweep(tmp_path) == 1
    assert listing(tmp_path) == ["out"] * old
    if old:
        whole = (target / "old.txt" if kind == "folder" else target).read_bytes()
        assert whole == b"old"


def test_errors_of_a_writer_with_room_left_are_its_own(tmp_path: Path) -> None:
    for error in (RuntimeError("a bug"), rasterio.errors.RasterioIOError("bad option")):
        with pytest.raises(type(error)):
            publish(tmp_path / "a.tif", raising(error))
    assert listing(tmp_path) == []
