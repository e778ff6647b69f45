"""Lower a PyTorch module to a Graph: one trace, one lowering function per call, then folding."""

from __future__ import annotations

import inspect
from dataclasses import replace

from torch import nn

from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.graph.fold import fold
from hwnas.exporter.graph.graph import Graph, Tensor
from hwnas.exporter.graph.module_copy import module_copy
from hwnas.exporter.graph.trace import trace

INPUT, OUTPUT = "input", "output"
"""Names of the two ends of every exported network."""


def lower(module: nn.Module, input_shape: tuple[int, ...]) -> Graph:
    """The primitive operators that `module` executes at inference.

    The module is traced in evaluation mode and left as it was. Its weights may live on any device; the Graph holds
    float32 copies. An identity has no operators.

    Args:
        module: Any module with one image as input and one tensor as output, made of supported layers.
        input_shape: (N, C, H, W), or (N, features).

    Raises:
        UsageError: If `input_shape` is not that.
        HwnasError: If a layer or function has no lowering (named with its path), or the module cannot be traced.
    """
    if len(input_shape) not in (2, 4) or any(not isinstance(size, int) or size < 1 for size in input_shape):
        raise UsageError(f"input_shape must be (N, C, H, W) or (N, features), each from 1 on, not {input_shape!r}.")
    graph_input = Tensor(INPUT, tuple(input_shape))
    private = module_copy(module)
    _check_takes_one_image(private)
    traced, result = trace(private, graph_input, {INPUT, OUTPUT})
    operators, result = fold(traced, result)
    return _named_output(Graph(operators, graph_input, result))


def _check_takes_one_image(module: nn.Module) -> None:
    """Raise HwnasError unless the forward method of `module` can be called with one argument."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):  # it is not written in Python
        return
    try:
        signature.bind(None)
    except TypeError:
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in kinds]
        raise HwnasError(
            f"cannot export {type(module).__name__}: it must take one input, the image, not {needed}. Export a module "
            "whose forward method takes the image and gives it the rest."
        ) from None


def _named_output(graph: Graph) -> Graph:
    """The same Graph, with its result called ``output`` instead of by the layer that happens to be last."""
    if not graph.operators:
        return graph
    output = Tensor(OUTPUT, graph.output.shape)
    rename = {graph.output: output}
    operators = tuple(
        replace(op, inputs=tuple(rename.get(x, x) for x in op.inputs), output=rename.get(op.output, op.output))
        for op in graph.operators
    )
    return Graph(operators, graph.input, output)
