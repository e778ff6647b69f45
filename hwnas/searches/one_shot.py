"""One-shot baselines: a supernet trained on uniformly sampled paths, then a search over its children.

``spos`` is Single Path One-Shot (arXiv 1904.00420; megvii-model/SinglePathOneShot): evolution under the constraint, by
optuna's NSGA-II instead of the authors' own loop. ``random`` judges as many random architectures within the budget
(random search with weight sharing, arXiv 1902.07638): what every search has to beat.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from hwnas.files import write_atomically
from hwnas.foreign import checked
from hwnas.records import append_record, read_records, record_line
from hwnas.run import Run
from hwnas.searches.inherited import InheritedAccuracy
from hwnas.searches.problem import SearchProblem, SearchResult, choose_by, found_by_first
from hwnas.space import Architecture
from hwnas.supernet.sampled import SampledNet
from hwnas.train import distributed
from hwnas.train.loop import CHECKPOINT_SECONDS, Progress, seeded, step_generator, train
from hwnas.train.weights import WeightSettings, WeightTraining

EVALUATIONS_FILE = "evaluations.jsonl"
REJECTIONS = 500
"""How many random codes are drawn for one within the budget, as in the authors' sampler."""


@dataclass(frozen=True)
class OneShotSettings(WeightSettings):
    """Hyper-parameters. Those of the weights: `WeightSettings`.

    Attributes:
        evaluations: children that are judged after the training (1,000 in SPOS: 20 generations of 50).
        population: children in a generation of the evolution (50 in SPOS; 20, as shorter searches need generations).
    """

    evaluations: int = 200
    population: int = 20
    checkpoint_seconds: float = CHECKPOINT_SECONDS


class UniformTrainer:
    """The state of a supernet's training on uniformly sampled paths, and its step."""

    def __init__(self, problem: SearchProblem, settings: WeightSettings) -> None:
        self.problem = problem
        self.step_count, self.total_steps = 0, problem.epochs * problem.data.steps_per_epoch
        with seeded(problem.seed):
            net = SampledNet(problem.budget.space)
        self.net = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = WeightTraining(self.net.weights(), settings, self.total_steps, problem.data.batch_size)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights of one uniformly sampled path. Returns its figures."""
        device = self.problem.torch_device
        generator = step_generator(self.problem.seed, self.step_count)
        choices = [int(torch.randint(len(alpha), (), generator=generator)) for alpha in self.net.alphas]
        with seeded(self.problem.seed, self.step_count):
            logits = self.net(images.to(device, memory_format=torch.channels_last), choices)
            loss = self.weights.loss_function(logits, labels.to(device))
        loss.backward()
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


class Judged:
    """Children judged so far, each once, kept in the run folder: a search that is repeated goes on behind them."""

    def __init__(self, problem: SearchProblem, run: Run, judge: Callable[[Architecture], float]) -> None:
        self._problem, self._judge = problem, judge
        self._path = run.folder / EVALUATIONS_FILE
        self._known = self._read()
        self.accuracies: dict[Architecture, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        if architecture.digest not in self._known:
            self._known[architecture.digest] = self._judge(architecture)
            record = {"digest": architecture.digest, "accuracy": self._known[architecture.digest]}
            append_record(self._path, record)
        self.accuracies[architecture] = self._known[architecture.digest]
        return self.accuracies[architecture]

    def best(self, budget_ms: float) -> Architecture:
        """The best child judged whose interval ends within `budget_ms`; if there is none, the surest of the space."""
        budget = replace(self._problem.budget, budget_ms=budget_ms)
        within = [a for a in self.accuracies if budget.is_within(a)]
        if not within:
            return budget.surest
        return max(within, key=self.accuracies.__getitem__)

    def _read(self) -> dict[str, float]:
        if not self._path.exists():
            return {}
        records = read_records(self._path)
        # without a last line that was cut off: it is judged again, and the next one begins a line of its own
        text = "".join(record_line(record) for record in records)
        write_atomically(self._path, lambda path: path.write_text(text, encoding="utf-8"))
        cure = "delete it to have the children judged again; the trained weights are not affected"
        found = [
            checked(_Record, record, f"{self._path}, record {number}, is damaged", cure)
            for number, record in enumerate(records, start=1)
        ]
        return {record.digest: record.accuracy for record in found}


class _Record(BaseModel):
    digest: str
    accuracy: float = Field(ge=0, le=1)


def random_within(problem: SearchProblem, rng: random.Random) -> Architecture:
    """A random architecture within the budget; the surest of the space if none is found in many draws."""
    budget = problem.budget
    for _ in range(REJECTIONS):
        architecture = budget.space.sample(rng)
        if budget.is_within(architecture):
            return architecture
    return budget.surest


def judge_random(problem: SearchProblem, judged: Judged, settings: OneShotSettings, progress: Progress | None) -> None:
    """Judge random architectures within the budget."""
    rng = random.Random(problem.seed)
    for done in range(settings.evaluations):
        judged(random_within(problem, rng))
        _report(progress, done + 1, settings.evaluations, judged)


def evolve(problem: SearchProblem, judged: Judged, settings: OneShotSettings, progress: Progress | None) -> None:
    """Judge what NSGA-II proposes; what is over the budget is told so and costs no evaluation."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, budget, rng = problem.budget.space, problem.budget, random.Random(problem.seed)
    sampler = optuna.samplers.NSGAIISampler(population_size=settings.population, seed=problem.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(settings.population):  # the first generation lies within the budget
        indices = space.indices(random_within(problem, rng))
        study.enqueue_trial({d.name: i for d, i in zip(space.decisions, indices, strict=True)})
    while len(judged.accuracies) < settings.evaluations and len(study.trials) < 10 * settings.evaluations:
        trial = study.ask()
        chosen = [trial.suggest_categorical(d.name, list(range(len(d.candidates)))) for d in space.decisions]
        architecture = space.decode([int(index) for index in chosen])
        excess_ms = budget.predictor.predict(architecture).high_ms - budget.budget_ms
        trial.set_constraint("excess_ms", excess_ms)
        study.tell(trial, judged(architecture) if excess_ms <= 0 else 0.0)
        _report(progress, min(len(judged.accuracies), settings.evaluations), settings.evaluations, judged)


def _report(progress: Progress | None, done: int, total: int, judged: Judged) -> None:
    if progress is not None:
        progress(done, total, {"best_val_accuracy": max(judged.accuracies.values(), default=0.0)})


def one_shot(
    find: Callable[[SearchProblem, Judged, OneShotSettings, Progress | None], None],
) -> Callable[..., SearchResult]:
    """The search that trains on uniform paths and then judges the children that `find` proposes."""

    def search(
        problem: SearchProblem, run: Run, progress: Progress | None = None, settings: OneShotSettings | None = None
    ) -> SearchResult:
        settings = settings or OneShotSettings()
        problem.budget.check_feasible()
        trainer = UniformTrainer(problem, settings)
        train(trainer, problem.data, run, progress, settings.checkpoint_seconds)
        judge = cache(lambda: InheritedAccuracy(trainer.net, problem.data, problem.torch_device))

        def best_within(budgeted: SearchProblem) -> Architecture:
            judged = Judged(budgeted, run, judge())
            find(budgeted, judged, settings, progress)
            return choose_by(budgeted, judged.best)

        found = found_by_first(problem, lambda: best_within(problem))
        return SearchResult(problem, trainer.net, found, best_within)

    return search


spos = one_shot(evolve)
random_search = one_shot(judge_random)
