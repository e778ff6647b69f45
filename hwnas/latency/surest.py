"""The surest architecture of a space: the one whose 90 % interval ends first. If any keeps a budget, it does.

As a rule it is the fastest one, or one like it that is known better. Where an interval ends is convex in what an
architecture is made of, so the tangent at one architecture is nowhere too late: whatever ends earlier than this one
lies below it on the tangent, too. From the fastest architecture the search goes on to the tangent's own fastest and to
neighbours as long as these end earlier, and in the end looks at random ones of those that the tangent leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.uniform_codes import UniformCodes
from hwnas.space import Architecture, SearchSpace

DRAWS = 1024
"""Random codes that are looked at before the search ends: of a space with fewer below the tangent, most of them."""

ROUNDING = 1e-12


def surest_architecture(space: SearchSpace, predictor: LatencyPredictor) -> Architecture:
    """The architecture whose interval ends first, by the search above: exact where all intervals are equally wide."""
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
    space: SearchSpace, predictor: LatencyPredictor, best: Architecture, end_ms: float
) -> Iterator[list[Architecture]]:
    """What may end earlier than the best so far: at first what costs little to look at."""
    ends = predictor.interval_ends(best)
    if ends is None:  # all are equally wide: the fastest ends first
        return
    tangent, offset_ms = ends
    yield [tangent.extremes(space)[0], *space.neighbours(best)]
    fixed_ms, costs = tangent.decision_costs(space)
    codes, rng = UniformCodes(costs, end_ms - offset_ms - fixed_ms), np.random.default_rng(0)
    drawn = (codes.draw(rng) for _ in range(DRAWS))
    yield [space.decode(code) for code in sorted({tuple(code) for code in drawn if code is not None})]
