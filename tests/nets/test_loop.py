"""How long a training lasts, what a step refuses, and exact scores on validation samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from kept_samples import Kept, batches, kept
from torch import Tensor, nn

from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError
from swath.core.metrics import Confusion
from swath.disk.stores.sample import Sample
from swath.nets import loop
from swath.nets.augment import AugmentOptions
from swath.nets.batches import Scaler
from swath.nets.losses import build_loss
from swath.nets.optimisers import build_optimiser
from swath.nets.zoo import build_net
from swath.specs import TrainSpec

CPU = torch.device("cpu")
BANDS = Bands((1, 2, 3), ("r", "g", "b"), (1e-3,) * 3, (-2.0,) * 3)


def learner(net: nn.Module | None = None, **spec: Any) -> loop.Learner:
    if net is None:
        torch.manual_seed(0)
        net = build_net("unet", 3, 2, {"depth": 2, "width": 4}).to(memory_format=torch.channels_last)
    train = TrainSpec(**{"lr": 0.01, **spec})
    return loop.Learner(
        net=net.train(), optimiser=build_optimiser("adamw", net, 0.01, 0.01), loss=build_loss({"ce": 1}),
        scaler=Scaler(lambda scene: BANDS, CPU), augmentation=AugmentOptions.default(), spec=train, ignore=255,
        device=CPU, precision=torch.float32, base_lr=0.01, total=10,
    )  # fmt: skip


def weights(made: loop.Learner) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in made.net.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def never(limit: float) -> tuple[float, float]:
    raise AssertionError("nothing is to be measured")


@pytest.mark.parametrize(
    ("spec", "steps"),
    [({"steps": 7}, 7), ({"epochs": 2}, 5), ({"epochs": 0.01}, 1), ({"steps": 100, "epochs": 4}, 10), ({"steps": 3, "epochs": 4}, 3)],
)
def test_steps_and_epochs_are_not_measured(spec: dict[str, Any], steps: int) -> None:
    assert loop.planned_steps(TrainSpec(**spec), 2.5, never) == steps


@pytest.mark.parametrize(
    ("spec", "limit", "steps"),
    [({"budget": 100}, 4.0, 190), ({"budget": "100s", "steps": 1000}, 4.0, 190), ({"budget": "100s", "steps": 20}, 4.0, 20),
     ({}, 72.0, 3590), ({"budget": 0.001}, 0.00004, 1)],
)  # fmt: skip
def test_a_budget_is_measured_once(spec: dict[str, Any], limit: float, steps: int) -> None:
    asked = []

    def measure(seconds: float) -> tuple[float, float]:
        asked.append(seconds)
        return 0.5, 5.0

    assert loop.planned_steps(TrainSpec(**spec), 2.5, measure) == steps
    assert asked == [pytest.approx(limit)]


def test_measuring_leaves_no_trace() -> None:
    made = learner(average=0.9)
    before = weights(made)
    each, spent = loop.measure_step(made, batches(kept()), 0.0)
    assert 0 < each <= spent
    assert equal(weights(made), before)
    assert not made.optimiser.state
    assert not made.average


def test_a_step_is_a_function_of_weights_seed_and_step() -> None:
    one, other, later = learner(), learner(), learner()
    feed = batches(kept())
    losses = [made.step(feed.at(4), step) for made, step in ((one, 4), (other, 4), (later, 5))]
    assert losses[0] == losses[1] != losses[2]
    assert equal(weights(one), weights(other))
    assert not equal(weights(one), weights(later))


def test_training_learns() -> None:
    samples = kept()
    for sample in samples.samples:
        sample.labels[:] = np.arange(24) >= 12
        sample.image[:] = 1000 + sample.labels * np.uint16(2000)
    made, feed = learner(lr=0.02), batches(samples)
    made.augmentation, made.total = AugmentOptions.none(), 30
    losses = [made.step(feed.at(step), step) for step in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_not_finite_stops_with_its_step_and_scenes() -> None:
    made = learner()
    made.scaler = Scaler(lambda scene: replace(BANDS, gain=(float("nan"),) * 3), CPU)
    made.scene_names = ["north"]
    before = weights(made)
    with pytest.raises(DataError, match=r"step 3, scenes north, 1: the loss is nan; lower train\.lr"):
        made.step(batches(kept()).at(3), 3)
    parameters = dict(made.net.named_parameters())
    assert all(torch.equal(before[k], parameters[k]) for k in parameters)


def test_the_learning_rate_follows_the_schedule() -> None:
    made = learner(schedule={"name": "constant"}, warmup_steps=2)
    assert [made.lr(s) for s in (2, 9)] == [0.01, 0.01]
    assert made.lr(0) < 0.005
    made.step(batches(kept()).at(0), 0)
    assert {g["lr"] for g in made.optimiser.param_groups} == {made.lr(0)}
    with pytest.raises(ConfigError, match="unknown schedule 'cosinus'; did you mean 'cosine'"):
        learner(schedule={"name": "cosinus"}).lr(0)


def test_a_running_average_is_used_inside_its_block_only() -> None:
    made, feed = learner(average=0.5), batches(kept())
    made.step(feed.at(0), 0)
    first = weights(made)
    made.step(feed.at(1), 1)
    own = weights(made)
    with made.averaged():
        inside = weights(made)
    assert equal(weights(made), own)
    for name, value in made.net.named_parameters():
        assert torch.allclose(inside[name], (first[name] + own[name]) / 2, atol=1e-6)
        assert value.requires_grad


class Threshold(nn.Module):
    """Class 1 where the second band is above 0."""

    stride = 16

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 16 == x.shape[3] % 16 == 0
        return torch.stack([torch.zeros_like(x[:, 1]), x[:, 1]], 1)


def test_evaluation_equals_one_global_confusion_matrix() -> None:
    samples = kept(7, side=25)
    for i, sample in enumerate(samples.samples):
        sample.labels[: i + 1, :5] = 255
        sample.valid[20:] = False
    made = learner()
    made.net = Threshold()
    found = loop.evaluate_samples(made, samples, 2)
    total = Confusion.zeros(2)
    losses, pixels = 0.0, 0
    for sample in samples.samples:
        x = BANDS.scale(sample.image, sample.valid)
        counted = sample.labels != 255
        total = total + Confusion.of(sample.labels, x[1] > 0, 2)
        logits = np.stack([np.zeros_like(x[1]), x[1]])
        log = logits - np.logaddexp(logits[0], logits[1])
        losses -= np.take_along_axis(log, np.minimum(sample.labels, 1)[None].astype(int), 0)[0][counted].sum()
        pixels += counted.sum()
    assert np.array_equal(found.confusion.counts, total.counts)
    assert total.total == pixels
    assert found.loss == pytest.approx(losses / pixels, rel=1e-5)
    assert found.input_quantiles == sorted(found.input_quantiles)
    assert -2.01 < found.input_quantiles[0] < found.input_quantiles[-1] < 2.01


def test_evaluation_leaves_the_network_in_training() -> None:
    made = learner()
    before = weights(made)
    loop.evaluate_samples(made, kept(2), 2)
    assert made.net.training
    assert equal(before, weights(made))


def test_automatic_weights_are_inverse_square_roots() -> None:
    found = loop.automatic_weights(np.array([900, 100, 0]))
    assert found[2] == 0
    assert found[1] / found[0] == pytest.approx(3)
    assert (found[0] + found[1]) / 2 == pytest.approx(1)
    assert loop.automatic_weights(np.zeros(2, np.int64)) == [0, 0]


def test_class_weights_by_name() -> None:
    names, pixels = ("ground", "roof"), np.array([900, 100])
    assert loop.class_weight_list("none", names, pixels) is None
    assert loop.class_weight_list("auto", names, pixels) == loop.automatic_weights(pixels)
    assert loop.class_weight_list({"roof": 3}, names, pixels) == [1.0, 3.0]
    with pytest.raises(ConfigError, match=r"no class is named 'rof'; did you mean 'roof'\?"):
        loop.class_weight_list({"rof": 3}, names, pixels)


def test_predicted_shares() -> None:
    assert loop.predicted_shares(Confusion(np.array([[6, 2], [1, 1]]))) == [0.7, 0.3]
    assert loop.predicted_shares(Confusion.zeros(2)) == [0, 0]


def test_samples_without_a_label_give_no_score() -> None:
    blank = Kept([Sample(s.image, np.full_like(s.labels, 255), s.valid) for s in kept(2).samples])
    found = loop.evaluate_samples(learner(), blank, 2)
    assert found.confusion.total == 0
    assert found.loss == 0
