"""Faulty features land in a layer, each with its id, place and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from pyogrio.raw import read
from pyogrio.raw import write as write_vector
from tiny_town import UTM, corner, write_image

import swath
from swath.core.errors import ResourceError

BOW = shapely.Polygon([(0, 0), (8, 8), (8, 0), (0, 8)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A scene with a good square, a bow tie, the square again, a line, a null geometry, and a class that nobody knows."""
    place = corner(0)
    write_image(tmp_path / "a.tif", np.random.default_rng(0).integers(1, 99, (1, 64, 64)).astype(np.uint8), place)
    shapes = [shapely.box(10, 10, 20, 20), BOW, shapely.box(10, 10, 20, 20), shapely.LineString([(0, 0), (9, 9)]), None,
              shapely.box(30, 30, 40, 40)]  # fmt: skip
    moved = [None if s is None else shapely.transform(s, lambda xy: np.column_stack([583_000 + xy[:, 0] / 2, 4_507_000 - xy[:, 1] / 2]))
             for s in shapes]  # fmt: skip
    write_vector(tmp_path / "l.gpkg", geometry=shapely.to_wkb(np.array(moved, object)), fields=["class"],
                 field_data=[np.array([1, 1, 1, 1, 1, 7])], crs=UTM, geometry_type="Unknown", driver="GPKG")  # fmt: skip
    (tmp_path / "c.yaml").write_text("scenes: [{image: a.tif, labels: l.gpkg}]\nclasses: {field: class, 1: roof}\n")
    return tmp_path / "c.yaml"


def rows(path: Path) -> dict[int, tuple[str, str]]:
    _, _, _, (_, ids, faults, details) = read(path, layer="faults")
    return {int(i): (f, d) for i, f, d in zip(ids, faults, details, strict=True)}


def test_every_faulty_feature_is_in_the_layer(config: Path, tmp_path: Path) -> None:
    result = swath.check(config, faults=tmp_path / "faults.gpkg")
    assert not result["ok"]
    assert result["faulty_features"] == 5
    told = {f["code"]: f["message"] for f in result["findings"]}
    assert "1 (feature ids 5); skipped" in told["geometry-empty"]  # ROOF-020: told as null, not as lying outside
    assert "lie outside" not in " ".join(told.values())
    found = rows(tmp_path / "faults.gpkg")
    assert found[2][0] == "invalid geometry"
    assert "Self-intersection" in found[2][1]
    assert found[3] == ("there twice", "equal to feature 1")
    assert found[4][0] == "point or line"
    assert found[5] == ("empty geometry", "")
    assert found[6] == ("unknown class", "7")
    meta, _, geometry, _ = read(tmp_path / "faults.gpkg", layer="faults")
    assert meta["crs"] == UTM
    assert min(shapely.from_wkb(g).bounds[0] for g in geometry if g is not None) == pytest.approx(583_000)


def test_files_by_themselves_and_files_in_the_way(config: Path, tmp_path: Path) -> None:
    target = tmp_path / "faults.gpkg"
    swath.check(config.parent / "l.gpkg", faults=target)
    assert rows(target)[2][0] == "invalid geometry"
    assert rows(target)[5] == ("empty geometry", "")
    before = target.read_bytes()
    with pytest.raises(ResourceError, match="is there already"):
        swath.check(config, faults=target)
    swath.check(config.parent / "l.gpkg", faults=target, overwrite=True)
    assert target.read_bytes() == before


def test_nothing_wrong_gives_an_empty_layer(config: Path, tmp_path: Path) -> None:
    swath.check(config.parent / "a.tif", faults=tmp_path / "none.gpkg")
    assert rows(tmp_path / "none.gpkg") == {}
