"""The optimisation gap: correlations with their errors, and supernets before and after one architecture is taken."""

import csv
import random
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from hwnas.evaluation.gap import Correlation, Gap, Ranking, seed_ceiling, supernet_accuracies
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.spaces import get_space
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.relaxation import by_edge
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.data import load_data
from tests.conftest import ROOT

SPACE = get_space("tiny", resolution=16, width=0.25)
SEEDS = ROOT.parent / "shared" / "data" / "nas" / "nas_benchmark_correlation_seeds.csv"


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)


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


def test_the_ceiling_is_what_one_training_says_of_another_with_another_seed():
    """Who knew the networks' true worth would agree a little better with one training than another training does."""
    rng = np.random.default_rng(0)
    worth = rng.normal(0.7, 0.02, size=60)
    once, again, third = (worth + rng.normal(0, 0.01, size=60) for _ in range(3))
    found = seed_ceiling([*zip(once, again, third, strict=True), [0.9], []])
    assert found.all_networks == Correlation.of(once.tolist(), again.tolist())
    assert found.all_networks.networks == 60
    lost = again.max() - again[once.argmax()], once.max() - once[again.argmax()]
    assert found.regret == pytest.approx(np.mean(lost))
    assert Correlation.of(worth.tolist(), again.tolist()).tau > found.all_networks.tau
    assert seed_ceiling([(0.5, 0.6), (0.6, 0.5), (0.7,)]) is None


@pytest.mark.skipif(not SEEDS.is_file(), reason="NOT TESTED: there is no ../shared/data")
def test_the_ceiling_of_the_darts_space_is_that_of_nas_benchmark():
    """24 random cells, each trained twice for 600 epochs (arXiv 1912.12522): tau-b 0.58 of the authors' accuracies."""
    with SEEDS.open() as file:
        pairs = [
            [float(row[f"acc_{which}_seed_pct"]) / 100 for which in ("first", "second")] for row in csv.DictReader(file)
        ]
    found = seed_ceiling(pairs)
    assert round(found.all_networks.tau, 2) == 0.58
    assert 0 < found.all_networks.error < 0.2


def test_gaps_are_signed_as_they_are_said():
    ranking = Ranking.of([1.0], [1.0])
    gap = Gap({"mixture": 0.6, "sampled": 0.5}, 0.4, 0.7, ranking, None, None, None)
    assert gap.discretisation == pytest.approx(0.2)
    assert gap.retraining == pytest.approx(-0.3)
    assert gap.to_json()["retraining"] == gap.retraining


@pytest.mark.parametrize("kind", [SampledNet, SuperKernelNet])
def test_a_decided_supernet_loses_nothing(digits, kind, monkeypatch):
    """Probabilities of nearly 0 and 1: the mixture, the sampled paths and the child are one network."""
    torch.manual_seed(0)
    net = kind(SPACE).eval()
    path = SPACE.indices(SPACE.sample(random.Random(2)))
    sizes = [len(one_of.candidates) for one_of in SPACE.decisions]
    one_hot = [torch.eye(size)[index] for size, index in zip(sizes, path, strict=True)]
    if kind is SampledNet:
        for alpha, chosen in zip(net.alphas, one_hot, strict=True):
            alpha.data.copy_(100 * chosen)
    else:
        monkeypatch.setattr(net, "probabilities", lambda: one_hot)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = supernet_accuracies(net, digits)
    child = InheritedEvaluator(net, digits)(SPACE.decode(path)).accuracy
    assert found["sampled"] == pytest.approx(child)
    if kind is SampledNet:  # a superkernel's candidates share their weights: there is nothing to mix
        assert found["mixture"] == pytest.approx(child, abs=0.02)
    else:
        assert "mixture" not in found
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_of_networks_that_are_scored_alike_none_is_ahead():
    accuracies = [0.8, 0.5, 0.2]
    for scores in ([0.9, 0.9, 0.1], [0.9, 0.9, 0.1][::-1]):
        own = accuracies if scores[0] == 0.9 else accuracies[::-1]
        assert Ranking.of(scores, own).regret == pytest.approx(0.15)
    many = [0.9, *[0.5] * 29]
    assert Ranking.of([1.0] * 30, many).hit is False and Ranking.of(many, many).hit is True


@pytest.mark.parametrize(
    ("kind", "name"),
    [(CyclicNet, "nas-bench-201"), pytest.param(partial(SampledNet, relax=by_edge), "darts", marks=pytest.mark.weekly)],
)
def test_what_mixes_cells_has_the_accuracy_of_its_mixture(digits, kind, name, monkeypatch):
    """Also by the edges of a node, and the search net of Cyclic DARTS, whose pool no step trains as a mixture."""
    monkeypatch.setattr("hwnas.evaluation.gap.SAMPLED_PATHS", 1)
    options = {"channels": 2, "cells": 3} if name == "darts" else {"width": 0.25, "cells_per_stage": 1}
    net = kind(get_space(name, resolution=16, num_classes=10, **options))
    assert supernet_accuracies(net, digits).keys() == {"sampled", "mixture"}
