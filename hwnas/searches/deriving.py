"""The deriving trainer: what trainers share that decide the architecture themselves when their search ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hwnas.latency.arrays import Floats
from hwnas.latency.multiplier import Multiplier
from hwnas.run import PROBABILITIES_FILE, Run
from hwnas.searches.contracts import Deriver
from hwnas.searches.derivation import Derivation
from hwnas.searches.derivers import Derive, MostProbable, derive_together
from hwnas.searches.problem import SearchProblem
from hwnas.searches.regression import regressed
from hwnas.searches.reranked import reranked
from hwnas.searches.result import SearchResult
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.network import SuperNetwork
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.loop import TrainingProgress, train
from hwnas.train.mixed_precision import MixedPrecision

RECORDS = 100
"""At so many steps of a search, equally far apart, the probabilities of all candidates are recorded."""


class DerivingTrainer(ABC):
    """The state of a search and its step. Everything that decides the next step is in `state_dict`."""

    net: SampledNet | CyclicNet | SuperKernelNet
    step_count: int
    total_steps: int

    def __init__(self, problem: SearchProblem, checkpoint_seconds: float) -> None:
        self.problem, self.checkpoint_seconds = problem, checkpoint_seconds
        self.budget, self.multiplier = problem.budget, Multiplier()
        self.precision = MixedPrecision(problem.torch_device, problem.amp)
        self.run: Run | None = None
        """Keeps what is evaluated to derive the architecture; None: nothing is kept."""
        self.progress: TrainingProgress | None = None
        """Told of these evaluations."""
        self.derived: list[int] | None = None
        """The architecture, once it is derived: an index per decision."""
        self.derivation: Derivation | None = None
        """How it was derived."""

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update for images (N, C, H, W) and labels (N,); returns its figures."""

    @abstractmethod
    def deriver(self) -> Deriver:
        """The deriver of the net as it is now."""

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate while the architecture is searched, one vector per decision."""
        return self.net.probabilities()

    def record_probabilities(self, step: int) -> None:
        """Write them into the run if it is time; what is derived is certain, and not written."""
        if self.run is None or self.derived is not None or step % max(1, self.total_steps // RECORDS):
            return
        found = [[round(share, 5) for share in vector.tolist()] for vector in self.probabilities()]
        self.run.log({"step": step, "probabilities": found}, PROBABILITIES_FILE)

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    @property
    def derived_from(self) -> SuperNetwork:
        """The net that the architecture is derived from and inherits from: averaged, where a method averages."""
        return self.net

    def derive(self) -> None:
        """Decide the architecture within the budget, measured if the problem says how."""
        architecture, self.derivation = derive_together(self.problem, self.deriver())
        self.derived = list(self.budget.space.indices(architecture))

    def by_evaluations(self, derive: Derive, probable: MostProbable, losses: Sequence[Floats] | None) -> Deriver:
        """The deriver that the settings name, of the net as it is now; `losses`: what each candidate adds to them."""
        if derive == "probable":
            return probable
        if derive == "regression":
            return regressed(self.problem, probable, losses, self.run, self.progress)
        taken = None if self.derived is None else self.budget.space.decode(self.derived)
        return reranked(self.problem, probable, losses, self.run, self.progress, taken)

    def result(self) -> SearchResult:
        """The result: the derived architecture, or the one that is derived now."""
        if self.derived is None:
            self.derive()
        assert self.derived is not None
        architecture = self.problem.budget.space.decode(self.derived)
        return SearchResult(self.problem, self.derived_from, architecture, self.further_deriver(), self.derivation)

    def further_deriver(self) -> Deriver | None:
        """The deriver for other budgets than the problem's; None: the most probable architectures of the net."""
        return self.deriver()

    def derived_state(self) -> dict[str, Any]:
        """The part of the state that says what is derived, and how."""
        return {"taken": self.derived, "derivation": None if self.derivation is None else self.derivation.to_json()}

    def load_derived(self, state: dict[str, Any]) -> None:
        self.derived, known = state["taken"], state.get("derivation")
        self.derivation = None if known is None else Derivation(**known)


def search_with(trainer: DerivingTrainer, run: Run, progress: TrainingProgress | None) -> SearchResult:
    """Make all steps of a search that are not made yet; the result holds the architecture that it derived."""
    trainer.run, trainer.progress = run, progress

    def on_step(done: int, total: int, figures: dict[str, float]) -> None:
        trainer.record_probabilities(done)
        if progress is not None:
            progress(done, total, figures)

    train(trainer, trainer.problem.data, run, on_step, trainer.checkpoint_seconds)
    return trainer.result()
