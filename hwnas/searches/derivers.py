"""Derivers: the architecture within a budget, out of a supernet's probabilities or out of evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import LEAST_LOG_PROBABILITY, mean_per_ms, most_probable_within
from hwnas.searches.as_measured import within_as_measured
from hwnas.searches.contracts import Deriver, Evaluation
from hwnas.searches.derivation import Derivation
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture, OneOf
from hwnas.specs.cell import Zero
from hwnas.supernet.network import SuperNetwork
from hwnas.train import distributed

LARGEST_GAP = 30.0
"""Logarithm of the largest ratio of two candidates' probabilities that counts where `Zero` is to lose to both."""

Decode = Literal["mean", "mode"]
Derive = Literal["regression", "reranked", "probable"]


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
    regresses: bool = False
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


def derive_together(
    problem: SearchProblem, deriver: Deriver, taken: Architecture | None = None
) -> tuple[Architecture, Derivation]:
    """The architecture that `deriver` gives in the first of several processes, which alone evaluates; and how."""

    def derive() -> tuple[tuple[int, ...], Derivation]:
        architecture = deriver(problem, taken)
        return space.indices(architecture), Derivation.of(
            problem.budget, architecture, deriver.evaluations, deriver.regresses
        )

    space = problem.budget.space
    code, derivation = distributed.from_first(derive)
    return space.decode(code), derivation
