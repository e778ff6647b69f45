"""Fold batch norms into the convolution before them, and fuse activations into the operator before them.

At inference, batch norm is one multiplication and one addition per channel (Ioffe and Szegedy 2015, algorithm 2), which
the weights of the preceding convolution can carry; runtimes clip a result while it is still in a register.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hwnas.errors import HwnasError
from hwnas.export.graph import Operator, Tensor

_CONVOLUTIONS = ("conv", "depthwise_conv")
_TAKES_ACTIVATION = ("conv", "depthwise_conv", "linear", "add")


def fold(operators: Iterable[Operator], output: Tensor) -> tuple[Operator, ...]:
    """The same network with fewer operators; the weights that come in are left alone.

    Args:
        operators: In an order in which they can run. ``batch_norm`` carries its scale as weight, its shift as bias.
        output: What the network returns.

    Returns:
        The operators that remain, none of them a batch norm.

    Raises:
        HwnasError: If a batch norm has no convolution of its own before it.
    """
    operators = list(operators)
    readers = Counter(tensor.name for operator in operators for tensor in operator.inputs)
    readers[output.name] += 1
    folded: list[Operator] = []
    position_of: dict[str, int] = {}
    for operator in operators:
        source = operator.inputs[0].name
        merged = None
        if source in position_of and readers[source] == 1:
            merged = _merge(folded[position_of[source]], operator)
        if merged is not None:
            position_of[operator.output.name] = position_of[source]
            folded[position_of[source]] = merged
        elif operator.kind == "batch_norm":
            raise HwnasError(
                f"cannot export BatchNorm2d {operator.name!r}: a batch norm must directly follow a convolution whose "
                "result nothing else reads, so that it can be folded into the weights. Put it behind a convolution."
            )
        else:
            position_of[operator.output.name] = len(folded)
            folded.append(operator)
    return tuple(folded)


def _merge(source: Operator, operator: Operator) -> Operator | None:
    """`source` and the `operator` that alone reads it, as one operator; None if they cannot be one."""
    if source.activation is not None:
        return None
    if operator.kind == "batch_norm" and source.kind in _CONVOLUTIONS:
        return _scaled(source, operator)
    if operator.kind == "activation" and source.kind in _TAKES_ACTIVATION:
        return replace(source, output=operator.output, activation=operator.activation)
    return None


def _scaled(convolution: Operator, batch_norm: Operator) -> Operator:
    """The convolution that gives what batch norm makes of `convolution`. Computed in float64, rounded once."""
    assert convolution.weight is not None and convolution.bias is not None
    assert batch_norm.weight is not None and batch_norm.bias is not None
    scale, shift = batch_norm.weight, batch_norm.bias
    weight = convolution.weight * scale[:, None, None, None]
    bias = convolution.bias * scale + shift
    return replace(
        convolution, output=batch_norm.output, weight=weight.astype(np.float32), bias=bias.astype(np.float32)
    )
