"""What every search is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import nn

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import mean_per_ms, most_probable_within
from hwnas.run import Run
from hwnas.space import Architecture
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy, recalibrate_batch_norm
from hwnas.train.loop import Progress, open_run
from hwnas.train.weights import WeightSettings


@dataclass(frozen=True)
class SearchProblem:
    """Find the best architecture for `data` within `budget` (which names the space and the predictor).

    Attributes:
        data: training images; a search may look at its train and val splits, never at test.
        budget: limit in ms, space and predictor.
        epochs: passes over the training split.
        seed: of weights, samples and data order.
        torch_device: where to train, as torch writes it: ``cpu``, ``cuda``.
        measured_ms: measures an architecture on the target, if that can be reached: what is found is then within the
            budget by measurement, not only by prediction, before time is spent on training its weights further.
    """

    data: ImageData
    budget: Budget
    epochs: int
    seed: int = 0
    torch_device: str = "cpu"
    measured_ms: Callable[[Architecture], float] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what a search finds, method and settings aside, as JSON values.

        The number of processes is among them: each samples a path of its own. That of threads is not.
        """
        data, budget = self.data, self.budget
        return {
            "space": budget.space.name,
            **budget.space.options,
            "images": {
                "train": data.counts["train"],
                "val": data.counts["val"],
                "classes": len(data.classes),
                "resolution": data.resolution,
                "augment": data.augment,
                "seed": data.seed,
                "sha256": data.digest,
            },
            "batch_size": data.batch_size,
            "budget_ms": budget.budget_ms,
            "latencies": {"sha256": budget.predictor.digest},
            "epochs": self.epochs,
            "seed": self.seed,
            "torch_device": self.torch_device,
            "processes": distributed.world_size(),
        }


MEASURED_TRIES = 3
"""How often an architecture that measures over the budget is replaced by a faster one."""

REPEATABLE = 0.99
"""Share of the budget that a measurement must not exceed to be within it when it is repeated."""


Decode = Literal["mean", "mode"]


def choose(problem: SearchProblem, net: Any, decode: Decode = "mode") -> Architecture:
    """The most probable architecture of a net's ``probabilities()`` within the budget, also as `choose_by` measures.

    Args:
        net: a SuperNetwork.
        decode: ``mode``, what is most probable, or ``mean``, what is so among those that cost what the mean one does
            (`mean_per_ms`).
    """
    log_probabilities = [p.detach().double().log().cpu().numpy() for p in net.probabilities()]
    per_ms = mean_per_ms(problem.budget, log_probabilities) if decode == "mean" else 0.0
    return choose_by(
        problem,
        lambda budget_ms: most_probable_within(replace(problem.budget, budget_ms=budget_ms), log_probabilities, per_ms),
    )


def choose_by(problem: SearchProblem, best: Callable[[float], Architecture]) -> Architecture:
    """What `best` picks within the budget, and within it as measured, where that can be measured.

    Each pick that measures over the limit lowers the limit on the prediction by as much. What is returned was measured:
    the first pick that is within; else the fastest network of the space; or, if that is over too, what is least so.

    Args:
        best: the best architecture known whose predicted 90 % interval ends within so many ms.
    """
    budget = problem.budget
    pick = best(budget.budget_ms)
    if problem.measured_ms is None:
        return pick
    measured_ms: dict[Architecture, float] = {}
    for _ in range(1 + MEASURED_TRIES):
        if pick in measured_ms:  # nothing is faster by so much
            break
        measured_ms[pick] = problem.measured_ms(pick)
        excess = measured_ms[pick] / (REPEATABLE * budget.budget_ms)
        if excess <= 1:
            return pick
        pick = best(budget.predictor.predict(pick).high_ms / excess)
    fastest = budget.predictor.extremes(budget.space)[0]
    if fastest not in measured_ms:
        measured_ms[fastest] = problem.measured_ms(fastest)
    return min(measured_ms, key=measured_ms.__getitem__)


def found_by_first(problem: SearchProblem, find: Callable[[], Architecture]) -> Architecture:
    """The architecture that `find` gives in the first of several processes, which alone judges and measures."""
    space = problem.budget.space
    return space.decode(distributed.from_first(lambda: list(space.indices(find()))))


@dataclass
class SearchResult:
    """A trained SuperNetwork, and the architecture that was chosen from it."""

    problem: SearchProblem
    net: Any
    """The SuperNetwork: a module with ``inherit(architecture) -> ChildNetwork``."""
    architecture: Architecture
    best_within: Callable[[SearchProblem], Architecture] | None = None
    """Searches the trained SuperNetwork for another budget; None: the net's probabilities are decoded."""
    decode: Decode = "mode"
    """How they are: see `choose`."""

    def take(self) -> ChildNetwork:
        """The child with inherited weights and batch-norm statistics of its own, on the CPU: ready, not retrained."""
        child = self.net.inherit(self.architecture)
        recalibrate_batch_norm(child, self.problem.data.train_batches(epoch=0))
        return child

    def retrain(
        self, folder: Path | str, progress: Progress | None = None, settings: WeightSettings | None = None
    ) -> ChildNetwork:
        """The child trained from scratch, for as many epochs as the search: what inherited weights are compared with.

        Every method's child is trained the same way, also those of random search. Goes on where it was stopped.

        Args:
            folder: a run folder of its own.
            progress: called after each step with (steps done, steps in all, figures).
            settings: of the optimiser; as a rule those of the search, where it has such.
        """
        problem = self.problem
        decided = {name: value for name, value in problem.identity.items() if name not in ("budget_ms", "latencies")}
        weights = asdict(settings or WeightSettings())
        own = {"retrain": self.architecture.digest, "settings": weights}
        run = open_run(folder, own | decided)
        return train_child(
            self.architecture, problem.data, run, problem.epochs, problem.seed, progress, problem.torch_device, settings
        )

    def val_accuracy(self, child: nn.Module) -> float:
        """Accuracy (0 to 1) on images cut out of the training split."""
        return accuracy(child, self.problem.data.val_batches())


class Search(Protocol):
    """An algorithm: trains a SuperNetwork for a problem, logging to and resuming from a Run."""

    def __call__(
        self, problem: SearchProblem, run: Run, progress: Progress | None = None, settings: Any = None
    ) -> SearchResult: ...


@dataclass(frozen=True)
class Method:
    """A search and the frozen dataclass of its hyper-parameters, whose defaults are its own."""

    search: Search
    settings: type

    def resolve(self, given: Mapping[str, Any]) -> Any:
        """The settings with some of them given by name. Raises UsageError for a name there is not."""
        known = [field.name for field in fields(self.settings)]
        if unknown := [name for name in given if name not in known]:
            raise UsageError(f"unknown search setting {unknown[0]!r}; known: {', '.join(known)}.")
        return self.settings(**given)
