"""Graph -> .onnx: NCHW, through `onnx.helper`. ONNX Runtime fuses activations into convolutions by itself.

Nothing in the file depends on the time, the machine or the folder: equal Graphs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.export.graph import Graph, Operator, Tensor

OPSET = 17
IR_VERSION = 8  # the file format that came with opset 17: ONNX Runtime reads it from 1.12 on


def write_onnx(graph: Graph) -> bytes:
    """The .onnx file of a Graph: float32, NCHW, ``input`` -> ``output``, checked by `onnx.checker`.

    Raises:
        HwnasError: If the package ``onnx`` is not installed.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise HwnasError(
            f"writing .onnx needs the package onnx, which cannot be imported ({error}); "
            "install it with `pip install 'hwnas[onnx]'`."
        ) from None
    model = _Model(onnx)
    for operator in graph.operators:
        _WRITERS[operator.kind](model, operator)
    inputs, outputs = (
        [helper.make_tensor_value_info(end.name, onnx.TensorProto.FLOAT, end.shape)]
        for end in (graph.input, graph.output)
    )
    main = helper.make_graph(model.nodes, "main", inputs, outputs, model.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    file = helper.make_model(main, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hwnas")
    onnx.checker.check_model(file)
    return file.SerializeToString(deterministic=True)


class _Model:
    """The nodes and constants of an ONNX graph, as they grow."""

    def __init__(self, onnx: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add a float32 constant; returns its name."""
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op_type: str, operator: Operator, inputs: list[str], **attributes: Any) -> None:
        """Add a node that writes the operator's output, with a second one for its activation if it has one."""
        result = f"{operator.name}.linear" if operator.activation else operator.output.name
        self._add(op_type, operator.name, inputs, result, **attributes)
        if operator.activation:
            self.activation(operator, result)

    def activation(self, operator: Operator, source: str) -> None:
        """Add the node of the operator's activation: `source` -> the operator's output."""
        name = f"{operator.name}.{operator.activation}"
        if operator.activation == "relu":
            self._add("Relu", name, [source], operator.output.name)
            return
        lowest = self.constant(f"{name}.min", np.array(0, np.float32))
        highest = self.constant(f"{name}.max", np.array(6, np.float32))
        self._add("Clip", name, [source, lowest, highest], operator.output.name)

    def _add(self, op_type: str, name: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(self._onnx.helper.make_node(op_type, inputs, [output], name, **attributes))


def _names(tensors: tuple[Tensor, ...]) -> list[str]:
    return [tensor.name for tensor in tensors]


def _with_constants(model: _Model, operator: Operator) -> list[str]:
    """Names of what the operator reads: its tensors, then its weight and bias."""
    assert operator.weight is not None and operator.bias is not None
    weight = model.constant(f"{operator.name}.weight", operator.weight)
    return [*_names(operator.inputs), weight, model.constant(f"{operator.name}.bias", operator.bias)]


def _convolution(model: _Model, operator: Operator) -> None:
    model.node(
        "Conv",
        operator,
        _with_constants(model, operator),
        kernel_shape=operator.kernel,
        strides=operator.stride,
        pads=operator.padding * 2,
        group=operator.inputs[0].shape[1] if operator.kind == "depthwise_conv" else 1,
    )


def _linear(model: _Model, operator: Operator) -> None:
    model.node("Gemm", operator, _with_constants(model, operator), transB=1)


def _add(model: _Model, operator: Operator) -> None:
    model.node("Add", operator, _names(operator.inputs))


def _activation(model: _Model, operator: Operator) -> None:
    model.activation(operator, operator.inputs[0].name)


def _global_average_pool(model: _Model, operator: Operator) -> None:
    model.node("GlobalAveragePool", operator, _names(operator.inputs))


def _flatten(model: _Model, operator: Operator) -> None:
    model.node("Flatten", operator, _names(operator.inputs), axis=1)


_WRITERS: dict[str, Callable[[_Model, Operator], None]] = {
    "conv": _convolution,
    "depthwise_conv": _convolution,
    "linear": _linear,
    "add": _add,
    "activation": _activation,
    "global_average_pool": _global_average_pool,
    "flatten": _flatten,
}
