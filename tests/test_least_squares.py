"""Least squares: what candidates add is found in what children have in common, and the best by that is decoded."""

import json
import random

import numpy as np
import pytest

from hwnas.run import Run
from hwnas.searches.contracts import Evaluation
from hwnas.searches.evaluators import EVALUATIONS_FILE
from hwnas.searches.least_squares import LeastSquaresSettings, best_by_regression, candidate_effects, least_squares
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem

EFFECTS = [np.random.default_rng(k).normal(0, 0.1, len(each.candidates)) for k, each in enumerate(SPACE.decisions)]


def added(architecture) -> float:
    return sum(float(effect[k]) for effect, k in zip(EFFECTS, SPACE.indices(architecture), strict=True))


def children(count: int, noise: float) -> list[Evaluation]:
    rng = random.Random(0)
    drawn = [SPACE.sample(rng) for _ in range(count)]
    return [Evaluation(each, "inherited", loss=2 - added(each) + rng.gauss(0, noise), by="loss") for each in drawn]


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.3, workers=0)


def test_what_candidates_add_is_found_in_noisy_losses():
    found = candidate_effects(SPACE, children(400, noise=0.05))
    for effect, own in zip(EFFECTS, found, strict=True):
        np.testing.assert_allclose(own - own.mean(), effect - effect.mean(), atol=0.04)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_architecture_is_the_best_within_the_budget_by_what_its_candidates_add(digits, share):
    """Although none of the children is it, and the luckiest child is another."""
    budget = problem(digits, budget_share=share).budget
    known = children(400, noise=0.05)
    found = best_by_regression(known, budget)
    rng = random.Random(1)
    within = [each for each in (SPACE.sample(rng) for _ in range(2000)) if budget.is_within(each)]
    assert budget.is_within(found)
    assert added(found) > np.quantile([added(each) for each in within], 0.99)
    luckiest = max((each for each in known if budget.is_within(each.architecture)), key=lambda each: each.rank)
    assert added(found) > added(luckiest.architecture)


def test_a_search_evaluates_random_children_and_what_the_regression_takes(tmp_path, digits):
    run = Run(tmp_path, {})
    result = least_squares(problem(digits, budget_share=0.5), run, settings=LeastSquaresSettings(evaluations=10))
    digests = [json.loads(line)["digest"] for line in (run.folder / EVALUATIONS_FILE).read_text().splitlines()]
    assert len(digests) in (10, 11) and result.architecture.digest in digests
    children = list(result.deriver.evaluations.values())[:10]
    assert result.architecture == best_by_regression(children, result.problem.budget)
    assert result.derivation.val_accuracy is not None
    assert result.problem.budget.is_within(result.architecture)
