"""Each way of splitting does what it says on scenes of files; no window of one split touches another's buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_town import SIDE, corner, pixels, squares, truth, write_image, write_squares

from swath.core.errors import ConfigError, DataError
from swath.core.splits import SPLITS, Region
from swath.core.windows import Window
from swath.disk.audits.classes import lay_out
from swath.disk.projects.project import Project, load_project
from swath.disk.samples.plan import plan_places

pytest_plugins = ["fixtures_run"]
Projects = Callable[..., Project]
WHOLE = Window(0, 0, SIDE, SIDE)


def reasons(project: Project) -> dict[str, tuple[object, str]]:
    return {key: (value, because) for key, value, because in project.settle()}


def masks(project: Project, scene: int) -> dict[str, NDArray[np.bool_]]:
    return {r.split: r.mask(WHOLE) for r in project.regions[scene]}


def many(folder: Path, number: int, extra: str = "", rows: Callable[[int], str] = lambda n: "") -> Path:
    """A manifest of `number` scenes, label rasters of two classes, and its config."""
    lines = [f"image,labels{extra}"]
    for n in range(number):
        labels = truth(squares(n))
        write_image(folder / f"s{n:03}.tif", pixels(labels, n), corner(n))
        write_image(folder / f"l{n:03}.tif", labels[None], corner(n))
        lines.append(f"s{n:03}.tif,l{n:03}.tif{rows(n)}")
    (folder / "scenes.csv").write_text("\n".join(lines))
    (folder / "c.yaml").write_text("scenes: scenes.csv\nclasses: {1: roof}\nsample: {tile: 32}\nsplit: {buffer: 8}\n")
    return folder / "c.yaml"


def split_of(project: Project) -> list[str]:
    return ["+".join(r.split for r in parts) for parts in project.regions]


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask with every pixel that is at most `by` rows and columns away."""
    padded = np.pad(mask, by)
    out = np.zeros_like(padded)
    for dr in range(-by, by + 1):
        out |= np.roll(padded, dr, 0)
    wide = np.zeros_like(out)
    for dc in range(-by, by + 1):
        wide |= np.roll(out, dc, 1)
    return wide[by:-by, by:-by] if by else mask


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(by=st.sampled_from(["block", "chessboard", "interleave"]), block=st.integers(17, 60), buffer=st.integers(0, 8),
       val=st.floats(0.1, 0.4), tst=st.sampled_from([0.0, 0.2]), stratify=st.booleans(), seed=st.integers(0, 9))  # fmt: skip
def test_no_split_comes_near_another(town: Path, by: str, block: int, buffer: int, val: float, tst: float, stratify: bool, seed: int) -> None:
    """Labels of two splits are more than the buffer apart, and together with the buffers they cover every pixel."""
    chosen = {"by": by, "block": block, "buffer": buffer, "val": val, "tst": tst, "stratify": str(stratify).lower(), "seed": seed,
              "order": "random"}  # fmt: skip
    both = "scenes=[{image: north.tif, labels: north.gpkg}, {image: south.tif, labels: south.gpkg}]"
    project = load_project(town, [both, *(f"split.{key}={value}" for key, value in chosen.items())])
    seen = {split for parts in project.regions for split in (r.split for r in parts)}
    assert seen >= {"trn", "val"}
    for scene in (0, 1):
        found = masks(project, scene)
        for a in found:
            for b in found:
                assert a == b or not (grown(found[a], buffer) & found[b]).any()
        held = np.any([found[s] for s in found if s != "trn"] or [np.zeros((SIDE, SIDE), bool)], axis=0)
        assert (found["trn"] | grown(held, 2 * buffer)).all()
        for split in SPLITS:
            covered = np.zeros((SIDE, SIDE), bool)
            for place in plan_places(project, split):
                if place.scene == scene:
                    covered[place.core.clip(SIDE, SIDE).slices()] = True
            assert (covered | ~found.get(split, np.zeros((SIDE, SIDE), bool))).all()


