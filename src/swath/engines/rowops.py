"""The torch functions that row streaming knows: each call becomes an `Operation`, or is refused with the reason.

A reader takes a `Call` (layer and shapes) and then the very arguments of the torch function, in which the tensors that
depend on the image are `Slot`s. To support another function, add its name to ROW_LOCAL or a reader to READERS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.engines.rowlaw import Call, Operation, Slot, only_image
from swath.engines.rowwindows import WINDOWED

ROW_LOCAL = frozenset((
    "abs", "add", "atan", "bfloat16", "ceil", "celu", "clamp", "clamp_max", "clamp_min", "clip", "cos", "div", "divide",
    "double", "elu", "eq", "erf", "exp", "expm1", "float", "floor", "ge", "gelu", "gt", "half", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "le", "leaky_relu", "log", "log1p", "logical_and", "logical_not",
    "logical_or", "logsigmoid", "lt", "masked_fill", "maximum", "minimum", "mish", "mul", "multiply", "ne", "neg",
    "negative", "pow", "rdiv", "reciprocal", "relu6", "round", "rpow", "rsqrt", "rsub", "rtruediv", "selu", "sigmoid",
    "sign", "silu", "sin", "softplus", "softshrink", "softsign", "sqrt", "square", "sub", "subtract", "tanh",
    "tanhshrink", "threshold", "to", "true_divide", "truediv", "type", "where",
))  # fmt: skip
UNCHANGED = frozenset((
    "alpha_dropout", "clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d", "feature_alpha_dropout",
    "feature_dropout",
))  # fmt: skip
CONVERSIONS = frozenset(("bfloat16", "double", "float", "half", "to", "type"))  # may give back their input
PIECES = frozenset(("chunk", "split", "tensor_split"))
METADATA = frozenset((
    "__len__", "device", "dim", "dtype", "element_size", "get_device", "is_complex", "is_contiguous", "is_cpu",
    "is_cuda", "is_floating_point", "is_leaf", "is_meta", "is_mkldnn", "is_nested", "is_quantized", "is_sparse",
    "itemsize", "layout", "ndim", "ndimension", "nelement", "numel", "requires_grad", "shape", "size", "storage_offset",
    "stride",
))  # fmt: skip
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
    name = getattr(function, "__name__", type(function).__name__)
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


def batch_norm(call: Call, input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Operation:  # fmt: skip
    """A normalisation with stored statistics."""
    only_image(call, input, running_mean, running_var, weight, bias)
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
    only_image(call, input, weight)
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
    **WINDOWED,
    **{f.__name__: f for f in (batch_norm, cat, getitem, instance_norm, prelu, relu, softmax)},
    **dict.fromkeys(("concat", "concatenate"), cat),
    **dict.fromkeys(("amax", "amin", "mean", "sum"), reduce_channels),
    "log_softmax": softmax,
}
