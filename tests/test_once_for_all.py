"""Once-for-All: a supernet that starts from its largest network, learns from it, and goes on where it was stopped."""

import json
import random
from dataclasses import replace

import pytest
import torch

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches.frontier import frontier
from hwnas.searches.once_for_all import (
    FINISHING,
    LARGEST,
    SHRINKING,
    OnceForAllSettings,
    OnceForAllTrainer,
    once_for_all,
)
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_architecture
from hwnas.train.child import ChildTrainer
from hwnas.train.data import load_data
from hwnas.train.finetuning import FineTuning, FineTuningSettings
from hwnas.train.loop import train
from tests.latency_tables import made_table

SPACE = get_space("tiny", 8, width=0.25)
_fine_tuning = FineTuning.__init__


@pytest.fixture(scope="module")
def data():
    return load_data("digits", 8, batch_size=32, limit_train=160, workers=0)


@pytest.fixture(scope="module")
def budget():
    predictor = fit(made_table(SPACE, 12, seed=0), SPACE)
    fastest, slowest = (predictor.predict(each).ms for each in predictor.extremes(SPACE))
    return Budget((fastest + slowest) / 2, SPACE, predictor)


@pytest.fixture
def problem(data, budget):
    return SearchProblem(data, budget, epochs=4)


def start(seed: int = 0) -> ChildNetwork:
    torch.manual_seed(seed)
    return ChildNetwork(largest_architecture(SPACE)).eval()


def test_it_begins_as_the_network_it_starts_from(problem):
    child = start()
    trainer = OnceForAllTrainer(replace(problem, start=child), OnceForAllSettings())
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        same = trainer.net.eval().run_path(images, trainer.largest)
        assert torch.allclose(same, child(images), atol=1e-5)


@pytest.mark.usefixtures("few_evaluations")
def test_the_phases_train_the_largest_then_networks_within_the_budget_then_what_was_derived(problem):
    trainer = OnceForAllTrainer(problem, OnceForAllSettings(largest=0.25, search=0.75))
    batches = [batch for epoch in range(4) for batch in problem.data.train_batches(epoch)]
    seen: dict[str, set[tuple[int, ...]]] = {LARGEST: set(), SHRINKING: set(), FINISHING: set()}
    for images, labels in batches:
        trainer._enter()
        seen[trainer.phase].add(tuple(trainer._path()))
        trainer.step(images, labels)
    assert seen[LARGEST] == {tuple(trainer.largest)}
    assert len(seen[SHRINKING]) > 3
    within = problem.budget.are_within([SPACE.decode(path) for path in seen[SHRINKING] | seen[FINISHING]])
    assert all(within)
    assert len(seen[FINISHING]) == 1
    assert trainer.result().architecture == SPACE.decode(next(iter(seen[FINISHING])))
    assert trainer.result().deriver is None  # its net has learnt one network since: for other budgets the losses decide
    assert trainer.net.losses.count == trainer.ends[SHRINKING] - trainer.ends[LARGEST]


@pytest.mark.usefixtures("few_evaluations")
def test_a_search_that_was_stopped_in_any_phase_ends_as_one_that_was_not(problem, tmp_path):
    settings = OnceForAllSettings(largest=0.25, search=0.5)
    whole = once_for_all(problem, Run(tmp_path / "whole", {}), settings=settings)
    settings = replace(settings, checkpoint_seconds=0.0)

    class Stopped(Exception):
        pass

    def stop_at(last):
        def stop(done, total, figures):
            if done == last and "loss" in figures:
                raise Stopped

        return stop

    for last in (2, 7, 13):
        with pytest.raises(Stopped):
            once_for_all(problem, Run(tmp_path / "stopped", {}), stop_at(last), settings)
    again = once_for_all(problem, Run(tmp_path / "stopped", {}), settings=settings)
    assert again.architecture == whole.architecture
    expected, found = whole.derive().state_dict(), again.derive().state_dict()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_a_student_moves_towards_its_teacher():
    settings = FineTuningSettings(distillation=1.0)
    teacher, labels = torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([1])
    assert settings.loss(teacher, labels, teacher) < settings.loss(torch.tensor([[0.0, 4.0, 0.0]]), labels, teacher)
    assert FineTuningSettings(distillation=0.0).loss(teacher, labels, teacher) == settings.loss(teacher, labels)
    with pytest.raises(UsageError, match="distillation is a share from 0 to 1"):
        FineTuningSettings(distillation=1.5)


