"""The file of an AdditivePredictor: JSON, readable, no code in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.foreign import Finite, Ms, NotNegative, checked, faults_of
from hwnas.latency.arrays import Floats
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.fitted_terms import FittedTerms
from hwnas.latency.tables.table import Block
from hwnas.latency.terms import BIAS, COUNT, SUM, Executed, Extra, Terms
from hwnas.latency.uncertainty import Floor, Uncertainty
from hwnas.space import MOST_BLOCKS
from hwnas.specs.spec import check_shape, spec_from_json
from hwnas.text import excerpt

FORMAT = "hwnas.additive-predictor/2"
FIRST_FORMAT = "hwnas.additive-predictor/1"
"""Three coefficients, one interval for all; still read."""

ROUNDED = 1e-5
"""Numbers of a covariance are kept to six digits."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def write_predictor(predictor: FittedTerms, path: Path) -> None:
    """Write a predictor. Raises HwnasError if the folder cannot be written."""
    terms, uncertainty = predictor.terms, predictor.uncertainty
    blocks = terms.block_ms
    write_json(
        path,
        {
            "format": FORMAT,
            "fitted_to": predictor.fitted_to,
            "executed": terms.executed,
            "extras": list(terms.extras),
            "weights_ms": [[group, name, weight] for (group, name), weight in predictor.weights.items()],
            "curve": asdict(predictor.curve),
            "half_width": uncertainty.half_width,
            "noise": uncertainty.noise,
            "spread": uncertainty.spread,
            "floor": asdict(uncertainty.floor),
            "covariance": None if uncertainty.covariance is None else _triangle(uncertainty.covariance),
            "card": predictor.card.to_json(),
            "layers_ms": [
                {"layer": place, "spec": spec.to_json(), "input_shape": shape, "ms": ms}
                for (place, (spec, shape)), ms in predictor.layers_ms.items()
            ],
            "blocks": None
            if blocks is None
            else [
                {"spec": spec.to_json(), "input_shape": shape, "ms": ms}
                | ({"relative_std": terms.estimated[spec, shape]} if (spec, shape) in terms.estimated else {})
                for (spec, shape), ms in blocks.items()
            ],
        },
    )


Shares = Annotated[float, Field(allow_inf_nan=False, ge=0, le=100)]
"""Relative to a latency; a hundred times it says nothing any more."""


class _BlockRow(BaseModel):
    spec: dict[str, Any]
    input_shape: tuple[int, int, int]
    ms: Finite
    """Above 0 in the block table; a place of the chain may add less than nothing."""

    @property
    def block(self) -> Block:
        """Raises HwnasError for a block that there cannot be."""
        spec = spec_from_json(self.spec)
        check_shape(self.input_shape)
        spec.output_shape(self.input_shape)
        return spec, self.input_shape


class _TableRow(_BlockRow):
    ms: Ms
    relative_std: Shares | None = None


class _LayerRow(_BlockRow):
    layer: int = Field(ge=0, lt=MOST_BLOCKS)


class _Calibration(BaseModel):
    bias_ms: Finite
    scale: Finite
    per_block_ms: Finite


class _Contents(BaseModel):
    """The part that both formats have."""

    half_width: Shares
    card: dict[str, Any]
    blocks: list[_TableRow] | None
    executed: Executed = "live"
    extras: tuple[Extra, ...] = ()


class _FirstContents(_Contents):
    calibration: _Calibration


class _CurrentContents(_Contents):
    weights_ms: list[tuple[str, str, Finite]]
    curve: Curve = Curve()
    """The first files of this format have none."""
    noise: Shares
    spread: NotNegative
    covariance: list[str] | None
    layers_ms: list[_LayerRow] = []
    fitted_to: str | None = None
    floor: Floor = Floor()
    """Earlier files have none."""


