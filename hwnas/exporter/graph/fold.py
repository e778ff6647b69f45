"""Fold per-channel arithmetic and padding into the convolutions next to them, and fuse activations.

At inference, batch norm is one multiplication and one addition per channel (Ioffe and Szegedy 2015, algorithm 2), an
*affine*, which the weights of a convolution beside it can carry; runtimes clip a result while it is in a register.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Operator, Tensor

CONVOLUTIONS = ("conv", "depthwise_conv")
_WEIGHTED = (*CONVOLUTIONS, "linear")
_TAKES_ACTIVATION = (*_WEIGHTED, "add", "subtract", "multiply")
_FUSED_ACTIVATIONS = ("relu", "relu6")

Merge = Callable[[Operator, Operator], "Operator | None"]


def fold(operators: Iterable[Operator], output: Tensor) -> tuple[tuple[Operator, ...], Tensor]:
    """The same network with fewer operators; the weights that come in are left alone.

    Args:
        operators: In an order in which they can run. An ``affine`` carries its scale as weight, its shift as bias.
        output: The tensor that the network returns.

    Returns:
        The operators that remain, none of them an affine or without a reader; and what the network returns now, which
        is another tensor where its last operator did nothing.
    """
    kept = _merged(_read(operators, output), output, _merge_linear)
    kept, output = _written_out(kept, output)
    return tuple(_merged(kept, output, _fuse_activation)), output


def _read(operators: Iterable[Operator], output: Tensor) -> list[Operator]:
    """The operators that `output` depends on."""
    needed, kept = {output}, []
    for operator in reversed(list(operators)):
        if operator.output in needed:
            needed.update(operator.inputs)
            kept.append(operator)
    return kept[::-1]


def _merged(operators: list[Operator], output: Tensor, merge: Merge) -> list[Operator]:
    """`operators` after `merge(source, operator)` had a look at each that is the only reader of its first input."""
    readers = Counter(tensor.name for operator in operators for tensor in operator.inputs)
    readers[output.name] += 1
    merged: list[Operator] = []
    position_of: dict[str, int] = {}
    for operator in operators:
        source = operator.inputs[0].name
        position = position_of.get(source)
        one = merge(merged[position], operator) if position is not None and readers[source] == 1 else None
        if one is not None and position is not None:
            merged[position] = one
        else:
            position = len(merged)
            merged.append(operator)
        position_of[operator.output.name] = position
    return merged


def _merge_linear(source: Operator, operator: Operator) -> Operator | None:
    """`source` and the `operator` that alone reads it, as one operator; None if they cannot be one."""
    if source.activation is not None:
        return None
    if operator.kind == "affine" and source.kind in _WEIGHTED:
        return _scaled_output(source, operator)
    if operator.kind == "affine" and source.kind == "affine":
        return _scaled_twice(source, operator)
    if source.kind == "affine" and operator.kind in _WEIGHTED:
        return _scaled_input(source, operator)
    if source.kind == "average_pool" and operator.kind == "global_average_pool" and _in_equal_parts(source):
        return replace(operator, inputs=source.inputs)
    if source.kind == "pad" and source.value == 0 and operator.kind in CONVOLUTIONS and not any(source.channel_padding):
        (top, bottom), (left, right) = source.padding
        (above, below), (before, after) = operator.padding
        padding = ((top + above, bottom + below), (left + before, right + after))
        return replace(operator, inputs=source.inputs, padding=padding)
    return None


def _in_equal_parts(pool: Operator) -> bool:
    """Whether each pixel is under one window of a pooling: then the average of averages is that of all."""
    sizes = zip(pool.inputs[0].shape[2:], pool.window, strict=True)
    return pool.stride == pool.window and not np.any(pool.padding) and all(size % taps == 0 for size, taps in sizes)


def _scaled_output(source: Operator, affine: Operator) -> Operator:
    """The convolution or linear layer that gives what `affine` makes of `source`. In float64, rounded once."""
    weight, bias = _parameters(source)
    scale, shift = _parameters(affine)
    column = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return replace(source, output=affine.output, weight=_float32(weight * column), bias=_float32(bias * scale + shift))


def _scaled_twice(first: Operator, second: Operator) -> Operator:
    (scale, shift), (again, further) = _parameters(first), _parameters(second)
    return replace(first, output=second.output, weight=scale * again, bias=shift * again + further)


def _scaled_input(affine: Operator, operator: Operator) -> Operator | None:
    """The convolution or linear layer that does to its input what `affine` does; None if zeros pad what is shifted."""
    weight, bias = _parameters(operator)
    channels = affine.output.shape[1]
    scale, shift = (np.broadcast_to(values, (channels,)) for values in _parameters(affine))
    if np.any(shift) and np.any(operator.padding):
        return None
    groups = channels // weight.shape[1]
    grouped = weight.reshape(groups, -1, *weight.shape[1:])  # (groups, out / groups, in / groups, height, width)
    rows = (groups, 1, channels // groups, *(1,) * (weight.ndim - 2))
    shifts = (grouped * shift.reshape(rows)).reshape(len(bias), -1).sum(axis=1)
    scaled = (grouped * scale.reshape(rows)).reshape(weight.shape)
    return replace(operator, inputs=affine.inputs, weight=_float32(scaled), bias=_float32(bias + shifts))


def _fuse_activation(source: Operator, operator: Operator) -> Operator | None:
    """An activation as part of the operator before it."""
    fits = operator.kind == "activation" and operator.activation in _FUSED_ACTIVATIONS
    if fits and source.kind in _TAKES_ACTIVATION and source.activation is None:
        return replace(source, output=operator.output, activation=operator.activation)
    return None


def _written_out(operators: list[Operator], output: Tensor) -> tuple[list[Operator], Tensor]:
    """`operators` with each affine that is left as a multiplication and an addition, where it takes them."""
    kept: list[Operator] = []
    same: dict[Tensor, Tensor] = {}
    for operator in operators:
        if not same.keys().isdisjoint(operator.inputs):
            operator = replace(operator, inputs=tuple(same.get(tensor, tensor) for tensor in operator.inputs))
        if operator.kind != "affine":
            kept.append(operator)
            continue
        steps = _steps(operator)
        kept += steps
        if not steps:
            same[operator.output] = operator.inputs[0]
    return kept, same.get(output, output)


def _steps(affine: Operator) -> list[Operator]:
    """An affine as no, one or two operators."""
    (source,), output = affine.inputs, affine.output
    scale, shift = _parameters(affine)
    scales, shifts = bool(np.any(_float32(scale) != 1)), bool(np.any(shift))
    middle = Tensor(f"{affine.name}.scaled", output.shape) if shifts else output
    steps = []
    if scales:
        constant = _constant(scale, output)
        steps.append(Operator("multiply", middle.name, (source,), middle, constant=constant))
    if shifts:
        constant = _constant(shift, output)
        steps.append(Operator("add", affine.name, (middle if scales else source,), output, constant=constant))
    return steps


def _constant(values: NDArray[np.float64], output: Tensor) -> NDArray[np.float32]:
    """One number for all, or one per channel in the rank of `output`."""
    if np.all(values == values[0]):
        return np.array(values[0], np.float32)
    return _float32(values.reshape(1, -1, *(1,) * (len(output.shape) - 2)))


def _parameters(operator: Operator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight and bias, or scale and shift, in float64."""
    assert operator.weight is not None and operator.bias is not None
    return operator.weight.astype(np.float64), operator.bias.astype(np.float64)


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
