"""As measured: the architecture within a budget that the device confirms, where it can be measured.

A prediction's 90 % interval is as wide as the predictor's errors on networks that it did not see, and those on a busy
machine are mostly the machine's. What is known of one network after it was measured is more: so a search that can
measure may look somewhat beyond the budget by prediction, and takes nothing that measures over it.
"""

from __future__ import annotations

from collections.abc import Callable

from hwnas.latency.budget import Budget
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture

MEASURED_TRIES = 3
"""How often an architecture that measures over the budget is replaced by a faster one."""

REPEATABLE = 0.99
"""Share of the budget that a measurement must not exceed to be within it when it is repeated."""

PROBES = 2
"""Architectures at the edge of the budget that are measured to learn whether there is more room than is predicted."""

AIM = 0.97
"""Of what may be measured: at the edge of a roomier budget networks take so much."""

Best = Callable[[Budget], Architecture]
"""The best architecture known whose predicted 90 % intervals end within a budget."""


def within_as_measured(problem: SearchProblem, best: Best, taken: Architecture | None = None) -> Architecture:
    """The architecture that `best` picks within the budget as measured, or as predicted where nothing is measured.

    Args:
        taken: one that was found to be within before.
    """
    measured = MeasuredBudget(problem, taken)
    return measured.within(best, measured.roomier(best) if taken is None else problem.budget.reaching(taken))


class MeasuredBudget:
    """The budget of a problem as its device measures the networks near it; each network is measured once.

    One that is within by measurement alone, not by its interval, is measured twice, and the slower one counts.

    Args:
        problem: that is searched.
        taken: an architecture that was found to be within before: no noise of another measurement changes that.
    """

    def __init__(self, problem: SearchProblem, taken: Architecture | None = None) -> None:
        self.problem = problem
        self._excess: dict[Architecture, list[float]] = {}
        self._taken = taken

    def roomier(self, best: Best) -> Budget:
        """The problem's budget with more room, where its networks measure faster than their intervals end.

        At its edge networks are expected to measure `AIM` of what they may, or to be predicted at the budget itself.
        """
        budget, probed, ratios = self.problem.budget, set[Architecture](), list[list[float]]()
        roomier = budget
        for _ in range(PROBES if self._can_measure else 0):
            pick = best(roomier)
            if pick in probed:
                break
            probed.add(pick)
            ratios.append([])
            for limit, over in zip(budget.limits, self.excess(pick), strict=True):
                end = float(limit.shares([pick])[0])
                ratios[-1].append(min(AIM * end / over, 1 + limit.model.half_width) if over else 1.0)
            factors = [max(1.0, min(each)) for each in zip(*ratios, strict=True)]
            if max(factors) == 1:
                return budget
            roomier = budget.loosened(factors)
        return roomier

    def within(self, best: Best, roomier: Budget) -> Architecture:
        """The first pick that measures within, out of the roomier budget, or else out of the problem's own.

        Each pick that measures over a limit lowers that limit on the prediction by as much. If none is within, it is
        what uses most of it of all that measured within, such as the fastest network of the space (with further limits:
        the surest to be within all); or, if that is over too, the least so of what was measured.
        """
        budget = self.problem.budget
        if not self._can_measure:
            return best(budget)
        for start in [roomier] if roomier is budget else [roomier, budget]:
            if (pick := self._first_within(best, start)) is not None:
                return pick
        self.excess(budget.surest if budget.further else budget.predictor.extremes(budget.space)[0])
        shares = {each: max(excess) for each, excess in self._excess.items()}
        within = [each for each, share in shares.items() if share <= 1]
        return max(within, key=shares.__getitem__) if within else min(shares, key=shares.__getitem__)

    def _first_within(self, best: Best, budget: Budget) -> Architecture | None:
        tried = set[Architecture]()
        for _ in range(1 + MEASURED_TRIES):
            pick = best(budget)
            if pick in tried:  # nothing is faster by so much
                break
            tried.add(pick)
            if pick == self._taken or max(excess := self.excess(pick)) <= 1:
                return pick
            if self._taken is not None:  # that is known to be within, and nothing better is
                return self._taken
            budget = budget.tightened(pick, excess)
        return None

    def excess(self, architecture: Architecture) -> list[float]:
        """Per limit, the measured share of what it may measure; 0 where it cannot be measured."""
        if architecture not in self._excess:
            found = self._measure(architecture)
            if max(found) <= 1 and not self.problem.budget.is_within(architecture):
                found = [max(pair) for pair in zip(found, self._measure(architecture), strict=True)]
            self._excess[architecture] = found
        return self._excess[architecture]

    @property
    def _can_measure(self) -> bool:
        return self.problem.measured_ms is not None or any(limit.measured for limit in self.problem.budget.further)

    def _measure(self, architecture: Architecture) -> list[float]:
        own, *further = self.problem.budget.limits
        measured = [(own.most * REPEATABLE, self.problem.measured_ms)]
        measured += [(limit.most * limit.repeatable, limit.measured) for limit in further]
        return [0.0 if measure is None else measure(architecture) / most for most, measure in measured]
