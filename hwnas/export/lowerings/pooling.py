"""Lowerings of pooling: windows, and the mean or maximum over the whole image."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hwnas.export.graph import Kind, Padding, Tensor
from hwnas.export.lowerings.registry import Call, lowers, pair
from hwnas.export.views import View


@lowers(nn.MaxPool2d, F.max_pool2d, torch.max_pool2d)
def _max_pool(call: Call) -> Tensor:
    if call.setting(6, "return_indices", False):
        raise call.unsupported("return_indices must be False")
    if pair(call.setting(4, "dilation", 1)) != (1, 1):
        raise call.unsupported("dilation must be 1")
    x, window, stride, padding, rounded_up = _window(call, ceil_mode_position=5)
    return _pool(call, "max_pool", x, window, stride, _whole_windows(x, window, stride, padding, rounded_up))


@lowers(nn.AvgPool2d, F.avg_pool2d)
def _average_pool(call: Call) -> Tensor:
    if call.setting(6, "divisor_override") is not None:
        raise call.unsupported("divisor_override must be None")
    x, window, stride, padding, rounded_up = _window(call, ceil_mode_position=4)
    zeros_count = call.setting(5, "count_include_pad", True) and padding != (0, 0)
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
    window = pair(call.setting(1, "kernel_size"))
    stride = call.setting(2, "stride")
    padding = pair(call.setting(3, "padding", 0))
    rounded_up = bool(call.setting(ceil_mode_position, "ceil_mode", False))
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
    shape = (*x.shape[:2], height, width)
    return call.emit(kind, x, shape=shape, window=window, stride=stride, padding=padding)


@lowers(nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d)
def _adaptive_average_pool(call: Call) -> Tensor:
    x, size = _adaptive(call)
    if size == (1, 1):
        return _global_average_pool(call, x)
    return _evenly(call, "average_pool", x, size)


@lowers(nn.AdaptiveMaxPool2d, F.adaptive_max_pool2d)
def _adaptive_max_pool(call: Call) -> Tensor:
    if call.setting(2, "return_indices", False):
        raise call.unsupported("return_indices must be False")
    x, size = _adaptive(call)
    return _evenly(call, "max_pool", x, size)


def _adaptive(call: Call) -> tuple[Tensor, tuple[int, int]]:
    """Input, and height and width of the output; None stands for that of the input."""
    x, size = call.image(), call.setting(1, "output_size")
    vertical, horizontal = (size, size) if isinstance(size, int) or size is None else size
    return x, (vertical or x.shape[2], horizontal or x.shape[3])


def _evenly(call: Call, kind: Kind, x: Tensor, size: tuple[int, int]) -> Tensor:
    """An adaptive pooling whose windows are all equal: a plain one."""
    height, width = x.shape[2:]
    if height % size[0] or width % size[1]:
        raise call.unsupported(f"output_size must be 1 or divide the input size {x.shape[2:]}, not {size}")
    window = (height // size[0], width // size[1])
    return _pool(call, kind, x, window, window, ((0, 0), (0, 0)))


@lowers(torch.mean, "mean")
def _mean(call: Call) -> Tensor:
    x = _image_of_pixels(call)
    _check_axes(call, "mean")
    return _without_pixels(call, _global_average_pool(call, x))


@lowers(torch.amax, "amax")
def _maximum(call: Call) -> Tensor:
    x = _image_of_pixels(call)
    _check_axes(call, "maximum")
    return _without_pixels(call, _evenly(call, "max_pool", x, (1, 1)))


def _image_of_pixels(call: Call) -> Tensor:
    """The image (N, C, H, W), also where it comes as (N, C, pixels)."""
    value = call.argument(0, "input")
    if not isinstance(value, View) or len(value.shape) != 3:
        return call.image()
    image = value.tensor
    if len(image.shape) != 4 or value.shape[:2] != image.shape[:2] or not value.is_whole:
        raise call.unsupported(f"its input must have shape (N, C, H, W) or (N, C, H * W), not {value.shape}")
    if call.argument(2, "keepdim", False):
        raise call.unsupported("keepdim must be False where height and width are one dimension")
    return call.as_tensor(image, "its input")


def _check_axes(call: Call, what: str) -> None:
    """Refuse anything but height and width. Raises HwnasError."""
    value: Any = call.argument(0, "input")
    rank, axes = len(value.shape), call.argument(1, "dim")
    given = [axes] if isinstance(axes, int) else list(axes or ())
    if sorted(axis % rank for axis in given) != list(range(2, rank)):
        raise call.unsupported(f"only the {what} over height and width is supported, dim=(2, 3), not {axes}")


def _without_pixels(call: Call, pooled: Tensor) -> Tensor:
    """(N, C, 1, 1) where the call keeps the dimensions, else (N, C)."""
    if call.argument(2, "keepdim", False):
        return pooled
    return call.emit("flatten", pooled, shape=pooled.shape[:2], suffix=".flatten")


def _global_average_pool(call: Call, x: Tensor) -> Tensor:
    return call.emit("global_average_pool", x, shape=(*x.shape[:2], 1, 1))
