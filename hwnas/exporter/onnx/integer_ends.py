"""An int8 .onnx file whose input and output are integers, as those of a block inside an int8 network are."""

from __future__ import annotations

from typing import Any


def give_integer_ends(onnx: Any, file: Any) -> None:
    """Take away the QuantizeLinear at the input of a file and the DequantizeLinear at its output.

    An end that something else reads or makes stays float32: that part of the network computes in float.

    Args:
        onnx: The package.
        file: Its ``ModelProto``; changed.
    """
    graph = file.graph
    (source,), (result,) = graph.input, graph.output
    readers = [node for node in graph.node if source.name in node.input]
    if all(node.op_type == "QuantizeLinear" for node in readers):
        made = {node.output[0] for node in readers}
        _remove(graph, readers)
        for node in graph.node:
            node.input[:] = [source.name if name in made else name for name in node.input]
        source.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    (last,) = (node for node in graph.node if result.name in node.output)
    makers = [node for node in graph.node if last.input[0] in node.output]
    if last.op_type == "DequantizeLinear" and makers:
        integers = last.input[0]
        _remove(graph, [last])
        for node in graph.node:
            node.input[:] = [result.name if name == integers else name for name in node.input]
            node.output[:] = [result.name if name == integers else name for name in node.output]
        result.type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _remove(graph: Any, nodes: list[Any]) -> None:
    for node in nodes:
        graph.node.remove(node)
