"""Reads an .onnx: a FileNetwork with inferred shapes, its ends and its properties.

Weights beside the model (``external data``) are not read, only their sizes; a path out of its folder is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.inspection.external_data import check_external_data
from hwnas.inspection.info import EndInfo, MetadataInfo
from hwnas.inspection.metadata_fields import OnnxProperty
from hwnas.inspection.network import BITS, FileNetwork, FileOperator, FileTensor, Shape, checked_shape, printable
from hwnas.inspection.reading import FileContent, finite, layout_of
from hwnas.preprocessing import Preprocessing

SMALL_BYTES = 4096
"""Constants up to this size are kept for shape inference: shapes, axes, paddings. Weights are only in the way there."""

QUANTISERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
WITH_SETTINGS = (*QUANTISERS, "Clip", "Pad", "Resize", "Upsample")
"""Operators of which only the first input is data; the others are scales, zero points, bounds and sizes."""
STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
UNKNOWN = FileTensor(None, "unknown")
NAMES_OF_TYPES = {"float": "float32", "double": "float64"}


def read_onnx(data: bytes, folder: Path) -> FileContent:
    """The content of an .onnx that lies in `folder`.

    Raises HwnasError for weights outside the folder and a missing package; any exception for a damaged file: the
    caller explains it to people.
    """
    onnx = _onnx()
    model = onnx.ModelProto.FromString(data)
    check_external_data(model, folder)
    if model.functions:
        with suppress(Exception):  # its errors have no common base; operators that stay are said not to be counted
            model = import_module("onnx.inliner").inline_local_functions(model)
    graph = model.graph
    if not graph.node or not graph.output:
        raise HwnasError("it holds no network")
    constants = {tensor.name: _constant(onnx, tensor) for tensor in graph.initializer}
    constants |= {
        node.output[0]: _constant(onnx, attribute.t)
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    tensors, warnings = _with_shapes(onnx, model), []
    for node in graph.node:
        for name in (*node.input, *node.output):
            tensors.setdefault(name, UNKNOWN)
    tensors |= constants
    inputs, outputs = _ends(onnx, graph, tensors)
    operators = tuple(_operator(node, tensors) for node in graph.node if node.op_type != "Constant")
    network = FileNetwork(
        tensors,
        operators,
        tuple(end.name for end in graph.input if end.name not in constants),
        tuple(end.name for end in graph.output),
    )
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        warnings.append("It has branches or loops: the operators inside them are not counted.")
    return FileContent(f"IR {model.ir_version}", network, inputs, outputs, _metadata(model), warnings)


def check_external_data_of(model: Path) -> None:
    """`check_external_data` of an .onnx file; one that cannot be parsed, and so not be checked, is refused."""
    data = model.read_bytes()
    if b"location" not in data:  # the word that such a reference must have: nearly no file does
        return
    onnx = _onnx()
    try:
        content = onnx.ModelProto.FromString(data)
    except Exception as error:  # its errors have no common base below Exception
        raise HwnasError(
            f"{model} cannot be measured: it is a damaged .onnx file ({error}). Export it again."
        ) from None
    try:
        check_external_data(content, model.parent)
    except HwnasError as error:
        raise HwnasError(f"{model} cannot be measured: {error}.") from None


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise HwnasError(
            f"reading .onnx needs the package onnx, which cannot be imported ({error}); "
            "install it with `pip install 'hwnas[onnx]'`."
        ) from None
    return onnx


def _with_shapes(onnx: Any, model: Any) -> dict[str, FileTensor]:
    """Shape and type of every tensor that inference finds, with 1 for each free dimension of the inputs."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > SMALL_BYTES:
            tensor.ClearField("raw_data")
    for end in light.graph.input:
        for size in end.type.tensor_type.shape.dim:
            if not _is_fixed(size):
                size.dim_value = 1
    with suppress(onnx.shape_inference.InferenceError):  # what the file itself says of shapes is left
        light = onnx.shape_inference.infer_shapes(light, data_prop=True)
    known = (*light.graph.value_info, *light.graph.input, *light.graph.output)
    return {info.name: _described(onnx, info) for info in known if info.type.HasField("tensor_type")}


