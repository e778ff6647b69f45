"""What choosing by inherited weights is worth: the same children with inherited weights and trained alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.space import Architecture


@dataclass(frozen=True)
class InheritanceGap:
    """Accuracies (0 to 1) of the same children with inherited weights and trained alone."""

    architectures: tuple[Architecture, ...]
    inherited: tuple[float, ...]
    alone: tuple[float, ...]

    @property
    def mean_gap(self) -> float:
        """How much better children are when trained alone, on average; positive as a rule."""
        return float(np.mean(np.subtract(self.alone, self.inherited)))

    @property
    def kendall_tau(self) -> float:
        """Rank agreement of the two, from -1 to 1: what choosing by inherited accuracy is worth."""
        from scipy.stats import kendalltau

        return float(kendalltau(self.inherited, self.alone).statistic)


def inheritance_gap(
    architectures: Sequence[Architecture],
    inherited: Callable[[Architecture], float],
    alone: Callable[[Architecture], float],
) -> InheritanceGap:
    """Evaluate children in both ways.

    Args:
        architectures: distinct networks, 10 or more for a rank correlation that means something.
        inherited: as a rule the accuracy that an `InheritedEvaluator` finds.
        alone: accuracy of a child trained by itself, such as `hwnas.train.child.trained_accuracy`, or a published one.
    """
    return InheritanceGap(tuple(architectures), tuple(map(inherited, architectures)), tuple(map(alone, architectures)))
