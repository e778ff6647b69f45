"""A .tflite file as objects of its schema, for what is done to a file after it was written; and back, aligned."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

ALIGNMENT = 16
"""Kernels read weights where they lie in the file, with vector instructions."""

_NUMPY_TYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT32: np.int32}


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
    builder.Finish(model.Pack(builder), b"TFL3")
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
