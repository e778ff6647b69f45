"""Fitting a new device on which few networks were measured, with the tables of known devices.

The latencies of the known devices' networks are mapped to the new device by a Transfer, and a predictor is fitted to
these as if they had been measured there: it prices blocks, decides and decodes like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.arrays import Floats
from hwnas.latency.card import ErrorCard
from hwnas.latency.conformal import conformal_quantile
from hwnas.latency.fitting.fit import MIN_NETWORKS, fit
from hwnas.latency.fitting.held_out import cross_validate, evaluate
from hwnas.latency.fitting.transfer import Transfer, informative_networks
from hwnas.latency.tables.measured import measured_digest
from hwnas.latency.tables.table import Block, Latency, LatencyTable
from hwnas.latency.uncertainty import Floor, Uncertainty
from hwnas.space import Architecture

UNJUDGED_HALF_WIDTH = 0.15
"""Half of the 90 % interval, relative, while too few networks are measured on the new device to tell."""
LEAST_WEIGHED = 3
"""Networks that a Transfer needs."""


def fit_by_transfer(table: LatencyTable, known: Sequence[LatencyTable]) -> tuple[AdditivePredictor, ErrorCard]:
    """A predictor for the device of `table` from tables of known devices, and its card.

    The card is of 5-fold cross-validation over the networks measured on the new device, beside the fit to that device's
    own table alone (`own_mape`).

    Args:
        table: of the new device, with 3 whole networks or more; its blocks may be missing.
        known: tables of other devices, with networks of the same space.

    Raises:
        UsageError: a known table is the one of the new device.
        HwnasError: too few networks on the new device, or none on a known one.
    """
    if any(measured_digest(each) == measured_digest(table) for each in known):
        raise UsageError(
            "a table tells nothing new about itself: it is among the known ones, so that its networks would be "
            "predicted from their own latencies. Name tables of other devices."
        )
    predictors = [fit(each) for each in known]
    further = [each for each in _networks(known) if _are_priced(each, known, predictors)]
    # of another space that the table holds too, nothing is known on the other devices
    own_networks = {each: row for each, row in table.networks.items() if _are_priced(each, known, predictors)}
    table = replace(table, networks=own_networks)

    def fit_transferred(own: LatencyTable, blocks: Sequence[Block] = ()) -> AdditivePredictor:
        made = _transferred(own, known, predictors, further)
        # a network that is left out of this device's table is one that no known table holds, such as a search proposes
        left_out = table.networks.keys() - own.networks.keys()
        networks = {each: row for each, row in made.networks.items() if each not in left_out}
        return fit(replace(made, networks=networks), further_blocks=blocks)

    transferred = fit_transferred(table)
    # not the fit's own digest: the last digits of transferred numbers differ with the threads of linear algebra
    fitted_to = " ".join(measured_digest(each) for each in (table, *known))
    name = f"transferred from {len(known)} known device{'s' if len(known) > 1 else ''}: {transferred.card.predictor}"
    if len(table.networks) < MIN_NETWORKS + LEAST_WEIGHED:
        card = replace(ErrorCard.not_evaluated(len(table.blocks), len(table.networks)), predictor=name)
        uncertainty = Uncertainty(UNJUDGED_HALF_WIDTH)
        return replace(transferred, uncertainty=uncertainty, card=card, fitted_to=fitted_to), card
    unseen = cross_validate(table, fit_transferred)
    measured_ms = np.array([network.measured_ms for network in unseen])
    predicted_ms = np.array([network.predicted_ms for network in unseen])
    surprises = np.abs(measured_ms / predicted_ms - 1)  # of the prediction, as intervals are
    few = Floor.of(measured_ms, predicted_ms)
    half_width = max(conformal_quantile(surprises), few.half_width)
    card = replace(transferred.card, predictor=name)
    scaled = replace(transferred, uncertainty=Uncertainty(half_width), card=card, fitted_to=fitted_to)

    def fit_scaled(own: LatencyTable, blocks: Sequence[Block]) -> AdditivePredictor:
        return replace(fit_transferred(own, blocks), uncertainty=Uncertainty(half_width))

    card = evaluate(scaled, table, fit_scaled, LEAST_WEIGHED)
    own = ErrorCard.not_evaluated(0, 0).with_held_out(cross_validate(table)).mape if _can_stand_alone(table) else None
    card = replace(card, n_blocks=len(table.blocks), own_mape=own)
    return replace(scaled, card=replace(card, held_out=(), learning_curve=())), card


def informative_sample(known: Sequence[LatencyTable], count: int) -> list[Architecture]:
    """The networks of known tables to measure on a new device, those first that tell `fit_by_transfer` most.

    Raises HwnasError if the known tables hold no whole networks.
    """
    predictors = [fit(each) for each in known]
    networks = [each for each in _networks(known) if _are_priced(each, known, predictors)]
    known_ms = _known_ms(networks, known, predictors)
    return [networks[i] for i in informative_networks(known_ms, count, _sizes(networks))]


def _transferred(
    own: LatencyTable,
    known: Sequence[LatencyTable],
    predictors: Sequence[AdditivePredictor],
    further: Sequence[Architecture],
) -> LatencyTable:
    """The table of the new device as it would be: measurements, and predictions of the transfer for `further`
    networks."""
    if len(own.networks) < LEAST_WEIGHED:
        raise HwnasError(
            f"{len(own.networks)} whole networks are measured on this device, {LEAST_WEIGHED} are needed to transfer "
            "other devices' tables to it; measure some with `hwnas measure --from TABLE --networks 10`."
        )
    networks = list(dict.fromkeys([*own.networks, *further]))
    known_ms, sizes = _known_ms(networks, known, predictors), _sizes(networks)
    measured_ms = np.array([row.median_ms for row in own.networks.values()])
    transfer = Transfer.fit(known_ms, np.arange(len(measured_ms)), measured_ms, sizes)
    transferred_ms, _ = transfer.predict(known_ms, sizes)
    rows = {network: _row(ms) for network, ms in zip(networks, transferred_ms.tolist(), strict=True)} | own.networks
    ratios = np.median(measured_ms[:, None] / known_ms[: len(measured_ms)], axis=0).tolist()
    blocks: dict[Block, list[float]] = {}
    for ratio, each in zip(ratios, known, strict=True):
        for block, row in each.blocks.items():
            blocks.setdefault(block, []).append(ratio * row.median_ms)
    return replace(own, blocks={b: _row(float(np.mean(ms))) for b, ms in blocks.items()} | own.blocks, networks=rows)


def _networks(known: Sequence[LatencyTable]) -> list[Architecture]:
    if not all(each.networks for each in known) or not known:
        empty = next((each.folder for each in known if not each.networks), "that was given")
        raise HwnasError(
            f"the table {empty} holds no whole networks, so nothing can be transferred from it; measure some on its "
            "device with `hwnas measure --networks 50`."
        )
    return list(dict.fromkeys(network for each in known for network in each.networks))


def _are_priced(network: Architecture, known: Sequence[LatencyTable], predictors: Sequence[AdditivePredictor]) -> bool:
    """Whether every known table holds a network or all of its blocks."""
    for each, predictor in zip(known, predictors, strict=True):
        if network not in each.networks:
            try:
                predictor.predict(network)
            except HwnasError:
                return False
    return True


def _known_ms(
    networks: Sequence[Architecture], known: Sequence[LatencyTable], predictors: Sequence[AdditivePredictor]
) -> Floats:
    """(networks, devices): measured where a device's table holds the network, else predicted for it."""
    columns = []
    for each, predictor in zip(known, predictors, strict=True):
        lacking = [network for network in networks if network not in each.networks]
        predicted = dict(zip(lacking, predictor.predict_many(lacking), strict=True)) if lacking else {}
        columns.append([each.networks[n].median_ms if n in each.networks else predicted[n].ms for n in networks])
    return np.array(columns).T


def _sizes(networks: Sequence[Architecture]) -> Floats:
    """(networks, 2): MACs and parameters, which may tell why devices differ."""
    return np.array([[network.macs, network.params] for network in networks], dtype=float)


def _can_stand_alone(table: LatencyTable) -> bool:
    return len(table.networks) * 4 // 5 >= MIN_NETWORKS or bool(table.blocks)


def _row(ms: float) -> Latency:
    """A latency that was not measured."""
    return Latency(ms, ms, ms, runs=1, between_visits_percent=0.0)
