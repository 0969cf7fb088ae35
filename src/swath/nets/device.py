"""Where the network runs and in which arithmetic, chosen at run time."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from swath.core.errors import ConfigError, ResourceError


def choose_device(wanted: str) -> torch.device:
    """The device of `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`. Raises ResourceError or ConfigError."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as e:
        raise ConfigError("device", wanted, "is no device", "write auto, cpu, cuda or cuda:0") from e
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ResourceError("device-missing", wanted, f"this machine has {count} GPUs", "use runtime.device=auto")
    return device


def bf16_is_fast(device: torch.device) -> bool:
    """True where the processor multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text("utf-8").split() if cpuinfo.exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of autocast in training: bfloat16 where asked for or fast, else float32."""
    if wanted == "bf16" or (wanted == "auto" and bf16_is_fast(device)):
        return torch.bfloat16
    return torch.float32


def set_threads(wanted: int | str) -> int:
    """The number of threads the network uses from here on: `auto` is every core this process may use."""
    count = cores() if wanted == "auto" else int(wanted)
    torch.set_num_threads(count)
    return count


def reading_threads(wanted: int | str) -> int:
    """The number of threads that read batches ahead: `auto` is two, and none on a single core."""
    return (2 if cores() > 1 else 0) if wanted == "auto" else int(wanted)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
