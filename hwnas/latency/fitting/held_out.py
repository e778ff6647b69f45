"""Held-out predictions: every network of a table predicted by a fit that had not seen it, for the error card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwnas.latency.arrays import Ints
from hwnas.latency.card import CurvePoint, ErrorCard, HeldOutPrediction, errors
from hwnas.latency.fitting.candidate import FOLDS
from hwnas.latency.fitting.fit import MIN_NETWORKS, fit
from hwnas.latency.predictor import LatencyPredictor, Prediction
from hwnas.latency.tables.table import Block, Latency, LatencyTable
from hwnas.space import Architecture

CURVE = (0, 5, 10, 20, 50, 100, 200, 500)
"""Numbers of networks that the learning curve is drawn at."""
CURVE_REPEATS = 3
MIN_UNSEEN = 5
"""A point of the curve says little about fewer networks than these."""

NOTICEABLE_DRIFT_PERCENT = 3.0

Fit = Callable[[LatencyTable, Sequence[Block]], LatencyPredictor]
"""From a table, and blocks that must be priced whether or not they are in it, to a predictor."""


def fit_itself(table: LatencyTable, blocks: Sequence[Block]) -> LatencyPredictor:
    """The fit to a table alone."""
    return fit(table, further_blocks=blocks)


def evaluate(
    predictor: LatencyPredictor, table: LatencyTable, fit_table: Fit = fit_itself, least: int = 0
) -> ErrorCard:
    """The full error card of a predictor that was fitted to a table.

    Statistics and intervals come from 5-fold cross-validation in which everything, the choice of the model too, is
    fitted without the fold. Where that would leave fewer than the 5 networks that a fit needs, the predictor's own card
    is returned, with the conditions.

    Args:
        least: how many networks `fit_table` needs, at least.
    """
    card = replace(predictor.card, measured_on=measured_on(table.conditions))
    largest_fold = -(-len(table.networks) // FOLDS)
    if len(table.networks) - largest_fold < MIN_NETWORKS:
        return card
    return replace(
        card.with_held_out(cross_validate(table, fit_table)), learning_curve=learning_curve(table, fit_table, least)
    )


def cross_validate(table: LatencyTable, fit_table: Fit = fit_itself) -> list[HeldOutPrediction]:
    """Every network of the table as a fit predicts it that has seen the others of 4 folds only."""
    from sklearn.model_selection import KFold

    networks = list(table.networks)
    found: list[HeldOutPrediction] = []
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(networks):
        found += _unseen(table, [networks[i] for i in seen], [networks[i] for i in unseen], fit_table)
    return found


def learning_curve(table: LatencyTable, fit_table: Fit = fit_itself, least: int = 0) -> tuple[CurvePoint, ...]:
    """The error on networks not seen against the number of networks seen, in a few random choices of them each.

    Args:
        least: how many networks `fit_table` needs, at least.
    """
    networks = list(table.networks)
    points = []
    for count in CURVE:
        if not least <= count <= len(networks) - MIN_UNSEEN or (count < MIN_NETWORKS and not table.blocks):
            continue
        mapes = [
            _mape(_unseen(table, [networks[i] for i in seen], [networks[i] for i in unseen], fit_table))
            for seen, unseen in _choices(len(networks), count)
        ]
        points.append(CurvePoint(count, float(np.mean(mapes))))
    return tuple(points)


def measured_on(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of a table in a few words, those that it names."""
    identity, circumstances = conditions.get("identity", {}), conditions.get("circumstances", {})
    summary = conditions.get("summary", {})
    names = ("cpu", "runtime", "runtime_version", "threads", "cores", "precision")
    short = {name: identity[name] for name in names if identity.get(name) is not None}
    imported = conditions.get("imported", {})
    short |= {name: imported[name] for name in ("publication", "source") if name in imported}
    short |= {name: circumstances[name] for name in ("device", "date", "left_to_cpu") if circumstances.get(name)}
    short |= {name: summary[name] for name in ("drift_min_percent", "drift_max_percent", "drift") if name in summary}
    return short


def _unseen(
    table: LatencyTable, seen: list[Architecture], unseen: list[Architecture], fit_table: Fit
) -> list[HeldOutPrediction]:
    """Fit the table with the networks `seen` only, then predict `unseen`."""
    rows = {network: table.networks[network] for network in seen}
    blocks = [block for network in unseen for block in network.placed_blocks() if not block[0].is_identity]
    predictions = fit_table(replace(table, networks=rows), blocks).predict_many(unseen)
    slowest_ms = max((row.median_ms for row in rows.values()), default=np.inf)
    fastest_ms = min((row.median_ms for row in rows.values()), default=0.0)
    return [
        _held_out_prediction(network, prediction, table.networks[network], fastest_ms, slowest_ms)
        for network, prediction in zip(unseen, predictions, strict=True)
    ]


def _held_out_prediction(
    network: Architecture, prediction: Prediction, row: Latency, fastest_ms: float, slowest_ms: float
) -> HeldOutPrediction:
    reasons = []
    if row.noisy:
        reasons.append("noisy measurement")
    if row.drift_percent is not None and abs(row.drift_percent) > NOTICEABLE_DRIFT_PERCENT:
        reasons.append(f"the machine was {row.drift_percent:+.0f} % off its usual speed")
    if prediction.estimated:
        reasons.append("holds blocks that were never measured")
    if not fastest_ms <= prediction.ms <= slowest_ms:
        reasons.append(f"{'slower' if prediction.ms > slowest_ms else 'faster'} than every network it was fitted to")
    reason = ", ".join(reasons)
    code = str(network.code)
    return HeldOutPrediction(code, prediction.ms, prediction.low_ms, prediction.high_ms, row.median_ms, reason)


def _choices(networks: int, count: int) -> Iterator[tuple[Ints, Ints]]:
    """Random choices of `count` networks and those that are left; one suffices where nothing is chosen."""
    for seed in range(CURVE_REPEATS if count else 1):
        order = np.random.default_rng(seed).permutation(networks)
        yield order[:count], order[count:]


def _mape(predictions: list[HeldOutPrediction]) -> float:
    measured_ms = np.array([network.measured_ms for network in predictions])
    return float(errors(measured_ms, np.array([network.predicted_ms for network in predictions]))["mape"])
