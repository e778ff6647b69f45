"""The Axis: where a value stands along a chart, in percent of its length, and the round values that are written there.

Charts are drawn in percent, so that they are as wide as the page and their text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TICKS = 5
"""About as many round values stand on an axis."""


@dataclass(frozen=True)
class Tick:
    """A round value on an axis."""

    percent: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low`, at 0 %, to `high`, at 100 %."""

    low: float
    high: float

    @staticmethod
    def around(values: Iterable[float], from_zero: bool = False, margin: float = 0.07) -> Axis:
        """An axis that holds all values, with a margin as a share of their span.

        Args:
            values: at least one, finite.
            from_zero: the axis begins at 0, as it must where the lengths of bars are compared.
            margin: at both ends; at the upper one alone where the axis begins at 0.
        """
        found = list(values)
        low, high = (0.0 if from_zero else min(found)), max(found)
        span = high - low or abs(high) or 1.0
        return Axis(low if from_zero else low - margin * span, high + margin * span)

    def percent(self, value: float) -> float:
        """Where a value stands; one beyond the ends stands at the end."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    def ticks(self, factor: float = 1.0) -> list[Tick]:
        """Round values, written as `factor` times the value: 100 for shares in percent."""
        low, high = factor * self.low, factor * self.high
        rough = (high - low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = min((m * power for m in (1, 2, 5, 10)), key=lambda each: abs(math.log(each / rough)))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        return [Tick(self.percent(n * step / factor), f"{n * step + 0.0:,.{decimals}f}") for n in numbers]
