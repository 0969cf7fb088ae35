"""The full state of a training, as safetensors and JSON: enough to go on to the identical result.

`checkpoint/state.json` names its tensors file and is replaced atomically after it; batches, augmentation and learning
rate are pure functions of the step and need no state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from swath.core.errors import DataError
from swath.disk.publish import publish_bytes, publish_json, sweep
from swath.nets.loop import Learner


def save_checkpoint(directory: Path, learner: Learner, state: dict[str, Any]) -> None:
    """Publishes weights, optimiser and `state` (plain JSON values with at least `step`)."""
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    tensors = {f"net.{k}": v for k, v in learner.net.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in learner.average.items()}
    optimiser = learner.optimiser.state_dict()
    scalars: dict[str, Any] = {}
    for index, values in optimiser["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{name}"] = value
            else:
                scalars[f"{index}.{name}"] = value
    name = f"state-{state['step']:09d}.safetensors"
    publish_bytes(directory / name, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    publish_json(directory / "state.json", {**state, "tensors": name, "optimiser_scalars": scalars})
    for old in directory.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(directory: Path, learner: Learner) -> dict[str, Any] | None:
    """Restores the learner and returns the saved state; None where nothing was saved. Raises DataError."""
    file = directory / "state.json"
    if not file.exists():
        return None
    try:
        state = json.loads(file.read_text("utf-8"))
        tensors = load_file(directory / state["tensors"])
    except (OSError, ValueError, KeyError, SafetensorError) as e:
        raise DataError("checkpoint-corrupt", directory, f"cannot be read ({e})", "train anew with --overwrite") from e
    own = learner.net.state_dict()
    found = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
    if set(own) != set(found) or any(own[k].shape != found[k].shape for k in own):
        raise DataError("checkpoint-mismatch", directory, "is of another network", "train anew with --overwrite")
    learner.net.load_state_dict(found)
    learner.average = {
        k.removeprefix("average."): v.to(learner.device) for k, v in tensors.items() if k.startswith("average.")
    }
    _load_optimiser(learner.optimiser, tensors, state["optimiser_scalars"])
    return state


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    values: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            values.setdefault(int(index), {})[name] = _channels_last(tensor)
    for key, value in scalars.items():
        index, _, name = key.partition(".")
        values.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": values, "param_groups": optimiser.state_dict()["param_groups"]})


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
