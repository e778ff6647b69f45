"""A frontier: several budgets from one SuperNetwork."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwnas.errors import UsageError
from hwnas.search.problem import SearchResult, choose


def frontier(result: SearchResult, budgets_ms: Sequence[float]) -> list[SearchResult]:
    """The best architecture within each budget that one search supports, from the largest budget down.

    Nothing is trained: each is decoded exactly from the probabilities, or the indicators, as the search left them.
    These know best what lies near the budget it was run for. A SuperKernelNet starts from the largest network and
    learns in which order to give things up, so search at the largest budget; the smaller ones go on in that order.

    Args:
        result: of a search at the largest budget.
        budgets_ms: limits in ms.

    Raises:
        UsageError: a budget above the one that was searched.
        HwnasError: a budget that no architecture meets.
    """
    searched = result.problem.budget
    results = []
    for limit_ms in sorted(set(budgets_ms), reverse=True):
        if limit_ms > searched.limit_ms:
            raise UsageError(
                f"{limit_ms:g} ms is more than the {searched.limit_ms:g} ms that were searched: what is decided for a "
                "smaller budget cannot say what a larger one is best spent on. Search at the largest budget."
            )
        budget = replace(searched, limit_ms=limit_ms)
        budget.check_feasible()
        problem = replace(result.problem, budget=budget)
        results.append(SearchResult(problem, result.net, choose(problem, result.net)))
    return results
