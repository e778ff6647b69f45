"""Uniformly random architectures within a budget, also where next to none of a space is.

    draw = UniformWithin(budget)      # once per budget; raises HwnasError if the budget is not feasible
    architecture = draw(rng)          # as often as wanted; rng is a random.Random or a numpy Generator

Every architecture that `Budget.is_within` accepts is drawn with the same probability, no other is drawn, and a large
space costs no more than a small one. Searches that need random architectures within a budget (random search, the first
generation of an evolution and its fresh samples) draw them here.

Where an interval ends is no sum over the decisions, so codes are drawn within a limit on a sum that every architecture
within the budget keeps, the tightest of a few, and the draws that are over the budget are drawn again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hwnas.latency.budget import Budget
from hwnas.latency.uniform_codes import Random, UniformCodes
from hwnas.space import Architecture

DRAWS = 10_000
"""Codes that are drawn for one architecture within the budget, at most."""

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
        self._codes = min(_supersets(budget), key=lambda codes: codes.count)

    def __call__(self, rng: Random) -> Architecture:
        """One of them; the surest one in the improbable case that none of `DRAWS` codes is within the budget."""
        codes = (code for _ in range(DRAWS) if (code := self._codes.draw(rng)) is not None)
        for batch in _growing_batches(codes):
            architectures = [self._budget.space.decode(code) for code in batch]
            within = self._budget.are_within(architectures)
            if any(within):
                return architectures[within.index(True)]
        return self._budget.surest


def _supersets(budget: Budget) -> Iterator[UniformCodes]:
    """Codes within limits on a sum, each of which all architectures within the budget keep."""
    predictor, space = budget.predictor, budget.space
    fixed_ms, costs = predictor.decision_costs(space)
    yield UniformCodes(costs, predictor.curve.sum_ms(predictor.largest_ms(budget.budget_ms)) - fixed_ms)
    if predictor.curve.bend:  # the tangents of a bent predictor may be too late
        return
    ends = predictor.interval_ends(budget.surest)
    if ends is not None:
        tangent, offset_ms = ends
        fixed_ms, costs = tangent.decision_costs(space)
        yield UniformCodes(costs, budget.budget_ms - offset_ms - fixed_ms)


def _growing_batches(codes: Iterator[list[int]]) -> Iterator[list[list[int]]]:
    """The codes one at first, then twice as many each time: most first codes are within."""
    size = 1
    while batch := list(itertools.islice(codes, size)):
        yield batch
        size = min(2 * size, LARGEST_BATCH)
