"""Losses by name, summed with weights: `build_loss({"ce": 1.0, "dice": {"weight": 0.5, "smooth": 1.0}})`.

A loss is one function of `Pixels` and one line in `LOSSES`. All of them leave ignored pixels out, take class weights,
work in float32 and treat a binary head (one channel) as the softmax of (0, logit), so that class 0 counts as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.registry import lookup

TINY = 1e-12  # keeps a quotient of nothing by nothing at 0


class Pixels:
    """Logits and target of one batch, and what several losses need of them, computed once.

    logits  float32 (B,C,H,W), contiguous; C == 1 is a binary head
    target  int64 (B,H,W), class ids; 0 where ignored
    valid   bool (B,H,W), False where ignored
    weights float32 (classes,), 1 unless given
    classes the number of classes, at least 2
    """

    def __init__(self, logits: Tensor, target: Tensor, ignore: int, weights: Tensor | None) -> None:
        self.logits = logits.float().contiguous()
        self.binary = logits.shape[1] == 1
        self.classes = max(logits.shape[1], 2)
        self.valid = target != ignore
        kept = target.masked_fill(~self.valid, 0)
        low, high = (int(v) for v in kept.aminmax())
        if low < 0 or high >= self.classes:
            message = f"label values from {low} to {high} for {self.classes} classes"
            raise DataError(
                "label-out-of-range", "labels", message, f"labels are class ids or the ignore value {ignore}"
            )
        if weights is not None and len(weights) != self.classes:
            message = f"{len(weights)} weights for {self.classes} classes"
            raise ConfigError("loss-weights", "class_weights", message, "give one weight per class, class 0 included")
        self.weighted = weights is not None
        self.weights = logits.new_ones(self.classes, dtype=torch.float32) if weights is None else weights
        self.target = kept.long()

    @cached_property
    def pixel_weight(self) -> Tensor:
        """float32 (B,H,W): the weight of the target class; 0 where ignored."""
        valid = self.valid.float()
        if not self.weighted:
            return valid
        return self.weights.index_select(0, self.target.flatten()).view(valid.shape) * valid

    @cached_property
    def counts(self) -> Tensor:
        """float32 (classes,): how many valid pixels each class has in the target."""
        classes = self.target.masked_fill(~self.valid, self.classes).flatten()
        return torch.bincount(classes, minlength=self.classes + 1)[: self.classes].float()

    @cached_property
    def log_p(self) -> Tensor:
        """float32 (B,C,H,W): log-probabilities of the C >= 2 classes."""
        return F.log_softmax(self.logits, 1)

    @cached_property
    def p(self) -> Tensor:
        """float32 (B,C,H,W): probabilities of the classes, or (B,1,H,W): that of class 1 of a binary head."""
        return self.logits.sigmoid() if self.binary else self.log_p.exp()

    @cached_property
    def log_p_target(self) -> Tensor:
        """float32 (B,H,W): log-probability of the target class."""
        if self.binary:
            return F.logsigmoid(self.logits[:, 0] * (2 * self.target - 1))
        return self.log_p.gather(1, self.target[:, None])[:, 0]

    @cached_property
    def overlap(self) -> tuple[Tensor, Tensor]:
        """float32 (classes,) twice: probability of class c summed over the pixels of class c, and over all of them."""
        valid = self.valid.float()
        if self.binary:
            p = self.p[:, 0] * valid
            inside, total = (p * self.target).sum(), p.sum()
            rest = self.counts.sum() - total
            return torch.stack([rest - self.counts[1] + inside, inside]), torch.stack([rest, total])
        p_target = (self.p.gather(1, self.target[:, None])[:, 0] * valid).flatten()
        inside = p_target.new_zeros(self.classes).index_add(0, self.target.flatten(), p_target)
        return inside, torch.bmm(self.p.flatten(2), valid.view(len(valid), -1, 1)).sum((0, 2))

    @cached_property
    def ranks(self) -> Tensor:
        """float32 (B*H*W,): 1, 2, 3, ..."""
        return torch.arange(1, self.valid.numel() + 1, dtype=torch.float32, device=self.logits.device)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of (B,H,W) values over valid pixels, weighted by the target's class; 0 where none is valid."""
        return (values * self.pixel_weight).sum() / self.pixel_weight.sum().clamp_min(TINY)

    def mean_over_present(self, per_class: Tensor) -> Tensor:
        """The weighted mean of (classes,) values over the classes that the target contains; 0 where it has none."""
        share = self.weights * (self.counts > 0)
        return (per_class * share).sum() / share.sum().clamp_min(TINY)


