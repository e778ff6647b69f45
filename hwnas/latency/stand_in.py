"""Searching with a smaller copy of a space: its architectures are priced as those of the space it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.predictor import AdditivePredictor, Prediction
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StandInPredictor:
    """Prices architectures of a copy of `space`, such as a narrower one, as `space`'s own of the same code.

    A supernet a quarter as wide is trained in a fraction of the time and ranks architectures nearly as well; what is
    found is then built at full width.
    """

    predictor: AdditivePredictor
    space: SearchSpace
    """The space that is priced."""

    @property
    def half_width(self) -> float:
        return self.predictor.half_width

    @property
    def curve(self) -> Curve:
        return self.predictor.curve

    @property
    def card(self) -> ErrorCard:
        return self.predictor.card

    @property
    def digest(self) -> str:
        return self.predictor.digest

    def predict(self, architecture: Architecture) -> Prediction:
        return self.predictor.predict(self.space.decode(architecture.code))

    def decision_costs(self, copy: SearchSpace) -> tuple[float, list[np.ndarray]]:
        self._check(copy)
        return self.predictor.decision_costs(self.space)

    def expected_ms(self, copy: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        self._check(copy)
        return self.predictor.expected_ms(self.space, probabilities)

    def extremes(self, copy: SearchSpace) -> tuple[Architecture, Architecture]:
        self._check(copy)
        fastest, slowest = self.predictor.extremes(self.space)
        return copy.decode(fastest.code), copy.decode(slowest.code)

    def _check(self, copy: SearchSpace) -> None:
        """Refuse a space with other decisions. Raises UsageError."""
        ours, theirs = ([(d.name, len(d.candidates)) for d in space.decisions] for space in (self.space, copy))
        if ours != theirs:
            raise UsageError(f"space {copy.name!r} cannot stand in for {self.space.name!r}: other decisions.")
