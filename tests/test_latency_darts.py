"""Cells of two inputs: priced edge by edge, with exact expectations and decoding, whatever the size of the space."""

import itertools
import random

import numpy as np
import pytest
import torch

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import TOLERANCE, Budget
from hwnas.latency.decoding import best_networks_within, most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.uncertainty import Uncertainty
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.darts_operators import DilConv, FactorisedReduction, SepConv
from hwnas.specs.pool import MaxPool
from hwnas.specs.pool_head import PoolLinear
from hwnas.specs.skip import Skip
from hwnas.specs.two_input_cell import CellNode, TwoInputCell
from tests.latency_tables import made_table

DARTS = get_space("darts", cells=6, channels=16, resolution=16)


def decision(name: str, operators: dict[int, tuple], states: int) -> OneOf:
    """Every pair of so many states, each through every operator of its stride; from 0 and 1 with stride 2 if that is
    there."""
    nodes = []
    for sources in itertools.combinations(range(states), 2):
        choices = (operators[2 if 2 in operators and source < 2 else 1] for source in sources)
        nodes += [CellNode(sources, pair) for pair in itertools.product(*choices)]
    return OneOf(name, tuple(nodes))


def small_space(num_classes: int = 4, side: int = 16) -> SearchSpace:
    """Two normal cells of two nodes with two operators, a reduction of one with three: 4 x 12 x 9 codes."""
    normal, halving = (
        {1: (DilConv(c, 5), Skip(c, c)), 2: (SepConv(c, stride=2), MaxPool(c), FactorisedReduction(c, c))}
        for c in (8, 16)
    )
    plain = {1: normal[1]}
    nodes = (decision("normal 2", plain, 2), decision("normal 3", plain, 3))
    first = TwoInputCell(8, 8, 8, nodes, (2, 3), keeps_input=True)
    second = TwoInputCell(8, 16, 8, nodes, (2, 3), keeps_input=True)
    reduction = TwoInputCell(16, 16, 16, (decision("reduction 2", halving, 2),), (2,), reduction=True)
    return SearchSpace(
        "small-cells",
        (Conv(3, 8, activation=None), first, second, reduction, PoolLinear(16, num_classes)),
        (3, side, side),
    )


SMALL = small_space()
CODES = list(itertools.product(*(range(len(d.candidates)) for d in SMALL.decisions)))


@pytest.fixture(scope="module")
def predictor() -> AdditivePredictor:
    return fit(made_table(SMALL, networks=16, seed=0), SMALL)


@pytest.fixture(scope="module")
def predictions(predictor):
    """Every code by itself, not through the table of costs."""
    return predictor.predict_many([SMALL.decode(code) for code in CODES])


@pytest.fixture(scope="module")
def all_ms(predictions) -> np.ndarray:
    return np.array([prediction.ms for prediction in predictions])


