"""The nodes and constants of an ONNX graph, as they grow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Operator
from hwnas.exporter.model_file.constants import Constants, fits_float16
from hwnas.exporter.model_file.format import Weights


class OnnxModel:
    """A graph that grows by one constant or node at a time.

    Args:
        onnx: The package, which is optional.
        weights: How weights are stored. ``float16`` halves the file; the runtime computes in float32 all the same.
        float32_layers: Layers whose weights are stored as float32 in any case.
    """

    def __init__(self, onnx: Any, weights: Weights = "float32", float32_layers: Collection[str] = ()) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx
        self._weights = weights
        self._float32_layers = float32_layers
        self._stored: Constants[str] = Constants()
        self._cast: dict[str, str] = {}

    def constant(self, name: str, values: NDArray[Any] | Sequence[int]) -> str:
        """Name of a constant, float32, or int64 where whole numbers are given. Equal ones are stored once."""
        array = np.asarray(values)
        array = np.ascontiguousarray(array, array.dtype if array.dtype.kind == "f" else np.int64)
        stored = self._stored.find(array)
        if stored is None:
            stored = self._stored.add(array, name)
            self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return stored

    def scalar(self, name: str, value: float) -> str:
        """Name of a float32 constant without dimensions."""
        return self.constant(name, np.array(value, np.float32))

    def weight(self, layer: str, array: NDArray[Any]) -> str:
        """Name of a layer's float32 weight, which is stored in the number format of the file's weights."""
        name = f"{layer}.weight"
        if self._weights == "float32" or layer in self._float32_layers or not fits_float16(array):
            return self.constant(name, array)
        stored = self.constant(f"{name}.float16", array.astype(np.float16))
        if stored not in self._cast:
            self._cast[stored] = name
            self.add("Cast", name, [stored], name, to=self._onnx.TensorProto.FLOAT)
        return self._cast[stored]

    def node(self, op_type: str, operator: Operator, inputs: Sequence[str], **attributes: Any) -> None:
        """Add a node that writes the operator's output, with a second one for its activation if one is fused."""
        fused = operator.kind != "activation" and operator.activation is not None
        result = f"{operator.name}.linear" if fused else operator.output.name
        self.add(op_type, operator.name, inputs, result, **attributes)
        if fused and operator.activation == "relu":
            self.add("Relu", f"{operator.name}.relu", [result], operator.output.name)
        elif fused:
            self.clip_to_6(f"{operator.name}.{operator.activation}", result, operator.output.name)

    def clip_to_6(self, name: str, source: str, output: str) -> None:
        """Add ReLU6."""
        limits = [self.scalar(f"{name}.min", 0), self.scalar(f"{name}.max", 6)]
        self.add("Clip", name, [source, *limits], output)

    def add(self, op_type: str, name: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add one node."""
        self.nodes.append(self._onnx.helper.make_node(op_type, list(inputs), [output], name, **attributes))