def read_predictor(path: Path) -> FittedTerms:
    """Read a predictor. Raises HwnasError if the file is missing, damaged or of another format."""
    data = read_json(path, "the latency predictor")
    if not isinstance(data, dict) or data.get("format") not in (FORMAT, FIRST_FORMAT):
        raise HwnasError(f"{path} is no latency predictor of this version; make it with `hwnas fit TABLE`.")
    cure = "make it again with `hwnas fit TABLE`"
    kind = _FirstContents if data["format"] == FIRST_FORMAT else _CurrentContents
    found = checked(kind, data, f"{path} is damaged", cure)
    try:
        return _predictor(found)
    except ValidationError as error:
        raise HwnasError(f"{path} is damaged: card: {faults_of(error)}; {cure}.") from None
    except (ValueError, HwnasError) as error:
        raise HwnasError(f"{path} is damaged: {str(error).rstrip('.')}; {cure}.") from None


def _predictor(found: _FirstContents | _CurrentContents) -> FittedTerms:
    """The predictor of a file's JSON. Raises ValueError or HwnasError."""
    terms, card = _terms(found), ErrorCard.from_json(found.card)
    if isinstance(found, _FirstContents):
        old = found.calibration
        weights = {BIAS: old.bias_ms, SUM: old.scale, COUNT: old.per_block_ms}
        return FittedTerms(terms, weights, Uncertainty(found.half_width), card)
    weights = _once("weights_ms", (((group, name), weight) for group, name, weight in found.weights_ms))
    covariance = None if found.covariance is None else _square(found.covariance, len(weights))
    uncertainty = Uncertainty(found.half_width, found.noise, found.spread, covariance, found.floor)
    layers_ms = _once("layers_ms", (((row.layer, row.block), row.ms) for row in found.layers_ms))
    return FittedTerms(terms, weights, uncertainty, card, found.curve, layers_ms, found.fitted_to)


def _terms(found: _Contents) -> Terms:
    if found.blocks is None:
        return Terms(None, executed=found.executed, extras=found.extras)
    rows = _once("blocks", ((row.block, row) for row in found.blocks))
    block_ms = {block: row.ms for block, row in rows.items()}
    estimated = {block: row.relative_std for block, row in rows.items() if row.relative_std is not None}
    return Terms(block_ms, estimated, found.executed, found.extras)


def _once(where: str, rows: Iterable[tuple[Key, Value]]) -> dict[Key, Value]:
    """The rows by key. Raises ValueError, naming the row, for a key that is there twice, or as the rows do."""
    found: dict[Key, Value] = {}
    coming = iter(rows)
    for i in count():
        try:
            key, value = next(coming)
        except StopIteration:
            return found
        except HwnasError as error:
            raise ValueError(f"{where}[{i}]: {error}") from None
        if key in found:
            raise ValueError(f"{where}[{i}] is about the same as {where}[{list(found).index(key)}]")
        found[key] = value
    return found


def _triangle(matrix: Floats) -> list[str]:
    """The lower triangle of a symmetric matrix, a line of text per row: a list of lists would be a line per number."""
    return [" ".join(f"{value:.6g}" for value in row[: i + 1]) for i, row in enumerate(matrix)]


def _square(lines: list[str], size: int) -> Floats:
    """The matrix that `_triangle` wrote. Raises ValueError for another size, and for a matrix that is no covariance."""
    if len(lines) != size:
        raise ValueError(f"covariance: {len(lines)} rows of a {size} by {size} matrix")
    matrix = np.zeros((size, size))
    for i, line in enumerate(lines):
        try:
            matrix[i, : i + 1] = [float(value) for value in line.split()]
        except ValueError:
            raise ValueError(f"covariance[{i}]: must be {i + 1} numbers (found {excerpt(line)})") from None
    matrix = matrix + np.tril(matrix, -1).T
    if not np.isfinite(matrix).all():
        raise ValueError("covariance: must be finite numbers")
    values = np.linalg.eigvalsh(matrix) if size else np.zeros(1)
    if values[0] < -ROUNDED * size * max(values[-1], 0.0) or (values[0] < 0 and values[-1] <= 0):
        raise ValueError(f"covariance: no variances have it, it has the eigenvalue {values[0]:.3g}")
    return matrix