def gains_of(seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Log probabilities per decision, and their sum for every code."""
    rng = np.random.default_rng(seed)
    gains = [np.log(rng.dirichlet(np.ones(len(d.candidates)))) for d in SMALL.decisions]
    return gains, np.array([sum(g[i] for g, i in zip(gains, code, strict=True)) for code in CODES])


def budget_at(share: float, predictor, predictions) -> tuple[Budget, np.ndarray]:
    """A budget that this share of all codes is within, and which ones are."""
    ends_ms = np.array([prediction.high_ms for prediction in predictions])
    budget_ms = float(np.quantile(ends_ms, share))
    return Budget(budget_ms, SMALL, predictor), ends_ms <= budget_ms


def test_a_table_holds_every_edge_and_what_prepares_the_states():
    blocks = SMALL.distinct_blocks()
    kinds = {spec.kind for spec, _ in blocks}
    assert kinds == {*("conv", "relu_conv", "sep_conv", "dil_conv", "max_pool", "factorised_reduction", "pool_linear")}
    for code in CODES[::20]:
        assert set(SMALL.decode(code).placed_blocks()) <= set(blocks)


def test_prices_of_choices_are_those_of_networks(predictor, all_ms):
    fixed_ms, costs = predictor.decision_costs(SMALL)
    assert [cost.shape for cost in costs] == [(4,), (12,), (9,)]  # of each node by itself
    found = [fixed_ms + sum(cost[i] for cost, i in zip(costs, code, strict=True)) for code in CODES]
    np.testing.assert_allclose(predictor.curve.ms(np.array(found)), all_ms, rtol=1e-10)


def test_links_of_a_price_add_up_to_the_prediction(predictor):
    architecture = SMALL.decode(CODES[200])
    links_ms = sum(cost.ms for cost in predictor.block_costs(architecture))
    bias_ms = predictor.weights.get(("bias", ""), 0.0)
    assert predictor.curve.ms(np.array([links_ms + bias_ms]))[0] == pytest.approx(predictor.predict(architecture).ms)


def test_expected_ms_is_the_mean_over_all_codes(predictor, all_ms):
    gains, total = gains_of(0)
    expected = predictor.expected_ms(SMALL, [torch.tensor(np.exp(gain)) for gain in gains])
    assert float(expected) == pytest.approx(np.exp(total) @ all_ms, rel=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_within_a_budget_is_that_of_brute_force(predictor, all_ms, share, seed):
    plain = AdditivePredictor(predictor.terms, predictor.weights, Uncertainty(0.1), predictor.card, predictor.curve)
    budget = Budget(float(np.quantile(all_ms, share)) * 1.1, SMALL, plain)
    within = all_ms * 1.1 <= budget.budget_ms * TOLERANCE
    gains, total = gains_of(seed)
    found = CODES.index(SMALL.indices(most_probable_within(budget, gains)))
    assert within[found]
    assert total[found] == pytest.approx(total[within].max())


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_with_intervals_of_their_own_is_within_and_close_to_brute_force(predictor, predictions, share, seed):
    budget, within = budget_at(share, predictor, predictions)
    gains, total = gains_of(seed)
    found = CODES.index(SMALL.indices(most_probable_within(budget, gains)))
    assert within[found]
    assert (total[within] > total[found] + 1e-9).sum() <= 3


def test_a_budget_of_what_networks_take_exactly_keeps_them(predictor, all_ms):
    """Their costs add up to it but for the last digits, in whatever order."""
    plain = AdditivePredictor(predictor.terms, predictor.weights, Uncertainty(0.1), predictor.card, predictor.curve)
    for budget_ms in np.unique(all_ms.round(12))[5::10] * 1.1:
        budget = Budget(float(budget_ms), SMALL, plain)
        within = np.array(budget.are_within([SMALL.decode(code) for code in CODES]))
        for seed in range(3):
            gains, total = gains_of(seed)
            found = CODES.index(SMALL.indices(most_probable_within(budget, gains)))
            assert total[found] == pytest.approx(total[within].max())


def test_the_best_networks_within_a_budget_are_those_of_brute_force(predictor, predictions):
    budget, within = budget_at(0.3, predictor, predictions)
    gains, total = gains_of(5)
    found = [CODES.index(SMALL.indices(a)) for a in best_networks_within(budget, gains, 10)]
    assert sorted(total[found], reverse=True) == pytest.approx(sorted(total[within], reverse=True)[:10])


def test_the_surest_network_is_that_of_brute_force(predictor, predictions):
    least_ms = min(prediction.high_ms for prediction in predictions)
    budget = Budget(least_ms * 1.01, SMALL, predictor)
    assert predictor.predict(budget.surest).high_ms == pytest.approx(least_ms)


def test_random_networks_within_a_budget_are_within_it_and_reach_all_of_it(predictor, predictions):
    budget, within = budget_at(0.05, predictor, predictions)
    draw, rng = UniformWithin(budget), random.Random(0)
    found = {CODES.index(SMALL.indices(draw(rng))) for _ in range(300)}
    assert found == set(np.flatnonzero(within).tolist())


def test_the_whole_space_is_priced_sampled_and_decoded_within_a_budget():
    """10^18 codes: nothing goes through them."""
    costs_ms = {block: 0.01 + block[0].macs(block[1]) / 1e7 for block in DARTS.distinct_blocks()}
    predictor = AdditivePredictor.block_sum(costs_ms)
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(DARTS))
    budget = Budget(fastest + 0.3 * (slowest - fastest), DARTS, predictor)
    draw, rng = UniformWithin(budget), random.Random(0)
    assert all(budget.is_within(draw(rng)) for _ in range(5))
    gains = [np.log(np.random.default_rng(1).dirichlet(np.ones(len(d.candidates)))) for d in DARTS.decisions]
    assert budget.target_ms * 0.93 <= predictor.predict(most_probable_within(budget, gains)).ms <= budget.target_ms
    architecture = DARTS.sample(rng)
    fixed_ms, costs = predictor.decision_costs(DARTS)
    parts_ms = [cost[i] for cost, i in zip(costs, DARTS.indices(architecture), strict=True)]
    assert predictor.curve.ms(np.array([fixed_ms + sum(parts_ms)]))[0] == pytest.approx(
        predictor.predict(architecture).ms
    )


def test_the_likeliest_edges_are_the_two_that_darts_keeps():
    """Without a limit: per edge its best operator, per node the two edges whose best operators weigh most."""
    rng = np.random.default_rng(3)
    for node, one_of in enumerate(DARTS.decisions[:4], 2):
        operators = list(dict.fromkeys(op for candidate in one_of.candidates for op in candidate.operators))
        weights = rng.random((node, len(operators)))
        gain = np.array([sum(weights[s, operators.index(op)] for s, op in c.edges) for c in one_of.candidates])
        chosen = one_of.candidates[int(gain.argmax())]
        strongest = sorted(np.argsort(-weights.max(1))[:2])
        assert list(chosen.sources) == strongest
        assert list(chosen.operators) == [operators[weights[s].argmax()] for s in strongest]
