"""The training loop: every step is a pure function of (weights, optimiser state, seed, step), so it resumes exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.metrics import Confusion
from swath.core.windows import up
from swath.disk.stores.sample import Samples
from swath.nets.augment import AugmentOptions, augment
from swath.nets.batches import Batch, Batches, Scaler, numpy_batch
from swath.nets.network import class_indices
from swath.nets.optimisers import learning_rate
from swath.specs import TrainSpec

SEED_STEP = 1_000_003


@dataclass
class Learner:
    """What changes while training: the network, its optimiser and the running average of its weights.

    `plain` are channels that augmentation moves along but does not tone; `scene_names` tell a message's reader which.
    """

    net: nn.Module
    optimiser: torch.optim.Optimizer
    loss: nn.Module
    scaler: Scaler
    augmentation: AugmentOptions
    spec: TrainSpec
    ignore: int
    device: torch.device
    precision: torch.dtype
    base_lr: float
    plain: tuple[int, ...] = ()
    scene_names: Sequence[str] = ()
    total: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)

    def lr(self, step: int) -> float:
        """The learning rate of a step."""
        options = {k: v for k, v in self.spec.schedule.items() if k != "name"}
        return learning_rate(
            step, base=self.base_lr, total=self.total, schedule=self.spec.schedule["name"],
            warmup_steps=self.spec.warmup_steps, **options,
        )  # fmt: skip

    def step(self, batch: Batch, step: int) -> float:
        """Trains on one batch and returns its loss. Raises DataError where the loss is not finite."""
        seed = self.spec.seed * SEED_STEP + step
        torch.manual_seed(seed)
        x = self.scaler(batch.image, batch.valid, batch.scenes)
        y, valid = batch.labels.to(self.device), batch.valid.to(self.device)
        generator = torch.Generator(self.device).manual_seed(seed)
        x, y, seen = augment(
            x, y, self.augmentation, generator, ignore=self.ignore, valid=valid, plain=self.plain
        )
        assert seen is not None
        x = x.masked_fill(~seen[:, None], 0.0).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            logits = self.net(x)
        loss = self.loss(logits.float(), y)
        value = float(loss.detach())
        if not np.isfinite(value):
            names = [self.scene_names[i] if i < len(self.scene_names) else str(i) for i in sorted(set(batch.scenes))]
            raise DataError("loss-not-finite", f"step {step}, scenes {', '.join(names)}", f"the loss is {value}",
                            "lower train.lr, or look at these scenes with `swath check`")  # fmt: skip
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.spec.clip)
        self.optimiser.step()
        self._update_average()
        return value

    def _update_average(self) -> None:
        decay = self.spec.average
        if not decay:
            return
        for name, value in self.net.state_dict().items():
            if not value.is_floating_point() or name not in self.average:
                self.average[name] = value.detach().clone()
            else:
                self.average[name].lerp_(value.detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the network holds the averaged weights, if an average is kept."""
        if not self.average:
            yield
            return
        own = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        try:
            yield
        finally:
            self.net.load_state_dict(own)


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation samples found: exact counts, mean loss, quantiles of the model input."""

    confusion: Confusion
    loss: float
    input_quantiles: list[float]


def evaluate_samples(learner: Learner, samples: Samples, classes: int) -> Evaluation:
    """Exact scores on whole samples, each label pixel once, in float32 or the training precision; no pixel dropped."""
    net, ignore = learner.net, learner.ignore
    net.eval()
    stride = int(net.stride)  # type: ignore[arg-type]
    confusion, losses, pixels, seen = Confusion.zeros(classes), 0.0, 0, []
    with torch.inference_mode():
        for i, place in enumerate(samples.places):
            parts = numpy_batch(samples.read(i))
            x = learner.scaler(parts["image"], parts["valid"], [place.scene])
            height, width = x.shape[2:]
            x = nn.functional.pad(x, (0, up(width, stride) - width, 0, up(height, stride) - height))
            with torch.autocast(learner.device.type, torch.bfloat16, enabled=learner.precision == torch.bfloat16):
                logits = net(x.contiguous(memory_format=torch.channels_last))[:, :, :height, :width].float()
            labels = parts["labels"].to(learner.device)
            counted = int((labels != ignore).sum())
            losses += float(learner.loss(logits, labels)) * counted
            pixels += counted
            confusion = confusion + Confusion.of(parts["labels"].numpy(), class_indices(logits).cpu().numpy(), classes)
            if i < 16:
                seen.append(x.flatten()[::97].float().cpu().numpy())
    net.train()
    quantiles = np.quantile(np.concatenate(seen), [0.01, 0.25, 0.5, 0.75, 0.99]) if seen else np.zeros(5)
    return Evaluation(confusion, losses / max(pixels, 1), [round(float(q), 5) for q in quantiles])


def planned_steps(spec: TrainSpec, per_epoch: float, seconds_per_step: Callable[[float], tuple[float, float]]) -> int:
    """The number of steps: the least of `steps`, `epochs` and `budget`.

    `seconds_per_step(limit)` measures (seconds of one step, seconds spent on measuring) and is asked only for a budget.
    """
    limits = [spec.steps] if spec.steps else []
    if spec.epochs:
        limits.append(max(1, math.ceil(spec.epochs * per_epoch - 1e-9)))  # no sample of an epoch is left out
    budget = spec.budget or (None if limits else 1800.0)
    if budget:
        each, spent = seconds_per_step(0.04 * budget)
        limits.append(max(1, int((budget - spent) / each)))
    return min(limits)


def measure_step(learner: Learner, batches: Batches, limit: float) -> tuple[float, float]:
    """(seconds of one step, seconds spent): two steps to warm up, then up to eight timed ones within `limit` seconds.

    Weights, buffers and optimiser are as before afterwards.
    """
    own = {k: v.detach().clone() for k, v in learner.net.state_dict().items()}
    started, times = time.monotonic(), []
    learner.total = 1000
    for step in range(10):
        before = time.monotonic()
        learner.step(batches.at(step), step)
        times.append(time.monotonic() - before)
        if step >= 2 and time.monotonic() - started > limit:
            break
    learner.net.load_state_dict(own)
    learner.optimiser.state.clear()
    learner.average.clear()
    return float(np.median(times[2:])), time.monotonic() - started


def predicted_shares(confusion: Confusion) -> list[float]:
    """The share of each class among predicted pixels."""
    total = max(confusion.total, 1)
    return [round(float(c) / total, 6) for c in confusion.counts.sum(0)]


def automatic_weights(pixels: NDArray[np.int64]) -> list[float]:
    """Class weights: the inverse square root of the shares, scaled to a mean of 1 over the classes present."""
    shares = pixels / max(pixels.sum(), 1)
    raw = np.where(shares > 0, 1 / np.sqrt(np.maximum(shares, 1e-6)), 0.0)
    mean = raw[raw > 0].mean() if (raw > 0).any() else 1.0
    return [float(w) for w in raw / mean]


def class_weight_list(weights: Any, names: tuple[str, ...], pixels: NDArray[np.int64]) -> list[float] | None:
    """The weights in class order of `none`, `auto` or a mapping by name (others weigh 1). Raises ConfigError."""
    if weights == "none":
        return None
    if weights == "auto":
        return automatic_weights(pixels)
    for name in weights:
        if name not in names:
            raise ConfigError("class-unknown", f"train.class_weights.{name}", f"no class is named '{name}'",
                              did_you_mean(name, names))  # fmt: skip
    return [float(weights.get(name, 1.0)) for name in names]
