"""Graph: a network as the short list of primitive operators that a runtime executes.

Batch norms are folded into the weights and activations are fused into the operator before them, so one Operator is one
kernel of a runtime. Nothing here is bound to a file format or a memory layout: shapes are NCHW, convolution weights
(out, in, height, width). The writers turn a Graph into a file; the latency predictor reads its features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "conv",
    "depthwise_conv",
    "linear",
    "add",
    "subtract",
    "multiply",
    "activation",
    "prelu",
    "softmax",
    "log_softmax",
    "average_pool",
    "max_pool",
    "global_average_pool",
    "channel_max",
    "concat",
    "slice",
    "gather",
    "channel_shuffle",
    "pad",
    "resize_nearest",
    "resize_bilinear",
    "flatten",
    "unflatten",
    "affine",  # only until it is folded: a finished Graph has none
]
FusedActivation = Literal["relu", "relu6"]
Activation = Literal[
    FusedActivation,
    "hard_swish",
    "hard_sigmoid",
    "silu",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
    "leaky_relu",
    "elu",
]
FloatArray = NDArray[np.floating[Any]]
Padding = tuple[tuple[int, int], tuple[int, int]]

FLOAT32_BYTES = 4

NAME_SHOWN = 50
"""Characters of a name that a repr shows at most."""


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

    Shapes are NCHW throughout. A multiplication, say, has two inputs, or one and a `constant`. Operands broadcast as in
    PyTorch; the output has the larger shape.

    Args:
        kind: The operation. Fields that a kind does not use keep their defaults.
        name: Path of the layer, as in ``module.named_modules()``; unique within a Graph.
        inputs: The tensors that it reads.
        output: The tensor that it writes.
        weight: float32 (out, in / groups, height, width) for convolutions, (out, in) for a linear layer. An affine has
            its scale here, (C,), in float64.
        bias: float32 (out,), present wherever there is a weight. The shift of an affine.
        stride: Step of the window (vertical, horizontal).
        padding: Rows and columns added around the image, ((top, bottom), (left, right)): zeros for a convolution,
            `value` for a pad; a pooling leaves them out of its maximum or average.
        channel_padding: Channels that a pad adds before and after those of the image.
        activation: Applied to the result before it is written, or all that an operator of that kind does.
        dilation: Step between the pixels under the window (vertical, horizontal).
        window: Height and width of what a pooling pools.
        constant: float32 second operand of add, subtract and multiply, of the rank of the input or a scalar (); slopes
            (C,) of a prelu.
        groups: Groups of a channel shuffle; those of a convolution are in the shape of its weight.
        begin: First index of a slice on each axis; its size is the output's.
        indices: For each axis, which places a gather takes, in which order; None takes all.
        value: Slope of a leaky ReLU, alpha of an ELU, what a pad fills with.
        align_corners: Whether a resize keeps the centres of the corner pixels in place, instead of the corners.
    """

    kind: Kind
    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    weight: FloatArray | None = None
    bias: FloatArray | None = None
    stride: tuple[int, int] = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    channel_padding: tuple[int, int] = (0, 0)
    activation: Activation | None = None
    dilation: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)
    constant: FloatArray | None = None
    groups: int = 1
    begin: tuple[int, ...] = ()
    indices: tuple[tuple[int, ...] | None, ...] = ()
    value: float = 0.0
    align_corners: bool = False

    def __repr__(self) -> str:
        name = self.name if len(self.name) <= NAME_SHOWN else f"{self.name[:NAME_SHOWN]}..."
        fused = f", {self.activation}" if self.activation else ""
        return f"Operator({name}: {self.kind}{fused} -> {self.output.shape})"

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the window: (1, 1) for an operator that looks at one pixel at a time."""
        if self.weight is None or self.weight.ndim != 4:
            return self.window
        return (self.weight.shape[2], self.weight.shape[3])

    @property
    def convolution_groups(self) -> int:
        """How many separate convolutions a convolution is: 1 if dense, its input channels if depthwise."""
        assert self.weight is not None
        return self.inputs[0].shape[1] // self.weight.shape[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolution or linear layer (all that works on single values is free)."""
        if self.weight is None or self.kind == "affine":
            return 0
        batch, _channels, *pixels = self.output.shape
        return batch * self.weight.size * math.prod(pixels)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the feature maps that it reads and writes."""
        return sum(tensor.bytes for tensor in self.inputs) + self.output.bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weight, bias and constant."""
        arrays = (self.weight, self.bias, self.constant)
        return FLOAT32_BYTES * sum(array.size for array in arrays if array is not None)


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in an order in which they can run, with the one input and the one output of the network."""

    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor

    def __repr__(self) -> str:
        macs = f"{self.macs / 1e6:,.2f} M MACs"
        return f"Graph({len(self.operators)} operators, {self.input.shape} -> {self.output.shape}, {macs})"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all operators, for the whole batch."""
        return sum(operator.macs for operator in self.operators)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights and biases."""
        return sum(operator.weight_bytes for operator in self.operators)