def _described(onnx: Any, info: Any) -> FileTensor:
    kind = info.type.tensor_type
    sizes = [size.dim_value if _is_fixed(size) else None for size in kind.shape.dim]
    known = kind.HasField("shape") and None not in sizes
    return FileTensor(checked_shape([s or 0 for s in sizes], info.name) if known else None, _type(onnx, kind.elem_type))


def _type(onnx: Any, number: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(number).lower()
    return NAMES_OF_TYPES.get(name, name)


def _constant(onnx: Any, tensor: Any) -> FileTensor:
    shape, dtype = checked_shape(tensor.dims, tensor.name), _type(onnx, tensor.data_type)
    # the size by the shape: it is also that of weights which lie in another file
    return FileTensor(shape, dtype, (prod(shape) * BITS.get(dtype, 0) + 7) // 8)


def _operator(node: Any, tensors: dict[str, FileTensor]) -> FileOperator:
    custom = node.domain not in STANDARD_DOMAINS
    kind = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    weight = tensors[node.input[1]].shape if node.op_type in ("Conv", "ConvTranspose") and len(node.input) > 1 else None
    return FileOperator(
        kind=printable(kind),
        name=printable(node.name or (node.output[0] if node.output else "")),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        parameters=tuple(_parameters(node, tensors)),
        kernel=_kernel(weight),
        folds=True,
        custom=custom,
    )


def _parameters(node: Any, tensors: dict[str, FileTensor]) -> Iterable[str]:
    """Inputs that may be trained: no single numbers and no settings, and integers only where they are quantised."""
    integers = node.op_type in (*QUANTISERS, "ConvInteger", "MatMulInteger") or node.op_type.startswith("Q")
    if node.op_type in WITH_SETTINGS:
        positions: tuple[int, ...] = (0,)
    elif node.op_type.startswith("Q"):  # each operand is followed by its scale and zero point; the bias comes last
        positions = (0, 3, 6) if node.op_type == "QGemm" else (0, 3, 8)
    else:
        positions = tuple(range(len(node.input)))
    for name in (node.input[i] for i in positions if i < len(node.input)):
        if name and tensors[name].shape and (integers or "float" in tensors[name].dtype):
            yield name


def _kernel(weight: Shape | None) -> Shape | None:
    return weight[2:] if weight and len(weight) == 4 else None


def _ends(onnx: Any, graph: Any, tensors: dict[str, FileTensor]) -> tuple[tuple[EndInfo, ...], tuple[EndInfo, ...]]:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [end for end in graph.input if end.name not in constants]  # before IR 4, constants were listed too
    return (
        tuple(_end(onnx, end, tensors) for end in inputs),
        tuple(_end(onnx, end, tensors) for end in graph.output),
    )


def _end(onnx: Any, end: Any, tensors: dict[str, FileTensor]) -> EndInfo:
    kind = end.type.tensor_type
    shape = tuple(size.dim_value if _is_fixed(size) else printable(size.dim_param) or "?" for size in kind.shape.dim)
    counted, layout = tensors.get(end.name, UNKNOWN).shape, layout_of(shape, "NCHW")
    return EndInfo(printable(end.name), shape, counted, layout, _type(onnx, kind.elem_type), None, None)


def _is_fixed(size: Any) -> bool:
    """Whether a dimension has a size; some exporters write -1 for one that is free."""
    return bool(size.HasField("dim_value") and size.dim_value >= 0)


def _metadata(model: Any) -> MetadataInfo:
    """Opsets, producer and properties; of these, ``labels`` is one per line, ``mean`` and ``std`` are JSON."""
    opsets = {f"opset {o.domain}".strip(): str(o.version) for o in model.opset_import}
    said = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "description": model.doc_string or model.graph.doc_string,
    }
    properties = {entry.key: entry.value for entry in model.metadata_props}
    labels = tuple(printable(label) for label in properties.pop(OnnxProperty.LABELS, "").splitlines())
    mean, std = (_numbers(properties.get(key, "")) for key in (OnnxProperty.MEAN, OnnxProperty.STD))
    preprocessing = Preprocessing.of_text(properties.get(OnnxProperty.PREPROCESSING, ""))
    if preprocessing is not None:
        del properties[OnnxProperty.PREPROCESSING]
    found = opsets | said | properties
    entries = {printable(k): printable(v) for k, v in found.items() if v}
    return MetadataInfo(entries, {}, labels, mean, std, preprocessing)


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a JSON list; none if it is anything else."""
    try:
        return finite(json.loads(text))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return ()
