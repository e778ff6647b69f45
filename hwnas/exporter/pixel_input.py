"""Preprocessing inside the network: a Graph that takes pixels as they are, 0..255, instead of normalised ones.

Normalisation is one subtraction and one multiplication per channel. A convolution's weights carry the multiplication
for nothing. The mean is subtracted first: the zeros around a padded image then stand for its mean, as in training, and
not for black; and what rounding changes in a weight is not multiplied by the mean.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import UsageError
from hwnas.exporter.graph.graph import Graph, Operator, Tensor
from hwnas.preprocessing import Preprocessing

_CONVOLUTIONS = ("conv", "depthwise_conv")


class FromPixels(nn.Module):
    """A network of pixels, 0..255, in PyTorch: the reference for a Graph of `from_pixels`."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        # in float64: the reference must be more exact than what is held against it
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        outputs: torch.Tensor = self.network(((x.double() / 255 - self.mean) / self.std).to(dtype))
        return outputs


def from_pixels(graph: Graph, preprocessing: Preprocessing) -> Graph:
    """The same network, of an input (N, C, H, W) of pixels in 0..255.

    Raises UsageError if the input is no image of as many channels as the preprocessing is for.
    """
    shape = graph.input.shape
    if len(shape) != 4 or shape[1] != len(preprocessing.mean):
        raise UsageError(
            f"pixels can be the input where it is an image of {len(preprocessing.mean)} channels, as the normalisation "
            f"has; this network's input is {shape}. Leave the pixel input out, or give one mean and deviation each."
        )
    mean = 255 * np.array(preprocessing.mean, np.float64)
    scale = 1 / (255 * np.array(preprocessing.std, np.float64))
    readers = [operator for operator in graph.operators if graph.input in operator.inputs]
    if all(operator.kind in _CONVOLUTIONS for operator in readers):
        centred = Tensor("pixels.centred", shape)
        return replace(graph, operators=(_subtract(graph.input, centred, mean), *_folded(graph, centred, scale)))
    centred, normalised = Tensor("pixels.centred", shape), Tensor("pixels.normalised", shape)
    multiply = Operator("multiply", normalised.name, (centred,), normalised, constant=_constant(scale))
    rest = tuple(_reading(operator, graph.input, normalised) for operator in graph.operators)
    return replace(graph, operators=(_subtract(graph.input, centred, mean), multiply, *rest))


def _folded(graph: Graph, source: Tensor, scale: NDArray[np.float64]) -> tuple[Operator, ...]:
    """The operators, their first convolutions reading `source` and carrying ``x * scale`` in their weights."""
    operators = []
    for operator in graph.operators:
        if graph.input in operator.inputs:
            assert operator.weight is not None
            weight = operator.weight * _per_input(operator, scale)
            operator = replace(operator, weight=weight.astype(np.float32))
            operator = _reading(operator, graph.input, source)
        operators.append(operator)
    return tuple(operators)


def _per_input(convolution: Operator, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value per channel of the image, shaped to be multiplied with the weight (out, in / groups, height, width)."""
    assert convolution.weight is not None
    outputs, group_inputs = convolution.weight.shape[:2]
    groups = convolution.convolution_groups
    return np.repeat(values.reshape(groups, group_inputs), outputs // groups, axis=0)[:, :, None, None]


def _subtract(source: Tensor, target: Tensor, mean: NDArray[np.float64]) -> Operator:
    return Operator("subtract", target.name, (source,), target, constant=_constant(mean))


def _constant(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.reshape(1, -1, 1, 1).astype(np.float32)


def _reading(operator: Operator, old: Tensor, new: Tensor) -> Operator:
    return replace(operator, inputs=tuple(new if tensor == old else tensor for tensor in operator.inputs))
