"""Which layers int8 or float16 hurts, and which of them to keep in float until the network is accurate enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import UsageError
from hwnas.exporter.graph.graph import Graph, Operator
from hwnas.exporter.model_file.quantizer import Quantizer

_WEIGHTED = ("conv", "depthwise_conv", "linear")
SMALLEST_ERROR = 1e-12

_ALWAYS_FLOAT = ("softmax", "log_softmax")


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or linear layer, and what follows it up to the next one; named by its path in the network."""

    name: str
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class LayerNoise:
    """The noise in the network's output when this layer alone is int8: signal over noise, in dB; small is bad."""

    layer: str
    signal_to_noise_db: float


def layers(graph: Graph) -> list[Layer]:
    """The operators of a network by layers; what comes before the first one belongs to it."""
    groups: list[list[Operator]] = [[]]
    weighted_before = False
    for operator in graph.operators:
        weighted = operator.kind in _WEIGHTED
        if weighted and weighted_before:
            groups.append([])
        weighted_before |= weighted
        groups[-1].append(operator)
    names = [next((op.name for op in group if op.kind in _WEIGHTED), group[0].name) for group in groups]
    return [Layer(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def never_int8(graph: Graph) -> tuple[Operator, ...]:
    """Operators that 8 bits cannot do: probabilities near 0 and 1 need more."""
    return tuple(operator for operator in graph.operators if operator.kind in _ALWAYS_FLOAT)


def named_layers(graph: Graph, names: Collection[str]) -> list[Layer]:
    """The layers with these names, or below them: ``blocks.3`` is all of block 3. Raises UsageError for others."""
    known = layers(graph)
    for name in names:
        if not any(_is_below(layer.name, name) for layer in known):
            raise UsageError(f"no layer {name!r} to keep in float; the layers are {', '.join(x.name for x in known)}.")
    return [layer for layer in known if any(_is_below(layer.name, name) for name in names)]


def operators_of(chosen: Sequence[Layer]) -> tuple[Operator, ...]:
    """All operators of these layers."""
    return tuple(operator for layer in chosen for operator in layer.operators)


def signal_to_noise_db(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """``10 log10(|expected|^2 / |actual - expected|^2)``, from -200 (what is not a number) to 200: float32 has 150."""
    noise = float(np.square(actual.astype(np.float64) - expected).sum())
    if not math.isfinite(noise):
        return -200.0
    signal = float(np.square(expected.astype(np.float64)).sum())
    if noise == 0 or signal == 0:
        return 200.0 if noise == 0 else -200.0
    return max(-200.0, min(200.0, 10 * math.log10(signal / noise)))


def layer_noise(
    graph: Graph,
    quantizer: Quantizer,
    outputs: Callable[[bytes], NDArray[np.float32]],
    expected: NDArray[np.float32],
    progress: Callable[[int, int], None],
) -> list[LayerNoise]:
    """Every layer, from the one that int8 hurts most to the one it hurts least.

    One layer at a time is int8 and all others float, so that a layer is not blamed for noise from before it.

    Args:
        graph: The Graph of the quantizer's float file.
        quantizer: Makes the files.
        outputs: File -> the network's outputs on some images.
        expected: PyTorch's outputs on them.
        progress: Told how many layers of how many are done.
    """
    known, noise = layers(graph), []
    for done, layer in enumerate(known):
        progress(done, len(known))
        others = operators_of([other for other in known if other is not layer])
        ratio = signal_to_noise_db(expected, outputs(quantizer.quantized((*others, *never_int8(graph)))))
        noise.append(LayerNoise(layer.name, ratio))
    progress(len(known), len(known))
    return sorted(noise, key=lambda entry: entry.signal_to_noise_db)


def fewest_in_float(noise: Sequence[LayerNoise], is_accurate: Callable[[Sequence[str]], bool]) -> list[str]:
    """The fewest of the worst layers that must stay in float for `is_accurate` to say yes; all if it never does.

    Their number is doubled until it is enough, and then halved in on: a network of 50 layers is evaluated ten times.
    """
    worst = [entry.layer for entry in noise]
    enough, too_few = 1, 0
    while enough < len(worst) and not is_accurate(worst[:enough]):
        too_few, enough = enough, min(2 * enough, len(worst))
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if is_accurate(worst[:middle]) else (enough, middle)
    return worst[:enough]


def layers_in_float32(
    graph: Graph, error: Callable[[Collection[str]], float], exact_enough: Callable[[Collection[str]], bool]
) -> tuple[str, ...]:
    """The fewest layers that must keep float32 weights in a float16 file, of those that stray most when rounded alone.

    Rounding a weight to 11 bits changes it by 2.4e-4 on average. Most networks pass that on as it is; some, deep and
    with large scales in their batch norms, magnify it a hundred times.

    Args:
        graph: The network.
        error: Names of layers that stay float32 -> relative error of the file on one input.
        exact_enough: The same -> whether the file passes every comparison; it does not with none of them.
    """
    names = [operator.name for operator in graph.operators if operator.weight is not None]
    errors = {name: error([other for other in names if other != name]) for name in names}
    noise = [LayerNoise(name, -20 * math.log10(max(error, SMALLEST_ERROR))) for name, error in errors.items()]
    return tuple(fewest_in_float(sorted(noise, key=lambda entry: entry.signal_to_noise_db), exact_enough))


def _is_below(layer: str, name: str) -> bool:
    return layer == name or layer.startswith(f"{name}.")
