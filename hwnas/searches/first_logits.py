"""First logits: with which probabilities a search of sampled paths begins.

Equal logits draw paths uniformly, and most of a space is slower than a small budget allows: until the latency term has
pressed the logits down, weights are trained that no network within the budget has. Here they are such from the first
step on that the expected latency is what the budget aims at. Of all distributions with that expectation it is the one
that decides least, the one of the largest entropy: logits fall linearly with what a candidate costs (Jaynes,
Information theory and statistical mechanics, 1957).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hwnas.latency.budget import Budget
from hwnas.supernet.sampled import SampledNet

FirstLogits = Literal["uniform", "budget"]

ROUNDS = 10
"""How often each of several limits is looked at in turn."""
STRONGEST = 1e3
"""Nats that a whole target may add to a logit: where that is not enough, only the cheapest candidates are left."""
EXACT = 1e-3
"""Of the target: so far below it the expectation may begin."""


@torch.no_grad()
def lean_to_budget(net: SampledNet, budget: Budget) -> None:
    """Lower the logits of candidates by their costs, until each limit's expectation is its target, or below it before.

    Where a limit is no sum over the decisions (edges of cells that are executed or not), costs are those at the mean.
    """
    first = [logits.detach().clone() for logits in net.alphas]
    costs = [_costs(net, budget, limit) for limit in range(len(budget.limits))]
    strengths = [0.0] * len(costs)

    def excess(limit: int, strength: float) -> float:
        """Of a limit's expectation over its target, as a share of it, with this strength and the others as they are."""
        strengths[limit] = strength
        for place, (logits, start) in enumerate(zip(net.alphas, first, strict=True)):
            lowered = [s * cost[place] for s, cost in zip(strengths, costs, strict=True)]
            logits.copy_(start - torch.stack(lowered).sum(0))
        return float(budget.limits[limit].ratio(budget.space, net.probabilities())) - 1

    for _ in range(ROUNDS if len(costs) > 1 else 1):
        for limit in range(len(costs)):
            _bisect(limit, excess)


def _costs(net: SampledNet, budget: Budget, limit: int) -> list[Tensor]:
    """What each logit's candidate adds to the expectation of a limit, as a share of its target; on average 0."""
    with torch.enable_grad():
        weights = [weight.detach().requires_grad_() for weight in net.mixture()]
        probabilities = [each.probabilities(w) for each, w in zip(net.relaxations, weights, strict=True)]
        ratio = budget.limits[limit].ratio(budget.space, probabilities)
        if not ratio.requires_grad:  # nothing that is searched counts for it
            return [torch.zeros_like(weight) for weight in weights]
        found = torch.autograd.grad(ratio, weights, allow_unused=True)
    costs = [torch.zeros_like(w) if cost is None else cost for w, cost in zip(weights, found, strict=True)]
    return [cost - cost.mean() for cost in costs]


def _bisect(limit: int, excess: Callable[[int, float], float]) -> None:
    """Leave a limit at the least strength with which its expectation is not over its target."""
    if excess(limit, 0.0) <= 0:
        return
    low, high = 0.0, 1.0
    while excess(limit, high) > 0 and high < STRONGEST:
        low, high = high, 2 * high
    while not -EXACT <= excess(limit, high) <= 0 and high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(limit, middle) > 0 else (low, middle)
    excess(limit, high)
