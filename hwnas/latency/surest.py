"""The surest architecture of a space: the one whose 90 % interval ends first. If any keeps a budget, it does.

As a rule it is the fastest one, or one like it that is known better. Where an interval ends is convex in what an
architecture is made of, so the tangent at one architecture is nowhere too late: whatever ends earlier than this one
lies below it on the tangent, too. From the fastest architecture the search goes on to the tangent's own fastest and to
neighbours as long as these end earlier, and in the end looks at random ones of those that the tangent leaves.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.predictor import CostModel
from hwnas.latency.uniform_codes import UniformCodes
from hwnas.space import Architecture, SearchSpace

DRAWS = 1024
"""Random codes that are looked at before the search ends: of a space with fewer below the tangent, most of them."""

ROUNDING = 1e-12


_known: deque[tuple[SearchSpace, CostModel, Architecture]] = deque(maxlen=8)
"""The last answers: they are the same for all budgets, of which a search tries many."""


def surest_architecture(space: SearchSpace, predictor: CostModel) -> Architecture:
    """The architecture whose interval ends first, by the search above: exact where all intervals are equally wide."""
    for known_space, known_predictor, known in tuple(_known):
        if known_space is space and known_predictor is predictor:
            return known
    found = _search(space, predictor)
    _known.append((space, predictor, found))
    return found


def _search(space: SearchSpace, predictor: CostModel) -> Architecture:
    best = predictor.extremes(space)[0]
    end_ms = predictor.predict(best).high_ms
    while True:
        for candidates in _candidates(space, predictor, best, end_ms):
            ends_ms = [prediction.high_ms for prediction in predictor.predict_many(candidates)]
            if min(ends_ms, default=end_ms) < end_ms * (1 - ROUNDING):
                end_ms = min(ends_ms)
                best = candidates[ends_ms.index(end_ms)]
                break
        else:
            return best


def _candidates(
    space: SearchSpace, predictor: CostModel, best: Architecture, end_ms: float
) -> Iterator[list[Architecture]]:
    """Networks whose intervals may end earlier than the best one's so far: first those that cost little to look at."""
    ends = predictor.interval_ends(best)
    if ends is None:  # all are equally wide: the fastest ends first
        return
    tangent, offset_ms = ends
    fixed_ms, costs = tangent.decision_costs(space)
    limit = end_ms - offset_ms - fixed_ms
    # the tangents of a bent predictor may be too late: then every neighbour is looked at
    neighbours = _neighbours_within(space.indices(best), costs, np.inf if predictor.curve.bend else limit)
    yield [tangent.extremes(space)[0], *map(space.decode, neighbours)]
    drawn = UniformCodes(costs, limit).draw_many(np.random.default_rng(0), DRAWS)
    yield [space.decode(code) for code in np.unique(drawn, axis=0).tolist()]


def _neighbours_within(code: Sequence[int], costs: Sequence[Floats], limit: float) -> Iterator[tuple[int, ...]]:
    """The codes that differ from this one in one decision and cost less than the limit."""
    starts = [0, *itertools.accumulate(cost.ndim for cost in costs)]
    spent = [float(cost[tuple(code[at : at + cost.ndim])]) for at, cost in zip(starts, costs, strict=False)]
    for at, cost, own in zip(starts, costs, spent, strict=False):
        for axis in range(cost.ndim):
            place: list[Any] = list(code[at : at + cost.ndim])
            place[axis] = slice(None)
            cheaper = np.flatnonzero(sum(spent) - own + cost[tuple(place)] < limit)
            for other in cheaper.tolist():
                if other != code[at + axis]:
                    yield (*code[: at + axis], other, *code[at + axis + 1 :])
