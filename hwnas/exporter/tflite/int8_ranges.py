"""Ranges of activations that an int8 .tflite can be made of: none so narrow that no kernel takes it.

An activation that was the same on every image, such as the zeros of a dead layer, has a range of nothing. Quantisers
give it steps of 1e-12, and a layer that makes it from steps of 1e-3 has to multiply by more than kernels can: XNNPACK
does not load the file, TFLite's own addition ends the process. What is finer than the inputs of an operator can show is
noise, so that wider ranges lose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from hwnas.exporter.model_file.int8_layers import LARGEST_BIAS
from hwnas.exporter.tflite.file import stored_values

Codes = schema.BuiltinOperator
Ranges = dict[str, dict[str, NDArray[np.float32]]]

STEPS, WEIGHT_STEPS = 255, 127
"""How many steps the range of an activation is divided into, and the largest weight."""

NARROWEST = 1e-9
"""The narrowest range that the quantiser makes steps of."""

FINER = 128
"""How many times finer than those of its inputs the steps of an output may be; XNNPACK takes less than 256."""

_WEIGHTED = (Codes.CONV_2D, Codes.DEPTHWISE_CONV_2D, Codes.FULLY_CONNECTED)
_SAME_STEPS = (
    Codes.AVERAGE_POOL_2D,
    Codes.DEPTH_TO_SPACE,
    Codes.MAX_POOL_2D,
    Codes.PAD,
    Codes.RESHAPE,
    Codes.RESIZE_BILINEAR,
    Codes.RESIZE_NEAREST_NEIGHBOR,
    Codes.SLICE,
    Codes.TRANSPOSE,
)
"""Operators whose output has the steps of their input, whatever its range is."""


def without_fillings(ranges: Mapping[str, Any], file: Any) -> Ranges:
    """`ranges`, in which what is padded for a maximum has the range of what it is made of, and so has the filling.

    That is the lowest number there is: no steps could hold it and the values, too. Rounded, it is the lowest of the
    values' steps, which does as well. Arguments as of `widened`.
    """
    found: Ranges = {name: dict(each) for name, each in ranges.items()}
    graph = file.subgraphs[0]
    for operator in filter(lambda each: _pads_for_a_maximum(file, each), graph.operators):
        image, _, filling = (graph.tensors[index].name.decode() for index in operator.inputs)
        for name in (filling, graph.tensors[operator.outputs[0]].name.decode()):
            if image in found and name in found:
                found[name] = dict(found[image])
    return found


def widened(ranges: Mapping[str, Any], file: Any) -> Ranges:
    """`ranges` of the activations of a float .tflite, by name, with those that are too narrow made wider.

    Args:
        ranges: ``min`` and ``max`` of each; not changed.
        file: The schema's ``ModelT``.
    """
    wide: Ranges = {name: dict(found) for name, found in ranges.items()}
    steps = {name: _step_of(found) for name, found in wide.items()}
    least: dict[str, float] = {}
    graph = file.subgraphs[0]
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]].name.decode()
        inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
        names = [tensor.name.decode() for tensor in inputs]
        if output not in wide:
            continue
        code = file.operatorCodes[operator.opcodeIndex].builtinCode
        if code in _SAME_STEPS or _pads_for_a_maximum(file, operator):
            steps[output], least[output] = steps.get(names[0], 0.0), least.get(names[0], 0.0)
            continue
        if code == Codes.CONCATENATION:  # its inputs get its steps
            least[output] = max(least.get(name, 0.0) for name in names)
        else:
            found = [
                steps[name] if name in steps else _constant_step(file, tensor)
                for name, tensor in zip(names, inputs, strict=True)
            ]
            least[output] = _finest_step(code, found, inputs, file)
        low, high = wide[output]["min"], wide[output]["max"]
        wide[output]["max"] = np.maximum(high, np.minimum(low, 0) + STEPS * least[output]).astype(high.dtype)
        steps[output] = _step_of(wide[output])
    return wide


def _pads_for_a_maximum(file: Any, operator: Any) -> bool:
    """Whether it puts the lowest number there is around an image, not a value that the network has."""
    if file.operatorCodes[operator.opcodeIndex].builtinCode != Codes.PADV2:
        return False
    filling = stored_values(file, file.subgraphs[0].tensors[operator.inputs[2]])
    return bool(filling.min() <= np.finfo(np.float32).min)


def _finest_step(code: int, steps: list[float], inputs: list[Any], file: Any) -> float:
    """The smallest step that the output of an operator can do with, by the steps of its inputs."""
    if code in _WEIGHTED:
        bias = stored_values(file, inputs[2]) if len(inputs) > 2 else np.zeros(1)
        return max(steps[0] * steps[1], float(np.abs(bias).max(initial=0)) / LARGEST_BIAS) / FINER
    return (steps[0] * steps[1] if code == Codes.MUL else max(steps)) / FINER


def _step_of(found: dict[str, NDArray[np.float32]]) -> float:
    """The step that the quantiser gives an activation."""
    low, high = float(found["min"].min()), float(found["max"].max())
    return max(max(high, 0.0) - min(low, 0.0), NARROWEST) / STEPS


def _constant_step(file: Any, tensor: Any) -> float:
    """The step that the quantiser gives a constant, at most; 0 for whole numbers, which are settings."""
    if tensor.type != schema.TensorType.FLOAT32:
        return 0.0
    return float(np.abs(stored_values(file, tensor)).max(initial=NARROWEST)) / WEIGHT_STEPS
