"""The format TFLite, and pixels as the input of its files.

What goes in is 0..255 as it is; normalisation is part of the network by then (`hwnas.exporter.pixel_input`).
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from hwnas.exporter.model_file.format import Format
from hwnas.exporter.tflite.file import packed, unpacked
from hwnas.exporter.tflite.int8 import TFLiteQuantizer, tflite_int8_weights
from hwnas.exporter.tflite.metadata import tflite_with_metadata
from hwnas.exporter.tflite.writer import write_tflite


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


FORMAT = Format(
    name="tflite",
    write=write_tflite,
    runtime="litert",
    quantizer=TFLiteQuantizer,
    int8_weights=tflite_int8_weights,
    uint8_input=tflite_uint8_input,
    with_metadata=tflite_with_metadata,
    second_runtime="tflite-runtime",
)
