"""The optimisation gap: correlations with their errors, and supernets before and after one architecture is taken."""

import random

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from hwnas.evaluation.gap import Correlation, Gap, Ranking, supernet_accuracies
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.spaces import get_space
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.data import load_data

SPACE = get_space("tiny", resolution=16, width=0.25)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=64, workers=0)


def correlated(count: int, seed: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=count)
    return scores.tolist(), (scores + rng.normal(size=count)).tolist()


def test_tau_is_kendalls_and_its_error_is_that_of_repeated_draws():
    scores, accuracies = correlated(40, seed=1)
    found = Correlation.of(scores, accuracies)
    assert found.tau == pytest.approx(kendalltau(scores, accuracies).statistic)
    taus = [kendalltau(*correlated(40, seed)).statistic for seed in range(200)]
    errors = [Correlation.of(*correlated(40, seed)).error for seed in range(20)]
    assert np.mean(errors) == pytest.approx(np.std(taus), rel=0.2)


def test_nothing_is_ranked_by_one_value_or_two_networks():
    assert Correlation.of([1, 2], [1, 2]) is None
    assert Correlation.of([1, 1, 1], [1, 2, 3]) is None


def test_a_perfect_ranking_hits_and_a_reversed_one_regrets():
    accuracies = [0.5 + i / 100 for i in range(20)]
    perfect = Ranking.of(accuracies, accuracies)
    assert (perfect.all_networks.tau, perfect.top_quartile.tau) == (pytest.approx(1), pytest.approx(1))
    assert (perfect.hit, perfect.regret) == (True, 0)
    assert perfect.top_quartile.networks == 5
    backwards = Ranking.of(accuracies[::-1], accuracies)
    assert backwards.all_networks.tau == pytest.approx(-1)
    assert (backwards.hit, backwards.regret) == (False, pytest.approx(0.19))


def test_five_networks_are_all_among_the_best_five():
    assert Ranking.of([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]).hit is None


def test_gaps_are_signed_as_they_are_said():
    ranking = Ranking.of([1.0], [1.0])
    gap = Gap({"mixture": 0.6, "sampled": 0.5}, 0.4, 0.7, ranking, None, None, None)
    assert gap.discretisation == pytest.approx(0.2)
    assert gap.retraining == pytest.approx(-0.3)
    assert gap.to_json()["retraining"] == gap.retraining


@pytest.mark.parametrize("kind", [SampledNet, SuperKernelNet])
def test_a_decided_supernet_loses_nothing(digits, kind):
    """Probabilities of 0 and 1: the mixture, the sampled paths and the child are one network."""
    torch.manual_seed(0)
    net = kind(SPACE).eval()
    path = SPACE.indices(SPACE.sample(random.Random(2)))
    sizes = [len(one_of.candidates) for one_of in SPACE.decisions]
    one_hot = [torch.eye(size)[index] for size, index in zip(sizes, path, strict=True)]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = supernet_accuracies(net, one_hot, digits)
    child = InheritedEvaluator(net, digits)(SPACE.decode(path)).accuracy
    assert found["sampled"] == pytest.approx(child)
    if kind is SampledNet:  # a superkernel's candidates share their weights: there is nothing to mix
        assert found["mixture"] == pytest.approx(child, abs=0.02)
    else:
        assert "mixture" not in found
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
