"""Remote places: how they are named and shown, who may make them, what is read of them, and how failures are told."""

from __future__ import annotations

import copy
import gzip
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import write as write_vector
from rasterio._env import get_gdal_config
from servers import SECRET, Bucket, Web

from swath.cli import main
from swath.core.errors import ConfigError, DataError
from swath.core.legend import ClassEntry, Legend
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterReader, open_raster, raster_info
from swath.disk.remote import bucket as bucket_module
from swath.disk.remote import replies, virtual
from swath.disk.remote.access import Remote, is_remote, location, redacted, remote_access
from swath.disk.scenes.listing import items_of
from swath.disk.scenes.manifest import expand_inputs, read_manifest
from swath.disk.sources.cells import cell_image
from swath.disk.sources.stamp import file_stamp
from swath.disk.vectors.points import read_points
from swath.disk.vectors.vector import read_features, vector_info

pytest_plugins = ["fixtures_servers"]


@pytest.fixture
def allowed() -> Iterator[None]:
    with remote_access(True):
        yield


def test_remote_places_are_refused_unless_allowed(web: Web) -> None:
    for text in ("s3://b/k.tif", f"{web.url}/a.tif", "https://h/a.tif?sig=hush-hush"):
        with pytest.raises(ConfigError, match=r"runtime\.remote") as e:
            location(text)
        assert e.value.code == "remote-off"
        assert "hush" not in e.value.line()
    with remote_access(True):
        with remote_access(False):
            assert isinstance(location("s3://b/k.tif"), Remote)
        kept = location(f"{web.url}/a.tif")
    assert location(kept) is kept
    with pytest.raises(ConfigError):
        location("s3://b/k.tif")
    assert web.log == []


def test_local_texts_stay_paths(tmp_path: Path) -> None:
    assert location("a/b.tif") == Path("a/b.tif")
    assert location("b.tif", tmp_path) == tmp_path / "b.tif"
    assert location(f"file://{tmp_path}/a%20b.tif") == tmp_path / "a b.tif"
    assert location("file://localhost/a.tif") == Path("/a.tif")
    assert not is_remote(tmp_path)
    for text in ("ftp://h/a.tif", "gs://b/a.tif", "file://other/a.tif"):
        with pytest.raises(DataError) as e:
            location(text)
        assert e.value.code == "remote-scheme"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("url", "name", "stem", "suffix", "parent"),
    [
        ("s3://bucket/a/b c.tif", "b c.tif", "b c", ".tif", "s3://bucket/a"),
        ("s3://bucket/a#1?.tif", "a#1?.tif", "a#1?", ".tif", "s3://bucket/"),
        ("https://h:8080/a/b%20c.tif?x=1.png", "b c.tif", "b c", ".tif", "https://h:8080/a"),
        ("HTTP://h/a.tar.gz", "a.tar.gz", "a.tar", ".gz", "http://h/"),
    ],
)
def test_a_place_has_the_parts_of_a_path(url: str, name: str, stem: str, suffix: str, parent: str) -> None:
    place = location(url)
    assert (place.name, place.stem, place.suffix, str(place.parent)) == (name, stem, suffix, parent)
    assert place == location(url) == copy.deepcopy(place)
    assert hash(place) == hash(location(url))
    assert place != Path(url)
    assert place.absolute() == place
    assert not place.is_dir()


@pytest.mark.usefixtures("allowed")
def test_places_below_and_beside() -> None:
    store, host = location("s3://bucket/lists/scenes.csv"), location("https://h/lists/scenes.csv?sig=1")
    assert location("img/a b.tif", store.parent) == location("s3://bucket/lists/img/a b.tif")
    assert location("../a.tif", store.parent) == location("s3://bucket/a.tif")
    assert location("../../../a.tif", store.parent) == location("s3://bucket/a.tif")
    assert location("img/a b.tif", host.parent) == location("https://h/lists/img/a%20b.tif")
    assert location("../a.tif?sig=2", host.parent) == location("https://h/a.tif?sig=2")
    assert location("s3://other/a.tif", host.parent) == location("s3://other/a.tif")
    assert store.with_suffix(".dbf") == location("s3://bucket/lists/scenes.dbf")
    assert location("https://h/a%20b.shp").with_suffix(".dbf") == location("https://h/a%20b.dbf")
    with pytest.raises(DataError) as e:
        location("/etc/passwd", store.parent)
    assert e.value.code == "remote-local"


