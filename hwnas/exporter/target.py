"""The target of an export: the network with the ends that its files shall have, in PyTorch and as Graphs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import HwnasError, UsageError
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

    @property
    def gives_probabilities(self) -> bool:
        """Whether the network ends in a softmax, its own or one that was wanted."""
        last = self.graph.operators[-1] if self.graph.operators else None
        return last is not None and last.kind == "softmax" and last.output == self.graph.output

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
        try:
            return self._expected(inputs, _IMAGES_AT_ONCE)
        except (HwnasError, UsageError):  # the network may be for as many as the file takes alone
            return self._expected(inputs, self.graph.input.shape[0])

    def _expected(self, inputs: NDArray[np.float32], at_once: int) -> NDArray[np.float32]:
        found = []
        for start in range(0, len(inputs), at_once):
            chunk = inputs[start : start + at_once]
            filled = np.concatenate([chunk, np.repeat(chunk[:1], at_once - len(chunk), axis=0)])
            found.append(outputs_of(self.module, filled)[: len(chunk)])
        return np.concatenate(found)


def _free_name(graph: Graph, name: str) -> str:
    """The name, or a longer one where a tensor or an operator of the graph has it."""
    taken = {graph.input.name} | {
        each for operator in graph.operators for each in (operator.name, operator.output.name)
    }
    while name in taken:
        name += "_"
    return name


def with_softmax(graph: Graph) -> Graph:
    """The network with its logits made into probabilities. Raises UsageError unless its output is (N, classes)."""
    if len(graph.output.shape) != 2:
        raise UsageError(
            f"probabilities are made of one logit per class, (N, classes); this network's output is "
            f"{graph.output.shape}. Leave softmax out."
        )
    logits = Tensor(_free_name(graph, "logits"), graph.output.shape)
    operators = tuple(
        replace(
            operator,
            inputs=tuple(logits if tensor == graph.output else tensor for tensor in operator.inputs),
            output=logits if operator.output == graph.output else operator.output,
        )
        for operator in graph.operators
    )
    softmax = Operator("softmax", _free_name(graph, "softmax"), (logits,), graph.output)
    return replace(graph, operators=(*operators, softmax))
