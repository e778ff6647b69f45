"""The Budget: a limit in ms. Feasible before a search, pressed for during it, kept exactly when it decodes.

During a search the multiplier of the latency term is adapted by dual ascent until the expected latency meets the limit,
so that nobody tunes a lambda. Afterwards the architecture is decoded by exact constrained optimisation: the most
probable one *within* the limit, a multiple-choice knapsack in which a cell is one item with thousands of choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.predictor import AdditivePredictor
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.latency.stand_in import StandInPredictor

LEAST_LOG_PROBABILITY = -1e3
"""What stands for the logarithm of zero."""

MOST_OPTIONS = 100_000
"""Where more ways to decide are worth taking, as many of them, evenly: what is decoded is exact below."""


@dataclass
class Budget:
    """A latency limit for architectures of one space on what one predictor stands for.

    Attributes:
        limit_ms: what the measured network must not exceed.
        multiplier: weight of the latency term in the loss; starts at 0 and follows the expected latency.
        step_size: how much the multiplier grows per step for an expected latency of twice the target.
        damping: how much the latency term weighs at once for such an excess, or less for a shortfall: without it the
            multiplier, which only forgets slowly, would push the latency far below the target before it lets go.
    """

    limit_ms: float
    space: SearchSpace
    predictor: AdditivePredictor | StandInPredictor
    multiplier: float = 0.0
    step_size: float = 0.01
    damping: float = 2.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.limit_ms) and self.limit_ms > 0):
            raise UsageError(f"the budget must be a positive number of milliseconds, not {self.limit_ms}.")

    @property
    def target_ms(self) -> float:
        """The largest *predicted* latency whose 90 % interval still ends within the limit."""
        return self.limit_ms / (1 + self.predictor.half_width)

    def check_feasible(self) -> None:
        """Raise HwnasError, naming the fastest architecture and its ms, if even that is predicted over the limit."""
        fastest, slowest = self.predictor.extremes(self.space)
        fastest_ms, slowest_ms = self.predictor.predict(fastest).ms, self.predictor.predict(slowest).ms
        if fastest_ms > self.limit_ms:
            raise HwnasError(
                f"a budget of {self.limit_ms:g} ms cannot be met: the fastest architecture of space "
                f"{self.space.name!r}, code {fastest.code}, takes {fastest_ms:.3g} ms (the slowest {slowest_ms:.3g}). "
                f"Raise the budget to {fastest_ms * (1 + self.predictor.half_width):.3g} ms or more, or choose a "
                "smaller resolution, width or space."
            )

    def penalty(self, probabilities: Sequence[Tensor]) -> tuple[Tensor, float]:
        """The latency term of the loss (differentiable) and the expected ms it is made from.

        It is ``weight * expected / target`` with ``weight = max(0, multiplier + damping * (expected / target - 1))``,
        the gradient of an augmented Lagrangian. It has no unit: one step size serves microcontrollers and servers.
        """
        expected_ms = self.predictor.expected_ms(self.space, probabilities)
        ratio = expected_ms / self.target_ms
        excess = float(ratio.detach()) - 1
        weight = max(0.0, self.multiplier + self.damping * excess)
        return weight * ratio, float(expected_ms.detach())

    def update(self, expected_ms: float) -> None:
        """One step of dual ascent: up while the expected latency is over the target, down, not below 0, while under."""
        self.multiplier = float(max(0.0, self.multiplier + self.step_size * (expected_ms / self.target_ms - 1)))

    def decode(
        self, log_probabilities: Sequence[np.ndarray], limit_ms: float | None = None, per_ms: float = 0.0
    ) -> Architecture:
        """The most probable architecture whose predicted latency is within `limit_ms` (default: `target_ms`).

        If no architecture is within it, the fastest one is returned: `check_feasible` has told the person before.

        Args:
            log_probabilities: one vector per decision, in the order of ``space.decisions``.
            limit_ms: limit on the predicted latency.
            per_ms: what each ms adds to the logarithm of the probability, as `mean_per_ms` gives it.
        """
        limit_ms = self.predictor.curve.sum_ms(self.target_ms if limit_ms is None else limit_ms)
        fixed_ms, costs = self.predictor.decision_costs(self.space)
        gains = _joint(log_probabilities, costs)
        options = [_Options.worth_taking(cost, gain + per_ms * cost) for cost, gain in zip(costs, gains, strict=True)]
        chosen = _knapsack(options, limit_ms - fixed_ms)
        if chosen is None:
            return self.predictor.extremes(self.space)[0]
        code = [
            int(i)
            for cost, option, k in zip(costs, options, chosen, strict=True)
            for i in np.unravel_index(option.ways[k], cost.shape)
        ]
        return self.space.decode(code)

    def mean_per_ms(self, log_probabilities: Sequence[np.ndarray]) -> float:
        """What a ms must add to log probabilities for the most probable architecture to cost what the mean one does.

        The least such tilt, and 1 % more; 0 where the most probable one costs as much already. What is pressed to the
        target is the *mean* over what is sampled. The most probable architecture alone is often a good deal faster,
        where decisions stay open, and would leave that share of the budget unused.

        Args:
            log_probabilities: one vector per decision, each of a distribution.
        """
        fixed_ms, costs = self.predictor.decision_costs(self.space)
        gains = _joint(log_probabilities, costs)
        mean_ms = sum(float((np.exp(gain) * cost).sum()) for gain, cost in zip(gains, costs, strict=True))
        goal_ms = min(mean_ms, self.predictor.curve.sum_ms(self.target_ms) - fixed_ms) * (1 - 1e-9)

        def likeliest_ms(per_ms: float) -> float:
            pairs = zip(gains, costs, strict=True)
            return sum(float(cost.flat[(gain + per_ms * cost).argmax()]) for gain, cost in pairs)

        if likeliest_ms(0.0) >= goal_ms:
            return 0.0
        low, high = 0.0, 1 / self.target_ms
        while likeliest_ms(high) < goal_ms:
            low, high = high, 2 * high
        while high - low > 1e-3 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if likeliest_ms(middle) >= goal_ms else (middle, high)
        return 1.01 * high  # at the least itself two architectures are equally good


def _joint(log_probabilities: Sequence[np.ndarray], costs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The log probability of every way to decide each block, or each cell: arrays of the shapes of `costs`."""
    remaining = [np.maximum(np.asarray(p, float), LEAST_LOG_PROBABILITY) for p in log_probabilities]
    joint = []
    for cost in costs:
        joint.append(reduce(np.add.outer, remaining[: cost.ndim]))
        remaining = remaining[cost.ndim :]
    return joint


