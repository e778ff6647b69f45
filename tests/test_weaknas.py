"""WeakNAS as a search: its strategies as proposers, within the budget and better than chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.searches.evaluators import LookedUpEvaluator, RecordedEvaluator
from hwnas.searches.guided import weak_predictors
from hwnas.searches.proposers import RandomProposer, evaluate_proposals
from hwnas.searches.weaknas import CodeMacs, Predictor, WeakNASSettings, strategy_proposer
from hwnas.space import Architecture
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem
from tests.weekly import weekly_except


@pytest.fixture(scope="module")
def budget() -> Budget:
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, workers=0)
    return problem(data, budget_share=0.6).budget


def smooth_accuracy(seed: int) -> Callable[[Architecture], float]:
    """Made accuracies: what each decision's candidates add, and a little that only the whole code knows."""
    rng = np.random.default_rng(seed)
    worth = [rng.standard_normal(len(decision.candidates)) for decision in SPACE.decisions]

    def accuracy(architecture) -> float:
        indices = SPACE.indices(architecture)
        own = np.random.default_rng([seed, *indices]).standard_normal()
        return float(np.tanh(sum(each[k] for each, k in zip(worth, indices, strict=True)) / 8 + own / 50))

    return accuracy


def best_after(proposer, accuracy, evaluations: int) -> float:
    evaluator = RecordedEvaluator(LookedUpEvaluator(accuracy), None)
    evaluate_proposals(proposer, evaluator, evaluations)
    return max(evaluation.score for evaluation in evaluator.evaluations.values())


@pytest.mark.weekly
def test_thirty_evaluations_find_more_than_thirty_random_ones(budget):
    wins = 0
    for seed in range(5):
        accuracy = smooth_accuracy(seed)
        guided = best_after(strategy_proposer(budget, WeakNASSettings(), seed), accuracy, 30)
        chance = best_after(RandomProposer(budget, 30, seed), accuracy, 30)
        wins += guided > chance
    assert wins >= 4


@pytest.mark.parametrize("predictor", weekly_except(set(get_args(Predictor)) - {"mlp", "forest"}, get_args(Predictor)))
def test_every_predictor_proposes_new_networks_within_the_budget(budget, predictor, monkeypatch):
    monkeypatch.setattr(weak_predictors, "MOST_PREDICTED", 200)  # of 20,000: as many are drawn and predicted a round
    proposer = strategy_proposer(budget, WeakNASSettings(predictor=predictor, start=4, batch=2, top=5), 0)
    evaluator = RecordedEvaluator(LookedUpEvaluator(smooth_accuracy(0)), None)
    evaluations = 12 if predictor == "process" else 6  # one fit
    evaluate_proposals(proposer, evaluator, evaluations)
    assert len(evaluator.evaluations) == evaluations
    assert all(budget.is_within(architecture) for architecture in evaluator.evaluations)


def test_the_published_loop_is_the_authors():
    published = WeakNASSettings.published()
    assert (published.predictor, published.start, published.batch, published.top) == ("mlp", 10, 10, 100)


@pytest.mark.weekly
def test_the_prior_of_multiply_accumulates_is_theirs(budget):
    codes = np.array([SPACE.indices(SPACE.sample(random.Random(seed))) for seed in range(4)])
    expected = [SPACE.decode(code.tolist()).macs for code in codes]
    prior = CodeMacs(SPACE)
    assert prior(codes).tolist() == expected and prior(codes[:1]).tolist() == expected[:1]
    proposer = strategy_proposer(budget, WeakNASSettings(prior="macs"), 0)
    assert best_after(proposer, lambda architecture: float(np.log(architecture.macs)) / 30, 20) > 0


WRONG = ({"predictor": "oracle"}, {"start": 0}, {"top": 0}, {"prior": "wish"}, {"prior": "macs", "predictor": "mlp"})


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        WeakNASSettings(**wrong)
