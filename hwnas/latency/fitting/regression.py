"""The BlockRegression: the ms of blocks that were never measured, from those that were.

Costs are of the operators that a runtime executes for a block (`features`), with nominal unit costs as prior; blocks of
similar form are alike: the errors of the costs (tiles, caches, fused steps) are learned from the measured neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from hwnas.errors import HwnasError
from hwnas.foreign import Finite, Positive, checked, faults_of
from hwnas.latency.arrays import Floats
from hwnas.latency.features import COSTS, FORM, NOMINAL_MS, feature_rows
from hwnas.latency.fitting.gaussian_process import Hyperparameters
from hwnas.latency.fitting.relative import RelativeRegression, prior_rows
from hwnas.latency.fitting.selection import most_informative
from hwnas.specs.spec import Shape, Spec

FORMAT = "hwnas.block-regression/1"

BASE_COSTS = ("macs", "macs_depthwise", "bytes_read", "bytes_written", "bytes_of_weights", "operators")
"""The costs that count nominally; other costs are expected to add nothing, until measurements say otherwise."""

EXPECTED = Hyperparameters(linear=0.5, smooth=0.05, noise=0.02, lengths=(5.0,) * len(FORM))
"""Unit costs about as nominal, give or take a half; likeness is worth 5 %; measurements repeat within 2 %."""

SELECTION = replace(EXPECTED, smooth=0.1, noise=0.1)
"""When selecting blocks, expect a stranger device than most are: the selection then covers all kinds of blocks."""

LEAST_SPREAD = 0.1
"""A form that the measured blocks hardly vary in says nothing: it is not blown up to unit spread."""

Blocks = Sequence[tuple[Spec, Shape]]

_NOMINAL = np.array(list(NOMINAL_MS.values()))
_PRIOR = np.array([float(name in BASE_COSTS) for name in COSTS])


@dataclass(frozen=True, eq=False)
class BlockRegression:
    """Prices any block that can be exported, with the uncertainty of that price.

    Attributes:
        model: fitted on the measured blocks.
        centre: (len(FORM),), mean form of the measured blocks.
        spread: (len(FORM),), standard deviation of their forms.
    """

    model: RelativeRegression
    centre: Floats
    spread: Floats

    @staticmethod
    def fit(blocks: Mapping[tuple[Spec, Shape], float]) -> BlockRegression:
        """Fit the measured ms of blocks. Raises HwnasError for fewer than 3, or ms that are not positive."""
        measured = {block: ms for block, ms in blocks.items() if not block[0].is_identity}
        costs, forms = feature_rows(list(measured))
        centre, spread = _scaling(forms)
        ms = np.array(list(measured.values()), dtype=float)
        model = RelativeRegression.fit(costs * _NOMINAL, (forms - centre) / spread, ms, _PRIOR, EXPECTED)
        return BlockRegression(model, centre, spread)

    def predict(self, spec: Spec, input_shape: Shape) -> tuple[float, float]:
        """The ms of a block, and their standard deviation relative to it; an identity takes (0, 0).

        Nine in ten blocks lie within ``ms * (1 +- 1.645 * relative_std)``.
        """
        ms, relative_std = self.predict_many([(spec, input_shape)])
        return float(ms[0]), float(relative_std[0])

    def predict_many(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """The ms (n,) of blocks, and their relative standard deviations (n,)."""
        real = np.array([not spec.is_identity for spec, _ in blocks], dtype=bool)
        costs, forms = feature_rows([block for block in blocks if not block[0].is_identity])
        ms, relative_std = np.zeros(len(blocks)), np.zeros(len(blocks))
        ms[real], relative_std[real] = self.model.predict(costs * _NOMINAL, (forms - self.centre) / self.spread)
        return ms, relative_std

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON data; `from_json` takes it back."""
        columns = {"costs": list(COSTS), "form": list(FORM), "nominal_ms": list(NOMINAL_MS.values())}
        scaling = {"centre": self.centre.tolist(), "spread": self.spread.tolist()}
        return {"format": FORMAT, "columns": columns, **scaling, "model": self.model.to_json()}

    @staticmethod
    def from_json(data: Any) -> BlockRegression:
        """The regression of `to_json`. Raises HwnasError if it is damaged, or if this version counts other features."""
        cure = "make it again with `hwnas fit TABLE`"
        columns = {"costs": list(COSTS), "form": list(FORM), "nominal_ms": list(NOMINAL_MS.values())}
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("columns") != columns:
            raise HwnasError(f"this block regression is of another version of hwnas; {cure}.")
        found = checked(_Scaled, data, "this block regression is damaged", cure)
        try:
            model = RelativeRegression.from_json(found.model)
        except ValueError as error:
            said = faults_of(error) if isinstance(error, ValidationError) else error
            raise HwnasError(f"this block regression is damaged: model: {said}; {cure}.") from None
        if not (model.places.shape[1] == len(found.centre) == len(found.spread) == len(FORM)):
            raise HwnasError(f"this block regression is damaged: it does not have {len(FORM)} columns; {cure}.")
        return BlockRegression(model, np.array(found.centre), np.array(found.spread))


class _Scaled(BaseModel):
    """The JSON of a BlockRegression."""

    centre: list[Finite]
    spread: list[Positive]
    model: dict[str, Any]


def informative_blocks(candidates: Blocks, count: int, measured: Blocks = (), seed: int = 0) -> list[int]:
    """Which candidates to measure so that the regression prices all of them best, most informative first.

    Args:
        candidates: the blocks that will have to be priced, such as ``space.distinct_blocks()``.
        count: how many to choose.
        measured: blocks that have been measured already; those among the candidates are not chosen.
        seed: order of equals.
    """
    known = dict.fromkeys(block for block in measured if not block[0].is_identity)
    open_ones = [i for i, block in enumerate(candidates) if block not in known and not block[0].is_identity]
    if not open_ones:
        return []
    costs, forms = feature_rows([*(candidates[i] for i in open_ones), *known])
    centre, spread = _scaling(forms)
    rows = prior_rows(costs * _NOMINAL, (forms - centre) / spread, _PRIOR, SELECTION)
    candidate_rows, known_rows = rows[: len(open_ones)], rows[len(open_ones) :]
    weights = np.ones(rows.shape[1])
    chosen = most_informative(candidate_rows, count, known_rows, weights, noise=SELECTION.noise, seed=seed)
    return [open_ones[i] for i in chosen]


def _scaling(forms: Floats) -> tuple[Floats, Floats]:
    if not len(forms):  # fitting nothing is refused later, in words
        return np.zeros(len(FORM)), np.ones(len(FORM))
    return forms.mean(0), np.maximum(forms.std(0), LEAST_SPREAD)
