"""One test per promise over the whole table of losses, then golden figures from independent calculations."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score

from swath.core.errors import ConfigError, DataError
from swath.nets.losses import LOSSES, build_loss

IGNORE = 255
HEADS = pytest.mark.parametrize("channels", [1, 2, 4])
ALL = pytest.mark.parametrize("name", LOSSES)
OVERLAPS = ("dice", "jaccard", "tversky", "lovasz")


def batch(channels, seed=0, size=(2, 12, 10), ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], channels, *size[1:], generator=generator)
    target = torch.randint(0, max(channels, 2), size, generator=generator, dtype=torch.uint8)
    target[torch.rand(size, generator=generator) < ignored] = IGNORE
    return logits.requires_grad_(), target


def perfect(target, channels, size=60.0):
    if channels == 1:
        return (target[:, None].float() - 0.5) * size
    return (F.one_hot(target.long().clamp_max(channels - 1), channels).movedim(3, 1) - 0.5) * size


@ALL
@HEADS
def test_ignored_pixels_change_neither_value_nor_gradient(name, channels):
    logits, target = batch(channels)
    loss = build_loss({name: 1.0})
    value = loss(logits, target)
    (slope,) = torch.autograd.grad(value, logits)
    hidden = (target == IGNORE)[:, None].expand_as(logits)
    assert value.dtype == torch.float32
    assert value.ndim == 0
    assert torch.all(slope[hidden] == 0)
    assert torch.any(slope[~hidden] != 0)
    other = torch.where(hidden, logits.detach() * -7 + 3, logits.detach())
    assert loss(other, target).item() == pytest.approx(value.item(), rel=1e-6)


@ALL
@HEADS
def test_all_ignored_is_zero_with_zero_gradient(name, channels):
    logits, target = batch(channels)
    value = build_loss({name: 1.0}, class_weights=[1.0] * max(channels, 2))(logits, target * 0 + IGNORE)
    value.backward()
    assert value.item() == 0
    assert torch.all(logits.grad == 0)


@ALL
@HEADS
def test_perfect_is_zero_and_all_wrong_is_large(name, channels):
    _, target = batch(channels)
    loss = build_loss({name: 1.0})
    assert loss(perfect(target, channels), target).item() == pytest.approx(0, abs=1e-5)
    assert loss(-perfect(target, channels), target).item() > 0.5


@ALL
@HEADS
def test_gradient_is_the_slope_of_the_value(name, channels):
    logits, target = batch(channels, seed=3, size=(1, 4, 5))
    loss = build_loss({name: 1.0}, class_weights=[0.5, 2.0, 1.0, 3.0][: max(channels, 2)])
    (slope,) = torch.autograd.grad(loss(logits, target), logits)
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ahead, behind = (loss(logits + e * direction, target).item() for e in (1e-2, -1e-2))
    assert (slope * direction).sum().item() == pytest.approx((ahead - behind) / 2e-2, abs=2e-3)


@ALL
@HEADS
def test_bf16_autocast_and_large_logits_stay_finite(name, channels):
    logits, target = batch(channels)
    big = (logits.detach() * 500).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = build_loss({name: 1.0})(big, target)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(big.grad).all()


@ALL
def test_channels_last_and_wide_labels_give_the_same(name):
    logits, target = batch(4)
    loss = build_loss({name: 1.0})
    value = loss(logits, target).item()
    assert loss(logits.to(memory_format=torch.channels_last), target.long()).item() == pytest.approx(value, rel=1e-6)


@ALL
def test_a_binary_head_is_the_softmax_of_zero_and_the_logit(name):
    logits, target = batch(1)
    weights = [0.3, 1.7]
    same = "ce" if name == "bce" else name  # with two channels bce is one sigmoid each
    expected = build_loss({same: 1.0}, class_weights=weights)
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    value = build_loss({name: 1.0}, class_weights=weights)(logits, target)
    assert value.item() == pytest.approx(expected(two, target).item(), rel=1e-5)


@ALL
def test_equal_weights_are_no_weights_and_unequal_ones_count(name):
    logits, target = batch(4)
    plain, equal, unequal = (
        build_loss({name: 1.0}, class_weights=w)(logits, target).item() for w in (None, [2.0] * 4, [1.0, 0.0, 5.0, 1.0])
    )
    assert equal == pytest.approx(plain, rel=1e-5)
    assert unequal != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("name", OVERLAPS)
def test_classes_absent_from_the_target_are_left_out_of_the_mean(name):
    logits, target = batch(4)
    target[target == 2] = 1
    with_weight, without = (
        build_loss({name: 1.0}, class_weights=[1.0, 1.0, w, 1.0])(logits, target).item() for w in (100.0, 0.0)
    )
    assert with_weight == pytest.approx(without, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.2, 1.0, 3.0, 0.0]])
def test_ce_equals_torch(weights, smoothing):
    logits, target = batch(4)
    ours = build_loss({"ce": {"smoothing": smoothing}}, class_weights=weights)(logits, target)
    (slope,) = torch.autograd.grad(ours, logits)
    theirs = F.cross_entropy(
        logits, target.long(), None if weights is None else torch.tensor(weights), ignore_index=IGNORE,
        label_smoothing=smoothing,
    )  # fmt: skip
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert torch.allclose(slope, torch.autograd.grad(theirs, logits)[0], atol=1e-7)


def test_bce_equals_torch():
    logits, target = batch(1)
    kept = target != IGNORE
    theirs = F.binary_cross_entropy_with_logits(logits[:, 0][kept], target[kept].float())
    assert build_loss({"bce": 1.0})(logits, target).item() == pytest.approx(theirs.item(), rel=1e-6)
    logits, target = batch(3, ignored=0.0)
    hot = F.one_hot(target.long(), 3).movedim(3, 1).float()
    weights = torch.tensor([1.0, 2.0, 5.0])
    theirs = F.binary_cross_entropy_with_logits(logits, hot, weights.view(1, 3, 1, 1), reduction="sum")
    ours = build_loss({"bce": 1.0}, class_weights=weights.tolist())(logits, target)
    assert ours.item() == pytest.approx(theirs.item() / (8 * target.numel()), rel=1e-6)


def test_binary_smoothing_by_hand():
    logits, target = torch.tensor([0.7]).view(1, 1, 1, 1), torch.ones(1, 1, 1, dtype=torch.uint8)
    p = 1 / (1 + math.exp(-0.7))
    ours = build_loss({"ce": {"smoothing": 0.2}})(logits, target)
    assert ours.item() == pytest.approx(-0.9 * math.log(p) - 0.1 * math.log(1 - p), rel=1e-6)


def test_focal_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).t().view(1, 2, 1, 2)  # two pixels
    target = torch.tensor([[[0, 0]]])
    p = [math.exp(2) / (math.exp(2) + 1), 1 / (math.e + 1)]
    for gamma in (0.0, 0.5, 2.0):
        expected = sum(-((1 - q) ** gamma) * math.log(q) for q in p) / 2
        ours = build_loss({"focal": {"gamma": gamma}})(logits, target)
        assert ours.item() == pytest.approx(expected, rel=1e-5)


def test_overlaps_by_hand():
    # one class 1 pixel with p = 0.8 and one class 0 pixel with p(class 1) = 0.4
    logits = torch.logit(torch.tensor([[0.8, 0.4]])).view(1, 1, 1, 2)
    target = torch.tensor([[[1, 0]]])
    # class 1: TP .8 FP .4 FN .2; class 0: TP .6 FP .2 FN .4
    expected = {
        "dice": 1 - (1.6 / 2.2 + 1.2 / 1.8) / 2,
        "jaccard": 1 - (0.8 / 1.4 + 0.6 / 1.2) / 2,
        "tversky": 1 - (0.8 / (0.8 + 0.3 * 0.4 + 0.7 * 0.2) + 0.6 / (0.6 + 0.3 * 0.2 + 0.7 * 0.4)) / 2,
        # sorted errors .4 (class 0) and .2 (class 1): for class 1 the Jaccard loss goes 1/2, 1; for class 0 1, 1
        "lovasz": ((0.4 * 0.5 + 0.2 * 0.5) + 0.4 * 1) / 2,
    }
    for name, value in expected.items():
        options = {} if name == "lovasz" else {"smooth": 0.0}
        assert build_loss({name: options})(logits, target).item() == pytest.approx(value, rel=1e-5), name
    smooth = build_loss({"jaccard": {"smooth": 1.0}})(logits, target)
    assert smooth.item() == pytest.approx(1 - (1.8 / 2.4 + 1.6 / 2.2) / 2, rel=1e-5)


def lovasz_extension(errors, members):
    """The Lovász extension by its definition: the mean of the set function over all level sets of the errors."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])

    def jaccard(wrong):
        intersection = sum(m for i, m in enumerate(members) if i not in wrong)
        union = sum(members) + sum(1 - members[i] for i in wrong)
        return 1 - intersection / union

    sets = [jaccard(set(order[:k])) for k in range(len(order) + 1)]
    return sum(errors[i] * (after - before) for i, (before, after) in zip(order, itertools.pairwise(sets), strict=True))


