"""Derivers: the architecture within a budget, out of a supernet's probabilities or out of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import LEAST_LOG_PROBABILITY, mean_per_ms, most_probable_within
from hwnas.searches.contracts import Deriver, Evaluation
from hwnas.searches.derivation import Derivation
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture, OneOf
from hwnas.specs.cell import Zero
from hwnas.supernet.network import SuperNetwork
from hwnas.train import distributed

MEASURED_TRIES = 3
"""How often an architecture that measures over the budget is replaced by a faster one."""

REPEATABLE = 0.99
"""Share of the budget that a measurement must not exceed to be within it when it is repeated."""

LARGEST_GAP = 30.0
"""Logarithm of the largest ratio of two candidates' probabilities that counts where `Zero` is to lose to both."""

Decode = Literal["mean", "mode"]
Derive = Literal["reranked", "probable"]


@dataclass(frozen=True, eq=False)
class MostProbable:
    """The most probable architecture of a net's ``probabilities()`` within the budget, also as it measures.

    Attributes:
        net: a SuperNetwork.
        decode: ``mode``, the most probable one, or ``mean``, the most probable one of those that cost what the mean one
            does (`Budget.mean_per_ms`).
        exclude_none: an edge of a cell is left out (`Zero`) only where nothing within the budget leaves out fewer, as
            DARTS decodes.
    """

    net: SuperNetwork
    decode: Decode = "mode"
    exclude_none: bool = False
    any_budget: bool = False
    evaluations: Mapping[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        if taken is not None:
            return taken
        log_probabilities, per_ms = self.log_probabilities(problem.budget)
        return within_as_measured(
            problem,
            lambda budget: most_probable_within(budget, log_probabilities, per_ms),
        )

    def within(self, budget: Budget) -> Architecture:
        """The most probable one within a budget by prediction alone."""
        return most_probable_within(budget, *self.log_probabilities(budget))

    def log_probabilities(self, budget: Budget) -> tuple[list[Floats], float]:
        """Those of each decision's candidates, and what each ms adds to their sum."""
        logs = [p.detach().double().log().cpu().numpy() for p in self.net.probabilities()]
        per_ms = mean_per_ms(budget, logs) if self.decode == "mean" else 0.0
        if self.exclude_none:
            logs = [without_none(each, log) for each, log in zip(budget.space.decisions, logs, strict=True)]
        return logs, per_ms


def without_none(decision: OneOf, gains: Floats) -> Floats:
    """The gains of a decision's candidates where a `Zero` is worth less than all that other decisions can make up."""
    kept = np.maximum(gains, gains.max() - LARGEST_GAP)
    return np.where([isinstance(spec, Zero) for spec in decision.candidates], LEAST_LOG_PROBABILITY, kept)


def best_evaluated(evaluations: Iterable[Evaluation], budget: Budget) -> Architecture:
    """The best architecture evaluated within the budget; if there is none, the surest of all."""
    within = [e for e in evaluations if budget.is_within(e.architecture)]
    return max(within, key=lambda e: e.rank).architecture if within else budget.surest


def within_as_measured(problem: SearchProblem, best: Callable[[Budget], Architecture]) -> Architecture:
    """The architecture that `best` picks within the budget, and within it as measured, where that can be measured.

    Each pick that measures over a limit lowers that limit on the prediction by as much. The returned one was measured:
    the first pick that is within; else the fastest network of the space (with further limits: the surest to be within
    all); or, if that is over too, the least so.

    Args:
        best: the best architecture known whose predicted 90 % intervals end within a budget.
    """
    budget = problem.budget
    pick = best(budget)
    if problem.measured_ms is None and not any(limit.measured for limit in budget.further):
        return pick
    excess: dict[Architecture, list[float]] = {}
    for _ in range(1 + MEASURED_TRIES):
        if pick in excess:  # nothing is faster by so much
            break
        excess[pick] = _excess(problem, pick)
        if max(excess[pick]) <= 1:
            return pick
        budget = budget.tightened(pick, excess[pick])
        pick = best(budget)
    budget = problem.budget
    last = budget.surest if budget.further else budget.predictor.extremes(budget.space)[0]
    if last not in excess:
        excess[last] = _excess(problem, last)
    return min(excess, key=lambda each: max(excess[each]))


def _excess(problem: SearchProblem, architecture: Architecture) -> list[float]:
    """Per limit, the measured share of it that an architecture takes; 0 where it cannot be measured."""
    own, *further = problem.budget.limits
    measured = [(own.most * REPEATABLE, problem.measured_ms)]
    measured += [(limit.most * limit.repeatable, limit.measured) for limit in further]
    return [0.0 if measure is None else measure(architecture) / most for most, measure in measured]


def derive_together(
    problem: SearchProblem, deriver: Deriver, taken: Architecture | None = None
) -> tuple[Architecture, Derivation]:
    """The architecture that `deriver` gives in the first of several processes, which alone evaluates; and how."""

    def derive() -> tuple[tuple[int, ...], Derivation]:
        architecture = deriver(problem, taken)
        return space.indices(architecture), Derivation.of(problem.budget, architecture, deriver.evaluations)

    space = problem.budget.space
    code, derivation = distributed.from_first(derive)
    return space.decode(code), derivation
