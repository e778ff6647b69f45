"""Pixels as a camera gives them: the float input of a written file becomes uint8, height x width x channels.

What goes in is 0..255 as it is; normalisation is part of the network by then (`hwnas.exporter.preprocessing`).
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from hwnas.exporter.tflite.file import packed, unpacked
from hwnas.runtimes.onnx_runtime import LAYOUT_KEY


def tflite_uint8_input(model: bytes) -> bytes:
    """A .tflite file that takes uint8 pixels, of one whose float32 or int8 input means pixels in 0..255."""
    file = unpacked(model)
    graph = file.subgraphs[0]
    old = int(graph.inputs[0])
    source = graph.tensors[old]
    pixels = schema.TensorT(
        shape=source.shape,
        type=schema.TensorType.UINT8,
        buffer=0,
        name=source.name,
        quantization=schema.QuantizationParametersT(scale=[1.0], zeroPoint=[0]),
        hasRank=True,
    )
    source.name += b".converted"
    graph.tensors.append(pixels)
    new = len(graph.tensors) - 1
    floats = source.type == schema.TensorType.FLOAT32
    code = schema.BuiltinOperator.DEQUANTIZE if floats else schema.BuiltinOperator.QUANTIZE
    # version 2 of QUANTIZE is the one that changes one integer type into another
    file.operatorCodes.append(schema.OperatorCodeT(code, version=1 if floats else 2, builtinCode=code))
    convert = schema.OperatorT(len(file.operatorCodes) - 1, [new], [old])
    graph.operators.insert(0, convert)
    graph.inputs = [new]
    for signature in file.signatureDefs or []:
        signature.inputs[0].tensorIndex = new
    return packed(file)


def onnx_uint8_input(model: bytes) -> bytes:
    """An .onnx file that takes uint8 pixels (N, H, W, C), of one whose float32 input (N, C, H, W) means pixels."""
    import onnx
    from onnx import helper

    file: Any = onnx.load_model_from_string(model)
    (old,) = file.graph.input
    batch, channels, height, width = (size.dim_value for size in old.type.tensor_type.shape.dim)
    inside = f"{old.name}.converted"
    for node in file.graph.node:
        node.input[:] = [inside if name == old.name else name for name in node.input]
    transposed = f"{old.name}.nchw"
    # bytes are turned around, not floats: a quarter of the memory
    turn = helper.make_node("Transpose", [old.name], [transposed], transposed, perm=[0, 3, 1, 2])
    cast = helper.make_node("Cast", [transposed], [inside], inside, to=onnx.TensorProto.FLOAT)
    pixels = helper.make_tensor_value_info(old.name, onnx.TensorProto.UINT8, [batch, height, width, channels])
    file.graph.input.remove(old)
    file.graph.input.append(pixels)
    nodes = [turn, cast, *file.graph.node]
    del file.graph.node[:]
    file.graph.node.extend(nodes)
    helper.set_model_props(file, {entry.key: entry.value for entry in file.metadata_props} | {LAYOUT_KEY: "NHWC"})
    onnx.checker.check_model(file)
    return file.SerializeToString(deterministic=True)
