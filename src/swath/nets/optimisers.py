"""Optimisers and learning rates by name; a learning rate is a pure function of the step and needs no checkpoint."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from swath.core.errors import ConfigError, did_you_mean
from swath.core.registry import lookup

Groups = list[dict[str, Any]]


def _fused(groups: Groups) -> bool:
    """Whether torch's one-pass update serves these parameters: 3 to 6 times faster than its loop, CPU included."""
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])


def _adamw(groups: Groups, lr: float) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay. Loshchilov and Hutter 2019."""
    return torch.optim.AdamW(groups, lr=lr, fused=_fused(groups))


def _adam(groups: Groups, lr: float) -> torch.optim.Optimizer:
    """Adam, weight decay as an L2 term of the gradient. Kingma and Ba 2015."""
    return torch.optim.Adam(groups, lr=lr, fused=_fused(groups))


def _sgd(groups: Groups, lr: float) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum 0.9. Sutskever et al. 2013."""
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=_fused(groups))


OPTIMISERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {"adamw": _adamw, "adam": _adam, "sgd": _sgd}
DEFAULT_LR: dict[str, float] = {"adamw": 1e-3, "adam": 1e-3, "sgd": 1e-2}


def build_optimiser(name: str, net: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser of all parameters of `net`, in two groups: with weight decay, and norms and biases without.

    A parameter of one dimension is a bias or belongs to a norm. Each group keeps the order of `net.named_parameters()`,
    so that the state of one process loads in another. Set the learning rate of a step in each of `param_groups`.
    `name`: an entry of OPTIMISERS, or `package.module:function` of (groups, lr).
    Raises ConfigError: optimiser-unknown, optimiser-option.
    """
    build = lookup(OPTIMISERS, name, "optimiser")
    for key, number in (("lr", lr), ("weight_decay", weight_decay)):
        if not 0 <= number < math.inf:
            raise ConfigError("optimiser-option", f"train.{key}", f"{number!r} is no number of 0 or more")
    parameters = list(net.parameters())
    decayed = {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay}
    plain = {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
    return build([group for group in (decayed, plain) if group["params"]], lr)


def constant(step: int, total: int) -> float:
    """1 at every step."""
    return 1.0


def step_decay(step: int, total: int, *, every: float = 0.3, gamma: float = 0.1) -> float:
    """gamma once for each `every` that has passed: a fraction of the training below 1, else a number of steps."""
    period = every * total if every < 1 else every
    return gamma ** math.floor(
        step / period + 1e-9
    )  # 0.1 * 3 is a little above 0.3: a period must still end on its step


def cosine(step: int, total: int, *, final: float = 0.0) -> float:
    """Half a cosine from 1 to `final`. Loshchilov and Hutter 2017, without restarts."""
    return _half_cosine(1.0, final, step / total)


def onecycle(step: int, total: int, *, peak: float = 0.3, start: float = 25.0, final: float = 1e4) -> float:
    """Half a cosine from 1/start up to 1, reached after the fraction `peak`, and one down to 1/(start * final).

    Smith and Topin 2018, as in torch's OneCycleLR: the last of `total` steps has the lowest rate.
    """
    top, last = max(peak * total - 1, 0.0), max(total - 1, 1)
    if step <= top:
        return _half_cosine(1 / start, 1.0, step / top if top else 1.0)
    return _half_cosine(1.0, 1 / (start * final), min((step - top) / (last - top), 1.0))


def poly(step: int, total: int, *, power: float = 0.9) -> float:
    """(1 - step / total) ** power, down to 0. Chen et al. 2018 (DeepLab)."""
    return (1 - step / total) ** power


def _half_cosine(first: float, last: float, t: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step_decay,
    "cosine": cosine,
    "onecycle": onecycle,
    "poly": poly,
}
WARMUPS = ("linear", "constant")


def warmup(step: int, steps: int, factor: float = 0.1, shape: str = "linear") -> float:
    """What the first `steps` steps are multiplied by: from `factor` towards 1 in a line, or `factor` all along; then 1.

    The linear form: Goyal et al. 2017.
    """
    if step >= steps:
        return 1.0
    return factor + (1 - factor) * step / steps if shape == "linear" else factor


def learning_rate(
    step: int,
    *,
    base: float,
    total: int,
    schedule: str,
    warmup_steps: int = 0,
    warmup_factor: float = 0.1,
    warmup_shape: str = "linear",
    **options: Any,
) -> float:
    """The learning rate of step 0, 1, ..., total - 1 of a training; a later step has that of `total`.

    After the warm-up the schedule runs over the steps that are left, from its beginning.
    Raises ConfigError: schedule-unknown, schedule-option.
    """
    factor = lookup(SCHEDULES, schedule, "schedule")
    _check(factor, schedule, options)
    if warmup_shape not in WARMUPS:
        fix = did_you_mean(warmup_shape, WARMUPS)
        raise ConfigError("schedule-option", "train.warmup_shape", f"unknown shape '{warmup_shape}'", fix)
    step, left = min(step, total), max(total - warmup_steps, 1)
    later = max(step - warmup_steps, 0)
    return base * warmup(step, warmup_steps, warmup_factor, warmup_shape) * factor(later, left, **options)


def _check(factor: Callable[..., float], schedule: str, options: dict[str, Any]) -> None:
    known = [p.name for p in inspect.signature(factor).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for key, number in options.items():
        where = f"train.schedule.{key}"
        if key not in known:
            message = f"the schedule '{schedule}' has no option '{key}'"
            raise ConfigError("schedule-option", where, message, did_you_mean(key, known))
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise ConfigError("schedule-option", where, f"{number!r} is no number of 0 or more")
        if (number == 0 and key in ("every", "start")) or (number >= 1 and key == "peak"):
            raise ConfigError("schedule-option", where, f"{number!r} is out of range")
