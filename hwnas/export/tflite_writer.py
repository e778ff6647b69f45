"""Graph -> .tflite: an NHWC flatbuffer, written through the schema that ``ai-edge-litert`` ships.

The schema is https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs. Nothing in the file
depends on the time, the machine or the folder: equal Graphs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from hwnas.export.graph import Graph, Operator, Tensor

SIGNATURE = b"serving_default"
_ALIGNMENT = 16  # kernels read weights where they lie in the file, with vector instructions
_ACTIVATION = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


def write_tflite(graph: Graph) -> bytes:
    """The .tflite file of a Graph: float32, NHWC, with the signature ``serving_default`` (``input`` -> ``output``)."""
    model = _Model()
    model.tensor(graph.input)
    for operator in graph.operators:
        _WRITERS[operator.kind](model, operator)
    return model.file(graph.input, graph.output)


def pads_like_same(size: int, kernel: int, stride: int, pad: int) -> bool:
    """Whether TFLite's SAME padding is, on one axis, `pad` zeros on each side.

    SAME makes the output ``ceil(size / stride)`` and puts the smaller half of the zeros first. With stride 2 and an
    even size that half is smaller than ``kernel // 2``: the same shape, but another picture.
    """
    same_output = -(-size // stride)
    output = (size + 2 * pad - kernel) // stride + 1
    zeros = max((same_output - 1) * stride + kernel - size, 0)
    return output == same_output and zeros // 2 == pad


class _Buffer(schema.BufferT):
    """Constant data, aligned; the schema's own class aligns it to single bytes."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _Model:
    """A TFLite model that grows by one tensor, constant or operator at a time."""

    def __init__(self) -> None:
        self._tensors: list[schema.TensorT] = []
        self._operators: list[schema.OperatorT] = []
        self._buffers = [_Buffer()]  # the format wants an empty one at 0: that of every tensor without data
        self._codes: dict[int, int] = {}
        self._index: dict[Tensor, int] = {}

    def tensor(self, tensor: Tensor) -> int:
        """Index of a tensor of the Graph."""
        if tensor not in self._index:
            self._index[tensor] = self._add_tensor(tensor.name, nhwc(tensor.shape), schema.TensorType.FLOAT32, 0)
        return self._index[tensor]

    def constant(self, name: str, array: np.ndarray) -> int:
        """Index of a new constant tensor, float32 or int32."""
        self._buffers.append(_Buffer(data=np.ascontiguousarray(array).tobytes()))
        kind = schema.TensorType.FLOAT32 if array.dtype == np.float32 else schema.TensorType.INT32
        return self._add_tensor(name, array.shape, kind, len(self._buffers) - 1)

    def operator(self, code: int, inputs: Sequence[int], output: Tensor, options: Any = None) -> None:
        """Append an operator of version 1; `options` is an object of the schema such as ``Conv2DOptionsT``."""
        operator = schema.OperatorT(self._codes.setdefault(code, len(self._codes)), list(inputs), [self.tensor(output)])
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(operator)

    def file(self, graph_input: Tensor, graph_output: Tensor) -> bytes:
        """The finished flatbuffer."""
        ends = [self.tensor(graph_input)], [self.tensor(graph_output)]
        signature = schema.SignatureDefT(
            [schema.TensorMapT(graph_input.name.encode(), ends[0][0])],
            [schema.TensorMapT(graph_output.name.encode(), ends[1][0])],
            SIGNATURE,
        )
        model = schema.ModelT(
            version=3,
            # readers that predate codes above 127 look at the deprecated field
            operatorCodes=[schema.OperatorCodeT(min(code, 127), builtinCode=code) for code in self._codes],
            subgraphs=[schema.SubGraphT(self._tensors, *ends, self._operators, b"main")],
            description=b"hwnas",
            buffers=self._buffers,
            signatureDefs=[signature],
        )
        constants = sum(len(buffer.data) + _ALIGNMENT for buffer in self._buffers[1:])
        # a builder that is large enough from the start never copies itself to grow
        builder = flatbuffers.Builder(constants + 1024 * (len(self._tensors) + 8))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _add_tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int) -> int:
        self._tensors.append(schema.TensorT(list(shape), kind, buffer, name.encode(), hasRank=True))
        return len(self._tensors) - 1


def nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as TFLite stores it: (N, C, H, W) -> (N, H, W, C); other ranks stay."""
    if len(shape) != 4:
        return shape
    batch, channels, height, width = shape
    return (batch, height, width, channels)


def _convolution(model: _Model, operator: Operator) -> None:
    assert operator.weight is not None and operator.bias is not None
    depthwise = operator.kind == "depthwise_conv"
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    if depthwise:
        options.depthMultiplier = operator.output.shape[1] // operator.inputs[0].shape[1]
    options.strideH, options.strideW = operator.stride
    options.fusedActivationFunction = _ACTIVATION[operator.activation]
    image, options.padding = _padded_input(model, operator)
    # depthwise weights are (1, height, width, out), dense ones (out, height, width, in)
    weight = operator.weight.transpose(1, 2, 3, 0) if depthwise else operator.weight.transpose(0, 2, 3, 1)
    weight_index = model.constant(f"{operator.name}.weight", weight)
    bias_index = model.constant(f"{operator.name}.bias", operator.bias)
    code = schema.BuiltinOperator.DEPTHWISE_CONV_2D if depthwise else schema.BuiltinOperator.CONV_2D
    model.operator(code, [image, weight_index, bias_index], operator.output, options)


def _padded_input(model: _Model, operator: Operator) -> tuple[int, int]:
    """Index of the tensor that the convolution reads, and its padding scheme: what it cannot express, PAD does."""
    tensor, (vertical, horizontal) = operator.inputs[0], operator.padding
    if (vertical, horizontal) == (0, 0):
        return model.tensor(tensor), schema.Padding.VALID
    axes = zip(tensor.shape[2:], operator.kernel, operator.stride, operator.padding, strict=True)
    if all(pads_like_same(*axis) for axis in axes):
        return model.tensor(tensor), schema.Padding.SAME
    batch, channels, height, width = tensor.shape
    padded = Tensor(f"{operator.name}.padded", (batch, channels, height + 2 * vertical, width + 2 * horizontal))
    zeros = np.array([[0, 0], [vertical, vertical], [horizontal, horizontal], [0, 0]], np.int32)
    inputs = [model.tensor(tensor), model.constant(f"{operator.name}.padding", zeros)]
    model.operator(schema.BuiltinOperator.PAD, inputs, padded, schema.PadOptionsT())
    return model.tensor(padded), schema.Padding.VALID


def _linear(model: _Model, operator: Operator) -> None:
    assert operator.weight is not None and operator.bias is not None
    options = schema.FullyConnectedOptionsT(_ACTIVATION[operator.activation])
    weight = model.constant(f"{operator.name}.weight", operator.weight)
    bias = model.constant(f"{operator.name}.bias", operator.bias)
    inputs = [model.tensor(operator.inputs[0]), weight, bias]
    model.operator(schema.BuiltinOperator.FULLY_CONNECTED, inputs, operator.output, options)


def _add(model: _Model, operator: Operator) -> None:
    options = schema.AddOptionsT(_ACTIVATION[operator.activation])
    inputs = [model.tensor(tensor) for tensor in operator.inputs]
    model.operator(schema.BuiltinOperator.ADD, inputs, operator.output, options)


def _activation(model: _Model, operator: Operator) -> None:
    code = schema.BuiltinOperator.RELU if operator.activation == "relu" else schema.BuiltinOperator.RELU6
    model.operator(code, [model.tensor(operator.inputs[0])], operator.output)


def _global_average_pool(model: _Model, operator: Operator) -> None:
    height_and_width = model.constant(f"{operator.name}.axes", np.array([1, 2], np.int32))
    inputs = [model.tensor(operator.inputs[0]), height_and_width]
    model.operator(schema.BuiltinOperator.MEAN, inputs, operator.output, schema.ReducerOptionsT(keepDims=True))


def _flatten(model: _Model, operator: Operator) -> None:
    shape = list(operator.output.shape)
    inputs = [model.tensor(operator.inputs[0]), model.constant(f"{operator.name}.shape", np.array(shape, np.int32))]
    model.operator(schema.BuiltinOperator.RESHAPE, inputs, operator.output, schema.ReshapeOptionsT(shape))


_WRITERS: dict[str, Callable[[_Model, Operator], None]] = {
    "conv": _convolution,
    "depthwise_conv": _convolution,
    "linear": _linear,
    "add": _add,
    "activation": _activation,
    "global_average_pool": _global_average_pool,
    "flatten": _flatten,
}
