"""The Multiplier: the weight of latency in a search's loss, adapted until the expected latency meets the budget.

It is adapted by dual ascent, so that nobody tunes a lambda. The latency term is the gradient of an augmented
Lagrangian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwnas.latency.budget import Budget

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Multiplier:
    """The state of one search's dual ascent.

    Attributes:
        value: weight of the latency term in the loss; starts at 0 and follows the expected latency.
        step_size: how much the value grows per step for an expected latency of twice the target.
        damping: how much the latency term weighs at once for such an excess, or less for a shortfall: without it the
            value, which only forgets slowly, would push the latency far below the target before it lets go.
    """

    value: float = 0.0
    step_size: float = 0.01
    damping: float = 2.0

    def penalty(self, budget: Budget, probabilities: Sequence[Tensor]) -> tuple[Tensor, float]:
        """The latency term of the loss (differentiable), and the expected ms that it is made from.

        It is ``weight * expected / target`` with ``weight = max(0, value + damping * (expected / target - 1))``. It
        has no unit: one step size serves microcontrollers and servers.

        Args:
            budget: whose target is aimed at.
            probabilities: one vector per decision, in the order of ``space.decisions``.
        """
        expected_ms = budget.predictor.expected_ms(budget.space, probabilities)
        ratio = expected_ms / budget.target_ms
        excess = float(ratio.detach()) - 1
        weight = max(0.0, self.value + self.damping * excess)
        return weight * ratio, float(expected_ms.detach())

    def update(self, budget: Budget, expected_ms: float) -> None:
        """One step of dual ascent: up while the expected latency is over the target, down, not below 0, while under."""
        self.value = float(max(0.0, self.value + self.step_size * (expected_ms / budget.target_ms - 1)))
