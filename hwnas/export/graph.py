"""Graph: a network as the short list of primitive operators that a runtime executes.

Batch norms are folded into the weights and activations are fused into the operator before them, so one Operator is one
kernel of a runtime. Nothing here is bound to a file format or a memory layout: shapes are NCHW, convolution weights
(out, in, height, width). The writers turn a Graph into a file; the latency predictor reads its features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal[
    "conv",
    "depthwise_conv",
    "linear",
    "add",
    "activation",
    "global_average_pool",
    "flatten",
    "batch_norm",  # only until it is folded: a finished Graph has none
]
Activation = Literal["relu", "relu6"]

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Tensor:
    """A float32 value that flows between operators: a unique name, and a shape (N, C, H, W) or (N, features)."""

    name: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return FLOAT32_BYTES * math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Operator:
    """One primitive operation, named by the path of the layer that it came from.

    Args:
        kind: What it computes. Fields that a kind does not use keep their defaults.
        name: Path of the layer, as in ``module.named_modules()``; unique within a Graph.
        inputs: What it reads; two tensors for an addition, one otherwise.
        output: What it writes.
        weight: float32 (out, in / groups, height, width) for convolutions, (out, in) for a linear layer.
        bias: float32 (out,), present wherever there is a weight.
        stride: Step of the window (vertical, horizontal).
        padding: Zeros on each side (top and bottom, left and right).
        activation: Applied to the result, before it is written.
    """

    kind: Kind
    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    activation: Activation | None = None

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the window: (1, 1) for an operator that looks at one pixel at a time."""
        if self.weight is None or self.weight.ndim != 4:
            return (1, 1)
        return (self.weight.shape[2], self.weight.shape[3])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolution or linear layer (bias, activation and addition are free)."""
        if self.weight is None:
            return 0
        batch, _channels, *pixels = self.output.shape
        return batch * self.weight.size * math.prod(pixels)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the feature maps that it reads and writes."""
        return sum(tensor.bytes for tensor in self.inputs) + self.output.bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weight and bias."""
        return FLOAT32_BYTES * sum(array.size for array in (self.weight, self.bias) if array is not None)


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in an order in which they can run, with the one input and the one output of the network."""

    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all operators, for the whole batch."""
        return sum(operator.macs for operator in self.operators)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights and biases."""
        return sum(operator.weight_bytes for operator in self.operators)
