"""No fit predicts less than a tenth of the fastest network that it has seen, whatever the sum of its terms is.

Five large networks without block measurements, whose latency falls faster than their cost: the line through them says
that small networks take less than nothing.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.curve import Curve
from hwnas.latency.decoding import most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.tables.table import LatencyTable
from hwnas.latency.uncertainty import Floor, Uncertainty
from tests.latency_tables import CODES, SMALL, row
from tests.test_latency_budget import log_probabilities

NETWORKS = [SMALL.decode(code) for code in CODES]


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    macs = np.array([network.macs for network in NETWORKS])
    large = np.quantile(macs, 0.7)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(macs >= large))[:5]
    return LatencyTable(networks={NETWORKS[i]: row((macs[i] - 0.9 * large) / 1e6) for i in chosen})


@pytest.fixture(scope="module")
def predictor(table) -> AdditivePredictor:
    return fit(table, SMALL)


@pytest.fixture(scope="module")
def sums(predictor) -> np.ndarray:
    """What the terms of each network add up to."""
    fixed_ms, costs = predictor.decision_costs(SMALL)
    return np.array([fixed_ms + sum(c[i] for c, i in zip(costs, code, strict=True)) for code in CODES])


def test_what_adds_up_to_less_than_nothing_is_predicted_to_take_a_tenth_of_the_fastest(table, predictor, sums):
    assert sums.min() < 0
    least_ms = 0.1 * min(latency.median_ms for latency in table.networks.values())
    predictions = [predictor.predict(network) for network in NETWORKS]
    ms = np.array([p.ms for p in predictions])
    assert ms.min() == pytest.approx(least_ms)
    assert np.diff(ms[np.argsort(sums)]).min() > -1e-12
    assert all(0 <= p.low_ms < p.ms < p.high_ms < 100 for p in predictions)


def test_a_choice_that_is_certain_is_expected_to_take_what_is_predicted(predictor, sums):
    for i in (*sums.argsort()[:3], *sums.argsort()[-3:]):
        one_hot = [torch.eye(5, dtype=torch.float64)[choice] for choice in CODES[i]]
        expected_ms = float(predictor.expected_ms(SMALL, one_hot))
        assert expected_ms == pytest.approx(predictor.predict(NETWORKS[i]).ms, rel=1e-9)


@pytest.mark.parametrize("quantile", [0.0, 0.02, 0.1, 0.3, 0.9])
def test_decoding_is_the_best_within_and_no_budget_is_refused_or_accepted_wrongly(predictor, quantile):
    ends = np.array([p.high_ms for p in predictor.predict_many(NETWORKS)])
    assert predictor.predict(Budget(1.0, SMALL, predictor).surest).high_ms == pytest.approx(ends.min(), rel=1e-9)
    limit_ms = float(np.quantile(ends, quantile, method="lower"))
    budget = Budget(limit_ms, SMALL, predictor)
    budget.check_feasible()
    for seed in range(4):
        log_p = log_probabilities(SMALL, seed)
        gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
        found = CODES.index(tuple(SMALL.indices(most_probable_within(budget, log_p))))
        assert ends[found] <= limit_ms * (1 + 1e-9)
        assert gain[found] == pytest.approx(gain[ends <= limit_ms * (1 + 1e-9)].max())
    with pytest.raises(HwnasError, match="cannot be met"):
        Budget(0.999 * float(ends.min()), SMALL, predictor).check_feasible()


def test_the_tangent_at_a_network_below_the_least_promises_no_other_too_late_an_end(predictor, sums):
    """Where no floor and no bend hides it: a network above the least is not charged for what is below."""
    least_ms = predictor.curve.least_ms
    uncertainty = replace(predictor.uncertainty, floor=Floor())
    own = replace(predictor, curve=Curve(least_ms=least_ms), uncertainty=uncertainty, _costs=[])
    ends = np.array([p.high_ms for p in own.predict_many(NETWORKS)])
    for i in np.flatnonzero(sums < least_ms)[::10]:
        found = own.interval_ends(NETWORKS[i])
        assert found is not None
        tangent, offset_ms = found
        fixed_ms, costs = tangent.decision_costs(SMALL)
        said = [offset_ms + fixed_ms + sum(c[k] for c, k in zip(costs, code, strict=True)) for code in CODES]
        assert said[i] == pytest.approx(ends[i])
        assert (np.array(said) <= ends + 1e-9).all()


def test_every_network_below_the_least_is_drawn_and_nothing_within_a_budget_below_its_interval(predictor, sums):
    ends = np.array([p.high_ms for p in predictor.predict_many(NETWORKS)])
    budget = Budget(1.01 * float(ends[sums < predictor.curve.least_ms].max()), SMALL, predictor)
    draw, rng = UniformWithin(budget), np.random.default_rng(0)
    within = {network.code for network, end_ms in zip(NETWORKS, ends, strict=True) if end_ms <= budget.budget_ms}
    assert {draw(rng).code for _ in range(12 * len(within))} == within
    with pytest.raises(HwnasError, match="cannot be met"):
        UniformWithin(Budget(0.99 * float(ends.min()), SMALL, predictor))


def test_a_saved_least_is_loaded_again(tmp_path: Path, predictor, sums):
    predictor.save(tmp_path / "predictor.json")
    network = NETWORKS[int(sums.argmin())]
    again = AdditivePredictor.load(tmp_path / "predictor.json").predict(network)
    assert again.ms == predictor.predict(network).ms


def test_no_interval_is_lost_when_a_covariance_is_rounded(tmp_path: Path, predictor):
    """Five networks leave variances of 0, which six digits put on either side of it."""
    predictor.save(tmp_path / "predictor.json")
    again = AdditivePredictor.load(tmp_path / "predictor.json").predict_many(NETWORKS)
    for loaded, before in zip(again, predictor.predict_many(NETWORKS), strict=True):
        assert loaded.high_ms == pytest.approx(before.high_ms, rel=1e-3)


def test_a_variance_rounded_below_nothing_is_none():
    """In an interval, and in its gradient, which a search follows."""
    rounded = Uncertainty(0.1, 0.0, 1.0, np.array([[1.0, -1.0 - 1e-6], [-1.0 - 1e-6, 1.0]]))
    terms = np.array([1.0, 1.0])
    assert rounded.own_half_ms(terms[None], np.array([2.0]), Curve())[0] == 0
    assert np.isfinite(rounded.end_gradient(terms, terms, Curve())).all()


def test_a_file_of_negative_costs_is_refused(tmp_path: Path, predictor, sums):
    """The least would hide them: what adds up to less than nothing looks like a small network."""
    path = tmp_path / "predictor.json"
    predictor.save(path)
    data = json.loads(path.read_text())
    data["weights_ms"] = [[group, name, -value] for group, name, value in data["weights_ms"]]
    path.write_text(json.dumps(data))
    with pytest.raises(HwnasError, match=r"predictor.json is damaged \(its content does not match the checksum"):
        AdditivePredictor.load(path)
    del data["checksum"]
    path.write_text(json.dumps(data))
    negative = AdditivePredictor.load(path)
    with pytest.raises(HwnasError, match=r"gives -\d.* ms .*the predictor that it is from is wrong"):
        negative.predict(NETWORKS[int(sums.argmax())])
    with pytest.raises(HwnasError, match="is wrong"):
        Budget(1.0, SMALL, negative).check_feasible()


def test_a_plain_sum_below_nothing_is_refused(predictor, sums):
    """Where no network says what the least is; files of earlier versions have none either."""
    old = replace(predictor, curve=replace(predictor.curve, least_ms=0.0))
    with pytest.raises(HwnasError, match=r"gives -0.\d+ ms .*the predictor that it is from is wrong"):
        old.predict(NETWORKS[int(sums.argmin())])
