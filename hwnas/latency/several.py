"""Networks within several limits at once: the one that is surest to be, and the best one.

Each limit is a sum over the decisions that every network within it keeps. Where the ends of intervals are no sums, what
is found may be over in truth: then the tangent at it joins the program as a further sum, which no network within the
limit exceeds, and the program is solved again (outer approximation; Duran and Grossmann, 1986). The first one that is
within all limits in truth is therefore the best there is, except for bent predictors, whose tangents may be somewhat
too strict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.limit import TOLERANCE, Limit, Row
from hwnas.latency.program import best_code, most_central
from hwnas.latency.surest import surest_architecture
from hwnas.space import Architecture, SearchSpace

MOST_ROUNDS = 60
"""So often is the program solved for one network at most; two or three times are usual."""


def largest_shares(limits: Sequence[Limit], architectures: Sequence[Architecture]) -> Floats:
    """(n,): of each network the end of the interval, as a share of its limit, where that share is the largest."""
    shares: Floats = np.max([limit.shares(architectures) for limit in limits], axis=0)
    return shares


def surest_within_all(space: SearchSpace, limits: Sequence[Limit]) -> Architecture:
    """The architecture that is within all limits if any is; else one that exceeds them least."""
    for limit in limits:
        alone = surest_architecture(space, limit.model)
        if limit.shares([alone])[0] > TOLERANCE:
            return alone
    rows = [limit.row(space) for limit in limits]
    scales = [limit.most_in_sum for limit in limits]
    best, best_share = None, np.inf
    seen: set[str] = set()
    for _ in range(MOST_ROUNDS):
        architecture = space.decode(most_central(rows, scales))
        share = float(largest_shares(limits, [architecture])[0])
        if best is None or share < best_share:
            best, best_share = architecture, share
        if share <= TOLERANCE or architecture.code in seen:
            break
        seen.add(architecture.code)
        for limit in limits:
            tangent = limit.tangent(space, architecture)
            if tangent is not None:
                rows.append(tangent)
                scales.append(limit.most)
    assert best is not None
    return best


def best_within_all(space: SearchSpace, limits: Sequence[Limit], gains: Sequence[Floats]) -> Architecture | None:
    """The architecture of the largest gain within all limits; None if there is none.

    Args:
        space: the architectures.
        limits: on each one's own interval.
        gains: per block an array of the shape of its `decision_costs`; the gain of a network is their sum.
    """
    rows = [limit.row(space) for limit in limits]
    for _ in range(MOST_ROUNDS):
        code = best_code(gains, rows)
        if code is None:
            return None
        architecture = space.decode(code)
        over = [limit for limit in limits if limit.shares([architecture])[0] > TOLERANCE]
        if not over:
            return architecture
        tangents = [limit.tangent(space, architecture) for limit in over]
        rows += [*(tangent for tangent in tangents if tangent is not None), _all_but(code, gains)]
    return None


def _all_but(code: Sequence[int], gains: Sequence[Floats]) -> Row:
    """A constraint that every code but this one keeps."""
    costs, remaining = [], list(code)
    for gain in gains:
        cost = np.zeros(gain.shape)
        cost[tuple(remaining[: gain.ndim])] = 1.0
        remaining = remaining[gain.ndim :]
        costs.append(cost)
    return Row(costs, len(costs) - 1.0)
