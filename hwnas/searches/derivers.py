"""Derivers: the architecture within a budget, out of a supernet's probabilities or out of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from hwnas.latency.budget import Budget
from hwnas.latency.decoding import mean_per_ms, most_probable_within
from hwnas.searches.contracts import Deriver, Evaluation
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture
from hwnas.supernet.network import SuperNetwork
from hwnas.train import distributed

MEASURED_TRIES = 3
"""How often an architecture that measures over the budget is replaced by a faster one."""

REPEATABLE = 0.99
"""Share of the budget that a measurement must not exceed to be within it when it is repeated."""

Decode = Literal["mean", "mode"]


@dataclass(frozen=True, eq=False)
class MostProbable:
    """The most probable architecture of a net's ``probabilities()`` within the budget, also as it measures.

    Attributes:
        net: a SuperNetwork.
        decode: ``mode``, the most probable one, or ``mean``, the most probable one of those that cost what the mean one
            does (`Budget.mean_per_ms`).
    """

    net: SuperNetwork
    decode: Decode = "mode"
    any_budget: bool = False

    def __call__(self, problem: SearchProblem) -> Architecture:
        budget = problem.budget
        log_probabilities = [p.detach().double().log().cpu().numpy() for p in self.net.probabilities()]
        per_ms = mean_per_ms(budget, log_probabilities) if self.decode == "mean" else 0.0
        return within_as_measured(
            problem,
            lambda budget_ms: most_probable_within(replace(budget, budget_ms=budget_ms), log_probabilities, per_ms),
        )


def best_evaluated(evaluations: Iterable[Evaluation], budget: Budget) -> Architecture:
    """The best architecture evaluated within the budget; if there is none, the surest of all."""
    within = [e for e in evaluations if budget.is_within(e.architecture)]
    return max(within, key=lambda e: e.score).architecture if within else budget.surest


def within_as_measured(problem: SearchProblem, best: Callable[[float], Architecture]) -> Architecture:
    """The architecture that `best` picks within the budget, and within it as measured, where that can be measured.

    Each pick that measures over the limit lowers the limit on the prediction by as much. The returned one was measured:
    the first pick that is within; else the fastest network of the space; or, if that is over too, the least so.

    Args:
        best: the best architecture known whose predicted 90 % interval ends within so many ms.
    """
    budget = problem.budget
    pick = best(budget.budget_ms)
    if problem.measured_ms is None:
        return pick
    measured_ms: dict[Architecture, float] = {}
    for _ in range(1 + MEASURED_TRIES):
        if pick in measured_ms:  # nothing is faster by so much
            break
        measured_ms[pick] = problem.measured_ms(pick)
        excess = measured_ms[pick] / (REPEATABLE * budget.budget_ms)
        if excess <= 1:
            return pick
        pick = best(budget.predictor.predict(pick).high_ms / excess)
    fastest = budget.predictor.extremes(budget.space)[0]
    if fastest not in measured_ms:
        measured_ms[fastest] = problem.measured_ms(fastest)
    return min(measured_ms, key=measured_ms.__getitem__)


def derive_together(problem: SearchProblem, deriver: Deriver) -> Architecture:
    """The architecture that `deriver` gives in the first of several processes, which alone evaluates and measures."""
    space = problem.budget.space
    return space.decode(distributed.from_first(lambda: list(space.indices(deriver(problem)))))
