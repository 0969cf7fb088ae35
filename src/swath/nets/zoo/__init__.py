"""Networks by name: `build_net("unet", 4, 6, {"width": 32})`.

Every network takes float32 (B, in_channels, H, W) with H and W multiples of its `stride`, and returns logits
(B, out_channels, H, W) on the same grid. A new family is one file with a `build` function and one line in `ZOO`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.registry import called, lookup
from swath.nets.coordconv import with_coordinates
from swath.nets.zoo import smp, unet

Builder = Callable[..., nn.Module]

ZOO: dict[str, Builder] = {
    "unet": unet.build,
    **{f"smp-{name}": partial(smp.build, name) for name in smp.ARCHITECTURES},
    "smp-dpt": partial(smp.build, "dpt", encoder="tu-vit_tiny_patch16_224"),  # takes no other kind of encoder
}


def build_net(name: str, in_channels: int, out_channels: int, options: Mapping[str, Any]) -> nn.Module:
    """The network `name` with random weights (torch's global generator) and the attribute `stride` in pixels.

    `name`: an entry of ZOO, or a user's own `package.module:function` called as (in_channels, out_channels, **options).
    With the option `coordconv` every convolution gets coordinate channels (see `with_coordinates`).
    Raises ConfigError (model-unknown, model-option, extra-missing), DataError (model-contract).
    """
    for key, number in (("in_channels", in_channels), ("out_channels", out_channels)):
        if number < 1:
            raise ConfigError("model-option", key, f"{number} is not 1 or more")
    build = _builder(name)
    options = dict(options)
    coordinates = options.pop("coordconv", None)
    if not _takes_any(name, build):
        _check_options(name, options)
    if name in ZOO or _is_smp(name):
        net = build(in_channels, out_channels, **options)
    else:
        net = called("model", name, build, in_channels, out_channels, **options)
    if coordinates is not None:
        net = with_coordinates(net, coordinates)
    stride = getattr(net, "stride", None)
    if not isinstance(net, nn.Module) or not isinstance(stride, int) or stride < 1:
        raise DataError("model-contract", name, "no torch module with a whole number as its attribute 'stride'",
                        "set net.stride: height and width of an input are multiples of it")  # fmt: skip
    return net


def option_names(name: str) -> list[str]:
    """The options that `build_net` takes for this network, in order; the smp networks import smp to answer."""
    build = _builder(name)
    if _is_smp(name):
        return smp.option_names(name.removeprefix("smp-"))
    parameters = list(inspect.signature(build).parameters.values())[2:]
    return [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


def init_head_bias(net: nn.Module, priors: Sequence[float]) -> bool:
    """Whether the last convolution now starts at the expected class shares: its bias is log(prior).

    `priors`: one share per class, any positive scale; for a network with one output channel (background, foreground),
    or the foreground's fraction alone, and the bias is its logit. Shares below 1e-4 count as 1e-4. The first steps of
    training are then not spent on learning the shares. False, and nothing done, where no last convolution with a bias
    is found. Lin et al. 2017, section 3.3.
    Raises ConfigError (model-priors) where the number of priors does not match.
    """
    inside = getattr(net, "segmentation_head", net)
    head = next((m for m in reversed(list(inside.modules())) if isinstance(m, nn.Conv2d)), None)
    if head is None or head.bias is None:
        return False
    shares = [1 - priors[0], priors[0]] if len(priors) == 1 else list(priors)
    if len(shares) != max(head.out_channels, 2):
        message = f"{len(priors)} class shares for a network with {head.out_channels} output channels"
        raise ConfigError("model-priors", "model", message)
    logs = [math.log(max(share / sum(shares), 1e-4)) for share in shares]
    with torch.no_grad():
        head.bias.copy_(torch.tensor(logs if head.out_channels > 1 else [logs[1] - logs[0]]))
    return True


def _is_smp(name: str) -> bool:
    return name.startswith("smp-") and ":" not in name


def _builder(name: str) -> Builder:
    """The function behind a name; an smp architecture newer than our list is found in smp's own table."""
    if name not in ZOO and _is_smp(name) and smp.installed(name.removeprefix("smp-")):
        return partial(smp.build, name.removeprefix("smp-"))
    return lookup(ZOO, name, "model")


def _takes_any(name: str, build: Builder) -> bool:
    kinds = [p.kind for p in inspect.signature(build).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds and not _is_smp(name)


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    known = option_names(name)
    for key in options:
        if key not in known:
            message = f"the network '{name}' has no option '{key}'"
            raise ConfigError("model-option", f"model.{key}", message, did_you_mean(key, known))
