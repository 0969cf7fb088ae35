"""Blocks are dealt to splits by the rule that was asked for, each to one split, the same way every time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.core.allot import carved, chessboard, deal, drawn, interleaved, tied
from swath.core.splits import Block, Split, block_windows, carve
from swath.core.windows import Window

SHARES: dict[Split, float] = {"tst": 0.25, "val": 0.25}


def even(number: int, pixels: int = 100) -> list[Block]:
    return [Block(n, Window(0, 0, 10, 10), np.array([pixels])) for n in range(number)]


def mixed(number: int, seed: int) -> list[Block]:
    """Blocks of 1000 pixels, each of mostly one of three classes."""
    rng = np.random.default_rng(seed)
    return [Block(n // 10, Window(0, 10 * (n % 10), 10, 10), rng.multinomial(1000, rng.dirichlet([0.3, 0.2, 0.1]))) for n in range(number)]


def shares(blocks: list[Block]) -> NDArray[np.float64]:
    total = np.sum([b.pixels for b in blocks], axis=0)
    return np.asarray(total / total.sum(), np.float64)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(4, 60), st.booleans())
def test_otb_013_neighbours_on_the_chessboard_always_differ(height: int, width: int, side: int, test_too: bool) -> None:
    windows = block_windows(height, width, side)
    blocks = [Block(0, w, np.array([1])) for w in windows]
    held = chessboard(blocks, SHARES if test_too else {"val": 0.1})
    kept = {b.window for own in held.values() for b in own}
    trains = {(w.row, w.col): w not in kept for w in windows}
    for w in windows:
        for beside in ((w.row_end, w.col), (w.row, w.col_end)):
            assert trains.get(beside) != trains[w.row, w.col]
    assert trains[0, 0]
    counts = Counter({s: len(own) for s, own in held.items()})
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_otb_014_proportions_of_a_hundred_hold(seed: int | None) -> None:
    held = interleaved(even(100), SHARES, seed)
    assert {s: len(own) for s, own in held.items()} == {"tst": 25, "val": 25}
    assert not {*held["tst"]} & {*held["val"]}
    assert held == interleaved(even(100), SHARES, seed)


def test_the_order_is_in_turn_or_by_chance() -> None:
    plain = interleaved(even(8), SHARES)
    assert [b.scene for b in plain["tst"]] == [1, 5]
    assert [b.scene for b in plain["val"]] == [2, 6]
    assert len({tuple(b.scene for b in interleaved(even(40), SHARES, seed)["val"]) for seed in range(8)}) == 8


def test_blocks_without_labels_are_not_dealt() -> None:
    blocks = [Block(n, Window(0, 0, 4, 4), np.array([n % 2])) for n in range(16)]
    assert all(b.scene % 2 for own in interleaved(blocks, SHARES).values() for b in own)


@pytest.mark.parametrize("rule", [carved, lambda b, s: drawn(b, s, 3)])
def test_nist_006_a_hundred_images_by_a_fifth(rule: object) -> None:
    held = rule(even(100), {"val": 0.2})  # type: ignore[operator]
    assert len(held["val"]) == 20


def test_chance_follows_its_seed_and_not_the_order_of_blocks() -> None:
    blocks = mixed(60, 1)
    first = drawn(blocks, SHARES, 5)
    assert first == drawn(blocks[::-1], SHARES, 5)
    assert first != drawn(blocks, SHARES, 6)
    assert not {*first["tst"]} & {*first["val"]}
    for own in first.values():
        assert sum(b.pixels.sum() for b in own) == pytest.approx(15_000, abs=1000)


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 99))
def test_chance_leaves_a_block_for_training(number: int, fraction: float, seed: int) -> None:
    held = drawn(mixed(number, 2), {"tst": fraction, "val": fraction}, seed)
    taken = sum(len(own) for own in held.values())
    assert taken < number or number == 0
    assert number < 2 or fraction == 0 or held["tst"]


@pytest.mark.parametrize("seed", range(6))
def test_gdl_068_shares_differ_less_with_stratification(seed: int) -> None:
    blocks = mixed(80, seed)
    gaps = [np.abs(shares(held["val"]) - shares(blocks)).sum() for held in (carved(blocks, {"val": 0.2}), drawn(blocks, {"val": 0.2}, seed))]
    assert gaps[0] < gaps[1] / 2


def test_the_second_split_is_carved_from_what_the_first_left() -> None:
    blocks = mixed(40, 3)
    held = carved(blocks, SHARES)
    assert held["tst"] == carve(blocks, 0.25)
    assert held["val"] == carve([b for b in blocks if b not in held["tst"]], 0.25)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.lists(st.floats(0.1, 5), min_size=1, max_size=3))
def test_deals_stay_close_to_the_proportions(weights: list[int], wanted: list[float]) -> None:
    named = dict(zip(("trn", "val", "tst"), wanted, strict=False))
    chosen = deal(weights, named)  # type: ignore[arg-type]
    have = Counter[str]()
    for split, weight in zip(chosen, weights, strict=True):
        have[split] += weight
    if len(weights) >= len(named):
        assert {*have} == {*named}
    if len(weights) >= 3 * len(named):
        for split, share in named.items():
            assert abs(have[split] - sum(weights) * share / sum(wanted)) <= 2 * max(weights) + 1


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=14))
def test_ties_join_what_is_connected(ties: list[list[int]]) -> None:
    joined = tied(ties)
    assert sorted(i for unit in joined for i in unit) == list(range(len(ties)))
    assert [unit[0] for unit in joined] == sorted(unit[0] for unit in joined)
    keys = [{k for i in unit for k in ties[i]} for unit in joined]
    assert all(not a & b for n, a in enumerate(keys) for b in keys[:n])
    for unit in joined:
        reached = {unit[0]}
        while True:
            more = {i for i in unit if any({*ties[i]} & {*ties[j]} for j in reached)} - reached
            if not more:
                break
            reached |= more
        assert reached == {*unit}
