"""The formats a network is exported to: who writes each, what makes it smaller, and the runtime it is checked with.

Adding a format is one writer, what it says of int8 and metadata, and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.errors import unknown_name
from hwnas.exporter.int8 import Int8Settings, Quantizer
from hwnas.exporter.metadata import ModelMetadata, onnx_with_metadata
from hwnas.exporter.onnx.int8 import OnnxQuantizer, onnx_int8_weights
from hwnas.exporter.onnx.writer import write_onnx
from hwnas.exporter.tflite.int8 import TFLiteQuantizer, tflite_int8_weights
from hwnas.exporter.tflite.metadata import tflite_with_metadata
from hwnas.exporter.tflite.writer import write_tflite
from hwnas.exporter.uint8_input import onnx_uint8_input, tflite_uint8_input


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: As people type it; also the suffix of its files.
        write: Graph -> file. With ``weights="float16"`` the weights are stored so.
        runtime: What checks its files.
        quantizer: (float32 file, images float32 (N, C, H, W), settings) -> what makes int8 files of it.
        int8_weights: float32 file -> the same with int8 weights.
        uint8_input: A file whose input means pixels -> one that takes them as uint8, NHWC.
        with_metadata: (file, what it should say of itself) -> file.
    """

    name: str
    write: Callable[..., bytes]
    runtime: str
    quantizer: Callable[[bytes, np.ndarray, Int8Settings], Quantizer]
    int8_weights: Callable[[bytes], bytes]
    uint8_input: Callable[[bytes], bytes]
    with_metadata: Callable[[bytes, ModelMetadata], bytes]


TFLITE = Format(
    "tflite",
    write_tflite,
    "litert",
    TFLiteQuantizer,
    tflite_int8_weights,
    tflite_uint8_input,
    tflite_with_metadata,
)
ONNX = Format(
    "onnx",
    write_onnx,
    "onnxruntime",
    OnnxQuantizer,
    onnx_int8_weights,
    onnx_uint8_input,
    onnx_with_metadata,
)
FORMATS = {format.name: format for format in (TFLITE, ONNX)}
"""Every format by the name people type."""


def get_format(name: str) -> Format:
    """The format called `name`. Raises UsageError, listing the known names, if there is none."""
    if name not in FORMATS:
        raise unknown_name("export format", name, list(FORMATS))
    return FORMATS[name]
