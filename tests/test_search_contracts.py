"""The contracts of a search: evaluations are typed, recorded and cached; proposers ask within the budget."""

import json
import random

import numpy as np
import pytest
import torch

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches import evaluators
from hwnas.searches.contracts import Evaluation
from hwnas.searches.evaluators import (
    EVALUATIONS_FILE,
    InheritedEvaluator,
    KeptBatches,
    LookedUpEvaluator,
    RecordedEvaluator,
    TrainedEvaluator,
)
from hwnas.searches.proposers import EvolutionProposer, RandomProposer, RandomWithin, evaluate_proposals
from hwnas.searches.registry import SEARCHES, get_search
from hwnas.spaces import get_space
from hwnas.supernet.sampled import SampledNet
from hwnas.train.child import trained_accuracy
from hwnas.train.data import load_data
from tests.latency_tables import made_table
from tests.test_dsnas import SPACE, problem


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.05, workers=0)


def low(architecture) -> float:
    """A made accuracy: the share of decisions for their first candidate."""
    return sum(index == 0 for index in SPACE.indices(architecture)) / len(SPACE.decisions)


def test_an_evaluation_says_its_kind_and_holds_an_accuracy_or_a_loss():
    architecture = SPACE.decode([0] * 7)
    assert Evaluation(architecture, "trained", accuracy=0.5, loss=9.0).score == 0.5
    assert Evaluation(architecture, "trained", loss=2.0).score == -2.0
    assert len(repr(Evaluation(architecture, "inherited", accuracy=0.5))) < 120
    with pytest.raises(UsageError, match="neither"):
        Evaluation(architecture, "inherited")
    with pytest.raises(UsageError, match="guessed"):
        Evaluation(architecture, "guessed", accuracy=0.5)


def test_what_was_evaluated_is_known_by_network_kind_and_fidelity(tmp_path):
    asked = []

    class Table(LookedUpEvaluator):
        def __call__(self, architecture, epochs=0):
            asked.append((architecture.code, epochs))
            return super().__call__(architecture, epochs)

    first, second = SPACE.decode([0] * 7), SPACE.decode([1] * 7)
    evaluator = RecordedEvaluator(Table(low), tmp_path)
    found = [evaluator(first), evaluator(first), evaluator(second), evaluator(first, 12)]
    assert asked == [(first.code, 0), (second.code, 0), (first.code, 12)]
    assert [each.epochs for each in found] == [0, 0, 0, 12]
    again = RecordedEvaluator(Table(low), tmp_path)
    assert again(first) == found[0] and again(first, 12) == found[3]
    assert len(asked) == 3
    other = RecordedEvaluator(LookedUpEvaluator(low), tmp_path)
    other._evaluator.kind = "trained"  # the same network by other evidence is another evaluation
    other(first)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / EVALUATIONS_FILE).read_text().splitlines()]
    assert kinds == ["looked-up"] * 3 + ["trained"]


def test_records_of_earlier_versions_are_inherited_accuracies(tmp_path):
    architecture = SPACE.decode([0] * 7)
    (tmp_path / EVALUATIONS_FILE).write_text(json.dumps({"digest": architecture.digest, "accuracy": 0.25}) + "\n")
    nothing = LookedUpEvaluator(low)
    nothing.kind = "inherited"
    assert RecordedEvaluator(nothing, tmp_path)(architecture).accuracy == 0.25


@pytest.mark.parametrize("line", ['{"digest": "a", "accuracy": 2}', '{"digest": "a", "kind": "guessed"}'])
def test_a_damaged_record_is_named(tmp_path, line):
    (tmp_path / EVALUATIONS_FILE).write_text(line + "\n")
    with pytest.raises(HwnasError, match=EVALUATIONS_FILE):
        RecordedEvaluator(LookedUpEvaluator(low), tmp_path)


