"""Copies of remote files: what sources stand for, resumed after a break, checked, counted, and nobody's file touched."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import KEY, SECRET, Bucket, Web

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.publish import card_fault
from swath.disk.remote import replies
from swath.disk.remote.access import Remote, remote_access
from swath.disk.remote.bucket import Entry
from swath.disk.scenes import listing
from swath.progress import Progress

pytest_plugins = ["fixtures_servers"]
BYTES = np.random.default_rng(0).bytes(3_000_000)


def folder(root: Path, **files: bytes) -> Path:
    """A folder with files; `__` in a name stands for a slash and `_` before the last part for a dot."""
    for name, data in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def names(result: dict[str, Any]) -> list[str]:
    return [f["name"] for f in result["files"]]


@pytest.fixture
def pictures(web: Web) -> Path:
    """Four files under the web server's folder, two of them in a subfolder."""
    return folder(web.folder, a_tif=b"aaaa", b_tif=BYTES, sub__c_tif=b"cc", sub__d_txt_bak=b"d")


def test_listings_of_folder_bucket_and_list_are_equal(web: Web, bucket: Bucket, pictures: Path) -> None:
    for name, data in tree(pictures).items():
        bucket.put(f"in/{name}", data)
    bucket.put("in/sub/", b"")
    bucket.put("in2/other.tif", b"x")
    (web.folder / "all.txt").write_text("# all\na.tif\nb.tif\n\nsub/c.tif\nsub/d.txt.bak\n")
    shown = {
        source: [(f["name"], f["size"]) for f in swath.fetch(source, listing=True, include=["*.tif", "*.bak"])["files"]]
        for source in (f"file://{pictures}", str(pictures), f"{bucket.url}/in/", f"{bucket.url}/in", f"{web.url}/all.txt",
                       f"file://{pictures}/all.txt", f"{bucket.url}/in/")
    }  # fmt: skip
    expected = [("a.tif", 4), ("b.tif", 3_000_000), ("sub/c.tif", 2), ("sub/d.txt.bak", 1)]
    assert shown == dict.fromkeys(shown, expected)
    assert [f["name"] for f in swath.fetch(f"{bucket.url}/in/s", listing=True)["files"]] == ["sub/c.tif", "sub/d.txt.bak"]
    assert [f["name"] for f in swath.fetch(f"{bucket.url}/in/a.tif", listing=True)["files"]] == ["a.tif"]
    assert "GET" not in web.asked("/a.tif")


def test_copies_equal_their_sources_and_are_skipped_the_next_time(
    web: Web, bucket: Bucket, pictures: Path, tmp_path: Path
) -> None:
    (web.folder / "all.txt").write_text("a.tif\nb.tif\nsub/c.tif\n")
    for name in ("a.tif", "b.tif", "sub/c.tif"):
        bucket.put(f"in/{name}", web.folder / name)
    for n, source in enumerate((f"{web.url}/all.txt", f"{bucket.url}/in/", f"file://{web.folder}/all.txt")):
        out = tmp_path / f"out{n}"
        result = swath.fetch(source, out=out)
        assert (result["ok"], result["fetched"], result["skipped"], result["failed"]) == (True, 3, 0, [])
        assert result["bytes"] == 3_000_006
        got = tree(out)
        card = json.loads(got.pop("fetch.json"))
        assert got == {n: (web.folder / n).read_bytes() for n in ("a.tif", "b.tif", "sub/c.tif")}
        assert card_fault(out / "fetch.json") is None
        assert {n: (f["size"], f["sha256"]) for n, f in card["files"].items()} == {
            n: (len(data), hashlib.sha256(data).hexdigest()) for n, data in got.items()
        }
        before = web.sent("/b.tif")
        again = swath.fetch(source, out=out)
        assert (again["fetched"], again["skipped"], again["bytes"]) == (0, 3, 0)
        assert web.sent("/b.tif") == before


