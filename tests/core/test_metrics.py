"""Scores equal scikit-learn's on the same pixels, merge by `+`, and count each pixel once."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from swath.core.metrics import Confusion

NAMES = ("background", "roof", "road", "water")


def labels(seed: int, shape: tuple[int, ...] = (40, 50), present: tuple[int, ...] = (0, 1, 2, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(present, size=shape).astype(np.uint8)


def noisy(truth: NDArray[np.uint8], seed: int, share: float, present: tuple[int, ...]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(truth.shape) < share, rng.choice(present, size=truth.shape), truth).astype(np.uint8)


CASES = {
    "all four": (labels(0), noisy(labels(0), 1, 0.3, (0, 1, 2, 3))),
    "none right": (labels(2), (labels(2) + 1) % 4),
    "all right": (labels(3), labels(3)),
    "one never predicted": (labels(4), noisy(labels(4), 5, 1.0, (0, 1, 2))),
    "one never true": (labels(6, present=(0, 1, 2)), labels(7)),
    "one in neither": (labels(8, present=(0, 1)), labels(9, present=(0, 1, 3))),
}


@pytest.mark.parametrize("case", CASES)
def test_scores_equal_scikit_learn(case: str) -> None:
    truth, guess = CASES[case]
    t, p, ids = truth.ravel(), guess.ravel(), list(range(4))
    scores = Confusion.of(truth, guess, 4).scores(NAMES)
    assert scores["confusion"] == sk.confusion_matrix(t, p, labels=ids).tolist()
    assert scores["overall_accuracy"] == pytest.approx(sk.accuracy_score(t, p))
    assert scores["kappa"] == pytest.approx(sk.cohen_kappa_score(t, p))
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(t, p))
    known = sorted(set(t) | set(p))
    expected = {
        "iou": sk.jaccard_score(t, p, labels=ids, average=None, zero_division=0),
        "f1": sk.f1_score(t, p, labels=ids, average=None, zero_division=0),
        "precision": sk.precision_score(t, p, labels=ids, average=None, zero_division=0),
        "recall": sk.recall_score(t, p, labels=ids, average=None, zero_division=0),
    }
    has = {"iou": set(known), "f1": set(known), "precision": set(p), "recall": set(t)}
    for name, index in zip(NAMES, ids, strict=True):
        for score, values in expected.items():
            found = scores["classes"][name][score]
            assert found == (pytest.approx(values[index]) if index in has[score] else None), (name, score)
        assert scores["classes"][name]["pixels"] == (t == index).sum()
        assert scores["classes"][name]["predicted"] == (p == index).sum()
    assert scores["mean_iou"] == pytest.approx(expected["iou"][known].mean())
    assert scores["mean_f1"] == pytest.approx(expected["f1"][known].mean())
    assert scores["mean_iou_foreground"] == pytest.approx(expected["iou"][[i for i in known if i]].mean())
    assert scores["pixels"] == truth.size


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5))
def test_any_cut_of_the_pixels_gives_the_counts_of_the_whole(seed: int, parts: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = rng.integers(0, classes, (2, 7, 31)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    whole = Confusion.of(truth, guess, classes)
    owner = rng.integers(0, parts, truth.shape)
    pieces = [Confusion.of(truth[owner == n], guess[owner == n], classes) for n in range(parts)]
    assert np.array_equal(sum(pieces, Confusion.zeros(classes)).counts, whole.counts)
    assert whole.total == (truth != 255).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64])
def test_ignored_pixels_never_count(dtype: type) -> None:
    truth = np.array([[0, 1, 255, 255]], dtype)
    guess = np.array([[0, 255, 1, 255]], dtype)
    found = Confusion.of(truth, guess, 2)
    assert found.counts.tolist() == [[1, 0], [0, 0]]
    assert found.total == 1


def test_negative_labels_never_count() -> None:
    truth = np.array([[0, 1, -1, 1]], np.int16)
    guess = np.array([[0, 1, 1, -1]], np.int16)
    assert Confusion.of(truth, guess, 2).counts.tolist() == [[1, 0], [0, 1]]


def test_gdl_128_micro_iou_comes_from_the_confusion_not_from_the_ids() -> None:
    """GDL-128: labels [1, 2, 3] against [2, 1, 3] overlap in one of five class pixels."""
    counts = Confusion.of(np.array([1, 2, 3]), np.array([2, 1, 3]), 4).counts
    hit, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    assert hit.sum() / union.sum() == pytest.approx(1 / 5)
    scores = Confusion(counts).scores(NAMES)
    assert [scores["classes"][n]["iou"] for n in NAMES] == [None, 0.0, 0.0, 1.0]


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    truth = np.array([0, 0, 1, 1])
    scores = Confusion.of(truth, truth, 3).scores(("a", "b", "c"))
    assert scores["mean_iou"] == 1.0
    assert scores["classes"]["c"] == {
        "iou": None, "f1": None, "precision": None, "recall": None, "pixels": 0, "predicted": 0,
    }  # fmt: skip


def test_foreground_may_have_another_background_or_none() -> None:
    confusion = Confusion.of(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
    assert confusion.scores(("a", "b"), background=1)["mean_iou_foreground"] == pytest.approx(1 / 2)
    assert confusion.scores(("a", "b"), background=0)["mean_iou_foreground"] == pytest.approx(2 / 3)
    no_background = confusion.scores(("a", "b"), background=None)
    assert no_background["mean_iou_foreground"] == no_background["mean_iou"]


def test_scores_of_nothing_and_of_one_class_are_none_not_nan() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = Confusion.zeros(3).scores(("a", "b", "c"))
        single = Confusion.of(np.zeros(9, np.uint8), np.zeros(9, np.uint8), 2).scores(("a", "b"))
    keys = ("mean_iou", "mean_iou_foreground", "mean_f1", "overall_accuracy", "kappa", "mcc")
    assert [nothing[k] for k in keys] == [None] * 6
    assert [single[k] for k in keys] == [1.0, None, 1.0, 1.0, None, None]
    json.dumps([nothing, single], allow_nan=False)


def test_counts_do_not_overflow() -> None:
    big = Confusion(np.array([[10**12, 10**11], [10**10, 10**12]]))
    scores = (big + big).scores(("a", "b"))
    assert scores["pixels"] == 4 * 10**12 + 2 * 10**11 + 2 * 10**10
    assert scores["mcc"] == pytest.approx(Confusion(big.counts // 10**8).scores(("a", "b"))["mcc"])
    assert scores["kappa"] == pytest.approx(Confusion(big.counts // 10**8).scores(("a", "b"))["kappa"])