def test_a_trained_evaluation_is_the_accuracy_of_the_child_trained_alone(tmp_path, digits):
    architecture = SPACE.decode([1] * 7)
    evaluator = TrainedEvaluator(digits, tmp_path / "children")
    found = evaluator(architecture, 2)
    assert found.accuracy == trained_accuracy(architecture, digits, Run(tmp_path / "alone", {}), epochs=2)
    assert (found.kind, found.epochs) == ("trained", 2)
    assert found.images == 2 * digits.counts["train"] + digits.counts["val"]
    assert evaluator(architecture, 2) == found  # out of its run folder
    with pytest.raises(UsageError, match="1 epoch or more"):
        evaluator(architecture)
    others = load_data("digits", resolution=16, batch_size=64, limit_train=64, val_fraction=0.05, workers=0)
    with pytest.raises(HwnasError, match="another configuration"):
        TrainedEvaluator(others, tmp_path / "children")(architecture, 2)


def test_an_inherited_evaluation_says_what_it_cost_and_trains_nothing(digits):
    evaluator = InheritedEvaluator(SampledNet(SPACE), digits)
    found = evaluator(SPACE.decode([0] * 7))
    assert found.kind == "inherited" and found.images == digits.counts["train"] + digits.counts["val"]
    with pytest.raises(UsageError, match="not trained further"):
        evaluator(SPACE.decode([0] * 7), 3)


def test_batches_are_all_there_each_time_also_beyond_the_memory_for_them(monkeypatch):
    batches = [(torch.full((2, 3, 4, 4), float(k)), torch.tensor([k, k])) for k in range(3)]
    for most_bytes, times in ((2**30, 1), (batches[0][0].nbytes, 2)):
        monkeypatch.setattr(evaluators, "MOST_KEPT_BYTES", most_bytes)
        made: list[int] = []
        kept = KeptBatches(lambda made=made: made.append(1) or iter(batches))
        for _ in range(2):
            assert [int(labels[0]) for _, labels in kept] == [0, 1, 2]
        assert len(made) == times


