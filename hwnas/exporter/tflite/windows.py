"""Graph -> .tflite: convolutions and pooling, and the padding that TFLite cannot say.

TFLite knows two paddings, VALID (none) and SAME. Everything else is an operator of its own before the window.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Operator, Tensor
from hwnas.exporter.tflite.file import TFLiteModel, nhwc

ACTIVATION = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid")
_KEEPS_SIGN = (
    "max_pool",
    "average_pool",
    "global_average_pool",
    "channel_max",
    "concat",
    "slice",
    "gather",
    "channel_shuffle",
    "add",
    "multiply",
)
_LOWEST = float(np.finfo(np.float32).min)


def pads_like_same(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> bool:
    """Whether TFLite's SAME padding is, on one axis, `pads` before and after.

    SAME makes the output ``ceil(size / stride)`` and puts the smaller half of the zeros first. With stride 2 and an
    even size that half is smaller than ``kernel // 2``: the same shape, but another picture.
    """
    same_output = -(-size // stride)
    output = (size + sum(pads) - kernel) // stride + 1
    zeros = max((same_output - 1) * stride + kernel - size, 0)
    return output == same_output and zeros // 2 == pads[0]


def convolution(model: TFLiteModel, operator: Operator) -> None:
    """CONV_2D or DEPTHWISE_CONV_2D."""
    assert operator.weight is not None and operator.bias is not None
    depthwise = operator.kind == "depthwise_conv"
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    if depthwise:
        options.depthMultiplier = operator.output.shape[1] // operator.inputs[0].shape[1]
    options.strideH, options.strideW = operator.stride
    options.dilationHFactor, options.dilationWFactor = operator.dilation
    options.fusedActivationFunction = ACTIVATION[operator.activation]
    options.padding = _scheme(operator)
    image = model.tensor(operator.inputs[0])
    if options.padding == schema.Padding.VALID and np.any(operator.padding):
        image = _padded(model, operator)
    # depthwise weights are (1, height, width, out), dense ones (out, height, width, in)
    weight = operator.weight.transpose(1, 2, 3, 0) if depthwise else operator.weight.transpose(0, 2, 3, 1)
    inputs = [
        image,
        model.weight(operator.name, weight),
        model.constant(f"{operator.name}.bias", operator.bias),
    ]
    if depthwise:
        version = 2 if operator.dilation != (1, 1) else 1
        model.operator(schema.BuiltinOperator.DEPTHWISE_CONV_2D, inputs, operator.output, options, version)
    else:
        version = 6 if operator.convolution_groups > 1 else 1
        model.operator(schema.BuiltinOperator.CONV_2D, inputs, operator.output, options, version)


def max_pool(model: TFLiteModel, operator: Operator) -> None:
    """MAX_POOL_2D; its padding must never be a maximum."""
    scheme = _scheme(operator)
    image = model.tensor(operator.inputs[0])
    if scheme == schema.Padding.SAME or not np.any(operator.padding):
        _pool(model, schema.BuiltinOperator.MAX_POOL_2D, operator, image, scheme)
    elif _is_not_negative(model, operator.inputs[0]):
        _pool(model, schema.BuiltinOperator.MAX_POOL_2D, operator, _padded(model, operator), scheme)
    elif all(
        2 * pads[0] == taps - 1 == 2 * pads[1] for pads, taps in zip(operator.padding, operator.kernel, strict=True)
    ):
        # PADV2 would take the operator out of XNNPACK; the same windows at every pixel, then every other one of them,
        # stay in it. A pool of one pixel would not: a convolution of each channel by 1 takes them
        everywhere = model.intermediate(f"{operator.name}.everywhere", nhwc(operator.inputs[0].shape))
        options = _pool_options(operator.window, (1, 1), schema.Padding.SAME)
        model.operator(schema.BuiltinOperator.MAX_POOL_2D, [image], everywhere, options)
        channels = operator.inputs[0].shape[1]
        inputs = [
            everywhere,
            model.weight(f"{operator.name}.taken", np.ones((1, 1, 1, channels), np.float32)),
            model.constant(f"{operator.name}.taken.bias", np.zeros(channels, np.float32)),
        ]
        taken = schema.DepthwiseConv2DOptionsT()
        taken.depthMultiplier, taken.padding = 1, schema.Padding.VALID
        taken.strideH, taken.strideW = operator.stride
        taken.dilationHFactor = taken.dilationWFactor = 1
        model.operator(schema.BuiltinOperator.DEPTHWISE_CONV_2D, inputs, operator.output, taken)
    else:
        _pool(model, schema.BuiltinOperator.MAX_POOL_2D, operator, _padded(model, operator, _LOWEST), scheme)


def average_pool(model: TFLiteModel, operator: Operator) -> None:
    """AVERAGE_POOL_2D, which leaves SAME padding out of the average; after other padding the average is corrected."""
    scheme = _scheme(operator)
    code = schema.BuiltinOperator.AVERAGE_POOL_2D
    if scheme == schema.Padding.SAME or not np.any(operator.padding):
        _pool(model, code, operator, model.tensor(operator.inputs[0]), scheme)
        return
    averages = model.intermediate(f"{operator.name}.with_zeros", nhwc(operator.output.shape))
    options = _pool_options(operator.window, operator.stride, scheme)
    model.operator(code, [_padded(model, operator)], averages, options)
    rows, columns = (_counts(operator, axis) for axis in (0, 1))
    share = (operator.window[0] * operator.window[1] / np.outer(rows, columns)).astype(np.float32)
    corrections = model.constant(f"{operator.name}.corrections", share[None, :, :, None])
    model.operator(schema.BuiltinOperator.MUL, [averages, corrections], operator.output, schema.MulOptionsT())


def global_average_pool(model: TFLiteModel, operator: Operator) -> None:
    """MEAN over height and width."""
    inputs = [model.tensor(operator.inputs[0]), model.constant(f"{operator.name}.axes", [1, 2])]
    model.operator(schema.BuiltinOperator.MEAN, inputs, operator.output, schema.ReducerOptionsT(keepDims=True))


def channel_max(model: TFLiteModel, operator: Operator) -> None:
    """REDUCE_MAX over the channels."""
    inputs = [model.tensor(operator.inputs[0]), model.constant(f"{operator.name}.axes", [3])]
    model.operator(schema.BuiltinOperator.REDUCE_MAX, inputs, operator.output, schema.ReducerOptionsT(keepDims=True))


def pad(model: TFLiteModel, operator: Operator) -> None:
    """PAD, or PADV2 for other values than zero."""
    _pad(model, operator, operator.output, operator.value)


def _scheme(operator: Operator) -> int:
    """SAME where it is the padding of the operator, else VALID."""
    sizes = operator.inputs[0].shape[2:]
    reach = [step * (taps - 1) + 1 for step, taps in zip(operator.dilation, operator.kernel, strict=True)]
    axes = zip(sizes, reach, operator.stride, operator.padding, strict=True)
    same = np.any(operator.padding) and all(pads_like_same(*axis) for axis in axes)
    return int(schema.Padding.SAME if same else schema.Padding.VALID)


def _padded(model: TFLiteModel, operator: Operator, value: float = 0.0) -> int:
    """Index of the operator's input with its padding around it."""
    batch, channels, height, width = operator.inputs[0].shape
    vertical, horizontal = operator.padding
    shape = (batch, height + sum(vertical), width + sum(horizontal), channels)
    padded = model.intermediate(f"{operator.name}.padded", shape)
    _pad(model, operator, padded, value)
    return padded


