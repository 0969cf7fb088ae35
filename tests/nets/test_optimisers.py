"""Every optimiser and schedule of the tables, with figures worked out by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from swath.core.errors import ConfigError
from swath.nets.optimisers import DEFAULT_LR, OPTIMISERS, SCHEDULES, build_optimiser, learning_rate, warmup
from swath.nets.zoo import build_net

ALL = pytest.mark.parametrize("name", OPTIMISERS)


@ALL
def test_reduces_a_quadratic(name):
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    x, y = torch.randn(32, 4), torch.randn(32, 3)
    optimiser = build_optimiser(name, net, 10 * DEFAULT_LR[name], 0.0)
    values = []
    for _ in range(60):
        optimiser.zero_grad()
        value = (net(x) - y).square().mean()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[1] < values[0]
    assert values[-1] < 0.8 * values[0]
    assert min(values) == pytest.approx(values[-1], rel=0.05)


@ALL
def test_weight_decay_shrinks_weights_but_neither_norms_nor_biases(name):
    net = build_net("unet", 2, 2, {"depth": 1, "width": 2})
    optimiser = build_optimiser(name, net, 0.01, 0.1)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    for key, p in net.named_parameters():
        if p.ndim > 1:
            assert p.abs().sum() < before[key].abs().sum()
        else:
            assert torch.equal(p, before[key])


@ALL
def test_the_state_moves_to_another_process_and_the_next_step_is_identical(name):
    def train(net, optimiser, steps):
        for k in range(steps):
            optimiser.zero_grad()
            (net(torch.full((1, 2, 8, 8), 1.0 + k)) ** 2).mean().backward()
            optimiser.step()

    net, other = (build_net("unet", 2, 2, {"depth": 1, "width": 2}) for _ in range(2))
    first, second = (build_optimiser(name, n, 1e-3, 0.01) for n in (net, other))
    train(net, first, 3)
    other.load_state_dict(net.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # torch would share the tensors
    train(net, first, 2)
    train(other, second, 2)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_two_groups_in_the_order_of_the_network():
    net = build_net("unet", 2, 2, {"depth": 1, "width": 2})
    decayed, plain = build_optimiser("adamw", net, 1e-3, 0.01).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    ids = [id(p) for p in net.parameters()]
    for group in (decayed, plain):
        places = [ids.index(id(p)) for p in group["params"]]
        assert places == sorted(places)
    assert len(decayed["params"]) + len(plain["params"]) == len(ids)


def test_every_optimiser_has_a_default_rate_and_wrong_ones_are_named():
    assert set(DEFAULT_LR) == set(OPTIMISERS)
    with pytest.raises(ConfigError, match="did you mean 'adamw'"):
        build_optimiser("adamww", nn.Linear(1, 1), 1e-3, 0)
    with pytest.raises(ConfigError, match=r"train\.lr"):
        build_optimiser("adam", nn.Linear(1, 1), float("nan"), 0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_are_finite_and_at_most_the_base(schedule):
    for total, warmup_steps in ((1, 0), (10, 0), (10, 3), (10, 10), (10, 20)):
        rates = [
            learning_rate(k, base=0.5, total=total, schedule=schedule, warmup_steps=warmup_steps)
            for k in range(total + 5)
        ]
        assert all(0 <= rate <= 0.5 and math.isfinite(rate) for rate in rates)
        assert rates[-1] == rates[-2]


def rates(schedule, steps, total, **options):
    return [learning_rate(k, base=1.0, total=total, schedule=schedule, **options) for k in steps]


def test_step_by_hand():
    # GDL-088: step 4 and gamma 0.9 in epochs, here of 7 steps each; 0.81 at epoch 8
    assert rates("step", [0, 27, 28, 55, 56], 140, every=28, gamma=0.9) == pytest.approx([1, 1, 0.9, 0.9, 0.81])
    assert rates("step", [0, 3, 6, 9], 10, every=0.3, gamma=0.1) == pytest.approx([1, 0.1, 0.01, 0.001])


def test_cosine_and_poly_by_hand():
    assert rates("cosine", [0, 5, 10], 20, final=0.2) == pytest.approx([1, 0.2 + 0.8 * (2 + 2**0.5) / 4, 0.6])
    assert rates("cosine", [20], 20) == pytest.approx([0], abs=1e-12)
    assert rates("poly", [0, 5, 20], 20, power=2) == pytest.approx([1, 0.5625, 0])


@pytest.mark.parametrize(("total", "peak"), [(100, 0.3), (37, 0.1)])
def test_onecycle_equals_torch(total, peak):
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=1.0, total_steps=total, pct_start=peak, cycle_momentum=False
    )
    for k in range(total):
        assert learning_rate(k, base=1.0, total=total, schedule="onecycle", peak=peak) == pytest.approx(
            theirs.get_last_lr()[0]
        )
        optimiser.step()
        if k < total - 1:
            theirs.step()


def test_warm_up_by_hand():
    assert [warmup(k, 10) for k in (0, 5, 10, 11)] == pytest.approx([0.1, 0.55, 1, 1])
    # NIST-037: the first epoch at a tenth of the rate
    assert rates("constant", [0, 99, 100], 1000, warmup_steps=100, warmup_shape="constant") == [0.1, 0.1, 1.0]
    # the schedule begins after the warm-up
    assert rates("poly", [10, 15, 20], 20, warmup_steps=10, power=1) == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize(
    ("schedule", "options", "fix"),
    [
        ("cosin", {}, "'cosine'"),
        ("cosine", {"finale": 0.1}, "'final'"),
        ("step", {"every": 0}, ""),
        ("onecycle", {"peak": 1.0}, ""),
        ("step", {"gamma": "small"}, ""),
        ("cosine", {"warmup_shape": "liner"}, "'linear'"),
    ],
)
def test_wrong_schedules(schedule, options, fix):
    with pytest.raises(ConfigError) as caught:
        learning_rate(0, base=1.0, total=10, schedule=schedule, **options)
    assert fix in caught.value.fix
