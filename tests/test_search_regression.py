"""The regression on children: what candidates add is found in what these have in common, and the best is decoded."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches.contracts import Evaluation
from hwnas.searches.derivation import Derivation
from hwnas.searches.derivers import MostProbable
from hwnas.searches.evaluators import LookedUpEvaluator, RecordedEvaluator
from hwnas.searches.least_squares import LeastSquaresSettings, least_squares
from hwnas.searches.regression import Regressed, best_by_regression, candidate_effects, regressed
from hwnas.spaces.nas_bench_201 import OPERATORS, nas_bench_201
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem
from tests.test_latency import made_table

EFFECTS = [np.random.default_rng(k).normal(0, 0.1, len(each.candidates)) for k, each in enumerate(SPACE.decisions)]


def added(architecture) -> float:
    return sum(float(effect[k]) for effect, k in zip(EFFECTS, SPACE.indices(architecture), strict=True))


def children(count: int, noise: float) -> list[Evaluation]:
    rng = random.Random(0)
    drawn = [SPACE.sample(rng) for _ in range(count)]
    return [Evaluation(each, "inherited", loss=2 - added(each) + rng.gauss(0, noise), by="loss") for each in drawn]


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.05, workers=0)


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
    digests = [
        json.loads(line)["digest"] for line in next(run.folder.glob("evaluations-*.jsonl")).read_text().splitlines()
    ]
    assert len(digests) in (10, 11) and result.architecture.digest in digests
    children = list(result.deriver.evaluations.values())[:10]
    assert result.architecture == best_by_regression(children, result.problem.budget)
    assert result.derivation.val_accuracy is not None
    assert result.problem.budget.is_within(result.architecture)


class Noisy:
    """Scores that add up, with noise that stays the same for a network; counts how often it is asked."""

    def __init__(self, noise: float = 0.05) -> None:
        self.noise, self.asked = noise, 0

    def __call__(self, architecture) -> float:
        self.asked += 1
        return 0.5 + added(architecture) / 10 + random.Random(architecture.digest).gauss(0, self.noise / 10)


def deriver(noisy: Noisy, most: int, folder=None, losses=None) -> Regressed:
    return Regressed(RecordedEvaluator(LookedUpEvaluator(noisy), folder), losses, most)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_supernet_is_asked_about_random_networks_and_gives_one_that_is_better_than_all(digits, share):
    task = problem(digits, budget_share=share)
    derive = deriver(Noisy(), most=80)
    found = derive(task)
    asked = [each for each in derive.evaluations if each != found]
    assert task.budget.is_within(found) and all(task.budget.is_within(each) for each in asked)
    said = Derivation.of(task.budget, min(asked, key=lambda each: each.macs), derive.evaluations, derive.regresses)
    assert "by a regression over" in str(said.reason)
    assert len(asked) > 60 and added(found) >= max(map(added, asked)) - 0.02
    assert derive(task, taken=asked[0]) == asked[0]


def test_what_the_search_knows_is_where_the_regression_starts(digits):
    """Two networks say little; the training losses, which know what candidates add, say the rest."""
    task = problem(digits, budget_share=0.7)
    alone = deriver(Noisy(), most=2)(task)
    informed = deriver(Noisy(), most=2, losses=[-effect / 10 for effect in EFFECTS])(task)
    assert added(informed) > added(alone)
    assert informed == best_by_regression(children(2000, noise=0.0), task.budget)


def test_a_derivation_that_is_repeated_evaluates_nothing_again(tmp_path, digits):
    task, noisy = problem(digits, budget_share=0.5), Noisy()
    first = deriver(noisy, 20, tmp_path)(task)
    asked = noisy.asked
    assert deriver(noisy, 20, tmp_path)(task) == first
    assert noisy.asked == asked > 10


def test_what_a_regression_takes_measures_within(digits):
    task = problem(digits, budget_share=0.5)
    predictor, most_ms = task.budget.predictor, task.budget.budget_ms

    def slower(architecture) -> float:
        return 1.2 * predictor.predict(architecture).ms

    found = deriver(Noisy(), 40)(replace(task, measured_ms=slower))
    assert slower(found) <= most_ms
    assert predictor.predict(found).ms > predictor.predict(predictor.extremes(SPACE)[0]).ms


def test_without_validation_images_the_most_probable_network_is_taken():
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, val_fraction=0, workers=0)
    probable = MostProbable(SampledNet(SPACE))
    assert regressed(problem(data), probable, None, None, None) is probable


def test_in_a_cell_the_best_of_what_was_evaluated_is_taken():
    """Skips add most to the losses of cells that have other edges as well, and nothing to one of skips alone."""
    space = nas_bench_201(resolution=8, width=0.25, cells_per_stage=1)
    rng, skip = random.Random(0), OPERATORS.index("skip_connect")

    def evaluated(code: list[int]) -> Evaluation:
        score = 0.1 if set(code) == {skip} else 0.5 + 0.05 * code.count(skip)
        return Evaluation(space.decode(code), "looked-up", accuracy=score)

    children = [evaluated([rng.randrange(5) for _ in range(6)]) for _ in range(60)]
    budget = Budget(1e9, space, fit(made_table(space), space))
    found = best_by_regression(children, budget)
    assert found == max(children, key=lambda child: child.score).architecture
