"""The format ONNX, and what is done to a written file: pixels as its input, its metadata, ONNX's own checker.

What goes in is 0..255 as it is; normalisation is part of the network by then (`hwnas.exporter.pixel_input`).
"""

from __future__ import annotations

import json
from typing import Any

from hwnas.errors import HwnasError
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.onnx.int8 import OnnxQuantizer, onnx_int8_weights
from hwnas.exporter.onnx.writer import write_onnx
from hwnas.inspection.metadata_fields import OnnxProperty
from hwnas.preprocessing import Layout
from hwnas.runtimes.onnx_runtime import LAYOUT_KEY


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
    data: bytes = file.SerializeToString(deterministic=True)
    return data


def onnx_with_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """The .onnx file with `metadata` in its ``metadata_props``, under the keys of `OnnxProperty`."""
    import onnx

    file = onnx.load_model_from_string(model)
    entries = {entry.key: entry.value for entry in file.metadata_props}
    entries |= {
        OnnxProperty.COLOR_ORDER: "RGB",
        OnnxProperty.OUTPUT: "probabilities" if metadata.softmax else "logits",
    }
    if metadata.classes:
        entries[OnnxProperty.LABELS] = metadata.labels
    layout: Layout = "NHWC" if entries.get(LAYOUT_KEY) == "NHWC" else "NCHW"
    if (preprocessing := metadata.preprocessing_of(layout)) is not None:
        entries[OnnxProperty.PREPROCESSING] = preprocessing.text()
    if (normalisation := metadata.pixel_mean_and_std) is not None:
        mean, std = map(json.dumps, normalisation)
        entries |= {OnnxProperty.MEAN: mean, OnnxProperty.STD: std}
    del file.metadata_props[:]  # set_model_props appends
    onnx.helper.set_model_props(file, dict(sorted(entries.items())))
    data: bytes = file.SerializeToString(deterministic=True)
    return data


def checked_by_onnx(model: bytes) -> None:
    """Raise HwnasError unless the file passes ONNX's own checker, shape inference included."""
    import onnx

    try:
        onnx.checker.check_model(onnx.load_model_from_string(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise HwnasError(
            f"the .onnx file does not pass ONNX's own checker: {error}. Nothing was exported; report this with the "
            "network."
        ) from error


FORMAT = Format(
    name="onnx",
    write=write_onnx,
    runtime="onnxruntime",
    quantizer=OnnxQuantizer,
    int8_weights=onnx_int8_weights,
    uint8_input=onnx_uint8_input,
    with_metadata=onnx_with_metadata,
    check=checked_by_onnx,
)
