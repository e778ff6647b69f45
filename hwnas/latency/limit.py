"""The Limit: the most that networks of a space may take of something, such as ms on a device, parameters or bytes.

A `Budget` is a limit on the latency of one device, with further limits beside it. All are met at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hwnas.latency.arrays import Floats
from hwnas.latency.predictor import CostModel
from hwnas.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1 + 1e-9


class Row(NamedTuple):
    """A limit as a sum over the decisions: one entry of each array, at most `rest` together."""

    costs: list[Floats]
    rest: float


def written(amount: float, unit: str) -> str:
    """An amount for people: ``60 ms``, ``2.1 M``, ``350 kB``."""
    if unit == "ms":
        return f"{amount:.4g} ms"
    size = next((size for size in (10**6, 10**3) if amount >= size), 1)
    prefix = {10**6: "M", 10**3: "k", 1: ""}[size]
    return f"{amount / size:.4g} {prefix}{unit}".rstrip()


@dataclass(frozen=True, eq=False)
class Limit:
    """The most that a network may take of one thing.

    Attributes:
        name: of a device and its runtime, ``pixel-1/tflite``, or of what is counted, ``parameters``.
        most: in `unit`; a network is within if its own 90 % interval ends there.
        model: says what networks take; what is counted has an interval of no width.
        unit: ``ms``, ``B`` (bytes), or none of what is counted.
        measured: what a network takes in truth, where that can be found out before it is trained; None: it cannot.
        repeatable: share of `most` that this may take, so that it is within when it is measured again.
    """

    name: str
    most: float
    model: CostModel
    unit: str = "ms"
    measured: Callable[[Architecture], float] | None = None
    repeatable: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The values that decide which networks are within it."""
        found: dict[str, Any] = {"name": self.name, "most": self.most, "unit": self.unit}
        # what is counted follows from the space
        return found | ({"sha256": self.model.digest} if self.unit == "ms" else {})

    @property
    def target(self) -> float:
        """The expectation that a search aims at: the interval of a usual network ends at the limit."""
        return self.most / (1 + self.model.half_width)

    def shares(self, architectures: Sequence[Architecture]) -> Floats:
        """(n,): the ends of the networks' own intervals, as shares of the limit."""
        return np.array([p.high_ms for p in self.model.predict_many(architectures)]) / self.most

    def row(self, space: SearchSpace) -> Row:
        """A sum that every network within the limit keeps; it is the limit itself where intervals are equally wide."""
        fixed, costs = self.model.decision_costs(space)
        return Row(costs, self.model.curve.sum_ms(self.model.largest_ms(self.most)) - fixed)

    def tangent(self, space: SearchSpace, architecture: Architecture) -> Row | None:
        """As `row`, by the tangent at a network, where that says more: exact there, elsewhere nowhere too strict.

        The tangents of a bent model may be somewhat too strict.
        """
        ends = self.model.interval_ends(architecture)
        if ends is None:
            return None
        tangent, offset = ends
        fixed, costs = tangent.decision_costs(space)
        return Row(costs, self.most - offset - fixed)

    @property
    def most_in_sum(self) -> float:
        """The limit in the unit of `row`: what its excess is compared with."""
        return self.most

    def ratio(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """The amount that networks are expected to take, as a share of the target: a scalar, differentiable."""
        return self.model.expected_ms(space, probabilities) / self.target

    def written(self, amount: float) -> str:
        """An amount for people: ``60 ms``, ``2.1 M``, ``350 kB``."""
        return written(amount, self.unit)

    @property
    def leans(self) -> bool:
        """Whether more of it is, as a rule, more accuracy, so that it is worth using up."""
        return True


@dataclass(frozen=True, eq=False)
class PeakLimit(Limit):
    """A limit on a maximum over the blocks, such as memory: it forbids the candidates that take more by themselves."""

    def row(self, space: SearchSpace) -> Row:
        """The number of forbidden candidates, below 1."""
        fixed, costs = self.model.decision_costs(space)
        allowed = self.most * TOLERANCE
        return Row([(cost > allowed).astype(float) for cost in costs], 0.5 if fixed <= allowed else -1.0)

    @property
    def most_in_sum(self) -> float:
        """One forbidden candidate is as bad as twice the limit of another kind."""
        return 1.0

    def ratio(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """Twice the expected number of forbidden candidates."""
        from hwnas.latency.additive import expectation

        remaining, total = list(probabilities), probabilities[0].new_zeros(())
        for cost in self.row(space).costs:
            own, remaining = remaining[: cost.ndim], remaining[cost.ndim :]
            total = total + expectation(own[0].new_tensor(cost), own)
        return 2 * total

    @property
    def leans(self) -> bool:
        return False
