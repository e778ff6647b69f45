"""The additive LatencyPredictor: the sum of a network's measured blocks, calibrated on whole networks.

    ms(network) = scale * sum of block ms + per_block_ms * number of blocks + bias_ms

Blocks measured alone miss what a network shares (start-up of an inference, warm caches between blocks), and count per
block what a network pays once. Three coefficients, fitted on a few dozen measured networks, mend this and leave the
model additive: it stays differentiable in the choice probabilities and exactly optimisable under a budget.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.latency.card import ErrorCard
from hwnas.latency.table import Block, Latency, LatencyTable
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.spec import Shape, Spec, spec_from_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "hwnas.additive-predictor/1"

PRIOR_STRENGTH = 1e-4
"""Weight of the prior (scale 1, nothing per block, no bias) against one network's squared relative error."""

UNCALIBRATED_HALF_WIDTH = 0.25
"""Half width of the interval, relative, while fewer networks than `MIN_NETWORKS` say how far off the sum is."""

MIN_NETWORKS = 5
FOLDS = 5


@dataclass(frozen=True)
class Prediction:
    """A predicted latency with its 90 % interval."""

    ms: float
    low_ms: float
    high_ms: float

    @property
    def interval_ms(self) -> tuple[float, float]:
        return (self.low_ms, self.high_ms)

    def slowed(self, factor: float) -> Prediction:
        """The same on a machine that takes `factor` times as long as it did for the table."""
        return Prediction(factor * self.ms, factor * self.low_ms, factor * self.high_ms)


@dataclass(frozen=True)
class Calibration:
    """The three coefficients. The default is the plain sum of blocks."""

    scale: float = 1.0
    per_block_ms: float = 0.0
    bias_ms: float = 0.0


@dataclass(frozen=True)
class AdditivePredictor:
    """Table and calibration -> ms for an Architecture, or for choice probabilities, differentiably."""

    block_ms: dict[Block, float]
    calibration: Calibration
    half_width: float
    """Half of the 90 % interval, relative to the predicted ms."""
    card: ErrorCard

    @property
    def digest(self) -> str:
        """SHA-256 of every cost: two predictors of one digest are the same to a search."""
        costs = sorted((str(spec), shape, ms) for (spec, shape), ms in self.block_ms.items())
        return hashlib.sha256(repr((costs, self.calibration, self.half_width)).encode()).hexdigest()

    def cost_ms(self, spec: Spec, input_shape: Shape) -> float:
        """What one block adds to a network's ms. Raises HwnasError where it was never measured."""
        if spec.is_identity:
            return 0.0
        if (spec, input_shape) not in self.block_ms:
            shape = "x".join(map(str, input_shape))
            raise HwnasError(
                f"no latency for {spec} on a {shape} input in this predictor; measure its space with `hwnas measure`, "
                "then `hwnas fit` again."
            )
        return self.calibration.scale * self.block_ms[spec, input_shape] + self.calibration.per_block_ms

    def predict(self, architecture: Architecture) -> Prediction:
        """The latency of a whole network with its 90 % interval."""
        ms = self.calibration.bias_ms + sum(self.cost_ms(*block) for block in architecture.placed_blocks())
        return Prediction(ms, ms * (1 - self.half_width), ms * (1 + self.half_width))

    def decision_costs(self, space: SearchSpace) -> tuple[float, list[np.ndarray]]:
        """The ms of everything fixed, and per decision the ms that each candidate adds (summed where it recurs)."""
        fixed_ms = self.calibration.bias_ms
        costs = {d.name: np.zeros(len(d.candidates)) for d in space.decisions}
        for node, shape in space.positions():
            if isinstance(node, OneOf):
                costs[node.name] += [self.cost_ms(spec, shape) for spec in node.candidates]
            else:
                fixed_ms += self.cost_ms(node, shape)
        return fixed_ms, list(costs.values())

    def expected_ms(self, space: SearchSpace, probabilities: Sequence[Tensor]) -> Tensor:
        """Expected latency under independent choices: a scalar, differentiable; exact for one-hot probabilities.

        Args:
            space: the search space.
            probabilities: one vector per decision, in the order of ``space.decisions``.
        """
        import torch

        fixed_ms, costs = self.decision_costs(space)
        terms = [
            p @ torch.as_tensor(c, dtype=p.dtype, device=p.device) for p, c in zip(probabilities, costs, strict=True)
        ]
        return torch.stack(terms).sum() + fixed_ms

    def extremes(self, space: SearchSpace) -> tuple[Architecture, Architecture]:
        """The fastest and the slowest architecture of a space."""
        _, costs = self.decision_costs(space)
        return space.decode([int(c.argmin()) for c in costs]), space.decode([int(c.argmax()) for c in costs])

    def save(self, path: Path) -> None:
        """Write the predictor with its error card as JSON."""
        blocks = [{"spec": s.to_json(), "input_shape": shape, "ms": ms} for (s, shape), ms in self.block_ms.items()]
        data = {"format": FORMAT, "calibration": asdict(self.calibration), "half_width": self.half_width}
        write_json(path, data | {"card": self.card.to_json(), "blocks": blocks})

    @staticmethod
    def load(path: Path) -> AdditivePredictor:
        """Read a predictor. Raises HwnasError if the file is missing, damaged or of another format."""
        data = read_json(path, "the latency predictor")
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise HwnasError(f"{path} is no latency predictor of this version; make it with `hwnas fit TABLE`.")
        try:
            blocks = {(spec_from_json(b["spec"]), tuple(b["input_shape"])): float(b["ms"]) for b in data["blocks"]}
            calibration = Calibration(**data["calibration"])
            return AdditivePredictor(blocks, calibration, float(data["half_width"]), ErrorCard(**data["card"]))
        except (KeyError, TypeError, ValueError) as error:
            raise HwnasError(f"{path} is damaged ({error!r}); make it again with `hwnas fit TABLE`.") from None


