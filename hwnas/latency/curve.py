"""The Curve: how a network's latency follows from the sum of what its blocks cost.

Blocks that were measured one by one found their weights in the caches that a whole network has to share: the larger the
network, the more each of its blocks waits for memory. One number says by how much the curve is bent,

    ms = sum * (1 + bend * (sum / centre - 1))

which leaves a network of usual size as the sum has it. The curve rises, so that a limit on ms is a limit on the sum,
and decoding under a budget stays exact; it is quadratic, so that its expectation is known from mean and variance of the
sum.

It begins at a least sum. A fit to few networks may foresee that a small one takes less than nothing: such a network is
predicted to take what the least sum does. This is the one place that keeps predictions above 0; a curve that begins at
the least still nowhere falls, so limits on ms stay limits on the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_BEND = 0.8
"""A bend of 1 would have a small network cost nothing."""

Number = TypeVar("Number", float, np.ndarray, "Tensor")


@dataclass(frozen=True)
class Curve:
    """The bend, from 0 (a straight line) to `LARGEST_BEND`, the sum in ms that the curve leaves as it is, and the sum
    that smaller ones are taken for."""

    bend: float = 0.0
    centre_ms: float = 1.0
    least_ms: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.bend <= LARGEST_BEND and self.centre_ms > 0 and 0 <= self.least_ms < np.inf):
            raise ValueError(
                f"a curve bends by 0 to {LARGEST_BEND} around a positive centre, from 0 ms or more on, not by {self}"
            )

    def floored(self, sums: Number) -> Number:
        """The sums, those below the least one as large as it."""
        return max(sums, self.least_ms) if isinstance(sums, float) else sums.clip(self.least_ms)

    def ms(self, sums: Number) -> Number:
        """The ms of networks whose blocks cost `sums`, of any shape."""
        return self.expected_ms(sums, 0.0 * sums)

    def expected_ms(self, mean: Number, variance: Number) -> Number:
        """The expected ms where the sum is random, with this mean and variance; exact where it is above the least."""
        mean = self.floored(mean)
        return (1 - self.bend) * mean + self.bend / self.centre_ms * (mean * mean + variance)

    def sums(self, ms: np.ndarray) -> np.ndarray:
        """The inverse of `ms`."""
        straight = 1 - self.bend
        return 2 * ms / (straight + np.sqrt(straight**2 + 4 * self.bend * ms / self.centre_ms))

    def sum_ms(self, ms: float) -> float:
        """The largest sum whose latency is within `ms`; minus infinity if none is."""
        return float(self.sums(np.array(ms))) if ms >= self.ms(self.least_ms) * (1 - 1e-9) else -np.inf

    def slope(self, sums: Number) -> Number:
        """The ms that a network gains per ms of its sum."""
        return 1 - self.bend + 2 * self.bend / self.centre_ms * sums

    def deviation(self, sums: np.ndarray) -> np.ndarray:
        """What a bend of 1 adds to each of the sums."""
        return sums * (sums / self.centre_ms - 1)

    def elasticity(self, sums: np.ndarray) -> np.ndarray:
        """By how many percent ms grows where the sum grows by one."""
        bent = self.bend * sums / self.centre_ms
        return (1 - self.bend + 2 * bent) / np.maximum(1 - self.bend + bent, 1e-12)


STRAIGHT = Curve()
