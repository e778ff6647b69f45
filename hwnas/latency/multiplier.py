"""The Multiplier: the weight of latency in a search's loss, adapted until the expected latency meets the budget.

A budget with further limits has a weight for each of them, adapted in the same way.

It is adapted by dual ascent, so that nobody tunes a lambda. The latency term is the gradient of an augmented
Lagrangian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
        further: the values of the budget's further limits.
    """

    value: float = 0.0
    step_size: float = 0.01
    damping: float = 2.0
    further: list[float] = field(default_factory=list)
    _ratios: list[float] = field(default_factory=list, repr=False)
    """Of the further limits at the last penalty: what was expected / the target."""

    @property
    def state(self) -> list[float]:
        """All values, for a checkpoint."""
        return [self.value, *self.further]

    def load(self, state: list[float] | float) -> None:
        """Go on from a `state`; checkpoints of earlier versions hold one number."""
        self.value, *self.further = [state] if isinstance(state, float) else state

    def penalty(
        self, budget: Budget, probabilities: Sequence[Tensor], counted: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, float]:
        """The latency term of the loss (differentiable), and the expected ms that it is made from.

        It is ``weight * expected / target`` with ``weight = max(0, value + damping * (expected / target - 1))``, added
        up over the limits. It has no unit: one step size serves microcontrollers and servers.

        Args:
            budget: whose target is aimed at.
            probabilities: one vector per decision, in the order of ``space.decisions``.
            counted: the same for the further limits, where they are other ones.
        """
        expected_ms = budget.predictor.expected_ms(budget.space, probabilities)
        ratio = expected_ms / budget.target_ms
        excess = float(ratio.detach()) - 1
        weight = max(0.0, self.value + self.damping * excess)
        total = weight * ratio
        self.further = self.further or [0.0] * len(budget.further)
        self._ratios = []
        for limit, value in zip(budget.further, self.further, strict=True):
            ratio = limit.ratio(budget.space, probabilities if counted is None else counted)
            self._ratios.append(float(ratio.detach()))
            total = total + max(0.0, value + self.damping * (self._ratios[-1] - 1)) * ratio
        return total, float(expected_ms.detach())

    def update(self, budget: Budget, expected_ms: float) -> None:
        """One step of dual ascent: up while the expected latency is over the target, down, not below 0, while under.

        The further limits go by what `penalty` expected last.
        """
        self.value = self._stepped(self.value, expected_ms / budget.target_ms)
        self.further = [self._stepped(v, r) for v, r in zip(self.further, self._ratios, strict=False)]

    def _stepped(self, value: float, ratio: float) -> float:
        return float(max(0.0, value + self.step_size * (ratio - 1)))
