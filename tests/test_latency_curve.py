"""The curve from the sum of the blocks to the latency: exact where it is used, found where it is there."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.curve import LARGEST_BEND, Curve
from hwnas.latency.decoding import most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space
from tests.test_latency import latency, made_table

TINY = get_space("tiny")


def bent_table(bend: float, networks: int = 30, noise: float = 0.003, seed: int = 0) -> LatencyTable:
    """A made table whose networks take longer than their sum, the more so the larger they are."""
    table = made_table(networks=networks, noise=noise, seed=seed)
    sums = {network: row.median_ms for network, row in table.networks.items()}
    curve = Curve(bend, float(np.median(list(sums.values()))))
    table.networks = {network: latency(curve.ms(total)) for network, total in sums.items()}
    return table


def bent_predictor() -> AdditivePredictor:
    predictor = fit(made_table(networks=10))
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(TINY))
    return replace(predictor, curve=Curve(0.3, (fastest + slowest) / 2))


@given(st.floats(0, LARGEST_BEND), st.floats(1e-3, 1e3), st.lists(st.floats(0, 1e3), min_size=2))
def test_the_curve_rises_and_has_an_inverse(bend, centre_ms, sums):
    curve, sums = Curve(bend, centre_ms), np.sort(sums)
    assert (np.diff(curve.ms(sums)) >= 0).all()
    np.testing.assert_allclose(curve.sums(curve.ms(sums)), sums, rtol=1e-6, atol=1e-6 * centre_ms)
    assert curve.ms(np.array([centre_ms])) == pytest.approx([centre_ms])


@given(st.floats(0, LARGEST_BEND), st.floats(0.1, 10.0))
def test_the_elasticity_is_the_derivative_of_the_logarithms(bend, total):
    curve, step = Curve(bend, 2.0), 1e-6
    slope = np.log(curve.ms(total * (1 + step)) / curve.ms(total * (1 - step))) / np.log((1 + step) / (1 - step))
    assert curve.elasticity(np.array([total]))[0] == pytest.approx(slope, rel=1e-4)


def test_a_curve_that_falls_somewhere_is_refused():
    for bend, centre_ms in ((-0.1, 1.0), (0.9, 1.0), (0.1, 0.0)):
        with pytest.raises(ValueError, match="curve bends"):
            Curve(bend, centre_ms)


def test_a_bend_is_found_where_there_is_one_and_only_there():
    assert fit(bent_table(0.0)).curve.bend == 0
    predictor = fit(bent_table(0.25))
    assert predictor.curve.bend == pytest.approx(0.25, abs=0.05)
    assert predictor.card.mape < 0.5
    assert "bent by" in predictor.card.predictor
    straight = replace(predictor, curve=Curve())
    unseen = bent_table(0.25, seed=7).networks
    errors = [
        np.mean([abs(p.predict(network).ms / row.median_ms - 1) for network, row in unseen.items()])
        for p in (predictor, straight)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_nine_in_ten_lie_within_the_intervals_of_a_bent_predictor():
    predictor = fit(bent_table(0.25, networks=60, noise=0.02))
    unseen = bent_table(0.25, networks=200, noise=0.02, seed=3).networks
    within = [p.low_ms <= row.median_ms <= p.high_ms for p, row in
              zip(predictor.predict_many(list(unseen)), unseen.values(), strict=True)]  # fmt: skip
    assert 0.82 < np.mean(within) < 0.99


def test_expected_ms_is_the_mean_over_all_architectures():
    """The mean of a curve is not the curve of the mean: the variance of the sum counts."""
    predictor = bent_predictor()
    probabilities = [torch.softmax(torch.arange(len(d.candidates), dtype=torch.float64), 0) for d in TINY.decisions]
    fixed = [torch.eye(len(d.candidates), dtype=torch.float64)[0] for d in TINY.decisions[3:]]
    total = 0.0
    for code in itertools.product(*[range(len(d.candidates)) for d in TINY.decisions[:3]]):
        weight = float(np.prod([probabilities[i][choice] for i, choice in enumerate(code)]))
        total += weight * predictor.predict(TINY.decode([*code, 0, 0, 0, 0])).ms
    expected = predictor.expected_ms(TINY, [*probabilities[:3], *fixed])
    assert float(expected) == pytest.approx(total, rel=1e-12)


def test_expected_ms_of_a_bent_predictor_passes_gradcheck():
    predictor = bent_predictor()
    logits = [torch.randn(len(d.candidates), dtype=torch.float64, requires_grad=True) for d in TINY.decisions]

    def expected_ms(*logits):
        return predictor.expected_ms(TINY, [torch.softmax(x, 0) for x in logits])

    assert torch.autograd.gradcheck(expected_ms, logits)


def test_decoding_under_a_bent_predictor_is_exact():
    predictor = bent_predictor()
    rng = np.random.default_rng(0)
    log_p = [np.log(rng.dirichlet(np.ones(len(d.candidates)))) for d in TINY.decisions]
    fixed_ms, costs = predictor.decision_costs(TINY)
    codes = np.array(list(itertools.product(*[range(len(c)) for c in costs])))
    ms = predictor.curve.ms(fixed_ms + sum(c[codes[:, i]] for i, c in enumerate(costs)))
    assert predictor.predict(TINY.decode(codes[777])).ms == pytest.approx(ms[777])
    gain = sum(p[codes[:, i]] for i, p in enumerate(log_p))
    for quantile in (0.001, 0.05, 0.5, 0.95):
        limit_ms = float(np.quantile(ms, quantile))
        found = most_probable_within(Budget(limit_ms * (1 + 1e-5), TINY, predictor), log_p)
        assert predictor.predict(found).ms <= limit_ms * (1 + 1e-5)
        best = gain[ms <= limit_ms].max()
        assert sum(p[i] for p, i in zip(log_p, TINY.indices(found), strict=True)) == pytest.approx(best)


def test_a_saved_curve_is_loaded_again(tmp_path):
    predictor = fit(bent_table(0.25))
    predictor.save(tmp_path / "predictor.json")
    loaded = AdditivePredictor.load(tmp_path / "predictor.json")
    assert loaded.curve == predictor.curve
    architecture = TINY.sample(random.Random(0))
    assert loaded.predict(architecture).ms == predictor.predict(architecture).ms
    assert loaded.predict(architecture).interval_ms == pytest.approx(predictor.predict(architecture).interval_ms)
    assert loaded.digest == predictor.digest
    own, straight = (replace(loaded, fitted_to=None, curve=curve) for curve in (loaded.curve, Curve()))
    assert own.digest != straight.digest
