"""Uniformly random architectures within a budget, also where next to none of a space is.

    draw = UniformWithin(budget)      # once per budget; raises HwnasError if the budget is not feasible
    architecture = draw(rng)          # as often as wanted; rng is a random.Random or a numpy Generator

Every architecture that `Budget.is_within` accepts is drawn with the same probability, no other is drawn, and a large
space costs no more than a small one. Searches that need random architectures within a budget (random search, the first
generation of an evolution and its fresh samples) draw them here.

Where an interval ends is no sum over the decisions, so codes are drawn within a limit on a sum that every architecture
within the budget keeps, the tightest of a few, and the draws that are over the budget are drawn again. So it is with
further limits, too: the sums are those of each limit, and means of two of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from hwnas.latency.budget import Budget
from hwnas.latency.limit import Row
from hwnas.latency.program import together
from hwnas.latency.uniform_codes import ROUNDING, Random, UniformCodes
from hwnas.space import Architecture

DRAWS = 10_000
"""Codes that are drawn for one architecture within the budget, at most."""

STEPS = 300
"""Of a walk to a network, where drawing finds none."""

LARGEST_BATCH = 128
"""So many codes are asked for their intervals at once, at most."""


class UniformWithin:
    """Draws architectures within a budget, each with the same probability (codes, not networks).

    Args:
        budget: a limit on where an architecture's own 90 % interval ends.

    Raises:
        HwnasError: no architecture is within the budget.
    """

    def __init__(self, budget: Budget) -> None:
        budget.check_feasible()
        self._budget = budget
        rows = list(_rows(budget))
        pairs = itertools.combinations(rows, 2) if budget.further else ()
        drawn_from = rows + [together(pair, np.array([0.5, 0.5])) for pair in pairs]
        self._codes = min((UniformCodes(*row) for row in drawn_from), key=lambda codes: codes.count)
        self._rows = rows if budget.further else []

    def __call__(self, rng: Random) -> Architecture:
        """One of them; in the improbable case that none of `DRAWS` codes is within, where a random walk ends."""
        codes = (code for _ in range(DRAWS) if (code := self._codes.draw(rng)) is not None and self._may_be(code))
        for batch in _growing_batches(codes):
            architectures = [self._budget.space.decode(code) for code in batch]
            within = self._budget.are_within(architectures)
            if any(within):
                return architectures[within.index(True)]
        return self._walked(rng)

    def _walked(self, rng: Random) -> Architecture:
        """The end of a walk from the surest network, by changes of one or two decisions, over networks within.

        A long one would end at each of those that it can reach equally often.
        """
        budget, at = self._budget, self._budget.surest
        sizes = [len(decision.candidates) for decision in budget.space.decisions]
        for _ in range(STEPS):
            code = list(budget.space.indices(at))
            for _ in range(1 + int(rng.random() < 0.5)):
                decision = int(rng.random() * len(sizes))
                code[decision] = int(rng.random() * sizes[decision])
            if self._may_be(code) and budget.is_within(changed := budget.space.decode(code)):
                at = changed
        return at

    def _may_be(self, code: list[int]) -> bool:
        """Whether a code keeps the sums of all limits: to be asked before the intervals, which take longer."""
        for costs, rest in self._rows:
            spent, remaining = 0.0, code
            for cost in costs:
                spent += float(cost[tuple(remaining[: cost.ndim])])
                remaining = remaining[cost.ndim :]
            if spent > rest + ROUNDING * abs(rest):
                return False
        return True


def _rows(budget: Budget) -> Iterator[Row]:
    """Limits on a sum, each of which all architectures within the budget keep."""
    for limit in budget.limits:
        yield limit.row(budget.space)
        # the tangents of a bent predictor may be too late
        tangent = None if limit.model.curve.bend else limit.tangent(budget.space, budget.surest)
        if tangent is not None:
            yield tangent


def _growing_batches(codes: Iterator[list[int]]) -> Iterator[list[list[int]]]:
    """The codes one at first, then twice as many each time: most first codes are within."""
    size = 1
    while batch := list(itertools.islice(codes, size)):
        yield batch
        size = min(2 * size, LARGEST_BATCH)
