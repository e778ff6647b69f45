"""Proposers: random search and evolution, both within the budget; and the loop that evaluates what they propose."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from hwnas.latency.budget import Budget
from hwnas.latency.sampling import UniformWithin
from hwnas.searches.contracts import Evaluation, Proposer
from hwnas.searches.evaluators import RecordedEvaluator
from hwnas.space import Architecture
from hwnas.train.loop import TrainingProgress

BREEDINGS = 20
"""How often a child is bred for one that was not proposed before."""

NEW_DRAWS = 50
"""How many random architectures are drawn for one that was not proposed before."""

MOST_PARENTS = 10
"""As in SPOS's code, with its population of 50."""

CROSSOVER = 0.5
"""Probability that a child takes a decision from its second parent."""


class RandomWithin:
    """Draws architectures uniformly among those within the budget; the surest of the space where none is."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._draw = UniformWithin(budget) if budget.is_feasible else None

    def __call__(self, rng: random.Random) -> Architecture:
        return self._budget.surest if self._draw is None else self._draw(rng)


def _new(draw: RandomWithin, rng: random.Random, proposed: Collection[str]) -> Architecture | None:
    """A random architecture of a digest that was not proposed before; None: as good as all within are known."""
    draws = (draw(rng) for _ in range(NEW_DRAWS))
    return next((drawn for drawn in draws if drawn.digest not in proposed), None)


class RandomProposer:
    """Random architectures within the budget, whatever they are worth, and every network is new.

    Args:
        budget: names the space.
        most: how many it proposes in all.
        seed: of the draws.
    """

    def __init__(self, budget: Budget, most: int, seed: int = 0) -> None:
        self._random_within, self._most, self._rng = RandomWithin(budget), most, random.Random(seed)
        self._proposed: set[str] = set()

    def ask(self, count: int) -> list[Architecture]:
        asked: list[Architecture] = []
        while len(asked) < count and len(self._proposed) < self._most:
            if (drawn := _new(self._random_within, self._rng, self._proposed)) is None:
                break
            self._proposed.add(drawn.digest)
            asked.append(drawn)
        return asked

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing is learnt."""


class EvolutionProposer:
    """Evolution within the budget, after Single Path One-Shot's: the best breed, and every network is new.

    The first generation is drawn within the budget. Then a child takes decisions of two of the best networks and is
    mutated; each decision that changes does so within the budget.

    Args:
        budget: names the space.
        population: networks in the first generation; half as many of the best ones are parents, at most 10.
        seed: of everything random.
    """

    def __init__(self, budget: Budget, population: int, seed: int = 0) -> None:
        self._budget, self._population = budget, population
        self._random_within, self._rng = RandomWithin(budget), random.Random(seed)
        self._proposed: set[str] = set()
        self._scores: dict[Architecture, float] = {}

    def ask(self, count: int) -> list[Architecture]:
        asked: list[Architecture] = []
        while len(asked) < count and (proposal := self._new()) is not None:
            self._proposed.add(proposal.digest)
            asked.append(proposal)
        return asked

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self._scores |= {evaluation.architecture: evaluation.score for evaluation in evaluations}

    def _new(self) -> Architecture | None:
        """A child that was not proposed before, or a random architecture; None: as good as all within are known."""
        space = self._budget.space
        if len(self._proposed) >= self._population and self._scores:
            parents = min(MOST_PARENTS, max(2, self._population // 2))
            best = sorted(self._scores, key=self._scores.__getitem__, reverse=True)[:parents]
            for _ in range(BREEDINGS):
                first, second = (list(space.indices(self._rng.choice(best))) for _ in range(2))
                child = space.decode(self._child(first, second))
                if child.digest not in self._proposed:
                    return child
        return _new(self._random_within, self._rng, self._proposed)

    def _child(self, code: list[int], other: list[int]) -> list[int]:
        """A child of two parents, mutated."""
        rng, decisions = self._rng, self._budget.space.decisions
        for position in rng.sample(range(len(code)), len(code)):
            if rng.random() < CROSSOVER:
                code = self._within([[*code[:position], other[position], *code[position + 1 :]]]) or code
        for position in rng.sample(range(len(code)), len(code)):
            if rng.random() < 1 / len(code):
                others = (k for k in range(len(decisions[position].candidates)) if k != code[position])
                code = self._within([[*code[:position], k, *code[position + 1 :]] for k in others]) or code
        return code

    def _within(self, codes: list[list[int]]) -> list[int] | None:
        """One of the codes that are within the budget; None: none is."""
        within = [code for code in codes if self._budget.is_within(self._budget.space.decode(code))]
        return self._rng.choice(within) if within else None


def evaluate_proposals(
    proposer: Proposer,
    evaluator: RecordedEvaluator,
    evaluations: int,
    progress: TrainingProgress | None = None,
    epochs: int = 0,
) -> None:
    """Let a proposer ask and an evaluator answer, until so many different networks are evaluated or none is proposed.

    Args:
        evaluations: different networks in all, those that the evaluator knows already among them.
        progress: called after each evaluation with (evaluations done, in all, the best score).
        epochs: the fidelity: see `Evaluator`.
    """
    while evaluator.networks < evaluations and (proposed := proposer.ask(1)):
        proposer.tell([evaluator(architecture, epochs) for architecture in proposed])
        if progress is not None:
            best = max(evaluator.evaluations.values(), key=lambda evaluation: evaluation.rank)
            figure = best.score if best.accuracy is None else best.accuracy
            progress(evaluator.networks, evaluations, {"best_val_accuracy": figure})
