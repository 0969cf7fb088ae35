"""geo-deep-learning's `bucket_name`: the rows of its lists become addresses that Swath reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from servers import Bucket
from tiny_town import write_town

import swath
from swath.config import load_config
from swath.disk.projects.project import load_project

pytest_plugins = ["fixtures_servers"]
ROWS = ".\\town\\north.tif,,./town/north.gpkg,properties/class,trn\ntown/west.tif,,town/west.gpkg,properties/class,tst\n"


@pytest.fixture
def old(tmp_path: Path, bucket: Bucket) -> Path:
    """A config whose files lie in a bucket; only the lists are on this machine."""
    for path in write_town(tmp_path / "town").parent.iterdir():
        bucket.put(f"town/{path.name}", path)
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "images.csv").write_text(ROWS)
    document = {
        "global": {"samples_size": 32, "num_classes": 1, "number_of_bands": 3, "model_name": "unetsmall",
                   "bucket_name": bucket.name},
        "sample": {"prep_csv_file": "images.csv"},
        "training": {"batch_size": 2, "num_epochs": 1},
        "inference": {"img_dir_or_csv_file": "images.csv"},
    }  # fmt: skip
    (folder / "old.yaml").write_text(yaml.safe_dump(document))
    return folder / "old.yaml"


def test_rows_become_addresses_that_are_read(old: Path, bucket: Bucket, tmp_path: Path) -> None:
    result = swath.import_("gdl", old, out=tmp_path / "new")
    row = next(r for r in result["report"] if r["key"] == "global.bucket_name")
    assert row["became"] == "runtime.remote, scenes"
    assert load_config(result["config"]).runtime.remote
    rows = Path(result["manifest"]).read_text().splitlines()
    assert rows[1:] == [
        f"s3://{bucket.name}/town/{n}.tif,s3://{bucket.name}/town/{n}.gpkg,class,{s}" for n, s in (("north", "trn"), ("west", "tst"))
    ]
    images = " ".join(f"s3://{bucket.name}/town/{n}.tif" for n in ("north", "west"))
    assert f"swath predict MODEL {images} --out maps runtime.remote=true" in result["commands"]
    project = load_project(result["config"])
    assert [i.grid.shape for i in project.infos] == [(96, 96), (96, 96)]
    assert swath.check(result["config"])["ok"]


def test_an_empty_name_is_no_bucket(old: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(old.read_text())
    document["global"]["bucket_name"] = None
    old.write_text(yaml.safe_dump(document))
    for name in ("north.tif", "north.gpkg", "west.tif", "west.gpkg"):
        assert (tmp_path / "town" / name).exists()
    result = swath.import_("gdl", old, out=tmp_path / "new")
    assert not load_config(result["config"]).runtime.remote
    assert "s3://" not in Path(result["manifest"]).read_text()
