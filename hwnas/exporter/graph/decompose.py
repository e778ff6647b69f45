"""Rewrite activations that a format or runtime lacks into operators that it has.

int8 is the case that matters: XNNPACK takes no int8 HARD_SWISH, so that a network full of them falls into dozens of
partitions and runs three times slower; written as additions and multiplications it stays in one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from hwnas.exporter.graph.fold import fold
from hwnas.exporter.graph.graph import Graph, Operator, Tensor

INT8_UNFRIENDLY = ("hard_swish", "hard_sigmoid", "silu")
"""Activations without an int8 kernel in XNNPACK, or without one in TFLite at all."""


def decompose(graph: Graph, activations: Collection[str] = INT8_UNFRIENDLY) -> Graph:
    """The same network without some of its activations.

    ``hard_swish(x)`` becomes ``x * relu6(x + 3) / 6``, ``hard_sigmoid(x)`` the same without the factor x, and
    ``silu(x)`` becomes ``x * sigmoid(x)``. The 3 ends up in the bias of a convolution before and the 6 in the weights
    of one behind, where there is one.

    Args:
        graph: Left as it is.
        activations: Which to rewrite: any of ``hard_swish``, ``hard_sigmoid``, ``silu``.
    """
    if not any(_is_one(operator, activations) for operator in graph.operators):
        return graph
    operators: list[Operator] = []
    for operator in graph.operators:
        rewritten = _REWRITES[operator.activation or ""](operator) if _is_one(operator, activations) else [operator]
        operators.extend(rewritten)
    folded, output = fold(operators, graph.output)
    return Graph(folded, graph.input, output)


def _is_one(operator: Operator, activations: Collection[str]) -> bool:
    return operator.kind == "activation" and operator.activation in activations


def _hard_swish(operator: Operator) -> Iterator[Operator]:
    (x,), gate = operator.inputs, _tensor(operator, "gate")
    product = _tensor(operator, "product")
    yield from _six_fold_gate(operator, gate)
    yield Operator("multiply", product.name, (x, gate), product)
    yield _affine(product, operator.output, scale=1 / 6)


def _hard_sigmoid(operator: Operator) -> Iterator[Operator]:
    gate = _tensor(operator, "gate")
    yield from _six_fold_gate(operator, gate)
    yield _affine(gate, operator.output, scale=1 / 6)


def _silu(operator: Operator) -> Iterator[Operator]:
    (x,), gate = operator.inputs, _tensor(operator, "gate")
    yield Operator("activation", gate.name, (x,), gate, activation="sigmoid")
    yield Operator("multiply", operator.name, (x, gate), operator.output)


_REWRITES: dict[str, Callable[[Operator], Iterator[Operator]]] = {
    "hard_swish": _hard_swish,
    "hard_sigmoid": _hard_sigmoid,
    "silu": _silu,
}


def _six_fold_gate(operator: Operator, gate: Tensor) -> Iterator[Operator]:
    """``relu6(x + 3)``"""
    shifted = _tensor(operator, "shifted")
    yield _affine(operator.inputs[0], shifted, shift=3.0)
    yield Operator("activation", gate.name, (shifted,), gate, activation="relu6")


def _tensor(operator: Operator, what: str) -> Tensor:
    return Tensor(f"{operator.name}.{what}", operator.output.shape)


def _affine(source: Tensor, output: Tensor, scale: float = 1.0, shift: float = 0.0) -> Operator:
    return Operator("affine", output.name, (source,), output, weight=np.array([scale]), bias=np.array([shift]))
