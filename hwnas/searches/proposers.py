"""Proposers: random search and evolution, both within the budget; and the loop that evaluates what they propose."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwnas.latency.budget import Budget
from hwnas.searches.contracts import Evaluation, Proposer
from hwnas.searches.evaluators import RecordedEvaluator
from hwnas.space import Architecture
from hwnas.train.loop import TrainingProgress

if TYPE_CHECKING:
    import optuna

REJECTIONS = 500
"""How many random codes are drawn for one within the budget, as in the authors' sampler."""


def random_within(budget: Budget, rng: random.Random) -> Architecture:
    """A random architecture within the budget; the surest of the space if none is found in many draws."""
    for _ in range(REJECTIONS):
        architecture = budget.space.sample(rng)
        if budget.is_within(architecture):
            return architecture
    return budget.surest


class RandomProposer:
    """Random architectures within the budget, whatever they are worth.

    Args:
        budget: names the space.
        most: how many it proposes in all.
        seed: of the draws.
    """

    def __init__(self, budget: Budget, most: int, seed: int = 0) -> None:
        self._budget, self._left, self._rng = budget, most, random.Random(seed)

    def ask(self, count: int) -> list[Architecture]:
        count = min(count, self._left)
        self._left -= count
        return [random_within(self._budget, self._rng) for _ in range(count)]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing is learnt."""


class EvolutionProposer:
    """NSGA-II of optuna under the constraint of the budget; its first generation is random within it.

    Children over the budget are told so at once, and are not proposed.

    Args:
        budget: names the space.
        population: networks in a generation.
        most: children it breeds in all, those over the budget among them.
        seed: of everything random.
    """

    def __init__(self, budget: Budget, population: int, most: int, seed: int = 0) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._budget, self._most = budget, most
        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._waiting: dict[Architecture, list[optuna.Trial]] = defaultdict(list)
        space, rng = budget.space, random.Random(seed)
        for _ in range(population):
            indices = space.indices(random_within(budget, rng))
            self._study.enqueue_trial({d.name: i for d, i in zip(space.decisions, indices, strict=True)})

    def ask(self, count: int) -> list[Architecture]:
        space, budget = self._budget.space, self._budget
        proposed: list[Architecture] = []
        while len(proposed) < count and len(self._study.trials) < self._most:
            trial = self._study.ask()
            chosen = [trial.suggest_categorical(d.name, list(range(len(d.candidates)))) for d in space.decisions]
            architecture = space.decode([int(index) for index in chosen])
            excess_ms = budget.predictor.predict(architecture).high_ms - budget.budget_ms
            trial.set_constraint("excess_ms", excess_ms)
            if excess_ms > 0:
                self._study.tell(trial, 0.0)
                continue
            self._waiting[architecture].append(trial)
            proposed.append(architecture)
        return proposed

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            self._study.tell(self._waiting[evaluation.architecture].pop(0), evaluation.score)


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
    while len(evaluator.evaluations) < evaluations and (proposed := proposer.ask(1)):
        proposer.tell([evaluator(architecture, epochs) for architecture in proposed])
        if progress is not None:
            best = max(evaluation.score for evaluation in evaluator.evaluations.values())
            progress(len(evaluator.evaluations), evaluations, {"best_val_accuracy": best})