def test_a_broken_copy_is_gone_on_with(web: Web, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "ATTEMPTS", 1)
    out = tmp_path / "out"
    web.break_after["/b.tif"] = [1_000_000]
    first = swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=out)
    assert (first["ok"], first["fetched"]) == (False, 1)
    assert [(f["name"], f["code"]) for f in first["failed"]] == [("b.tif", "remote-broken")]
    assert "goes on" in first["failed"][0]["fix"]
    assert not (out / "b.tif").exists()
    part = next(out.glob(".b.tif.*.part"))
    have = part.stat().st_size
    assert 0 < have <= 1_000_000
    second = swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=out)
    assert (second["ok"], second["fetched"], second["skipped"]) == (True, 1, 1)
    assert second["events"] == {"copy gone on with": 1}
    assert (out / "b.tif").read_bytes() == BYTES
    assert web.sent("/b.tif") == 1_000_000 + len(BYTES) - have
    assert second["bytes"] == len(BYTES) - have
    assert sorted(p.name for p in out.iterdir()) == ["a.tif", "b.tif", "fetch.json"]


def test_a_killed_copy_is_gone_on_with(web: Web, pictures: Path, tmp_path: Path) -> None:
    out, url = tmp_path / "out", f"{web.url}/b.tif"
    web.hang_after["/b.tif"] = 2_000_000
    process = subprocess.Popen([sys.executable, "-m", "swath", "fetch", url, "--out", str(out)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not any(p.stat().st_size >= 1_000_000 for p in out.glob(".b.tif.*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    web.hang_after.clear()
    assert [p.name for p in out.iterdir() if not p.name.startswith(".")] == []
    have = next(out.glob(".b.tif.*.part")).stat().st_size
    result = swath.fetch(url, out=out)
    assert (result["ok"], result["bytes"]) == (True, len(BYTES) - have)
    assert (out / "b.tif").read_bytes() == BYTES
    assert sorted(p.name for p in out.iterdir()) == ["b.tif", "fetch.json"]


def test_a_break_within_one_call_is_tried_again(web: Web, pictures: Path, tmp_path: Path) -> None:
    web.break_after["/b.tif"] = [500_000, 700_000]
    assert swath.fetch(f"{web.url}/b.tif", out=tmp_path / "out")["ok"]
    assert (tmp_path / "out" / "b.tif").read_bytes() == BYTES
    assert web.sent("/b.tif") == len(BYTES)


def test_a_server_without_parts_gives_the_whole_again(web: Web, pictures: Path, tmp_path: Path) -> None:
    web.plain.add("/b.tif")
    web.break_after["/b.tif"] = [500_000]
    assert swath.fetch(f"{web.url}/b.tif", out=tmp_path / "out")["ok"]
    assert (tmp_path / "out" / "b.tif").read_bytes() == BYTES
    assert web.sent("/b.tif") == len(BYTES) + 500_000


def test_a_file_that_changed_meanwhile_begins_anew(
    web: Web, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "ATTEMPTS", 1)
    out = tmp_path / "out"
    web.break_after["/b.tif"] = [1_000_000]
    assert not swath.fetch(f"{web.url}/b.tif", out=out)["ok"]
    (web.folder / "b.tif").write_bytes(BYTES[::-1])
    result = swath.fetch(f"{web.url}/b.tif", out=out)
    assert result["bytes"] == len(BYTES)
    assert (out / "b.tif").read_bytes() == BYTES[::-1]
    assert list(out.glob(".*.part")) == []
    (web.folder / "b.tif").write_bytes(BYTES)
    third = swath.fetch(f"{web.url}/b.tif", out=out)
    assert third["events"] == {"file changed at its source, copied again": 1}
    assert (out / "b.tif").read_bytes() == BYTES


def test_a_part_of_a_bucket_is_gone_on_with(bucket: Bucket, tmp_path: Path) -> None:
    out = tmp_path / "out"
    url = bucket.put("b.tif", BYTES)
    with remote_access(True):
        head = listing.items_of(url)[0][0].head()
    out.mkdir()
    (out / f".b.tif.{head.identity}.part").write_bytes(BYTES[:1_000_000])
    result = swath.fetch(url, out=out)
    assert (result["bytes"], result["events"]) == (2_000_000, {"copy gone on with": 1})
    assert (out / "b.tif").read_bytes() == BYTES


def test_a_spoiled_part_is_found_by_the_checksum_and_removed(bucket: Bucket, tmp_path: Path) -> None:
    out = tmp_path / "out"
    url = bucket.put("b.tif", BYTES)
    with remote_access(True):
        head = listing.items_of(url)[0][0].head()
    out.mkdir()
    part = out / f".b.tif.{head.identity}.part"
    part.write_bytes(b"\0" * 1_000_000)
    result = swath.fetch(url, out=out)
    assert [f["code"] for f in result["failed"]] == ["remote-checksum"]
    assert not part.exists()
    assert not (out / "b.tif").exists()
    assert swath.fetch(url, out=out)["ok"]


def test_good_files_are_copied_before_the_bad_are_told(
    web: Web, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web.status["/sub/c.tif"] = 403
    (web.folder / "all.txt").write_text("a.tif\nnone.tif?sig=hush-hush\nsub/c.tif\nb.tif\n")
    assert main(["fetch", f"{web.url}/all.txt", "--out", str(tmp_path / "out"), "--json"]) == 3
    result = json.loads(capsys.readouterr().out)
    assert (result["ok"], result["fetched"]) == (False, 2)
    assert [(f["name"], f["code"]) for f in result["failed"]] == [("none.tif", "file-missing"), ("sub/c.tif", "remote-denied")]
    assert main(["fetch", f"{web.url}/all.txt", "--out", str(tmp_path / "out")]) == 3
    shown = capsys.readouterr()
    assert "0 fetched (0 bytes), 2 skipped, 2 failed" in shown.out
    assert "hush" not in shown.out + shown.err
    assert main(["fetch", f"{web.url}/all.txt", "--list"]) == 3
    assert "2 files, 3,000,004 bytes" in capsys.readouterr().out


def test_files_of_others_are_not_touched(web: Web, bucket: Bucket, pictures: Path, tmp_path: Path) -> None:
    out = folder(tmp_path / "out", a_tif=b"mine")
    result = swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=out)
    assert [(f["name"], f["code"]) for f in result["failed"]] == [("a.tif", "exists")]
    assert (out / "a.tif").read_bytes() == b"mine"
    assert swath.fetch(f"{web.url}/a.tif", out=out, overwrite=True)["events"] == {"file replaced": 1}
    assert (out / "a.tif").read_bytes() == b"aaaa"
    (out / "a.tif").write_bytes(b"edit")
    assert [f["code"] for f in swath.fetch(f"{web.url}/a.tif", out=out)["failed"]] == ["exists"]
    known = folder(tmp_path / "known", a_tif=b"aaaa")
    assert swath.fetch(bucket.put("a.tif", b"aaaa"), out=known)["skipped"] == 1, "its MD5 proves it"
    (out / "fetch.json").write_text("{}")
    with pytest.raises(DataError) as e:
        swath.fetch(f"{web.url}/b.tif", out=out)
    assert e.value.code == "fetch-card"


def test_include_and_limit(web: Web, pictures: Path, tmp_path: Path) -> None:
    assert names(swath.fetch(pictures, listing=True, include="*.tif")) == ["a.tif", "b.tif", "sub/c.tif"]
    assert names(swath.fetch(pictures, listing=True, include="sub/*")) == ["sub/c.tif", "sub/d.txt.bak"]
    assert names(swath.fetch(pictures, listing=True, include=["c.*", "*.bak"], limit=1)) == ["sub/c.tif"]
    with pytest.raises(DataError, match=r"fits none of 4 files"):
        swath.fetch(pictures, listing=True, include="*.jp2")
    with pytest.raises(ConfigError):
        swath.fetch(pictures, listing=True, limit=0)
    with pytest.raises(ConfigError, match="--out"):
        swath.fetch(pictures)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["list.txt", "page.txt", "none.tif", "folder/", "bad.json", "empty.txt"])
def test_sources_that_stand_for_nothing_are_one_error(web: Web, tmp_path: Path, name: str) -> None:
    folder(web.folder, list_txt=b"\xff\xfe", page_txt=b"<!doctype html>", bad_json=b"{", empty_txt=b"# nothing\n")
    with pytest.raises(DataError) as e:
        swath.fetch(f"{web.url}/{name}", out=tmp_path / "out")
    assert e.value.fix
    assert e.value.code in ("fetch-list", "file-missing", "fetch-folder", "json", "inputs-none")
    assert not (tmp_path / "out").exists()


def test_an_empty_prefix_and_no_bucket_are_errors(bucket: Bucket) -> None:
    with pytest.raises(DataError) as e:
        swath.fetch(f"{bucket.url}/none/", listing=True)
    assert e.value.code == "inputs-none"
    with pytest.raises(DataError) as e:
        swath.fetch("s3://no-such-bucket-at-all/x/", listing=True)
    assert e.value.code == "remote-bucket"


def test_a_manifest_brings_its_files_and_a_shapefile_its_parts(
    web: Web, make_vector: Callable[..., Path], tmp_path: Path
) -> None:
    import shapely

    folder(web.folder, in__a_tif=b"aaaa", far__b_tif=b"bb")
    make_vector("web/in/l.shp", [shapely.box(0, 0, 1, 1)], {"class": [1]})
    (web.folder / "in" / "scenes.csv").write_text(
        f"image,labels,split\na.tif,l.shp,trn\n{web.url}/far/b.tif,l.shp,val\nnone.tif,,\na.tif,,bad\n"
    )
    result = swath.fetch(f"{web.url}/in/scenes.csv", out=tmp_path / "out")
    parts = [p.name for p in sorted((web.folder / "in").glob("l.*"))]
    assert sorted(tree(tmp_path / "out")) == sorted(["scenes.csv", "a.tif", "b.tif", "fetch.json", *parts])
    assert [f["code"] for f in result["failed"]] == ["manifest-split", "file-missing"]


def test_a_stac_item_brings_its_rasters_checked(web: Web, bucket: Bucket, tmp_path: Path) -> None:
    folder(web.folder, item__red_tif=b"red", item__nir_tif=b"nir", item__view_png=b"png")
    far = bucket.put("pan.tif", b"pan")
    stated = f"1220{hashlib.sha256(b'nir').hexdigest()}"
    assets: dict[str, Any] = {
        "red": {"href": "./red.tif", "type": "image/tiff", "file:size": 3},
        "nir": {"href": f"{web.url}/item/nir.tif", "roles": ["data"], "file:checksum": stated},
        "pan": {"href": far, "type": "image/tiff; application=geotiff", "file:checksum": "1640abcd"},
        "view": {"href": "view.png", "roles": ["thumbnail"]},
    }
    value = {"type": "Feature", "stac_version": "1.0.0", "id": "a/../b", "properties": {}, "assets": assets}
    (web.folder / "item" / "item.json").write_text(json.dumps(value))
    result = swath.fetch(f"{web.url}/item/item.json", out=tmp_path / "out")
    assert names(result) == [f"a_.._b/{n}" for n in ("item.json", "red.tif", "nir.tif", "pan.tif")]
    assert result["events"] == {"stated checksum of an unknown kind not compared": 1}
    assets["nir"]["file:checksum"] = f"1220{hashlib.sha256(b'other').hexdigest()}"
    assets["red"]["file:size"] = 4
    (web.folder / "item" / "item.json").write_text(json.dumps(value))
    bad = swath.fetch(f"{web.url}/item/item.json", out=tmp_path / "bad")
    assert [(f["name"], f["code"]) for f in bad["failed"]] == [
        ("a_.._b/red.tif", "remote-checksum"), ("a_.._b/nir.tif", "remote-checksum"),
    ]  # fmt: skip
    assert not (tmp_path / "bad" / "a_.._b" / "nir.tif").exists()


def test_names_never_meet(web: Web, tmp_path: Path) -> None:
    folder(web.folder, x__a_tif=b"1", y__a_tif=b"2", z__y__a_tif=b"3", fetch_json=b"[4]")
    sources = [f"{web.url}/{n}" for n in ("x/a.tif", "y/a.tif", "z/y/a.tif", "x/a.tif")]
    result = swath.fetch([*sources, f"{web.url}/z/../fetch.json"], out=tmp_path / "out", include="*.tif")
    assert names(result) == ["a.tif", "y_a.tif", "y_a_2.tif"]
    assert [(tmp_path / "out" / n).read_bytes() for n in names(result)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("key", ["../../up.tif", "/etc/passwd", "a//b\n.tif", "./x/../y.tif", "..", "", "a\\..\\b.tif"])
def test_keys_of_a_bucket_become_names_below_the_directory(
    bucket: Bucket, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swath.disk.remote.bucket.listed", lambda *_: [Entry(f"in/{key}", 1)])
    for item in listing._of_bucket(Remote(f"{bucket.url}/in/")):
        parts = item.name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert item.name.isprintable()
        assert "\\" not in item.name


def test_content_md5_is_compared(web: Web, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from servers import Handler

    stated = base64.b64encode(hashlib.md5(b"else").digest()).decode()
    begin = Handler.begin

    def lying(self: Handler, status: int, headers: dict[str, str], path: str, **more: Any) -> None:
        begin(self, status, {**headers, "Content-MD5": stated}, path, **more)

    monkeypatch.setattr(Handler, "begin", lying)
    result = swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=tmp_path / "out")
    assert [f["code"] for f in result["failed"]] == ["remote-checksum"] * 2


def test_no_secret_is_kept_or_shown(bucket: Bucket, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(web.folder, a_tif=b"aaaa")
    host = web.url.removeprefix("http://")
    sources = [f"http://ann:pass-word@{host}/a.tif?X-Amz-Signature=hush-hush", bucket.put("b.tif", b"bb"), f"{bucket.url}/none.tif"]
    assert main(["fetch", *sources, "--out", str(tmp_path / "out")]) == 3
    shown = capsys.readouterr()
    kept = b"".join(tree(tmp_path / "out").values()).decode()
    assert [s for s in (KEY, SECRET, "pass-word", "hush") if s in shown.out + shown.err + kept] == []
    assert f"http://...@{host}/a.tif?..." in kept


def test_a_full_disk_ends_all_copies_and_keeps_the_finished_ones(
    web: Web, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Progress, amount: float, note: str = "") -> None:
        if amount > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(Progress, "advance", full)
        with pytest.raises(ResourceError) as e:
            swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=tmp_path / "out")
    assert e.value.code == "disk-full"
    assert not (tmp_path / "out" / "b.tif").exists()
    result = swath.fetch([f"{web.url}/a.tif", f"{web.url}/b.tif"], out=tmp_path / "out")
    assert (result["ok"], (tmp_path / "out" / "b.tif").read_bytes() == BYTES) == (True, True)


def test_a_server_that_falls_silent_is_told_and_gone_on_with(
    web: Web, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "ATTEMPTS", 1)
    monkeypatch.setattr(replies, "PATIENCE", 2)
    web.hang_after["/b.tif"] = 1_500_000
    result = swath.fetch(f"{web.url}/b.tif", out=tmp_path / "out")
    assert [f["code"] for f in result["failed"]] == ["remote-timeout"]
    web.hang_after.clear()
    again = swath.fetch(f"{web.url}/b.tif", out=tmp_path / "out")
    assert again["ok"]
    assert again["bytes"] < len(BYTES)


def test_two_processes_do_not_copy_the_same_file(web: Web, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with remote_access(True):
        head = listing.items_of(f"{web.url}/b.tif")[0][0].head()
    part = out / f".b.tif.{head.identity}.part"
    with part.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ResourceError) as e:
            swath.fetch(f"{web.url}/b.tif", out=out)
    assert e.value.code == "busy"


def test_s3_without_boto3_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ResourceError, match=r"swath\[s3\]") as e:
        swath.fetch("s3://bucket/a.tif", listing=True)
    assert e.value.code == "extra-missing"


def test_the_environment_alone_gives_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.tif", b"aaaa")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_S3_ENDPOINT", bucket.client.meta.endpoint_url.removeprefix("http://"))
    monkeypatch.setenv("AWS_HTTPS", "NO")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert names(swath.fetch(bucket.url, listing=True)) == ["a.tif"], "requests are not signed where there is nothing to sign with"
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_nothing_is_copied_into_itself(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"pixels")
    with pytest.raises(ResourceError, match=r"holds .*a\.tif, which is to be copied"):
        swath.fetch(tmp_path / "a.tif", out=tmp_path, overwrite=True)
    swath.fetch(tmp_path / "a.tif", out=tmp_path / "copies")
    with pytest.raises(ResourceError, match="name a directory outside the sources"):
        swath.fetch(tmp_path, out=tmp_path / "copies")
    assert sorted(p.name for p in (tmp_path / "copies").iterdir()) == ["a.tif", "fetch.json"]
