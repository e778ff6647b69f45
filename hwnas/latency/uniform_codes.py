"""Uniformly random codes whose costs add up to a limit at most, in time that does not depend on how rare they are.

Dynamic programming counts, for every decision and every rest of the limit, in how many ways the later decisions can be
made within it; the decisions are then drawn one after the other in proportion to these counts. Costs are rounded *down*
to a grid, so that nothing within the limit is left out, and the few draws that are over it in truth are drawn again:
the rest is exactly uniform.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hwnas.latency.arrays import Floats, Ints

BINS = 4096
"""Steps of the grid between the cheapest code and the limit. Of 22 decisions' draws about 1 in 100 is over."""

ROUNDING = 1e-9
"""A limit may be exceeded by so much, relative: sums in another order differ by less."""


class Random(Protocol):
    """A seeded ``random.Random`` or numpy Generator."""

    def random(self) -> float: ...


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
        bins = [
            np.where(excess > self._rest, BINS + 1, np.minimum(excess, self._rest) // step).astype(int)
            for excess in self._excess
        ]
        sizes = [np.bincount(own, minlength=BINS + 2)[: BINS + 1].astype(float) for own in bins]
        # per array: its entries in the order of their bins, the bins that have any, how many, and where each begins
        self._entries = [np.argsort(own, kind="stable") for own in bins]
        self._bins = [np.flatnonzero(own) for own in sizes]
        self._sizes = [own[used] for own, used in zip(sizes, self._bins, strict=True)]
        self._starts = [np.concatenate([[0], np.cumsum(own)]).astype(int) for own in self._sizes]
        self._ways = [np.ones(BINS + 1)]  # to decide nothing, there is one way
        for used, own in zip(reversed(self._bins), reversed(self._sizes), strict=True):
            self._ways.insert(0, _combined(used, own, self._ways[0]))

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
        arrays = zip(self._entries, self._bins, self._sizes, self._starts, self._ways[1:], strict=True)
        for entries, bins, sizes, starts, later in arrays:
            affordable = bins[: np.searchsorted(bins, rest, side="right")]
            weights = np.cumsum(sizes[: len(affordable)] * later[rest - affordable])
            used = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            used = min(used, int(np.searchsorted(weights, weights[-1])))  # where rounding met the total
            size = starts[used + 1] - starts[used]
            chosen.append(int(entries[starts[used] + int(rng.random() * size)]))
            rest -= int(bins[used])
        return chosen

    def draw_many(self, rng: np.random.Generator, count: int) -> Ints:
        """(n, decisions): `count` draws at once, without those that are within the limit on the grid only."""
        rest, spent = np.full(count, BINS), np.zeros(count)
        columns = []
        arrays = zip(
            self._entries,
            self._bins,
            self._sizes,
            self._starts,
            self._ways[1:],
            self._excess,
            self._shapes,
            strict=True,
        )
        for entries, bins, sizes, starts, later, excess, shape in arrays:
            rests, which = np.unique(rest, return_inverse=True)
            left = rests[:, None] - bins
            weights = np.cumsum(np.where(left < 0, 0.0, sizes * later[np.maximum(left, 0)]), axis=1)
            wanted = rng.random(count) * weights[which, -1]
            last = (weights < weights[:, -1:]).sum(1)[which]  # where rounding met the total
            used = np.minimum((weights[which] <= wanted[:, None]).sum(1), last)
            size = starts[used + 1] - starts[used]
            entry = entries[starts[used] + (rng.random(count) * size).astype(int)]
            spent += excess[entry]
            columns += list(np.unravel_index(entry, shape))
            rest -= bins[used]
        return np.array(columns, int).T[spent <= self._rest]


def _combined(bins: Ints, sizes: Floats, later: Floats) -> Floats:
    """(BINS + 1,): in how many ways each rest can be spent on an entry of one array and on the later arrays."""
    ways = np.zeros_like(later)
    for spent, size in zip(bins.tolist(), sizes.tolist(), strict=True):  # few: an array has an entry per candidate
        ways[spent:] += size * later[: len(later) - spent]
    return ways