def test_lovasz_is_the_extension_of_the_jaccard_loss():
    logits, target = batch(3, seed=5, size=(1, 6, 7))
    kept = target != IGNORE
    p, labels = logits.softmax(1).movedim(1, 3)[kept], target[kept]
    per_class = []
    for c in labels.unique().tolist():
        members = (labels == c).int().tolist()
        errors = [1 - q if m else q for q, m in zip(p[:, c].tolist(), members, strict=True)]
        per_class.append(lovasz_extension(errors, members))
    ours = build_loss({"lovasz": 1.0})(logits, target).item()
    assert ours == pytest.approx(sum(per_class) / len(per_class), rel=1e-5)


@pytest.mark.parametrize("name", ["jaccard", "lovasz"])
@HEADS
def test_hard_predictions_give_one_minus_the_jaccard_score(name, channels):
    logits, target = batch(channels, size=(3, 20, 20))
    kept = target != IGNORE
    hard = (logits[:, 0] > 0).long() if channels == 1 else logits.argmax(1)
    expected = 1 - jaccard_score(target[kept], hard[kept], average="macro")
    options = {} if name == "lovasz" else {"smooth": 0.0}
    sure = perfect(hard, channels, 200.0)
    assert build_loss({name: options})(sure, target).item() == pytest.approx(expected, rel=1e-5)


