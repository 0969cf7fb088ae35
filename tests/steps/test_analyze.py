"""The preview is what `sample` then gives; it is kept while nothing that it depends on changes; its advice can be taken."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import yaml
from tiny_town import SIDE, corner, pixels, squares, truth, write_image

import swath
from swath.cli import main
from swath.core.errors import DataError
from swath.disk.projects.project import load_project
from swath.disk.samples.rastersamples import RasterSamples
from swath.steps.analyze import MOST_ROWS, render

pytest_plugins = ["fixtures_run"]

SETTINGS = [
    (),
    ("sample.min_annotated=0.2",),
    ("sample.class_min={roof: 0.1, background: 0.5}", "sample.overlap=0.5"),
    ("sample.class_min={roof: 0.2, background: 0.9}", "sample.class_mode=any"),
    ("sample.min_annotated=0.05", "sample.limit={trn: 6, tst: 2, val: 40}"),
    ("sample.edge=pad", "sample.tile=40", "split.by=chessboard", "split.block=48"),
    ("split.by=interleave", "split.val=0.25", "split.tst=0.2", "split.order=random", "split.files=1"),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_gdl_057_the_preview_equals_what_sample_produces(own_town: Path, settings: tuple[str, ...]) -> None:
    _speckle(own_town)
    told = swath.analyze(own_town, *settings)
    made = swath.sample(own_town, *settings)
    assert told["samples"] == made["samples"]
    assert told["dropped"] == made["dropped"]
    assert told["splits"] == made["classes"]
    assert told["leakage"] == made["leakage"]
    assert sum(s["samples"] for s in told["scenes"]) == sum(made["samples"].values())
    for split in ("trn", "val", "tst"):
        rasters = RasterSamples(load_project(own_town, settings), split, 10**9)
        assert len(rasters.places) == told["samples"][split]


def _speckle(config: Path) -> None:
    """Nodata in a corner, so that samples are dropped for that, too."""
    with rasterio.open(config.parent / "north.tif", "r+") as image:
        data = image.read()
        data[:, :40, :40] = 0
        image.write(data)
        image.nodata = 0


def test_a_split_that_the_filters_empty_is_shown_not_refused(own_town: Path) -> None:
    told = swath.analyze(own_town, "sample.min_annotated=1")
    assert told["samples"]["trn"] == 0
    assert told["splits"]["trn"]["roof"] == {"pixels": 0, "share": None}
    assert told["dropped_by_split"]["trn"] == {"annotated share": 16}
    with pytest.raises(DataError):
        swath.sample(own_town, "sample.min_annotated=1")


def test_gdl_054_the_table_is_kept_until_what_it_depends_on_changes(own_town: Path) -> None:
    first = swath.analyze(own_town)
    assert not first["cached"]
    assert swath.analyze(own_town)["cached"]
    again = swath.analyze(own_town, "sample.min_annotated=0.1", "bands.method=minmax", "sample.limit={trn: 3}")
    assert again["cached"]  # rules that judge the table do not change it
    assert again["samples"]["trn"] == 3
    assert not swath.analyze(own_town, "sample.tile=48")["cached"]
    assert not swath.analyze(own_town)["cached"]
    assert not swath.analyze(own_town, "split.val=0.3")["cached"]
    assert not swath.analyze(own_town)["cached"]
    write_image(own_town.parent / "south.tif", pixels(truth(squares(9)), 9), corner(1))
    assert not swath.analyze(own_town)["cached"]
    table = Path(first["table"])
    table.write_text(table.read_text().replace("north", "nurth"))
    assert not swath.analyze(own_town)["cached"]
    assert "nurth" not in table.read_text()
    last = [{**swath.analyze(own_town), "seconds": 0} for _ in range(2)]
    assert last[0] == last[1]


def test_the_table_has_a_row_per_candidate(own_town: Path) -> None:
    told = swath.analyze(own_town, "sample.min_annotated=0.3")
    with Path(told["table"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(told["samples"].values()) + sum(told["dropped"].values())
    assert [*rows[0]][:4] == ["scene", "split", "row", "col"]
    for row in rows:
        if row["split"] == "tst":
            r, c = int(row["row"]), int(row["col"])
            roof = truth(squares(2))[r : r + 32, c : c + 32].sum()
            assert int(row["pixels_roof"]) == roof
            assert float(row["share_roof"]) == pytest.approx(roof / 1024, rel=1e-5)


def test_gdl_055_the_suggestion_can_be_pasted_and_holds(own_town: Path) -> None:
    told = swath.analyze(own_town, "sample.overlap=0.5", search=True)
    both, advice = told["search"]["both"], told["suggestion"]
    assert both["std"]["after"] < both["std"]["before"]
    assert advice["values"]["sample.min_annotated"] == both["min_annotated"] > 0
    parsed = yaml.safe_load(advice["text"])
    assert parsed["sample"]["min_annotated"] == both["min_annotated"]
    taken = [f"{key}={json.dumps(value)}" for key, value in advice["values"].items()]
    after = swath.analyze(own_town, "sample.overlap=0.5", *taken)
    assert after["samples"]["trn"] == both["samples"]["after"]
    shares = [c["share"] for c in after["splits"]["trn"].values()]
    assert np.std(shares) == pytest.approx(both["std"]["after"])
    assert told["search"]["min_annotated"]["tried"][0]["threshold"] == 0
    assert "tried" not in after["search"]["both"]


def test_the_suggestion_replaces_rules_of_the_config_whatever_classes_are_called(own_town: Path) -> None:
    name = 'say "roof": #1 \\'
    config = yaml.safe_load(own_town.read_text())
    config["classes"][1] = {"name": name}
    own_town.write_text(yaml.safe_dump(config))
    rules = ["sample.min_annotated=0.02", "sample.class_min={background: 0.3}", "sample.class_mode=any"]
    told = swath.analyze(own_town, "sample.overlap=0.5", *rules)
    best = min(told["search"].values(), key=lambda found: found["std"]["after"])
    config["sample"] = {**config.get("sample", {}), "overlap": 0.5, "min_annotated": 0.02, "class_min": {"background": 0.3},
                        "class_mode": "any", **yaml.safe_load(told["suggestion"]["text"])["sample"]}  # fmt: skip
    own_town.write_text(yaml.safe_dump(config))
    after = swath.analyze(own_town)
    assert after["samples"]["trn"] == best["samples"]["after"] < best["samples"]["before"]
    assert np.std([c["share"] for c in after["splits"]["trn"].values()]) == pytest.approx(best["std"]["after"])
    only_floor = swath.analyze(own_town, f"sample.class_min={json.dumps({name: 0.1})}")
    assert only_floor["samples"]["trn"] > 0


def test_what_a_store_was_made_with_is_left_alone(own_town: Path) -> None:
    swath.sample(own_town)
    store = own_town.parent / "runs" / "roofs" / "samples.store"
    before = {p.name: p.read_bytes() for p in store.iterdir()}
    swath.analyze(own_town, "sample.tile=48")
    assert {p.name: p.read_bytes() for p in store.iterdir()} == before
    assert not [p for p in store.parent.rglob("*.part*")]


def test_the_picture_is_a_chart(own_town: Path) -> None:
    with rasterio.open(swath.analyze(own_town)["picture"]) as chart:
        assert chart.width > 900
        assert len(np.unique(chart.read(1))) > 10


def test_without_matplotlib_there_is_no_picture(own_town: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("swath.steps.analyze.find_spec", lambda name: None)
    assert swath.analyze(own_town)["picture"] is None
    assert "note: no chart is drawn, as matplotlib is not installed" in capsys.readouterr().err


def test_a_band_that_is_the_label_is_named_and_left_out(own_town: Path) -> None:
    for n, name in enumerate(("north", "south", "west")):
        labels = truth(squares(n))
        leaky = np.concatenate([pixels(labels, n), 9 - 4 * labels[None].astype(np.uint16)])
        write_image(own_town.parent / f"{name}.tif", leaky, corner(n))
    told = swath.analyze(own_town)
    assert [b["band"] for b in told["bands"] if b["suspicious"]] == [4]
    assert told["bands"][3]["kappa"] == 1
    assert told["suggestion"]["values"]["bands.select"] == [1, 2, 3]
    assert not any(b["suspicious"] for b in swath.analyze(own_town, "bands.select=[1, 2, 3]")["bands"])


def test_on_the_command_line(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(own_town), "--search", "sample.min_annotated=0.1"]) == 0
    out = capsys.readouterr().out
    for words in ("split  samples", "dropped in trn: ", "x annotated share", "thresholds", "share of", "kappa alone", "leakage: none",
                  "suggestion", "split.block = 32: about 16 blocks", "tiles.csv"):  # fmt: skip
        assert words in out
    assert main(["analyze", str(own_town), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"splits", "suggestion", "samples", "dropped", "scenes", "search", "bands", "leakage", "table", "picture"} <= set(told)
    assert {*told["splits"]} == {"trn", "val", "tst"}
    assert main(["analyze", str(own_town), "sample.class_min={rof: 1}"]) == 2


def test_many_scenes_and_bands_are_cut_short(own_town: Path) -> None:
    told = swath.analyze(own_town)
    more = {**told, "scenes": told["scenes"] * 9, "bands": told["bands"] * 9}
    text = render(more)
    assert f"... and {9 * len(told['scenes']) - MOST_ROWS} more" in text
    assert f"... and {9 * len(told['bands']) - MOST_ROWS} more" in text


@pytest.mark.real
def test_water_names_band_12_alone_of_the_honest_ones(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(f"scenes: {data_dir}/water/scenes.csv\nclasses: {{1: water}}\nsplit: {{val: 0.2}}\n")
    told = swath.analyze(tmp_path / "w.yaml")
    suspicious = {b["band"] for b in told["bands"] if b["suspicious"]}
    assert 12 in suspicious
    assert not suspicious & {1, 2, 3, 4, 5, 6, 7}
    assert told["samples"] == {"trn": 120, "val": 30, "tst": 51}


@pytest.mark.real
@pytest.mark.parametrize("folder", ["massachusetts", "cells", "kampala"])
def test_honest_data_raises_no_alarm(data_dir: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "c.yaml").write_text(f"scenes: {data_dir}/{folder}/scenes.csv\nclasses: {{1: foreground}}\n")
    told = swath.analyze(tmp_path / "c.yaml")
    assert not any(b["suspicious"] for b in told["bands"])
    assert told["leakage"]["ok"]


def test_limits_draw_the_same_subset(own_town: Path) -> None:
    def chosen(*more: str) -> set[tuple[str, str, str]]:
        project = load_project(own_town, ["sample.limit={trn: 5}", "sample.overlap=0.5", *more])
        found = RasterSamples(project, "trn", 0)
        return {(str(p.scene), str(p.read.row), str(p.read.col)) for p in found.places}

    first = chosen()
    assert len(first) == 5
    assert first == chosen()
    assert len({frozenset(chosen(f"split.seed={s}")) for s in range(4)}) == 4


def test_gdl_079_more_than_there_are_is_said(own_town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = swath.sample(own_town, "sample.limit={trn: 10, val: 9999}")
    assert made["samples"]["trn"] == 10
    assert f"note: sample.limit wants 9999 samples of val, there are {made['samples']['val']}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings", [(), ("sample.limit={trn: 7, tst: 4}", "sample.tile=16"), ("sample.min_annotated=0.15", "sample.reject_nodata=any")]
)
def test_the_preview_of_samples_around_points(own_town: Path, make_vector: Callable[..., Path], settings: tuple[str, ...]) -> None:
    _speckle(own_town)
    chance = np.random.default_rng(3)
    places = [shapely.Point(corner(n) @ tuple(chance.uniform(-4, SIDE + 4, 2))) for n in (0, 1, 2) for _ in range(30)]
    make_vector(own_town.parent / "points.gpkg", places, {"class": [1] * 90})
    settings = ("sample.points=points.gpkg", *settings)
    told, made = swath.analyze(own_town, *settings), swath.sample(own_town, *settings)
    assert (told["samples"], told["dropped"], told["splits"]) == (made["samples"], made["dropped"], made["classes"])
    assert told["dropped"]["patch outside the image"] > 0
    assert swath.analyze(own_town, *settings)["cached"]


def test_two_points_of_one_id_in_one_pixel_are_two_samples(own_town: Path, make_vector: Callable[..., Path]) -> None:
    places = [shapely.Point(corner(n) @ (SIDE / 2 + d, SIDE / 2)) for n in (0, 1, 2) for d in (0.2, 0.7)]
    make_vector(own_town.parent / "points.gpkg", places, {"class": [1] * 6, "id": [7] * 6})
    settings = ("sample.points=points.gpkg", "sample.tile=16", "split.by=none")
    told, made = swath.analyze(own_town, *settings), swath.sample(own_town, *settings)
    assert (told["samples"], told["splits"]) == (made["samples"], made["classes"])
    assert told["samples"] == {"trn": 4, "val": 0, "tst": 1}  # a scored pixel counts once
