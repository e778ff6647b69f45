"""Lowerings of operators that move values without changing them: views, slices, concatenation, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Tensor
from hwnas.exporter.graph.lowerings.registry import Call, copied, lowers
from hwnas.exporter.graph.views import View, viewed


def _view(call: Call, change: Callable[[NDArray[np.int32]], NDArray[np.int32]], suffix: str = "") -> View:
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


def sizes(call: Call) -> tuple[Any, ...]:
    """The numbers that follow the tensor, given one by one or as one tuple."""
    sizes = call.args[1:] or tuple(call.kwargs.values())
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


@lowers("view", "reshape")
def _reshape(call: Call) -> View:
    shape = sizes(call)
    return _view(call, lambda index: index.reshape(shape))


@lowers("contiguous")
def _contiguous(call: Call) -> Tensor | View:
    value = call.argument(0, "input")
    # of a view it is a copy, and so must not be taken for the same
    return _view(call, lambda index: index) if isinstance(value, View) else value


@lowers("flatten")
def _flatten(call: Call) -> View:
    first = call.argument(1, "start_dim", 0)
    last = call.argument(2, "end_dim", -1)
    rank = len(call.argument(0, "input").shape)
    if first % rank == 0:
        raise call.unsupported(f"it must leave the batch, start_dim=1, not start_dim={first}")

    def flattened(index: NDArray[np.int32]) -> NDArray[np.int32]:
        begin, end = first % rank, last % rank
        return index.reshape(*index.shape[:begin], math.prod(index.shape[begin : end + 1]), *index.shape[end + 1 :])

    return _view(call, flattened)


@lowers("unflatten")
def _unflatten(call: Call) -> View:
    axis = call.argument(1, "dim")
    sizes = call.argument(2, "sizes")

    def unflattened(index: NDArray[np.int32]) -> NDArray[np.int32]:
        at = axis % index.ndim
        return index.reshape(*index.shape[:at], *sizes, *index.shape[at + 1 :])

    return _view(call, unflattened)


@lowers("squeeze")
def _squeeze(call: Call) -> View:
    axes = call.argument(1, "dim")
    if axes is None:
        raise call.unsupported("name the dimensions to squeeze, since a batch of one would vanish too: squeeze(-1)")
    wanted = (axes,) if isinstance(axes, int) else tuple(axes)

    def squeezed(index: NDArray[np.int32]) -> NDArray[np.int32]:
        present = tuple(axis for axis in wanted if index.shape[axis] == 1)  # PyTorch leaves the others
        return index.squeeze(present)

    return _view(call, squeezed)


@lowers("unsqueeze")
def _unsqueeze(call: Call) -> View:
    axis = call.argument(1, "dim")
    return _view(call, lambda index: np.expand_dims(index, axis))


@lowers("transpose", "swapaxes", "swapdims")
def _transpose(call: Call) -> View:
    first, second = call.argument(1, "dim0"), call.argument(2, "dim1")
    return _view(call, lambda index: index.swapaxes(first, second))


@lowers("permute")
def _permute(call: Call) -> View:
    axes = sizes(call)
    return _view(call, lambda index: index.transpose(axes))


@lowers("expand")
def _expand(call: Call) -> View:
    wanted = sizes(call)

    def expanded(index: NDArray[np.int32]) -> NDArray[np.int32]:
        own = (1,) * (len(wanted) - index.ndim) + index.shape
        return np.broadcast_to(index, tuple(b if a == -1 else a for a, b in zip(wanted, own, strict=True)))

    return _view(call, expanded)


@lowers("expand_as")
def _expand_as(call: Call) -> View:
    shape = call.argument(1, "other").shape
    return _view(call, lambda index: np.broadcast_to(index, shape))


@lowers("channel_shuffle")
def _channel_shuffle(call: Call) -> View:
    groups = call.argument(1, "groups")

    def shuffled(index: NDArray[np.int32]) -> NDArray[np.int32]:
        batch, channels, height, width = index.shape
        split = index.reshape(batch, groups, channels // groups, height, width)
        return split.swapaxes(1, 2).reshape(index.shape)

    return _view(call, shuffled)


@lowers("chunk")
def _chunk(call: Call) -> tuple[View, ...]:
    axis = call.argument(2, "dim", 0)
    size = call.argument(0, "input").shape[axis]
    return _parts(call, [-(-size // call.argument(1, "chunks"))], axis)


@lowers("split", "split_with_sizes")
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


@lowers("unbind")
def _unbind(call: Call) -> tuple[View, ...]:
    axis = call.argument(1, "dim", 0)
    return tuple(
        _view(call, lambda index, at=number: index.take(at, axis), f".{number}")  # type: ignore[misc]
        for number in range(call.argument(0, "input").shape[axis])
    )


@lowers("narrow")
def _narrow(call: Call) -> View:
    axis, begin, size = (call.argument(1 + i, name) for i, name in enumerate(("dim", "start", "length")))
    return _view(call, lambda index: index.take(range(begin, begin + size), axis))


@lowers("__getitem__")
def _getitem(call: Call) -> Tensor | View:
    view = _view(call, lambda index: index[call.args[1]])
    places = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if not any(isinstance(place, (list, np.ndarray, torch.Tensor)) for place in places):
        return view
    # PyTorch copies for lists of indices: what changes the copy leaves the original
    return copied(call, call.as_tensor(view, "what it takes"))


@lowers("__setitem__")
def _setitem(call: Call) -> Tensor:
    raise call.unsupported("it writes into a part of a tensor; put the tensor together with torch.cat instead")


@lowers("cat", "concat", "concatenate")
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
