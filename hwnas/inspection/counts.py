"""The costs of a network by its file alone: multiply-accumulates, parameters, and memory for activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from hwnas.inspection.network import FileNetwork, FileOperator, Shape


@dataclass(frozen=True)
class _Product:
    """How an operator that multiplies and adds is counted: (out, data, weight) -> MACs, and where its operands are."""

    macs: Callable[[Shape, Shape, Shape], int]
    data: int = 0
    weight: int = 1


def _per_output(out: Shape, _data: Shape, weight: Shape) -> int:
    return prod(out) * prod(weight[1:])


def _depthwise(out: Shape, _data: Shape, weight: Shape) -> int:
    return prod(out) * prod(weight[1:-1])


def _convolution_3d(out: Shape, _data: Shape, weight: Shape) -> int:
    return prod(out) * prod(weight[:-1])


def _per_input(_out: Shape, data: Shape, weight: Shape) -> int:
    return prod(data) * prod(weight[1:])


def _transposed(_out: Shape, data: Shape, weight: Shape) -> int:
    return prod(data) * prod(weight[:-1])


def _dense(out: Shape, _data: Shape, weight: Shape) -> int:
    return prod(out) * (prod(weight) // max(1, out[-1] if out else 1))


def _matrices(out: Shape, data: Shape, _weight: Shape) -> int:
    return prod(out) * (data[-1] if data else 1)


PRODUCTS = {
    "CONV_2D": _Product(_per_output),
    "DEPTHWISE_CONV_2D": _Product(_depthwise),
    "CONV_3D": _Product(_convolution_3d),
    "TRANSPOSE_CONV": _Product(_transposed, data=2),
    "FULLY_CONNECTED": _Product(_dense),
    "BATCH_MATMUL": _Product(_matrices),
    "Conv": _Product(_per_output),
    "ConvInteger": _Product(_per_output),
    "com.microsoft.FusedConv": _Product(_per_output),
    "QLinearConv": _Product(_per_output, weight=3),
    "DeformConv": _Product(_per_output),
    "ConvTranspose": _Product(_per_input),
    "Gemm": _Product(_dense),
    "MatMul": _Product(_matrices),
    "MatMulInteger": _Product(_matrices),
    "QLinearMatMul": _Product(_matrices, weight=3),
    "com.microsoft.QGemm": _Product(_dense, weight=3),
}
"""Operators of one product, of both formats. Others (additions, activations, pooling) count as none."""

RECURRENT = frozenset(
    [
        *("LSTM", "GRU", "RNN", "com.microsoft.DynamicQuantizeLSTM", "SVDF"),
        *("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"),
        *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
    ]
)
"""Operators that multiply each step of a sequence, the rows of their first input, with all of their matrices."""

NOT_COUNTED = frozenset(
    [
        *("WHILE", "IF", "CALL", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"),
        *("STABLEHLO_DOT_GENERAL", "STABLEHLO_CONVOLUTION", "STABLEHLO_CUSTOM_CALL"),
        *("If", "Loop", "Scan", "SequenceMap", "Einsum", "Attention", "LinearAttention", "CausalConvWithState"),
    ]
)
"""Operators that may multiply, in a way that is not looked into: branches, loops and the like."""

CHEAP = (
    "Quantize",
    "Dequantize",
    "QLinear",
    "Gelu",
    "FastGelu",
    "BiasGelu",
    "QuickGelu",
    "SkipLayer",
    "SkipSimplified",
)
"""How the names of operators of ``com.microsoft`` begin that multiply nothing, among many that do."""


def macs(network: FileNetwork, operator: FileOperator) -> int | None:
    """Multiply-accumulates of one operator; None if they are not known: it is not looked into, or lacks shapes."""
    if operator.kind in RECURRENT:
        return _recurrent_macs(network, operator)
    product = PRODUCTS.get(operator.kind)
    if product is None:
        return None if _is_not_counted(operator) else 0
    names = operator.outputs[:1], operator.inputs[product.data :][:1], operator.inputs[product.weight :][:1]
    out, data, weight = (network.shape("".join(name)) for name in names)
    return None if out is None or data is None or weight is None else product.macs(out, data, weight)


def _recurrent_macs(network: FileNetwork, operator: FileOperator) -> int | None:
    names = (*operator.inputs[:1], *_step_matrices(network, operator))
    shapes = [shape for name in names if (shape := network.shape(name)) is not None]
    if len(shapes) < max(2, len(names)):
        return None
    data, *matrices = shapes
    return prod(data[:-1]) * sum(map(prod, matrices))


def _step_matrices(network: FileNetwork, operator: FileOperator) -> tuple[str, ...]:
    """The inputs of a recurrent operator that each step is multiplied with.

    An .onnx has two of three dimensions, for the input and the state before; a .tflite one per gate, of two dimensions,
    some of them left out, among vectors and states that are no constants.
    """
    weights = operator.inputs[1:]
    if len(network.shape("".join(weights[1:2])) or ()) == 3:
        return weights[:2]
    return tuple(n for n in weights if network.is_constant(n) and len(network.shape(n) or ()) == 2)


def _is_not_counted(operator: FileOperator) -> bool:
    domain, _, name = operator.kind.rpartition(".")
    foreign = domain == "com.microsoft" and not name.startswith(CHEAP)
    return operator.custom or operator.kind in NOT_COUNTED or foreign


def number_formats(network: FileNetwork, operator: FileOperator) -> tuple[str, str] | None:
    """(weights, activations) that an operator multiplies, as they are stored; None if it does not multiply."""
    product = PRODUCTS.get(operator.kind)
    if operator.kind in RECURRENT:
        data, weight = "".join(operator.inputs[:1]), "".join(_step_matrices(network, operator)[:1])
    elif product is None or len(operator.inputs) <= max(product.data, product.weight):
        return None
    else:
        data, weight = operator.inputs[product.data], operator.inputs[product.weight]
    if not data or not weight:
        return None
    source = network.producers.get(data)
    if source is not None and source.kind == "DequantizeLinear" and source.inputs[0]:
        data = source.inputs[0]  # ONNX Runtime fuses this with the product: it computes with the integers
    return network.tensors[network.stored(weight)].dtype, network.tensors[data].dtype


def uncounted(network: FileNetwork) -> dict[str, int]:
    """How many operators of which kind the counts of MACs (and where they hold others, of parameters) leave out."""
    left_out = (operator.kind for operator in network.operators if macs(network, operator) is None)
    return dict(Counter(left_out).most_common())


def parameters(network: FileNetwork) -> list[tuple[int, int]]:
    """(parameters, their bytes in the file) of each operator. What two operators share counts for the first."""
    counted: set[str] = set()
    found = []
    for operator in network.operators:
        own = _stored_parameters(network, operator) - counted
        counted |= own
        tensors = [network.tensors[name] for name in own]
        found.append((sum(t.elements or 0 for t in tensors), sum(t.constant_bytes or 0 for t in tensors)))
    return found


def _stored_parameters(network: FileNetwork, operator: FileOperator) -> set[str]:
    """Parameters of an operator as the file holds them; one that unpacks them has none of its own."""
    if network.unpacked.keys() & set(operator.outputs):
        return set()
    return {network.stored(name) for name in operator.parameters if network.is_constant(name)}


def weight_bytes(network: FileNetwork) -> dict[str, int]:
    """Bytes of the parameters in the file, by number format."""
    names = {name for operator in network.operators for name in _stored_parameters(network, operator)}
    total: Counter[str] = Counter()
    for name in names:
        total[network.tensors[name].dtype] += network.tensors[name].constant_bytes or 0
    return dict(total.most_common())


def peak_activation_bytes(network: FileNetwork) -> int | None:
    """The most bytes that activations need at once, if operators run in the order of the file; None if not known.

    An activation is kept from the operator that makes it (an input: from the start) to the last one that reads it (an
    output: to the end). While an operator runs, its inputs and outputs are both there: nothing is computed in place.
    Constants, what is unpacked from them, and what kernels need besides are not counted. It is what an arena without
    gaps would take; TensorFlow Lite's has some.
    """
    last_use = {name: i for i, operator in enumerate(network.operators) for name in operator.inputs}
    last_use |= dict.fromkeys(network.outputs, len(network.operators))
    alive: dict[str, int] = {}

    def add(names: tuple[str, ...]) -> bool:
        for name in network.activations(names):
            size = network.tensors[name].bytes
            if size is None:
                return False
            alive[name] = size
        return True

    known = add(network.inputs)
    peak = sum(alive.values())
    for i, operator in enumerate(network.operators):
        known = known and add(operator.outputs)
        if not known:
            return None
        peak = max(peak, sum(alive.values()))
        for name in [name for name in (*operator.inputs, *operator.outputs) if last_use.get(name, i) <= i]:
            alive.pop(name, None)
    return peak if known else None
