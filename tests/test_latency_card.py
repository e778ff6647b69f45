"""The error card: statistics on known answers, judging by fits that have not seen the network, and carrying over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.card import ErrorCard, HeldOutPrediction, errors, noise_floor
from hwnas.latency.fitting.fit import fit
from hwnas.latency.fitting.held_out import cross_validate, evaluate, learning_curve
from hwnas.latency.fitting.transfer_fit import fit_by_transfer, informative_sample
from hwnas.latency.measuring.measure import spread_sample
from hwnas.latency.tables.table import Block, Latency, LatencyTable
from hwnas.spaces import get_space
from tests.test_latency import made_table
from tests.weekly import weekly_except

SPACE = get_space("tiny", resolution=16, width=0.25)
NETWORKS = spread_sample(SPACE, 40)


def row(ms: float, **more: object) -> Latency:
    return Latency(ms, 0.95 * ms, 1.1 * ms, 50, 1.0, **more)  # type: ignore[arg-type]


def synthetic(seed: int, ms_per_mac: float, noise: float = 0.01, networks: int = 40) -> LatencyTable:
    """A device on which each block takes a time of its own, and a network the sum of its blocks and a constant."""
    rng = np.random.default_rng(seed)
    ms = {
        b: (2e-3 + ms_per_mac * b[0].macs(b[1])) * np.exp(0.1 * rng.standard_normal()) for b in SPACE.distinct_blocks()
    }
    table = LatencyTable({block: row(float(value), halves_percent=0.5) for block, value in ms.items()})
    for network in NETWORKS[:networks]:
        whole = 0.01 + sum(ms[block] for block in network.placed_blocks() if not block[0].is_identity)
        table.networks[network] = row(float(whole * np.exp(noise * rng.standard_normal())), halves_percent=1.5)
    return table


def test_statistics_on_known_answers() -> None:
    found = errors(np.array([1.0, 2.0, 4.0, 10.0]), np.array([1.0, 2.08, 4.32, 8.0]))
    assert found["mape"] == pytest.approx((0 + 4 + 8 + 20) / 4)
    assert (found["hit5"], found["hit10"], found["spearman"], found["kendall"]) == (50, 75, 1, 1)
    assert errors(np.array([1.0, 1.0]), np.array([1.0, 2.0]))["spearman"] is None
    assert errors(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))["kendall"] == pytest.approx(1 / 3)


def test_the_noise_floor_is_half_of_what_halves_differ_by_or_of_the_range_in_old_tables() -> None:
    assert noise_floor([row(1.0, halves_percent=0.4), row(2.0, halves_percent=0.8)]) == pytest.approx(0.3)
    assert noise_floor([row(1.0)]) == 0.5
    assert noise_floor([]) is None


def test_the_noise_floor_is_the_error_of_a_perfect_predictor() -> None:
    """Each network is measured four times with 2 % of noise; what is predicted is the truth."""
    visits = 1 + 0.02 * np.random.default_rng(0).standard_normal((4000, 4))
    halves = 100 * np.abs(visits[:, ::2].mean(1) - visits[:, 1::2].mean(1))
    floor = noise_floor(row(1.0, halves_percent=float(each)) for each in halves)
    assert floor == pytest.approx(100 * np.abs(visits.mean(1) - 1).mean(), rel=0.05)


def test_held_out_predictions_are_ordered_and_counted() -> None:
    good = HeldOutPrediction("a", 1.0, 0.9, 1.1, 1.02)
    bad = HeldOutPrediction("b", 1.0, 0.9, 1.1, 1.25, "noisy measurement")
    card = ErrorCard.not_evaluated(3, 2).with_held_out([good, bad])
    assert [network.code for network in card.held_out] == ["b", "a"]
    assert (card.coverage90, card.hit5, card.n_networks) == (50, 50, 2)
    assert card.held_out[0].error_percent == pytest.approx(-20)


def test_json_and_back_and_the_card_of_an_earlier_version() -> None:
    table = synthetic(0, 1e-6, networks=12)
    card = evaluate(fit(table), table)
    assert ErrorCard.from_json(json.loads(json.dumps(card.to_json()))) == card
    new = ("kendall", "coverage90", "measured_on", "learning_curve", "judged", "own_mape")
    old = {name: value for name, value in card.to_json().items() if name not in new}
    loaded = ErrorCard.from_json(old | {"interval_percent": 3.0})
    assert (loaded.mape, loaded.held_out, loaded.kendall) == (card.mape, (), None)
    with pytest.raises(ValueError, match="n_blocks"):
        ErrorCard.from_json({"mape": 1.0})


def test_every_network_is_predicted_once_by_a_fit_that_has_not_seen_it() -> None:
    table = synthetic(0, 1e-6, networks=20)
    seen_by: list[set[str]] = []

    def remember(part: LatencyTable, blocks: Sequence[Block]) -> AdditivePredictor:
        seen_by.append({str(network.code) for network in part.networks})
        return fit(part, further_blocks=blocks)

    judged = cross_validate(table, remember)
    assert sorted(n.code for n in judged) == sorted(str(n.code) for n in table.networks)
    folds = [judged[4 * i : 4 * (i + 1)] for i in range(5)]
    assert all(not {n.code for n in fold} & seen for fold, seen in zip(folds, seen_by, strict=True))


@pytest.mark.weekly
def test_the_curve_falls_to_about_the_noise() -> None:
    curve = learning_curve(synthetic(0, 1e-6))
    assert [point.networks for point in curve] == [0, 5, 10, 20]
    assert curve[0].mape > 2 * curve[-1].mape
    assert curve[-1].mape < 2.5
    blind = replace(synthetic(0, 1e-6), blocks={})
    assert [point.networks for point in learning_curve(blind)] == [5, 10, 20]


def test_what_is_known_about_a_bad_network_is_said() -> None:
    table = synthetic(0, 1e-6, networks=20)
    slowest = max(table.networks, key=lambda network: table.networks[network].median_ms)
    quick = next(network for network in table.networks if network != slowest)
    ms = table.networks[quick].median_ms
    table.networks[quick] = row(1.5 * ms, noisy=True, drift_percent=-4.2)
    only_there = [b for b in slowest.placed_blocks() if b in table.blocks and b not in quick.placed_blocks()]
    del table.blocks[only_there[0]]
    card = evaluate(fit(table), table)
    reasons = {network.code: network.reason for network in card.held_out}
    assert card.held_out[0].code == str(quick.code)
    assert reasons[str(quick.code)] == "noisy measurement, the machine was -4 % off its usual speed"
    assert "holds blocks that were never measured" in reasons[str(slowest.code)]
    assert "slower than every network it was fitted to" in reasons[str(slowest.code)]


def test_too_few_networks_are_not_evaluated_but_the_conditions_are_there() -> None:
    table = synthetic(0, 1e-6, networks=3)
    table.conditions = {"identity": {"cpu": "C", "runtime": "litert"}, "circumstances": {"date": "today"}}
    card = evaluate(fit(table), table)
    assert card.mape is None and card.held_out == ()
    assert card.measured_on == {"cpu": "C", "runtime": "litert", "date": "today"}


@pytest.mark.weekly
def test_known_devices_help_a_device_with_few_networks_and_no_blocks() -> None:
    known, new = synthetic(0, 1e-6), synthetic(1, 3e-6)
    chosen = informative_sample([known], 10)
    assert len(set(chosen)) == 10 and set(chosen) <= set(known.networks)
    few = LatencyTable(networks={network: new.networks[network] for network in chosen})
    predictor, card = fit_by_transfer(few, [known])
    others = [network for network in NETWORKS if network not in few.networks]
    measured_ms = np.array([new.networks[network].median_ms for network in others])
    predicted = predictor.predict_many(others)
    assert errors(measured_ms, np.array([p.ms for p in predicted]))["mape"] < 8
    assert np.mean([p.low_ms <= ms <= p.high_ms for p, ms in zip(predicted, measured_ms, strict=True)]) > 0.7
    assert card.n_networks == 10 and card.mape is not None and card.own_mape is not None
    assert card.predictor.startswith("transferred from 1 known device: ")
    fixed_ms, costs = predictor.decision_costs(SPACE)  # it is a predictor like any other: a search can use it
    assert len(costs) == len(SPACE.decisions)
    assert fixed_ms + sum(cost.min() for cost in costs) == pytest.approx(
        predictor.predict(predictor.extremes(SPACE)[0]).ms
    )


@pytest.mark.weekly
def test_a_device_with_blocks_and_networks_of_its_own_is_helped_too() -> None:
    """Its own fit needs no networks then, and the transfer still does: so does its learning curve."""
    known, new = synthetic(0, 1e-6), synthetic(1, 3e-6, networks=14)
    assert new.blocks
    _, card = fit_by_transfer(new, [known])
    assert card.n_networks == 14 and card.mape is not None
    assert [point.networks for point in card.learning_curve] == [5]


def test_networks_of_another_space_take_no_part() -> None:
    """`hwnas measure` puts several spaces into one table, which the known device may lack."""
    known, new = synthetic(0, 1e-6), synthetic(1, 2e-6, networks=5)
    other = get_space("tiny", resolution=40)
    mixed = replace(new, networks=new.networks | {other.decode([k % 2] * 7): row(1.0 + k) for k in range(2)})
    predictor, card = fit_by_transfer(mixed, [known])
    assert card.n_networks == len(new.networks)
    network, measured = next(iter(new.networks.items()))
    assert predictor.predict(network).ms == pytest.approx(measured.median_ms, rel=0.2)


def test_what_cannot_be_carried_over_is_refused() -> None:
    known = synthetic(0, 1e-6)
    with pytest.raises(HwnasError, match="2 whole networks are measured on this device, 3 are needed"):
        fit_by_transfer(synthetic(1, 1e-6, networks=2), [known])
    with pytest.raises(UsageError, match="a table tells nothing new about itself"):
        fit_by_transfer(known, [known])
    with pytest.raises(HwnasError, match="holds no whole networks"):
        fit_by_transfer(known, [LatencyTable(known.blocks)])
    _, card = fit_by_transfer(synthetic(1, 1e-6, networks=4), [known])
    assert card.mape is None


@pytest.mark.parametrize("networks", weekly_except([5, 6], [5, 6, 7]))
@pytest.mark.parametrize("with_blocks", [True, False])
def test_a_card_of_few_networks_is_about_the_predictor_and_no_better_than_its_interval(
    networks: int, with_blocks: bool
) -> None:
    """Folds of 5 or 6 would leave too few to fit: the error would be that of a plain sum, or there would be none."""
    table = synthetic(0, 1e-6, networks=networks)
    table = table if with_blocks else replace(table, blocks={})
    predictor = fit(table)
    card = evaluate(predictor, table)
    assert card.mape is not None and card.mape <= 100 * predictor.half_width


def test_the_noise_is_of_what_was_repeated():
    """Networks that were never measured, as in a transferred table, or once, tell nothing of it."""
    measured = made_table(networks=5).networks.values()
    floor = noise_floor(measured)
    once = replace(next(iter(measured)), between_visits_percent=0.0, halves_percent=None)
    assert floor and noise_floor([*measured, *[once] * 50]) == floor
    assert noise_floor([once]) is None