def _pad(model: TFLiteModel, operator: Operator, output: Tensor | int, value: float) -> None:
    sizes = model.constant(f"{operator.name}.padding", [(0, 0), *operator.padding, operator.channel_padding])
    inputs = [model.tensor(operator.inputs[0]), sizes]
    if value == 0:
        model.operator(schema.BuiltinOperator.PAD, inputs, output, schema.PadOptionsT())
        return
    filling = model.constant(f"{operator.name}.value", np.array(value, np.float32))
    model.operator(schema.BuiltinOperator.PADV2, [*inputs, filling], output, schema.PadV2OptionsT())


def _pool(model: TFLiteModel, code: int, operator: Operator, image: int, scheme: int) -> None:
    model.operator(code, [image], operator.output, _pool_options(operator.window, operator.stride, scheme))


def _pool_options(window: tuple[int, int], stride: tuple[int, int], scheme: int) -> schema.Pool2DOptionsT:
    options = schema.Pool2DOptionsT()
    options.filterHeight, options.filterWidth = window
    options.strideH, options.strideW = stride
    options.padding = scheme
    return options


def _counts(operator: Operator, axis: int) -> NDArray[np.int64]:
    """How many pixels of the image each window covers on one axis."""
    size, taps, step = operator.inputs[0].shape[2 + axis], operator.window[axis], operator.stride[axis]
    begins = np.arange(operator.output.shape[2 + axis]) * step - operator.padding[axis][0]
    counts: NDArray[np.int64] = np.minimum(begins + taps, size) - np.maximum(begins, 0)
    return counts


def _is_not_negative(model: TFLiteModel, tensor: Tensor) -> bool:
    """Whether the values of a tensor are known to be zero or more."""
    known: set[Tensor] = set()
    for operator in model.graph.operators:
        keeps = operator.kind in _KEEPS_SIGN and operator.constant is None and known.issuperset(operator.inputs)
        if keeps or operator.activation in _NOT_NEGATIVE:
            known.add(operator.output)
    return tensor in known
