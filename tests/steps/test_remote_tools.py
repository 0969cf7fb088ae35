"""Tools, STAC items and stacks on remote files equal the local ones; other outputs stay local."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from servers import Bucket, Web

import swath
from swath.cli import main
from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError
from swath.core.windows import Window
from swath.disk.remote import bucket as bucket_module
from swath.disk.remote.access import remote_access
from swath.disk.sources.cells import cell_image
from swath.disk.sources.images import open_image
from swath.disk.sources.stack import Stack

pytest_plugins = ["fixtures_servers"]
FAR = "runtime.remote=true"


@pytest.fixture
def image(make_raster: Callable[..., Path]) -> Path:
    """A raster of three bands with a hole."""
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 90, 110)).astype(np.uint16)
    pixels[:, 20:30, 40:50] = 0
    return make_raster("in/a.tif", pixels, nodata=0, tiled=True, blockxsize=32, blockysize=32)


@pytest.fixture
def labels(make_vector: Callable[..., Path], image: Path) -> Path:
    """Two polygons on the image."""
    with rasterio.open(image) as source:
        place = source.transform
    boxes = [shapely.box(*(place @ (c, r + 20)), *(place @ (c + 30, r))) for r, c in ((5, 5), (40, 60))]
    return make_vector("in/a.gpkg", boxes, {"class": [1, 1]})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text("scenes: s.csv\nclasses: {field: class, 1: roof}\n")
    return path


def pixels(path: str | Path) -> NDArray[np.generic]:
    with rasterio.open(path) as found:
        return found.read()


def test_tools_make_the_same_of_remote_files(
    image: Path, labels: Path, config: Path, web: Web, bucket: Bucket, tmp_path: Path
) -> None:
    shutil.copy(image, web.folder / "a.tif")
    far, far_labels = f"{web.url}/a.tif", bucket.put("a.gpkg", labels)
    here = [swath.chip(image, out=tmp_path / "chips", size=50), swath.chip(far, FAR, out=tmp_path / "far", size=50)]
    for a, b in zip(here[0]["files"], here[1]["files"], strict=True):
        assert Path(a["file"]).read_bytes() == Path(b["file"]).read_bytes()
    chips = [bucket.put(f"chips/{Path(f['file']).name}", Path(f["file"])) for f in here[0]["files"]]
    whole = swath.mosaic(chips, FAR, out=tmp_path / "whole.tif")["mosaic"]
    assert np.array_equal(pixels(whole), pixels(image))
    masks = [swath.mask(i, v, o, config=config, out=tmp_path / n) for i, v, o, n in (
        (image, labels, "runtime.remote=false", "m1"), (far, far_labels, FAR, "m2"))]  # fmt: skip
    assert masks[0]["masks"][0]["classes"] == masks[1]["masks"][0]["classes"]
    assert np.array_equal(pixels(masks[0]["masks"][0]["mask"]), pixels(masks[1]["masks"][0]["mask"]))
    near = swath.summarize(image, labels=labels, config=config)["images"][0]
    told = swath.summarize(far, FAR, labels=far_labels, config=config)["images"][0]
    assert told["path"] == far
    assert (told["bands"], told["classes"]) == (near["bands"], near["classes"])
    tables = [swath.flatten(i, *o, out=tmp_path / f"{n}.csv")["table"] for n, (i, *o) in enumerate([(image,), (far, FAR)])]
    assert Path(tables[0]).read_bytes() == Path(tables[1]).read_bytes()


@pytest.mark.parametrize("verb", ["chip", "mosaic", "mask", "summarize", "flatten", "info", "check"])
def test_every_tool_refuses_remote_files_unless_told(
    verb: str, config: Path, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "chip": ["--out", "out", "--size", "8"], "mosaic": ["--out", "out.tif"], "flatten": ["--out", "out.csv"],
        "mask": ["--out", "out", "--config", str(config), "--labels", f"{web.url}/a.gpkg"],
    }  # fmt: skip
    assert main([verb, f"{web.url}/a.tif?sig=hush-hush", *more.get(verb, [])]) == 2
    error = capsys.readouterr().err
    assert "runtime.remote=true" in error
    assert "hush" not in error
    assert web.log == []


def test_outputs_of_other_verbs_are_local(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for act in (
        lambda: swath.chip(image, FAR, out="s3://bucket/chips", size=50),
        lambda: swath.mosaic(image, FAR, out="s3://bucket/a.tif"),
        lambda: swath.fetch(image, out="s3://bucket/copies"),
        lambda: swath.flatten(image, FAR, out="https://host/a.csv"),
    ):
        with pytest.raises(ConfigError) as e:
            act()
        assert e.value.code == "out-remote"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_an_upload_that_breaks_leaves_nothing(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PART", 5 * 1024 * 1024)
    file = tmp_path / "large"
    file.write_bytes(np.random.default_rng(0).bytes(11_000_000))
    client = bucket_module._client()
    upload = client.upload_part

    def breaking(**given: Any) -> Any:
        if given["PartNumber"] == 3:
            raise KeyboardInterrupt
        return upload(**given)

    monkeypatch.setattr(client, "upload_part", breaking)
    with pytest.raises((KeyboardInterrupt, DataError)):
        bucket_module.put(file, bucket.name, "large", f"{bucket.url}/large")
    assert bucket.keys() == []


def stac(**assets: str) -> bytes:
    """An item with one raster asset per band."""
    entries = {n: {"href": h, "type": "image/tiff", "eo:bands": [{"name": n, "common_name": n}]} for n, h in assets.items()}
    return json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "i", "properties": {}, "assets": entries}).encode()


def read(image: Any, names: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    n = len(names)
    bands = Bands(tuple(range(1, n + 1)), names, (1.0,) * n, (0.0,) * n, "none", "dataset", "all", None)
    return open_image(image, bands).read(Window(-3, 5, 60, 70))


@pytest.fixture
def single(make_raster: Callable[..., Path]) -> dict[str, Path]:
    """Two rasters of one band on one grid."""
    rng = np.random.default_rng(1)
    return {n: make_raster(f"one/{n}.tif", rng.integers(1, 99, (1, 64, 80)).astype(np.uint8)) for n in ("red", "nir")}


def test_stacks_of_remote_files_equal_local_ones(single: dict[str, Path], web: Web, bucket: Bucket, tmp_path: Path) -> None:
    shutil.copy(single["red"], web.folder / "red.tif")
    far = f"{web.url}/red.tif?sig=hush-hush;{bucket.put('in/nir.tif', single['nir'])}"
    local = cell_image([str(p) for p in single.values()], Path())
    with remote_access(True):
        remote = cell_image(far, tmp_path)
    assert isinstance(remote, Stack)
    assert str(remote) == f"{web.url}/red.tif?..."
    for a, b in zip(read(remote, ("red", "nir")), read(local, ("red", "nir")), strict=True):
        assert np.array_equal(a, b)


def test_assets_of_items_are_read_where_they_lie(single: dict[str, Path], web: Web, bucket: Bucket, tmp_path: Path) -> None:
    shutil.copy(single["red"], web.folder / "red.tif")
    bucket.put("items/nir.tif", single["nir"])
    bucket.put("items/i.json", stac(red=f"{web.url}/red.tif", nir="./nir.tif"))
    expected = read(cell_image([str(p) for p in single.values()], Path()), ("red", "nir"))
    with remote_access(True):
        found = cell_image(f"{bucket.url}/items/i.json", tmp_path)
    assert isinstance(found, Stack)
    assert found.left_out == ()
    for a, b in zip(read(found, ("red", "nir")), expected, strict=True):
        assert np.array_equal(a, b)
    item = tmp_path / "i.json"
    item.write_bytes(stac(red=f"{web.url}/red.tif", nir=f"{bucket.url}/items/nir.tif"))
    with pytest.raises(DataError, match=r"runtime\.remote=true") as e:
        cell_image("i.json", tmp_path)
    assert e.value.code == "remote-off"
    shutil.copy(single["nir"], tmp_path / "nir.tif")
    part = cell_image("i.json", tmp_path)
    assert isinstance(part, Stack)
    assert (part.left_out, part.files) == (("red",), (tmp_path / "nir.tif",))
    with remote_access(True):
        both = cell_image("i.json", tmp_path)
    assert [str(f) for f in both.files] == [f"{web.url}/red.tif", str(tmp_path / "nir.tif")]
    assert swath.info(f"{bucket.url}/items/nir.tif", FAR)["kind"] == "raster"


def test_a_fetched_manifest_with_an_item_is_complete(single: dict[str, Path], web: Web, bucket: Bucket, tmp_path: Path) -> None:
    shutil.copy(single["red"], web.folder / "red.tif")
    bucket.put("lists/items/nir.tif", single["nir"])
    bucket.put("lists/items/i.json", stac(red=f"{web.url}/red.tif", nir="nir.tif"))
    result = swath.fetch(bucket.put("lists/scenes.csv", b"image\nitems/i.json\n"), out=tmp_path / "out")
    assert [f["name"] for f in result["files"]] == ["scenes.csv", "items/i.json", "items/red.tif", "items/nir.tif"]
    from swath.disk.scenes.manifest import read_manifest

    (scene,) = read_manifest(tmp_path / "out" / "scenes.csv")
    assert [f.name for f in scene.files] == ["i.json", "red.tif", "nir.tif"]
    assert scene.image.left_out == ()  # type: ignore[union-attr]
