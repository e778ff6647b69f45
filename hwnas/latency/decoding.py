"""Decoding: the most probable architecture within a budget, by constrained optimisation.

It is a multiple-choice knapsack, in which a cell is one item with thousands of options. Where an interval ends is no
sum over the blocks, since the uncertainties of the blocks add up in squares. But its tangent at a network is such a
sum, close to the truth for networks like it. So the best one is looked for on the frontier of latency and gain first,
then on the frontiers of tangents at the best one found (an outer approximation; Duran and Grossmann, 1986), and every
candidate is asked for its own interval. So the architecture that is returned is always within. The first of a frontier
being within proves that nothing better is; without that it is the best that was found, which by brute force over small
spaces is nearly always the best there is.

With further limits (`Budget.further`) it is a mixed-integer program: see `hwnas.latency.several`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import islice

import numpy as np

from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.budget import Budget
from hwnas.latency.knapsack import best_first, frontier_within
from hwnas.latency.limit import Limit, Row
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.program import together, weights_of
from hwnas.latency.several import best_within_all
from hwnas.space import Architecture, SearchSpace

LEAST_LOG_PROBABILITY = -1e3
"""Stands for the logarithm of zero."""
SHARES_OF_TANGENT = (0.0, 1.0, 1.0, 0.5, 0.75, 0.25)
"""Limits that are tried: on the latency alone, on the end of the interval alone, and on means of both, which hold
wherever both do. Each tangent is that of the best network so far."""
MOST_PER_MS = 1e12
"""What the target may add to a log probability at most: candidates that this does not tell apart take equally long."""
SHARES_OF_REST = (1.0, 0.98, 0.95, 0.9)
"""Of what may be spent beyond the cheapest network, where intervals of the most that may be spent end too late."""
CHUNK, CHUNKS = 128, 8
"""So many of a frontier are asked for their intervals at once, and so often."""


def most_probable_within(budget: Budget, log_probabilities: Sequence[Floats], per_ms: float = 0.0) -> Architecture:
    """The most probable architecture within the budget; the surest one if none is within (see `Budget.check_feasible`).

    Args:
        budget: a limit on where the architecture's own 90 % interval ends.
        log_probabilities: one vector per decision, in the order of ``space.decisions``.
        per_ms: what each ms adds to the logarithm of the probability, as `mean_per_ms` gives it.
    """
    return best_within(budget, tilted_gains(budget, log_probabilities, per_ms))


def tilted_gains(budget: Budget, log_probabilities: Sequence[Floats], per_ms: float) -> list[Floats]:
    """The gain of every way to decide each block, where each ms adds `per_ms` to the log probability."""
    costs = _leaning_costs(budget)[1]
    pairs = zip(joint_gains(log_probabilities, costs), costs, strict=True)
    return [gain + per_ms * cost for gain, cost in pairs]


def mean_per_ms(budget: Budget, log_probabilities: Sequence[Floats]) -> float:
    """The value that a ms must add to log probabilities for the most probable architecture to cost as much as the mean.

    The least such tilt, and 1 % more; 0 where the most probable one costs as much already. What a search presses to the
    target is the *mean* over the architectures that it samples. The most probable architecture alone is often a good
    deal faster, where decisions stay open, and would leave that share of the budget unused.

    Args:
        budget: its target limits the mean.
        log_probabilities: one vector per decision, each of a distribution.
    """
    target_ms = budget.target_ms
    most_ms, costs = _leaning_costs(budget)
    gains = joint_gains(log_probabilities, costs)
    mean_ms = sum(float((np.exp(gain) * cost).sum()) for gain, cost in zip(gains, costs, strict=True))
    # probabilities add up to one but for their rounding: their mean may be above the slowest network of all
    reachable_ms = min(mean_ms, most_ms, sum(float(cost.max()) for cost in costs))
    goal_ms = reachable_ms - 1e-9 * abs(reachable_ms)

    def likeliest_ms(per_ms: float) -> float:
        pairs = zip(gains, costs, strict=True)
        return sum(float(cost.flat[(gain + per_ms * cost).argmax()]) for gain, cost in pairs)

    if likeliest_ms(0.0) >= goal_ms:
        return 0.0
    low, high = 0.0, 1 / target_ms
    while likeliest_ms(high) < goal_ms and high < MOST_PER_MS / target_ms:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if likeliest_ms(middle) >= goal_ms else (middle, high)
    return 1.01 * high  # at the least itself two architectures are equally good


def _leaning_costs(budget: Budget) -> tuple[float, list[Floats]]:
    """The ms that the choices may cost together at the target, and the ms of each: means over the limits.

    A further limit counts by its share: a tenth of it is as much as a tenth of the budget.
    """
    most_ms, total, limits = 0.0, None, budget.leaning
    for limit in limits:
        fixed, costs = limit.model.decision_costs(budget.space)
        in_ms = budget.budget_ms / limit.most / len(limits)
        most_ms += in_ms * (limit.model.curve.sum_ms(limit.target) - fixed)
        own = [in_ms * cost for cost in costs]
        total = own if total is None else [a + b for a, b in zip(total, own, strict=True)]
    assert total is not None  # the latency's own, at least
    return most_ms, total


def best_within(budget: Budget, gains: Sequence[Floats]) -> Architecture:
    """The architecture of the largest gain within the budget; the surest one if none is within.

    Args:
        budget: a limit on where the architecture's own 90 % interval ends.
        gains: per block an array of the shape of its `decision_costs`; the gain of a network is their sum.
    """
    predictor, space, best = budget.predictor, budget.space, budget.surest
    if not budget.is_within(best):
        return best
    if budget.further:
        return best_within_all(space, budget.limits, gains) or best
    fixed_ms, costs = predictor.decision_costs(space)
    rest_ms = predictor.curve.sum_ms(predictor.largest_ms(budget.budget_ms)) - fixed_ms
    for share in SHARES_OF_TANGENT:
        ends = predictor.interval_ends(best) if share else None
        mixed, rest = (costs, rest_ms) if ends is None else _mixed(budget, ends, share, costs, rest_ms)
        found, proven = _likeliest_within(budget, frontier_within(mixed, gains, rest))
        if found is not None and _gain(space, found, gains) > _gain(space, best, gains):
            best = found
        if proven or (share and ends is None):
            break
    return best


def best_networks_within(budget: Budget, gains: Sequence[Floats], count: int) -> list[Architecture]:
    """The `count` different networks of the largest gains within the budget, from the best down; fewer if there are.

    Of codes that build the same network the one of the largest gain stands for it. Codes are looked at in the order of
    their gains, `CHUNK * CHUNKS` of them at most; where all intervals are equally wide nearly every one is within.
    Where too few are, those of a somewhat smaller budget are looked at, too.

    Args:
        budget: a limit on where the architecture's own 90 % interval ends.
        gains: per block an array of the shape of its `decision_costs`; the gain of a network is their sum.
    """
    space, best = budget.space, best_within(budget, gains)
    costs, rest = tightest_row(budget.limits, space, best, gains)
    least = sum(float(cost.min()) for cost in costs)
    found: dict[str, Architecture] = {best.digest: best} if budget.is_within(best) else {}
    for share in SHARES_OF_REST:
        codes = islice(best_first(costs, gains, least + share * (rest - least)), CHUNK * CHUNKS)
        while len(found) < count and (architectures := [space.decode(code) for code in islice(codes, CHUNK)]):
            for architecture, within in zip(architectures, budget.are_within(architectures), strict=True):
                if within:
                    found.setdefault(architecture.digest, architecture)
    return sorted(found.values(), key=lambda each: -_gain(space, each, gains))[:count]


def tightest_row(limits: Sequence[Limit], space: SearchSpace, best: Architecture, gains: Sequence[Floats]) -> Row:
    """The one sum that says most of which networks are within the limits, and that all of these keep.

    Args:
        best: a network that uses the limits: tangents are taken at it.
        gains: per block an array of the shape of its `decision_costs`.
    """
    # tangents of a bent model may be too late
    rows = [(None if each.model.curve.bend else each.tangent(space, best)) or each.row(space) for each in limits]
    if len(rows) == 1:
        return rows[0]
    weights = weights_of(gains, rows)
    return together(rows, weights if weights.any() else np.ones(len(rows)))


def _mixed(
    budget: Budget, ends: tuple[LatencyPredictor, float], share: float, costs: Sequence[Floats], rest_ms: float
) -> tuple[Sequence[Floats], float]:
    """Costs that are this share of a tangent's and else those given, and what they may add up to."""
    tangent, offset_ms = ends
    fixed_ms, own = tangent.decision_costs(budget.space)
    mixed = [share * tangential + (1 - share) * cost for tangential, cost in zip(own, costs, strict=True)]
    return mixed, share * (budget.budget_ms - offset_ms - fixed_ms) + (1 - share) * rest_ms


