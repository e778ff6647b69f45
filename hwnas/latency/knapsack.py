"""The knapsack that decoding is: one option of each block, the largest gain whose costs are within a limit.

By Nemhauser and Ullmann (1969): of the ways to decide the first blocks only those go on that no other one beats in both
cost and gain, which are some hundreds for 20 blocks of 10 candidates. At the end they are the whole frontier.
Where not only the best one is asked for but the best ones in turn, a search from the first block on knows by the
frontiers of the later blocks how much each beginning can gain at most.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.latency.arrays import Floats, Ints

MOST_OPTIONS = 100_000
"""Where more ways to decide are worth taking, as many of them are kept, evenly: decoding is exact below."""
ROUNDING = 1e-9
"""A limit may be exceeded by so much, relative: sums in another order differ by less."""


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
        rest: limit on the sum of the costs, but for rounding.
    """
    rest += ROUNDING * abs(rest)
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


def best_first(costs: Sequence[Floats], gains: Sequence[Floats], rest: float) -> Iterator[list[int]]:
    """The codes whose costs add up to `rest` at most, from the largest gain down, each as soon as it is asked for.

    A search by the A* rule (Hart, Nilsson and Raphael, 1968). What the blocks to come can gain at most is exact, so
    that no beginning is gone on with that does not lead to one of the next codes.

    Args:
        costs, gains: per block one array, with one axis per decision about it.
        rest: limit on the sum of the costs.
    """
    to_come = [Options(np.zeros(1, int), np.zeros(1), np.zeros(1))]
    for cost, gain in zip(reversed(costs), reversed(gains), strict=True):
        later = to_come[0]
        together = np.add.outer(cost.ravel(), later.costs), np.add.outer(gain.ravel(), later.gains)
        to_come.insert(0, Options.worth_taking(*together))
    numbers = itertools.count()  # of beginnings that promise the same the newest goes first: it is nearest to its end
    rest += ROUNDING * abs(rest)
    # sums in another order differ in their last digits, which must not tell equal promises apart
    unit = ROUNDING * sum(float(np.abs(gain).max()) for gain in gains) or 1.0
    heap: list[tuple[int, int, _Beginning, int]] = []

    def push(beginning: _Beginning, position: int) -> None:
        if position < len(beginning.ways):
            promise = round(float(beginning.promises[position]) / unit)
            heapq.heappush(heap, (-promise, -next(numbers), beginning, position))

    push(_Beginning.of((), 0.0, 0.0, costs, gains, to_come, rest), 0)
    while heap:
        _, _, beginning, position = heapq.heappop(heap)
        push(beginning, position + 1)
        longer = beginning.longer(position, costs, gains)
        if len(longer[0]) == len(costs):
            yield [int(i) for way, c in zip(longer[0], costs, strict=True) for i in np.unravel_index(way, c.shape)]
        else:
            push(_Beginning.of(*longer, costs, gains, to_come, rest), 0)


@dataclass(frozen=True, eq=False)
class _Beginning:
    """The first blocks, decided, and the ways to decide the next one from the most promising down: (n,) each."""

    decided: tuple[int, ...]
    spent: float
    gained: float
    ways: Ints
    promises: Floats

    @staticmethod
    def of(
        decided: tuple[int, ...],
        spent: float,
        gained: float,
        costs: Sequence[Floats],
        gains: Sequence[Floats],
        to_come: Sequence[Options],
        rest: float,
    ) -> _Beginning:
        later = to_come[len(decided) + 1]
        best = np.searchsorted(later.costs, rest - spent - costs[len(decided)].ravel(), side="right") - 1
        promises = np.where(best < 0, -np.inf, gained + gains[len(decided)].ravel() + later.gains[best])
        order = np.argsort(-promises, kind="stable")[: int((best >= 0).sum())]
        return _Beginning(decided, spent, gained, order, promises[order])

    def longer(
        self, position: int, costs: Sequence[Floats], gains: Sequence[Floats]
    ) -> tuple[tuple[int, ...], float, float]:
        """The blocks with the next one decided so, what they cost, and what they gain."""
        block, way = len(self.decided), int(self.ways[position])
        spent, gained = self.spent + costs[block].flat[way], self.gained + gains[block].flat[way]
        return (*self.decided, way), float(spent), float(gained)
