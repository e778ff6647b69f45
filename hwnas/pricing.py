"""The price of one architecture: its predicted latency with interval, and the share of each of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hwnas.latency.fitting.fit import fit
from hwnas.latency.predictor import BlockCost, LatencyPredictor, Prediction
from hwnas.latency.tables.table import LatencyTable
from hwnas.space import Architecture, SearchSpace, check_space
from hwnas.specs.spec import Shape, Spec

Source = Literal["measured", "imported", "calibrated", "regression"]
"""Where a block's ms is from: its own measurement; a published table; its measurement, as whole networks showed that it
counts; other blocks like it, since it was never measured."""


@dataclass(frozen=True)
class BlockPrice:
    """One link of the chain and the ms that it adds to the network."""

    place: int
    """In the chain, from 0."""
    spec: Spec
    input_shape: Shape
    ms: float
    source: Source
    table_ms: float | None = None
    """The ms of the block by itself in the table, measured or published; None where the table lacks a part of it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "spec": str(self.spec),
            "input_shape": list(self.input_shape),
            "ms": self.ms,
            "source": self.source,
            "table_ms": self.table_ms,
        }


@dataclass(frozen=True)
class Price:
    """The cost of an architecture, block by block. Blocks that do nothing (skips) are left out: they cost nothing."""

    architecture: Architecture
    prediction: Prediction
    blocks: tuple[BlockPrice, ...]

    def __repr__(self) -> str:
        return f"Price({self.prediction.ms:.4g} ms, {len(self.blocks)} blocks, {self.shared_ms:.3g} ms beyond them)"

    @property
    def shared_ms(self) -> float:
        """The ms that the network costs beyond its blocks, or less than they: known from whole networks only."""
        return self.prediction.ms - sum(block.ms for block in self.blocks)

    def to_json(self) -> dict[str, Any]:
        return {
            "predicted_ms": self.prediction.ms,
            "interval_ms": list(self.prediction.interval_ms),
            "blocks": [block.to_json() for block in self.blocks],
            "shared_ms": self.shared_ms,
            "space": self.architecture.space,
            "code": self.architecture.code,
        }


def price(space: SearchSpace, code: str | Sequence[int], table: LatencyTable) -> Price:
    """Price the architecture of a code.

    Args:
        space: the search space.
        code: as `SearchSpace.decode` takes it.
        table: measured or imported; blocks that it lacks are estimated from the others, and marked.

    Raises:
        UsageError: the code is none of the space.
        HwnasError: the table holds too little to price it.
    """
    check_space(space)
    architecture = space.decode(code)
    return price_of(architecture, table, fit(table, space))


def price_of(architecture: Architecture, table: LatencyTable, predictor: LatencyPredictor) -> Price:
    """Price an architecture, or that of the whole space for a proxy's, by a predictor that was fitted to the table."""
    blocks = [
        BlockPrice(cost.place, cost.spec, cost.input_shape, cost.ms, _source(cost, table), _table_ms(cost, table))
        for cost in predictor.block_costs(architecture)
    ]
    return Price(predictor.priced(architecture), predictor.predict(architecture), tuple(blocks))


def _table_ms(cost: BlockCost, table: LatencyTable) -> float | None:
    parts = [part for part in cost.spec.parts(cost.input_shape) if not part[0].is_identity]
    return None if any(part not in table.blocks for part in parts) else sum(table.block_ms(*part) for part in parts)


def _source(cost: BlockCost, table: LatencyTable) -> Source:
    parts = [part for part in cost.spec.parts(cost.input_shape) if not part[0].is_identity]
    if cost.estimated or any(part not in table.blocks for part in parts):
        return "regression"
    if table.publication:
        return "imported"
    return "calibrated" if cost.calibrated else "measured"
