"""Uniformly random architectures within a limit, and what a space says of its architectures in numbers."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget, round_up
from hwnas.latency.curve import Curve
from hwnas.latency.fitting.fit import fit
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.uncertainty import Floor
from hwnas.latency.uniform_codes import UniformCodes
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from tests.latency_tables import SMALL, made_table
from tests.weekly import weekly_except


def priced(space, bend=0.0) -> AdditivePredictor:
    """1 ms for 10 million MACs, and 0.01 ms per block."""
    costs = {(spec, shape): 0.01 + spec.macs(shape) / 1e7 for spec, shape in space.distinct_blocks()}
    predictor = AdditivePredictor.block_sum(costs)
    predictor.curve = Curve(bend, 0.5) if bend else predictor.curve
    return predictor


def small() -> SearchSpace:
    blocks = (MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 6), MBConv(8, 8, 7, 6), Skip(8, 8))
    nodes = (Conv(3, 8), *(OneOf(f"block {i}", blocks) for i in range(4)), Head(8, 16, 4))
    return SearchSpace("small", nodes, (3, 8, 8))


def codes(space):
    return [space.decode(code) for code in itertools.product(*(range(len(d.candidates)) for d in space.decisions))]


def budget_of_range(predictor, space, share) -> Budget:
    """One that an architecture keeps which is so far from the surest to the slowest."""
    least_ms = predictor.predict(Budget(1.0, space, predictor).surest).high_ms
    most_ms = predictor.predict(predictor.extremes(space)[1]).high_ms
    return Budget(least_ms + share * (most_ms - least_ms), space, predictor)


def drawn_equally_often(budget: Budget) -> bool:
    """Whether what is drawn is every architecture within the budget, equally often, and nothing else."""
    within = [a.code for a in codes(budget.space) if budget.is_within(a)]
    draw, rng = UniformWithin(budget), random.Random(0)
    drawn = Counter(draw(rng).code for _ in range(20 * len(within)))
    assert set(drawn) == set(within)
    return len(within) == 1 or chisquare([drawn[code] for code in within]).pvalue > 1e-3


@pytest.mark.parametrize("bend", [0.0, 0.3])
@pytest.mark.parametrize("share", weekly_except([0.0, 0.1], [0.0, 0.1, 0.4, 2.0]))
def test_every_code_within_the_budget_is_drawn_equally_often_and_no_other(share, bend):
    space = small()
    assert drawn_equally_often(budget_of_range(priced(space, bend), space, share))


@pytest.mark.parametrize("share", weekly_except([0.05, 0.2], [0.0, 0.05, 0.2, 0.4]))
@pytest.mark.parametrize("networks", weekly_except([5], [5, 12, 40]))
def test_where_every_network_has_an_interval_of_its_own_draws_are_uniform_too(networks, share):
    """Also without a floor under the intervals: then the tangent is a tighter limit than the latency."""
    fitted = fit(made_table(SMALL, networks, seed=networks), SMALL)
    own = replace(fitted, uncertainty=replace(fitted.uncertainty, floor=Floor()))
    assert drawn_equally_often(budget_of_range(own if share == 0.2 else fitted, SMALL, share))


def test_codes_are_counted():
    space = small()
    predictor = priced(space)
    fixed_ms, costs = predictor.decision_costs(space)
    for share in (0.0, 0.1, 0.4, 2.0):
        budget = budget_of_range(predictor, space, share)
        within = sum(map(budget.is_within, codes(space)))
        assert within <= UniformCodes(costs, budget.target_ms - fixed_ms).count <= 1.02 * within


def one_by_one(codes: UniformCodes, count: int) -> list[list[int]]:
    rng = random.Random(0)
    return [code for _ in range(count) if (code := codes.draw(rng)) is not None]


def at_once(codes: UniformCodes, count: int) -> list[list[int]]:
    return codes.draw_many(np.random.default_rng(0), count).tolist()


@pytest.mark.parametrize("draw", [one_by_one, at_once])
def test_choices_of_one_cost_are_drawn_equally_often(draw):
    drawn = Counter(map(tuple, draw(UniformCodes([np.array([0.0, 1.0, 1.0, 1.0])] * 2, 1.0), 700)))
    assert set(drawn) == {(0, 0), *((0, k) for k in (1, 2, 3)), *((k, 0) for k in (1, 2, 3))}
    assert chisquare(list(drawn.values())).pvalue > 1e-3


@pytest.mark.parametrize("draw", [one_by_one, at_once])
def test_codes_of_unequal_costs_are_drawn_equally_often(draw):
    """A chain, a cell, and decisions without a choice."""
    costs = [np.array([0.3, 1.0, 2.2]), np.array([[0.1, 0.9], [0.5, 1.7]]), np.array([0.4]), np.array([0.0, 0.05])]
    every = {
        (a, b, c, 0, e): costs[0][a] + costs[1][b, c] + costs[2][0] + costs[3][e]
        for a, b, c, e in itertools.product(range(3), range(2), range(2), range(2))
    }
    for limit in (0.8, 2.0, 3.0, 9.0):
        within = {code for code, cost in every.items() if cost <= limit}
        drawn = Counter(map(tuple, draw(UniformCodes(costs, limit), 100 * len(within))))
        assert set(drawn) == within
        assert len(within) == 1 or chisquare(list(drawn.values())).pvalue > 1e-3


def test_a_cell_is_drawn_as_one_choice():
    space = get_space("nas-bench-201", 8, width=0.5)
    budget = budget_of_range(priced(space), space, 0.3)
    draw, rng = UniformWithin(budget), np.random.default_rng(0)
    fixed_ms, costs = budget.predictor.decision_costs(space)
    within = (costs[0] + fixed_ms <= budget.target_ms).mean()
    assert UniformCodes(costs, budget.target_ms - fixed_ms).count == pytest.approx(within * space.size, rel=0.02)
    drawn = [draw(rng) for _ in range(50)]
    assert all(map(budget.is_within, drawn))
    assert len({a.code for a in drawn}) > 40


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_tight_budgets_of_large_spaces_hold_many_different_architectures(share):
    space = get_space("single-path", 64)
    budget = budget_of_range(priced(space), space, share)
    draw, rng = UniformWithin(budget), random.Random(0)
    drawn = [draw(rng) for _ in range(30)]
    assert all(map(budget.is_within, drawn))
    assert len({a.code for a in drawn}) >= 20  # at 2 % of the range there are some hundred in all


def test_own_intervals_do_not_make_tight_budgets_of_a_large_space_fall_back_to_the_surest():
    space = get_space("shufflenet", resolution=32)
    budget = budget_of_range(fit(made_table(space, 30, seed=30), space), space, 0.05)
    draw, rng = UniformWithin(budget), random.Random(0)
    drawn = [draw(rng) for _ in range(30)]
    assert all(map(budget.is_within, drawn))
    assert len({a.code for a in drawn}) == 30


def test_a_copy_of_a_space_is_drawn_from_within_the_budget_of_the_space():
    fitted = fit(made_table(SMALL, 12, seed=1), SMALL)
    copy = SearchSpace("copy", SMALL.nodes, SMALL.input_shape)
    budget = budget_of_range(ProxySpacePredictor(fitted, SMALL), copy, 0.3)
    draw, rng = UniformWithin(budget), random.Random(0)
    drawn = [draw(rng) for _ in range(100)]
    assert {a.space for a in drawn} == {"copy"}
    assert all(fitted.predict(SMALL.decode(a.code)).high_ms <= budget.budget_ms for a in drawn)


def test_a_budget_that_is_not_feasible_is_refused_with_the_least_that_is():
    space = small()
    predictor = priced(space)
    fastest = predictor.predict(predictor.extremes(space)[0])
    with pytest.raises(HwnasError, match=f"Raise the budget to {round_up(fastest.high_ms):g} ms or more"):
        UniformWithin(Budget(0.99 * fastest.high_ms, space, predictor))


def test_neighbours_differ_in_one_decision():
    space = get_space("tiny")
    architecture = space.sample(random.Random(0))
    neighbours = list(space.neighbours(architecture))
    assert len(neighbours) == len({a.code for a in neighbours}) == sum(len(d.candidates) - 1 for d in space.decisions)
    mine = space.indices(architecture)
    assert all(sum(a != b for a, b in zip(space.indices(n), mine, strict=True)) == 1 for n in neighbours)


def test_one_hot_numbers_tell_architectures_apart():
    space = get_space("nas-bench-201")
    architecture = space.decode([0, 4, 2, 1, 3, 0])
    numbers = space.one_hot(architecture)
    assert len(numbers) == sum(len(d.candidates) for d in space.decisions) and sum(numbers) == len(space.decisions)
    assert [i % 5 for i, number in enumerate(numbers) if number] == [0, 4, 2, 1, 3, 0]
