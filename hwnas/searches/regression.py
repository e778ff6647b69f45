"""The regression of children's scores on their candidates, and the Deriver that takes the best architecture by it.

How one child does with weights that it shares says less of it than how all children do that have a candidate in common:
of the dozen most promising ones inherited losses hardly say which is best (`benchmarks/search_quality.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within, joint_gains
from hwnas.latency.sampling import UniformWithin
from hwnas.run import Run
from hwnas.searches.as_measured import within_as_measured
from hwnas.searches.contracts import Deriver, Evaluation
from hwnas.searches.derivers import MostProbable, best_evaluated
from hwnas.searches.evaluators import InheritedEvaluator, RecordedEvaluator, weights_digest
from hwnas.searches.problem import SearchProblem
from hwnas.searches.reranked import FEW_IMAGES, most_networks, recorded
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.two_input_cell import TwoInputCell
from hwnas.train.loop import TrainingProgress

RIDGE = 1.0
"""Weight of "no candidate differs from another", in children."""


def candidate_effects(
    space: SearchSpace, children: Sequence[Evaluation], prior: Sequence[Floats] | None = None
) -> list[Floats]:
    """What each candidate adds to the score, one vector per decision: only differences within one mean anything.

    Args:
        space: whose architectures the children are.
        children: one at least, compared by the same thing.
        prior: what it is without them; None: no candidate differs from another.
    """
    sizes = [len(decision.candidates) for decision in space.decisions]
    rows = [
        np.concatenate([np.eye(size)[k] for size, k in zip(sizes, space.indices(child.architecture), strict=True)])
        for child in children
    ]
    expected = np.zeros(sum(sizes)) if prior is None else np.concatenate(prior)
    x, y = np.array(rows), np.array([child.score for child in children])
    x, y = x - x.mean(0), y - y.mean()
    more = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - x @ expected))
    return np.split(expected + more, np.cumsum(sizes)[:-1])


def best_by_regression(
    children: Sequence[Evaluation], budget: Budget, prior: Sequence[Floats] | None = None
) -> Architecture:
    """The best architecture within the budget by what its candidates add to the score of children.

    In a cell, where an edge is worth what the others make of it, nothing adds up: there it is the best of the children.
    """
    if has_cells(budget.space):
        return best_evaluated(children, budget)
    return best_by_effects(candidate_effects(budget.space, children, prior), budget)


def has_cells(space: SearchSpace) -> bool:
    """Whether some decisions are about edges of cells."""
    return any(isinstance(node, Cell | TwoInputCell) for node in space.nodes)


def best_by_effects(effects: Sequence[Floats], budget: Budget) -> Architecture:
    """The best architecture within the budget by what each candidate adds to the score."""
    _, costs = budget.predictor.decision_costs(budget.space)
    return best_within(budget, joint_gains(effects, costs))


@dataclass(frozen=True, eq=False)
class Regressed:
    """The best architecture within the budget by the inherited losses of random ones within it.

    Attributes:
        evaluate: by the loss of validation images.
        losses: what each candidate adds to the training loss, one vector per decision, which the regression starts
            from; None: nobody knows.
        most: how many random networks are evaluated for a budget.
        progress: called after each evaluation with (evaluations done, in all, the accuracy of the best).
    """

    evaluate: RecordedEvaluator
    losses: Sequence[Floats] | None
    most: int
    progress: TrainingProgress | None = None
    any_budget: bool = False
    regresses: bool = True
    evaluations: dict[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        if taken is not None:
            return taken
        draw, rng = UniformWithin(problem.budget), random.Random(problem.seed)
        for drawn in dict.fromkeys(draw(rng) for _ in range(self.most)):
            self.evaluations[drawn] = self.evaluate(drawn)
            if self.progress is not None:
                best, done = max(self.evaluations.values(), key=lambda each: each.rank), len(self.evaluations)
                self.progress(done, max(done, self.most), {"best_val_accuracy": best.accuracy or 0.0})
        prior = None if self.losses is None else [-loss for loss in self.losses]
        children = list(self.evaluations.values())
        found = within_as_measured(problem, lambda budget: best_by_regression(children, budget, prior))
        self.evaluations[found] = self.evaluate(found)
        return found


def regressed(
    problem: SearchProblem,
    probable: MostProbable,
    losses: Sequence[Floats] | None,
    run: Run | None,
    progress: TrainingProgress | None,
) -> Deriver:
    """The Regressed deriver of a supernet as it is now, or `probable` itself where there are no validation images.

    What was evaluated is kept in a file that is named for the weights: a stopped search goes on behind it.

    Args:
        problem: that was searched.
        probable: names the net.
        losses: see `Regressed`.
        run: keeps what is evaluated; None: nothing is kept.
        progress: see `Regressed`.
    """
    if problem.data.counts["val"] == 0:
        return probable
    evaluator = InheritedEvaluator(probable.net, problem.data, problem.torch_device, FEW_IMAGES, FEW_IMAGES)
    evaluate = recorded(evaluator, weights_digest(probable.net), run, "loss")
    most = most_networks(problem, evaluator.images)
    return Regressed(evaluate, losses, most, progress, regresses=not has_cells(problem.budget.space))
