"""A frontier: several budgets from one SuperNetwork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hwnas.child import ChildNetwork, save_child
from hwnas.errors import UsageError
from hwnas.latency.predictor import Prediction
from hwnas.run import FRONTIER_FOLDER
from hwnas.searches.derivers import MostProbable, derive_together
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture


def frontier(result: SearchResult, budgets_ms: Sequence[float]) -> list[SearchResult]:
    """The best architecture within each budget that one search supports, from the largest budget down.

    No supernet is trained further. A one-shot search (``spos``, ``random``) is repeated with each budget: its
    SuperNetwork knows of none, and children that it trained by themselves are known. The others decode each exactly
    from the probabilities, or the indicators, as the search left them, which know best what lies near the budget that
    was searched. A SuperKernelNet starts from the largest network and learns in which order to give things up, so
    search at the largest budget; the smaller ones go on in that order. What was evaluated for a smaller budget is a
    candidate for all larger ones, also for the one that was searched, whose network may thus become a better one.

    Args:
        result: of a search at the largest budget.
        budgets_ms: limits in ms.

    Raises:
        UsageError: a budget above the one that was searched, and a method whose probabilities depend on that.
        HwnasError: a budget that no architecture meets.
    """
    searched = result.problem.budget
    deriver = result.deriver or MostProbable(result.supernet)
    budgets = [replace(searched, budget_ms=budget_ms) for budget_ms in sorted(set(budgets_ms))]
    for budget in budgets:
        if budget.budget_ms > searched.budget_ms and not deriver.any_budget:
            raise UsageError(
                f"{budget.budget_ms:g} ms is more than the {searched.budget_ms:g} ms that were searched: a "
                "search for a smaller budget does not learn how to spend a larger one. Search at the largest budget."
            )
        budget.check_feasible()
    results: list[SearchResult] = []
    for budget in budgets:
        problem = replace(result.problem, budget=budget)
        # of the budget that was searched the answer is there, and its weights may have been trained on since
        taken = result.architecture if budget.budget_ms == searched.budget_ms else None
        architecture, derivation = derive_together(problem, deriver, taken)
        if architecture == taken:
            derivation = result.derivation or derivation
        results.append(replace(result, problem=problem, architecture=architecture, derivation=derivation))
    return results[::-1]


@dataclass(frozen=True)
class FrontierPoint:
    """The network of one budget. Accuracy is a share from 0 to 1."""

    budget_ms: float
    architecture: Architecture
    prediction: Prediction
    measured_ms: float | None
    """None where the target cannot be measured."""
    accuracy: float
    folder: Path
    """Holds the child: architecture and weights."""

    @property
    def status(self) -> Literal["within", "over"] | None:
        """Whether it measures within its budget; None where it cannot be measured."""
        if self.measured_ms is None:
            return None
        return "within" if self.measured_ms <= self.budget_ms else "over"

    @property
    def in_interval(self) -> bool | None:
        """Whether it measures within its predicted 90 % interval; None where it cannot be measured."""
        return None if self.measured_ms is None else self.prediction.holds(self.measured_ms)

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "in_interval": self.in_interval,
            "budget_ms": self.budget_ms,
            "predicted_ms": self.prediction.ms,
            "interval_ms": list(self.prediction.interval_ms),
            "measured_ms": self.measured_ms,
            "accuracy": self.accuracy,
            "macs": self.architecture.macs,
            "params": self.architecture.params,
            "architecture": self.architecture.to_json(),
            "folder": str(self.folder),
        }


def save_frontier(
    results: Sequence[SearchResult],
    folder: Path,
    child_of: Callable[[SearchResult], ChildNetwork],
    accuracy: Callable[[ChildNetwork], float],
) -> list[FrontierPoint]:
    """Make, judge, measure and save the child of every budget, each in a folder named for it: ``frontier/0.4ms``.

    Args:
        results: from `frontier`.
        folder: the run's.
        child_of: a result's child, trained.
        accuracy: judges a child.
    """
    points = []
    for result in results:
        problem, own = result.problem, folder / FRONTIER_FOLDER / f"{result.problem.budget.budget_ms:.9g}ms"
        child = child_of(result)
        save_child(child, own)
        points.append(
            FrontierPoint(
                budget_ms=problem.budget.budget_ms,
                architecture=result.architecture,
                prediction=problem.budget.predictor.predict(result.architecture),
                measured_ms=problem.measured_ms(result.architecture) if problem.measured_ms else None,
                accuracy=accuracy(child),
                folder=own,
            )
        )
    return points
