"""The torch functions that row streaming knows: each call becomes an `Operation`, or is refused with the reason.

A reader takes a `Call` (layer and shapes) and then the very arguments of the torch function, in which the tensors that
depend on the image are `Slot`s. To support another function, add its name to ROW_LOCAL or a reader to READERS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swath.engines.rowlaw import (
    Operation,
    Reach,
    Slot,
    Untraceable,
    interpolated,
    repeat,
    shifted,
    spread,
    window,
)

ROW_LOCAL = frozenset(
    [
        "abs",
        "add",
        "atan",
        "ceil",
        "celu",
        "clamp",
        "clamp_max",
        "clamp_min",
        "clip",
        "cos",
        "div",
        "divide",
        "double",
        "elu",
        "erf",
        "exp",
        "expm1",
        "float",
        "floor",
        "gelu",
        "half",
        "bfloat16",
        "hardshrink",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "log",
        "log1p",
        "logsigmoid",
        "maximum",
        "minimum",
        "mish",
        "mul",
        "multiply",
        "neg",
        "negative",
        "pow",
        "rdiv",
        "reciprocal",
        "relu6",
        "round",
        "rpow",
        "rsqrt",
        "rsub",
        "rtruediv",
        "selu",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "softplus",
        "softshrink",
        "softsign",
        "sqrt",
        "square",
        "sub",
        "subtract",
        "tanh",
        "tanhshrink",
        "threshold",
        "to",
        "true_divide",
        "truediv",
        "type",
    ]
)
UNCHANGED = frozenset({"alpha_dropout", "clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d",
                       "dropout3d", "feature_alpha_dropout", "feature_dropout", "identity"})  # fmt: skip
CONVERSIONS = frozenset(
    {"to", "float", "double", "half", "bfloat16", "type"}
)  # return their input where nothing changes
PIECES = frozenset({"chunk", "split", "tensor_split"})
METADATA = frozenset(
    [
        "__len__",
        "device",
        "dim",
        "dtype",
        "element_size",
        "get_device",
        "is_complex",
        "is_contiguous",
        "is_cpu",
        "is_cuda",
        "is_floating_point",
        "is_leaf",
        "is_meta",
        "is_mkldnn",
        "is_nested",
        "is_quantized",
        "is_sparse",
        "itemsize",
        "layout",
        "ndim",
        "ndimension",
        "nelement",
        "numel",
        "requires_grad",
        "shape",
        "size",
        "storage_offset",
        "stride",
    ]
)
LEAST = 20481  # torch convolves images of fewer values by another algorithm, which is slower and rounds otherwise
_WHOLE = "takes statistics over the whole image"
_MOVES = "moves or mixes the rows of the image"
_VALUES = "decides by pixel values"
REASONS = {
    "adaptive_avg_pool2d": "pools over the whole image",
    "adaptive_max_pool2d": "pools over the whole image",
    "max_pool2d_with_indices": "returns the positions of the maxima",
    "max_unpool2d": "needs the positions of the maxima",
    "grid_sample": "samples the image at free positions",
    "group_norm": _WHOLE,
    "layer_norm": _WHOLE,
    **dict.fromkeys(("bmm", "einsum", "flatten", "linear", "matmul", "permute", "reshape", "transpose", "unflatten",
                     "unfold", "view", "roll", "flip", "scaled_dot_product_attention"), _MOVES),
    **dict.fromkeys(("__bool__", "__float__", "__index__", "__int__", "item", "numpy", "tolist"), _VALUES),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call seen in the network: its layer, name and function, the shapes of its image-dependent inputs and result."""

    layer: str
    name: str
    function: Callable[..., Any]
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]

    def stop(self, reason: str) -> Untraceable:
        """The refusal of this call, to be raised."""
        return Untraceable(self.layer, f"{self.name} {reason}")


