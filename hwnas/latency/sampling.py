"""Uniformly random architectures within a budget, also where next to none of a space is.

    draw = UniformWithin(budget)      # once per budget; raises HwnasError if the budget is not feasible
    architecture = draw(rng)          # as often as wanted; rng is a random.Random or a numpy Generator

Every architecture that `Budget.is_within` accepts is drawn with the same probability, no other is drawn, and a large
space costs no more than a small one. Searches that need random architectures within a budget (random search, the first
generation of an evolution and its fresh samples) draw them here.

Dynamic programming counts, for every decision and every rest of the limit, in how many ways the later decisions can be
made within it; the decisions are then drawn one after the other in proportion to these counts. Costs are rounded *down*
to a grid, so that nothing within the limit is left out, and the few draws that are over it in truth are drawn again:
the rest is exactly uniform. Where an interval ends is no sum over the decisions, so the limit is one that every
architecture within the budget keeps, the tightest of a few, and the draws that are over the budget are drawn again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.space import Architecture

BINS = 4096
"""Steps of the grid between the cheapest code and the limit. Of 22 decisions' draws about 1 in 100 is over."""

ROUNDING = 1e-9
"""A limit may be exceeded by so much, relative: sums in another order differ by less."""

DRAWS = 10_000
"""Codes that are drawn for one architecture within the budget, at most."""

LARGEST_BATCH = 128
"""So many codes are asked for their intervals at once, at most."""


class Random(Protocol):
    """A seeded ``random.Random`` or numpy Generator."""

    def random(self) -> float: ...


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


class UniformCodes:
    """Draws codes whose costs add up to a limit at most, each with the same probability.

    Args:
        costs: arrays with one axis per decision, in the order of the decisions.
        limit: on the sum of one entry of each array.
    """

    def __init__(self, costs: Sequence[Floats], limit: float) -> None:
        self._shapes = [cost.shape for cost in costs]
        self._excess = [cost.ravel() - cost.min() for cost in costs]
        least = sum(float(cost.min()) for cost in costs)
        rest = max(0.0, limit - least)
        self._rest = rest + ROUNDING * (rest + abs(least))
        step = max(self._rest / BINS, np.finfo(float).tiny)
        bins = [np.minimum(excess // step, BINS + 1).astype(int) for excess in self._excess]
        # per array: its entries in the order of their bins, and where each bin begins
        self._entries = [np.argsort(own, kind="stable") for own in bins]
        self._sizes = [np.bincount(own, minlength=BINS + 2)[: BINS + 1].astype(float) for own in bins]
        self._starts = [np.concatenate([[0], np.cumsum(own)]).astype(int) for own in self._sizes]
        self._ways = [np.ones(BINS + 1)]  # to decide nothing, there is one way
        for own in reversed(self._sizes):
            self._ways.insert(0, np.convolve(own, self._ways[0])[: BINS + 1])

    @property
    def count(self) -> float:
        """About how many codes are within the limit: at least as many, and a percent more at most for 40 decisions."""
        return float(self._ways[0][BINS])

    def draw(self, rng: Random) -> list[int] | None:
        """One of them; None for a code that is within the limit on the grid only."""
        entries = self._draw_on_grid(rng)
        if sum(excess[k] for excess, k in zip(self._excess, entries, strict=True)) > self._rest:
            return None
        positions = (np.unravel_index(k, shape) for k, shape in zip(entries, self._shapes, strict=True))
        return [int(i) for i in itertools.chain.from_iterable(positions)]

    def _draw_on_grid(self, rng: Random) -> list[int]:
        """One entry of each array, within the limit on the grid."""
        chosen, rest = [], BINS
        for entries, sizes, starts, later in zip(self._entries, self._sizes, self._starts, self._ways[1:], strict=True):
            weights = np.cumsum(sizes[: rest + 1] * later[rest::-1])
            used = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            used = min(used, int(np.searchsorted(weights, weights[-1])))  # where rounding met the total
            size = starts[used + 1] - starts[used]
            chosen.append(int(entries[starts[used] + int(rng.random() * size)]))
            rest -= used
        return chosen


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
