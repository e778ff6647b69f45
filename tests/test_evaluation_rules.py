"""The rules that need no search: against brute force over a small space."""

import itertools
from random import Random

import pytest

from hwnas.evaluation.rules import (
    RULES,
    at_random,
    best_naswot,
    depth,
    layers_and_macs,
    most_layers,
    most_macs,
    naswot_scores,
)
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.wanted_budget import resolve_budget
from hwnas.searches.proposers import RandomProposer
from hwnas.space import OneOf, SearchSpace
from hwnas.space.decisions import map_decisions
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from tests.latency_tables import CODES, SMALL, made_table
from tests.test_latency import made_table as table_of

NETWORKS = [SMALL.decode(code) for code in CODES]


@pytest.fixture(scope="module", params=[0.3, 0.7])
def budget(request) -> Budget:
    predictor = fit(made_table(SMALL, networks=12, seed=0), SMALL)
    fastest, slowest = (predictor.predict(each).high_ms for each in predictor.extremes(SMALL))
    return Budget(fastest + request.param * (slowest - fastest), SMALL, predictor)


@pytest.fixture(scope="module")
def digits():
    side = SMALL.input_shape[1]
    return load_data("digits", side, batch_size=16, limit_train=40, workers=0)


def layers(architecture) -> int:
    return sum(not spec.is_identity for spec in architecture.blocks[1:-1])


def test_most_layers_is_the_deepest_within_then_the_largest(budget):
    within = [network for network in NETWORKS if budget.is_within(network)]
    best = max(within, key=lambda network: (layers(network), network.macs))
    found = most_layers(budget)
    assert budget.is_within(found)
    assert (layers(found), found.macs) == (layers(best), best.macs)


def test_most_macs_is_the_largest_within(budget):
    within = [network for network in NETWORKS if budget.is_within(network)]
    assert most_macs(budget).macs == max(network.macs for network in within)


def test_random_networks_are_within_and_depend_on_the_seed_alone(budget):
    drawn = [at_random(budget, seed) for seed in range(8)]
    assert all(map(budget.is_within, drawn))
    assert drawn == [at_random(budget, seed) for seed in range(8)]
    assert len(set(drawn)) > 1
    first = [RandomProposer(budget, 1, seed).ask(1)[0] for seed in range(8)]
    assert sum(own == other for own, other in zip(drawn, first, strict=True)) < 4  # no search's own network


@pytest.mark.parametrize("rule", ["most-layers", "most-macs"])
def test_rules_do_not_depend_on_the_seed(budget, digits, rule):
    assert RULES[rule](budget, 0, digits) == RULES[rule](budget, 7, digits)


def test_naswot_takes_the_best_score_of_networks_within(budget, digits, monkeypatch):
    monkeypatch.setattr("hwnas.evaluation.rules.SCORED", 6)
    found = best_naswot(budget, 3, digits)
    draw, rng = UniformWithin(budget), Random(3)
    score = naswot_scores(digits, 3)
    assert score(found) == max(score(draw(rng)) for _ in range(6))
    assert budget.is_within(found)
    assert found == best_naswot(budget, 3, digits)


def test_the_macs_of_a_chain_are_the_sum_of_its_decisions():
    _, found = layers_and_macs(SMALL, ((5,),) * 4)
    least = min(network.macs for network in NETWORKS)
    for code in CODES[::37]:
        summed = sum(each[index] for each, index in zip(found, code, strict=True))
        assert SMALL.decode(code).macs == least + summed


def test_edges_that_lead_nowhere_are_no_layers():
    """Three of the five operators of NAS-Bench-201: only edges on a path count in its 729 cells."""
    whole = get_space("nas-bench-201", resolution=8, width=0.25, cells_per_stage=1)
    few = map_decisions(
        whole.nodes, lambda _, one_of: OneOf(one_of.name, tuple(one_of.candidates[k] for k in (0, 1, 3)))
    )
    space = SearchSpace("few operators", few, whole.input_shape)
    predictor = fit(table_of(space, networks=12), space)
    budget = Budget(resolve_budget("40%", space, predictor), space, predictor)
    cells = [space.decode(code) for code in itertools.product(range(3), repeat=6)]
    within = [network for network, fits in zip(cells, budget.are_within(cells), strict=True) if fits]
    deepest, largest = most_layers(budget), most_macs(budget)
    assert budget.is_within(deepest) and budget.is_within(largest)
    assert (depth(deepest), deepest.macs) == max((depth(network), network.macs) for network in within)
    assert largest.macs == max(network.macs for network in within)


def test_a_skip_between_different_shapes_is_no_layer():
    """That of NAS-Bench-Macro is a 1x1 convolution; three of its eight layers have one."""
    space = get_space("nas-bench-macro")
    fixed = depth(space.decode("00000000"))
    layers = {code: depth(space.decode(code)) - fixed for code in ("10000000", "01000000", "11111111", "22222222")}
    assert layers == {"10000000": 1, "01000000": 1, "11111111": 8, "22222222": 8}
