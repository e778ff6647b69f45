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
from hwnas.latency.budget import Budget
from hwnas.latency.curve import Curve
from hwnas.latency.fitting.fit import fit
from hwnas.latency.predictor import AdditivePredictor
from hwnas.latency.promise import surest
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.tables.table import LatencyTable
from hwnas.latency.uncertainty import Floor
from tests.test_latency_promise import CODES, SMALL, log_probabilities, row

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
    assert predictor.predict(surest(predictor, SMALL)).high_ms == pytest.approx(ends.min(), rel=1e-9)
    limit_ms = float(np.quantile(ends, quantile, method="lower"))
    budget = Budget(limit_ms, SMALL, predictor)
    budget.check_feasible()
    for seed in range(4):
        log_p = log_probabilities(SMALL, seed)
        gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
        found = CODES.index(tuple(SMALL.indices(budget.decode(log_p))))
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


def test_nothing_is_drawn_within_a_limit_below_the_least(predictor, sums):
    least_ms = predictor.predict(NETWORKS[int(sums.argmin())]).ms
    drawn = UniformWithin(predictor, SMALL, 1.01 * least_ms)(np.random.default_rng(0))
    assert predictor.predict(drawn).ms <= 1.01 * least_ms
    with pytest.raises(HwnasError, match="no architecture"):
        UniformWithin(predictor, SMALL, 0.99 * least_ms)


def test_a_saved_least_is_loaded_again(tmp_path: Path, predictor, sums):
    predictor.save(tmp_path / "predictor.json")
    network = NETWORKS[int(sums.argmin())]
    again = AdditivePredictor.load(tmp_path / "predictor.json").predict(network)
    assert again.ms == predictor.predict(network).ms


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