@pytest.mark.usefixtures("allowed")
def test_addresses_without_a_host_are_refused() -> None:
    for text in ("s3://", "https:///a.tif", "http://user@/a.tif", "http://b/a\nb"):
        with pytest.raises(DataError) as e:
            location(text)
        assert e.value.code == "remote-address"


@pytest.mark.usefixtures("allowed")
def test_secrets_of_an_address_are_never_shown() -> None:
    url = "https://ann:pass-word@h/a.tif?X-Amz-Signature=hush-hush&X-Amz-Credential=id"
    place = location(url)
    shown = f"{place} {place!r} {place.name} {place.parent} {location('b.tif', place.parent)}"
    assert [secret for secret in ("ann", "pass-word", "hush", "Credential") if secret in shown] == []
    assert str(place) == "https://...@h/a.tif?..."
    assert redacted(f"cannot open '/vsicurl/{url}': 403") == "cannot open '/vsicurl/https://...@h/a.tif?...': 403"
    assert redacted("s3://b/k and a=b?c") == "s3://b/k and a=b?c"
    assert redacted("a.tif?sig=hush-hush&x=1, band 1: failed? x = 3") == "a.tif?... band 1: failed? x = 3"


@pytest.mark.usefixtures("allowed")
def test_the_operating_system_never_sees_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = location("s3://bucket/a.tif")
    for act in (place.unlink, place.mkdir, place.touch, place.open, lambda: place.write_text("x"), lambda: os.stat(place),
                lambda: place.rename("b")):  # fmt: skip
        with pytest.raises(DataError) as e:
            act()
        assert e.value.code == "remote-place"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def image(make_raster: Callable[..., Path]) -> Path:
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 200, 150)).astype(np.uint16)
    return make_raster("a b.tif", pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64, compress="deflate")


