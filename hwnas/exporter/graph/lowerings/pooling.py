"""Lowerings of pooling: windows, and the mean or maximum over the whole image."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hwnas.exporter.graph.graph import Kind, Padding, Tensor
from hwnas.exporter.graph.lowerings.registry import Call, lowers, pair
from hwnas.exporter.graph.views import View, viewed


@lowers(F.max_pool2d, "max_pool2d")
def _max_pool(call: Call) -> Tensor:
    if call.argument(6, "return_indices", False):
        raise call.unsupported("return_indices must be False")
    if pair(call.argument(4, "dilation", 1)) != (1, 1):
        raise call.unsupported("dilation must be 1")
    x, window, stride, padding, rounded_up = _window(call, ceil_mode_position=5)
    return _pool(call, "max_pool", x, window, stride, _whole_windows(x, window, stride, padding, rounded_up))


@lowers(F.avg_pool2d)
def _average_pool(call: Call) -> Tensor:
    if call.argument(6, "divisor_override") is not None:
        raise call.unsupported("divisor_override must be None")
    x, window, stride, padding, rounded_up = _window(call, ceil_mode_position=4)
    zeros_count = call.argument(5, "count_include_pad", True) and padding != (0, 0)
    completed = _whole_windows(x, window, stride, padding, rounded_up)
    if not zeros_count:
        return _pool(call, "average_pool", x, window, stride, completed)
    symmetric = _whole_windows(x, window, stride, padding, rounded_up=False)
    if completed != symmetric and _size(x, window, stride, completed) != _size(x, window, stride, symmetric):
        raise call.unsupported("ceil_mode together with padding that counts must leave the output as it is")
    vertical, horizontal = symmetric
    height, width = x.shape[2] + sum(vertical), x.shape[3] + sum(horizontal)
    padded = call.emit("pad", x, shape=(*x.shape[:2], height, width), suffix=".pad", padding=symmetric)
    return _pool(call, "average_pool", padded, window, stride, ((0, 0), (0, 0)))


def _window(
    call: Call, ceil_mode_position: int
) -> tuple[Tensor, tuple[int, int], tuple[int, int], tuple[int, int], bool]:
    """Input, window, stride, padding of a pooling, and whether its output size is rounded up."""
    window = pair(call.argument(1, "kernel_size"))
    stride = call.argument(2, "stride")
    padding = pair(call.argument(3, "padding", 0))
    rounded_up = bool(call.argument(ceil_mode_position, "ceil_mode", False))
    return call.image(), window, pair(stride) if stride not in (None, [], ()) else window, padding, rounded_up


def _whole_windows(
    x: Tensor, window: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], rounded_up: bool
) -> Padding:
    """Padding of each side; where the output size is rounded up, the last window is completed with padding."""
    sides = []
    for size, taps, step, pad in zip(x.shape[2:], window, stride, padding, strict=True):
        room = size + 2 * pad - taps
        missing = -room % step if rounded_up else 0
        # PyTorch drops a last window that would start in the padding
        begins_outside = -(-room // step) * step >= size + pad
        sides.append((pad, pad if begins_outside else pad + missing))
    return (sides[0], sides[1])


def _size(x: Tensor, window: tuple[int, int], stride: tuple[int, int], padding: Padding) -> tuple[int, int]:
    height, width = (
        (size + sum(pad) - taps) // step + 1
        for size, pad, taps, step in zip(x.shape[2:], padding, window, stride, strict=True)
    )
    return (height, width)


def _pool(
    call: Call, kind: Kind, x: Tensor, window: tuple[int, int], stride: tuple[int, int], padding: Padding
) -> Tensor:
    height, width = _size(x, window, stride, padding)
    if height < 1 or width < 1:
        raise call.unsupported(f"its {window} window is larger than its padded input {x.shape}")
    if kind == "average_pool" and window == x.shape[2:] and not np.any(padding):
        return _global_average_pool(call, x)
    shape = (*x.shape[:2], height, width)
    return call.emit(kind, x, shape=shape, window=window, stride=stride, padding=padding)


@lowers(F.adaptive_avg_pool2d)
def _adaptive_average_pool(call: Call) -> Tensor:
    x, size = _adaptive(call)
    return _evenly(call, "average_pool", x, size)


@lowers(F.adaptive_max_pool2d)
def _adaptive_max_pool(call: Call) -> Tensor:
    if call.argument(2, "return_indices", False):
        raise call.unsupported("return_indices must be False")
    x, size = _adaptive(call)
    return _evenly(call, "max_pool", x, size)


def _adaptive(call: Call) -> tuple[Tensor, tuple[int, int]]:
    """Input, and height and width of the output; None stands for that of the input."""
    x, size = call.image(), call.argument(1, "output_size")
    vertical, horizontal = (size, size) if isinstance(size, int) or size is None else size
    return x, (vertical or x.shape[2], horizontal or x.shape[3])


def _evenly(call: Call, kind: Kind, x: Tensor, size: tuple[int, int]) -> Tensor:
    """An adaptive pooling whose windows are all equal: a plain one."""
    height, width = x.shape[2:]
    if height % size[0] or width % size[1]:
        raise call.unsupported(f"output_size must be 1 or divide the input size {x.shape[2:]}, not {size}")
    window = (height // size[0], width // size[1])
    return _pool(call, kind, x, window, window, ((0, 0), (0, 0)))


@lowers("mean")
def _mean(call: Call) -> Tensor | View:
    return _reduced(call, "average_pool")


@lowers("sum")
def _sum(call: Call) -> Tensor | View:
    mean = _reduced(call, "average_pool")
    count = math.prod(call.argument(0, "input").shape) // math.prod(mean.shape)
    written = call.recorder.write_out(mean) if isinstance(mean, View) else mean
    x = mean.tensor if written is None and isinstance(mean, View) else call.as_tensor(mean, "its mean")
    total = call.emit("affine", x, shape=x.shape, suffix=".sum", weight=np.full(1, float(count)), bias=np.zeros(1))
    return replace(mean, tensor=total) if written is None and isinstance(mean, View) else total


@lowers("adaptive_avg_pool1d")
def _adaptive_average_pool_of_pixels(call: Call) -> Tensor | View:
    if call.argument(1, "output_size") not in (1, (1,), [1]):
        raise call.unsupported(f"output_size must be 1, not {call.argument(1, 'output_size')}")
    return _reduced(replace(call, args=(call.argument(0, "input"), -1, True), kwargs={}), "average_pool")


@lowers("amax")
def _maximum(call: Call) -> Tensor | View:
    return _reduced(call, "max_pool")


@lowers("max")
def _maximum_and_place(call: Call) -> Any:
    axis = call.argument(1, "dim")
    if not isinstance(axis, int):
        raise call.unsupported("it must be over height and width: amax((2, 3))")
    return torch.return_types.max((_reduced(call, "max_pool"), None))  # type: ignore[arg-type]


def _reduced(call: Call, kind: Kind) -> Tensor | View:
    """The average or maximum over height, width or both, also if they come as one dimension; or over the channels."""
    value = call.argument(0, "input")
    rank, given = len(value.shape), call.argument(1, "dim")
    axes = sorted(axis % rank for axis in ([given] if isinstance(given, int) else given or range(rank)))
    if axes == [1] and rank == 4:
        pooled = _over_channels(call, kind)
    elif axes and axes[0] >= 2 and (rank == 4 or axes == list(range(2, rank))):
        image = call.image() if rank == 4 else _image_of_pixels(call)
        height, width = (
            size if rank != 4 or axis in axes else 1 for axis, size in zip((2, 3), image.shape[2:], strict=True)
        )
        pooled = _pool(call, kind, image, (height, width), (height, width), ((0, 0), (0, 0)))
    else:
        raise call.unsupported(
            f"it must be over height and width, dim=(2, 3), or one of them, or over the channels of an image, dim=1, "
            f"not over dim={given} of shape {value.shape}"
        )
    if call.argument(2, "keepdim", False):
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    else:
        shape = tuple(size for axis, size in enumerate(value.shape) if axis not in axes)
    return pooled if pooled.shape == shape else viewed(pooled, f"{call.name}.flatten", lambda i: i.reshape(shape))


def _image_of_pixels(call: Call) -> Tensor:
    """The image (N, C, H, W) that comes as (N, C, pixels)."""
    value: Any = call.argument(0, "input")
    image = value.tensor if isinstance(value, View) else value
    if len(image.shape) != 4 or value.shape[:2] != image.shape[:2] or not value.is_whole:
        raise call.unsupported(f"its input must have shape (N, C, H, W) or (N, C, H * W), not {value.shape}")
    return call.as_tensor(image, "its input")


def _over_channels(call: Call, kind: Kind) -> Tensor:
    """The average or maximum over the channels: the average is a convolution."""
    x = call.image()
    shape = (x.shape[0], 1, *x.shape[2:])
    if kind == "max_pool":
        return call.emit("channel_max", x, shape=shape)
    weight = np.full((1, x.shape[1], 1, 1), 1 / x.shape[1], np.float32)
    return call.emit("conv", x, shape=shape, weight=weight, bias=np.zeros(1, np.float32))


def _global_average_pool(call: Call, x: Tensor) -> Tensor:
    return call.emit("global_average_pool", x, shape=(*x.shape[:2], 1, 1))