@dataclass(frozen=True, eq=False)
class _Options:
    """The ways to decide one or several blocks that are worth taking: (n,) each, from the fastest to the likeliest.

    `ways` are positions in the flattened array of costs.
    """

    ways: np.ndarray
    costs: np.ndarray
    gains: np.ndarray

    @staticmethod
    def worth_taking(cost: np.ndarray, gain: np.ndarray, limit_ms: float = np.inf) -> _Options:
        """Those within the limit that no other one beats in both: of a cell's thousands of ways some dozens remain."""
        cost, gain = cost.ravel(), gain.ravel()
        order = np.lexsort((-gain, cost))[: int((cost <= limit_ms).sum())]
        best_before = np.concatenate([[-np.inf], np.maximum.accumulate(gain[order])])[:-1]
        ways = order[gain[order] > best_before]
        if len(ways) > MOST_OPTIONS:
            ways = ways[np.linspace(0, len(ways) - 1, MOST_OPTIONS).astype(int)]
        return _Options(ways, cost[ways], gain[ways])


def _knapsack(options: list[_Options], rest_ms: float) -> list[int] | None:
    """Which option to take of each, for the largest gain within `rest_ms`; None if nothing is within it.

    By Nemhauser and Ullmann (1969): of the ways to decide the first blocks only those go on that no other one beats,
    which are some hundreds for 20 blocks of 10 candidates.
    """
    costs, gains, steps = np.zeros(1), np.zeros(1), []
    for i, option in enumerate(options):
        to_come_ms = sum(float(o.costs[0]) for o in options[i + 1 :])  # at least
        together = np.add.outer(costs, option.costs), np.add.outer(gains, option.gains)
        worth = _Options.worth_taking(*together, rest_ms - to_come_ms)
        costs, gains = worth.costs, worth.gains
        steps.append(np.divmod(worth.ways, len(option.costs)))
    if not len(costs):
        return None
    chosen, k = [], -1  # the likeliest
    for before, taken in reversed(steps):
        chosen.append(int(taken[k]))
        k = before[k]
    return chosen[::-1]