def same(remote: Path, local: Path) -> None:
    """Both rasters have equal headers and pixels."""
    here, there = raster_info(local), raster_info(remote)
    assert (there.grid, there.dtypes, there.nodata, there.block) == (here.grid, here.dtypes, here.nodata, here.block)
    window = Window(-5, 10, 180, 150)
    for a, b in zip(RasterReader(remote).read(window), RasterReader(local).read(window), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.usefixtures("allowed")
def test_rasters_are_read_over_http_without_a_listing(web: Web, image: Path) -> None:
    (web.folder / "in").mkdir()
    (web.folder / "in" / "a b.tif").write_bytes(image.read_bytes())
    place = location(f"{web.url}/in/a b.tif")
    assert place.exists()
    assert place.stat().st_size == image.stat().st_size
    same(place, image)
    assert {path for _, path, _, _ in web.log} == {"/in/a b.tif"}, "neither folders nor sidecars are asked for"


@pytest.mark.usefixtures("allowed")
def test_rasters_are_read_over_https_where_the_server_is_trusted(
    secure: Web, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secure.folder / "a.tif").write_bytes(image.read_bytes())
    with pytest.raises(DataError) as e:
        raster_info(location(f"{secure.url}/a.tif"))
    assert e.value.code == "remote-tls"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    same(location(f"{secure.url}/a.tif"), image)


@pytest.mark.usefixtures("allowed")
def test_a_read_that_breaks_is_tried_again_and_then_told(
    web: Web, make_raster: Callable[..., Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3000, 1000)).astype(np.uint8)
    local = make_raster("web/a.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    caplog.set_level("DEBUG")
    reader = RasterReader(location(f"{web.url}/a.tif?sig=hush-hush"))
    web.break_after["/a.tif"] = [1000]
    assert np.array_equal(reader.read(Window(1000, 0, 600, 1000))[0], RasterReader(local).read(Window(1000, 0, 600, 1000))[0])
    web.status["/a.tif"] = 500
    with pytest.raises(DataError, match="swath fetch") as e:
        reader.read(Window(2500, 0, 500, 1000))
    assert e.value.code == "raster-corrupt"
    assert "hush" not in e.value.line()
    assert "\n" not in e.value.line()
    shown = capfd.readouterr()
    assert "CPLE" in caplog.text
    assert "hush" not in shown.out + shown.err + caplog.text


@pytest.mark.usefixtures("allowed")
def test_rasters_are_read_from_a_bucket(bucket: Bucket, image: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    place = location(bucket.put("in/a b.tif", image))
    same(place, image)
    assert SECRET not in caplog.text
    with pytest.raises(DataError) as e:
        raster_info(location(f"{bucket.url}/in/none.tif"))
    assert e.value.code == "file-missing"
    assert e.value.where == f"{bucket.url}/in/none.tif"


@pytest.mark.usefixtures("allowed")
def test_public_buckets_are_read_without_credentials(
    bucket: Bucket, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = bucket.put("a.tif", image)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    with pytest.raises(DataError) as e:
        raster_info(location(place))
    assert e.value.code == "remote-denied"
    monkeypatch.delenv("AWS_NO_SIGN_REQUEST")
    bucket.client.put_object_acl(Bucket=bucket.name, Key="a.tif", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    same(location(place), image)


@pytest.mark.usefixtures("allowed")
def test_a_server_without_parts_and_a_folder_are_told(web: Web, make_raster: Callable[..., Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3000, 1000)).astype(np.uint8)
    make_raster("web/a.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    web.plain.add("/a.tif")
    with pytest.raises(DataError, match="swath fetch"):
        RasterReader(location(f"{web.url}/a.tif")).read(Window(2500, 0, 500, 1000))
    for folder in (f"{web.url}/in/", web.url, "s3://bucket/in/", "s3://bucket"):
        with pytest.raises(DataError, match="swath fetch") as e:
            raster_info(location(folder))
        assert e.value.code == "remote-folder"


@pytest.mark.usefixtures("allowed")
def test_a_size_that_head_does_not_tell_is_asked_for(web: Web, image: Path) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    web.unsized.add("/a.tif")
    assert location(f"{web.url}/a.tif").stat().st_size == image.stat().st_size


@pytest.mark.usefixtures("allowed")
def test_other_threads_may_read_a_place(web: Web, image: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    (web.folder / "a.tif").write_bytes(image.read_bytes())
    reader, local = RasterReader(location(f"{web.url}/a.tif")), RasterReader(image)
    windows = [Window(0, 0, 50, 50), Window(60, 60, 90, 90)]
    with ThreadPoolExecutor(2) as pool:
        for window, (raw, _) in zip(windows, pool.map(reader.read, windows), strict=True):
            assert np.array_equal(raw, local.read(window)[0])


@pytest.mark.usefixtures("allowed")
def test_gdal_keeps_no_setting_of_a_place(bucket: Bucket, image: Path) -> None:
    with open_raster(location(bucket.put("a.tif", image))):
        assert not rasterio.env.hasenv()
        assert get_gdal_config("AWS_VIRTUAL_HOSTING") is None
        assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") != "EMPTY_DIR"
    assert virtual.open_virtual(location(bucket.url + "/a.tif"), lambda name: name) == f"/vsis3/{bucket.name}/a.tif"


@pytest.mark.usefixtures("allowed")
def test_failures_are_one_clear_line_each(
    web: Web, image: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name, status in {"denied": 403, "login": 401, "broken": 500, "odd": 418}.items():
        web.status[f"/{name}.tif"] = status
    web.slow["/slow.tif"] = 8
    deaf = socket.socket()  # holds its port for as long as the test needs one that nobody listens at
    request.addfinalizer(deaf.close)
    deaf.bind(("127.0.0.1", 0))
    closed = f"http://127.0.0.1:{deaf.getsockname()[1]}/a.tif"
    expected = {
        f"{web.url}/none.tif": "file-missing",
        f"{web.url}/denied.tif?sig=hush-hush": "remote-denied",
        f"{web.url}/login.tif": "remote-denied",
        f"{web.url}/broken.tif": "remote-failed",
        f"{web.url}/odd.tif": "remote-failed",
        f"{web.url}/slow.tif": "remote-timeout",
        "http://no-such-host.invalid/a.tif": "remote-host",
        closed: "remote-unreached",
    }
    for url, code in expected.items():
        monkeypatch.setattr(replies, "PATIENCE", 2 if code == "remote-timeout" else 60)
        with pytest.raises(DataError) as e:
            raster_info(location(url))
        assert (url, e.value.code) == (url, code)
        assert e.value.fix
        assert "\n" not in e.value.line()
        assert "hush" not in e.value.line()
    assert web.asked("/broken.tif") == ["HEAD"] * replies.ATTEMPTS
    assert web.asked("/denied.tif") == ["HEAD", "GET"]


@pytest.mark.usefixtures("allowed")
def test_failures_of_a_bucket_are_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as e:
        location("s3://no-such-bucket-here/a.tif").stat()
    assert e.value.code == "file-missing"
    with pytest.raises(DataError) as e:
        bucket_module.listed("no-such-bucket-here", "", "s3://no-such-bucket-here")
    assert e.value.code == "remote-bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    with pytest.raises(DataError) as e:
        location(f"{bucket.url}/a.tif").stat()
    assert e.value.code in ("remote-unreached", "remote-host")
    assert SECRET not in e.value.line()


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("status", [403, 405])
def test_servers_that_know_get_only_are_asked_for_one_byte(web: Web, image: Path, status: int) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    web.no_head["/a.tif"] = status
    assert location(f"{web.url}/a.tif?sig=1").stat().st_size == image.stat().st_size
    assert web.sent("/a.tif") == 1


@pytest.mark.usefixtures("allowed")
def test_user_and_password_of_an_address_go_to_its_own_host_only(web: Web, image: Path) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    host = web.url.removeprefix("http://")
    web.redirect["/moved.tif"] = f"{web.url.replace('127.0.0.1', 'localhost')}/a.tif"
    assert location(f"http://ann:pw@{host}/moved.tif").exists()
    assert web.authorization == {"/moved.tif": ["Basic YW5uOnB3"], "/a.tif": [None]}
    web.redirect["/away.tif"] = "file:///etc/passwd"
    with pytest.raises(DataError):
        location(f"{web.url}/away.tif").stat()


@pytest.mark.usefixtures("allowed")
def test_a_stamp_follows_the_content_at_the_server(web: Web, bucket: Bucket, image: Path) -> None:
    file = web.folder / "a.tif"
    file.write_bytes(image.read_bytes())
    first = file_stamp(location(f"{web.url}/a.tif"))
    assert first == file_stamp(location(f"{web.url}/a.tif?sig=2"))
    file.write_bytes(image.read_bytes()[:-1] + b"\0")
    assert file_stamp(location(f"{web.url}/a.tif")) != first
    one = file_stamp(location(bucket.put("a.tif", image)))
    assert one == file_stamp(location(f"{bucket.url}/a.tif"))
    assert one != file_stamp(location(bucket.put("a.tif", file)))


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp"])
def test_vectors_are_copied_and_read(web: Web, make_vector: Callable[..., Path], suffix: str) -> None:
    import shapely

    local = make_vector(f"web/v{suffix}", [shapely.box(0, 0, 5, 5), shapely.box(9, 9, 12, 12)], {"class": [1, 2]})
    place = location(f"{web.url}/v{suffix}")
    info = vector_info(place)
    assert (info.path, info.features, info.fields) == (place, 2, ("class",))
    assert info.crs == vector_info(local).crs
    assert sorted(read_features(place, field="class").values.tolist()) == [1, 2]
    assert web.asked(f"/v{suffix}").count("GET") == 1
    with pytest.raises(DataError, match="no such file"):
        vector_info(location(f"{web.url}/none{suffix}"))


@pytest.mark.usefixtures("allowed")
def test_vectors_beyond_the_cap_are_not_copied(web: Web, make_vector: Callable[..., Path]) -> None:
    from swath.disk.remote.download import local_copy

    make_vector("web/v.gpkg", None, {"a": [1]})
    with pytest.raises(DataError, match="swath fetch") as e:
        local_copy(location(f"{web.url}/v.gpkg"), limit=1000)
    assert e.value.code == "remote-large"
    assert "GET" not in web.asked("/v.gpkg")


@pytest.mark.usefixtures("allowed")
def test_remote_manifests_name_files_beside_them_and_anywhere(web: Web, bucket: Bucket, image: Path) -> None:
    (web.folder / "in").mkdir()
    (web.folder / "in" / "a.tif").write_bytes(image.read_bytes())
    far = bucket.put("b.tif", image)
    text = f"image,split\na.tif,trn\n../in/a.tif,val\n{far},tst\n"
    (web.folder / "in" / "scenes.csv").write_text(text)
    scenes = read_manifest(f"{web.url}/in/scenes.csv")
    assert [str(s.image) for s in scenes] == [f"{web.url}/in/a.tif"] * 2 + [far]
    assert expand_inputs([f"{web.url}/in/scenes.csv"], {".tif"}) == [scenes[0].image, scenes[2].image]
    store = bucket.put("lists/scenes.json", b'{"scenes": [{"image": "../b.tif"}]}')
    assert [str(s.image) for s in read_manifest(store)] == [far]
    bad = bucket.put("lists/bad.csv", b"image\nnone.tif\n")
    with pytest.raises(DataError) as e:
        read_manifest(bad)
    assert (e.value.code, e.value.where) == ("file-missing", f"{bucket.url}/lists/none.tif")
    with pytest.raises(DataError) as e:
        read_manifest(f"{web.url}/none.csv")
    assert e.value.code == "file-missing"


@pytest.mark.usefixtures("allowed")
def test_no_vrt_leads_to_the_net(web: Web, image: Path, tmp_path: Path) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    text = """<VRTDataset rasterXSize="150" rasterYSize="200"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
    <SourceFilename relativeToVRT="0">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
    for n, name in enumerate((f"{web.url}/a.tif", f"/vsicurl/{web.url}/a.tif", f"/vsicurl?url={web.url}/a.tif", str(image))):
        local = tmp_path / f"{n}.vrt"
        local.write_text(text.format(name))
        (web.folder / local.name).write_text(text.format(name))
        if name != str(image):
            with pytest.raises(DataError):
                raster_info(local)
        assert web.log == []
        with pytest.raises(DataError) as e:
            raster_info(location(f"{web.url}/{local.name}"))
        assert e.value.code == "raster-unreadable"
        assert {path for _, path, _, _ in web.log} == {f"/{local.name}"}
        web.log.clear()


@pytest.mark.usefixtures("allowed")
def test_a_remote_list_names_no_local_file(web: Web, image: Path) -> None:
    for n, name in enumerate((str(image), f"file://{image}", f"FILE://{image}")):
        (web.folder / f"{n}.csv").write_text(f"image\n{name}\n")
        (web.folder / f"{n}.json").write_text(json.dumps({
            "type": "Feature", "stac_version": "1.0.0", "id": "i", "properties": {}, "assets": {"a": {"href": name, "type": "image/tiff"}},
        }))  # fmt: skip
        with pytest.raises(DataError) as e:
            read_manifest(f"{web.url}/{n}.csv")
        assert e.value.code == "remote-local"
        if n:  # a path alone is one of the server
            with pytest.raises(DataError) as e:
                cell_image(f"{web.url}/{n}.json", Path())
            assert e.value.code == "remote-local"
            with pytest.raises(DataError) as e:
                items_of(f"{web.url}/{n}.json")
            assert e.value.code == "remote-local"


@pytest.mark.usefixtures("allowed")
def test_a_manifest_that_comes_in_part_is_asked_for_again_and_then_refused(web: Web, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    text = "image\n" + 40 * "a.tif\n"
    (web.folder / "scenes.csv").write_text(text)
    web.break_after["/scenes.csv"] = [len(text) // 2 // 6 * 6] * 2  # at the end of a row: nothing else would tell
    assert len(read_manifest(f"{web.url}/scenes.csv")) == 40
    web.break_after["/scenes.csv"] = [len(text) // 2 // 6 * 6] * 3
    with pytest.raises(DataError, match=r"after 120 of 246 bytes") as e:
        read_manifest(f"{web.url}/scenes.csv")
    assert e.value.code == "remote-broken"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("name", ["scenes.csv", "a.tif", "a.geojson"])
def test_content_that_is_sent_compressed_is_refused(web: Web, bucket: Bucket, name: str) -> None:
    (web.folder / name).write_bytes(b"image\na.tif\n")
    web.packed.add(f"/{name}")
    bucket.client.put_object(Bucket=bucket.name, Key=name, Body=gzip.compress(b"image\na.tif\n"), ContentEncoding="gzip")
    look: Any = {".csv": read_manifest, ".tif": raster_info, ".geojson": vector_info}[Path(name).suffix]
    for address in (f"{web.url}/{name}", f"{bucket.url}/{name}"):
        with pytest.raises(DataError, match=r"sends it compressed \(gzip\)") as e:
            look(location(address))
        assert e.value.code == "remote-encoded"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("store", ["web", "bucket"])
def test_a_raster_that_changes_while_it_is_read_is_told(web: Web, bucket: Bucket, make_raster: Callable[..., Path], store: str) -> None:
    old, new = (make_raster(f"{n}.tif", np.full((1, 1500, 1000), n, np.uint8), tiled=True, blockxsize=256, blockysize=256) for n in (1, 2))

    def put(file: Path) -> str:
        (web.folder / "a.tif").write_bytes(file.read_bytes())
        return bucket.put("a.tif", file) if store == "bucket" else f"{web.url}/a.tif"

    reader = RasterReader(location(put(old)))
    assert (reader.read(Window(0, 0, 100, 100))[0] == 1).all()
    put(new)
    with pytest.raises(DataError) as e:
        reader.read(Window(1300, 700, 100, 100))
    assert e.value.code == "remote-changed"
    put(old)
    assert (RasterReader(location(put(old))).read(Window(1300, 700, 100, 100))[0] == 1).all()


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet"])
def test_points_are_copied_and_read(web: Web, tmp_path: Path, suffix: str) -> None:
    local = tmp_path / f"p{suffix}"
    points = shapely.to_wkb(shapely.points([1, 3], [2, 4]))
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}}}
        table = pyarrow.table({"class": [2, 1], "geometry": pyarrow.array(points.tolist(), pyarrow.binary())})
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), local)
    else:
        write_vector(local, points, [np.array([2, 1])], ["class"], geometry_type="Point", crs="EPSG:4326")
    (web.folder / local.name).write_bytes(local.read_bytes())
    classes = Legend((ClassEntry(0, "none", "#000000"), ClassEntry(1, "a", "#ffffff"), ClassEntry(2, "b", "#ff0000")))
    for place in (local, location(f"{web.url}/{local.name}?sig=hush")):
        found = read_points(place, classes)
        assert list(zip(found.x.tolist(), found.y.tolist(), found.indices.tolist(), strict=True)) == [(1, 2, 2), (3, 4, 1)]


@pytest.mark.parametrize(("listed", "address", "allowed"), [
    (["imagery.example"], "https://imagery.example/a.tif", True),
    (["https://Imagery.example/"], "https://me:pw@imagery.EXAMPLE:8080/a.tif", True),
    (["imagery.example:8080"], "https://imagery.example/a.tif", False),
    (["imagery.example"], "https://other.example/imagery.example", False),
    (["imagery.example"], "https://imagery.example@other.example/a.tif", False),
    (["*.example"], "http://a.b.example/a.tif", True),
    (["*.example"], "http://example/a.tif", False),
    (["s3://tiles"], "s3://tiles/a.tif", True),
    (["s3://tiles"], "s3://others/a.tif", False),
    (["tiles"], "s3://tiles/a.tif", False),
    (["s3://tiles"], "https://tiles/a.tif", False),
    ([], "https://imagery.example/a.tif", False),
])  # fmt: skip
def test_a_list_allows_its_hosts_and_buckets_alone(listed: list[str], address: str, allowed: bool) -> None:
    with remote_access(listed):
        if allowed:
            place = location(address)
            assert isinstance(place, Remote)
            assert copy.deepcopy(place).allowed == tuple(listed)
            assert (place.parent / "b.tif").allowed == tuple(listed)  # type: ignore[attr-defined]
        else:
            with pytest.raises(ConfigError) as e:
                location(address)
            assert e.value.code == "remote-off"
            assert "pw" not in e.value.line()


@pytest.mark.parametrize("address", ["https://evil.example?@good.example/a.tif", "https://evil.example#@good.example/a", "https://evil\\@good.example/a"])
def test_an_address_whose_host_could_be_read_in_two_ways_is_refused(address: str) -> None:
    with remote_access(["good.example"]), pytest.raises(DataError) as e:
        location(address)
    assert e.value.code == "remote-address"


def test_a_list_holds_where_a_server_or_a_manifest_leads_elsewhere(web: Web, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "ATTEMPTS", 1)
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    other = web.url.replace("127.0.0.1", "localhost")
    web.redirect["/led.tif"] = f"{other}/a.tif"
    (web.folder / "scenes.csv").write_text(f"image\n{other}/a.tif\na.tif\n")
    with remote_access(["127.0.0.1"]):
        with pytest.raises(DataError, match=r"leads to localhost, where runtime\.remote does not allow to read"):
            raster_info(location(f"{web.url}/led.tif"))
        with pytest.raises(ConfigError, match=r"add localhost to its list"):
            read_manifest(f"{web.url}/scenes.csv")
    assert web.asked("/a.tif") == []
    with remote_access(["127.0.0.1", "localhost"]):
        assert raster_info(location(f"{web.url}/led.tif")).grid == raster_info(image).grid
        assert len(read_manifest(f"{web.url}/scenes.csv")) == 2


def test_a_config_lists_hosts(web: Web, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (web.folder / "a.tif").write_bytes(image.read_bytes())
    assert main(["check", f"{web.url}/a.tif", "runtime.remote=[imagery.example]"]) == 2
    assert "remote-off" in capsys.readouterr().out or web.log == []
    assert main(["check", f"{web.url}/a.tif", 'runtime.remote=[127.0.0.1]']) == 0
    assert web.log
