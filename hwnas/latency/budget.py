"""The Budget: a limit in ms on the latency of the architectures of one space, perhaps with further limits beside it.

An architecture is within the budget if its own 90 % interval ends there, not the interval of a usual one. A budget is
feasible if some architecture is within it. `hwnas.latency.multiplier` keeps a search near a budget;
`hwnas.latency.decoding` takes the most probable architecture within it. With further limits, on other devices or on
what can be counted, all of that holds for all limits at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.arrays import Floats
from hwnas.latency.limit import TOLERANCE, Limit
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.several import best_within_all, largest_shares, surest_within_all
from hwnas.latency.surest import surest_architecture
from hwnas.space import Architecture, SearchSpace
from hwnas.text import excerpt


class InfeasibleBudget(HwnasError):
    """No network of a space is within a budget, as predicted."""


@dataclass(frozen=True)
class Budget:
    """A latency limit for the architectures of a space, whose latencies a predictor knows.

    Attributes:
        budget_ms: the limit, which the measured network must not exceed.
        space: the architectures.
        predictor: of their latencies.
        further: limits of other devices, and of what is counted, that hold at the same time.
        name: of the device and its runtime, where there are several.
    """

    budget_ms: float
    space: SearchSpace
    predictor: LatencyPredictor
    further: tuple[Limit, ...] = ()
    name: str = "latency"

    def __post_init__(self) -> None:
        if not (isinstance(self.budget_ms, Real) and math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise UsageError(f"the budget must be a positive number of milliseconds, not {excerpt(self.budget_ms)}.")

    def __repr__(self) -> str:
        further = "".join(f", {limit.name} {limit.most:g} {limit.unit}".rstrip() for limit in self.further)
        return f"Budget({self.budget_ms:g} ms{further}, space {self.space.name!r})"

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """All of them: its own first."""
        return (Limit(self.name, self.budget_ms, self.predictor), *self.further)

    @property
    def target_ms(self) -> float:
        """The expected latency that a search aims at: the interval of a usual network of so many ms ends at the budget.

        A decoded architecture is checked by its own interval, which may be narrower or wider.
        """
        return self.budget_ms / (1 + self.predictor.half_width)

    @cached_property
    def surest(self) -> Architecture:
        """The architecture whose interval ends first: if any is within the budget, it is (`hwnas.latency.surest`).

        With further limits: one that is within all if any is (`hwnas.latency.several`).
        """
        if self.further:
            return surest_within_all(self.space, self.limits)
        return surest_architecture(self.space, self.predictor)

    def is_within(self, architecture: Architecture) -> bool:
        """Whether the architecture's own 90 % interval ends within the budget, and within each further limit."""
        return all(limit.model.predict(architecture).high_ms <= limit.most * TOLERANCE for limit in self.limits)

    def are_within(self, architectures: Sequence[Architecture]) -> list[bool]:
        """As `is_within`, for many architectures at once."""
        within: list[bool] = (self.end_shares(architectures) <= TOLERANCE).tolist()
        return within

    def end_shares(self, architectures: Sequence[Architecture]) -> Floats:
        """(n,): where each one's own 90 % interval ends, as a share of the limit that this leaves least of."""
        return largest_shares(self.limits, architectures)

    @property
    def leaning(self) -> tuple[Limit, ...]:
        """The limits that are worth using up."""
        return tuple(limit for limit in self.limits if limit.leans)

    def used_shares(self, architectures: Sequence[Architecture]) -> Floats:
        """(n,): as `end_shares`, of the limits that are worth using up."""
        return largest_shares(self.leaning, architectures)

    def share(self, architecture: Architecture) -> float:
        """The share that an architecture is predicted to take of the limit that it uses most."""
        return max(limit.model.predict(architecture).ms / limit.most for limit in self.leaning)

    @property
    def largest_share(self) -> float:
        """The share that the largest networks are predicted to take of the limit that they use most."""
        limits, space = self.leaning, self.space
        return max(limit.model.predict(limit.model.extremes(space)[1]).ms / limit.most for limit in limits)

    def tightened(self, architecture: Architecture, excess: Sequence[float]) -> Budget:
        """The budget under which this architecture is over by as much as it measured over each limit.

        Args:
            architecture: what was measured.
            excess: per limit what it takes in truth, as a share of what it may; of those above 1 it is over.
        """
        ends = [float(limit.shares([architecture])[0]) for limit in self.limits]
        return self.loosened([end / over if over > 1 else 1.0 for end, over in zip(ends, excess, strict=True)])

    def reaching(self, architecture: Architecture) -> Budget:
        """The budget, with as much more room as an architecture takes by the end of its interval, if it takes more."""
        return self.loosened([max(1.0, float(limit.shares([architecture])[0])) for limit in self.limits])

    @property
    def largest_ratios(self) -> list[float]:
        """Per limit, how many times its target the largest network is predicted to take."""
        return [limit.model.predict(limit.model.extremes(self.space)[1]).ms / limit.target for limit in self.limits]

    def loosened(self, factors: Sequence[float]) -> Budget:
        """With each limit times its factor."""
        own, *others = [limit.most * factor for limit, factor in zip(self.limits, factors, strict=True)]
        further = tuple(replace(limit, most=most) for limit, most in zip(self.further, others, strict=True))
        return replace(self, budget_ms=own, further=further)

    @property
    def is_feasible(self) -> bool:
        """Whether some architecture is within the budget."""
        return self.is_within(self.surest)

    def check_feasible(self) -> None:
        """Raise InfeasibleBudget, naming the least feasible budget, if no architecture is within this one.

        With further limits it names the one that cannot be met, or the least of each where the others are met.
        """
        if self.is_feasible:
            return
        for limit in self.further:
            check_alone(self.space, limit)
        alone = replace(self, further=())
        if alone.is_feasible:
            raise InfeasibleBudget(_not_together(self))
        least_ms = self.predictor.predict(alone.surest).high_ms
        where = f" on {self.name}" if self.further else ""
        fastest, slowest = self.predictor.extremes(self.space)
        fastest_ms, slowest_ms = self.predictor.predict(fastest).ms, self.predictor.predict(slowest).ms
        surest = "" if alone.surest == fastest else f" That of code {alone.surest.code} ends first."
        raise InfeasibleBudget(
            f"a budget of {self.budget_ms:g} ms{where} cannot be met: the fastest architecture of space "
            f"{self.space.name!r}, code {fastest.code}, takes {fastest_ms:.4g} ms, and its 90 % interval ends at "
            f"{self.predictor.predict(fastest).high_ms:.4g} ms (the slowest takes {slowest_ms:.3g}).{surest} Raise "
            f"the budget to {round_up(least_ms):g} ms or more, choose a smaller resolution, width or space, or "
            "measure more networks, which makes intervals narrower."
        )