def ce(pixels: Pixels, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy, equal to torch's with weight, ignore_index and label_smoothing (0 to 1).

    Class weights: each pixel counts with the weight of its target class; the sum is divided by the sum of weights.
    """
    loss = pixels.mean(-pixels.log_p_target)
    if not smoothing:
        return loss
    if pixels.binary:
        x = pixels.logits[:, 0]
        both = torch.stack([F.logsigmoid(-x), F.logsigmoid(x)], 1)
    else:
        both = pixels.log_p
    if pixels.weighted:
        both = both * pixels.weights.view(1, -1, 1, 1)
    total = (both.sum(1) * pixels.valid).sum() / pixels.pixel_weight.sum().clamp_min(TINY)
    return (1 - smoothing) * loss - smoothing / pixels.classes * total


def bce(pixels: Pixels) -> Tensor:
    """Binary cross-entropy: of the one logit of a binary head, else the mean over one sigmoid per class.

    Class weights: for a binary head as in `ce`; else the weights of the classes' terms in their mean.
    """
    if pixels.binary:
        return pixels.mean(-pixels.log_p_target)
    x, weights = pixels.logits, pixels.weights
    none = torch.matmul(weights, F.softplus(x).flatten(2)).view(pixels.target.shape)  # as if no class were the target
    target = x.gather(1, pixels.target[:, None])[:, 0]
    total = (none * pixels.valid).sum() - (target * pixels.pixel_weight).sum()
    return total / (weights.sum() * pixels.valid.sum()).clamp_min(TINY)


def focal(pixels: Pixels, *, gamma: float = 2.0) -> Tensor:
    """Focal loss per pixel, (1 - p)^gamma times the cross-entropy, p that of the target class. Lin et al. 2017.

    Class weights: as in `ce`, which it equals at gamma 0; they are the alpha of the paper.
    """
    log_p = pixels.log_p_target
    miss = (-torch.expm1(log_p)).clamp_min(1e-6)  # the slope of a power below 1 has no bound at 0
    return pixels.mean(-log_p * miss**gamma)


def tversky(pixels: Pixels, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0) -> Tensor:
    """1 - (TP + s) / (TP + alpha FP + beta FN + s) with soft counts per class over the batch. Salehi et al. 2017.

    `smooth` s is in pixels. Class weights: those of the classes in the mean over the classes present in the target.
    """
    inside, predicted = pixels.overlap
    bottom = inside + alpha * (predicted - inside) + beta * (pixels.counts - inside) + smooth
    return pixels.mean_over_present(1 - (inside + smooth) / bottom.clamp_min(TINY))


def dice(pixels: Pixels, *, smooth: float = 1.0) -> Tensor:
    """1 - Dice (F1) of soft counts: `tversky` with alpha = beta = 0.5. Milletari et al. 2016."""
    return tversky(pixels, alpha=0.5, beta=0.5, smooth=smooth)


def jaccard(pixels: Pixels, *, smooth: float = 1.0) -> Tensor:
    """1 - Jaccard (IoU) of soft counts: `tversky` with alpha = beta = 1. Rahman and Wang 2016."""
    return tversky(pixels, alpha=1.0, beta=1.0, smooth=smooth)


def lovasz(pixels: Pixels) -> Tensor:
    """Lovász-Softmax over the batch, classes present in the target only. Berman et al. 2018.

    Class weights: those of the classes in the mean. For hard predictions it equals 1 - mean IoU of those classes.
    """
    planes = pixels.p.unbind(1)
    if pixels.binary:
        planes = (1 - planes[0], planes[0])
    values = []
    order: Order | None = None
    for c, (p, count) in enumerate(zip(planes, pixels.counts.tolist(), strict=True)):
        if count == 0:
            values.append(p[:0].sum())
            continue
        member = (pixels.target == c) & pixels.valid
        if order is None or not pixels.binary:  # the two classes of a binary head have the same errors
            order = Order((p.detach() - member.float()).abs(), pixels)
        slope = order.slopes(member)  # the loss is linear in p once the order is known
        values.append((p * torch.where(member, -slope, slope)).sum() + (slope * member).sum())
    return pixels.mean_over_present(torch.stack(values))


class Order:
    """Valid pixels by falling error, and the slopes of the Lovász extension of the Jaccard loss in that order."""

    def __init__(self, error: Tensor, pixels: Pixels) -> None:
        # An error in [0, 1] read as an integer keeps its order, and torch sorts integers upwards several times faster.
        top = torch.ones((), dtype=torch.float32, device=error.device).view(torch.int32)
        key = top - error.clamp(0, 1).view(torch.int32)
        key = key.masked_fill(~pixels.valid, torch.iinfo(torch.int32).max)  # ignored pixels last
        self.shape, self.ranks, self.valid_count = error.shape, pixels.ranks, int(pixels.valid.sum())
        self.index = torch.sort(key.flatten()).indices

    def slopes(self, member: Tensor) -> Tensor:
        """float32 (B,H,W): what the Jaccard loss grows by when the pixel joins those in error; 0 where ignored.

        Going down the order, the k-th pixel leaves union = members + others so far. A member shrinks the intersection
        by one: slope 1 / union. Another pixel grows the union by one: slope intersection / (union (union - 1)).
        This is algorithm 1 of Berman et al. 2018 without its difference of two nearly equal quotients.
        """
        member = member.flatten().index_select(0, self.index)  # several times faster than [index]
        passed = member.cumsum(0, dtype=torch.int32)
        intersection = (passed[-1] - passed).float()
        union = intersection + self.ranks
        slope = torch.where(member, 1.0, intersection / (union - 1).clamp_min(1)) / union
        slope[self.valid_count :] = 0
        return torch.empty_like(slope).scatter_(0, self.index, slope).view(self.shape)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "ce": ce,
    "bce": bce,
    "dice": dice,
    "lovasz": lovasz,
    "focal": focal,
    "tversky": tversky,
    "jaccard": jaccard,
}


class Loss(nn.Module):
    """A weighted sum of losses: (logits, target) -> float32 scalar."""

    class_weights: Tensor | None

    def __init__(
        self, terms: Mapping[str, tuple[float, Callable[..., Tensor], dict[str, Any]]], ignore: int,
        class_weights: Sequence[float] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.terms = dict(terms)
        self.ignore = ignore
        weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of float logits (B,C,H,W) and integer target (B,H,W): class ids below max(C, 2), or ignore.

        0 with a gradient of 0 where all is ignored. Raises DataError (label-out-of-range), ConfigError (loss-weights).
        """
        return torch.stack(list(self.parts(logits, target).values())).sum()

    def parts(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Each term times its weight, by name: what the sum in `forward` is made of."""
        with torch.autocast(logits.device.type, enabled=False):
            pixels = Pixels(logits, target, self.ignore, self.class_weights)
            return {name: weight * loss(pixels, **options) for name, (weight, loss, options) in self.terms.items()}


def build_loss(
    terms: Mapping[str, float | Mapping[str, Any]], *, ignore: int = 255, class_weights: Sequence[float] | None = None
) -> Loss:
    """The weighted sum of the named losses, e.g. {"ce": 1, "focal": {"weight": 0.5, "gamma": 2}}.

    A name is an entry of LOSSES or `package.module:function` of (pixels, *, options). `class_weights`: one per class,
    0 or more; what they mean stands with each loss.
    Raises ConfigError: loss-unknown, loss-option, loss-weights.
    """
    if not terms:
        raise ConfigError("loss-option", "loss", "no loss is named", did_you_mean("", LOSSES))
    if class_weights is not None and (min(class_weights) < 0 or sum(class_weights) <= 0):
        raise ConfigError("loss-weights", "class_weights", f"{list(class_weights)}: weights are 0 or more, not all 0")
    return Loss({name: _term(name, value) for name, value in terms.items()}, ignore, class_weights)


def _term(name: str, value: float | Mapping[str, Any]) -> tuple[float, Callable[..., Tensor], dict[str, Any]]:
    """(weight, function, options) of one entry of `terms`."""
    loss = lookup(LOSSES, name, "loss")
    options = dict(value) if isinstance(value, Mapping) else {"weight": value}
    known = [p.name for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for key, number in options.items():
        if key != "weight" and key not in known:
            fix = did_you_mean(key, ["weight", *known])
            raise ConfigError("loss-option", f"loss.{name}", f"the loss '{name}' has no option '{key}'", fix)
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise ConfigError("loss-option", f"loss.{name}.{key}", f"{number!r} is no number of 0 or more")
    return float(options.pop("weight", 1.0)), loss, options
