"""One-shot searches: a supernet trained on uniformly sampled paths, then a Proposer and inherited weights.

``spos`` is Single Path One-Shot (arXiv 1904.00420; megvii-model/SinglePathOneShot): evolution within the budget, as in
the authors' loop. ``random`` evaluates as many random architectures within the budget (random search with weight
sharing, arXiv 1902.07638): every search has to beat it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.run import Run
from hwnas.searches.as_measured import within_as_measured
from hwnas.searches.contracts import CompareBy, Evaluation, Evaluator, Proposer
from hwnas.searches.derivers import best_evaluated, derive_together
from hwnas.searches.evaluators import (
    EVALUATIONS_FILE,
    INHERITED_FILE,
    InheritedEvaluator,
    RecordedEvaluator,
    weights_digest,
)
from hwnas.searches.method import Method
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proposers import EvolutionProposer, RandomProposer, evaluate_proposals
from hwnas.searches.result import SearchResult
from hwnas.searches.trained_children import TrainedChildren
from hwnas.space import Architecture
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.start import start_from
from hwnas.train import distributed
from hwnas.train.loop import CHECKPOINT_SECONDS, TrainingProgress, seeded, step_generator, train
from hwnas.train.mixed_precision import MixedPrecision
from hwnas.train.weights import WeightSettings, WeightTraining

Evaluate = Literal["inherited", "trained"]


@dataclass(frozen=True)
class OneShotSettings(WeightSettings):
    """Hyper-parameters. Those of the weights: `WeightSettings`.

    Attributes:
        evaluations: children that are evaluated after the training (1,000 in SPOS: 20 generations of 50).
        population: children in a generation of the evolution (50 in SPOS; 20, as shorter searches need generations).
        evaluate: ``inherited``, with a supernet's weights; ``trained``, each child by itself, and no supernet is.
        child_epochs: of each child that is trained by itself; None: as many as the search has.
        compare_by: what children with inherited weights are compared by: ``loss``, of the validation images, or
            ``accuracy``, as published; those that are trained by themselves always by accuracy.
    """

    evaluations: int = 200
    population: int = 20
    evaluate: Evaluate = "inherited"
    child_epochs: int | None = None
    compare_by: CompareBy = "loss"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.evaluations, self.population) < 1:
            raise UsageError(f"evaluations and population are 1 or more, not {self.evaluations} and {self.population}.")
        if self.evaluate not in get_args(Evaluate):
            raise UsageError(f"evaluate must be {' or '.join(get_args(Evaluate))}, not {self.evaluate!r}.")
        if self.compare_by not in get_args(CompareBy):
            raise UsageError(f"compare_by must be {' or '.join(get_args(CompareBy))}, not {self.compare_by!r}.")
        if self.child_epochs is None:
            return
        if self.child_epochs < 1:
            raise UsageError(f"child_epochs is 1 or more, not {self.child_epochs}.")
        if self.evaluate != "trained":
            raise UsageError("child_epochs is for children that are trained by themselves: say evaluate = 'trained'.")

    @staticmethod
    def published() -> OneShotSettings:
        """SPOS's evolution: 20 generations of 50 children, compared by accuracy."""
        return OneShotSettings(evaluations=1000, population=50, compare_by="accuracy")


class UniformTrainer:
    """The state of a supernet's training on uniformly sampled paths, and its step."""

    def __init__(self, problem: SearchProblem, settings: WeightSettings) -> None:
        self.problem = problem
        self.step_count, self.total_steps = 0, problem.epochs * problem.data.steps_per_epoch
        with seeded(problem.seed):
            net = SampledNet(problem.budget.space)
        if problem.start is not None:
            start_from(net, problem.start)
        self.net: SampledNet = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = MixedPrecision(problem.torch_device, problem.amp)
        self.weights = WeightTraining(
            self.net.weights(), settings, self.total_steps, problem.data.batch_size, self.precision
        )

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights of one uniformly sampled path. Returns its figures."""
        device = self.problem.torch_device
        generator = step_generator(self.problem.seed, self.step_count)
        choices = [int(torch.randint(len(alpha), (), generator=generator)) for alpha in self.net.alphas]
        with seeded(self.problem.seed, self.step_count), self.precision.forward():
            logits = self.net(images.to(device, memory_format=torch.channels_last), choices)
            loss = self.weights.loss_function(logits, labels.to(device))
        self.precision.backward(loss, self.net.parameters())
        distributed.average((p for _, p in self.net.weights()), self.net.buffers())
        self.weights.step()
        self.step_count += 1
        return {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step_count, "net": self.net.state_dict(), "weights": self.weights.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count = state["step"]
        self.net.load_state_dict(state["net"])
        self.weights.load_state_dict(state["weights"])


MakeProposer = Callable[[Budget, OneShotSettings, int], Proposer]
"""The proposer of a search within a budget, of the search's seed."""

