"""Four sound scenes with polygons and a config, of which tests of `check` replace parts; and how to look at findings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine

from swath.disk.audits.audit import FINDINGS
from swath.steps.check import check_project

Make = Callable[..., Path]
UTM, OTHER = "EPSG:32618", "EPSG:32619"
SIDE, PIXEL = 128, 0.5
SPLITS = {"north": "trn", "south": "trn", "east": "val", "west": "tst"}
SETTINGS = "sample: {tile: 32}\ntrain: {crop: 32}\nmodel: {depth: 2}\n"
CLASSES = "classes: {field: class, 1: roof, 2: tree}\n"


def corner(number: int) -> Affine:
    return Affine(PIXEL, 0, 583_000 + 500 * number, 0, -PIXEL, 4_507_000)


def bands(seed: int) -> Any:
    return np.random.default_rng(seed).uniform(40, 200, (3, SIDE, SIDE)).astype(np.uint8)


def polygons(number: int) -> tuple[list[Any], list[int]]:
    """Boxes of 10 m on a grid over the n-th scene, well inside of it, with the classes 1 and 2 in turn."""
    left, top = 583_000 + 500 * number, 4_507_000
    boxes = [
        shapely.box(left + x, top - y - 10, left + x + 10, top - y) for x in (2, 20, 38, 52) for y in (2, 20, 38, 52)
    ]
    return boxes, [1 + n % 2 for n in range(len(boxes))]


def truth() -> Any:
    """A mask of two squares of 2,500 pixels, class 1 and class 2."""
    values = np.zeros((SIDE, SIDE), "uint8")
    values[10:60, 10:60], values[70:120, 70:120] = 1, 2
    return values


class Site:
    """Four scenes with polygons and a config in a folder; parts are replaced before `check`."""

    def __init__(self, folder: Path, make_raster: Make, make_vector: Make, made: Path) -> None:
        self.folder, self.make_raster, self.make_vector = folder, make_raster, make_vector
        self.rows = {
            name: {"image": f"{name}.tif", "labels": f"{name}.gpkg", "split": split} for name, split in SPLITS.items()
        }
        self.text = CLASSES + SETTINGS
        for n, name in enumerate(SPLITS if not any(made.iterdir()) else ()):
            shutil.copy(self.image(name, bands(n)), made)
            shutil.copy(self.labels(name, *polygons(n)), made)
        shutil.copytree(made, folder, dirs_exist_ok=True)

    def image(self, name: str, array: Any, **options: Any) -> Path:
        return self.make_raster(f"{name}.tif", array, **{"transform": corner(list(SPLITS).index(name)), **options})

    def labels(
        self, name: str, boxes: list[Any], values: list[Any] | None, suffix: str = "gpkg", **options: Any
    ) -> Path:
        (self.folder / f"{name}.{suffix}").unlink(missing_ok=True)
        self.rows[name]["labels"] = f"{name}.{suffix}"
        fields = None if values is None else {options.pop("field", "class"): values}
        return self.make_vector(f"{name}.{suffix}", boxes, fields, layer="labels", **options)

    def mask(self, name: str, values: Any, **options: Any) -> Path:
        self.rows[name]["labels"] = f"{name}_mask.tif"
        return self.make_raster(
            f"{name}_mask.tif", values, **{"transform": corner(list(SPLITS).index(name)), **options}
        )

    def config(self) -> Path:
        listed = json.dumps(list(self.rows.values()))
        (self.folder / "site.yaml").write_text(f"scenes: {listed}\n{self.text}")
        return self.folder / "site.yaml"

    def check(self, *overrides: str) -> dict[str, Any]:
        result = check_project(self.config(), overrides)
        assert {f["code"] for f in result["findings"]} <= set(FINDINGS)
        assert result["ok"] == (not levels(result, "error"))
        json.dumps(result, allow_nan=False)
        return result


def levels(result: dict[str, Any], *wanted: str) -> list[str]:
    return [f["code"] for f in result["findings"] if f["level"] in wanted]


def only(result: dict[str, Any], code: str) -> dict[str, Any]:
    """The one finding with a code."""
    found = [f for f in result["findings"] if f["code"] == code]
    assert len(found) == 1, (code, [f["code"] for f in result["findings"]])
    return found[0]


def told(result: dict[str, Any], level: str, code: str, *words: str) -> dict[str, Any]:
    """The one finding with a code; it has this level and these words in its message."""
    finding = only(result, code)
    assert finding["level"] == level
    for word in words:
        assert word in finding["message"], finding["message"]
    return finding
