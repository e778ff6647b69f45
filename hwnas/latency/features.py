"""Features: the work of a runtime for a block, counted on the exported Graph, and how long it nominally takes.

A block's latency follows from what is executed, not from its name: multiply-accumulates by kind of operator, bytes read
and written, weights, a fixed cost per operator. These `costs` add up, over the operators of a block and over the blocks
of a network. `form` describes the block as a whole (sizes on a logarithmic scale), for models that ask which measured
block is like this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwnas.exporter.graph.graph import Graph, Operator, Tensor
from hwnas.latency.arrays import Floats
from hwnas.specs.spec import Shape, Spec

MAC_MS, BYTE_MS, OPERATOR_MS = 1e-7, 1e-7, 3e-3
"""Nominal speeds of a small CPU core, 10 G MACs/s and 10 GB/s, and 3 us to start an operator. A device's own speed is
fitted; these say how the costs compare before anything is measured."""

NOMINAL_MS: dict[str, float] = {
    "macs": MAC_MS,
    "macs_spatial": MAC_MS,
    "macs_grouped": MAC_MS,
    "macs_depthwise": 3 * MAC_MS,
    "macs_depthwise_from_5x5": MAC_MS,
    "macs_depthwise_from_7x7": MAC_MS,
    "macs_strided": MAC_MS,
    "macs_of_padded_channels": MAC_MS,
    "bytes_read": BYTE_MS,
    "bytes_written": BYTE_MS,
    "bytes_convolved": BYTE_MS,
    "bytes_depthwise": BYTE_MS,
    "bytes_element_wise": BYTE_MS,
    "bytes_curved": BYTE_MS,
    "bytes_pooled": BYTE_MS,
    "bytes_moved": BYTE_MS,
    "bytes_beyond_cache": BYTE_MS,
    "bytes_of_weights": BYTE_MS,
    "bytes_of_weights_used_once": BYTE_MS,
    "operators": OPERATOR_MS,
    "operators_element_wise": OPERATOR_MS,
    "operators_on_one_pixel": OPERATOR_MS,
}
"""Every cost, with the ms that one unit nominally takes. The first of each group (MACs, bytes, operators) counts all
operators; the others say how much more or less those of one kind cost."""

COSTS = tuple(NOMINAL_MS)

FORM = (
    "input_channels",
    "input_height",
    "output_per_input_channels",
    "input_per_output_height",
    "widest_per_input_channels",
    "kernel",
    "macs",
    "bytes_element_wise",
    "operators",
)
"""The columns of `Features.form`, each a base 2 logarithm. Ratios: blocks that widen or halve alike are alike."""

CHANNEL_TILE = 8
"""Kernels of XNNPACK and oneDNN compute output channels in tiles; a part of a tile costs as much as all of it."""

CACHE_BYTES = 256 * 1024
"""Typical second-level cache of a small core: the bytes of a feature map beyond it come from further away."""

CONVOLUTIONS = ("conv", "depthwise_conv")
ELEMENT_WISE = ("add", "subtract", "multiply", "activation", "prelu", "softmax", "log_softmax")
POOLS = ("average_pool", "max_pool", "global_average_pool")
CHEAP_ACTIVATIONS = (None, "relu", "relu6", "leaky_relu")


@dataclass(frozen=True, eq=False)
class Features:
    """The work of one block, or of a network.

    Attributes:
        costs: (len(COSTS),), in MACs, bytes and operators; adds up over blocks.
        form: (len(FORM),), logarithms of sizes and ratios.
    """

    costs: Floats
    form: Floats


def graph_features(graph: Graph) -> Features:
    """The features of an exported Graph."""
    costs = np.zeros(len(COSTS))
    for operator in graph.operators:
        for name, amount in operator_costs(operator).items():
            costs[COSTS.index(name)] += amount
    return Features(costs, _form(graph, costs))


@lru_cache(maxsize=100_000)
def block_features(spec: Spec, input_shape: Shape) -> Features:
    """The features of one block on one image of `input_shape` (C, H, W); remembered, since lowering takes 3 ms.

    Raises HwnasError if the block does not take that shape or holds a layer that cannot be exported.
    """
    from hwnas.blocks import build_block
    from hwnas.exporter.graph.lower import lower
    from hwnas.random_state import own_random_state

    with own_random_state():  # the weights of the block are of no interest, the caller's seed is
        return graph_features(lower(build_block(spec), (1, *input_shape)))


def feature_rows(blocks: Sequence[tuple[Spec, Shape]]) -> tuple[Floats, Floats]:
    """Costs (n, len(COSTS)) and forms (n, len(FORM)) of n blocks."""
    rows = [block_features(*block) for block in blocks]
    costs = np.array([row.costs for row in rows]).reshape(-1, len(COSTS))
    return costs, np.array([row.form for row in rows]).reshape(-1, len(FORM))


def operator_costs(operator: Operator) -> dict[str, float]:
    """The amounts that one operator adds to `COSTS`; those it does not add to are left out."""
    read, written = sum(tensor.bytes for tensor in operator.inputs), operator.output.bytes
    largest = max([tensor.bytes for tensor in operator.inputs] + [written])
    one_pixel = math.prod(operator.output.shape[2:]) == 1
    costs: dict[str, float] = {
        "bytes_read": read,
        "bytes_written": written,
        "bytes_beyond_cache": max(0, largest - CACHE_BYTES),
        "bytes_of_weights": operator.weight_bytes,
        "operators": 1,
    }
    if one_pixel:
        costs |= {"bytes_of_weights_used_once": operator.weight_bytes, "operators_on_one_pixel": 1}
    if operator.kind in CONVOLUTIONS or operator.kind == "linear":
        costs |= _mac_costs(operator)
        costs["bytes_depthwise" if operator.kind == "depthwise_conv" else "bytes_convolved"] = read + written
    elif operator.kind in ELEMENT_WISE:
        costs |= {"bytes_element_wise": read + written, "operators_element_wise": 1}
    elif operator.kind in POOLS:
        costs["bytes_pooled"] = read + written
    else:
        costs["bytes_moved"] = read + written
    if operator.activation not in CHEAP_ACTIVATIONS:
        costs["bytes_curved"] = written
    return costs


def _mac_costs(operator: Operator) -> dict[str, float]:
    macs = float(operator.macs)
    costs = {"macs": macs}
    assert operator.weight is not None
    channels = operator.output.shape[1]
    costs["macs_of_padded_channels"] = macs * (-(-channels // CHANNEL_TILE) * CHANNEL_TILE / channels - 1)
    if operator.stride != (1, 1):
        costs["macs_strided"] = macs
    height = operator.kernel[0]
    if operator.kind == "depthwise_conv":
        costs["macs_depthwise"] = macs
        costs["macs_depthwise_from_5x5"] = macs * (height >= 5)
        costs["macs_depthwise_from_7x7"] = macs * (height >= 7)
    elif operator.kind == "conv":
        costs["macs_spatial"] = macs * (operator.kernel != (1, 1))
        costs["macs_grouped"] = macs * (operator.weight.shape[1] < operator.inputs[0].shape[1])
    return costs


def _form(graph: Graph, costs: Floats) -> Floats:
    channels, height = graph.input.shape[1], _height(graph.input)
    tensors = [graph.input, *(operator.output for operator in graph.operators)]
    sizes: dict[str, float] = {
        "input_channels": channels,
        "input_height": height,
        "output_per_input_channels": graph.output.shape[1] / channels,
        "input_per_output_height": height / _height(graph.output),
        "widest_per_input_channels": max(tensor.shape[1] for tensor in tensors) / channels,
        "kernel": max([operator.kernel[0] for operator in graph.operators if operator.weight is not None], default=1),
    }
    # a cost may be 0, a size may not: one more does not show in thousands of MACs
    sizes |= {name: 1 + costs[COSTS.index(name)] for name in FORM if name not in sizes}
    return np.log2([sizes[name] for name in FORM])


def _height(tensor: Tensor) -> int:
    return tensor.shape[2] if len(tensor.shape) == 4 else 1