def test_the_head_learns_faster_and_vectors_do_not_decay():
    child = start()
    tuning = FineTuning(child.named_parameters(), FineTuningSettings(lr=0.01, weight_decay=0.1), 10, head_lr=3.0)
    groups = {
        name: group
        for group in tuning.optimizer.param_groups
        for name, parameter in child.named_parameters()
        if any(parameter is other for other in group["params"])
    }
    assert len(groups) == len(list(child.named_parameters()))
    for name, parameter in child.named_parameters():
        assert groups[name]["initial_lr"] == pytest.approx(0.03 if "classifier." in name else 0.01)
        assert groups[name]["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)


def test_a_fine_tuned_child_is_the_average_of_its_weights(data, tmp_path):
    child = start()
    trainer = ChildTrainer(child.architecture, data, 2, settings=FineTuningSettings(ema=0.5), start=child)
    train(trainer, data, Run(tmp_path / "run", {}))
    name = "blocks.0.layers.0.weight"
    average, last = trainer.trained().state_dict()[name], trainer.net.state_dict()[name]
    assert not torch.equal(average, last)
    assert not torch.equal(average, child.state_dict()[name])


@pytest.mark.parametrize("method", ["dsnas", "spos", "single-path", "once-for-all"])
def test_every_kind_of_supernet_starts_from_weights_that_are_given(method, problem):
    from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
    from hwnas.searches.one_shot import OneShotSettings, UniformTrainer
    from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer

    trainers = {
        "dsnas": lambda task: DSNASTrainer(task, DSNASSettings()),
        "spos": lambda task: UniformTrainer(task, OneShotSettings()),
        "single-path": lambda task: SinglePathTrainer(task, SinglePathSettings()),
        "once-for-all": lambda task: OnceForAllTrainer(task, OnceForAllSettings()),
    }
    child = start(seed=3)
    inherited = trainers[method](replace(problem, start=child)).net.inherit(child.architecture).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(inherited(images), child(images), atol=1e-5)
        other = trainers[method](problem).net.inherit(child.architecture).eval()
        assert not torch.allclose(other(images), child(images), atol=1e-3)
    assert replace(problem, start=child).identity["start"] != problem.identity["start"] is None


def test_sampled_paths_are_the_same_for_a_seed(problem):
    random.seed(1)
    first = OnceForAllTrainer(problem, OnceForAllSettings()).paths
    random.seed(2)
    assert OnceForAllTrainer(problem, OnceForAllSettings()).paths == first


def test_a_frontier_takes_networks_that_were_evaluated(tmp_path, problem, few_evaluations):
    run = Run(tmp_path, {})
    result = once_for_all(problem, run, settings=OnceForAllSettings(search=1.0))
    fastest = problem.budget.predictor.predict(problem.budget.predictor.extremes(SPACE)[0]).high_ms
    budgets = [fastest + share * (problem.budget.budget_ms - fastest) for share in (0.02, 0.3, 1.0)]
    found = [point.architecture.digest for point in frontier(result, budgets)]
    (records,) = tmp_path.glob("derivation-*.jsonl")
    evaluated = {json.loads(line)["digest"] for line in records.read_text().splitlines()}
    assert len(set(found)) > 1 and set(found) <= evaluated


def test_a_child_is_trained_from_scratch_by_the_optimiser_of_the_search(tmp_path, problem, monkeypatch):
    made = []
    monkeypatch.setattr(FineTuning, "__init__", lambda self, *given: made.append(given) or _fine_tuning(self, *given))
    result = SearchResult(replace(problem, epochs=1), None, SPACE.decode([0] * 7))
    settings = OnceForAllSettings(lr=2e-3)
    result.retrain(tmp_path, settings=settings)
    assert [given[1] for given in made] == [settings]