def test_nist_006_images_are_held_out_whole(tmp_path: Path) -> None:
    config = many(tmp_path, 20)
    for overrides in (["split.val=0.2"], ["split.val=0.2", "split.stratify=false"]):
        found = split_of(load_project(config, overrides))
        assert sorted(found) == ["trn"] * 16 + ["val"] * 4
    chances = {tuple(split_of(load_project(config, ["split.val=0.2", "split.stratify=false", f"split.seed={s}"]))) for s in range(4)}
    assert len(chances) == 4


def test_roof_024_groups_stay_together(tmp_path: Path) -> None:
    config = many(tmp_path, 24, ",group", lambda n: f",g{n % 8}")
    project = load_project(config, ["split.val=0.25", "split.tst=0.125"])
    found = split_of(project)
    for g in range(8):
        assert len({found[n] for n in range(g, 24, 8)}) == 1
    assert {s: found.count(s) for s in SPLITS} == {"trn": 15, "val": 6, "tst": 3}
    assert reasons(project)["split.by"] == ("group", "8 groups of training scenes: enough to hold out whole ones")
    few = load_project(config, ["scenes=[{image: s000.tif, labels: l000.tif, group: a}, {image: s001.tif, labels: l001.tif, group: a}]"])
    assert reasons(few)["split.by"] == ("block", "1 groups of training scenes: too few")


def test_groups_on_request_need_not_be_many(tmp_path: Path) -> None:
    config = many(tmp_path, 4, ",group", lambda n: f",{'ab'[n % 2]}")
    assert split_of(load_project(config, ["split.by=group", "split.val=0.5"])) == ["val", "trn"] * 2


def test_rows_of_one_image_stay_together(tmp_path: Path) -> None:
    config = many(tmp_path, 8)
    manifest = tmp_path / "scenes.csv"
    manifest.write_text(manifest.read_text() + "\ns003.tif,l003.tif\n")
    for seed in range(6):
        found = split_of(load_project(config, ["split.by=scene", "split.val=0.3", "split.stratify=false", f"split.seed={seed}"]))
        assert found[3] == found[8]