def read(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
    """The operation that repeats `call` on some of its rows. Raises Untraceable where there is none."""
    if call.name in READERS:
        try:
            return READERS[call.name](call, *args, **kwargs)
        except TypeError as error:
            raise call.stop(f"is called in an unknown way ({error})") from error
    if call.name not in ROW_LOCAL and call.name not in UNCHANGED:
        raise call.stop(refusal(call.name) or "is unknown")
    return _row_local(call, args, kwargs)


def plain_name(function: Callable[..., Any]) -> str:
    """The name of a torch function without in-place and operator marks: `add` for `Tensor.add_`, `rsub`, `shape`."""
    name = function.__name__
    if name in ("__get__", "__set__"):
        return str(function.__self__.__name__) if name == "__get__" else "assignment"  # type: ignore[attr-defined]
    return name if name in REASONS or name in METADATA else name.strip("_")


def refusal(name: str) -> str | None:
    """Why the function can not be walked row by row whatever its arguments; None where it may be."""
    if name in READERS or name in ROW_LOCAL or name in UNCHANGED or name in PIECES:
        return None
    return REASONS.get(name, "has no known form that works row by row")


def _row_local(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
    if call.name in UNCHANGED and kwargs.get("training") and kwargs.get("p", 1) > 0:
        raise call.stop("is in training mode")
    if "out" in kwargs:
        raise call.stop("writes into a tensor that it is given")
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and any(size != 1 for size in value.shape[-2:]):
            raise call.stop(f"takes a fixed tensor of shape {tuple(value.shape)}, which varies over the image")
    _same_size(call)
    if "inplace" in kwargs:
        kwargs = {**kwargs, "inplace": False}
    return Operation(call.name, _out_of_place(call.function), args, kwargs)


def _same_size(call: Call) -> None:
    """Check that all inputs have the rows and columns of the result."""
    for shape in call.inputs:
        if len(shape) != 4 or shape[2:] != call.output[2:]:
            raise call.stop(f"joins shapes {call.inputs} of different height or width")


def _out_of_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that returns a new tensor: `Tensor.add` for `Tensor.add_`."""
    name = function.__name__
    if name.endswith("_") and not name.endswith("__"):
        plain: Callable[..., Any] = getattr(Tensor, name[:-1])
        return plain
    return function


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    sizes = tuple(int(v) for v in value)
    return (sizes[0], sizes[-1])


def _only(call: Call, data: object, *others: object) -> None:
    if not isinstance(data, Slot) or any(isinstance(o, Slot) for o in others):
        raise call.stop("takes weights that are computed from the image")


def _windows(kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
             padding: tuple[int, int]) -> tuple[Reach, Reach]:  # fmt: skip
    rows, columns = (window(*v) for v in zip(kernel, stride, dilation, padding, strict=True))
    return rows, columns


def _conv_padding(call: Call, padding: int | str | Sequence[int], kernel: tuple[int, int],
                  dilation: tuple[int, int]) -> tuple[int, int]:  # fmt: skip
    if padding == "valid":
        return 0, 0
    if not isinstance(padding, str):
        return _pair(padding)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(t % 2 for t in total):
        raise call.stop("pads one side more than the other (an even kernel with padding='same')")
    return total[0] // 2, total[1] // 2


def conv2d(call: Call, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Operation:  # fmt: skip
    """A convolution with zero padding; the rows of the padding are given, the columns left to torch."""
    _only(call, input, weight, bias)
    kernel, stride, dilation = _pair(weight.shape[2:]), _pair(stride), _pair(dilation)
    padding = _conv_padding(call, padding, kernel, dilation)
    rows, columns = _windows(kernel, stride, dilation, padding)
    args = (input, weight, bias, stride, (0, padding[1]), dilation, groups)
    return Operation(call.name, torch.conv2d, args, {}, rows, columns, fill=0.0, least=LEAST)


def conv_transpose2d(call: Call, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Operation:  # fmt: skip
    """A transposed convolution; each output row is computed from all the input rows that add to it."""
    _only(call, input, weight, bias)
    kernel, stride, dilation = _pair(weight.shape[2:]), _pair(stride), _pair(dilation)
    padding, extra = _pair(padding), _pair(output_padding)
    rows, columns = (spread(*v) for v in zip(kernel, stride, dilation, padding, extra, strict=True))
    args = (input, weight, bias, stride, (0, padding[1]), (0, extra[1]), groups, dilation)
    return Operation(call.name, torch.conv_transpose2d, args, {}, rows, columns, fill=0.0, least=LEAST)


def max_pool2d(call: Call, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Operation:  # fmt: skip
    """A maximum over windows; rows beyond the edge are minus infinity."""
    _only(call, input)
    if ceil_mode or return_indices:
        raise call.stop("with ceil_mode or return_indices is not supported")
    kernel, padding, dilation = _pair(kernel_size), _pair(padding), _pair(dilation)
    stride = _pair(stride) if stride else kernel
    rows, columns = _windows(kernel, stride, dilation, padding)
    args = (input, kernel, stride, (0, padding[1]), dilation)
    return Operation(call.name, torch.max_pool2d, args, {}, rows, columns, fill=float("-inf"))


def avg_pool2d(call: Call, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Operation:  # fmt: skip
    """A mean over windows, with the padding counted or not."""
    _only(call, input)
    if ceil_mode:
        raise call.stop("with ceil_mode is not supported")
    kernel, padding = _pair(kernel_size), _pair(padding)
    stride = _pair(stride) if stride else kernel
    rows, columns = _windows(kernel, stride, (1, 1), padding)
    if padding[0] and not count_include_pad and divisor_override is None:
        # torch itself must count the rows at the true edge: give it whole strides of rows above, and its own padding
        rows = replace(rows, first=-stride[0] * -(-padding[0] // stride[0]), origin=0)
        args = (input, kernel, stride, padding, False, False)
        return Operation(call.name, F.avg_pool2d, args, {}, rows, columns)
    args = (input, kernel, stride, (0, padding[1]), False, count_include_pad, divisor_override)
    return Operation(call.name, F.avg_pool2d, args, {}, rows, columns, fill=0.0)


def _factor(call: Call, axis: int) -> int:
    before, after = call.inputs[0][axis], call.output[axis]
    if after % before:
        raise call.stop(f"resizes {before} to {after} pixels, which is not a whole factor")
    return after // before


def _repeats_exactly(factor: int) -> bool:
    # torch finds the source of row o as floor(o * float32(1 / factor)); for some factors this misses the whole rows
    rows = np.arange(1 << 18)
    source = np.floor(rows.astype(np.float32) * np.float32(1 / factor))
    return bool((source == rows // factor).all())


def interpolate(call: Call, input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Operation:  # fmt: skip
    """An enlargement by whole factors; the weights between pixel centres repeat only for powers of two."""
    _only(call, input)
    factors = _factor(call, 2), _factor(call, 3)
    taps = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}.get(mode)
    if taps is None or align_corners or antialias:
        raise call.stop(f"in mode {mode!r}, align_corners={align_corners}, antialias={antialias} is not row-local")
    for factor in factors:
        if factor & (factor - 1) and (taps > 1 or not _repeats_exactly(factor)):
            raise call.stop(f"in mode {mode!r} by a factor of {factor} has rounding that depends on the position")
    rows, columns = (repeat(f) if taps == 1 or f == 1 else interpolated(f, taps) for f in factors)
    options = {"scale_factor": (float(factors[0]), float(factors[1])), "mode": mode}
    return Operation(call.name, F.interpolate, (input,), options, rows, columns)


def upsample(call: Call, input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Operation:  # fmt: skip
    """The older name of `interpolate`."""
    return interpolate(call, input, size, scale_factor, mode, align_corners)


def pad(call: Call, input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Operation:
    """Rows and columns of one value around the image, or cropped from it."""
    _only(call, input)
    left, right, top, bottom = (tuple(int(p) for p in pad) + (0, 0, 0, 0))[:4]
    if mode != "constant" or any(pad[4:]):
        raise call.stop(f"in mode {mode!r} with {tuple(pad)} is not supported, only a constant around rows and columns")
    args = (input, (left, right, 0, 0), "constant", value)
    return Operation(call.name, F.pad, args, {}, shifted(top, bottom), shifted(left, right), fill=value or 0.0)


def pixel_shuffle(call: Call, input: Any, upscale_factor: int) -> Operation:
    """Channels become rows and columns."""
    reach = repeat(upscale_factor)
    return Operation(call.name, torch.pixel_shuffle, (input, upscale_factor), {}, reach, reach)


def pixel_unshuffle(call: Call, input: Any, downscale_factor: int) -> Operation:
    """Rows and columns become channels."""
    reach = window(downscale_factor, downscale_factor, 1, 0)
    return Operation(call.name, torch.pixel_unshuffle, (input, downscale_factor), {}, reach, reach)


def batch_norm(call: Call, input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Operation:  # fmt: skip
    """A normalisation with stored statistics."""
    _only(call, input, running_mean, running_var, weight, bias)
    if training:
        raise call.stop(_WHOLE + " (training mode, or no stored statistics)")
    args = (input, running_mean, running_var, weight, bias, False, momentum, eps)
    return Operation(call.name, F.batch_norm, args)


def instance_norm(call: Call, input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                  bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Operation:  # fmt: skip
    """A normalisation with stored statistics."""
    if use_input_stats:
        raise call.stop(_WHOLE)
    return batch_norm(call, input, running_mean, running_var, weight, bias, False, momentum, eps)


def relu(call: Call, input: Any, inplace: bool = False) -> Operation:
    """A rectifier."""
    return Operation(call.name, torch.relu, (input,))


def prelu(call: Call, input: Any, weight: Any) -> Operation:
    """A leaky rectifier with one slope, or one for each channel."""
    _only(call, input, weight)
    return Operation(call.name, torch.prelu, (input, weight))


def _along_channels(call: Call, dim: Any) -> None:
    if dim not in (1, -3):
        raise call.stop(f"along dimension {dim} is not row-local, only along channels (1)")
    _same_size(call)


def cat(call: Call, tensors: Sequence[Any], dim: int = 0) -> Operation:
    """Inputs stacked along channels."""
    _along_channels(call, dim)
    if not all(isinstance(t, Slot) for t in tensors):
        raise call.stop("joins a fixed tensor to the image")
    return Operation(call.name, torch.cat, (tuple(tensors), 1))


def softmax(call: Call, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Operation:
    """Shares over channels."""
    _along_channels(call, dim)
    function = torch.log_softmax if call.name == "log_softmax" else torch.softmax
    return Operation(call.name, function, (input, 1), {"dtype": dtype})


def pieces(call: Call, args: tuple[Any, ...], outputs: Sequence[tuple[int, ...]]) -> list[Operation]:
    """The operations that give the parts of a `chunk` or `split` along channels, one for each of its results."""
    if sum(shape[1] for shape in outputs) != call.inputs[0][1]:
        raise call.stop("is not row-local, only along channels (1)")
    starts = accumulate((shape[1] for shape in outputs), initial=0)
    return [Operation(call.name, torch.narrow, (args[0], 1, start, shape[1]), fresh=False)
            for start, shape in zip(starts, outputs, strict=False)]  # fmt: skip


def reduce_channels(call: Call, input: Any, dim: Any = None, keepdim: bool = False) -> Operation:
    """A sum, mean or extreme over channels, which stay as one channel."""
    dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
    _along_channels(call, dim)
    return Operation(call.name, call.function, (input, 1, keepdim))


def getitem(call: Call, input: Any, index: Any) -> Operation:
    """Some of the channels: `x[:, a:b]`."""
    parts = index if isinstance(index, tuple) else (index,)
    whole = [isinstance(p, slice) and p == slice(None) for p in parts]
    if len(parts) > 4 or not all(w for i, w in enumerate(whole) if i != 1) or not isinstance(parts[-1], slice):
        raise call.stop(f"with {index!r} is not row-local, only channels can be taken as x[:, a:b]")
    return Operation(call.name, Tensor.__getitem__, (input, index), fresh=False)


READERS: dict[str, Callable[..., Operation]] = {
    **{f.__name__: f for f in (avg_pool2d, batch_norm, cat, conv2d, conv_transpose2d, instance_norm, interpolate,
                               max_pool2d, pad, pixel_shuffle, pixel_unshuffle, prelu, relu, softmax, upsample)},
    **dict.fromkeys(("concat", "concatenate"), cat),
    **dict.fromkeys(("amax", "amin", "mean", "sum"), reduce_channels),
    "log_softmax": softmax,
    "getitem": getitem,
}  # fmt: skip
