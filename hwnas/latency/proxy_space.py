"""Searching with a smaller copy of a space: its architectures are priced as those of the space it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.fitting.fit import fit
from hwnas.latency.predictor import AdditivePredictor, Prediction
from hwnas.latency.tables.table import LatencyTable
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space

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

    def predict_many(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        return self.predictor.predict_many([self.space.decode(each.code) for each in architectures])

    def largest_ms(self, end_ms: float) -> float:
        return self.predictor.largest_ms(end_ms)

    def interval_ends(self, architecture: Architecture) -> tuple[StandInPredictor, float] | None:
        ends = self.predictor.interval_ends(self.space.decode(architecture.code))
        return None if ends is None else (StandInPredictor(ends[0], self.space), ends[1])

    def extremes(self, copy: SearchSpace) -> tuple[Architecture, Architecture]:
        self._check(copy)
        fastest, slowest = self.predictor.extremes(self.space)
        return copy.decode(fastest.code), copy.decode(slowest.code)

    def save(self, path: Path) -> None:
        """Write the predictor of the space that is priced."""
        self.predictor.save(path)

    def saved(self, path: Path) -> StandInPredictor:
        """This predictor as a run has saved it. Raises as `AdditivePredictor.load`."""
        return replace(self, predictor=self.predictor.saved(path))

    def _check(self, copy: SearchSpace) -> None:
        """Refuse a space with other decisions. Raises UsageError."""
        ours, theirs = ([(d.name, len(d.candidates)) for d in space.decisions] for space in (self.space, copy))
        if ours != theirs:
            raise UsageError(f"space {copy.name!r} cannot stand in for {self.space.name!r}: other decisions.")


def published_predictor(table: LatencyTable, space: SearchSpace) -> AdditivePredictor | StandInPredictor:
    """The predictor of a published table for a space, or for a copy of it of another resolution, width or classes.

    What is published is one space at one size. Where the table has all blocks of `space`, they are priced; otherwise
    `space` stands in for the one of its name that the table has.

    Raises HwnasError if it has neither.
    """
    if not table.missing(space):
        return fit(table, space)
    whole = get_space(space.name)
    if missing := table.missing(whole):
        raise HwnasError(
            f"{table.folder or 'the table'} ({table.publication}) lacks {len(missing)} of the "
            f"{len(whole.distinct_blocks())} blocks of space {space.name!r}, among them {missing[0][0]}: it is about "
            "another space. Search a space that it covers, or measure this one with `hwnas measure`."
        )
    return StandInPredictor(fit(table, whole), whole)
