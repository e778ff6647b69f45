"""The SearchResult: a trained SuperNetwork, and the architecture that was derived from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.random_state import own_random_state
from hwnas.searches.contracts import Deriver
from hwnas.searches.derivation import Derivation
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture
from hwnas.supernet.network import SuperNetwork
from hwnas.train.child import train_child
from hwnas.train.evaluate import accuracy, recalibrate_batch_norm
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import TrainingProgress, open_run
from hwnas.train.weights import WeightSettings


@dataclass(repr=False)
class SearchResult:
    """A trained SuperNetwork, and the architecture that was derived from it.

    Attributes:
        problem: what was searched for.
        net: the SuperNetwork; None: the children were trained by themselves.
        architecture: what was derived, within the problem's budget.
        deriver: derives others, for other budgets; None: the most probable ones of the net.
        derivation: how it was derived, and how much of the budget it uses; None: nobody recorded it.
        trained: gives a child that was trained by itself; None: children inherit from the net.
    """

    problem: SearchProblem
    net: SuperNetwork | None
    architecture: Architecture
    deriver: Deriver | None = None
    derivation: Derivation | None = None
    trained: Callable[[Architecture], ChildNetwork] | None = None

    def __repr__(self) -> str:
        budget = self.problem.budget
        ms = budget.predictor.predict(self.architecture).ms
        return f"SearchResult({budget.space.name} {self.architecture.code}, {ms:.4g} of {budget.budget_ms:.4g} ms)"

    @property
    def supernet(self) -> SuperNetwork:
        """The SuperNetwork. Raises UsageError where there is none."""
        if self.net is None:
            raise UsageError("the children of this search were trained by themselves; it has no supernet.")
        return self.net

    def derive(self) -> ChildNetwork:
        """The child on the CPU, ready: with inherited weights and batch-norm statistics of its own, or as the search
        trained it by itself."""
        if self.trained is not None:
            return self.trained(self.architecture)
        with own_random_state():  # a new module draws weights, which the inherited ones replace
            child = self.supernet.inherit(self.architecture)
        recalibrate_batch_norm(child, self.problem.data.train_batches(epoch=0))
        return child

    def retrain(
        self,
        folder: Path | str,
        progress: TrainingProgress | None = None,
        settings: WeightSettings | FineTuningSettings | None = None,
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
            self.architecture,
            problem.data,
            run,
            problem.epochs,
            problem.seed,
            progress,
            problem.torch_device,
            settings,
            amp=problem.amp,
            compile=problem.compile,
        )

    def val_accuracy(self, child: nn.Module) -> float:
        """Accuracy (0 to 1) on images cut out of the training split."""
        return accuracy(child, self.problem.data.val_batches())
