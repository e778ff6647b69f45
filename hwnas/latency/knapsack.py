"""The knapsack that decoding is: one option of each block, the largest gain whose costs are within a limit.

By Nemhauser and Ullmann (1969): of the ways to decide the first blocks only those go on that no other one beats in both
cost and gain, which are some hundreds for 20 blocks of 10 candidates. At the end they are the whole frontier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.latency.arrays import Floats, Ints

MOST_OPTIONS = 100_000
"""Where more ways to decide are worth taking, as many of them are kept, evenly: decoding is exact below."""


@dataclass(frozen=True, eq=False)
class Options:
    """The ways to decide one or several blocks that are worth taking: (n,) each, from the cheapest to the likeliest.

    `ways` are positions in the flattened array of costs.
    """

    ways: Ints
    costs: Floats
    gains: Floats

    @staticmethod
    def worth_taking(cost: Floats, gain: Floats, limit: float = np.inf) -> Options:
        """Those within the limit that no other one beats in both: of a cell's thousands of ways some dozens remain."""
        cost, gain = cost.ravel(), gain.ravel()
        order = np.lexsort((-gain, cost))[: int((cost <= limit).sum())]
        best_before = np.concatenate([[-np.inf], np.maximum.accumulate(gain[order])])[:-1]
        ways = order[gain[order] > best_before]
        if len(ways) > MOST_OPTIONS:
            ways = ways[np.linspace(0, len(ways) - 1, MOST_OPTIONS).astype(int)]
        return Options(ways, cost[ways], gain[ways])


def frontier_within(costs: Sequence[Floats], gains: Sequence[Floats], rest: float) -> Ints:
    """(n, decisions): the codes on the frontier of cost and gain whose costs add up to `rest` at most, likeliest first.

    Args:
        costs, gains: per block one array, with one axis per decision about it.
        rest: limit on the sum of the costs.
    """
    options = [Options.worth_taking(cost, gain) for cost, gain in zip(costs, gains, strict=True)]
    spent, gained, steps = np.zeros(1), np.zeros(1), []
    for i, option in enumerate(options):
        to_come = sum(float(o.costs[0]) for o in options[i + 1 :])  # at least
        together = np.add.outer(spent, option.costs), np.add.outer(gained, option.gains)
        worth = Options.worth_taking(*together, rest - to_come)
        spent, gained = worth.costs, worth.gains
        steps.append(np.divmod(worth.ways, len(option.costs)))
    columns: list[Ints] = []
    at = np.arange(len(spent))[::-1]
    for cost, option, (before, taken) in reversed(list(zip(costs, options, steps, strict=True))):
        columns[:0] = np.unravel_index(option.ways[taken[at]], cost.shape)
        at = before[at]
    return np.stack(columns, axis=1) if columns else np.zeros((len(spent), 0), int)
