"""The three contracts that searches are made of: Evaluator, Proposer, Deriver.

A trainer (DSNAS, Single-Path NAS ...) trains a SuperNetwork and ends in a Deriver. A search by evaluations (SPOS,
random search, predictors ...) lets a Proposer ask for architectures and an Evaluator answer, and ends in one, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from hwnas.errors import UsageError
from hwnas.searches.problem import SearchProblem
from hwnas.space import Architecture

EvaluationKind = Literal["inherited", "trained", "looked-up"]
EVALUATION_KINDS: tuple[EvaluationKind, ...] = get_args(EvaluationKind)

CompareBy = Literal["loss", "accuracy"]
"""What evaluations are compared by."""

MOST_LOSS = 20.0
"""The loss that counts for larger ones, and for those that are no number: proposers do arithmetic with it."""


@dataclass(frozen=True)
class Evaluation:
    """How good an architecture is, by which kind of evidence, and what that cost.

    Attributes:
        architecture: what was evaluated.
        kind: ``inherited``, with weights of a supernet; ``trained``, by itself; ``looked-up``, in a table.
        accuracy: share of validation images, 0 to 1; None where only the loss is known.
        loss: validation loss; None where only the accuracy is known.
        epochs: the fidelity: for how many epochs it was trained by itself; 0 for the other kinds.
        images: the cost: how many images ran through the network for it, forwards or both ways.
        by: what it is compared with others by.
    """

    architecture: Architecture
    kind: EvaluationKind
    accuracy: float | None = None
    loss: float | None = None
    epochs: int = 0
    images: int = 0
    by: CompareBy = "accuracy"

    def __post_init__(self) -> None:
        if self.kind not in EVALUATION_KINDS:
            raise UsageError(f"an evaluation is {', '.join(EVALUATION_KINDS)}, not {self.kind!r}.")
        if self.accuracy is None and self.loss is None:
            raise UsageError("an evaluation holds an accuracy or a loss; this one has neither.")

    @property
    def score(self) -> float:
        """The value that is compared, larger is better: the accuracy, or the negative loss."""
        if self.accuracy is not None and self.by == "accuracy":
            return self.accuracy
        return -MOST_LOSS if self.loss is None else -min(self.loss, MOST_LOSS)

    @property
    def rank(self) -> tuple[float, float]:
        """As `score`, where equal accuracies are told apart by their losses: a few hundred images give many of them."""
        loss = -math.inf if self.loss is None else -self.loss
        return (self.score, loss) if self.by == "accuracy" else (loss, self.accuracy or 0.0)

    def __repr__(self) -> str:
        found = f"loss {self.loss:.4g}" if self.accuracy is None else f"accuracy {self.accuracy:.4f}"
        return f"Evaluation({self.architecture.code}, {self.kind}, {found})"


class Evaluator(Protocol):
    """Says how good architectures are, in one way."""

    @property
    def kind(self) -> EvaluationKind: ...

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        """Evaluate an architecture.

        Args:
            architecture: of the space that is searched.
            epochs: the fidelity, for those that train: for how many epochs, 1 or more; 0 for the others.
        """
        ...


class Proposer(Protocol):
    """Says which architectures to evaluate next, given the evaluations so far."""

    def ask(self, count: int) -> list[Architecture]:
        """Up to `count` architectures, all within the budget; fewer, or none, where it has nothing more to propose."""
        ...

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from the evaluations of the proposals."""
        ...


class Deriver(Protocol):
    """Gets the architecture out of a trained supernet, or out of evaluations: always within the problem's budget."""

    @property
    def any_budget(self) -> bool:
        """Whether it may be asked for a larger budget than the one that was searched."""
        ...

    @property
    def regresses(self) -> bool:
        """Whether a regression over its evaluations decides, and not which of them is the best."""
        ...

    @property
    def evaluations(self) -> Mapping[Architecture, Evaluation]:
        """The evaluations that it has compared, on validation images, for whatever budget; empty: it goes by
        probability alone."""
        ...

    def __call__(self, problem: SearchProblem, taken: Architecture | None = None) -> Architecture:
        """The architecture.

        Args:
            problem: what was searched, perhaps with another budget.
            taken: what was derived for this budget before; another is given only if one that was evaluated since, for a
                smaller budget, is better.
        """
        ...
