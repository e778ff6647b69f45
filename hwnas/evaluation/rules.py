"""What needs no training: a random network within the budget, and simple rules. Every search has to beat them.

On NAS-Bench-Macro "most layers, then most MACs" is among the best 2 % of the networks within most budgets.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within
from hwnas.latency.sampling import UniformWithin
from hwnas.searches.training_free import scorer
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.skip import Skip
from hwnas.supernet.start import largest_candidate
from hwnas.train.data import ImageData

RANDOM = "random"
MOST_WAYS = 20_000
"""Cells that can be decided in more ways are taken for the sum of their edges, also of those that lead nowhere."""

SCORED = 50
"""Networks within the budget that `best_naswot` scores."""

Rule = Callable[[Budget, int, ImageData], Architecture]
"""(budget, seed, images) -> a network within it."""


def at_random(budget: Budget, seed: int, data: ImageData | None = None) -> Architecture:
    """A network drawn uniformly among those within the budget: the baseline of relative improvements.

    None that a search of the same seed draws first: it would be compared with its own network.
    """
    return UniformWithin(budget)(random.Random(f"{RANDOM} {seed}"))


def most_layers(budget: Budget, seed: int = 0, data: ImageData | None = None) -> Architecture:
    """The network within the budget with the most layers that are not the identity; of those, with the most MACs."""
    layers, macs = _gains(budget)
    more_than_all = 1.0 + sum(float(each.max()) for each in macs)
    return best_within(budget, [more_than_all * n + m for n, m in zip(layers, macs, strict=True)])


def most_macs(budget: Budget, seed: int = 0, data: ImageData | None = None) -> Architecture:
    """The network within the budget with the most multiply-accumulates."""
    return best_within(budget, _gains(budget)[1])


def best_naswot(budget: Budget, seed: int, data: ImageData) -> Architecture:
    """Of `SCORED` random networks within the budget, the one with the best training-free score: naswot's."""
    draw, rng = UniformWithin(budget), random.Random(seed)
    networks = list(dict.fromkeys(draw(rng) for _ in range(SCORED)))
    return max(networks, key=naswot_scores(data, seed))


def naswot_scores(data: ImageData, seed: int = 0) -> Callable[[Architecture], float]:
    """The score of networks with random weights, on one batch of the training images."""
    images, labels = next(data.train_batches(epoch=0))
    return scorer("naswot", images, labels, seed)


RULES: dict[str, Rule] = {
    RANDOM: at_random,
    "most-layers": most_layers,
    "most-macs": most_macs,
    "naswot": best_naswot,
}
"""Always in the table of a study."""


def depth(architecture: Architecture) -> int:
    """How many layers are not skipped; of a cell, operators that are executed.

    A skip between different shapes is a convolution, and as little of a layer as one between equal shapes.
    """
    return sum(not spec.is_identity and not isinstance(spec, Skip) for spec, _ in architecture.placed_blocks())


def _gains(budget: Budget) -> tuple[list[Floats], list[Floats]]:
    """What each way to decide a block, or a cell, adds to the layers and to the MACs."""
    _, costs = budget.predictor.decision_costs(budget.space)
    return layers_and_macs(budget.space, tuple(cost.shape for cost in costs))


@lru_cache(maxsize=4)
def layers_and_macs(space: SearchSpace, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[Floats], list[Floats]]:
    """What each way to decide a block, or a cell, adds to `depth` and to the MACs: from 0 on, arrays of these shapes.

    Everything else is meanwhile as large as can be, so that whatever is decided leads somewhere.

    Args:
        shapes: of the arrays of `LatencyPredictor.decision_costs`: an axis per decision.
    """
    largest = [largest_candidate(decision) for decision in space.decisions]
    found: tuple[list[Floats], list[Floats]] = ([], [])

    def counted(places: Sequence[int], indices: Sequence[int]) -> tuple[float, float]:
        chosen = dict(zip(places, indices, strict=True))
        network = space.decode([chosen.get(place, index) for place, index in enumerate(largest)])
        return float(depth(network)), float(network.macs)

    begin = 0
    for shape in shapes:
        places = range(begin, begin + len(shape))
        begin += len(shape)
        if math.prod(shape) <= MOST_WAYS:
            counts = np.array([counted(places, indices) for indices in np.ndindex(*shape)]).T
            arrays = [each.reshape(shape) for each in counts]
        else:
            edges = [[counted([place], [k]) for k in range(size)] for place, size in zip(places, shape, strict=True)]
            arrays = [reduce(np.add.outer, [np.array(edge)[:, i] for edge in edges]) for i in range(2)]
        for kind, array in zip(found, arrays, strict=True):
            kind.append(array - array.min())
    return found
