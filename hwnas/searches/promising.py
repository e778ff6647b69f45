"""What a search's own numbers call promising: changes of a good architecture, and those that use more of the budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within, joint_gains, sums_of, tightest_row
from hwnas.searches.derivation import uses_most
from hwnas.space import Architecture

MOST_DOUBLINGS = 20
"""Of what a ms is worth, until the best network uses most of the budget; in some spaces none does."""
MOST_CHANGES = 512
"""So many changes are asked whether they are within the budget, at most."""


def promising_changes(budget: Budget, best: Architecture, gains: Sequence[Floats]) -> Ints:
    """(n, decisions): the `MOST_CHANGES` codes of the largest gains that differ from the best in one or two decisions.

    Those are left out that are over the budget in any case: where gains speak for slower networks, these are most.

    Args:
        best: uses the budget.
        gains: one vector per decision.
    """
    space = budget.space
    code, sizes = np.array(space.indices(best)), [len(gain) for gain in gains]
    where, to = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
    now_gained = np.array([gain[k] for gain, k in zip(gains, code, strict=True)])
    more, new = np.concatenate(gains) - now_gained[where], to != code[where]
    where, to, more = where[new], to[new], more[new]
    single = np.tile(code, (len(to), 1))
    single[np.arange(len(to)), where] = to
    joint = joint_gains(gains, budget.predictor.decision_costs(space)[1])
    costs, rest = tightest_row(budget.limits, space, best, joint)
    now = float(sums_of(costs, code[None])[0])
    slower = sums_of(costs, single) - now
    block = np.repeat(np.arange(len(costs)), [cost.ndim for cost in costs])[where]
    first, second = np.triu_indices(len(to), 1)
    two = where[first] != where[second]
    first, second = first[two], second[two]
    # two decisions about one block: what they cost together is no sum, and is asked for only below
    fits = (block[first] == block[second]) | (now + slower[first] + slower[second] <= rest)
    first, second, alone = first[fits], second[fits], np.flatnonzero(now + slower <= rest)
    order = np.argsort(-np.concatenate([more[alone], more[first] + more[second]]), kind="stable")[:MOST_CHANGES]
    changed: Ints = single[np.concatenate([alone, first])[order]]
    other = np.concatenate([alone, second])[order]
    changed[np.arange(len(order)), where[other]] = to[other]
    return changed


def gains_that_spend(budget: Budget, gains: Sequence[Floats], costs: Sequence[Floats]) -> list[Floats]:
    """The gains, and as much for each ms as makes the best network within the budget use most of it: no more than that.

    Args:
        gains, costs: arrays of the shape of the predictor's `decision_costs`, which the costs are.
    """

    def with_ms(worth: float) -> list[Floats]:
        return [gain + worth * cost for gain, cost in zip(gains, costs, strict=True)]

    spread = max(float(np.ptp(gain)) for gain in gains)
    if spread == 0:
        return list(costs)
    low, high = 0.0, spread / budget.budget_ms
    least = high / 2**MOST_DOUBLINGS  # where so little is enough, gains are equal
    for _ in range(MOST_DOUBLINGS):
        if uses_most(budget, best_within(budget, with_ms(high))):
            break
        low, high = high, 2 * high
    while high - low > max(0.1 * high, least):
        middle = (low + high) / 2
        low, high = (low, middle) if uses_most(budget, best_within(budget, with_ms(middle))) else (middle, high)
    return with_ms(high)
