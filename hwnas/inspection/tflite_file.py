"""Reads a .tflite: a FileNetwork, its ends and its signatures, through the schema that ``ai-edge-litert`` ships.

Weights are never copied: only their sizes are looked at. Whatever the file claims, nothing is allocated by its claims.
"""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from hwnas.errors import HwnasError
from hwnas.inspection.info import EndInfo, MetadataInfo
from hwnas.inspection.network import FileNetwork, FileOperator, FileTensor, Shape, checked_shape, printable
from hwnas.inspection.reading import FileContent, layout_of
from hwnas.inspection.tflite_metadata import read_metadata

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
"""Operators whose second input is a weight of four dimensions with (height, width) in the middle."""


def read_tflite(data: bytes) -> FileContent:
    """The content of a .tflite. Raises any exception for a damaged file: the caller explains it to people."""
    model = schema.Model.GetRootAs(data, 0)
    graphs = model.SubgraphsLength()
    if graphs < 1:
        raise HwnasError("it holds no network")
    graph = model.Subgraphs(0)
    names = [str(index) for index in range(graph.TensorsLength())]
    tensors = {name: _tensor(model, graph.Tensors(int(name)), len(data)) for name in names}
    operators = tuple(_operator(model, graph, i, tensors) for i in range(graph.OperatorsLength()))
    inputs, outputs = (tuple(_indices(ends)) for ends in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
    network = FileNetwork(tensors, operators, inputs, outputs)
    found = read_metadata(model, data)
    warnings = []
    if graphs > 1:
        warnings.append(
            f"It holds {graphs - 1} further subgraphs (branches, loops or signatures): they are not counted."
        )
    return FileContent(
        version=str(model.Version()),
        network=network,
        inputs=tuple(_end(graph, name, network) for name in inputs),
        outputs=tuple(_end(graph, name, network) for name in outputs),
        metadata=MetadataInfo(
            found.entries, _signatures(model), found.labels, found.mean, found.std, found.preprocessing
        ),
        warnings=warnings,
    )


def _tensor(model: Any, tensor: Any, file_bytes: int) -> FileTensor:
    name = printable(tensor.Name())
    shape = (
        None if tensor.ShapeIsNone() and not tensor.HasRank() else checked_shape(_numbers(tensor.ShapeAsNumpy()), name)
    )
    buffer = model.Buffers(tensor.Buffer()) if 0 < tensor.Buffer() < model.BuffersLength() else None
    # a file of more than 2 GB keeps its weights behind the flatbuffer, at an offset
    size = 0 if buffer is None else max(buffer.DataLength(), buffer.Size())
    if size > file_bytes:
        raise HwnasError(f"its tensor {name} claims {size} bytes of data, the file has {file_bytes}")
    quantisation = tensor.Quantization()
    scales = [] if quantisation is None else _numbers(quantisation.ScaleAsNumpy())
    zero_points = [] if quantisation is None else _numbers(quantisation.ZeroPointAsNumpy())
    return FileTensor(
        shape,
        _names(schema.TensorType)[tensor.Type()].lower(),
        size or None,
        float(scales[0]) if scales and isfinite(scales[0]) else None,
        int(zero_points[0]) if zero_points else None,
        _signature(tensor, shape),
    )


def _signature(tensor: Any, shape: Shape | None) -> Shape | None:
    """The shape with -1 where a dimension is free; None where the file says nothing of that, or nonsense."""
    sizes = tuple(int(size) for size in _numbers(tensor.ShapeSignatureAsNumpy()))
    same = shape is not None and len(sizes) == len(shape)
    return sizes if same and all(s in (-1, known) for s, known in zip(sizes, shape or (), strict=False)) else None


def _operator(model: Any, graph: Any, index: int, tensors: dict[str, FileTensor]) -> FileOperator:
    operator = graph.Operators(index)
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    custom = number == schema.BuiltinOperator.CUSTOM
    kind = printable(code.CustomCode()) if custom else _names(schema.BuiltinOperator)[number]
    inputs, outputs = tuple(_indices(operator.InputsAsNumpy())), tuple(_indices(operator.OutputsAsNumpy()))
    weight = tensors.get(inputs[1]) if kind in CONVOLUTIONS and len(inputs) > 1 else None
    return FileOperator(
        kind=kind,
        name=printable(graph.Tensors(int(outputs[0])).Name()) if outputs else "",
        inputs=inputs,
        outputs=outputs,
        parameters=tuple(name for name in inputs if name in tensors and _trainable(tensors[name])),
        kernel=weight.shape[1:3] if weight is not None and weight.shape and len(weight.shape) == 4 else None,
        folds=kind in ("DEQUANTIZE", "DENSIFY"),
        custom=custom,
    )


def _trainable(tensor: FileTensor) -> bool:
    """Not a single number, and no integers without a scale: those are shapes, axes and paddings."""
    return bool(tensor.shape) and ("float" in tensor.dtype or tensor.scale is not None)


def _end(graph: Any, name: str, network: FileNetwork) -> EndInfo:
    tensor, found = graph.Tensors(int(name)), network.tensors[name]
    shape = found.declared or ()
    layout = layout_of(shape, "NHWC")
    return EndInfo(printable(tensor.Name()), shape, found.shape, layout, found.dtype, found.scale, found.zero_point)


def _signatures(model: Any) -> dict[str, dict[str, list[str]]]:
    found = {}
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        found[printable(signature.SignatureKey())] = {
            "inputs": [printable(signature.Inputs(k).Name()) for k in range(signature.InputsLength())],
            "outputs": [printable(signature.Outputs(k).Name()) for k in range(signature.OutputsLength())],
        }
    return found


def _indices(numbers: Any) -> list[str]:
    """Tensor numbers as names; an optional input that is left out, -1, as the empty name."""
    return ["" if number < 0 else str(number) for number in _numbers(numbers)]


def _numbers(found: Any) -> list[Any]:
    """The schema gives 0 where a vector is absent."""
    return [] if isinstance(found, int) else found.tolist()


@cache
def _names(enumeration: Any) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}
