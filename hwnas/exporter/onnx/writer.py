"""Graph -> .onnx: NCHW, through `onnx.helper`. ONNX Runtime fuses activations into convolutions by itself.

Nothing in the file depends on the time, the machine or the folder: equal Graphs give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Graph, Operator, Tensor
from hwnas.exporter.model_file.format import Weights
from hwnas.exporter.onnx.model import OnnxModel

OPSET = 17
IR_VERSION = 8  # the file format that came with opset 17: ONNX Runtime reads it from 1.12 on


def write_onnx(graph: Graph, weights: Weights = "float32", float32_layers: Collection[str] = ()) -> bytes:
    """The .onnx file of a Graph: float32, NCHW, ``input`` -> ``output``, checked by `onnx.checker`.

    Args:
        graph: A finished Graph.
        weights: Number format that weights, but not biases, are stored in; with ``float16`` the file is half as
            large, and the arithmetic is still float32.
        float32_layers: Names of operators whose weights stay float32 all the same.

    Raises:
        HwnasError: If the package ``onnx`` is not installed.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError as error:
        raise HwnasError(
            f"writing .onnx needs the package onnx, which cannot be imported ({error}); "
            "install it with `pip install 'hwnas[onnx]'`."
        ) from None
    model = OnnxModel(onnx, weights, float32_layers)
    for operator in graph.operators:
        WRITERS[operator.kind](model, operator)
    inputs, outputs = (
        [helper.make_tensor_value_info(end.name, onnx.TensorProto.FLOAT, end.shape)]
        for end in (graph.input, graph.output)
    )
    main = helper.make_graph(model.nodes, "main", inputs, outputs, model.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    file = helper.make_model(main, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hwnas")
    data: bytes = file.SerializeToString(deterministic=True)
    onnx.checker.check_model(data)
    return data


def _names(tensors: tuple[Tensor, ...]) -> list[str]:
    return [tensor.name for tensor in tensors]


def _with_weights(model: OnnxModel, operator: Operator) -> list[str]:
    """Names of the operator's inputs: its tensors, then its weight and bias."""
    assert operator.weight is not None and operator.bias is not None
    weight = model.weight(operator.name, operator.weight)
    return [*_names(operator.inputs), weight, model.constant(f"{operator.name}.bias", operator.bias)]


def _pads(operator: Operator) -> list[int]:
    (top, bottom), (left, right) = operator.padding
    return [top, left, bottom, right]


def _convolution(model: OnnxModel, operator: Operator) -> None:
    model.node(
        "Conv",
        operator,
        _with_weights(model, operator),
        kernel_shape=operator.kernel,
        strides=operator.stride,
        pads=_pads(operator),
        dilations=operator.dilation,
        group=operator.convolution_groups,
    )


def _linear(model: OnnxModel, operator: Operator) -> None:
    model.node("Gemm", operator, _with_weights(model, operator), transB=1)


def _simple(op_type: str) -> Callable[[OnnxModel, Operator], None]:
    def write(model: OnnxModel, operator: Operator) -> None:
        inputs = _names(operator.inputs)
        if operator.constant is not None:
            inputs.append(model.constant(f"{operator.name}.constant", operator.constant))
        model.node(op_type, operator, inputs)

    return write


def _over_channels(op_type: str) -> Callable[[OnnxModel, Operator], None]:
    def write(model: OnnxModel, operator: Operator) -> None:
        model.node(op_type, operator, _names(operator.inputs), axis=1)

    return write


def _activation(model: OnnxModel, operator: Operator) -> None:
    ACTIVATIONS[operator.activation or ""](model, operator)


def _relu6(model: OnnxModel, operator: Operator) -> None:
    model.clip_to_6(operator.name, operator.inputs[0].name, operator.output.name)


def _hard_sigmoid(model: OnnxModel, operator: Operator) -> None:
    model.node("HardSigmoid", operator, _names(operator.inputs), alpha=1 / 6, beta=0.5)


def _leaky_relu(model: OnnxModel, operator: Operator) -> None:
    model.node("LeakyRelu", operator, _names(operator.inputs), alpha=operator.value)


def _silu(model: OnnxModel, operator: Operator) -> None:
    (source,), gate = _names(operator.inputs), f"{operator.name}.sigmoid"
    model.add("Sigmoid", gate, [source], gate)
    model.node("Mul", operator, [source, gate])


def _gelu(model: OnnxModel, operator: Operator) -> None:
    """``x / 2 * (1 + erf(x / sqrt(2)))``: opset 17 has no Gelu, and ONNX Runtime knows this one as such."""
    name, source = operator.name, operator.inputs[0].name
    model.add("Div", f"{name}.scaled", [source, model.scalar(f"{name}.root", math.sqrt(2))], f"{name}.scaled")
    model.add("Erf", f"{name}.erf", [f"{name}.scaled"], f"{name}.erf")
    _half_of_x_times_1_plus(model, operator, f"{name}.erf")


def _gelu_tanh(model: OnnxModel, operator: Operator) -> None:
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * x * (1 + 0.044715 * x * x)))``"""
    name, source = operator.name, operator.inputs[0].name
    steps = [
        ("Mul", "square", source),
        ("Mul", "cubic", model.scalar(f"{name}.factor", 0.044715)),
        ("Add", "sum", model.scalar(f"{name}.one", 1)),
        ("Mul", "product", source),
        ("Mul", "scaled", model.scalar(f"{name}.root", math.sqrt(2 / math.pi))),
    ]
    result = source
    for op_type, step, operand in steps:
        model.add(op_type, f"{name}.{step}", [result, operand], f"{name}.{step}")
        result = f"{name}.{step}"
    model.add("Tanh", f"{name}.tanh", [result], f"{name}.tanh")
    _half_of_x_times_1_plus(model, operator, f"{name}.tanh")


def _half_of_x_times_1_plus(model: OnnxModel, operator: Operator, gate: str) -> None:
    name, source = operator.name, operator.inputs[0].name
    model.add("Add", f"{name}.gate", [gate, model.scalar(f"{name}.one", 1)], f"{name}.gate")
    model.add("Mul", f"{name}.gated", [source, f"{name}.gate"], f"{name}.gated")
    model.node("Mul", operator, [f"{name}.gated", model.scalar(f"{name}.half", 0.5)])


ACTIVATIONS: dict[str, Callable[[OnnxModel, Operator], None]] = {
    "relu": _simple("Relu"),
    "relu6": _relu6,
    "hard_swish": _simple("HardSwish"),
    "hard_sigmoid": _hard_sigmoid,
    "silu": _silu,
    "sigmoid": _simple("Sigmoid"),
    "tanh": _simple("Tanh"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": _leaky_relu,
    "elu": _simple("Elu"),
}


def _prelu(model: OnnxModel, operator: Operator) -> None:
    assert operator.constant is not None
    slopes = operator.constant.reshape(-1, *(1,) * (len(operator.output.shape) - 2))
    model.node("PRelu", operator, [*_names(operator.inputs), model.constant(f"{operator.name}.slopes", slopes)])


def _pool(op_type: str) -> Callable[[OnnxModel, Operator], None]:
    def write(model: OnnxModel, operator: Operator) -> None:
        settings = {"kernel_shape": operator.window, "strides": operator.stride, "pads": _pads(operator)}
        model.node(op_type, operator, _names(operator.inputs), **settings)

    return write


def _channel_max(model: OnnxModel, operator: Operator) -> None:
    model.node("ReduceMax", operator, _names(operator.inputs), axes=[1], keepdims=1)


def _slice(model: OnnxModel, operator: Operator) -> None:
    (source,), shape = operator.inputs, operator.output.shape
    axes = [axis for axis in range(len(shape)) if shape[axis] != source.shape[axis]]
    begins = [operator.begin[axis] for axis in axes]
    ends = [operator.begin[axis] + shape[axis] for axis in axes]
    numbers = (("begins", begins), ("ends", ends), ("axes", axes))
    constants = [model.constant(f"{operator.name}.{what}", values) for what, values in numbers]
    model.node("Slice", operator, [source.name, *constants])


def _gather(model: OnnxModel, operator: Operator) -> None:
    (source,) = _names(operator.inputs)
    gathered = [(axis, places) for axis, places in enumerate(operator.indices) if places is not None]
    for axis, places in gathered:
        indices = model.constant(f"{operator.name}.indices{axis}", places)
        if axis == gathered[-1][0]:
            model.node("Gather", operator, [source, indices], axis=axis)
        else:
            model.add(
                "Gather", f"{operator.name}.axis{axis}", [source, indices], f"{operator.name}.axis{axis}", axis=axis
            )
            source = f"{operator.name}.axis{axis}"


def _channel_shuffle(model: OnnxModel, operator: Operator) -> None:
    batch, channels, height, width = operator.output.shape
    name, groups = operator.name, operator.groups
    split = model.constant(f"{name}.split", [batch, groups, channels // groups, height, width])
    whole = model.constant(f"{name}.whole", [batch, channels, height, width])
    model.add("Reshape", f"{name}.groups", [*_names(operator.inputs), split], f"{name}.groups")
    model.add("Transpose", f"{name}.mixed", [f"{name}.groups"], f"{name}.mixed", perm=[0, 2, 1, 3, 4])
    model.node("Reshape", operator, [f"{name}.mixed", whole])


def _pad(model: OnnxModel, operator: Operator) -> None:
    top, left, bottom, right = _pads(operator)
    first, last = operator.channel_padding
    sizes = model.constant(f"{operator.name}.padding", [0, first, top, left, 0, last, bottom, right])
    model.node(
        "Pad", operator, [*_names(operator.inputs), sizes, model.scalar(f"{operator.name}.value", operator.value)]
    )


def _resize_nearest(model: OnnxModel, operator: Operator) -> None:
    _resize(model, operator, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _resize_bilinear(model: OnnxModel, operator: Operator) -> None:
    centres = "align_corners" if operator.align_corners else "half_pixel"
    _resize(model, operator, mode="linear", coordinate_transformation_mode=centres)


def _resize(model: OnnxModel, operator: Operator, **attributes: str) -> None:
    size = model.constant(f"{operator.name}.size", operator.output.shape)
    model.node("Resize", operator, [*_names(operator.inputs), "", "", size], **attributes)


def _unflatten(model: OnnxModel, operator: Operator) -> None:
    shape = model.constant(f"{operator.name}.shape", operator.output.shape)
    model.node("Reshape", operator, [*_names(operator.inputs), shape])


WRITERS: dict[str, Callable[[OnnxModel, Operator], None]] = {
    "conv": _convolution,
    "depthwise_conv": _convolution,
    "linear": _linear,
    "add": _simple("Add"),
    "subtract": _simple("Sub"),
    "multiply": _simple("Mul"),
    "activation": _activation,
    "prelu": _prelu,
    "softmax": _over_channels("Softmax"),
    "log_softmax": _over_channels("LogSoftmax"),
    "average_pool": _pool("AveragePool"),
    "max_pool": _pool("MaxPool"),
    "global_average_pool": _simple("GlobalAveragePool"),
    "channel_max": _channel_max,
    "concat": _over_channels("Concat"),
    "slice": _slice,
    "gather": _gather,
    "channel_shuffle": _channel_shuffle,
    "pad": _pad,
    "resize_nearest": _resize_nearest,
    "resize_bilinear": _resize_bilinear,
    "flatten": _over_channels("Flatten"),
    "unflatten": _unflatten,
}
