"""The torch functions that read windows of rows: convolutions, pooling, enlargement, padding, shuffling of pixels.

A reader takes a `Call` (layer and shapes) and then the very arguments of the torch function, in which the tensors that
depend on the image are `Slot`s; it returns the `Operation`, or raises Untraceable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from swath.engines.rowlaw import Call, Operation, Reach, interpolated, only_image, repeat, shifted, spread, window

LEAST = 20481  # values; torch convolves fewer by another algorithm, which is slower and rounds in another way


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    sizes = tuple(int(v) for v in value)
    return (sizes[0], sizes[-1])


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
    only_image(call, input, weight, bias)
    kernel, stride, dilation = _pair(weight.shape[2:]), _pair(stride), _pair(dilation)
    padding = _conv_padding(call, padding, kernel, dilation)
    rows, columns = _windows(kernel, stride, dilation, padding)
    args = (input, weight, bias, stride, (0, padding[1]), dilation, groups)
    return Operation(call.name, torch.conv2d, args, {}, rows, columns, fill=0.0, least=LEAST)


def conv_transpose2d(call: Call, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Operation:  # fmt: skip
    """A transposed convolution; each output row is computed from all the input rows that add to it."""
    only_image(call, input, weight, bias)
    kernel, stride, dilation = _pair(weight.shape[2:]), _pair(stride), _pair(dilation)
    padding, extra = _pair(padding), _pair(output_padding)
    rows, columns = (spread(*v) for v in zip(kernel, stride, dilation, padding, extra, strict=True))
    sourceless = max(0, stride[0] - 1 - dilation[0] * (kernel[0] - 1))  # rows after the last tap that only have a bias
    args = (input, weight, bias, stride, (0, padding[1]), (sourceless, extra[1]), groups, dilation)
    return Operation(call.name, torch.conv_transpose2d, args, {}, rows, columns, fill=0.0, least=LEAST)


def max_pool2d(call: Call, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Operation:  # fmt: skip
    """A maximum over windows; rows beyond the edge are minus infinity."""
    only_image(call, input)
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
    only_image(call, input)
    if ceil_mode:
        raise call.stop("with ceil_mode is not supported")
    kernel, padding = _pair(kernel_size), _pair(padding)
    stride = _pair(stride) if stride else kernel
    rows, columns = _windows(kernel, stride, (1, 1), padding)
    if padding[0] and not count_include_pad and divisor_override is None:
        # torch itself must count the rows at the true edge: give it whole strides of rows above, and its own padding
        rows = replace(rows, first=-stride[0] * -(-padding[0] // stride[0]), origin=0)
        counted = (input, kernel, stride, padding, False, False)
        return Operation(call.name, F.avg_pool2d, counted, {}, rows, columns)
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
    only_image(call, input)
    factors = _factor(call, 2), _factor(call, 3)
    taps = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}.get(mode)
    if taps is None or align_corners or antialias:
        raise call.stop(f"in mode {mode!r}, align_corners={align_corners}, antialias={antialias} is not row-local")
    for factor in factors:
        if factor & (factor - 1) and (mode != "nearest" or not _repeats_exactly(factor)):
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
    only_image(call, input)
    left, right, top, bottom = (*(int(p) for p in pad), 0, 0, 0, 0)[:4]
    if mode != "constant" or any(pad[4:]):
        raise call.stop(f"in mode {mode!r} with {tuple(pad)} is not supported, only a constant around rows and columns")
    args = (input, (left, right, 0, 0), "constant", value)
    return Operation(call.name, F.pad, args, {}, shifted(top, bottom), shifted(left, right), fill=value or 0.0)


def pixel_shuffle(call: Call, input: Any, upscale_factor: int) -> Operation:
    """Channels become rows and columns."""
    reach = repeat(upscale_factor)
    return Operation(call.name, torch.pixel_shuffle, (input, upscale_factor), {}, reach, reach, fresh=False)


def pixel_unshuffle(call: Call, input: Any, downscale_factor: int) -> Operation:
    """Rows and columns become channels."""
    reach = window(downscale_factor, downscale_factor, 1, 0)
    return Operation(call.name, torch.pixel_unshuffle, (input, downscale_factor), {}, reach, reach, fresh=False)


WINDOWED: dict[str, Callable[..., Operation]] = {
    f.__name__: f
    for f in (
        avg_pool2d,
        conv2d,
        conv_transpose2d,
        interpolate,
        max_pool2d,
        pad,
        pixel_shuffle,
        pixel_unshuffle,
        upsample,
    )
}
