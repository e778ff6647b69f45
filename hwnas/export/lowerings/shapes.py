"""Lowerings of what moves values without changing them: views, slices, concatenation, padding, resizing."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hwnas.export.graph import Tensor
from hwnas.export.lowerings.registry import Call, lowers
from hwnas.export.views import View, viewed


def _view(call: Call, change: Callable[[np.ndarray], np.ndarray], suffix: str = "") -> View:
    """The first argument, after a change that moves its elements. Raises HwnasError where PyTorch would refuse it."""
    source = call.argument(0, "input")
    if not isinstance(source, (Tensor, View)):
        source = call.tensor()
    if isinstance(source, View) and (len(source.shape) in (2, 4)):
        source = call.recorder.write_out(source) or source
    try:
        return viewed(source, call.name + suffix, change)
    except (ValueError, IndexError) as error:
        raise call.unsupported(f"it does not fit its input of shape {source.shape}: {error}") from None


def _sizes(call: Call) -> tuple[Any, ...]:
    """The numbers that follow the tensor, given one by one or as one tuple."""
    sizes = call.args[1:] or tuple(call.kwargs.values())
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


@lowers("view", "reshape", torch.reshape)
def _reshape(call: Call) -> View:
    sizes = _sizes(call)
    return _view(call, lambda index: index.reshape(sizes))


@lowers("contiguous")
def _contiguous(call: Call) -> Tensor | View:
    value = call.argument(0, "input")
    # of a view it is a copy, and so must not be taken for the same
    return _view(call, lambda index: index) if isinstance(value, View) else value


@lowers("flatten", nn.Flatten, torch.flatten)
def _flatten(call: Call) -> View:
    first = call.setting(1, "start_dim", 0)
    last = call.setting(2, "end_dim", -1)
    rank = len(call.argument(0, "input").shape)
    if first % rank == 0:
        raise call.unsupported(f"it must leave the batch, start_dim=1, not start_dim={first}")

    def flattened(index: np.ndarray) -> np.ndarray:
        begin, end = first % rank, last % rank
        return index.reshape(*index.shape[:begin], math.prod(index.shape[begin : end + 1]), *index.shape[end + 1 :])

    return _view(call, flattened)


@lowers("unflatten", nn.Unflatten, torch.unflatten)
def _unflatten(call: Call) -> View:
    axis = call.setting(1, "dim")
    sizes = tuple(call.module.unflattened_size) if isinstance(call.module, nn.Unflatten) else call.argument(2, "sizes")

    def unflattened(index: np.ndarray) -> np.ndarray:
        at = axis % index.ndim
        return index.reshape(*index.shape[:at], *sizes, *index.shape[at + 1 :])

    return _view(call, unflattened)


@lowers("squeeze", torch.squeeze)
def _squeeze(call: Call) -> View:
    axes = call.argument(1, "dim")
    if axes is None:
        raise call.unsupported("name the dimensions to squeeze, since a batch of one would vanish too: squeeze(-1)")
    wanted = (axes,) if isinstance(axes, int) else tuple(axes)

    def squeezed(index: np.ndarray) -> np.ndarray:
        present = tuple(axis for axis in wanted if index.shape[axis] == 1)  # PyTorch leaves the others
        return index.squeeze(present)

    return _view(call, squeezed)


@lowers("unsqueeze", torch.unsqueeze)
def _unsqueeze(call: Call) -> View:
    axis = call.argument(1, "dim")
    return _view(call, lambda index: np.expand_dims(index, axis))


@lowers("transpose", torch.transpose, "swapaxes")
def _transpose(call: Call) -> View:
    first, second = call.argument(1, "dim0"), call.argument(2, "dim1")
    return _view(call, lambda index: index.swapaxes(first, second))


@lowers("permute", torch.permute)
def _permute(call: Call) -> View:
    axes = _sizes(call)
    return _view(call, lambda index: index.transpose(axes))


@lowers("expand")
def _expand(call: Call) -> View:
    sizes = _sizes(call)

    def expanded(index: np.ndarray) -> np.ndarray:
        own = (1,) * (len(sizes) - index.ndim) + index.shape
        return np.broadcast_to(index, tuple(b if a == -1 else a for a, b in zip(sizes, own, strict=True)))

    return _view(call, expanded)


@lowers("expand_as")
def _expand_as(call: Call) -> View:
    shape = call.argument(1, "other").shape
    return _view(call, lambda index: np.broadcast_to(index, shape))


@lowers(nn.ChannelShuffle, F.channel_shuffle, torch.channel_shuffle)
def _channel_shuffle(call: Call) -> View:
    groups = call.setting(1, "groups")

    def shuffled(index: np.ndarray) -> np.ndarray:
        batch, channels, height, width = index.shape
        split = index.reshape(batch, groups, channels // groups, height, width)
        return split.swapaxes(1, 2).reshape(index.shape)

    return _view(call, shuffled)


@lowers("chunk", torch.chunk)
def _chunk(call: Call) -> tuple[View, ...]:
    axis = call.argument(2, "dim", 0)
    size = call.argument(0, "input").shape[axis]
    return _parts(call, [-(-size // call.argument(1, "chunks"))], axis)


@lowers("split", torch.split, "split_with_sizes")
def _split(call: Call) -> tuple[View, ...]:
    sizes = call.argument(1, "split_size_or_sections", call.kwargs.get("split_size"))
    return _parts(call, [sizes] if isinstance(sizes, int) else list(sizes), call.argument(2, "dim", 0))


def _parts(call: Call, sizes: list[int], axis: int) -> tuple[View, ...]:
    """Slices one after the other; a single size is repeated to the end."""
    whole = call.argument(0, "input").shape[axis]
    if len(sizes) == 1:
        sizes = [min(sizes[0], whole - begin) for begin in range(0, whole, sizes[0])]
    begins = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(
        _view(call, lambda index, b=begin, s=size: index.take(range(b, b + s), axis), f".{number}")  # type: ignore[misc]
        for number, (begin, size) in enumerate(zip(begins, sizes, strict=True))
    )


@lowers("narrow", torch.narrow)
def _narrow(call: Call) -> View:
    axis, begin, size = (call.argument(1 + i, name) for i, name in enumerate(("dim", "start", "length")))
    return _view(call, lambda index: index.take(range(begin, begin + size), axis))


@lowers(operator.getitem)
def _getitem(call: Call) -> View:
    return _view(call, lambda index: index[call.args[1]])


@lowers(torch.cat, torch.concat, torch.concatenate)
def _concat(call: Call) -> Tensor:
    parts = call.argument(0, "tensors")
    axis = call.argument(1, "dim", call.kwargs.get("axis", 0))
    tensors = [call.as_tensor(part, f"part {number + 1}") for number, part in enumerate(parts)]
    shape = tensors[0].shape
    if axis not in (1, 1 - len(shape)):
        raise call.unsupported(f"tensors can be concatenated along their channels, dim=1, not dim={axis}")
    if len({(tensor.shape[0], *tensor.shape[2:]) for tensor in tensors}) > 1:
        raise call.unsupported(f"the shapes {[tensor.shape for tensor in tensors]} differ in more than the channels")
    if len(tensors) == 1:
        return tensors[0]
    return call.emit("concat", *tensors, shape=(shape[0], sum(tensor.shape[1] for tensor in tensors), *shape[2:]))


@lowers(nn.ZeroPad2d, nn.ConstantPad2d)
def _pad_layer(call: Call) -> Tensor:
    layer = call.module
    assert isinstance(layer, (nn.ZeroPad2d, nn.ConstantPad2d))
    return _padded(call, tuple(layer.padding), float(layer.value))


@lowers(F.pad)
def _pad_function(call: Call) -> Tensor:
    if call.argument(2, "mode", "constant") != "constant":
        raise call.unsupported(f"mode must be 'constant', not {call.argument(2, 'mode')!r}")
    return _padded(call, tuple(call.argument(1, "pad")), float(call.argument(3, "value") or 0))


def _padded(call: Call, sizes: tuple[int, ...], value: float) -> Tensor:
    x = call.image()
    if len(sizes) > 4 and any(sizes[4:]):
        raise call.unsupported(f"only height and width can be padded, not {sizes}")
    left, right, top, bottom = (*sizes[:4], 0, 0)[:4]
    if min(left, right, top, bottom) < 0:
        raise call.unsupported(f"the padding must not be negative, as in {sizes}")
    shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    return call.emit("pad", x, shape=shape, padding=((top, bottom), (left, right)), value=value)


@lowers(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, F.interpolate, F.upsample)
def _resize(call: Call) -> Tensor:
    x, mode = call.image(), call.setting(3, "mode", "nearest")
    if mode not in ("nearest", "bilinear") or call.argument(6, "antialias", False):
        raise call.unsupported(f"mode must be 'nearest' or 'bilinear' without antialias, not {mode!r}")
    size, factor = call.setting(1, "size"), call.setting(2, "scale_factor")
    recomputed = call.setting(5, "recompute_scale_factor", None)
    if size is None:
        factors = (factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
        exact = [length * scale for length, scale in zip(x.shape[2:], factors, strict=True)]
        size = tuple(math.floor(length) for length in exact)
        if list(size) != exact and not recomputed:
            raise call.unsupported(
                f"scale_factor {factor} must give whole numbers of pixels on {x.shape[2:]}: pass size"
            )
    height, width = (size, size) if isinstance(size, int) else size
    corners = bool(call.setting(4, "align_corners", False))
    kind = "resize_nearest" if mode == "nearest" else "resize_bilinear"
    return call.emit(kind, x, shape=(*x.shape[:2], int(height), int(width)), align_corners=corners)  # type: ignore[arg-type]
