"""The architectures of segmentation-models-pytorch (smp), with any of its or timm's encoders; imported on first use."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import torch
from torch import nn

from swath.core.errors import ConfigError, DataError, ResourceError, did_you_mean
from swath.nets.adapt import adapted

# Known without importing smp; the installed version's own table decides when a network is built.
ARCHITECTURES = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
)  # fmt: skip
PRETRAINED = ("none", "imagenet")
_NOT_OPTIONS = {"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"}


def build(
    architecture: str,
    in_channels: int,
    out_channels: int,
    *,
    encoder: str = "resnet18",
    pretrained: str = "none",
    adapter: str | None = None,
    **options: Any,
) -> nn.Module:
    """An smp network: float32 (B, in_channels, H, W) to logits (B, out_channels, H, W), on multiples of its `stride`.

    `encoder`: a name of smp (`resnet18`) or of timm (`tu-convnext_tiny`). `pretrained`: none (random weights, the
    network is never asked) or imagenet (downloaded by smp at first use). `adapter`: how pretrained filters of three
    bands serve more of them (see `adapted`); default: smp repeats and rescales them. `options`: what the architecture's own
    constructor takes, such as `encoder_depth` or `decoder_channels`.
    Raises ConfigError: model-unknown, model-option (encoder, pretrained, or a value that smp refuses), extra-missing;
    ResourceError (weights-unreachable) where a download fails.
    """
    smp = import_smp()
    make = _architecture(smp, architecture)
    _check_encoder(smp, encoder)
    if pretrained not in PRETRAINED:
        fix = did_you_mean(pretrained, PRETRAINED)
        raise ConfigError("model-option", "model.pretrained", f"unknown value {pretrained!r}", fix)
    widen = adapter is not None and in_channels != 3
    net = _make(make, encoder, pretrained, in_channels=3 if widen else in_channels, classes=out_channels, **options)
    if adapter is not None and widen:
        net = adapted(net, in_channels, adapter)
    net.requires_divisible_input_shape = False  # its check asks for the sizes inside forward, which stops torch.fx
    net.stride = _settle_stride(net, in_channels, out_channels, int(net.encoder.output_stride))
    return net


def option_names(architecture: str) -> list[str]:
    """What `build` takes for this architecture: encoder, pretrained, then the constructor's own options, in order."""
    parameters = inspect.signature(_architecture(import_smp(), architecture)).parameters.values()
    own = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in _NOT_OPTIONS]
    return ["encoder", "pretrained", "adapter", *own]


def import_smp() -> ModuleType:
    """The smp package. Raises ConfigError (extra-missing) where it is not installed."""
    try:
        import segmentation_models_pytorch
    except ImportError as e:
        message = f"networks named smp-... need segmentation-models-pytorch ({e})"
        raise ConfigError("extra-missing", "model.name", message, "pip install 'swath[smp]'") from e
    return segmentation_models_pytorch


def installed(architecture: str) -> bool:
    """Whether smp is installed and has this architecture, even one that our own list lacks."""
    try:
        return architecture in import_smp().MODEL_ARCHITECTURES_MAPPING
    except ConfigError:
        return False


def _architecture(smp: ModuleType, architecture: str) -> Any:
    table = smp.MODEL_ARCHITECTURES_MAPPING
    if architecture not in table:
        message = f"the installed smp {smp.__version__} has no architecture '{architecture}'"
        fix = did_you_mean(f"smp-{architecture}", [f"smp-{known}" for known in table])
        raise ConfigError("model-unknown", f"smp-{architecture}", message, fix)
    return table[architecture]


def _check_encoder(smp: ModuleType, encoder: str) -> None:
    import timm  # a dependency of smp

    known = set(smp.encoders.get_encoder_names())
    if encoder in known or (encoder.startswith("tu-") and timm.is_model(encoder[3:].split(".")[0])):
        return
    known.update(f"tu-{name}" for name in timm.list_models())
    close = did_you_mean(encoder, known)
    fix = close if close.startswith("did") else f"known: {', '.join(sorted(known)[:8])} ... or tu-<name in timm>"
    raise ConfigError("model-option", "model.encoder", f"unknown encoder '{encoder}'", fix)


def _make(make: Any, encoder: str, pretrained: str, **options: Any) -> Any:
    """The network from smp's constructor; its refusals become ConfigError, its failed downloads ResourceError."""
    weights: str | bool | None = None
    if pretrained != "none":
        weights = True if encoder.startswith("tu-") else pretrained
    if make.__name__ == "DPT":
        options = {"dynamic_img_size": True, **options}  # a vision transformer is bound to one image size otherwise
    try:
        return make(encoder_name=encoder, encoder_weights=weights, **options)
    except OSError as e:
        message = f"the pretrained weights of '{encoder}' could not be fetched ({e})"
        raise ResourceError("weights-unreachable", "model.pretrained", message, "set model.pretrained: none") from e
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as e:
        where = f"smp {make.__name__} with encoder '{encoder}'"
        raise ConfigError("model-option", "model", f"{where} refuses these options: {e}") from e


def _settle_stride(net: Any, in_channels: int, out_channels: int, stride: int) -> int:
    """The smallest of stride, 2, 4 and 8 times it whose multiples the network takes and answers on the same grid.

    Asked of the network itself, since some need more than their encoder says: DPT halves its token grid, and the
    attention of PAN pools three times more.
    """
    net.eval()
    problem = ""
    for size in (stride, 2 * stride, 4 * stride, 8 * stride):
        try:
            with torch.no_grad():
                shape = tuple(net(torch.zeros(1, in_channels, size, 3 * size)).shape)
        except (RuntimeError, ValueError, AssertionError) as e:
            problem = str(e)
            continue
        if shape == (1, out_channels, size, 3 * size):
            net.train()
            return size
        problem = f"an input of {size} x {3 * size} pixels gives {shape}"
    raise DataError("model-contract", "model", f"the network does not answer on the input grid: {problem}",
                    "leave its options at their defaults or choose another encoder")  # fmt: skip
