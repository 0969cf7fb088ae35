"""The network of a bundle: built from its card, filled from its tensors, proven by its golden probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.core.errors import DataError
from swath.core.legend import Legend
from swath.core.registry import called
from swath.core.windows import up
from swath.disk.bundle import Bundle
from swath.nets.radius import measure_radius
from swath.nets.zoo import ZOO, build_net, init_head_bias
from swath.specs import ModelSpec

PROBE_TOLERANCE = 1e-4


def outputs(spec: ModelSpec, legend: Legend) -> int:
    """The number of output channels: one per class, or one for a binary head. Raises DataError."""
    if spec.head == "multiclass":
        return len(legend)
    if len(legend) != 2:
        raise DataError("head-binary", "model.head", f"a binary head has two classes, the legend {len(legend)}",
                        "use model.head=multiclass")  # fmt: skip
    return 1


def new_net(spec: ModelSpec, bands: int, legend: Legend, pixels: NDArray[np.int64], seed: int) -> nn.Module:
    """The untrained network; its last bias starts at the class shares of the training `pixels` (C,)."""
    torch.manual_seed(seed)
    net = build_net(spec.name, bands, outputs(spec, legend), spec.given())
    if spec.name not in ZOO:
        require_grid(net, spec.name, bands, outputs(spec, legend))
    shares = (pixels / max(pixels.sum(), 1)).tolist()
    init_head_bias(net, shares)
    return net.to(memory_format=torch.channels_last)


def require_grid(net: nn.Module, name: str, bands: int, channels: int) -> None:
    """Nothing, or a DataError (model-contract): logits (B, channels, H, W) on the grid of the input are expected."""
    side = up(64, int(net.stride))  # type: ignore[arg-type]
    given, wanted = (1, bands, side, side), (1, channels, side, side)
    training = net.training
    net.eval()
    with torch.inference_mode():
        out = called("model", f"{name} on an input of {given}", net, torch.zeros(given))
    net.train(training)
    found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if found != wanted:
        raise DataError("model-contract", name, f"gives {found} for an input of {given}; {wanted} is expected",
                        "return logits (B, classes, H, W) on the grid of the input")  # fmt: skip


def load_net(bundle: Bundle) -> nn.Module:
    """The bundle's network in evaluation mode, on the CPU. Raises DataError where weights do not fit the card."""
    model = bundle.model
    options = {k: v for k, v in model["options"].items() if k != "pretrained"}
    net = build_net(model["name"], model["in_channels"], model["out_channels"], options)
    load_tensors(net, bundle.tensors(), bundle.directory)
    return net.to(memory_format=torch.channels_last).eval()


def load_tensors(net: nn.Module, tensors: Mapping[str, NDArray[Any]], where: object) -> None:
    """Fills the network; names and shapes are compared before anything is copied. Raises DataError."""
    own = net.state_dict()
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = [k for k in own if k in tensors and tuple(own[k].shape) != tuple(tensors[k].shape)]
    if missing or extra or wrong:
        parts = [f"{len(v)} {what} (first: {v[0]})" for what, v in
                 (("missing", missing), ("unexpected", extra), ("of another shape", wrong)) if v]  # fmt: skip
        raise DataError("weights-mismatch", where, "its weights do not fit the network: " + ", ".join(parts),
                        "use the bundle's own model, bands and classes")  # fmt: skip
    net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}, strict=True)


def numpy_tensors(net: nn.Module) -> dict[str, NDArray[Any]]:
    """The network's weights and buffers by name."""
    return {k: v.detach().cpu().contiguous().numpy() for k, v in net.state_dict().items()}


def model_card(spec: ModelSpec, net: nn.Module, bands: int) -> dict[str, Any]:
    """What a bundle's card says of the network: name, options, channels, stride and measured radius.

    `threshold` of a binary head is the probability from which on a pixel is of class 1 (`class_indices`).
    """
    stride = int(net.stride)  # type: ignore[arg-type]
    radius = measure_radius(net, bands, stride)
    return {
        "name": spec.name,
        "options": {k: v for k, v in spec.given().items() if k != "pretrained"},
        "head": spec.head,
        **({"threshold": 0.5} if spec.head == "binary" else {}),
        "in_channels": bands,
        "out_channels": last_channels(net, bands, stride),
        "stride": stride,
        "radius": radius.pixels,
        "radius_sides": [radius.top, radius.bottom, radius.left, radius.right],
        "radius_reason": radius.reason,
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def last_channels(net: nn.Module, bands: int, stride: int) -> int:
    """The number of output channels, asked of the network itself."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    with torch.inference_mode():
        count = net(torch.zeros(1, bands, max(64, stride), max(64, stride), device=device)).shape[1]
    net.train(training)
    return int(count)


def probabilities(logits: Tensor) -> Tensor:
    """Scores of every class (B, C, H, W) of logits; a binary head's single channel becomes two."""
    logits = logits.float()
    if logits.shape[1] == 1:
        foreground = torch.sigmoid(logits)
        return torch.cat([1 - foreground, foreground], 1)
    return torch.softmax(logits, 1)


def class_indices(logits: Tensor) -> Tensor:
    """The best class (B, H, W) uint8 or int16, by a running compare: many times faster on a CPU than argmax."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).to(torch.uint8)
    best = logits[:, 0].clone()
    index = torch.zeros_like(best, dtype=torch.uint8 if logits.shape[1] < 256 else torch.int16)
    for i in range(1, logits.shape[1]):
        better = logits[:, i] > best
        index.masked_fill_(better, i)
        best = torch.where(better, logits[:, i], best)
    return index


def make_probe(
    net: nn.Module, raw: NDArray[Any], valid: NDArray[np.bool_], model_input: NDArray[np.float32]
) -> dict[str, Any]:
    """The golden probe: a raw patch, its model input and the network's float32 output (K, h, w)."""
    return {"raw": raw, "valid": valid, "input": model_input, "output": run_probe(net, model_input)}


def run_probe(net: nn.Module, model_input: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's output (K, h, w) on one model input (C, h, w), float32, evaluation mode."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(model_input))[None].to(device, memory_format=torch.channels_last)
        out = net(x)[0].float().cpu().numpy()
    net.train(training)
    return np.ascontiguousarray(out)


def prove(bundle: Bundle, net: nn.Module) -> None:
    """Nothing, or a DataError: the raw probe must scale to the stored input bit for bit, and the network agree."""
    probe = bundle.probe()
    scaled = bundle.bands.scale(probe["raw"], probe["valid"])
    if bundle.bands.scope == "dataset" and not np.array_equal(scaled, probe["input"]):
        worst = float(np.abs(scaled - probe["input"]).max())
        raise DataError("probe-input", bundle.directory, f"its preprocessing differs from training (by {worst:.3g})",
                        "use the bundle unchanged, with the Swath that wrote it")  # fmt: skip
    found = run_probe(net, probe["input"])
    scale = max(1.0, float(np.abs(probe["output"]).max()))
    worst = float(np.abs(found - probe["output"]).max()) if found.shape == probe["output"].shape else float("inf")
    if not worst <= PROBE_TOLERANCE * scale:
        raise DataError("probe-output", bundle.directory, f"the network's output differs from training (by {worst:.3g})",
                        "use the bundle unchanged, with the Swath that wrote it")  # fmt: skip