def test_a_loss_that_is_no_number_is_not_recorded(digits):
    net = SampledNet(SPACE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(float("nan"))
    found = InheritedEvaluator(net, digits, recalibration=64, validation=64)(SPACE.decode([0] * 7))
    assert found.loss is None and 0 <= found.score <= 1


@pytest.mark.parametrize("kind", ["random", "evolution"])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_proposals_are_within_the_budget_and_the_same_for_a_seed(tmp_path, digits, kind, share):
    budget = problem(digits, budget_share=share).budget

    def proposer():
        return RandomProposer(budget, 40, 3) if kind == "random" else EvolutionProposer(budget, 6, 3)

    found = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        evaluator = RecordedEvaluator(LookedUpEvaluator(low), tmp_path / run)
        evaluate_proposals(proposer(), evaluator, 20)
        assert all(budget.is_within(architecture) for architecture in evaluator.evaluations)
        found.append(list(evaluator.evaluations))
    assert found[0] == found[1]


def test_random_proposals_are_different_networks_until_all_are_proposed(digits):
    budget = problem(digits, budget_share=0.0).budget
    few = RandomProposer(budget, 1000).ask(1000)
    assert 0 < len(few) == len({each.digest for each in few}) < 1000
    many = RandomProposer(problem(digits, budget_share=0.5).budget, 40).ask(50)
    assert len({each.digest for each in many}) == 40


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_draws_at_tight_budgets_are_many_networks_and_none_is_the_fastest_for_want_of_others(digits, share):
    """Rejection finds next to nothing there, and used to give the fastest network instead."""
    budget = problem(digits, budget_share=share).budget
    draw, rng = RandomWithin(budget), random.Random(0)
    found = [draw(rng) for _ in range(60)]
    assert all(map(budget.is_within, found))
    fastest = budget.predictor.extremes(budget.space)[0]
    assert sum(architecture == fastest for architecture in found) < 10
    assert len({architecture.code for architecture in found}) >= 20


def test_children_of_an_evolution_are_bred_within_a_tight_budget(tmp_path, digits):
    budget = problem(digits, budget_share=0.2).budget
    proposer = EvolutionProposer(budget, 6)
    evaluator = RecordedEvaluator(LookedUpEvaluator(low), tmp_path)
    evaluate_proposals(proposer, evaluator, 30)
    assert len(evaluator.evaluations) == 30
    assert all(map(budget.is_within, evaluator.evaluations))


def test_evolution_learns_from_what_it_is_told(tmp_path, digits):
    budget = problem(digits, budget_share=1.0).budget
    best = {}
    for name, proposer in (
        ("random", RandomProposer(budget, 100, 0)),
        ("evolution", EvolutionProposer(budget, 10)),
    ):
        (tmp_path / name).mkdir()
        evaluator = RecordedEvaluator(LookedUpEvaluator(low), tmp_path / name)
        evaluate_proposals(proposer, evaluator, 100)
        late = list(evaluator.evaluations.values())[-30:]
        best[name] = sum(each.score for each in late) / len(late)
    assert best["evolution"] > best["random"] + 0.2


def test_children_take_after_two_of_the_best_and_one_decision_of_them_changes(digits):
    budget, table = problem(digits, budget_share=1.0).budget, LookedUpEvaluator(low)
    proposer = EvolutionProposer(budget, 6)
    first = proposer.ask(6)
    proposer.tell([table(architecture) for architecture in first])
    best = sorted(first, key=low, reverse=True)[:3]
    of_parents = [set(indices) for indices in zip(*map(SPACE.indices, best), strict=True)]
    bred = [zip(SPACE.indices(child), of_parents, strict=True) for child in proposer.ask(12)]
    assert np.mean([index in known for child in bred for index, known in child]) > 0.75
    zeros, ones = [0] * 7, [1] * 7
    assert 0.4 < np.mean([np.equal(proposer._child(zeros, ones), 1) for _ in range(60)]) < 0.6
    changed = np.mean([np.count_nonzero(proposer._child(zeros, zeros)) for _ in range(200)])
    assert changed == pytest.approx(1, abs=0.12)


def test_a_batch_is_asked_for_and_told_in_any_order(digits):
    proposer = EvolutionProposer(problem(digits).budget, 6)
    proposed = proposer.ask(6)
    assert len(proposed) == 6
    random.Random(0).shuffle(proposed)
    table = LookedUpEvaluator(low)
    proposer.tell([table(architecture) for architecture in proposed])
    assert len(proposer.ask(6)) == 6


def test_every_method_of_the_package_is_registered_once_and_complete():
    from importlib import import_module
    from pkgutil import iter_modules

    import hwnas.searches as package
    from hwnas.searches.method import Method

    modules = [import_module(f"{package.__name__}.{info.name}") for info in iter_modules(package.__path__)]
    defined = [value for module in modules for value in vars(module).values() if isinstance(value, Method)]
    registered = [get_search(name) for name in SEARCHES]
    assert {id(method) for method in defined} == {id(method) for method in registered}
    assert len({id(method) for method in registered}) == len(SEARCHES)


@pytest.mark.parametrize("method", ["snas", "proxyless"])
@pytest.mark.parametrize("setting", [{"reward": "gradient"}, {"compare_every": 2}])
def test_settings_of_dsnas_alone_are_refused_by_the_others(method, setting):
    assert get_search("dsnas").resolve(setting)
    with pytest.raises(UsageError, match="unknown search setting"):
        get_search(method).resolve(setting)


def test_evolution_evaluates_networks_not_codes():
    """Of NAS-Bench-Macro, in which an identity may stand at several places, codes of one network are common."""
    space = get_space("nas-bench-macro")
    predictor = fit(made_table(space, 12, seed=0))
    budget = Budget(predictor.predict(predictor.extremes(space)[1]).high_ms, space, predictor)
    evaluator = RecordedEvaluator(LookedUpEvaluator(lambda each: each.macs / 1e9), None)
    evaluate_proposals(EvolutionProposer(budget, 10, seed=1), evaluator, 60)
    digests = {each.digest for each in evaluator.evaluations}
    assert len(digests) == len(evaluator.evaluations) == evaluator.networks == 60
