"""The published latency model of Single-Path NAS: kernel and width enter as factors (arXiv 1904.02877)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwnas.latency.predictor import LatencyPredictor
from hwnas.space import SearchSpace
from hwnas.supernet.nesting import Nesting


def product_factors(space: SearchSpace, predictor: LatencyPredictor) -> list[np.ndarray[Any, Any]]:
    """The factor of each candidate's cost, per decision, that makes it the published model's.

    That prices kernel k and width e as ``R[K, e] * R[k, E] / R[K, E]``, K and E being the largest. Both are linear in
    every indicator, so they are one function, with one gradient, if they agree on the candidates.
    """
    factors = []
    _, costs = predictor.decision_costs(space)
    for one_of, cost in zip(space.decisions, costs, strict=True):
        nesting = Nesting.of(one_of)
        if nesting.tied:  # no candidate has the largest kernel at a smaller width: there is nothing to multiply
            factors.append(np.ones(len(cost)))
            continue
        shape = len(nesting.kernels), len(nesting.expansions), len(nesting.ratios)
        grid = np.empty(len(cost))
        grid[list(nesting.order)] = cost
        grid = grid[: math.prod(shape)].reshape(shape)
        product = grid[-1:, :] * grid[:, -1:] / grid[-1:, -1:]
        factors.append(np.append(product / grid, 1.0)[list(nesting.order)])
    return factors
