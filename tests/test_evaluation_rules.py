"""The rules that need no search: against brute force over a small space."""

import pytest

from hwnas.evaluation.rules import RULES, at_random, decision_macs, depth, most_layers, most_macs
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.spaces import get_space
from tests.latency_tables import CODES, SMALL, made_table

NETWORKS = [SMALL.decode(code) for code in CODES]


@pytest.fixture(scope="module", params=[0.3, 0.7])
def budget(request) -> Budget:
    predictor = fit(made_table(SMALL, networks=12, seed=0), SMALL)
    fastest, slowest = (predictor.predict(each).high_ms for each in predictor.extremes(SMALL))
    return Budget(fastest + request.param * (slowest - fastest), SMALL, predictor)


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


@pytest.mark.parametrize("rule", [name for name in RULES if name != "random"])
def test_rules_do_not_depend_on_the_seed(budget, rule):
    assert RULES[rule](budget, 0) == RULES[rule](budget, 7)


def test_the_macs_of_a_chain_are_the_sum_of_its_decisions():
    gains = decision_macs(SMALL)
    least = SMALL.decode([int(each.argmin()) for each in gains])
    for code in CODES[::37]:
        summed = sum(each[index] for each, index in zip(gains, code, strict=True))
        assert SMALL.decode(code).macs == least.macs + summed


def test_depth_counts_decided_layers():
    space = get_space("tiny", resolution=16, width=0.25)
    for code in ([0] * 7, [len(each.candidates) - 1 for each in space.decisions]):
        network = space.decode(code)
        decided = [one_of.candidates[index] for one_of, index in zip(space.decisions, code, strict=True)]
        assert depth(space, network) == sum(not spec.is_identity for spec in decided)
