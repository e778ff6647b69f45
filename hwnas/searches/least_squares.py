"""Least squares: what each candidate adds to the loss of random children, and the best architecture by that.

The supernet and the random children are those of random search with weight sharing (arXiv 1902.07638). There the best
child is taken; but how one child does with shared weights says less of it than how all children do that have a
candidate in common (`benchmarks/search_quality.py` compares both). So a ridge regression on the children's decisions is
fitted, and the architecture whose candidates are best by it is decoded exactly within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within, joint_gains
from hwnas.run import Run
from hwnas.searches.contracts import Evaluation
from hwnas.searches.method import Method
from hwnas.searches.one_shot import OneShotSettings, at_random, one_shot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture, SearchSpace
from hwnas.train.loop import TrainingProgress

RIDGE = 1.0
"""Weight of "no candidate differs from another", in children."""


@dataclass(frozen=True)
class LeastSquaresSettings(OneShotSettings):
    """Hyper-parameters. Those of the supernet and of the children: `OneShotSettings`; `population` is not used."""

    evaluations: int = 100


def candidate_effects(space: SearchSpace, children: Sequence[Evaluation]) -> list[Floats]:
    """What each candidate adds to the score, one vector per decision: only differences within one mean anything.

    Args:
        space: whose architectures the children are.
        children: one at least, compared by the same thing.
    """
    sizes = [len(decision.candidates) for decision in space.decisions]
    rows = [
        np.concatenate([np.eye(size)[k] for size, k in zip(sizes, space.indices(child.architecture), strict=True)])
        for child in children
    ]
    x, y = np.array(rows), np.array([child.score for child in children])
    x, y = x - x.mean(0), y - y.mean()
    effects = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return np.split(effects, np.cumsum(sizes)[:-1])


def best_by_regression(children: Sequence[Evaluation], budget: Budget) -> Architecture:
    """The best architecture within the budget by what its candidates add to the score of children."""
    _, costs = budget.predictor.decision_costs(budget.space)
    return best_within(budget, joint_gains(candidate_effects(budget.space, children), costs))


def least_squares(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: LeastSquaresSettings | None = None,
) -> SearchResult:
    """Search with a regression over random children. Raises as `hwnas.searches.dsnas.dsnas`."""
    return one_shot(at_random, problem, run, progress, settings or LeastSquaresSettings(), best_by_regression)


LEAST_SQUARES = Method(
    least_squares,
    LeastSquaresSettings,
    summary="random search's supernet and children (arXiv 1902.07638), and a regression on what these have in common",
    weights="a block per candidate",
    trains="one uniform path",
    decides="a regression on the losses of random children",
    section="Least squares",
)
