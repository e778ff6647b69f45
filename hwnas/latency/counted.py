"""Quantities that are counted of networks, as models of cost like latency: parameters, multiply-adds, memory.

Parameters and multiply-adds are sums over the blocks and exact. So is the size of a file but for some hundred bytes of
its own (`hwnas.latency.measuring.file_models`). The peak memory of activations is a maximum over the blocks, which is
exact in a chain, whose blocks hand over one tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError
from hwnas.latency.additive import expectation
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.curve import STRAIGHT, Curve
from hwnas.latency.predictor import Prediction
from hwnas.latency.space_costs import space_costs
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.spec import Shape, Spec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class CountedModel:
    """A number per choice, added up over the decisions of a space.

    Attributes:
        space: whose networks are counted; a copy of it that is searched has the same codes.
        fixed: of what is not decided.
        costs: per block an array with one axis per decision about it.
        half_width: half of the interval, relative: 0 of what is exact.
    """

    space: SearchSpace
    fixed: float
    costs: Sequence[Floats]
    half_width: float = 0.0

    @property
    def curve(self) -> Curve:
        return STRAIGHT

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all numbers."""
        hashed = hashlib.sha256(repr((type(self).__name__, self.fixed, self.half_width)).encode())
        for cost in self.costs:
            hashed.update(repr(cost.shape).encode() + np.ascontiguousarray(cost, float).tobytes())
        return hashed.hexdigest()

    def predict(self, architecture: Architecture) -> Prediction:
        """The number of a network, with its interval."""
        found = self.amount(self._chosen(architecture))
        return Prediction(found, found * (1 - self.half_width), found * (1 + self.half_width))

    def predict_many(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        return [self.predict(architecture) for architecture in architectures]

    def amount(self, chosen: Sequence[float]) -> float:
        """Of a network, from the counts of its blocks."""
        return self.fixed + sum(chosen)

    def expected_ms(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """The expected number under independent choices: a scalar, differentiable."""
        remaining = list(probabilities)
        total = remaining[0].new_tensor(self.fixed)
        for cost in self.costs:
            own, remaining = remaining[: cost.ndim], remaining[cost.ndim :]
            total = total + expectation(own[0].new_tensor(cost), own)
        return total

    def decision_costs(self, space: SearchSpace) -> tuple[float, list[Floats]]:
        return self.fixed, list(self.costs)

    def extremes(self, space: SearchSpace) -> tuple[Architecture, Architecture]:
        """A network of the least and one of the largest number."""
        least = [int(i) for c in self.costs for i in np.unravel_index(c.argmin(), c.shape)]
        most = [int(i) for c in self.costs for i in np.unravel_index(c.argmax(), c.shape)]
        return space.decode(least), space.decode(most)

    def largest_ms(self, end_ms: float) -> float:
        return end_ms / (1 + self.half_width)

    def interval_ends(self, architecture: Architecture) -> None:
        """None: all intervals are equally wide."""

    def _chosen(self, architecture: Architecture) -> list[float]:
        """The count of each block of a network."""
        try:
            code = list(self.space.indices(architecture))
        except HwnasError:  # of a copy of the space, whose codes are the same
            code = list(self.space.indices(self.space.decode(architecture.code)))
        chosen = []
        for cost in self.costs:
            chosen.append(float(cost[tuple(code[: cost.ndim])]))
            code = code[cost.ndim :]
        return chosen


class PeakModel(CountedModel):
    """A number per choice, of which the largest counts."""

    def amount(self, chosen: Sequence[float]) -> float:
        return max(self.fixed, *chosen)


def parameters_model(space: SearchSpace) -> CountedModel:
    """Trainable parameters of the networks of a space."""
    return counted_model(space, lambda spec, shape: float(spec.params))


def macs_model(space: SearchSpace) -> CountedModel:
    """Multiply-accumulates of the networks of a space."""
    return counted_model(space, lambda spec, shape: float(spec.macs(shape)))


def counted_model(space: SearchSpace, count: Callable[[Spec, Shape], float]) -> CountedModel:
    """The values of `count` for each block, or for a cell as a whole, added up."""

    def of_cells(candidates: Sequence[Sequence[Spec]], codes: Ints, shape: Shape) -> Floats:
        cells = (
            Cell(shape[0], tuple(own[k] for own, k in zip(candidates, code, strict=True))) for code in codes.tolist()
        )
        return np.array([count(cell, shape) for cell in cells])

    return CountedModel(space, *space_costs(space, of_cells, lambda spec, shape, place: count(spec, shape)))
