"""The regression on relative errors, with made rows of known answer."""

import json

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.latency.fitting.gaussian_process import Hyperparameters
from hwnas.latency.fitting.relative import RelativeRegression, prior_rows
from hwnas.latency.fitting.selection import most_informative
from tests.weekly import weekly_except

PRIOR = np.array([1.0, 1.0, 0.0])
EXPECTED = Hyperparameters(0.5, 0.05, 0.02, (3.0, 3.0))


def made(n=60, seed=0, noise=0.01, bend=0.0):
    """Latencies over three decades: 0.7, 1.3 and 0.4 ms per unit of three costs, and a bend by place."""
    rng = np.random.default_rng(seed)
    costs = 10 ** rng.uniform(-1, 2, (n, 1)) * rng.uniform(0.2, 1.0, (n, 3))
    places = rng.normal(size=(n, 2))
    ms = costs @ [0.7, 1.3, 0.4] * (1 + bend * np.sin(2 * places[:, 0])) * np.exp(rng.normal(0, noise, n))
    return costs, places, ms


def error(model, data):
    costs, places, ms = data
    return float(np.abs(model.predict(costs, places)[0] / ms - 1).mean())


def test_costs_that_add_up_are_learned_from_a_dozen_rows():
    model = RelativeRegression.fit(*made(12), PRIOR, EXPECTED)
    assert error(model, made(300, seed=1, noise=0.0)) < 0.02


def test_small_and_large_rows_are_predicted_alike():
    model = RelativeRegression.fit(*made(60), PRIOR, EXPECTED)
    costs, places, ms = made(400, seed=1, noise=0.0)
    off = np.abs(model.predict(costs, places)[0] / ms - 1)
    small = ms < np.median(ms)
    assert off[small].mean() < 0.02 and off[~small].mean() < 0.02


def test_what_does_not_add_up_is_learned_from_more_rows():
    few, many = (RelativeRegression.fit(*made(n, bend=0.4), PRIOR, EXPECTED) for n in (15, 200))
    unseen = made(300, seed=1, noise=0.0, bend=0.4)
    assert error(many, unseen) < 0.04 < 0.06 < error(few, unseen)


@pytest.mark.parametrize(("n", "bend"), weekly_except([(20, 0.0), (60, 0.1)], [(20, 0.0), (60, 0.1), (200, 0.2)]))
def test_nine_in_ten_unseen_rows_are_within_their_interval(n, bend):
    inside = []
    for seed in range(5):
        model = RelativeRegression.fit(*made(n, seed, 0.03, bend), PRIOR, EXPECTED)
        costs, places, ms = made(300, 100 + seed, 0.03, bend)
        predicted, std = model.predict(costs, places)
        inside.append(np.abs(ms / predicted - 1) <= 1.645 * std)
    assert 0.83 < np.mean(inside) < 0.985


def test_uncertainty_grows_away_from_what_was_measured():
    costs, places, ms = made(100, bend=0.2)
    model = RelativeRegression.fit(costs, places, ms, PRIOR, EXPECTED)
    near, far = (model.predict(costs[:1], place)[1][0] for place in (places[:1], places[:1] + 20))
    assert far > 1.5 * near


def test_a_wild_row_is_seen_through():
    costs, places, ms = made(60)
    wild = ms.copy()
    wild[5] *= 3
    unseen = made(300, seed=1, noise=0.0)
    assert error(RelativeRegression.fit(costs, places, wild, PRIOR, EXPECTED), unseen) < 0.02


def test_predictions_are_positive_however_far_they_reach():
    costs, places, ms = made(20)
    model = RelativeRegression.fit(costs, places, ms, PRIOR, EXPECTED)
    rng = np.random.default_rng(3)
    predicted, std = model.predict(rng.uniform(0, 1e4, (200, 3)), rng.normal(0, 30, (200, 2)))
    assert (predicted > 0).all() and (std > 0).all() and np.isfinite(predicted).all() and np.isfinite(std).all()


def test_it_is_the_same_each_time_and_after_saving():
    data = made(40, bend=0.1)
    model = RelativeRegression.fit(*data, PRIOR, EXPECTED)
    again = RelativeRegression.fit(*data, PRIOR, EXPECTED)
    loaded = RelativeRegression.from_json(json.loads(json.dumps(model.to_json())))
    for other in (again, loaded):
        for x, y in zip(model.predict(*data[:2]), other.predict(*data[:2]), strict=True):
            np.testing.assert_array_equal(x, y)


def test_too_few_or_impossible_latencies_are_refused():
    costs, places, ms = made(10)
    with pytest.raises(HwnasError, match="2 measured latencies are too few"):
        RelativeRegression.fit(costs[:2], places[:2], ms[:2], PRIOR, EXPECTED)
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(HwnasError, match="positive"):
            RelativeRegression.fit(costs, places, np.append(ms[:-1], bad), PRIOR, EXPECTED)


def test_three_rows_are_enough():
    model = RelativeRegression.fit(*made(3), PRIOR, EXPECTED)
    assert error(model, made(100, seed=1)) < 0.5


def test_rows_of_the_prior_choose_differing_rows():
    costs, places, _ = made(50)
    costs[25:], places[25:] = costs[:25], places[:25]  # every row twice
    rows = prior_rows(costs, places, PRIOR, EXPECTED)
    chosen = most_informative(rows, 10, prior_std=np.ones(rows.shape[1]), noise=0.05)
    assert len({i % 25 for i in chosen}) == 10
