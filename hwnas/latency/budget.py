"""The Budget: a limit in ms. Feasible before a search, pressed for during it, kept exactly when it decodes.

During a search the multiplier of the latency term is adapted by dual ascent until the expected latency meets the limit,
so that nobody tunes a lambda. Afterwards the architecture is decoded by constrained optimisation: the most probable one
*within* the limit, a multiple-choice knapsack in which a cell is one item with thousands of choices. A network is
within if its own 90 % interval ends there, and a limit is feasible if some network is; see `hwnas.latency.promise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.predictor import AdditivePredictor
from hwnas.latency.promise import TOLERANCE, best_within, round_up, surest
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.latency.proxy_space import StandInPredictor

LEAST_LOG_PROBABILITY = -1e3
"""What stands for the logarithm of zero."""


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
        """What a search presses the expected latency to: the interval of a usual network of so many ms ends at the
        limit. What is decoded is checked by its own interval, which may be narrower or wider."""
        return self.limit_ms / (1 + self.predictor.half_width)

    @property
    def surest(self) -> Architecture:
        """The architecture whose interval ends first: if any is within the budget, it is."""
        return surest(self.predictor, self.space)

    def holds(self, architecture: Architecture, limit_ms: float | None = None) -> bool:
        """Whether an architecture's own 90 % interval ends within `limit_ms` (default: the budget's)."""
        end_ms = self.predictor.predict(architecture).high_ms
        return end_ms <= (self.limit_ms if limit_ms is None else limit_ms) * TOLERANCE

    def check_feasible(self) -> None:
        """Raise HwnasError, naming the least budget that is feasible, if no network's interval ends within this one."""
        best = self.surest
        if self.holds(best):
            return
        least_ms = self.predictor.predict(best).high_ms
        fastest, slowest = self.predictor.extremes(self.space)
        fastest_ms, slowest_ms = self.predictor.predict(fastest).ms, self.predictor.predict(slowest).ms
        surest_ms = "" if best == fastest else f" That of code {best.code} ends first."
        raise HwnasError(
            f"a budget of {self.limit_ms:g} ms cannot be met: the fastest architecture of space "
            f"{self.space.name!r}, code {fastest.code}, takes {fastest_ms:.4g} ms, and its 90 % interval ends at "
            f"{self.predictor.predict(fastest).high_ms:.4g} ms (the slowest takes {slowest_ms:.3g}).{surest_ms} Raise "
            f"the budget to {round_up(least_ms):g} ms or more, choose a smaller resolution, width or space, or "
            "measure more networks, which makes intervals narrower."
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
        """The most probable architecture whose own 90 % interval ends within `limit_ms` (default: the budget's).

        If there is none, it is the one whose interval ends first: `check_feasible` has told the person before.

        Args:
            log_probabilities: one vector per decision, in the order of ``space.decisions``.
            limit_ms: limit on where the interval ends.
            per_ms: what each ms adds to the logarithm of the probability, as `mean_per_ms` gives it.
        """
        _, costs = self.predictor.decision_costs(self.space)
        pairs = zip(_joint(log_probabilities, costs), costs, strict=True)
        gains = [gain + per_ms * cost for gain, cost in pairs]
        return best_within(self.predictor, self.space, gains, self.limit_ms if limit_ms is None else limit_ms)

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
