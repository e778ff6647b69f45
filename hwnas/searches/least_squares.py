"""Least squares: what each candidate adds to the loss of random children, and the best architecture by that.

The supernet and the random children are those of random search with weight sharing (arXiv 1902.07638). There the best
child is taken; here the architecture whose candidates are best by a regression on all of them
(`hwnas.searches.regression`), decoded exactly within the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.run import Run
from hwnas.searches.method import Method
from hwnas.searches.one_shot import OneShotSettings, at_random, one_shot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.regression import best_by_regression, has_cells
from hwnas.searches.result import SearchResult
from hwnas.train.loop import TrainingProgress


@dataclass(frozen=True)
class LeastSquaresSettings(OneShotSettings):
    """Hyper-parameters. Those of the supernet and of the children: `OneShotSettings`; `population` is not used."""

    evaluations: int = 100


def least_squares(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: LeastSquaresSettings | None = None,
) -> SearchResult:
    """Search with a regression over random children. Raises as `hwnas.searches.dsnas.dsnas`."""
    return one_shot(
        at_random,
        problem,
        run,
        progress,
        settings or LeastSquaresSettings(),
        best_by_regression,
        regresses=not has_cells(problem.budget.space),
    )


LEAST_SQUARES = Method(
    least_squares,
    LeastSquaresSettings,
    summary="random search's supernet and children (arXiv 1902.07638), and a regression on what these have in common",
    weights="a block per candidate",
    trains="one uniform path",
    decides="a regression on the losses of random children",
    section="Least squares",
)
