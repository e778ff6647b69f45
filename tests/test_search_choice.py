"""What a search takes when it can measure: within the budget as measured, or the least over it, and always measured."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import mean_per_ms, most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.limit import Limit
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.searches.as_measured import MEASURED_TRIES, REPEATABLE, MeasuredBudget, within_as_measured
from hwnas.searches.contracts import MOST_LOSS, Evaluation
from hwnas.searches.derivers import LARGEST_GAP, MostProbable, best_evaluated, without_none
from hwnas.searches.evaluators import LookedUpEvaluator, RecordedEvaluator
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proposers import RandomWithin
from hwnas.space import Architecture
from hwnas.spaces import get_space
from hwnas.specs.cell import Zero
from hwnas.supernet.sampled import SampledNet

TINY = get_space("tiny")


@pytest.fixture(scope="module")
def predictor():
    """Fitted to 12 networks whose blocks deviate by 10 %: every network has an interval of its own."""
    rng = random.Random(0)
    table = LatencyTable(
        {b: Latency(0.02 + b[0].macs(b[1]) / 1e7, 0, 1, 50, 0.5) for b in TINY.distinct_blocks()},
    )
    factors = {block: 1 + rng.gauss(0, 0.1) for block in table.blocks}
    for _ in range(12):
        network = TINY.sample(rng)
        blocks = [b for b in network.placed_blocks() if not b[0].is_identity]
        ms = sum(factors[b] * table.block_ms(*b) for b in blocks) * (1 + rng.gauss(0, 0.01))
        table.networks[network] = Latency(ms, 0.9 * ms, 1.1 * ms, 50, 0.5)
    return fit(table, TINY)


class Machine:
    """Takes `factor` times as long as predicted, or what `but` says; remembers what it measured."""

    def __init__(self, predictor, factor, but=None):
        self.predictor, self.factor, self.but = predictor, factor, but or {}
        self.measured: list[Architecture] = []

    def __call__(self, architecture):
        self.measured.append(architecture)
        return self.but.get(architecture, self.factor * self.predictor.predict(architecture).ms)


def problem(predictor, share, factor, but=None):
    fastest, slowest = (predictor.predict(network) for network in predictor.extremes(TINY))
    limit_ms = fastest.high_ms + share * (slowest.ms - fastest.high_ms)
    machine = Machine(predictor, factor, but)
    return SearchProblem(None, Budget(limit_ms, TINY, predictor), epochs=1, measured_ms=machine), machine


def likes_slow_blocks(task):
    costs = task.budget.predictor.decision_costs(TINY)[1]
    log_p = [3 * cost / cost.max() for cost in costs]
    return lambda budget: most_probable_within(budget, log_p)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 1.3])
def test_what_is_taken_measures_within_and_was_measured(predictor, factor):
    task, machine = problem(predictor, 0.6, factor)
    taken = within_as_measured(task, likes_slow_blocks(task))
    assert machine.measured[-1] == taken != predictor.extremes(TINY)[0]  # the least that is given up is enough
    assert machine(taken) <= REPEATABLE * task.budget.budget_ms


def test_the_last_replacement_is_measured_too_and_the_fastest_taken_if_it_is_over(predictor):
    """A machine on which all is slow but the fastest network: no replacement is within, whatever was hoped of it."""
    fastest = predictor.extremes(TINY)[0]
    task, machine = problem(predictor, 0.5, 1.0, {fastest: 1e-3})
    machine.factor = 100.0
    steps, picks = iter(np.linspace(0.95, 0.7, 10)), likes_slow_blocks(task)
    first = picks(task.budget)

    def slightly_faster_each_time(now):
        return first if now is task.budget else picks(task.budget.loosened([next(steps)]))

    taken = within_as_measured(task, slightly_faster_each_time)
    assert taken == fastest
    assert len(machine.measured) == 1 + MEASURED_TRIES + 1
    assert machine.measured[-1] == fastest


def test_where_even_the_fastest_is_over_the_least_of_what_was_measured_is_taken(predictor):
    fastest = predictor.extremes(TINY)[0]
    task, machine = problem(predictor, 0.5, 50.0)
    taken = within_as_measured(task, likes_slow_blocks(task))
    assert taken == fastest and fastest in machine.measured
    assert machine(taken) > task.budget.budget_ms
    assert len(set(machine.measured)) == len(machine.measured) - 1, "each is measured once, and once more by this test"


def test_a_probe_that_measured_within_is_taken_before_the_fastest_network(predictor):
    """Where nothing that was picked afterwards does."""
    task, machine = problem(predictor, 0.5, 1.0)
    first = likes_slow_blocks(task)(task.budget)
    measured = MeasuredBudget(replace(task, measured_ms=lambda each: machine(each) * (0.9 if each == first else 3.0)))
    likes = likes_slow_blocks(task)
    roomier = measured.roomier(likes)
    others = [each for each in (likes(roomier.loosened([k / 20])) for k in range(19, 1, -1)) if each != first]
    picks = iter(others)
    assert measured.within(lambda budget: next(picks), roomier) == first


def test_what_was_taken_stays_where_what_is_liked_more_measures_over(predictor):
    """A budget that is tightened for that one would exclude it, and leave worse ones."""
    task, machine = problem(predictor, 0.6, 1.0)
    likes = likes_slow_blocks(task)
    taken = likes(task.budget.loosened([1.05]))
    liked = likes(task.budget)
    over = replace(task, measured_ms=lambda each: machine(each) * (1.2 if each == liked else 0.9))
    measured = MeasuredBudget(over, taken)
    assert measured.within(lambda budget: liked, task.budget) == taken


def test_a_wide_interval_leaves_no_room_that_measurements_show(predictor):
    task, machine = problem(predictor, 0.5, 1.0)
    by_prediction = likes_slow_blocks(task)(task.budget)
    taken = within_as_measured(task, likes_slow_blocks(task))
    assert predictor.predict(by_prediction).ms < 0.92 * task.budget.budget_ms
    assert 0.94 * task.budget.budget_ms < machine(taken) <= REPEATABLE * task.budget.budget_ms
    assert machine.measured.count(taken) == 3, "twice by the search, and once by this test"


def test_a_machine_that_seems_twice_as_fast_as_predicted_is_believed_no_further_than_an_interval(predictor):
    task, _ = problem(predictor, 0.5, 0.5)
    taken = predictor.predict(within_as_measured(task, likes_slow_blocks(task)))
    assert 0.93 * task.budget.budget_ms < taken.ms < 1.05 * task.budget.budget_ms < taken.high_ms


def test_beyond_the_interval_the_slower_of_two_measurements_counts(predictor):
    task, machine = problem(predictor, 0.5, 1.0)

    class Unsteady(Machine):
        def __call__(self, architecture):
            again = architecture in self.measured
            return (1.2 if again else 1.0) * super().__call__(architecture)

    unsteady = Unsteady(task.budget.predictor, 1.0)
    taken = within_as_measured(replace(task, measured_ms=unsteady), likes_slow_blocks(task))
    assert max(1.2 * machine(taken), unsteady(taken)) <= REPEATABLE * task.budget.budget_ms or task.budget.is_within(
        taken
    )


def test_where_nothing_beyond_the_interval_measures_within_the_search_goes_back_to_what_is_predicted(predictor):
    task, _ = problem(predictor, 0.5, 1.0)
    picks, budget = likes_slow_blocks(task), task.budget

    class Odd(Machine):
        """Slow for whatever is beyond the budget by its interval."""

        def __call__(self, architecture):
            return (1.0 if budget.is_within(architecture) else 2.0) * super().__call__(architecture)

    odd = Odd(predictor, 1.0)
    taken = within_as_measured(replace(task, measured_ms=odd), picks)
    assert budget.is_within(taken) and taken != predictor.extremes(TINY)[0]
    assert not all(budget.is_within(each) for each in odd.measured), "something beyond it was tried"


def test_a_further_device_is_kept_within_as_measured_too_and_with_room_to_repeat_it(predictor):
    task, _ = problem(predictor, 0.6, 0.5)  # the first device is never over
    picks, most = likes_slow_blocks(task), task.budget.budget_ms
    first = picks(task.budget)
    other = Machine(predictor, 0.9, {first: 0.995 * most})
    limit = Limit("other", most, predictor, measured=other, repeatable=0.99)
    taken = within_as_measured(replace(task, budget=replace(task.budget, further=(limit,))), picks)
    assert other.measured[0] == first != taken == other.measured[-1]
    assert other(taken) <= 0.99 * most


def test_with_further_limits_the_surest_network_is_the_last_to_be_measured(predictor):
    """The fastest one may be over another limit."""
    task, machine = problem(predictor, 0.5, 100.0)
    fastest, rng = predictor.extremes(TINY)[0], random.Random(0)
    other = AdditivePredictor.block_sum({block: rng.uniform(0.01, 0.1) for block in TINY.distinct_blocks()})
    limit = Limit("other", 0.95 * other.predict(fastest).high_ms, other)
    budget = replace(task.budget, further=(limit,))
    within_as_measured(replace(task, budget=budget), likes_slow_blocks(task))
    assert budget.is_within(machine.measured[-1])
    assert machine.measured[-1] == budget.surest != fastest


def test_the_mean_is_decoded_with_a_gain_for_each_ms_and_the_mode_without(predictor):
    task, _ = problem(predictor, 0.9, 1.0)
    net = SampledNet(TINY)
    with torch.no_grad():
        for alpha, cost in zip(net.alphas, predictor.decision_costs(TINY)[1], strict=True):
            alpha.copy_(torch.as_tensor(-cost / cost.max()))  # the most probable one is the fastest
    logs, per_ms = MostProbable(net, decode="mean").log_probabilities(task.budget)
    assert per_ms == mean_per_ms(task.budget, logs) > 0
    assert MostProbable(net, decode="mode").log_probabilities(task.budget)[1] == 0


def test_an_edge_that_is_left_out_is_worth_less_than_all_others_can_make_up():
    decision = get_space("nas-bench-201").decisions[0]
    assert isinstance(decision.candidates[0], Zero)
    found = without_none(decision, np.array([5.0, 1.0, -100.0, 0.0, -2.0]))
    assert found[1:].tolist() == [1.0, 5.0 - LARGEST_GAP, 0.0, -2.0]
    assert found[0] + 5 * found[1:].max() < 6 * found[1:].min()


def test_without_a_device_it_is_the_promise_of_the_prediction(predictor):
    task, _ = problem(predictor, 0.4, 1.0)
    task = SearchProblem(None, task.budget, epochs=1)
    assert predictor.predict(within_as_measured(task, likes_slow_blocks(task))).high_ms <= task.budget.budget_ms * (
        1 + 1e-9
    )


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4])
def test_random_architectures_end_within_the_budget_by_their_own_intervals(predictor, share):
    task, _ = problem(predictor, share, 1.0)
    rng = random.Random(0)
    ends_ms = [predictor.predict(RandomWithin(task.budget)(rng)).high_ms for _ in range(2)]
    assert max(ends_ms) <= task.budget.budget_ms * (1 + 1e-9)


@pytest.mark.parametrize("limit_share", [0.0, 0.3, 1.0])
def test_the_best_child_evaluated_ends_within_or_is_the_surest(predictor, tmp_path, limit_share):
    task, _ = problem(predictor, 0.5, 1.0)
    evaluator = RecordedEvaluator(LookedUpEvaluator(lambda network: predictor.predict(network).ms), tmp_path)
    rng = random.Random(1)
    for _ in range(30):
        evaluator(TINY.sample(rng))
    ends_ms = sorted(predictor.predict(network).high_ms for network in evaluator.evaluations)
    limit_ms = ends_ms[0] * 0.99 + limit_share * (ends_ms[-1] - ends_ms[0])
    found = evaluator.evaluations
    best = best_evaluated(found.values(), replace(task.budget, budget_ms=limit_ms))
    within = [network for network in found if predictor.predict(network).high_ms <= limit_ms]
    assert best == (max(within, key=lambda network: found[network].score) if within else task.budget.surest)


def judged(losses, accuracies, by="loss"):
    return [
        Evaluation(TINY.decode([k] * 7), "inherited", accuracy=share, loss=loss, by=by)
        for k, (loss, share) in enumerate(zip(losses, accuracies, strict=True))
    ]


def test_evaluations_are_compared_by_what_they_say(predictor):
    budget = problem(predictor, 1.0, 1.0)[0].budget
    found = {by: best_evaluated(judged([1.0, 0.5, 0.5], [0.9, 0.6, 0.7], by), budget) for by in ("loss", "accuracy")}
    assert found == {"loss": TINY.decode([2] * 7), "accuracy": TINY.decode([0] * 7)}  # of equal losses by accuracy


def test_a_loss_that_is_none_or_huge_is_a_number_to_proposers_and_the_worst():
    good, huge, none = judged([1.0, 1e30, None], [0.1, 0.9, 0.9])
    assert (good.score, huge.score, none.score) == (-1.0, -MOST_LOSS, -MOST_LOSS)
    assert max((good, huge, none), key=lambda each: each.rank) is good
