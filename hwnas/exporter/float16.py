"""float16: the layers whose weights must stay float32 for a file to compute what PyTorch does, to the limit.

Rounding a weight to 11 bits changes it by 2.4e-4 on average. Most networks pass that on as it is; some, deep and with
large scales in their batch norms, magnify it a hundred times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from hwnas.exporter.graph.graph import Graph
from hwnas.exporter.sensitivity import LayerNoise, fewest_in_float

SMALLEST_ERROR = 1e-12


def layers_in_float32(
    graph: Graph, error: Callable[[Collection[str]], float], exact_enough: Callable[[Collection[str]], bool]
) -> tuple[str, ...]:
    """The fewest layers, of those that stray most when they alone are rounded, that make the whole exact enough.

    Args:
        graph: The network.
        error: Names of layers that stay float32 -> relative error of the file on one input.
        exact_enough: The same -> whether the file passes every comparison; it does not with none of them.
    """
    names = [operator.name for operator in graph.operators if operator.weight is not None]
    errors = {name: error([other for other in names if other != name]) for name in names}
    noise = [LayerNoise(name, -20 * math.log10(max(error, SMALLEST_ERROR))) for name, error in errors.items()]
    return tuple(fewest_in_float(sorted(noise, key=lambda entry: entry.signal_to_noise_db), exact_enough))
