"""Every sampler is a pure function of (seed, position) and draws with the frequencies that it promises."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swath.core.errors import ConfigError
from swath.core.samplers import SAMPLERS, Population, build_sampler, epoch_length, unseen_classes

RNG = np.random.default_rng(3)
COUNTS = np.zeros((60, 4), np.int64)  # background everywhere, one rare class, one in half of the samples, one never seen
COUNTS[:, 0] = 900
COUNTS[:30, 1] = 100
COUNTS[7, 2] = 50
PLAIN = Population(COUNTS, np.arange(60) // 4, 4)


def drawn(name: str, count: int, population: Population = PLAIN, seed: int = 1) -> NDArray[np.int64]:
    return build_sampler(name, population, seed)(np.arange(count))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_draw_is_a_function_of_seed_and_position(name: str) -> None:
    whole = drawn(name, 700)
    again = build_sampler(name, PLAIN, 1)
    backwards = [int(again(np.array([p]))[0]) for p in reversed(range(700))]
    assert backwards[::-1] == whole.tolist()
    assert drawn(name, 700, seed=2).tolist() != whole.tolist()
    assert whole.min() >= 0
    assert whole.max() < 60


@pytest.mark.parametrize("name", SAMPLERS)
def test_ranks_share_the_row(name: str) -> None:
    whole = drawn(name, 480)
    ranks = [build_sampler(name, PLAIN, 1)(np.arange(r, 480, 3)) for r in range(3)]
    assert np.array_equal(np.stack(ranks, 1).ravel(), whole)


def test_nist_026_uniform_takes_each_sample_once_an_epoch() -> None:
    row = drawn("uniform", 300).reshape(5, 60)
    assert all(sorted(e) == list(range(60)) for e in row.tolist())
    assert len({tuple(e) for e in row.tolist()}) == 5


def test_nist_027_class_presence_draws_classes_alike() -> None:
    """Each class is drawn a third of the time, so the only sample with the rare one is drawn a third and a little more."""
    found = Counter(drawn("class_presence", 3000).tolist())
    assert found[7] / 3000 == pytest.approx(1 / 3 + 1 / 3 / 30 + 1 / 3 / 60, abs=0.02)


def test_nist_027_frequencies_of_disjoint_classes_are_within_five_percent() -> None:
    counts = np.zeros((50, 2), np.int64)
    counts[:45, 0], counts[45:, 1] = 10, 10
    found = drawn("class_presence", 1000, Population(counts))
    assert np.mean(found >= 45) == pytest.approx(0.5, abs=0.05)


def test_gdl_103_class_set_draws_every_set_alike() -> None:
    found = drawn("class_set", 6000)
    sets = {(0,): np.arange(30, 60), (0, 1): np.array([i for i in range(30) if i != 7]), (0, 1, 2): np.array([7])}
    for members in sets.values():
        assert np.isin(found, members).mean() == pytest.approx(1 / 3, abs=0.02)


def test_trap_41_sets_are_not_told_apart_by_their_digits() -> None:
    """{1, 11} and {11, 1} are one set; {1, 11} and {1, 1, 1} written in a row are not the same."""
    counts = np.zeros((30, 12), np.int64)
    counts[:10, [1, 11]] = [5, 1]
    counts[10:20, [1, 11]] = [1, 5]
    counts[20:, 1] = 9
    found = drawn("class_set", 4000, Population(counts))
    assert np.mean(found < 20) == pytest.approx(0.5, abs=0.03)


def test_pixel_weighted_follows_the_weights_of_the_pixels() -> None:
    totals = COUNTS.sum(0).astype(float)
    weights = np.array([sum(n / totals[c] for c, n in enumerate(row) if n)/ sum(row) for row in COUNTS.tolist()])
    shares = weights / weights.sum()
    found = np.bincount(drawn("pixel_weighted", 20_000), minlength=60) / 20_000
    assert np.abs(found - shares).max() < 0.01
    assert found[7] > 5 * found[40]


def test_samples_without_a_label_are_never_drawn_by_weight() -> None:
    counts = np.array([[5, 0], [0, 0], [1, 3], [0, 0]])
    for name in ("class_presence", "class_set", "pixel_weighted"):
        assert set(drawn(name, 500, Population(counts)).tolist()) == {0, 2}


def test_blocks_keep_neighbours_together_and_cover_each_sample_alike() -> None:
    assert epoch_length("blocks", PLAIN) == 240
    assert epoch_length("uniform", PLAIN) == 60
    row = drawn("blocks", 480).reshape(2, 240)
    for epoch in row:
        assert np.bincount(epoch).tolist() == [4] * 60
        firsts = [np.flatnonzero(epoch // 4 == r) for r in range(15)]
        assert max(f.max() - f.min() for f in firsts) < 8 * 16
    assert row[0].tolist() != row[1].tolist()
    assert len(set((row[0, :16] // 4).tolist())) > 4


def test_unseen_classes_are_named() -> None:
    assert unseen_classes(COUNTS, ("a", "b", "c", "d")) == ["d"]


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's samplers on the path."""
    (tmp_path / "my_samplers.py").write_text(
        "def backwards(counts, seed):\n    n = len(counts)\n    return lambda p: (n - 1 - p - seed) % n\n"
        "def beyond(counts, seed):\n    return lambda p: len(counts)\n"
        "def nothing(counts, seed):\n    return None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_samplers", None)


@pytest.mark.usefixtures("own_module")
def test_otb_026_a_users_own_sampler() -> None:
    assert drawn("my_samplers:backwards", 4, seed=2).tolist() == [57, 56, 55, 54]


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my_samplers:beyond", "gives 60, there are samples 0 to 59"),
        ("my_samplers:nothing", "gives no function"),
        ("my_samplers:missing", "cannot import"),
        ("unifrom", "unknown sampler 'unifrom'"),
    ],
)
def test_a_sampler_that_is_none_is_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        drawn(name, 1)
