"""The chain on remote inputs and outputs: equal to the local one, off unless allowed, without a trace of secrets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from servers import KEY, SECRET, Bucket, Web

import swath
from swath.cli import main
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.remote import bucket as bucket_module
from swath.disk.remote.replies import refused

pytest_plugins = ["fixtures_run", "fixtures_servers"]
ON = ("runtime.device=cpu", "runtime.threads=1")
FAR = "runtime.remote=true"
SAVE = "predict.save=[classes, probabilities]"


def read(path: str | Path) -> NDArray[np.generic]:
    with rasterio.open(path) as found:
        return found.read()


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path, path.read_bytes()


def text_leaks(folder: Path, *secrets: str) -> list[tuple[str, str]]:
    """(file, secret) of every secret that some file of a folder holds."""
    return [(p.name, s) for p, data in files(folder) for s in secrets if s.encode() in data]


@pytest.fixture
def scene(trained: Path) -> Path:
    """An image of the town."""
    return sorted(trained.parent.glob("*.tif"))[0]


def test_maps_of_remote_rasters_equal_those_of_the_local_file(
    bundle: Path, scene: Path, web: Web, bucket: Bucket, tmp_path: Path
) -> None:
    shutil.copy(scene, web.folder / scene.name)
    places = {"web": f"{web.url}/{scene.name}?X-Amz-Signature=hush-hush", "store": bucket.put(f"in/{scene.name}", scene)}
    made = {n: swath.predict(bundle, p, SAVE, FAR, *ON, out=tmp_path / n)["maps"][0] for n, p in places.items()}
    local = swath.predict(bundle, scene, SAVE, *ON, out=tmp_path / "local")["maps"][0]
    for name, found in made.items():
        for product in ("map", "probabilities"):
            assert np.array_equal(read(found[product]), read(local[product])), (name, product)
    assert made["web"]["input"] == f"{web.url}/{scene.name}?..."
    assert text_leaks(tmp_path, KEY, SECRET, "hush") == []
    again = swath.predict(bundle, places["store"], SAVE, FAR, *ON, out=tmp_path / "store")["maps"][0]
    assert again["already_done"]
    bucket.put(f"in/{scene.name}", sorted(scene.parent.glob("*.tif"))[1])
    with pytest.raises(ResourceError, match="made otherwise"):
        swath.predict(bundle, places["store"], SAVE, FAR, *ON, out=tmp_path / "store")


def test_maps_and_vectors_are_sent_to_a_bucket(bundle: Path, scene: Path, bucket: Bucket, tmp_path: Path) -> None:
    local = swath.predict(bundle, scene, SAVE, *ON, out=tmp_path / "maps")["maps"][0]
    made = swath.predict(bundle, scene, SAVE, FAR, *ON, out=f"{bucket.url}/maps")["maps"][0]
    names = {k: Path(local[k]).name for k in ("map", "probabilities")}
    assert {k: made[k] for k in names} == {k: f"{bucket.url}/maps/{n}" for k, n in names.items()}
    assert sorted(bucket.keys()) == sorted(f"maps/{n}" for n in names.values())
    for key, name in names.items():
        assert bucket.get(f"maps/{name}") == Path(local[key]).read_bytes()
    assert swath.predict(bundle, scene, SAVE, FAR, *ON, out=f"{bucket.url}/maps")["maps"][0]["already_done"]
    with pytest.raises(ResourceError, match="made otherwise"):
        swath.predict(bundle, scene, FAR, "predict.tile=64", *ON, out=f"{bucket.url}/maps")
    here = swath.vectorize(local["map"], out=tmp_path / "v.gpkg")
    there = swath.vectorize(made["map"], FAR, out=f"{bucket.url}/v.gpkg")
    assert (there["classes"], there["vectors"]) == (here["classes"], f"{bucket.url}/v.gpkg")
    assert bucket.get("v.gpkg") == (tmp_path / "v.gpkg").read_bytes()
    with pytest.raises(ResourceError, match="there already"):
        swath.vectorize(made["map"], FAR, out=f"{bucket.url}/v.gpkg")
    assert swath.info(f"{bucket.url}/v.gpkg", FAR)["kind"] == "vector"
    assert swath.info(made["map"], FAR)["kind"] == "map"


def test_a_bucket_that_does_not_tell_takes_no_output_unasked(
    bundle: Path, scene: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(name: str, key: str, where: str) -> None:
        raise refused(where, 403)

    monkeypatch.setattr(bucket_module, "head", denied)
    with pytest.raises(DataError) as e:
        swath.predict(bundle, scene, FAR, *ON, out=f"{bucket.url}/maps")
    assert e.value.code == "remote-denied"
    assert bucket.keys() == []


def test_what_differs_at_the_store_is_no_output(
    bundle: Path, scene: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "_same", lambda made, file: False)
    with pytest.raises(DataError) as e:
        swath.predict(bundle, scene, FAR, *ON, out=f"{bucket.url}/maps")
    assert e.value.code == "write-unverified"
    monkeypatch.undo()


def test_an_output_in_parts_is_compared_too(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PART", 5 * 1024 * 1024)
    file = tmp_path / "large"
    file.write_bytes(np.random.default_rng(0).bytes(11_000_000))
    bucket_module.put(file, bucket.name, "large", f"{bucket.url}/large")
    assert bucket.get("large") == file.read_bytes()
    made = bucket.client.head_object(Bucket=bucket.name, Key="large")
    assert made["ETag"].endswith('-3"')
    assert bucket_module._same(made, file)
    with file.open("r+b") as f:
        f.write(b"other")
    assert not bucket_module._same(made, file)


def test_nothing_is_sent_where_it_cannot_go(bundle: Path, scene: Path, bucket: Bucket, web: Web, trained: Path) -> None:
    with pytest.raises(DataError) as e:
        swath.predict(bundle, scene, FAR, *ON, out="s3://no-such-bucket-at-all/maps")
    assert e.value.code == "remote-bucket"
    with pytest.raises(ConfigError, match="takes no files"):
        swath.predict(bundle, scene, FAR, *ON, out=f"{web.url}/maps")
    with pytest.raises(ConfigError, match=r"runtime\.remote"):
        swath.predict(bundle, scene, *ON, out=f"{bucket.url}/maps")
    with pytest.raises(ConfigError, match="a run is a local directory"):
        swath.run(trained, FAR, f"output={bucket.url}/run")
    assert bucket.keys() == []


@pytest.fixture
def far_town(town: Path, bucket: Bucket, web: Web, tmp_path: Path) -> Path:
    """A config whose manifest, images and labels lie in a bucket, but for one image on a web server."""
    rows = (town.parent / "scenes.csv").read_text().splitlines()
    first = rows[1].split(",")[0]
    shutil.copy(town.parent / first, web.folder / first)
    rows[1] = rows[1].replace(first, f"{web.url}/{first}?X-Amz-Signature=hush-hush", 1)
    for path in town.parent.iterdir():
        if path.suffix in (".tif", ".gpkg"):
            bucket.put(f"town/{path.name}", path)
    bucket.put("town/scenes.csv", "\n".join(rows).encode())
    config = tmp_path / "far" / town.name
    config.parent.mkdir()
    config.write_text(
        town.read_text()
        .replace("scenes: scenes.csv", f"scenes: {bucket.url}/town/scenes.csv")
        .replace("runtime: {", "runtime: {remote: true, ")
    )
    return config


def test_a_run_on_remote_scenes_equals_the_local_one(far_town: Path, own_town: Path, bucket: Bucket) -> None:
    near, far = swath.run(own_town), swath.run(far_town)
    assert far["scores"]["classes"] == near["scores"]["classes"]
    for a, b in zip(near["maps"], far["maps"], strict=True):
        assert np.array_equal(read(a["map"]), read(b["map"]))
    store = "samples.store/records.bin"
    assert (Path(far["run"]) / store).read_bytes() == (Path(near["run"]) / store).read_bytes()
    assert (Path(far["run"]) / "map.png").exists()
    assert text_leaks(Path(far["run"]), KEY, SECRET, "hush") == []
    assert swath.run(far_town)["executed"] == []


def test_remote_scenes_are_refused_where_the_config_is_silent(far_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far_town.write_text(far_town.read_text().replace("remote: true, ", ""))
    for verb in ("check", "sample", "train", "run"):
        assert main([verb, str(far_town)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert "runtime.remote=true" in lines[-1]
        assert lines[-1].startswith("error: s3://")
    assert main(["sample", str(far_town), FAR, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"]["trn"] > 0


def test_check_tells_of_remote_files(far_town: Path, bucket: Bucket, web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(far_town)]) == 0
    shown = capsys.readouterr()
    assert "hush" not in shown.out + shown.err
    first = next(p.name for p in web.folder.iterdir())
    web.status[f"/{first}"] = 403
    result = swath.check(far_town)
    found = [f for f in result["findings"] if f["level"] == "error"]
    assert [(f["code"], f["where"]) for f in found] == [("remote-denied", f"{web.url}/{first}?...")]
    rest = swath.check(f"{bucket.url}/town/scenes.csv", overrides=[FAR])
    assert not rest["ok"]
    assert {f["code"] for f in rest["findings"] if f["level"] == "error"} == {"remote-denied"}
    bucket.client.delete_object(Bucket=bucket.name, Key=f"town/{first.replace('.tif', '.gpkg')}")
    codes = {f["code"]: f["where"] for f in swath.check(far_town)["findings"] if f["level"] == "error"}
    assert codes["file-missing"] == f"{bucket.url}/town/{first.replace('.tif', '.gpkg')}"
    assert main(["check", f"{web.url}/{first}"]) == 2
    assert "runtime.remote=true" in capsys.readouterr().err


def test_scores_on_a_remote_manifest(far_town: Path, trained: Path, bundle: Path, bucket: Bucket) -> None:
    near = swath.evaluate(bundle, trained.parent / "scenes.csv", *ON, split=None)
    far = swath.evaluate(bundle, f"{bucket.url}/town/scenes.csv", FAR, *ON, split=None)
    assert far["classes"] == near["classes"]
    assert swath.evaluate(bundle, far_town, FAR, *ON, split=None)["mean_iou"] == near["mean_iou"]
