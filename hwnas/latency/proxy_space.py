"""Searching with a smaller copy of a space: its architectures are priced as those of the whole space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.predictor import BlockCost, LatencyPredictor, Prediction
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ProxySpacePredictor:
    """Prices architectures of a copy of `space`, such as a narrower one, as `space`'s own of the same code.

    A supernet a quarter as wide is trained in a fraction of the time and ranks architectures nearly as well; the
    architecture that is found is then built at full width.
    """

    predictor: LatencyPredictor
    space: SearchSpace
    """The space that is priced."""

    def __repr__(self) -> str:
        return f"ProxySpacePredictor(as {self.space.name}, {self.predictor!r})"

    @property
    def card(self) -> ErrorCard:
        return self.predictor.card

    @property
    def half_width(self) -> float:
        return self.predictor.half_width

    @property
    def curve(self) -> Curve:
        return self.predictor.curve

    @property
    def digest(self) -> str:
        return self.predictor.digest

    def predict(self, architecture: Architecture) -> Prediction:
        return self.predictor.predict(self.priced(architecture))

    def predict_many(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        return self.predictor.predict_many([self.priced(architecture) for architecture in architectures])

    def expected_ms(self, copy: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        self._check(copy)
        return self.predictor.expected_ms(self.space, probabilities)

    def decision_costs(self, copy: SearchSpace) -> tuple[float, list[Floats]]:
        self._check(copy)
        return self.predictor.decision_costs(self.space)

    def extremes(self, copy: SearchSpace) -> tuple[Architecture, Architecture]:
        self._check(copy)
        fastest, slowest = self.predictor.extremes(self.space)
        return copy.decode(fastest.code), copy.decode(slowest.code)

    def largest_ms(self, end_ms: float) -> float:
        return self.predictor.largest_ms(end_ms)

    def interval_ends(self, architecture: Architecture) -> tuple[ProxySpacePredictor, float] | None:
        ends = self.predictor.interval_ends(self.priced(architecture))
        return None if ends is None else (ProxySpacePredictor(ends[0], self.space), ends[1])

    def priced(self, architecture: Architecture) -> Architecture:
        """The architecture of `space` with the same code."""
        return self.space.decode(architecture.code)

    def block_costs(self, architecture: Architecture) -> list[BlockCost]:
        return self.predictor.block_costs(self.priced(architecture))

    def save(self, path: Path) -> None:
        """Write the predictor of the space that is priced."""
        self.predictor.save(path)

    def saved(self, path: Path) -> ProxySpacePredictor:
        """This predictor as a run has saved it. Raises as `AdditivePredictor.load`."""
        return replace(self, predictor=self.predictor.saved(path))

    def _check(self, copy: SearchSpace) -> None:
        """Refuse a space with other decisions. Raises UsageError."""
        ours, theirs = ([(d.name, len(d.candidates)) for d in space.decisions] for space in (self.space, copy))
        if ours != theirs:
            raise UsageError(
                f"space {copy.name!r} cannot be searched in place of {self.space.name!r}: it has other decisions. Give "
                "a copy of that space, of another resolution, width or number of classes."
            )
