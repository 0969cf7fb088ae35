"""Real data behind a web server and in a bucket: equal to the local files, whatever their names, formats and items."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import Bucket, Web

import swath
from swath.core.windows import Window
from swath.disk.rasters.raster import RasterReader, raster_info
from swath.disk.remote.access import location, remote_access
from swath.disk.sources.cells import cell_image

pytest_plugins = ["fixtures_servers"]
pytestmark = pytest.mark.real
FAR = "runtime.remote=true"
VEGAS = "SpaceNet_AOI_2_Las_Vegas-056155973080_01_P001-WV03"


def told(result: dict[str, Any], place: str) -> list[Any]:
    """Findings and inputs without the place of the files."""
    return json.loads(json.dumps([result["findings"], result["inputs"]]).replace(place, "PLACE"))


@pytest.mark.parametrize("name", ["massachusetts", "kampala"])
def test_check_says_the_same_of_a_bucket(data_dir: Path, bucket: Bucket, name: str) -> None:
    folder = data_dir / name
    for file in folder.iterdir():
        bucket.put(f"{name}/{file.name}", file)
    near = swath.check(folder / "scenes.csv")
    far = swath.check(f"{bucket.url}/{name}/scenes.csv", overrides=[FAR])
    assert near["inputs"]
    assert told(far, f"{bucket.url}/{name}") == told(near, str(folder.absolute()))


def test_names_with_spaces_and_commas_are_read(data_dir: Path, web: Web, bucket: Bucket) -> None:
    local = sorted((data_dir / "nc_coast").glob("*B0[12].tiff"))
    assert len(local) == 2
    for path in local:
        shutil.copy(path, web.folder / path.name)
        with remote_access(True):
            places = [location(f"{web.url}/{path.name}"), location(bucket.put(f"a b, c/{path.name}", path))]
        here = raster_info(path)
        box = Window(here.grid.height // 3, here.grid.width // 3, 200, 220)
        for place in places:
            there = raster_info(place)
            assert (there.grid, there.dtypes, there.block) == (here.grid, here.dtypes, here.block)
            assert place.name == path.name
            for a, b in zip(RasterReader(place).read(box), RasterReader(path).read(box), strict=True):
                assert np.array_equal(a, b)


def test_a_real_item_is_read_from_afar_and_fetched(data_dir: Path, web: Web, bucket: Bucket, tmp_path: Path) -> None:
    source = data_dir / "las_vegas"
    item = json.loads((source / f"{VEGAS}.json").read_text())
    at_hand = {a: e for a, e in item["assets"].items() if (source / Path(e["href"]).name).exists()}
    assert sorted(at_hand) == ["B", "G", "N", "R"]
    for entry in at_hand.values():
        name = Path(entry["href"]).name
        shutil.copy(source / name, web.folder / name)
        entry["href"] = f"{web.url}/{name}"
    far = bucket.put("items/vegas.json", json.dumps({**item, "assets": at_hand}).encode())
    local = cell_image(f"{VEGAS}.json", source)
    with remote_access(True):
        remote = cell_image(far, tmp_path)
    assert remote.parts[0].names == local.parts[0].names  # type: ignore[union-attr]
    assert [f.name for f in remote.files] == [f.name for f in local.files]  # type: ignore[union-attr]
    result = swath.fetch(far, out=tmp_path / "out")
    assert (result["ok"], result["fetched"]) == (True, 5)
    folder = tmp_path / "out" / VEGAS
    for path in local.files:  # type: ignore[union-attr]
        assert (folder / path.name).read_bytes() == path.read_bytes()
    fetched = cell_image("vegas.json", folder)
    assert fetched.files == tuple(folder / p.name for p in local.files)  # type: ignore[union-attr]
