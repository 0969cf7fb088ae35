"""No label pixel belongs to two splits; validation and test count each pixel once, training loses none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.splits import Block, Region, block_size, block_windows, carve, sample_windows
from swath.core.windows import Window

sides = st.integers(1, 60)


def painted(height: int, width: int, windows: list[Window]) -> NDArray[np.int64]:
    counts = np.zeros((height, width), np.int64)
    for window in windows:
        counts[window.clip(height, width).slices()] += 1
    return counts


@given(sides, sides, sides)
def test_blocks_partition_a_scene_without_slivers(height: int, width: int, side: int) -> None:
    blocks = block_windows(height, width, side)
    assert (painted(height, width, blocks) == 1).all()
    for length, ends in ((height, {(b.row, b.row_end) for b in blocks}), (width, {(b.col, b.col_end) for b in blocks})):
        assert all(b - a >= min(length, side / 2) for a, b in ends)
        assert all(b - a <= 1.5 * side for a, b in ends)


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=9), st.integers(32, 2000))
def test_block_size_is_a_multiple_of_the_step_within_its_limits(areas: list[int], largest: int) -> None:
    side = block_size(areas, largest)
    assert 32 <= side <= max(32, largest)
    assert side % 32 == 0 or side == largest


def test_block_size_gives_about_the_wanted_number_of_blocks() -> None:
    side = block_size([1000 * 1000, 1000 * 1000], 10_000, blocks=16)
    assert side == 352
    assert 14 <= 2_000_000 / side**2 <= 20


@st.composite
def carvings(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[Block], float, int]:
    """(scene shapes, blocks, fraction, buffer) with class counts that differ from block to block."""
    shapes = [(draw(st.integers(8, 60)), draw(st.integers(8, 60))) for _ in range(draw(st.integers(1, 3)))]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    side = draw(st.integers(6, 24))
    placed = [(n, w) for n, shape in enumerate(shapes) for w in block_windows(*shape, side)]
    blocks = [Block(n, w, rng.integers(0, w.area + 1, size=3)) for n, w in placed]
    return shapes, blocks, draw(st.just(0.0) | st.floats(1e-3, 1)), draw(st.integers(0, 12))


@given(carvings())
def test_no_label_pixel_is_in_two_splits(carving: tuple[list[tuple[int, int]], list[Block], float, int]) -> None:
    shapes, blocks, fraction, buffer = carving
    chosen = carve(blocks, fraction)
    for scene, (height, width) in enumerate(shapes):
        held = tuple(b.window for b in chosen if b.scene == scene)
        frame = Window(0, 0, height, width)
        validation = Region("val", inside=held).mask(frame)
        training = Region("trn", outside=tuple(w.pad(buffer) for w in held)).mask(frame)
        assert not (validation & training).any()
        assert validation.sum() == sum(w.area for w in held)
        for row, col in np.argwhere(validation)[:: max(1, validation.sum() // 20)]:
            near = Window(row, col, 1, 1).pad(buffer).clip(height, width)
            assert not training[near.slices()].any()


@given(carvings())
def test_carving_takes_about_the_fraction_and_never_all(
    carving: tuple[list[tuple[int, int]], list[Block], float, int],
) -> None:
    _, blocks, fraction, _ = carving
    chosen = carve(blocks, fraction)
    assert chosen == sorted(chosen, key=lambda b: (b.scene, b.window))
    assert len({(b.scene, b.window) for b in chosen}) == len(chosen)
    assert all(b.pixels.sum() > 0 for b in chosen)
    labelled = [b for b in blocks if b.pixels.sum() > 0]
    if len(labelled) > 1:
        assert len(chosen) < len(labelled)
        got, wanted = (sum(b.pixels.sum() for b in chosen), fraction * sum(b.pixels.sum() for b in blocks))
        largest = max(b.pixels.sum() for b in blocks)
        assert got <= wanted + largest
        assert got >= wanted - largest or len(chosen) == len(labelled) - 1
    else:
        assert chosen == []


@given(carvings())
def test_carving_is_deterministic_and_does_not_depend_on_the_order(
    carving: tuple[list[tuple[int, int]], list[Block], float, int],
) -> None:
    _, blocks, fraction, _ = carving
    assert carve(blocks, fraction) == carve(blocks[::-1], fraction) == carve(list(blocks), fraction)


def test_carving_keeps_the_class_shares() -> None:
    only = [[100, 0], [0, 100], [50, 50], [100, 0], [0, 100], [50, 50]]
    blocks = [Block(0, Window(0, 10 * i, 10, 10), np.array(p)) for i, p in enumerate(only)]
    chosen = carve(blocks, 1 / 6)
    assert [b.pixels.tolist() for b in chosen] == [[50, 50]]


def test_a_class_of_one_block_is_left_to_training() -> None:
    """Without the rule the second block would be taken: it alone has the shares of all."""
    only = [[60, 40, 0], [50, 45, 5], [40, 60, 0], [30, 70, 0], [70, 30, 0]]
    blocks = [Block(0, Window(0, 10 * i, 10, 10), np.array(p)) for i, p in enumerate(only)]
    for fraction in (0.2, 0.4, 0.6):
        chosen = carve(blocks, fraction)
        assert len(chosen) == round(5 * fraction)
        assert blocks[1] not in chosen


@given(st.integers(0, 9999), st.integers(6, 40), st.integers(2, 6), st.floats(0.1, 0.5))
def test_a_rare_class_of_several_blocks_is_held_out_and_trained_on(seed: int, count: int, few: int, fraction: float) -> None:
    """A class of some thousandths of the pixels weighs nothing among shares; it is not left to chance all the same."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((count, 4), np.int64)
    pixels[:, :3] = rng.dirichlet([2, 2, 1], count) * 10_000 + 1
    rare = rng.choice(count, min(few, count - 2), replace=False)
    pixels[rare, 3] = rng.integers(20, 60, len(rare))
    blocks = [Block(0, Window(0, 10 * i, 10, 10), p) for i, p in enumerate(pixels)]
    held = np.sum([b.pixels for b in carve(blocks, fraction)], axis=0)
    assert (held > 0).all()
    assert (held < pixels.sum(0)).all()
    assert abs(held.sum() - fraction * pixels.sum()) <= 1.01 * pixels.sum(1).max()


