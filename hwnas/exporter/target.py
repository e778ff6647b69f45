"""The target of an export: the network with the ends that its files shall have, in PyTorch and as Graphs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import UsageError
from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.graph import Graph, Operator, Tensor
from hwnas.exporter.graph.pytorch import outputs_of
from hwnas.exporter.pixel_input import FromPixels, from_pixels
from hwnas.preprocessing import Preprocessing

_IMAGES_AT_ONCE = 16


class Target:
    """The network that every file of an export computes.

    Args:
        module: The network on the CPU, in float32 and evaluation mode.
        graph: The Graph of the module.
        preprocessing: How it was trained to see pixels; None: unknown.
        uint8_input: Whether its files take pixels as they are.
        softmax: Whether its files give probabilities instead of logits.

    Raises UsageError if its input or output cannot be made into these.
    """

    def __init__(
        self, module: nn.Module, graph: Graph, preprocessing: Preprocessing | None, uint8_input: bool, softmax: bool
    ) -> None:
        self.preprocessing, self.uint8_input = preprocessing, uint8_input
        self.module = module
        if uint8_input:
            if preprocessing is None:
                raise UsageError(
                    "a file that takes pixels needs to know how the network was trained to see them; give images "
                    "(--data), whose mean and deviation say it, or leave the uint8 input out."
                )
            graph, self.module = from_pixels(graph, preprocessing), FromPixels(self.module, preprocessing)
        if softmax:
            graph, self.module = with_softmax(graph), nn.Sequential(OrderedDict(net=self.module, softmax=nn.Softmax(1)))
        self.graph = graph
        self.int8_graph = decompose(graph)

    def prepared(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The float32 input of a session for pixels (N, C, H, W) uint8, of the same shape."""
        if self.uint8_input:
            return pixels.astype(np.float32)
        assert self.preprocessing is not None
        return self.preprocessing.normalised(pixels)

    def random_input(self) -> NDArray[np.float32]:
        """float32 of the input's shape: pixels, or standard normal; the same in every call."""
        random = np.random.default_rng(0)
        if self.uint8_input:
            return random.integers(0, 256, self.graph.input.shape).astype(np.float32)
        return random.standard_normal(self.graph.input.shape, dtype=np.float32)

    def expected(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """PyTorch's outputs for the inputs of a session, any number of images."""
        chunks = (inputs[start : start + _IMAGES_AT_ONCE] for start in range(0, len(inputs), _IMAGES_AT_ONCE))
        return np.concatenate([outputs_of(self.module, chunk) for chunk in chunks])


def with_softmax(graph: Graph) -> Graph:
    """The network with its logits made into probabilities. Raises UsageError unless its output is (N, classes)."""
    if len(graph.output.shape) != 2:
        raise UsageError(
            f"probabilities are made of one logit per class, (N, classes); this network's output is "
            f"{graph.output.shape}. Leave softmax out."
        )
    logits = Tensor("logits", graph.output.shape)
    operators = tuple(
        replace(
            operator,
            inputs=tuple(logits if tensor == graph.output else tensor for tensor in operator.inputs),
            output=logits if operator.output == graph.output else operator.output,
        )
        for operator in graph.operators
    )
    softmax = Operator("softmax", "softmax", (logits,), graph.output)
    return replace(graph, operators=(*operators, softmax))
