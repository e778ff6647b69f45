"""Model files of other origins for the tests of `hwnas inspect`: quantised, hand-made, and hostile ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from hwnas.exporter.export import convert
from tests.small_models import IMAGE_SHAPE


def quantised(model: bytes, recipe: str, folder: Path) -> bytes:
    """A .tflite as ai-edge-quantizer makes it by one of its recipes, calibrated on noise."""
    quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
    source, target = folder / "float.tflite", folder / f"{recipe}.tflite"
    source.write_bytes(model)
    work = quantizer.Quantizer(str(source), getattr(pytest.importorskip("ai_edge_quantizer.recipe"), recipe)())
    n, c, h, w = IMAGE_SHAPE
    noise = np.random.default_rng(0).standard_normal((n, h, w, c), dtype=np.float32)
    statistics = None
    if recipe.startswith("static"):
        statistics = work.calibrate({"serving_default": [{"input": noise}]}, num_threads=1)
    work.quantize(statistics).export_model(str(target), overwrite=True)
    return target.read_bytes()


def depthwise(kernel: int) -> bytes:
    """A .tflite of one depthwise convolution."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 3, kernel, padding=kernel // 2, groups=3)
    return convert(torch.nn.Sequential(layer).eval(), IMAGE_SHAPE, "tflite")


def one_operator_tflite(
    code: int,
    custom: bytes | None = None,
    shape: Sequence[int] = (1, 4, 4, 3),
    signature: Sequence[int] | None = None,
    input_name: bytes = b"x",
) -> bytes:
    """A .tflite of one operator, which need not make sense."""
    ends = [
        schema.TensorT(list(shape), schema.TensorType.FLOAT32, 0, name, shapeSignature=signature, hasRank=True)
        for name in (input_name, b"y")
    ]
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(min(code, 127), customCode=custom, builtinCode=code)],
        subgraphs=[schema.SubGraphT(ends, [0], [1], [schema.OperatorT(0, [0], [1])], b"main")],
        buffers=[schema.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def onnx_file(nodes: list[Any], constants: Sequence[Any] = (), batch: int | str = 1, **properties: str) -> Any:
    """An .onnx with the input x and the output y, both [batch, 3, 8, 8] as declared."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph(nodes, "main", ends[:1], ends[1:], list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.stranger", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="stranger")
    helper.set_model_props(model, properties)
    return model


def external_weight(location: str) -> Any:
    """The constant w, [3, 1, 1], whose 12 bytes lie in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 1, 1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("length", "12")):
        weight.external_data.add(key=key, value=value)
    return weight