def test_equal_blocks_are_taken_in_order_and_one_stays_for_training() -> None:
    blocks = [Block(n // 2, Window(0, 10 * n, 10, 10), np.array([50, 50])) for n in range(6)]
    assert carve(blocks[::-1], 0.5) == blocks[:3]
    assert carve(blocks[::-1], 1.0) == blocks[:5]


def test_nothing_is_carved_from_nothing() -> None:
    unlabelled = [Block(0, Window(0, 0, 4, 4), np.zeros(2, np.int64))] * 3
    assert carve(unlabelled, 0.5) == []
    assert carve([Block(0, Window(0, 0, 4, 4), np.array([8, 8]))] * 2, 0.0) == []


def region_mask(region: Region, height: int, width: int) -> NDArray[np.bool_]:
    return region.mask(Window(0, 0, height, width))


holes = st.lists(
    st.builds(Window, st.integers(-5, 60), st.integers(-5, 60), st.integers(0, 30), st.integers(0, 30)), max_size=3
)


views = st.builds(Window, st.integers(-9, 50), st.integers(-9, 50), sides, sides)


@given(sides, sides, holes, holes | st.none(), views)
def test_the_mask_of_a_window_is_cut_from_the_mask_of_the_scene(
    height: int, width: int, outside: list[Window], inside: list[Window] | None, window: Window
) -> None:
    region = Region("trn", None if inside is None else tuple(inside), tuple(outside))
    whole = region_mask(region, height, width)
    expected = np.full((height, width), inside is None)
    expected |= painted(height, width, inside or []) > 0
    expected &= painted(height, width, outside) == 0
    assert np.array_equal(whole, expected)
    part = window.clip(height, width)
    assert np.array_equal(region.mask(part), whole[part.slices()])
    assert region.touches(part) == bool(whole[part.slices()].any())


@given(sides, sides, st.integers(1, 30), st.data())
def test_training_windows_cover_every_usable_pixel(height: int, width: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    region = Region("trn", outside=tuple(data.draw(holes)))
    pairs = sample_windows(height, width, region, size=size, stride=stride, edge="shift")
    usable = region_mask(region, height, width)
    assert (painted(height, width, [core for _, core in pairs])[usable] > 0).all()
    for read, core in pairs:
        assert read == core
        assert read.shape == (size, size)
        assert usable[core.clip(height, width).slices()].any()


@given(st.integers(4, 60), st.integers(4, 60), st.integers(1, 40), st.integers(4, 40), st.sampled_from(["val", "tst"]))
def test_evaluation_cores_partition_the_region(height: int, width: int, size: int, side: int, split: str) -> None:
    held = tuple(block_windows(height, width, side)[::2])
    for inside in (None, held):
        region = Region(split, inside)  # type: ignore[arg-type]
        pairs = sample_windows(height, width, region, size=size, stride=size, edge="shift")
        assert np.array_equal(painted(height, width, [c for _, c in pairs]), region_mask(region, height, width) * 1)
        for read, core in pairs:
            assert read.shape == (size, size)
            assert read.contains(core)
            if height >= size and width >= size:
                assert Window(0, 0, height, width).contains(read)


def test_evaluation_reads_centre_their_core() -> None:
    region = Region("val", (Window(40, 40, 10, 10),))
    ((read, core),) = sample_windows(100, 100, region, size=30, stride=30, edge="shift")
    assert (read, core) == (Window(30, 30, 30, 30), Window(40, 40, 10, 10))


def test_a_region_is_written_as_json() -> None:
    region = Region("trn", None, (Window(1, 2, 3, 4),))
    assert json.loads(json.dumps(region.as_dict())) == {"split": "trn", "inside": None, "outside": [[1, 2, 3, 4]]}
    assert Region("val", (Window(0, 0, 2, 2),)).as_dict()["inside"] == [[0, 0, 2, 2]]


@pytest.mark.parametrize("edge", ["pad", "drop"])
def test_other_edges_follow_the_grid(edge: str) -> None:
    pairs = sample_windows(10, 10, Region("trn"), size=4, stride=4, edge=edge)  # type: ignore[arg-type]
    assert len(pairs) == {"pad": 9, "drop": 4}[edge]


@given(st.integers(0, 9999), st.integers(0, 60), st.integers(1, 50))
def test_a_region_of_many_boxes_is_what_is_painted(seed: int, count: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = [Window(*b) for b in np.column_stack([rng.integers(0, 90, (count, 2)), rng.integers(1, largest + 1, (count, 2))]).tolist()]
    inside, outside = tuple(boxes[::2]), tuple(boxes[1::2])
    whole = (painted(140, 140, list(inside)) > 0) & (painted(140, 140, list(outside)) == 0)
    window = Window(*rng.integers(0, 100, 2).tolist(), *rng.integers(1, 40, 2).tolist())
    assert np.array_equal(Region("val", inside, outside).mask(window), whole[window.slices()])
