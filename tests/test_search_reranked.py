"""Deriving by inherited accuracy: candidates are exact, the budget is kept, evaluations decide, and are kept."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from hwnas.latency import knapsack
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_networks_within, joint_gains
from hwnas.latency.fitting.fit import fit
from hwnas.run import Run
from hwnas.searches import promising
from hwnas.searches.contracts import Evaluation
from hwnas.searches.derivation import Derivation, uses_most
from hwnas.searches.derivers import MostProbable
from hwnas.searches.evaluators import InheritedEvaluator, LookedUpEvaluator, RecordedEvaluator, weights_digest
from hwnas.searches.frontier import frontier
from hwnas.searches.path_losses import PathLosses
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.searches.reranked import KEPT, LEAST_NETWORKS, MOST_NETWORKS, Reranked, reranked
from hwnas.searches.result import SearchResult
from hwnas.spaces import get_space
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.latency_tables import CODES, SMALL, made_table
from tests.test_dsnas import SPACE, problem
from tests.weekly import weekly_except


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.1, workers=0)


@pytest.fixture(scope="module")
def predictor():
    return fit(made_table(SMALL, networks=40, seed=1), SMALL)


def budget_between(predictor, share) -> Budget:
    fastest, slowest = (predictor.predict(a).high_ms for a in predictor.extremes(SMALL))
    return Budget(fastest + share * (slowest - fastest), SMALL, predictor)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_best_networks_within_a_budget_are_those_of_brute_force(predictor, share, seed):
    budget = budget_between(predictor, share)
    gains = [np.random.default_rng([seed, k]).standard_normal(5) for k in range(4)]
    _, costs = predictor.decision_costs(SMALL)
    found = best_networks_within(budget, joint_gains(gains, costs), 30)
    best: dict[str, float] = {}
    architectures = [SMALL.decode(code) for code in CODES]
    for code, architecture, within in zip(CODES, architectures, budget.are_within(architectures), strict=True):
        if within:
            gain = sum(float(vector[k]) for vector, k in zip(gains, code, strict=True))
            best[architecture.digest] = max(gain, best.get(architecture.digest, -np.inf))
    assert [best[each.digest] for each in found] == pytest.approx(sorted(best.values(), reverse=True)[:30])
    assert len(found) == min(30, len(best)) == len({each.digest for each in found})


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1.0])
def test_gains_that_spend_are_found_in_few_attempts(predictor, spread, monkeypatch):
    """Where all gains are equal, any worth of a ms is enough: halving it has no end by itself."""
    budget, attempts = budget_between(predictor, 0.5), []
    best = promising.best_within
    monkeypatch.setattr(promising, "best_within", lambda *args: attempts.append(args) or best(*args))
    _, costs = predictor.decision_costs(SMALL)
    gains = joint_gains([spread * np.random.default_rng(k).standard_normal(5) for k in range(4)], costs)
    tilted = promising.gains_that_spend(budget, gains, costs)
    assert len(attempts) <= 2 * promising.MOST_DOUBLINGS + 5
    assert uses_most(budget, best(budget, tilted))


def planted_losses(steps: int, effects: list[np.ndarray]) -> PathLosses:
    """Losses of uniformly random paths: the effects of their candidates, a falling trend, and noise."""
    rng, losses = np.random.default_rng(0), PathLosses(SMALL)
    for step in range(steps):
        code = rng.integers(5, size=4)
        loss = sum(effect[k] for effect, k in zip(effects, code, strict=True))
        path = [torch.eye(5)[k] for k in code]
        losses.add(path, float(3 + loss + 2 * np.exp(-step / 100) + 0.1 * rng.standard_normal()))
    return losses


def test_the_regression_finds_what_candidates_add_to_a_loss_that_falls():
    effects = [0.1 * np.random.default_rng(k).standard_normal(5) for k in range(4)]
    found = planted_losses(2000, effects).effects()
    for vector, effect in zip(found, effects, strict=True):
        assert vector - vector.mean() == pytest.approx(effect - effect.mean(), abs=0.03)


def test_a_regression_goes_on_from_its_state_and_leaves_out_losses_that_are_none():
    losses = planted_losses(50, [np.zeros(5)] * 4)
    again = PathLosses(SMALL)
    again.load_state_dict(losses.state_dict())
    before = losses.effects()
    losses.add([torch.eye(5)[0]] * 4, float("nan"))
    assert np.concatenate(losses.effects()).tolist() == np.concatenate(before).tolist()
    for each in (losses, again):
        each.add([torch.eye(5)[1]] * 4, 1.0)
    assert np.concatenate(losses.effects()).tolist() == np.concatenate(again.effects()).tolist()


class Planted:
    """A looked-up accuracy that falls with the distance from one network, and counts how often it is asked."""

    def __init__(self, best) -> None:
        same = [code for code in CODES if SMALL.decode(code).digest == best.digest]
        self.best, self.asked = np.array(same), 0

    def __call__(self, architecture) -> float:
        self.asked += 1
        different = (np.array(SMALL.indices(architecture)) != self.best).sum(1).min()
        return 0.9 - 0.1 * float(different)


def planted_deriver(planted, most: int = 60, folder=None, images: int = 100_000) -> Reranked:
    """Of a net whose logits, and of losses that, know nothing."""
    torch.manual_seed(0)
    net = SampledNet(SMALL)
    records = [RecordedEvaluator(LookedUpEvaluator(planted), folder, f"{name}.jsonl") for name in ("few", "every")]
    nothing = [0.001 * np.random.default_rng(k).standard_normal(5) for k in range(4)]
    return Reranked(MostProbable(net), nothing, *records, images, most)


def search_problem(budget) -> SearchProblem:
    return SearchProblem(None, budget, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_planted_best_network_is_found_although_the_search_knows_nothing(predictor, share):
    budget = budget_between(predictor, share)
    architectures = [SMALL.decode(code) for code in CODES]
    within = [each for each, fits in zip(architectures, budget.are_within(architectures), strict=True) if fits]
    best = max(within, key=lambda each: predictor.predict(each).ms)
    deriver = planted_deriver(Planted(best), most=40)
    assert deriver.probable(search_problem(budget)).digest != best.digest
    assert deriver(search_problem(budget)).digest == best.digest
    assert len(deriver.few.evaluations) <= 40


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_changes_of_a_network_are_those_of_brute_force(predictor, share):
    """All that differ in one or two decisions and are within, those of the largest gains first."""
    budget = budget_between(predictor, share)
    _, costs = predictor.decision_costs(SMALL)
    deriver = planted_deriver(Planted(predictor.extremes(SMALL)[0]))
    gains = [-loss for loss in deriver.losses]
    best = best_networks_within(budget, joint_gains(gains, costs), 1)[0]
    code = np.array(SMALL.indices(best))
    near = [each for each in CODES if 0 < (np.array(each) != code).sum() <= 2]
    near = [each for each in near if budget.is_within(SMALL.decode(each))]
    assert len(near) < promising.MOST_CHANGES
    worth: dict[str, float] = {}
    for each in near:
        gain = sum(float(g[k]) for g, k in zip(gains, each, strict=True))
        worth[SMALL.decode(each).digest] = max(gain, worth.get(SMALL.decode(each).digest, -np.inf))
    worth.pop(best.digest, None)
    found = [each.digest for each in deriver._changes(budget, best) if each.digest != best.digest]
    assert set(found) == set(worth) and len(found) == len(set(found))
    assert found[0] == max(worth, key=worth.__getitem__)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_there_are_changes_to_try_where_losses_speak_for_slower_networks(share):
    """Of all changes of a network that uses the budget the most promising thousands are over it."""
    space = get_space("lite", 32)
    predictor = fit(made_table(space, networks=30, seed=1), space)
    fastest, slowest = (predictor.predict(each).high_ms for each in predictor.extremes(space))
    budget = Budget(fastest + share * (slowest - fastest), space, predictor)
    _, costs = predictor.decision_costs(space)
    gains = [cost / cost.std() for cost in costs]
    found = best_networks_within(budget, joint_gains(gains, costs), 64)
    assert len(found) == 64 and all(budget.are_within(found))
    codes = promising.promising_changes(budget, found[0], gains)
    assert len(codes) == promising.MOST_CHANGES
    assert sum(budget.are_within([space.decode(code) for code in codes.tolist()])) > 100


def test_what_was_taken_is_not_given_up_for_the_noise_of_another_measurement(predictor):
    budget = budget_between(predictor, 0.5)
    taken, _, other = best_networks_within(budget, predictor.decision_costs(SMALL)[1], 3)
    deriver = planted_deriver(Planted(taken), images=100)
    deriver.evaluations.update(evaluated({taken: 0.8, other: 0.6}))

    def measured_ms(architecture) -> float:
        return (1.001 if architecture == taken else 0.6) * 0.99 * budget.budget_ms

    assert deriver(replace(search_problem(budget), measured_ms=measured_ms), taken=taken) == taken
    deriver.evaluations.update(evaluated({other: 0.9}))
    assert deriver(replace(search_problem(budget), measured_ms=measured_ms), taken=taken) == other


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_what_is_derived_is_within_the_budget_also_as_it_measures(predictor, share):
    budget = budget_between(predictor, share)
    planted = Planted(predictor.extremes(SMALL)[1])  # the slowest is the best, and over the budget
    found = planted_deriver(planted, 30)(search_problem(budget))
    assert budget.is_within(found)

    def slower_than_predicted(architecture) -> float:
        return 1.05 * predictor.predict(architecture).ms

    measured = replace(search_problem(budget), measured_ms=slower_than_predicted)
    found = planted_deriver(planted, 30)(measured)
    fastest = predictor.extremes(SMALL)[0]
    assert slower_than_predicted(found) <= budget.budget_ms or found == fastest


def test_networks_beyond_the_interval_are_evaluated_where_the_machine_has_room_for_them(predictor):
    budget = budget_between(predictor, 0.5)

    def ms(architecture) -> float:
        return 0.93 * predictor.predict(architecture).ms

    deriver = planted_deriver(ms, 30)  # the slower, the better
    found = deriver(replace(search_problem(budget), measured_ms=ms))
    assert not budget.is_within(found) and budget.reaching(found).is_within(found)
    assert 0.9 * budget.budget_ms < ms(found) <= 0.99 * budget.budget_ms
    derivation = Derivation.of(budget, found, deriver.evaluations)
    assert derivation.val_accuracy == ms(found) and derivation.reason is None


def test_a_derivation_that_is_repeated_evaluates_nothing_again(tmp_path, predictor):
    budget, planted = budget_between(predictor, 0.5), Planted(SMALL.decode([1, 2, 3, 4]))
    first = planted_deriver(planted, 30, tmp_path)(search_problem(budget))
    asked = planted.asked
    lines = (tmp_path / "few.jsonl").read_text()
    (tmp_path / "few.jsonl").write_text(lines[: len(lines) // 2])  # stopped half-way
    assert planted_deriver(planted, 30, tmp_path)(search_problem(budget)) == first
    assert asked < planted.asked <= asked + lines.count("\n") // 2 + 1
    assert (tmp_path / "few.jsonl").read_text() == lines


def evaluated(accuracies) -> dict:
    return {each: Evaluation(each, "inherited", accuracy=found, loss=1 - found) for each, found in accuracies.items()}


def test_of_those_in_the_lead_one_that_uses_most_of_the_budget_is_taken(predictor):
    budget = budget_between(predictor, 0.5)
    large = best_networks_within(budget, predictor.decision_costs(SMALL)[1], 1)[0]
    small, over = predictor.extremes(SMALL)
    deriver = planted_deriver(Planted(small), images=100)  # the standard error of 0.8 is 0.04
    for accuracy, taken in ((0.78, large), (0.7, small)):
        deriver.evaluations.clear()
        deriver.evaluations.update(evaluated({small: 0.8, large: accuracy, over: 0.99}))
        assert deriver(search_problem(budget), taken=small) == taken


def test_of_several_large_ones_in_the_lead_that_of_the_least_loss_is_taken(predictor):
    budget = budget_between(predictor, 0.5)
    first, second = best_networks_within(budget, predictor.decision_costs(SMALL)[1], 2)
    small, over = predictor.extremes(SMALL)
    deriver = planted_deriver(Planted(small), images=100)
    for accuracies, taken in (((0.79, 0.78), first), ((0.78, 0.79), second)):
        deriver.evaluations.clear()
        deriver.evaluations.update(evaluated(dict(zip((first, second, small), (*accuracies, 0.8), strict=True))))
        assert deriver(search_problem(budget), taken=small) == taken
    deriver.evaluations.clear()
    assert deriver(search_problem(budget), taken=small) == small  # nobody evaluated it for any budget
    deriver.evaluations.update(evaluated({over: 0.99}))
    before = len(deriver.few.evaluations)
    found = deriver._within(budget)  # nothing that is evaluated is: some others are evaluated
    assert budget.is_within(found) and found in deriver.evaluations
    assert 0 < len(deriver.few.evaluations) - before <= LEAST_NETWORKS


def test_the_first_candidate_by_losses_is_that_of_the_least_loss(predictor):
    slowest = predictor.extremes(SMALL)[1]
    budget = Budget(1.01 * predictor.predict(slowest).high_ms, SMALL, predictor)
    losses = [np.where(np.arange(5) == index, 0.0, 1.0 + np.arange(5)) for index in SMALL.indices(slowest)]
    deriver = replace(planted_deriver(Planted(slowest)), losses=losses)
    probable = deriver.probable.within(budget)
    assert [*islice(deriver._candidates(budget, probable), 2)] == [probable, slowest]


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_where_the_losses_speak_for_small_networks_large_ones_are_evaluated_too(predictor, share):
    """Those that the losses like best of all that use most of the budget."""
    budget, costs = budget_between(predictor, share), predictor.decision_costs(SMALL)[1]
    losses = [10 * cost + 0.1 * np.random.default_rng(k).standard_normal(5) for k, cost in enumerate(costs)]
    deriver = replace(planted_deriver(Planted(predictor.extremes(SMALL)[1]), most=5), losses=losses)
    found = list(islice(deriver._candidates(budget, deriver.probable.within(budget)), 4))
    large = [each for each in found if uses_most(budget, each)]
    assert len(large) >= 2

    def loss(architecture) -> float:
        return sum(float(each[k]) for each, k in zip(losses, SMALL.indices(architecture), strict=True))

    within = [each for each in map(SMALL.decode, CODES) if budget.is_within(each) and uses_most(budget, each)]
    assert min(map(loss, large)) <= np.quantile([loss(each) for each in within], 0.25)


def test_a_derivation_says_what_it_uses_and_why_not_more(predictor):
    budget = budget_between(predictor, 0.5)
    large = best_networks_within(budget, predictor.decision_costs(SMALL)[1], 1)[0]
    small, slowest = predictor.extremes(SMALL)
    found = Derivation.of(budget, small, evaluated({small: 0.8, large: 0.7, slowest: 0.99}))
    assert found.evaluations == 2 and found.val_accuracy == 0.8  # the slowest is over this budget
    assert found.budget_share == predictor.predict(small).ms / budget.budget_ms
    assert (
        found.reason is not None
        and "the one evaluated network that uses more" in found.reason
        and "70.0 %" in found.reason
    )
    other = best_networks_within(budget, predictor.decision_costs(SMALL)[1], 2)[1]
    two = Derivation.of(budget, small, evaluated({small: 0.8, large: 0.6, other: 0.7}))
    assert "none of the 2" in str(two.reason) and "70.0 %" in str(two.reason)
    assert "no other was evaluated" in str(Derivation.of(budget, small, {}).reason)
    assert "the one evaluated network was over it" in str(Derivation.of(budget, small, evaluated({large: 0.7})).reason)
    assert "no network of the space" in str(Derivation.of(replace(budget, budget_ms=1e3), slowest, {}).reason)
    assert "measured over" in str(Derivation.of(budget, small, evaluated({small: 0.7, large: 0.8})).reason)
    assert "among the evaluated" in str(Derivation.of(budget, small, evaluated({small: 0.7})).reason)
    assert Derivation.of(replace(budget, budget_ms=predictor.predict(large).high_ms), large, {}).evaluations == 0
    json.dumps(found.to_json())


def test_a_larger_budget_never_gives_a_network_that_is_evaluated_as_worse(digits):
    task = problem(digits, budget_share=0.8)
    torch.manual_seed(1)
    net = SampledNet(SPACE)
    deriver = reranked(task, MostProbable(net), None, None, None)
    # what was derived first is the worst there is; what is evaluated for smaller budgets replaces it
    worst = min((deriver.every(SPACE.decode([k] * 7)) for k in range(4)), key=lambda each: each.rank).architecture
    deriver = replace(deriver, taken=worst, images=10**9, most=6, evaluations={})
    result = SearchResult(task, net, worst, deriver)
    budgets = [task.budget.budget_ms * share for share in (0.6, 0.8, 1.0)]
    points = frontier(result, budgets)[::-1]
    accuracies = [deriver.every(each.architecture).accuracy for each in points]
    assert accuracies == sorted(accuracies)
    assert points[-1].derivation is not None and points[-1].derivation.val_accuracy == accuracies[-1]
    assert all(each.problem.budget.is_within(each.architecture) for each in points)


def test_validation_images_are_limited_and_kept(digits):
    net = SampledNet(SPACE)
    limited = InheritedEvaluator(net, digits, recalibration=64, validation=64)
    assert limited.images == 128 < InheritedEvaluator(net, digits).images
    assert InheritedEvaluator(net, digits, recalibration=65, validation=65).images == 256, "whole batches"
    architecture = SPACE.decode([1] * 7)
    first = limited(architecture)
    assert first.images == 128 and first.loss is not None
    assert limited(architecture) == first


def test_evaluations_run_forwards_for_no_more_images_than_were_trained_on(digits):
    net, epochs = SampledNet(SPACE), 150
    deriver = reranked(replace(problem(digits), epochs=epochs), MostProbable(net), None, None, None)
    few, every = (InheritedEvaluator(net, digits, recalibration=1024, validation=n).images for n in (1024, None))
    assert LEAST_NETWORKS < deriver.most < MOST_NETWORKS
    assert deriver.most * (few + every / KEPT) <= epochs * digits.counts["train"]


def test_evaluations_are_kept_for_the_very_weights_and_statistics():
    net = SampledNet(SPACE)
    first = weights_digest(net)
    assert weights_digest(net) == first
    found = {first}
    for tensor in (next(net.parameters()), next(buffer for buffer in net.buffers() if buffer.is_floating_point())):
        with torch.no_grad():
            tensor += 1e-3
        found.add(weights_digest(net))
    assert len(found) == 3


def test_without_validation_images_the_most_probable_one_is_taken():
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, val_fraction=0, workers=0)
    probable = MostProbable(SampledNet(SPACE))
    assert reranked(problem(data), probable, None, None, None) is probable


@pytest.mark.parametrize("name", weekly_except(["dsnas"], ["dsnas", "single-path"]))
@pytest.mark.parametrize("derive", ["regression", "reranked", "probable"])
def test_a_search_derives_as_its_settings_say_and_records_it(tmp_path, digits, name, derive):
    method, task, told = get_search(name), problem(digits), []
    run = Run(tmp_path / "run", {})
    settings = method.resolve({"derive": derive, "search": 1.0})
    result = method.search(task, run, lambda done, total, now: told.append(now), settings)
    known = list(run.folder.glob("derivation-*.jsonl"))
    assert result.derivation is not None and task.budget.is_within(result.architecture)
    assert any("best_val_accuracy" in now for now in told) == (derive != "probable")
    if derive == "probable":
        assert not known
        assert result.derivation.evaluations == 0
        decode = getattr(settings, "decode", "mode")
        assert result.architecture == MostProbable(result.net, decode)(task)
    else:
        assert len(known) == 1 and known[0].read_text().count("\n") == result.derivation.evaluations >= 16
        found = InheritedEvaluator(result.net, digits, recalibration=1024)(result.architecture)
        assert found.accuracy == result.derivation.val_accuracy


def test_codes_that_are_equally_good_are_found_as_fast_as_others(monkeypatch):
    """The digits in which their sums differ by rounding lead no search astray: each code is decided once, or so."""
    decided, of = [], knapsack._Beginning.of
    monkeypatch.setattr(knapsack._Beginning, "of", lambda *given: (decided.append(given[0]), of(*given))[1])
    sizes = [len(decision.candidates) for decision in get_space("lite").decisions]
    rng = np.random.default_rng(2)
    costs = [rng.random(size) for size in sizes]
    gains = [np.full(size, np.log(1 / size)) + 1e-14 * cost for size, cost in zip(sizes, costs, strict=True)]
    found = list(islice(knapsack.best_first(costs, gains, 0.3 * len(sizes)), 200))
    assert len({tuple(code) for code in found}) == 200
    assert len(decided) < 10 * len(found)