def _likeliest_within(budget: Budget, codes: Ints) -> tuple[Architecture | None, bool]:
    """The first of the codes within the budget, and whether it is the first of all."""
    for begin in range(0, min(len(codes), CHUNK * CHUNKS), CHUNK):
        architectures = [budget.space.decode(code.tolist()) for code in codes[begin : begin + CHUNK]]
        within = budget.are_within(architectures)
        if any(within):
            return architectures[within.index(True)], begin == 0 and within[0]
    return None, False


def _gain(space: SearchSpace, architecture: Architecture, gains: Sequence[Floats]) -> float:
    """The sum of a network's gains."""
    return float(sums_of(gains, np.array([space.indices(architecture)]))[0])


def sums_of(parts: Sequence[Floats], codes: Ints) -> Floats:
    """(n,): the sums over the blocks of (n, decisions) codes.

    Args:
        parts: per block an array of the shape of its `decision_costs`.
    """
    totals, begin = np.zeros(len(codes)), 0
    for part in parts:
        totals += part[tuple(codes[:, begin : begin + part.ndim].T)]
        begin += part.ndim
    return totals


def joint_gains(gains: Sequence[Floats], costs: Sequence[Floats]) -> list[Floats]:
    """The gain of every way to decide each block, or each cell: arrays of the shapes of `costs`.

    Args:
        gains: one vector per decision, such as log probabilities.
        costs: as `LatencyPredictor.decision_costs` gives them.
    """
    remaining = [np.maximum(np.asarray(gain, float), LEAST_LOG_PROBABILITY) for gain in gains]
    joint = []
    for cost in costs:
        joint.append(reduce(np.add.outer, remaining[: cost.ndim]))
        remaining = remaining[cost.ndim :]
    return joint
