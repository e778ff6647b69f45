"""The Budget: a limit in ms on the latency of the architectures of one space.

An architecture is within the budget if its own 90 % interval ends there, not the interval of a usual one. A budget is
feasible if some architecture is within it. `hwnas.latency.multiplier` keeps a search near a budget;
`hwnas.latency.decoding` takes the most probable architecture within it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.surest import surest_architecture
from hwnas.space import Architecture, SearchSpace

TOLERANCE = 1 + 1e-9


class InfeasibleBudget(HwnasError):
    """No network of a space is within a budget, as predicted."""


@dataclass(frozen=True)
class Budget:
    """A latency limit for the architectures of a space, whose latencies a predictor knows.

    Attributes:
        budget_ms: the limit, which the measured network must not exceed.
        space: the architectures.
        predictor: of their latencies.
    """

    budget_ms: float
    space: SearchSpace
    predictor: LatencyPredictor

    def __post_init__(self) -> None:
        if not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise UsageError(f"the budget must be a positive number of milliseconds, not {self.budget_ms}.")

    def __repr__(self) -> str:
        return f"Budget({self.budget_ms:g} ms, space {self.space.name!r})"

    @property
    def target_ms(self) -> float:
        """The expected latency that a search aims at: the interval of a usual network of so many ms ends at the budget.

        A decoded architecture is checked by its own interval, which may be narrower or wider.
        """
        return self.budget_ms / (1 + self.predictor.half_width)

    @cached_property
    def surest(self) -> Architecture:
        """The architecture whose interval ends first: if any is within the budget, it is (`hwnas.latency.surest`)."""
        return surest_architecture(self.space, self.predictor)

    def is_within(self, architecture: Architecture) -> bool:
        """Whether the architecture's own 90 % interval ends within the budget."""
        return self.predictor.predict(architecture).high_ms <= self.budget_ms * TOLERANCE

    def are_within(self, architectures: Sequence[Architecture]) -> list[bool]:
        """As `is_within`, for many architectures at once."""
        return [p.high_ms <= self.budget_ms * TOLERANCE for p in self.predictor.predict_many(architectures)]

    @property
    def is_feasible(self) -> bool:
        """Whether some architecture is within the budget."""
        return self.is_within(self.surest)

    def check_feasible(self) -> None:
        """Raise InfeasibleBudget, naming the least feasible budget, if no architecture is within this one."""
        if self.is_feasible:
            return
        least_ms = self.predictor.predict(self.surest).high_ms
        fastest, slowest = self.predictor.extremes(self.space)
        fastest_ms, slowest_ms = self.predictor.predict(fastest).ms, self.predictor.predict(slowest).ms
        surest = "" if self.surest == fastest else f" That of code {self.surest.code} ends first."
        raise InfeasibleBudget(
            f"a budget of {self.budget_ms:g} ms cannot be met: the fastest architecture of space "
            f"{self.space.name!r}, code {fastest.code}, takes {fastest_ms:.4g} ms, and its 90 % interval ends at "
            f"{self.predictor.predict(fastest).high_ms:.4g} ms (the slowest takes {slowest_ms:.3g}).{surest} Raise "
            f"the budget to {round_up(least_ms):g} ms or more, choose a smaller resolution, width or space, or "
            "measure more networks, which makes intervals narrower."
        )


def round_up(ms: float) -> float:
    """To four digits, upwards: a budget of the ms that a message shows is feasible."""
    unit = 10.0 ** (math.floor(math.log10(ms)) - 3)
    return float(f"{math.ceil(ms / unit) * unit:.4g}")