def test_otb_014_interleaved_blocks_hold_the_proportions(tmp_path: Path) -> None:
    project = load_project(many(tmp_path, 2), ["split.by=interleave", "split.block=24", "split.buffer=0", "split.val=0.25", "split.tst=0.25"])
    area = {s: sum(int(masks(project, i)[s].sum()) for i in (0, 1)) for s in SPLITS}
    assert area == {"trn": SIDE**2, "val": SIDE**2 // 2, "tst": SIDE**2 // 2}


def test_otb_015_none_trains_everything(project: Projects) -> None:
    town = project("split.by=none", "split.val=0.5", "split.tst=0.5")
    assert [[r.split for r in parts] for parts in town.regions] == [["trn"], ["trn"], ["tst"]]
    assert town.regions[0] == (Region("trn"),)
    assert plan_places(town, "val") == []


def test_a_buffer_that_eats_the_blocks_is_refused(project: Projects) -> None:
    with pytest.raises(ConfigError, match=r"split\.buffer: 16 pixels on every side leave nothing of blocks of 32"):
        _ = project("split.by=chessboard", "split.block=32", "split.buffer=16").regions


def test_nothing_to_train_on_is_refused(project: Projects) -> None:
    with pytest.raises(ConfigError, match=r"split\.val and split\.tst leave nothing for training"):
        project("split.by=interleave", "split.val=0.5", "split.tst=0.5")


def test_roof_035_only_the_first_files_train(tmp_path: Path) -> None:
    config = many(tmp_path, 10)
    every, few = (load_project(config, ["split.val=0.2", *more]) for more in ([], ["split.files=3"]))
    assert [r for r in split_of(few) if r == "val"] == [r for r in split_of(every) if r == "val"]
    assert [i for i, s in enumerate(split_of(few)) if s == "trn"] == [i for i, s in enumerate(split_of(every)) if s == "trn"][:3]
    assert few.events.as_dict()["training scene beyond split.files left out"] == 5
    assert {p.scene for p in plan_places(few, "trn")} == {i for i, s in enumerate(split_of(few)) if s == "trn"}


def fields(folder: Path, side: int) -> Path:
    """A scene of 640 pixels with fields of `side` pixels of one of two classes."""
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (-(-640 // side),) * 2), np.ones((side, side), int))[:640, :640].astype(np.uint8)
    write_image(folder / "f.tif", labels[None] * np.uint8(50) + np.uint8(9), corner(0))
    write_image(folder / "g.tif", labels[None], corner(0))
    (folder / "f.yaml").write_text("scenes: [{image: f.tif, labels: g.tif}]\nclasses: {1: crop}\nsample: {tile: 64}\n")
    return folder / "f.yaml"


def test_blocks_are_as_large_as_labels_resemble_each_other(tmp_path: Path) -> None:
    small = reasons(load_project(fields(tmp_path, 16)))
    assert small["split.block"][0] == 64
    large = reasons(load_project(fields(tmp_path, 160)))
    assert large["split.block"][0] in (96, 128)
    assert "labels resemble each other up to " in large["split.block"][1]
    huge = reasons(load_project(fields(tmp_path, 320)))
    assert huge["split.block"][0] == 160  # 16 blocks are left


def test_too_few_labels_are_told(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", pixels(truth([]), 0), corner(0))
    write_squares(tmp_path / "a.gpkg", [(0, 0, 9)], corner(0))
    (tmp_path / "a.yaml").write_text("scenes: [{image: a.tif, labels: a.gpkg}]\nclasses: {1: roof, unlabelled: ignore, 2: tree, field: class}\n")
    with pytest.raises(DataError, match="too few to hold some out"):
        _ = load_project(tmp_path / "a.yaml").regions


def test_labels_in_buffers_are_counted(tmp_path: Path) -> None:
    """Labels in few places and small blocks: what the buffers cost is told, in numbers that painting gives."""
    labels = np.full((256, 256), 255, np.uint8)
    for row, col in np.random.default_rng(2).integers(0, 240, (30, 2)):
        labels[row : row + 6, col : col + 9] = (row + col) % 3
    write_image(tmp_path / "i.tif", np.ones((3, 256, 256), np.uint8), corner(0))
    write_image(tmp_path / "l.tif", labels[None], corner(0))
    (tmp_path / "c.yaml").write_text("scenes: [{image: i.tif, labels: l.tif}]\nsample: {tile: 64}\n"
                                     "classes: {0: a, 1: b, 2: c, ignore: [255]}\nsplit: {block: 32, buffer: 24, val: 0.2}\n")  # fmt: skip
    project = load_project(tmp_path / "c.yaml")
    held = sum(r.mask(Window(0, 0, 256, 256)) for r in project.regions[0])
    lost = int(((labels != 255) & (held == 0)).sum())
    assert project.events.as_dict() == {"labelled pixel in a buffer between splits": lost}
    assert project.buffered == pytest.approx(lost / (labels != 255).sum())
    findings = {f.code: f for f in lay_out(project, {"trn"})[1]}
    assert findings["split-buffer"].level == "warning"
    (tmp_path / "c.yaml").write_text((tmp_path / "c.yaml").read_text().replace("buffer: 24, ", ""))
    default = load_project(tmp_path / "c.yaml")
    assert default.regions
    assert f"{100 * default.buffered:.2g} % of the labelled pixels lie there" in reasons(default)["split.buffer"][1]
    plain = load_project(tmp_path / "c.yaml", ["split.buffer=0"])
    assert plain.regions
    assert plain.events.as_dict() == {}
