"""The promise of a budget: a decoded network ends within it by its own interval; one that none keeps is refused."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget, round_up
from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import Curve
from hwnas.latency.decoding import best_within, most_probable_within
from hwnas.latency.fitting.candidate import CandidateModel, FittedCandidate
from hwnas.latency.fitting.fit import fit, select_model
from hwnas.latency.multiplier import Multiplier
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.terms import Terms
from hwnas.latency.uncertainty import Floor
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from tests.latency_tables import CODES, SMALL, made_table
from tests.weekly import weekly_except

TINY = get_space("tiny")


@pytest.fixture(scope="module", params=[5, 10, 30])
def predictor(request) -> AdditivePredictor:
    return fit(made_table(SMALL, request.param, seed=request.param), SMALL)


@pytest.mark.parametrize("quantile", [0.0, 0.01, 0.2, 0.7])
def test_decoding_asks_for_the_interval_that_the_model_has_of_each_network(quantile):
    """Without the floor, which few networks make the wider one, by brute force."""
    fitted = fit(made_table(SMALL, 12, seed=1), SMALL)
    own = replace(fitted, uncertainty=replace(fitted.uncertainty, floor=Floor()))
    ends = np.array([p.high_ms for p in own.predict_many([SMALL.decode(code) for code in CODES])])
    limit_ms = float(np.quantile(ends, quantile, method="lower"))
    for seed in range(10):
        log_p = log_probabilities(SMALL, seed)
        gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
        found = CODES.index(tuple(SMALL.indices(most_probable_within(Budget(limit_ms, SMALL, own), log_p))))
        assert ends[found] <= limit_ms * (1 + 1e-9)
        assert gain[found] == pytest.approx(gain[ends <= limit_ms * (1 + 1e-9)].max())


@pytest.fixture(scope="module")
def ends_ms(predictor) -> np.ndarray:
    """Where the interval of each of the 625 networks ends."""
    return np.array([p.high_ms for p in predictor.predict_many([SMALL.decode(code) for code in CODES])])


def log_probabilities(space: SearchSpace, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.log(rng.dirichlet(np.ones(len(d.candidates)))) for d in space.decisions]


def test_intervals_differ_and_the_one_of_a_usual_network_is_not_that_of_each(predictor):
    widths = [p.high_ms / p.ms - 1 for p in predictor.predict_many([SMALL.decode(code) for code in CODES])]
    assert max(widths) > 1.05 * min(widths)


@pytest.mark.parametrize("quantile", [0.0, 0.005, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_decoding_is_the_most_probable_whose_own_interval_ends_within(predictor, ends_ms, quantile, seed):
    """By brute force over all 625; a target of a usual half width would not do."""
    log_p = log_probabilities(SMALL, seed)
    gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
    limit_ms = float(np.quantile(ends_ms, quantile, method="lower"))
    budget = Budget(limit_ms, SMALL, predictor)
    budget.check_feasible()
    found = most_probable_within(budget, log_p)
    assert predictor.predict(found).high_ms <= limit_ms * (1 + 1e-9)
    index = CODES.index(tuple(SMALL.indices(found)))
    assert gain[index] == pytest.approx(gain[ends_ms <= limit_ms * (1 + 1e-9)].max())


def test_where_two_limits_bind_what_is_decoded_is_still_within_and_nearly_always_the_best(predictor):
    """A curve, and a floor as wide as many own intervals: no single tangent holds both, so the best may be missed."""
    usual_ms = predictor.predict(SMALL.decode([2] * 4)).ms
    uncertainty = replace(predictor.uncertainty, floor=Floor(0.08, usual_ms, 0.05))
    bent = replace(predictor, curve=Curve(0.4, usual_ms), uncertainty=uncertainty, _costs=[])
    ends = np.array([p.high_ms for p in bent.predict_many([SMALL.decode(code) for code in CODES])])
    exact = []
    for quantile, seed in itertools.product((0.0, 0.05, 0.3, 0.8), range(10)):
        log_p = log_probabilities(SMALL, seed)
        gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
        limit_ms = float(np.quantile(ends, quantile, method="lower"))
        found = CODES.index(tuple(SMALL.indices(most_probable_within(Budget(limit_ms, SMALL, bent), log_p))))
        assert ends[found] <= limit_ms * (1 + 1e-9)
        exact.append(gain[found] >= gain[ends <= limit_ms].max() - 1e-9)
    assert np.mean(exact) >= 0.8


@pytest.mark.parametrize(
    ("deviation", "seed", "networks", "quantile"),
    [
        (0.2, 16, 8, 0.01),
        (0.2, 18, 6, 0.01),
        (0.2, 18, 6, 0.05),
        (0.2, 18, 6, 0.2),
        (0.2, 18, 8, 0.01),
        (0.4, 3, 8, 0.01),
        (0.4, 3, 8, 0.05),
    ],
)
def test_tangents_find_what_the_frontier_of_latency_alone_misses(deviation, seed, networks, quantile):
    """Each is decoded to a less probable network where the tangents, or the means of both limits, are wrong."""
    fitted = fit(made_table(SMALL, networks, seed=seed, deviation=deviation), SMALL)
    ends = np.array([p.high_ms for p in fitted.predict_many([SMALL.decode(code) for code in CODES])])
    log_p = log_probabilities(SMALL, seed)
    gain = np.array([sum(p[i] for p, i in zip(log_p, code, strict=True)) for code in CODES])
    budget = Budget(float(np.quantile(ends, quantile, method="lower")), SMALL, fitted)
    found = CODES.index(tuple(SMALL.indices(most_probable_within(budget, log_p))))
    assert budget.is_within(SMALL.decode(CODES[found]))
    assert gain[found] == pytest.approx(gain[ends <= budget.budget_ms * (1 + 1e-9)].max())


def test_a_network_known_too_little_of_gives_way_to_one_that_is_known(predictor):
    """The likeliest network is within by a usual interval but not by its own: it is not taken."""
    predictions = predictor.predict_many([SMALL.decode(code) for code in CODES])
    target = [p.ms * (1 + predictor.half_width) for p in predictions]
    least_ms = min(p.high_ms for p in predictions)
    doubtful = max(range(len(CODES)), key=lambda i: (target[i] > least_ms, predictions[i].high_ms / target[i]))
    assert predictions[doubtful].high_ms > target[doubtful]
    limit_ms = (predictions[doubtful].high_ms + target[doubtful]) / 2
    log_p = [np.log(np.where(np.arange(5) == i, 0.9, 0.025)) for i in CODES[doubtful]]
    found = most_probable_within(Budget(limit_ms, SMALL, predictor), log_p)
    assert found != SMALL.decode(CODES[doubtful])
    assert predictor.predict(found).high_ms <= limit_ms


def test_the_least_budget_that_is_named_is_accepted_and_kept_and_a_lower_one_refused(predictor, ends_ms):
    """No budget is refused that a network keeps, and none accepted that none does."""
    assert predictor.predict(Budget(1.0, SMALL, predictor).surest).high_ms == pytest.approx(ends_ms.min(), rel=1e-12)
    with pytest.raises(HwnasError, match=r"its 90 % interval ends at .* Raise the budget to") as refused:
        Budget(float(ends_ms.min()) * 0.999, SMALL, predictor).check_feasible()
    named_ms = float(str(refused.value).split("Raise the budget to ")[1].split(" ms")[0])
    assert ends_ms.min() <= named_ms <= 1.001 * ends_ms.min()
    least = Budget(named_ms, SMALL, predictor)
    least.check_feasible()
    for seed in range(5):
        assert least.is_within(most_probable_within(least, log_probabilities(SMALL, seed)))


@pytest.mark.parametrize("seed", [3, 6, 13, 18, 24, 27])
def test_a_network_that_is_known_better_than_the_fastest_may_be_the_surest(seed):
    """Fits to 6 or 8 networks in which the fastest one's interval ends 2 to 25 % later than another one's."""
    predictor = fit(made_table(SMALL, 8 if seed == 3 else 6, seed=seed, deviation=0.4), SMALL)
    ends_ms = [p.high_ms for p in predictor.predict_many([SMALL.decode(code) for code in CODES])]
    assert predictor.predict(predictor.extremes(SMALL)[0]).high_ms > 1.02 * min(ends_ms)
    surest = Budget(1.0, SMALL, predictor).surest
    assert predictor.predict(surest).high_ms == pytest.approx(min(ends_ms), rel=1e-12)
    Budget(1.001 * min(ends_ms), SMALL, predictor).check_feasible()
    with pytest.raises(HwnasError, match=f"That of code {surest.code} ends first"):
        Budget(0.999 * min(ends_ms), SMALL, predictor).check_feasible()


def test_nothing_is_said_of_another_network_where_the_fastest_is_the_surest():
    predictor = fit(made_table(SMALL, 0, seed=1), SMALL)
    with pytest.raises(HwnasError, match="cannot be met") as refused:
        Budget(1e-3, SMALL, predictor).check_feasible()
    assert "ends first" not in str(refused.value)


def test_a_budget_above_the_fastest_but_within_its_interval_is_refused(predictor):
    fastest = predictor.predict(predictor.extremes(SMALL)[0])
    with pytest.raises(HwnasError, match="cannot be met"):
        Budget(1.0001 * fastest.ms, SMALL, predictor).check_feasible()


@pytest.mark.parametrize("networks", weekly_except([5], [5, 10, 30]))
def test_the_half_width_is_never_below_the_errors_seen(networks):
    for seed in range(3):
        predictor = fit(made_table(TINY, networks, seed=seed), TINY)
        mape = predictor.card.mape
        assert mape is not None and 100 * predictor.half_width >= mape
        rng = random.Random(seed)
        for prediction in predictor.predict_many([TINY.sample(rng) for _ in range(50)]):
            assert 100 * (prediction.high_ms / prediction.ms - 1) >= mape * (1 - 1e-9)


@pytest.mark.parametrize("networks", weekly_except([30], [5, 10, 30]))
def test_nine_in_ten_unseen_networks_lie_within_fast_and_slow_ones(networks):
    """Of `tiny`, whose blocks deviate by 3 %: in all, and of the fastest and of the slowest fifth by themselves."""
    inside: list[list[float]] = []
    for seed in range(8):
        table = made_table(TINY, networks + 150, seed=seed, noise=0.01, deviation=0.03)
        seen = dict(list(table.networks.items())[:networks])
        unseen = sorted(list(table.networks.items())[networks:], key=lambda item: item[1].median_ms)
        predictions = fit(replace(table, networks=seen), TINY).predict_many([network for network, _ in unseen])
        inside.append([p.holds(y.median_ms) for p, (_, y) in zip(predictions, unseen, strict=True)])
    shares = np.array(inside).reshape(len(inside), 5, -1).mean(axis=(0, 2))
    assert 0.88 <= shares.mean() <= 0.97
    assert shares.min() > 0.82


def test_few_networks_make_wide_intervals_and_many_do_not():
    errors = np.array([0.02, -0.03, 0.01, 0.025, -0.015])
    few = Floor.of(np.ones(5), 1 / (1 - errors))
    many = Floor.of(np.ones(50), np.tile(1 / (1 - errors), 10))
    assert few.half_width > 1.35 * many.half_width
    assert many.half_width == pytest.approx(1.68 * np.sqrt(np.mean(errors**2)), rel=0.05)
    assert few.least == pytest.approx(np.mean(np.abs(1 / (1 - errors) - 1)))


def test_the_floor_is_relative_to_the_square_root_of_the_latency():
    """Errors that grow with that root count alike, whatever the latency of their network."""
    unseen_ms = np.array([1.0, 1.0, 4.0, 4.0, 9.0, 9.0, 16.0])
    measured_ms = unseen_ms + 0.02 * np.sqrt(unseen_ms * 4.0)
    floor = Floor.of(measured_ms, unseen_ms)
    quantile = 2.015048  # of Student's t, 5 degrees of freedom, at 95 %
    usual = np.sqrt(4.0 / np.median(measured_ms))
    assert floor.half_width == pytest.approx(quantile * np.sqrt(1 + 1 / 7) * 0.02 * usual, rel=1e-4)


@pytest.mark.parametrize("end_ms", [0.01, 1.0, 7.3, 400.0])
@pytest.mark.parametrize("floor", [Floor(0.1, 2.0, 0.03), Floor(0.001, 2.0, 0.2), Floor()])
def test_the_largest_ms_within_a_floor_is_its_inverse(floor, end_ms):
    ms = floor.largest_ms(end_ms)
    assert ms * (1 + floor.half_widths(np.array([ms]))[0]) == pytest.approx(end_ms)


def test_a_copy_of_a_space_keeps_the_budget_that_the_space_does(predictor):
    copy = SearchSpace("copy", SMALL.nodes, SMALL.input_shape)
    proxy = ProxySpacePredictor(predictor, SMALL)
    limit_ms = predictor.predict(SMALL.decode([1, 4, 0, 2])).high_ms
    gains = [np.asarray(p) for p in log_probabilities(copy, 1)]
    of_copy, of_small = Budget(limit_ms, copy, proxy), Budget(limit_ms, SMALL, predictor)
    assert best_within(of_copy, gains).code == best_within(of_small, gains).code
    assert of_copy.surest.code == of_small.surest.code


@pytest.mark.parametrize("ms", [0.12341, 1.0, 9.99951, 12.3, 1e-5, 99995.1])
def test_a_least_budget_is_rounded_up(ms):
    assert ms <= round_up(ms) <= 1.0011 * ms
    assert float(f"{round_up(ms):g}") == round_up(ms)


def test_an_interval_is_read_back_as_it_was_written(tmp_path, predictor):
    predictor.save(tmp_path / "predictor.json")
    again = AdditivePredictor.load(tmp_path / "predictor.json")
    assert again.uncertainty.floor == predictor.uncertainty.floor
    limit_ms = predictor.predict(SMALL.decode([1, 4, 0, 2])).high_ms * 1.001
    log_p = log_probabilities(SMALL, 0)
    assert most_probable_within(Budget(limit_ms, SMALL, again), log_p) == most_probable_within(
        Budget(limit_ms, SMALL, predictor), log_p
    )


def test_a_search_is_pressed_to_where_a_usual_interval_ends_within_the_limit(predictor):
    """An expected latency at the limit itself is too much: the multiplier grows, and stays where the interval ends."""
    budget, at_the_limit, at_the_target = Budget(0.5, SMALL, predictor), Multiplier(), Multiplier()
    at_the_limit.update(budget, 0.5)
    assert at_the_limit.value == pytest.approx(at_the_limit.step_size * predictor.half_width)
    assert at_the_limit.value > 0
    at_the_target.update(budget, 0.5 / (1 + predictor.half_width))
    assert at_the_target.value == pytest.approx(0, abs=1e-12)


def candidate_of(networks: int, seed: int = 0) -> FittedCandidate:
    table = made_table(TINY, networks, seed=seed)
    ms = np.array([latency.median_ms for latency in table.networks.values()])
    terms = Terms({block: row.median_ms for block, row in table.blocks.items()})
    return FittedCandidate.of(CandidateModel(terms), list(table.networks), ms)


def worse(candidate: FittedCandidate, times: float) -> FittedCandidate:
    """A candidate that errs so many times as much."""
    return replace(candidate, unseen_ms=candidate.measured_ms + times * (candidate.unseen_ms - candidate.measured_ms))


@pytest.mark.parametrize("networks", [5, 30, 300])
def test_the_best_of_several_candidates_counts_with_the_errors_of_the_median_as_far_as_luck_goes(
    networks,
):
    best = candidate_of(networks)
    assert best.among([best]).luck == 1
    assert best.among([best, worse(best, 1.02), worse(best, 9.0)]).luck == pytest.approx(1.02)
    lucky = best.among([best, worse(best, 4.0), worse(best, 9.0)])
    assert lucky.luck == pytest.approx(1 + 2 / np.sqrt(2 * networks))
    assert worse(best, 2.0).among([best]).luck == 1
    plain, wider = (candidate.predictor(ErrorCard.not_evaluated(0, networks)) for candidate in (best, lucky))
    assert wider.half_width == pytest.approx(lucky.luck * plain.half_width)
    assert wider.uncertainty.spread == pytest.approx(lucky.luck * plain.uncertainty.spread)


def test_a_fit_knows_from_how_many_candidates_it_was_selected():
    """Five networks of cells without blocks leave open how these are priced: the best of eight ways is often lucky."""
    cells, lucks = get_space("nas-bench-201"), []
    for seed in range(4):
        rng = random.Random(seed)
        networks = [cells.sample(rng) for _ in range(5)]
        ms = np.array([(1 + network.macs / 1e8) * rng.lognormvariate(0, 0.2) for network in networks])
        lucks.append(select_model(Terms(None), networks, ms).luck)
    assert 1.05 < max(lucks) <= 1 + 2 / np.sqrt(10)
