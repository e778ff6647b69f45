"""The AdditivePredictor: the latency of a network as a sum over its blocks, fitted to measurements.

    ms(network) = bias + sum over its blocks of (scale * block ms + what its kind adds + what the block itself adds)

Blocks measured alone miss the costs that a network shares (start-up of an inference, warm caches between blocks), and
count per block costs that a network pays once; whole networks tell. A cell counts as one block, priced by the operators
that are executed: so the model stays a sum over the chain, whose expectation and optimum under a budget are exact.
`hwnas.latency.fitting` makes it; `hwnas.latency.terms` has the terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError
from hwnas.foreign import LONGEST_MS, SHORTEST_MS
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import STRAIGHT
from hwnas.latency.fitted_terms import FittedTerms
from hwnas.latency.predictor import BlockCost, Prediction
from hwnas.latency.predictor_file import read_predictor, write_predictor
from hwnas.latency.space_costs import space_costs
from hwnas.latency.tables.table import Block
from hwnas.latency.terms import BIAS, OWN_GROUPS, SUM, Terms, count_blocks
from hwnas.latency.uncertainty import Uncertainty
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.spec import Shape, Spec

if TYPE_CHECKING:
    from torch import Tensor

UNCALIBRATED_HALF_WIDTH = 0.25
"""Half width of the interval, relative, of a plain sum of blocks that no whole network was compared with."""
NORMAL_90 = 1.645
"""A normal variable is within so many standard deviations of its mean nine times in ten."""


@dataclass(eq=False)
class AdditivePredictor(FittedTerms):
    """FittedTerms -> ms for an Architecture, or for choice probabilities, differentiably."""

    _rows: dict[Block, Floats] = field(default_factory=dict, repr=False)
    _costs: list[tuple[SearchSpace, float, list[Floats]]] = field(default_factory=list, repr=False)

    @staticmethod
    def block_sum(
        block_ms: dict[Block, float], estimated: Mapping[Block, float] | None = None, n_networks: int = 0
    ) -> AdditivePredictor:
        """The plain sum of blocks; `n_networks` were measured, too few to tell how far off it is.

        Estimates widen the interval by their own deviation, as if all erred in one direction.
        """
        terms = Terms(block_ms, estimated or {})
        card = ErrorCard.not_evaluated(len(block_ms) - len(terms.estimated), n_networks)
        unsure_ms = sum(block_ms[block] * relative_std for block, relative_std in terms.estimated.items())
        estimates = NORMAL_90 * unsure_ms / sum(block_ms.values()) if unsure_ms else 0.0
        half_width = math.hypot(UNCALIBRATED_HALF_WIDTH, estimates)
        return AdditivePredictor(terms, {SUM: 1.0}, Uncertainty(half_width), card)

    def __repr__(self) -> str:
        n_blocks, n_networks = len(self.terms.block_ms or ()), self.card.n_networks
        return f"AdditivePredictor({n_blocks} blocks, {n_networks} networks, 90 % within {100 * self.half_width:.1f} %)"

    def cost_ms(self, spec: Spec, input_shape: Shape, place: int | None = None) -> float:
        """The ms that one block adds to a network's sum, at any place of the chain or at this one.

        Raises HwnasError where nothing is known of it.
        """
        own_ms = 0.0 if place is None else self.layers_ms.get((place, (spec, input_shape)), 0.0)
        summands = list(spec.summands(input_shape))
        return float((self._values(summands) @ self._weight_vector).sum()) + own_ms

    def predict(self, architecture: Architecture) -> Prediction:
        """The latency of a whole network with its 90 % interval.

        A fit to networks gives no less than the least of its `curve`, which makes up for a sum somewhat below 0.
        Raises HwnasError for a block that is not known, and for a number that no latency can be: nothing, hours, or a
        sum as far below 0 as a usual network is above it.
        """
        values, estimated = self._network_values([architecture])
        sums = self._sums(values, [architecture])
        (found,), total = self._predictions(values, sums, estimated), float(sums[0])
        is_latency = SHORTEST_MS <= found.ms <= LONGEST_MS and np.isfinite(found.interval_ms).all()
        if not is_latency or total < -self.curve.centre_ms:
            raise HwnasError(
                f"the predictor gives {total:.4g} ms for {architecture.space} {architecture.code}, and a latency is "
                "above 0 and below an hour: the table or the predictor that it is from is wrong. Measure the table "
                "again, or fit it again with `hwnas fit TABLE`."
            )
        return found

    def predict_many(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """As `predict`, for many networks at once: thousands in a second."""
        values, estimated = self._network_values(architectures)
        return self._predictions(values, self._sums(values, architectures), estimated)

    def _predictions(self, values: Floats, sums: Floats, estimated: Sequence[bool]) -> list[Prediction]:
        """Those of n networks: their terms (n, weights), their sums (n,), and which hold an estimated block."""
        ms, half_ms = self.curve.ms(sums), self.uncertainty.half_ms(values, sums, self.curve)
        rows = zip(ms.tolist(), half_ms.tolist(), estimated, strict=True)
        return [Prediction(x, max(0.0, x - half), x + half, mark) for x, half, mark in rows]

    def largest_ms(self, end_ms: float) -> float:
        """The largest prediction whose interval can end within `end_ms`."""
        return self.uncertainty.largest_ms(end_ms)

    def interval_ends(self, architecture: Architecture) -> tuple[AdditivePredictor, float] | None:
        """A straight predictor of where networks' own intervals end, and the ms to be added to its predictions.

        It is the tangent at this network to what `Uncertainty.end_gradient` describes: exact here, and elsewhere too
        early rather than too late. So every choice has a cost that includes how unsure it is. None if all intervals
        are equally wide.
        """
        if self.uncertainty.covariance is None:
            return None
        values = self._network_values([architecture])[0][0]
        gradient = self.uncertainty.end_gradient(values, self._weight_vector, self.curve)
        weights = dict(zip(self.weights, gradient.tolist(), strict=True))
        tangent = replace(self, weights=weights, curve=STRAIGHT, _rows=self._rows, _costs=[])
        sums = values[None] @ self._weight_vector
        end_ms = self.curve.ms(sums) + self.uncertainty.own_half_ms(values[None], sums, self.curve)
        return tangent, float(end_ms[0] - values @ gradient)

    def decision_costs(self, space: SearchSpace) -> tuple[float, list[Floats]]:
        """The ms of everything fixed, and what the choices add: in the sum that `curve` makes a latency of.

        The arrays follow one another in the order of ``space.decisions``: one axis per decision. A decision about a
        block has an array of its own, ms per candidate; the decisions of a cell share one, since which of its edges
        are executed depends on the others.
        """
        known = next((known for known in self._costs if known[0] is space), None)
        if known is None:
            fixed_ms, costs = space_costs(space, self._cell_costs, self.cost_ms)
            known = (space, fixed_ms + self.weights.get(BIAS, 0.0), costs)
            self._costs[:] = [known]  # a search asks for one space, at every step
        return known[1], known[2]

    def expected_ms(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """Expected latency under independent choices: a scalar, differentiable; exact, for cells too.

        Args:
            space: the search space.
            probabilities: one vector per decision, in the order of ``space.decisions``.
        """
        import torch

        fixed_ms, costs = self.decision_costs(space)
        remaining = list(probabilities)
        mean = remaining[0].new_tensor(fixed_ms)
        variance = remaining[0].new_zeros(())
        for cost in costs:
            own, remaining = remaining[: cost.ndim], remaining[cost.ndim :]
            ms = torch.as_tensor(cost, dtype=own[0].dtype, device=own[0].device)
            expected = expectation(ms, own)
            mean = mean + expected
            if self.curve.bend:
                variance = variance + expectation(ms.square(), own) - expected.square()
        return self.curve.expected_ms(mean, variance)

    def extremes(self, space: SearchSpace) -> tuple[Architecture, Architecture]:
        """The fastest and the slowest architecture of a space."""
        _, costs = self.decision_costs(space)
        fastest = [int(i) for c in costs for i in np.unravel_index(c.argmin(), c.shape)]
        slowest = [int(i) for c in costs for i in np.unravel_index(c.argmax(), c.shape)]
        return space.decode(fastest), space.decode(slowest)

    def priced(self, architecture: Architecture) -> Architecture:
        """The architecture itself."""
        return architecture

    def block_costs(self, architecture: Architecture) -> list[BlockCost]:
        """The cost of each link of the chain; identities are left out."""
        calibrated = self.weights != {SUM: 1.0}
        return [
            BlockCost(place, spec, shape, self.cost_ms(spec, shape, place), self._is_estimated(spec, shape), calibrated)
            for place, (spec, shape) in enumerate(architecture.chain())
            if not spec.is_identity
        ]

    def save(self, path: Path | str) -> None:
        """Write the predictor with its error card as JSON. Raises HwnasError if the folder cannot be written."""
        write_predictor(self, Path(path))

    def saved(self, path: Path) -> AdditivePredictor:
        """This predictor as a run has saved it. Raises as `load`."""
        return self.load(path)

    @staticmethod
    def load(path: Path | str) -> AdditivePredictor:
        """Read a predictor. Raises HwnasError if the file is missing, damaged or of another format."""
        return AdditivePredictor(**vars(read_predictor(Path(path))))

    @property
    def _weight_vector(self) -> Floats:
        return np.fromiter(self.weights.values(), float, len(self.weights))

    def _sums(self, values: Floats, architectures: Sequence[Architecture]) -> Floats:
        """(n,): the sums of n networks, from their terms (n, weights)."""
        return values @ self._weight_vector + self._layers_ms(architectures)

    def _layers_ms(self, architectures: Sequence[Architecture]) -> Floats:
        """(n,): the ms that n networks cost more because of where their blocks stand."""
        if not self.layers_ms:
            return np.zeros(len(architectures))
        return np.array([sum(self.layers_ms.get(at, 0.0) for at in enumerate(a.chain())) for a in architectures])

    def _cell_costs(self, candidates: Sequence[Sequence[Spec]], codes: Ints, shape: Shape) -> Floats:
        """(n,) ms of n cells; see `Terms.of_cells`."""
        columns = self.terms.of_cells(candidates, codes, shape)
        return sum((self.weights.get(t, 0.0) * values for t, values in columns.items()), np.zeros(len(codes)))

    def _values(self, blocks: Sequence[Block]) -> Floats:
        """(blocks, weights): the terms of blocks. Raises HwnasError for a block that is not known."""
        new = [block for block in blocks if block not in self._rows]
        if new:
            try:
                columns = self.terms.columns(new)
            except KeyError as error:
                spec, shape = error.args[0]
                raise HwnasError(
                    f"no latency for {spec} on a {'x'.join(map(str, shape))} input in this predictor; measure its "
                    "space with `hwnas measure`, then `hwnas fit` again."
                ) from None
            for group in OWN_GROUPS:  # blocks that no measured network held: uncertain together, which is cautious
                own = [v for term, v in columns.items() if term[0] == group and term not in self.weights]
                columns["unseen", group] = sum(own, np.zeros(len(new)))
            nothing = np.zeros(len(new))
            rows = np.array([columns.get(term, nothing) for term in self.weights]).T
            self._rows.update(zip(new, rows.reshape(len(new), -1), strict=True))
        return np.array([self._rows[block] for block in blocks]).reshape(len(blocks), len(self.weights))

    def _is_estimated(self, spec: Spec, shape: Shape) -> bool:
        """Whether some operator of a block was never measured."""
        return any(part in self.terms.estimated for part in spec.parts(shape))

    def _network_values(self, architectures: Sequence[Architecture]) -> tuple[Floats, list[bool]]:
        """(networks, weights): the terms of networks; and which of them hold a block that was never measured."""
        blocks, counts = count_blocks(architectures)
        values = counts @ self._values(blocks)
        if BIAS in self.weights:
            values[:, list(self.weights).index(BIAS)] = 1.0
        guessed = [self._is_estimated(spec, shape) for spec, shape in blocks]
        return values, (counts @ np.array(guessed, float) > 0).tolist()


def expectation(values: Tensor, probabilities: Sequence[Tensor]) -> Tensor:
    """The mean (a scalar) of values with one axis per independent choice."""
    for probability in reversed(probabilities):
        values = values @ probability
    return values
