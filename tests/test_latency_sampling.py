"""Uniformly random architectures within a limit, and what a space says of its architectures in numbers."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.curve import Curve
from hwnas.latency.sampling import UniformWithin
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip


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


def limit_of_range(predictor, space, share):
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(space))
    return fastest + share * (slowest - fastest)


@pytest.mark.parametrize("bend", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 2.0])
def test_every_code_within_the_limit_is_drawn_equally_often_and_no_other(share, bend):
    space = small()
    predictor = priced(space, bend)
    limit_ms = limit_of_range(predictor, space, share)
    within = [a.code for a in codes(space) if predictor.predict(a).ms <= limit_ms * (1 + 1e-9)]
    draw, rng = UniformWithin(predictor, space, limit_ms), random.Random(0)
    drawn = Counter(draw(rng).code for _ in range(40 * len(within)))
    assert set(drawn) == set(within)
    assert len(within) == 1 or chisquare([drawn[code] for code in within]).pvalue > 1e-3
    assert len(within) <= draw.count <= 1.02 * len(within)


def test_a_cell_is_drawn_as_one_choice():
    space = get_space("nas-bench-201", 8, width=0.5)
    predictor = priced(space)
    limit_ms = limit_of_range(predictor, space, 0.3)
    draw, rng = UniformWithin(predictor, space, limit_ms), np.random.default_rng(0)
    _, (costs,) = predictor.decision_costs(space)
    within = (costs + predictor.decision_costs(space)[0] <= limit_ms).mean()
    assert draw.count == pytest.approx(within * space.size, rel=0.02)
    assert all(predictor.predict(draw(rng)).ms <= limit_ms for _ in range(50))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_tight_budgets_of_large_spaces_hold_many_different_architectures(share):
    space = get_space("single-path", 64)
    predictor = priced(space)
    limit_ms = limit_of_range(predictor, space, share)
    draw, rng = UniformWithin(predictor, space, limit_ms), random.Random(0)
    drawn = [draw(rng) for _ in range(30)]
    assert all(predictor.predict(a).ms <= limit_ms for a in drawn)
    assert len({a.code for a in drawn}) >= 20  # at 2 % of the range there are some hundred in all


def test_what_else_must_hold_keeps_the_rest_uniform():
    space = small()
    predictor = priced(space)
    limit_ms = limit_of_range(predictor, space, 0.5)

    def starts_with_a_skip(architecture):
        return architecture.code.startswith("3")

    wanted = [a.code for a in codes(space) if starts_with_a_skip(a) and predictor.predict(a).ms <= limit_ms]
    draw, rng = UniformWithin(predictor, space, limit_ms, starts_with_a_skip), random.Random(0)
    drawn = Counter(draw(rng).code for _ in range(40 * len(wanted)))
    assert set(drawn) == set(wanted)
    assert chisquare(list(drawn.values())).pvalue > 1e-3
    with pytest.raises(HwnasError, match="none of 10,000"):
        UniformWithin(predictor, space, limit_ms, lambda _: False)(rng)


def test_an_impossible_limit_is_refused_with_the_least_that_is_possible():
    space = small()
    predictor = priced(space)
    fastest_ms = predictor.predict(predictor.extremes(space)[0]).ms
    with pytest.raises(HwnasError, match=f"to {fastest_ms:.4g} ms or more"):
        UniformWithin(predictor, space, 0.9 * fastest_ms)


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
