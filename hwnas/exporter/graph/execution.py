"""The operators of a Graph computed in PyTorch, differentiably: what a model file computes, with weights of one's own.

A Graph is traced from a module whose own code is what PyTorch runs. Here the Graph itself is run, so that what a file
does between two operators, such as rounding, can be done there too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Operator

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": F.elu,
}


def computed(operator: Operator, inputs: list[Tensor], weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The output of an operator, with its activation.

    Args:
        operator: what is computed.
        inputs: the values of its inputs, (N, C, H, W) or (N, features); any N.
        weight, bias: in place of the operator's own, of the same shapes; None where it has none.

    Raises HwnasError for a kind of operator that is not known here.
    """
    if operator.kind not in _OPERATIONS or (operator.activation or "relu") not in ACTIVATIONS:
        raise HwnasError(f"the operator {operator.name} ({operator.kind}) cannot be computed with other weights.")
    if operator.constant is not None:
        inputs = [*inputs, torch.from_numpy(operator.constant.astype("float32"))]
    output = _OPERATIONS[operator.kind](operator, inputs, weight, bias)
    return ACTIVATIONS[operator.activation](output) if operator.activation else output


def _convolution(operator: Operator, inputs: list[Tensor], weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    x, groups = _padded(operator, inputs[0], 0.0), operator.convolution_groups
    return F.conv2d(x, weight, bias, operator.stride, 0, operator.dilation, groups)


def _linear(_operator: Operator, inputs: list[Tensor], weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    return F.linear(inputs[0], weight, bias)


def _average_pool(operator: Operator, inputs: list[Tensor], _weight: Tensor | None, _bias: Tensor | None) -> Tensor:
    """Padded values are left out of the averages."""
    summed = F.avg_pool2d(_padded(operator, inputs[0], 0.0), operator.window, operator.stride)
    share = F.avg_pool2d(_padded(operator, torch.ones_like(inputs[0][:1, :1]), 0.0), operator.window, operator.stride)
    return summed / share


def _max_pool(operator: Operator, inputs: list[Tensor], _weight: Tensor | None, _bias: Tensor | None) -> Tensor:
    return F.max_pool2d(_padded(operator, inputs[0], -torch.inf), operator.window, operator.stride)


def _global_average_pool(
    operator: Operator, inputs: list[Tensor], _weight: Tensor | None, _bias: Tensor | None
) -> Tensor:
    return _shaped(operator, inputs[0].mean((2, 3)))


def _slice(operator: Operator, inputs: list[Tensor], _weight: Tensor | None, _bias: Tensor | None) -> Tensor:
    x = inputs[0]
    for axis, (begin, size) in enumerate(zip(operator.begin[1:], operator.output.shape[1:], strict=True), start=1):
        x = x.narrow(axis, begin, size)
    return x


def _pad(operator: Operator, inputs: list[Tensor], _weight: Tensor | None, _bias: Tensor | None) -> Tensor:
    x = _padded(operator, inputs[0], operator.value)
    return F.pad(x, (0, 0, 0, 0, *operator.channel_padding), value=operator.value)


def _padded(operator: Operator, x: Tensor, value: float) -> Tensor:
    (top, bottom), (left, right) = operator.padding
    return F.pad(x, (left, right, top, bottom), value=value) if any((top, bottom, left, right)) else x


def _shaped(operator: Operator, x: Tensor) -> Tensor:
    """`x` in the shape of the operator's output, whose batch may be another one."""
    return x.reshape(len(x), *operator.output.shape[1:])


_Operation = Callable[[Operator, list[Tensor], "Tensor | None", "Tensor | None"], Tensor]
_OPERATIONS: dict[str, _Operation] = {
    "conv": _convolution,
    "depthwise_conv": _convolution,
    "linear": _linear,
    "add": lambda operator, inputs, weight, bias: inputs[0] + inputs[1],
    "subtract": lambda operator, inputs, weight, bias: inputs[0] - inputs[1],
    "multiply": lambda operator, inputs, weight, bias: inputs[0] * inputs[1],
    "activation": lambda operator, inputs, weight, bias: inputs[0],
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "global_average_pool": _global_average_pool,
    "concat": lambda operator, inputs, weight, bias: torch.cat(inputs, 1),
    "slice": _slice,
    "channel_shuffle": lambda operator, inputs, weight, bias: F.channel_shuffle(inputs[0], operator.groups),
    "pad": _pad,
    "flatten": lambda operator, inputs, weight, bias: _shaped(operator, inputs[0]),
    "unflatten": lambda operator, inputs, weight, bias: _shaped(operator, inputs[0]),
}