Pick = Callable[[Sequence[Evaluation], Budget], Architecture]
"""The architecture within a budget that evaluations speak for."""


@dataclass(eq=False)
class BestChild:
    """The Deriver of a search by evaluations: the best child that a proposer finds within the budget.

    Inherited weights and trained children know of no budget: any may be asked for. What is evaluated once is known for
    all.

    Attributes:
        evaluator: judges the children.
        run: keeps what was evaluated.
        make_proposer, settings: of the search.
        progress: see `evaluate_proposals`.
        epochs: the fidelity: see `Evaluator`.
        pick: out of everything that was evaluated; another architecture is evaluated, too.
        record: the name of the file that keeps what was evaluated.
    """

    evaluator: Evaluator
    run: Run
    make_proposer: MakeProposer
    settings: OneShotSettings
    progress: TrainingProgress | None
    epochs: int = 0
    pick: Pick = best_evaluated
    any_budget: bool = True
    regresses: bool = False
    record: str = EVALUATIONS_FILE
    evaluations: dict[Architecture, Evaluation] = field(default_factory=dict)

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        by = self.settings.compare_by if self.evaluator.kind == "inherited" else "accuracy"
        evaluator = RecordedEvaluator(self.evaluator, self.run.folder, self.record, by)
        if taken is None:
            proposer = self.make_proposer(problem.budget, self.settings, problem.seed)
            evaluate_proposals(proposer, evaluator, self.settings.evaluations, self.progress, self.epochs)
            self.evaluations |= evaluator.evaluations  # those for other budgets are kept, too
        known = list(self.evaluations.values())
        found = within_as_measured(problem, lambda within: self.pick(known, within), taken)
        if found not in self.evaluations:
            self.evaluations[found] = evaluator(found, self.epochs)
        return found


def one_shot(
    make_proposer: MakeProposer,
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: OneShotSettings | None = None,
    pick: Pick = best_evaluated,
    regresses: bool = False,
) -> SearchResult:
    """Train a supernet on uniform paths, or every child by itself; derive the best child that a proposer finds,
    or what `pick` makes of them.

    Goes on from the run's checkpoint and behind what was evaluated.
    """
    settings = settings or OneShotSettings()
    problem.budget.check_feasible()
    if problem.data.counts["val"] == 0:
        raise UsageError("this search compares children on validation images, and there are none.")
    if settings.evaluate == "trained":
        children = TrainedChildren(problem, run, settings, settings.child_epochs, settings.evaluations, progress)
        deriver = BestChild(
            children, run, make_proposer, settings, children.told, children.epochs, pick, regresses=regresses
        )
        architecture, derivation = derive_together(problem, deriver)
        children.trained_on(architecture)
        return SearchResult(problem, None, architecture, deriver, derivation, children.trained_on)
    trainer = UniformTrainer(problem, settings)
    train(trainer, problem.data, run, progress, settings.checkpoint_seconds)
    inherited = InheritedEvaluator(trainer.net, problem.data, problem.torch_device)
    record = INHERITED_FILE.format(weights_digest(trainer.net)[:12])
    deriver = BestChild(
        inherited, run, make_proposer, settings, progress, pick=pick, regresses=regresses, record=record
    )
    architecture, derivation = derive_together(problem, deriver)
    return SearchResult(problem, trainer.net, architecture, deriver, derivation)


def spos(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: OneShotSettings | None = None,
) -> SearchResult:
    """Search with SPOS: evolution over children with inherited weights. Raises as `hwnas.searches.dsnas.dsnas`."""

    def evolution(budget: Budget, settings: OneShotSettings, seed: int) -> Proposer:
        return EvolutionProposer(budget, settings.population, seed)

    return one_shot(evolution, problem, run, progress, settings)


def at_random(budget: Budget, settings: OneShotSettings, seed: int) -> Proposer:
    """Random children within the budget."""
    return RandomProposer(budget, settings.evaluations, seed)


def random_search(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: OneShotSettings | None = None,
) -> SearchResult:
    """Random search over children with inherited weights. Raises as `hwnas.searches.dsnas.dsnas`."""

    return one_shot(at_random, problem, run, progress, settings)


SPOS = Method(
    spos,
    OneShotSettings,
    summary="Single Path One-Shot (arXiv 1904.00420): a uniformly trained supernet, then evolution over its children",
    weights="a block per candidate",
    trains="one uniform path",
    decides="evolution over inherited losses",
    section="SPOS and random search",
)
RANDOM = Method(
    random_search,
    OneShotSettings,
    summary="random search with the same supernet (arXiv 1902.07638): what every search has to beat",
    weights="a block per candidate",
    trains="one uniform path",
    decides="the best of random children",
    section="SPOS and random search",
)
