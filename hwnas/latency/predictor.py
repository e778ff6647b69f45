"""The LatencyPredictor: the contract between predictors of latency and everything that asks for latencies.

A predictor gives ms for an Architecture, with an interval, and ms for choice probabilities, differentiably. The ms of a
network follow from a sum over the decisions of its space, so that expectation and optimum within a limit are exact.
`AdditivePredictor` and `ProxySpacePredictor` are predictors; `tests/test_latency_predictor.py` holds what every
predictor must do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.spec import Shape, Spec
from hwnas.text import excerpt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """A predicted latency with its 90 % interval."""

    ms: float
    low_ms: float
    high_ms: float
    estimated: bool = False
    """True where some block was never measured: its ms is an estimate from blocks like it."""

    def __repr__(self) -> str:
        estimated = ", estimated" if self.estimated else ""
        return f"Prediction({self.ms:.4g} ms, 90 % in {self.low_ms:.4g} to {self.high_ms:.4g}{estimated})"

    @property
    def interval_ms(self) -> tuple[float, float]:
        return (self.low_ms, self.high_ms)

    def holds(self, ms: float) -> bool:
        """Whether the interval holds a latency."""
        return self.low_ms <= ms <= self.high_ms


@dataclass(frozen=True)
class BlockCost:
    """The ms that one link of a network's chain adds to the sum that the latency follows from."""

    place: int
    """In the chain, from 0."""
    spec: Spec
    input_shape: Shape
    ms: float
    estimated: bool
    """True where it, or an operator of it, was never measured."""
    calibrated: bool
    """True where whole networks decide how much its own measurement counts."""


class CostModel(Protocol):
    """Predicts how much of a limited quantity the architectures of a space take: as a rule ms, else in its own unit."""

    @property
    def half_width(self) -> float:
        """Half of the 90 % interval of a network like those measured, relative to the predicted ms."""

    @property
    def curve(self) -> Curve:
        """From the sum over the blocks to the latency."""

    @property
    def digest(self) -> str:
        """SHA-256 of the values that every cost follows from: predictors of one digest are the same to a search."""

    def predict(self, architecture: Architecture) -> Prediction:
        """The latency of a whole network with its 90 % interval. Raises HwnasError if the predictor lacks a block."""

    def predict_many(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """As `predict`, for many networks at once: thousands in a second."""

    def expected_ms(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """Expected latency under independent choices: a scalar, differentiable, exact.

        Args:
            space: the search space.
            probabilities: one vector per decision, in the order of ``space.decisions``.
        """

    def decision_costs(self, space: SearchSpace) -> tuple[float, list[Floats]]:
        """The ms of everything fixed, and what the choices add: in the sum that `curve` makes a latency of.

        The arrays follow one another in the order of ``space.decisions``: one axis per decision. Decisions that cost
        something together, such as those of a cell, share an array.
        """

    def extremes(self, space: SearchSpace) -> tuple[Architecture, Architecture]:
        """The fastest and the slowest architecture of a space."""

    def largest_ms(self, end_ms: float) -> float:
        """The largest prediction whose interval can end within `end_ms`."""

    def interval_ends(self, architecture: Architecture) -> tuple[CostModel, float] | None:
        """A straight predictor of where networks' own intervals end, and the ms to be added to its predictions.

        It is exact at this network, and elsewhere too early rather than too late. None if all intervals are equally
        wide, relative to their predictions.
        """


class LatencyPredictor(CostModel, Protocol):
    """Predicts the latency of the architectures of a space on one device and runtime."""

    @property
    def card(self) -> ErrorCard:
        """The errors on networks that the predictor had not seen."""

    def interval_ends(self, architecture: Architecture) -> tuple[LatencyPredictor, float] | None: ...

    def priced(self, architecture: Architecture) -> Architecture:
        """The architecture whose latency is predicted: this one, unless it is priced as one of another space."""

    def block_costs(self, architecture: Architecture) -> list[BlockCost]:
        """The cost of each link of the chain of the architecture that is `priced`; identities are left out."""

    def save(self, path: Path) -> None:
        """Write the predictor with its error card as JSON. Raises HwnasError if the folder cannot be written."""

    def saved(self, path: Path) -> LatencyPredictor:
        """This predictor as `save` wrote it. Raises HwnasError if the file is missing or damaged."""


def check_predictor(value: Any) -> None:
    """Raise UsageError for what cannot predict: a table, say, that nothing was fitted to."""
    if not hasattr(value, "decision_costs"):
        raise UsageError(f"predictor must be a latency predictor, from hwnas.fit, not {excerpt(value)}.")