def test_a_sum_of_terms_is_the_sum_of_its_parts():
    logits, target = batch(4)
    loss = build_loss({"ce": 0.5, "dice": {"weight": 2, "smooth": 0.1}, "focal": {"gamma": 1}})
    parts = loss.parts(logits, target)
    assert list(parts) == ["ce", "dice", "focal"]
    assert parts["ce"].item() == pytest.approx(build_loss({"ce": 1})(logits, target).item() / 2)
    assert loss(logits, target).item() == pytest.approx(sum(part.item() for part in parts.values()))
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    ("terms", "code", "fix"),
    [
        ({}, "loss-option", "known"),
        ({"dise": 1.0}, "loss-unknown", "'dice'"),
        ({"focal": {"gama": 1.0}}, "loss-option", "'gamma'"),
        ({"ce": -1.0}, "loss-option", ""),
        ({"ce": "much"}, "loss-option", ""),
        ({"ce": {"smoothing": float("nan")}}, "loss-option", ""),
    ],
)
def test_wrong_terms(terms, code, fix):
    with pytest.raises(ConfigError) as caught:
        build_loss(terms)
    assert caught.value.code == code
    assert fix in caught.value.fix


def test_wrong_weights_and_labels():
    logits, target = batch(4)
    for weights in ([1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(ConfigError, match="0 or more"):
            build_loss({"ce": 1}, class_weights=weights)
    with pytest.raises(ConfigError, match="3 weights for 4 classes"):
        build_loss({"ce": 1}, class_weights=[1.0, 1.0, 1.0])(logits, target)
    with pytest.raises(DataError, match="from 0 to 3 for 2 classes"):
        build_loss({"ce": 1})(logits[:, :2], target)
