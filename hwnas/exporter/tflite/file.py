"""A .tflite file through the schema that ``ai-edge-litert`` ships: as it grows, and as objects once it was written.

The schema is https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.builder import BuilderSizeError
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Graph, Tensor
from hwnas.exporter.model_file.constants import Constants, fits_float16
from hwnas.exporter.model_file.format import Weights

ALIGNMENT = 16
"""Kernels read weights where they lie in the file, with vector instructions."""

_NUMPY_TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT32: np.int32}
SIGNATURE = b"serving_default"
_TYPES = {"float32": schema.TensorType.FLOAT32, "float16": schema.TensorType.FLOAT16, "int32": schema.TensorType.INT32}


class TFLiteModel:
    """A model that grows by one tensor, constant or operator at a time. Shapes come in as NCHW and go out as NHWC.

    Args:
        graph: The Graph to write; its input is the first tensor.
        weights: How weights are stored. ``float16`` halves the file; the runtime computes in float32 all the same.
        float32_layers: Layers whose weights are stored as float32 in any case.
    """

    def __init__(self, graph: Graph, weights: Weights = "float32", float32_layers: Collection[str] = ()) -> None:
        self.graph = graph
        self._weights = weights
        self._float32_layers = float32_layers
        self._tensors: list[schema.TensorT] = []
        self._operators: list[schema.OperatorT] = []
        self._buffers = [AlignedBuffer()]  # the format wants an empty one at 0: that of every tensor without data
        self._codes: dict[tuple[int, int], int] = {}
        self._index: dict[Tensor, int] = {}
        self._constants: Constants[int] = Constants()
        self._dequantized: dict[int, int] = {}
        self.tensor(graph.input)

    def tensor(self, tensor: Tensor) -> int:
        """Index of a tensor of the Graph."""
        if tensor not in self._index:
            self._index[tensor] = self._add_tensor(tensor.name, nhwc(tensor.shape), "float32", 0)
        return self._index[tensor]

    def intermediate(self, name: str, shape: Sequence[int]) -> int:
        """Index of a new tensor that the Graph does not know; its shape is as in the file."""
        return self._add_tensor(name, shape, "float32", 0)

    def constant(self, name: str, values: NDArray[Any] | Sequence[Any]) -> int:
        """Index of a constant tensor, float32, or int32 where whole numbers are given. Equal ones are stored once."""
        array = np.asarray(values)
        array = np.ascontiguousarray(array, array.dtype if array.dtype.kind == "f" else np.int32)
        index = self._constants.find(array)
        if index is None:
            self._buffers.append(AlignedBuffer(data=array.reshape(-1).view(np.uint8).data))
            index = self._add_tensor(name, array.shape, str(array.dtype), len(self._buffers) - 1)
            self._constants.add(array, index)
        return index

    def weight(self, layer: str, array: NDArray[Any]) -> int:
        """Index of a layer's float32 weight, which is stored in the number format of the file's weights."""
        name = f"{layer}.weight"
        if self._weights == "float32" or layer in self._float32_layers or not fits_float16(array):
            return self.constant(name, array)
        stored = self.constant(f"{name}.float16", array.astype(np.float16))
        if stored not in self._dequantized:
            self._dequantized[stored] = self.intermediate(name, array.shape)
            options = schema.DequantizeOptionsT()
            self.operator(schema.BuiltinOperator.DEQUANTIZE, [stored], self._dequantized[stored], options, version=3)
        return self._dequantized[stored]

    def operator(
        self, code: int, inputs: Sequence[int], output: Tensor | int, options: Any = None, version: int = 1
    ) -> None:
        """Append an operator; `options` is an object of the schema such as ``Conv2DOptionsT``."""
        opcode = self._codes.setdefault((code, version), len(self._codes))
        result = self.tensor(output) if isinstance(output, Tensor) else output
        operator = schema.OperatorT(opcode, list(inputs), [result])
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(operator)

    def file(self) -> bytes:
        """The finished flatbuffer, with the signature ``serving_default`` (``input`` -> ``output``)."""
        ends = self.graph.input, self.graph.output
        indices = [[self.tensor(end)] for end in ends]
        maps = [[schema.TensorMapT(end.name.encode(), self.tensor(end))] for end in ends]
        model = schema.ModelT(
            version=3,
            # readers that predate codes above 127 look at the deprecated field
            operatorCodes=[schema.OperatorCodeT(min(c, 127), version=v, builtinCode=c) for c, v in self._codes],
            subgraphs=[schema.SubGraphT(self._tensors, *indices, self._operators, b"main")],
            description=b"hwnas",
            buffers=self._buffers,
            signatureDefs=[schema.SignatureDefT(*maps, SIGNATURE)],
        )
        return packed(model)

    def _add_tensor(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> int:
        self._tensors.append(schema.TensorT(list(shape), _TYPES[dtype], buffer, name.encode(), hasRank=True))
        return len(self._tensors) - 1


def nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as TFLite stores it: (N, C, H, W) -> (N, H, W, C); other ranks stay."""
    if len(shape) != 4:
        return shape
    batch, channels, height, width = shape
    return (batch, height, width, channels)


def channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """A constant as TFLite stores it: (N, C, H, W) -> (N, H, W, C); other ranks stay."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def unpacked(model: bytes) -> Any:
    """The schema's ``ModelT`` of a file, all of its constants in it: some writers put them behind the flatbuffer, where
    older interpreters do not look for them."""
    data = bytes(model)
    file = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in file.buffers:
        if buffer.offset > 1:  # 0 and 1 mean that there is nothing behind
            buffer.data = data[buffer.offset : buffer.offset + buffer.size]
            buffer.offset = buffer.size = 0
    return file


def stored_values(model: Any, tensor: Any) -> NDArray[Any]:
    """The values of a constant of a ``ModelT``, flat; empty for one that is no constant, or of another type."""
    data, dtype = model.buffers[tensor.buffer].data, _NUMPY_TYPES.get(tensor.type)
    return np.zeros(0) if data is None or dtype is None else np.frombuffer(bytes(data), dtype)


def packed(model: Any) -> bytes:
    """The file of a ``ModelT``. Equal objects give equal bytes."""
    model.buffers = [AlignedBuffer(buffer.data) for buffer in model.buffers]
    constants = sum(len(buffer.data) + ALIGNMENT for buffer in model.buffers if buffer.data is not None)
    tensors = sum(len(subgraph.tensors) for subgraph in model.subgraphs)
    # a builder that is large enough from the start never copies itself to grow
    builder = flatbuffers.Builder(constants + 1024 * (tensors + 64))
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except BuilderSizeError as error:
        raise HwnasError(
            "a .tflite file holds 2 GB at most, and this network is larger; export it as .onnx."
        ) from error
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


class AlignedBuffer:
    """Constant data, aligned, in place of the schema's ``BufferT``, which aligns it to single bytes."""

    def __init__(self, data: Any = None) -> None:
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None and len(self.data):
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = bytes(self.data)
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        end: int = schema.BufferEnd(builder)
        return end
