"""What needs no search: a random network within the budget, and simple rules. Every search has to beat them.

On NAS-Bench-Macro "most layers, then most MACs" is among the best 2 % of the networks within most budgets.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within, joint_gains
from hwnas.latency.sampling import UniformWithin
from hwnas.space import Architecture, SearchSpace

RANDOM = "random"

Rule = Callable[[Budget, int], Architecture]
"""(budget, seed) -> a network within it."""


def at_random(budget: Budget, seed: int) -> Architecture:
    """A network drawn uniformly among those within the budget: the baseline of relative improvements."""
    return UniformWithin(budget)(random.Random(seed))


def most_layers(budget: Budget, seed: int = 0) -> Architecture:
    """The network within the budget with the most layers that are not the identity; of those, with the most MACs."""
    layers, macs = layer_counts(budget.space), decision_macs(budget.space)
    more_than_all = 1.0 + sum(float(each.max()) for each in macs)
    return _largest(budget, [more_than_all * n + m for n, m in zip(layers, macs, strict=True)])


def most_macs(budget: Budget, seed: int = 0) -> Architecture:
    """The network within the budget with the most multiply-accumulates."""
    return _largest(budget, decision_macs(budget.space))


RULES: dict[str, Rule] = {RANDOM: at_random, "most-layers": most_layers, "most-macs": most_macs}
"""Always in the table of a study."""


def layer_counts(space: SearchSpace) -> list[Floats]:
    """Per decision a vector: 1 for a candidate that is a layer, 0 for an identity."""
    return [np.array([float(not spec.is_identity) for spec in one_of.candidates]) for one_of in space.decisions]


def decision_macs(space: SearchSpace) -> list[Floats]:
    """Per decision a vector: what each candidate adds to the MACs of the network of all first candidates, from 0 on.

    The MACs of a chain are their sum; those of a cell nearly so, since an edge that leads nowhere costs nothing.
    """
    found = []
    for place, one_of in enumerate(space.decisions):
        codes = [[k if i == place else 0 for i in range(len(space.decisions))] for k in range(len(one_of.candidates))]
        macs = np.array([float(space.decode(code).macs) for code in codes])
        found.append(macs - macs.min())
    return found


def depth(space: SearchSpace, architecture: Architecture) -> int:
    """How many of the decided layers are not the identity."""
    chosen = zip(layer_counts(space), space.indices(architecture), strict=True)
    return round(sum(float(counts[index]) for counts, index in chosen))


def _largest(budget: Budget, gains: list[Floats]) -> Architecture:
    """The network within the budget of the largest sum of gains, one vector per decision."""
    _, costs = budget.predictor.decision_costs(budget.space)
    return best_within(budget, joint_gains(gains, costs))
