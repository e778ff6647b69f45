"""The promise of a budget: a network is within if its own 90 % interval ends there, not the interval of a usual one.

Where an interval ends is no sum over the blocks, since what is unsure of them adds up in squares. But its tangent at a
network is such a sum, close to the truth for networks like it. So what is best within a limit is looked for on the
frontier of latency and gain first, then on the frontiers of tangents at what was found (an outer approximation; Duran
and Grossmann, 1986), and every candidate is asked for its own interval. So what is returned is always within. The
first of a frontier being within proves that nothing better is; without that it is the best that was found, which by
brute force over small spaces is nearly always the best there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hwnas.latency.knapsack import frontier_within
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from hwnas.latency.predictor import AdditivePredictor
    from hwnas.latency.proxy_space import StandInPredictor

    Predictor: TypeAlias = AdditivePredictor | StandInPredictor

TOLERANCE = 1 + 1e-9
TANGENTS = 6
"""How many tangents are followed at most to the network whose interval ends first."""
SHARES_OF_TANGENT = (0.0, 1.0, 1.0, 0.5, 0.75, 0.25)
"""Limits that are tried: on the latency alone, on the end of the interval alone, and on means of both, which hold
wherever both do. Each tangent is that of the best network so far."""
CHUNK, CHUNKS = 128, 8
"""So many of a frontier are asked for their intervals at once, and so often."""


def surest(predictor: Predictor, space: SearchSpace) -> Architecture:
    """The network whose 90 % interval ends first: as a rule the fastest one, or one like it that is known better."""
    best = predictor.extremes(space)[0]
    end_ms = predictor.predict(best).high_ms
    for _ in range(TANGENTS):
        ends = predictor.interval_ends(best)
        if ends is None:
            break
        other = ends[0].extremes(space)[0]
        other_ms = predictor.predict(other).high_ms
        if other_ms >= end_ms:
            break
        best, end_ms = other, other_ms
    return best


def best_within(predictor: Predictor, space: SearchSpace, gains: Sequence[np.ndarray], limit_ms: float) -> Architecture:
    """The network of the largest gain whose own interval ends within the limit; `surest` if there is none.

    Args:
        predictor: of the latency.
        space: what is chosen from.
        gains: per block an array of the shape of its `decision_costs`; the gain of a network is their sum.
        limit_ms: where the interval must end.
    """
    best = surest(predictor, space)
    if predictor.predict(best).high_ms > limit_ms * TOLERANCE:
        return best
    fixed_ms, costs = predictor.decision_costs(space)
    rest_ms = predictor.curve.sum_ms(predictor.largest_ms(limit_ms)) - fixed_ms
    for share in SHARES_OF_TANGENT:
        ends = predictor.interval_ends(best) if share else None
        mixed, rest = (costs, rest_ms) if ends is None else _mixed(space, ends, share, costs, rest_ms, limit_ms)
        found, proven = _likeliest_within(predictor, space, frontier_within(mixed, gains, rest), limit_ms)
        if found is not None and _gain(space, found, gains) > _gain(space, best, gains):
            best = found
        if proven or (share and ends is None):
            break
    return best


def _mixed(
    space: SearchSpace,
    ends: tuple[Predictor, float],
    share: float,
    costs: Sequence[np.ndarray],
    rest_ms: float,
    limit_ms: float,
) -> tuple[list[np.ndarray], float]:
    """Costs that are this share of a tangent's and else those given, and what they may add up to."""
    tangent, offset_ms = ends
    fixed_ms, own = tangent.decision_costs(space)
    mixed = [share * tangential + (1 - share) * cost for tangential, cost in zip(own, costs, strict=True)]
    return mixed, share * (limit_ms - offset_ms - fixed_ms) + (1 - share) * rest_ms


def _likeliest_within(
    predictor: Predictor, space: SearchSpace, codes: np.ndarray, limit_ms: float
) -> tuple[Architecture | None, bool]:
    """The first of the codes whose own interval ends within the limit, and whether it is the first of all."""
    for begin in range(0, min(len(codes), CHUNK * CHUNKS), CHUNK):
        architectures = [space.decode(code.tolist()) for code in codes[begin : begin + CHUNK]]
        for k, prediction in enumerate(predictor.predict_many(architectures)):
            if prediction.high_ms <= limit_ms * TOLERANCE:
                return architectures[k], begin + k == 0
    return None, False


def _gain(space: SearchSpace, architecture: Architecture, gains: Sequence[np.ndarray]) -> float:
    """The sum of a network's gains."""
    code, total = space.indices(architecture), 0.0
    for gain in gains:
        total += float(gain[tuple(code[: gain.ndim])])
        code = code[gain.ndim :]
    return total


def round_up(ms: float) -> float:
    """To four digits, upwards: a budget of what is shown is feasible."""
    unit = 10.0 ** (math.floor(math.log10(ms)) - 3)
    return float(f"{math.ceil(ms / unit) * unit:.4g}")
