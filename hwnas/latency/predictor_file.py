"""The file of a LatencyPredictor: JSON, readable, no code in it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.table import Block
from hwnas.latency.terms import BIAS, COUNT, EXECUTED, EXTRAS, SUM, Terms
from hwnas.latency.uncertainty import Floor, Uncertainty
from hwnas.spec import spec_from_json

if TYPE_CHECKING:
    from hwnas.latency.predictor import AdditivePredictor

FORMAT = "hwnas.additive-predictor/2"
FIRST_FORMAT = "hwnas.additive-predictor/1"
"""Three coefficients, one interval for all; still read."""


def save(predictor: AdditivePredictor, path: Path) -> None:
    """Write a predictor. Raises HwnasError if the folder cannot be written."""
    terms, uncertainty = predictor.terms, predictor.uncertainty
    blocks = terms.block_ms
    write_json(
        path,
        {
            "format": FORMAT,
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


def load(path: Path) -> AdditivePredictor:
    """Read a predictor. Raises HwnasError if the file is missing, damaged or of another format."""
    from hwnas.latency.predictor import AdditivePredictor

    data = read_json(path, "the latency predictor")
    if not isinstance(data, dict) or data.get("format") not in (FORMAT, FIRST_FORMAT):
        raise HwnasError(f"{path} is no latency predictor of this version; make it with `hwnas fit TABLE`.")
    try:
        half_width = float(data["half_width"])
        if data["format"] == FIRST_FORMAT:
            old = data["calibration"]
            weights = {BIAS: old["bias_ms"], SUM: old["scale"], COUNT: old["per_block_ms"]}
            return AdditivePredictor(_terms(data), weights, Uncertainty(half_width), ErrorCard.from_json(data["card"]))
        weights = {(str(group), str(name)): float(weight) for group, name, weight in data["weights_ms"]}
        curve = Curve(**data.get("curve", {}))  # the first files of this format have none
        card = ErrorCard.from_json(data["card"])
        layers_ms = {(int(r["layer"]), _block(r)): float(r["ms"]) for r in data.get("layers_ms", ())}
        return AdditivePredictor(_terms(data), weights, _uncertainty(data, len(weights)), card, curve, layers_ms)
    except (KeyError, TypeError, ValueError, HwnasError) as error:
        raise HwnasError(f"{path} is damaged ({error!r}); make it again with `hwnas fit TABLE`.") from None


def _terms(data: dict[str, Any]) -> Terms:
    executed, extras = data.get("executed", "live"), tuple(data.get("extras", ()))
    if executed not in EXECUTED or not set(extras) <= set(EXTRAS):
        raise ValueError(f"unknown pricing {executed!r}, {extras!r}")
    if data["blocks"] is None:
        return Terms(None, executed=executed, extras=extras)
    block_ms: dict[Block, float] = {}
    estimated: dict[Block, float] = {}
    for row in data["blocks"]:
        block = _block(row)
        block_ms[block] = float(row["ms"])
        if "relative_std" in row:
            estimated[block] = float(row["relative_std"])
    return Terms(block_ms, estimated, executed, extras)


def _block(row: dict[str, Any]) -> Block:
    channels, height, width = row["input_shape"]
    return spec_from_json(row["spec"]), (channels, height, width)


def _uncertainty(data: dict[str, Any], terms: int) -> Uncertainty:
    covariance = None if data["covariance"] is None else _square(data["covariance"], terms)
    floor = Floor(**{name: float(value) for name, value in data.get("floor", {}).items()})  # earlier files have none
    return Uncertainty(float(data["half_width"]), float(data["noise"]), float(data["spread"]), covariance, floor)


def _triangle(matrix: np.ndarray) -> list[str]:
    """The lower triangle of a symmetric matrix, a line of text per row: a list of lists would be a line per number."""
    return [" ".join(f"{value:.6g}" for value in row[: i + 1]) for i, row in enumerate(matrix)]


def _square(lines: list[str], size: int) -> np.ndarray:
    """The matrix that `_triangle` wrote. Raises ValueError for another size."""
    matrix = np.zeros((size, size))
    for i, line in enumerate(lines):
        matrix[i, : i + 1] = [float(value) for value in line.split()]
    if len(lines) != size:
        raise ValueError(f"{len(lines)} rows of a {size} by {size} matrix")
    return matrix + np.tril(matrix, -1).T