def fit(table: LatencyTable, space: SearchSpace | None = None) -> AdditivePredictor:
    """Calibrate a table's block sum on its whole networks, and judge it on networks it has not seen.

    The error card comes from 5-fold cross-validation; the 90 % interval is the conformal quantile of those errors. With
    fewer than 5 networks the plain sum is returned, with a wide interval, and a card that says so.

    Args:
        table: the measured blocks and networks.
        space: if given, only blocks and networks of this space are used.
    """
    blocks = (
        table.blocks if space is None else {b: table.blocks[b] for b in space.distinct_blocks() if b in table.blocks}
    )
    block_ms = {block: latency.median_ms for block, latency in blocks.items()}
    networks = table.networks if space is None else table.networks_of(space)
    features = _features(table, networks)
    measured_ms = np.array([latency.median_ms for latency in networks.values()])
    if len(networks) < MIN_NETWORKS:
        card = ErrorCard.unjudged(len(block_ms), len(networks))
        return AdditivePredictor(block_ms, Calibration(), UNCALIBRATED_HALF_WIDTH, card)
    unseen_ms = _cross_validated(features, measured_ms)
    card = ErrorCard.judge(measured_ms, unseen_ms, noise_floor(networks), len(block_ms))
    coefficients = _least_squares(features, measured_ms)
    errors = np.sort(np.abs(unseen_ms - measured_ms) / unseen_ms)
    rank = min(len(errors), int(np.ceil(0.9 * (len(errors) + 1))))
    return AdditivePredictor(block_ms, Calibration(*map(float, coefficients)), float(errors[rank - 1]), card)


def noise_floor(networks: dict[Architecture, Latency]) -> float | None:
    """Percent by which the separate visits of one network differ, on average: no predictor can be better."""
    values = [latency.between_visits_percent for latency in networks.values()]
    return float(np.mean(values)) if values else None


def _features(table: LatencyTable, networks: dict[Architecture, Latency]) -> np.ndarray:
    """(networks, 3): sum of block ms, number of blocks, 1."""
    rows = []
    for architecture in networks:
        blocks = [block for block in architecture.placed_blocks() if not block[0].is_identity]
        rows.append([sum(table.block_ms(*block) for block in blocks), len(blocks), 1.0])
    return np.array(rows).reshape(-1, 3)


def _least_squares(features: np.ndarray, measured_ms: np.ndarray) -> np.ndarray:
    """Coefficients that minimise the squared *relative* error, drawn weakly to the plain sum (1, 0, 0)."""
    prior = np.array([1.0, 0.0, 0.0])
    weighted = features / measured_ms[:, None]
    size = np.sqrt((weighted**2).mean(0))  # the prior is as strong on each coefficient as its share of the latency
    normal = weighted.T @ weighted + PRIOR_STRENGTH * len(features) * np.diag(size**2)
    return prior + np.linalg.solve(normal, weighted.T @ (1.0 - weighted @ prior))


def _cross_validated(features: np.ndarray, measured_ms: np.ndarray) -> np.ndarray:
    """Each network predicted by a calibration that has not seen it."""
    from sklearn.model_selection import KFold

    predicted = np.empty_like(measured_ms)
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(features):
        predicted[test] = features[test] @ _least_squares(features[train], measured_ms[train])
    return predicted