def check_alone(space: SearchSpace, limit: Limit) -> None:
    """Raise HwnasError, naming the least, if a limit cannot be met whatever the others are."""
    surest = surest_architecture(space, limit.model)
    least = limit.model.predict(surest).high_ms
    if least > limit.most * TOLERANCE:
        raise InfeasibleBudget(
            f"{limit.name} of {limit.written(limit.most)} cannot be met: the least that a network of space "
            f"{space.name!r} takes is {limit.written(round_up(least))}, that of code {surest.code}. Raise this limit "
            "to that or more, or choose a smaller resolution, width or space."
        )


def _not_together(budget: Budget) -> str:
    """A note on limits that can be met each by itself and not together."""
    space, limits = budget.space, budget.limits
    least = []
    for limit in budget.leaning:
        others = [each for each in limits if each is not limit]
        gains = [-cost for cost in limit.row(space).costs]
        found = best_within_all(space, others, gains)
        if found is not None:
            end = limit.model.predict(found).high_ms
            least.append(f"{limit.written(round_up(end))} of {limit.name} is enough")
    told = ", ".join(f"{limit.name} {limit.written(limit.most)}" for limit in limits)
    cure = f"With the others as they are, {' or '.join(least)}" if least else "No single one of them, raised, is enough"
    factor = np.ceil(1000 * budget.end_shares([budget.surest])[0]) / 1000
    return (
        f"no network of space {space.name!r} is within all limits ({told}), though each can be met by itself. {cure}; "
        f"or raise all of them by {100 * (factor - 1):.3g} %. A smaller resolution, width or space helps, too."
    )


def round_up(ms: float) -> float:
    """To four digits, upwards: a budget of the ms that a message shows is feasible."""
    unit = 10.0 ** (math.floor(math.log10(ms)) - 3)
    return float(f"{math.ceil(ms / unit) * unit:.4g}")
