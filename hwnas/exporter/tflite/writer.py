"""Graph -> .tflite: an NHWC flatbuffer, one writer function per kind of operator.

Nothing in the file depends on the time, the machine or the folder: equal Graphs give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.graph import Graph, Operator, Tensor
from hwnas.exporter.model_file.format import Weights
from hwnas.exporter.tflite.file import TFLiteModel, channels_last, nhwc
from hwnas.exporter.tflite.windows import (
    ACTIVATION,
    average_pool,
    channel_max,
    convolution,
    global_average_pool,
    max_pool,
    pad,
)

Codes = schema.BuiltinOperator

DECOMPOSED = ("hard_sigmoid", "silu")
"""Activations that TFLite does not have."""

_CONCAT_INPUTS = 4  # as many as XNNPACK takes in both interpreters


def write_tflite(graph: Graph, weights: Weights = "float32", float32_layers: Collection[str] = ()) -> bytes:
    """The .tflite file of a Graph: float32, NHWC, with the signature ``serving_default`` (``input`` -> ``output``).

    Args:
        graph: A finished Graph.
        weights: Number format that weights, but not biases, are stored in; with ``float16`` the file is half as
            large, and the arithmetic is still float32.
        float32_layers: Names of operators whose weights stay float32 all the same.
    """
    model = TFLiteModel(decompose(graph, DECOMPOSED), weights, float32_layers)
    for operator in model.graph.operators:
        WRITERS[operator.kind](model, operator)
    return model.file()


def _linear(model: TFLiteModel, operator: Operator) -> None:
    assert operator.weight is not None and operator.bias is not None
    options = schema.FullyConnectedOptionsT(ACTIVATION[operator.activation])
    values = operator.weight
    if image := _flattened_by_linear_layers(model, operator.inputs[0]):
        values = values.reshape(-1, *image.shape[1:]).transpose(0, 2, 3, 1).reshape(values.shape)
    weight = model.weight(operator.name, values)
    bias = model.constant(f"{operator.name}.bias", operator.bias)
    inputs = [model.tensor(operator.inputs[0]), weight, bias]
    model.operator(Codes.FULLY_CONNECTED, inputs, operator.output, options)


def _flattened_by_linear_layers(model: TFLiteModel, features: Tensor) -> Tensor | None:
    """The image that a flatten made `features` of, if linear layers alone read them: their weights take its layout."""
    operators = model.graph.operators
    maker = next((operator for operator in operators if operator.output == features), None)
    readers = [operator for operator in operators if features in operator.inputs]
    if maker is None or maker.kind != "flatten" or features == model.graph.output:
        return None
    return maker.inputs[0] if all(reader.kind == "linear" for reader in readers) else None


def _binary(code: int, options: type[Any]) -> Callable[[TFLiteModel, Operator], None]:
    def write(model: TFLiteModel, operator: Operator) -> None:
        inputs = [model.tensor(tensor) for tensor in operator.inputs]
        if operator.constant is not None:
            inputs.append(model.constant(f"{operator.name}.constant", channels_last(operator.constant)))
        fused = options()
        fused.fusedActivationFunction = ACTIVATION[operator.activation]
        model.operator(code, inputs, operator.output, fused)

    return write


def _activation(model: TFLiteModel, operator: Operator) -> None:
    code, options = ACTIVATIONS[operator.activation or ""](operator)
    model.operator(code, [model.tensor(operator.inputs[0])], operator.output, options)


ACTIVATIONS: dict[str, Callable[[Operator], tuple[int, Any]]] = {
    "relu": lambda operator: (Codes.RELU, None),
    "relu6": lambda operator: (Codes.RELU6, None),
    "hard_swish": lambda operator: (Codes.HARD_SWISH, schema.HardSwishOptionsT()),
    "sigmoid": lambda operator: (Codes.LOGISTIC, None),
    "tanh": lambda operator: (Codes.TANH, None),
    "elu": lambda operator: (Codes.ELU, None),
    "gelu": lambda operator: (Codes.GELU, schema.GeluOptionsT(approximate=False)),
    "gelu_tanh": lambda operator: (Codes.GELU, schema.GeluOptionsT(approximate=True)),
    "leaky_relu": lambda operator: (Codes.LEAKY_RELU, schema.LeakyReluOptionsT(alpha=operator.value)),
}


def _prelu(model: TFLiteModel, operator: Operator) -> None:
    assert operator.constant is not None
    slopes = operator.constant.reshape((1, 1, -1) if len(operator.output.shape) == 4 else (-1,))
    inputs = [model.tensor(operator.inputs[0]), model.constant(f"{operator.name}.slopes", slopes)]
    model.operator(Codes.PRELU, inputs, operator.output)


def _softmax(model: TFLiteModel, operator: Operator) -> None:
    image = model.tensor(operator.inputs[0])  # over the last axis, which the channels are
    model.operator(Codes.SOFTMAX, [image], operator.output, schema.SoftmaxOptionsT(beta=1.0))


def _log_softmax(model: TFLiteModel, operator: Operator) -> None:
    image = model.tensor(operator.inputs[0])
    model.operator(Codes.LOG_SOFTMAX, [image], operator.output, schema.LogSoftmaxOptionsT())


def _concat(model: TFLiteModel, operator: Operator) -> None:
    inputs = [model.tensor(tensor) for tensor in operator.inputs]
    channels = [tensor.shape[1] for tensor in operator.inputs]
    shape = nhwc(operator.output.shape)
    axis = len(shape) - 1
    while len(inputs) > _CONCAT_INPUTS:
        total = sum(channels[:_CONCAT_INPUTS])
        part = model.intermediate(f"{operator.name}.part{len(inputs)}", (*shape[:-1], total))
        model.operator(Codes.CONCATENATION, inputs[:_CONCAT_INPUTS], part, schema.ConcatenationOptionsT(axis))
        inputs, channels = [part, *inputs[_CONCAT_INPUTS:]], [total, *channels[_CONCAT_INPUTS:]]
    model.operator(Codes.CONCATENATION, inputs, operator.output, schema.ConcatenationOptionsT(axis))


def _slice(model: TFLiteModel, operator: Operator) -> None:
    begin = model.constant(f"{operator.name}.begin", nhwc(operator.begin))
    size = model.constant(f"{operator.name}.size", nhwc(operator.output.shape))
    inputs = [model.tensor(operator.inputs[0]), begin, size]
    model.operator(Codes.SLICE, inputs, operator.output, schema.SliceOptionsT())


def _gather(model: TFLiteModel, operator: Operator) -> None:
    image, shape = model.tensor(operator.inputs[0]), list(operator.inputs[0].shape)
    gathered = [(axis, places) for axis, places in enumerate(operator.indices) if places is not None]
    for axis, places in gathered:
        shape[axis] = len(places)
        last = axis == gathered[-1][0]
        name = f"{operator.name}.axis{axis}"
        output = model.tensor(operator.output) if last else model.intermediate(name, nhwc(tuple(shape)))
        options = schema.GatherOptionsT()
        options.axis = nhwc(tuple(range(len(shape)))).index(axis)
        model.operator(Codes.GATHER, [image, model.constant(f"{name}.indices", places)], output, options)
        image = output


def _channel_shuffle(model: TFLiteModel, operator: Operator) -> None:
    """By way of NCHW, where a channel is one picture to move: faster than moving single values within every pixel."""
    batch, channels, height, width = operator.output.shape
    groups, pixels = operator.groups, height * width
    size = channels // groups
    name, image = operator.name, model.tensor(operator.inputs[0])
    image = _reshaped(model, f"{name}.groups", image, (batch, pixels, groups, size))
    image = _transposed(model, f"{name}.mixed", image, (0, 3, 2, 1), (batch, size, groups, pixels))
    image = _reshaped(model, f"{name}.nchw", image, (batch, channels, height, width))
    _transposed(model, name, image, (0, 2, 3, 1), operator.output)


def _resize_bilinear(model: TFLiteModel, operator: Operator) -> None:
    options = schema.ResizeBilinearOptionsT()
    options.alignCorners, options.halfPixelCenters = operator.align_corners, not operator.align_corners
    size = model.constant(f"{operator.name}.size", operator.output.shape[2:])
    version = 3 if options.halfPixelCenters else 1
    model.operator(Codes.RESIZE_BILINEAR, [model.tensor(operator.inputs[0]), size], operator.output, options, version)


def _resize_nearest(model: TFLiteModel, operator: Operator) -> None:
    image = model.tensor(operator.inputs[0])
    batch, channels, height, width = operator.inputs[0].shape
    if operator.output.shape[2:] == (2 * height, 2 * width):
        # XNNPACK takes these two, but no RESIZE_NEAREST_NEIGHBOR
        four = model.intermediate(f"{operator.name}.four", (batch, height, width, 4 * channels))
        model.operator(Codes.CONCATENATION, [image] * 4, four, schema.ConcatenationOptionsT(3))
        model.operator(Codes.DEPTH_TO_SPACE, [four], operator.output, schema.DepthToSpaceOptionsT(2))
        return
    size = model.constant(f"{operator.name}.size", operator.output.shape[2:])
    options = schema.ResizeNearestNeighborOptionsT()
    model.operator(Codes.RESIZE_NEAREST_NEIGHBOR, [image, size], operator.output, options)


def _flatten(model: TFLiteModel, operator: Operator) -> None:
    """RESHAPE; where the order of values matters to later operators, they are brought into that of NCHW first."""
    (source,), image = operator.inputs, model.tensor(operator.inputs[0])
    pixels = math.prod(source.shape[2:])
    if 1 not in (pixels, source.shape[1]) and not _flattened_by_linear_layers(model, operator.output):
        image = _transposed(model, f"{operator.name}.nchw", image, (0, 3, 1, 2), source.shape)
    _reshaped(model, operator.name, image, operator.output)


def _unflatten(model: TFLiteModel, operator: Operator) -> None:
    shape, features = operator.output.shape, model.tensor(operator.inputs[0])
    if 1 in (shape[1], math.prod(shape[2:])):
        _reshaped(model, operator.name, features, operator.output)
        return
    image = _reshaped(model, f"{operator.name}.nchw", features, shape)
    _transposed(model, operator.name, image, (0, 2, 3, 1), operator.output)


def _reshaped(model: TFLiteModel, name: str, image: int, output: Tensor | tuple[int, ...]) -> int:
    """Append a RESHAPE to a tensor of the Graph, or to a new one of a shape as in the file; returns its index."""
    shape = list(nhwc(output.shape) if isinstance(output, Tensor) else output)
    index = model.tensor(output) if isinstance(output, Tensor) else model.intermediate(name, shape)
    inputs = [image, model.constant(f"{name}.shape", shape)]
    model.operator(Codes.RESHAPE, inputs, index, schema.ReshapeOptionsT(shape))
    return index


def _transposed(
    model: TFLiteModel, name: str, image: int, order: tuple[int, ...], output: Tensor | tuple[int, ...]
) -> int:
    """Append a TRANSPOSE to a tensor of the Graph, or to a new one of a shape as in the file; returns its index."""
    index = model.tensor(output) if isinstance(output, Tensor) else model.intermediate(name, output)
    inputs = [image, model.constant(f"{name}.order", order)]
    model.operator(Codes.TRANSPOSE, inputs, index, schema.TransposeOptionsT())
    return index


WRITERS: dict[str, Callable[[TFLiteModel, Operator], None]] = {
    "conv": convolution,
    "depthwise_conv": convolution,
    "linear": _linear,
    "add": _binary(Codes.ADD, schema.AddOptionsT),
    "subtract": _binary(Codes.SUB, schema.SubOptionsT),
    "multiply": _binary(Codes.MUL, schema.MulOptionsT),
    "activation": _activation,
    "prelu": _prelu,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "average_pool": average_pool,
    "max_pool": max_pool,
    "global_average_pool": global_average_pool,
    "channel_max": channel_max,
    "concat": _concat,
    "slice": _slice,
    "gather": _gather,
    "channel_shuffle": _channel_shuffle,
    "pad": pad,
    "resize_nearest": _resize_nearest,
    "resize_bilinear": _resize_bilinear,
    "flatten": _flatten,
    "unflatten": _unflatten,
}
