"""Lower a PyTorch module to a Graph: one `torch.fx` trace, one lowering function per call, then folding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import fx, nn
from torch.fx.proxy import TraceError

from hwnas.errors import HwnasError, UsageError
from hwnas.export.fold import fold
from hwnas.export.graph import Graph, Operator, Tensor
from hwnas.export.lowerings import LOWERINGS, Call, Lowering, supported

INPUT, OUTPUT = "input", "output"
"""What the two ends of every exported network are called."""


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
    if fx.Tracer().is_leaf_module(module, ""):
        # The tracer looks inside its root, even where that is one of torch's own layers.
        module = nn.Sequential(OrderedDict({type(module).__name__.lower(): module}))
    with evaluating(module):
        trace = _trace(module)
    values: dict[fx.Node, Any] = {}
    operators: list[Operator] = []
    names = {INPUT, OUTPUT}
    graph_input = Tensor(INPUT, tuple(input_shape))
    for node in trace.nodes:
        if node.op == "placeholder":
            values[node] = graph_input
        elif node.op == "output":
            result = fx.node.map_arg(node.args[0], values.__getitem__)
        else:
            call = _call(node, module, values, operators, names)
            values[node] = _lowering(node, call)(call)
    if not isinstance(result, Tensor):
        raise HwnasError(f"a network must return one tensor to be exported; this {type(module).__name__} does not.")
    return _named_output(Graph(fold(operators, result), graph_input, result))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` into evaluation mode, and every one of its layers back into its own mode afterwards."""
    modes = {layer: layer.training for layer in module.modules()}
    try:
        for layer in modes:
            layer.training = False
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def _trace(module: nn.Module) -> fx.Graph:
    """The calls that `module` makes. Raises HwnasError if they depend on the data or there are several inputs."""
    try:
        trace = fx.Tracer().trace(module)
    except (TraceError, TypeError) as error:
        raise HwnasError(
            f"cannot export {type(module).__name__}: its forward method cannot be traced ({error}). It must make the "
            "same calls for every image: no branches, loops or arithmetic on values or shapes of tensors."
        ) from error
    inputs = [node.name for node in trace.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise HwnasError(f"cannot export {type(module).__name__}: it must take one input, the image, not {inputs}.")
    return trace


def _call(
    node: fx.Node, root: nn.Module, values: dict[fx.Node, Any], operators: list[Operator], names: set[str]
) -> Call:
    """The call behind a traced node, under a name of its own: a layer can be called twice."""
    module = root.get_submodule(str(node.target)) if node.op == "call_module" else None
    if module is not None:
        target, path = type(module).__name__, str(node.target)
    else:
        target = getattr(node.target, "__name__", str(node.target))
        callers = list(node.meta.get("nn_module_stack", ()))
        path = f"{callers[-1]}.{target}" if callers else target
    name, number = path, 1
    while name in names:
        name, number = f"{path}_{number}", number + 1
    names.add(name)
    args = fx.node.map_arg(node.args, values.__getitem__)
    kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
    return Call(name, target, module, tuple(args), dict(kwargs), operators)


def _lowering(node: fx.Node, call: Call) -> Lowering:
    """The lowering of a call. Raises HwnasError, naming the layer and what is supported, if there is none."""
    target = node.target if call.module is None else type(call.module)
    if node.op == "get_attr" or target not in LOWERINGS:
        raise HwnasError(
            f"cannot export {call.target} {call.name!r}: no lowering for it. Supported are: {supported()}. "
            "Build the network from these, or add a lowering to hwnas/export/lowerings.py."
        )
    return LOWERINGS[target]


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
