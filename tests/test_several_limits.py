"""Several limits at once: what is decoded and drawn is what brute force finds, and what cannot be met is named."""

import random
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from hwnas.errors import HwnasError
from hwnas.latency import sampling
from hwnas.latency.budget import Budget
from hwnas.latency.counted import macs_model, parameters_model
from hwnas.latency.decoding import best_networks_within, best_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.limit import Limit, PeakLimit
from hwnas.latency.measuring.file_models import (
    file_size_model,
    network_bytes,
    network_peak_bytes,
    peak_memory_model,
)
from hwnas.latency.multiplier import Multiplier
from hwnas.latency.sampling import UniformWithin
from hwnas.latency.uncertainty import Floor
from hwnas.space import OneOf, SearchSpace
from hwnas.space.decisions import map_decisions
from hwnas.spaces import get_space
from tests.latency_tables import CODES, SMALL, made_table
from tests.weekly import weekly_except

NETWORKS = [SMALL.decode(code) for code in CODES]
TINY = get_space("tiny", resolution=16, num_classes=4, width=0.25)


@cache
def predictors() -> list:
    return [fit(made_table(SMALL, 12, seed=seed), SMALL) for seed in range(4)]


def unfloored(predictor):
    """With intervals that are the model's own, each network's another width."""
    return replace(predictor, uncertainty=replace(predictor.uncertainty, floor=Floor()))


@cache
def models() -> list:
    """Each with where the intervals of the 625 networks end: the predictors, these unfloored, and what is counted."""
    every = [*predictors(), *map(unfloored, predictors()), parameters_model(SMALL), macs_model(SMALL)]
    return [(model, np.array([p.high_ms for p in model.predict_many(NETWORKS)])) for model in every]


def problem(rng, count) -> tuple[Budget, list[np.ndarray], np.ndarray]:
    """A random budget with further limits, random gains, and which of the 625 networks are within, by brute force."""
    known = [models()[i + 4 * (rng.random() < 0.5)] for i in range(4)] + models()[8:]
    known = [known[int(rng.integers(4))], *(known[i] for i in rng.permutation(len(known))[: count - 1])]
    chosen, ends = zip(*known, strict=True)
    most = [float(np.quantile(own, rng.uniform(0.05, 0.7))) for own in ends]
    further = tuple(Limit(f"limit {i}", most[i], chosen[i]) for i in range(1, count))
    gains = [rng.normal(size=len(d.candidates)) for d in SMALL.decisions]
    within = np.all([own <= limit * (1 + 1e-9) for own, limit in zip(ends, most, strict=True)], axis=0)
    return Budget(most[0], SMALL, chosen[0], further), gains, within


def gain_of(code, gains) -> float:
    return sum(float(gain[i]) for gain, i in zip(gains, code, strict=True))


@pytest.mark.parametrize(
    ("count", "cases"),
    weekly_except([(2, 12), (3, 12)], [(2, 12), (3, 12), (2, 40), (3, 40)]),
)
def test_decoding_is_what_brute_force_finds(count, cases):
    rng, met = np.random.default_rng(count), 0
    for _ in range(cases):
        budget, gains, within = problem(rng, count)
        assert budget.is_feasible == within.any()
        if not within.any():
            with pytest.raises(HwnasError, match=r"cannot be met|no network of space"):
                budget.check_feasible()
            continue
        met += 1
        found = best_within(budget, gains)
        assert budget.is_within(found)
        best = max(gain_of(code, gains) for code, fits in zip(CODES, within, strict=True) if fits)
        assert gain_of(SMALL.indices(found), gains) == pytest.approx(best, rel=1e-9)
        several = best_networks_within(budget, gains, 5)
        assert several[0].digest == found.digest and all(budget.are_within(several))
    assert met > cases // 2


def test_every_network_within_all_limits_is_drawn_equally_often_and_no_other():
    from scipy.stats import chisquare

    rng = np.random.default_rng(5)
    budget, within = next((b, w) for b, _, w in (problem(rng, 3) for _ in range(99)) if 5 < w.sum() < 60)
    draw, drawn = UniformWithin(budget), random.Random(0)
    found = Counter(draw(drawn).code for _ in range(20 * int(within.sum())))
    assert set(found) == {network.code for network, fits in zip(NETWORKS, within, strict=True) if fits}
    assert chisquare(list(found.values())).pvalue > 1e-3


def test_where_hardly_any_code_is_within_a_random_walk_finds_different_ones(monkeypatch):
    rng = np.random.default_rng(6)
    budget = next(b for b, _, within in (problem(rng, 3) for _ in range(99)) if 20 < within.sum() < 60)
    monkeypatch.setattr(sampling, "DRAWS", 0)
    draw, drawn = UniformWithin(budget), random.Random(0)
    found = [draw(drawn) for _ in range(12)]
    assert all(budget.are_within(found)) and len({network.code for network in found}) > 4


def test_a_limit_that_cannot_be_met_is_named_with_the_least_that_can():
    parameters = parameters_model(SMALL)
    least = min(network.params for network in NETWORKS)
    budget = Budget(1e3, SMALL, predictors()[0], (Limit("parameters", least - 1, parameters, ""),))
    with pytest.raises(HwnasError, match=r"parameters of .* cannot be met: the least .* takes is"):
        budget.check_feasible()
    replace(budget, further=(Limit("parameters", least, parameters, ""),)).check_feasible()


def test_limits_that_can_be_met_alone_and_not_together_are_told_so_with_what_would_be_enough():
    first, second = predictors()[0], predictors()[1]
    # a second device on which what is fast on the first is slow: the same costs, turned round
    turned = parameters_model(SMALL)
    _, costs = first.decision_costs(SMALL)
    turned = replace(turned, fixed=0.0, costs=[1.0 + cost.max() - cost for cost in costs])
    least = [Budget(1.0, SMALL, first).surest, turned.extremes(SMALL)[0]]
    budget = Budget(
        1.02 * first.predict(least[0]).high_ms,
        SMALL,
        first,
        (Limit("other", 1.02 * turned.predict(least[1]).ms, turned), Limit("third", 1e3, second)),
        "local",
    )
    with pytest.raises(HwnasError, match="each can be met by itself") as raised:
        budget.check_feasible()
    enough = float(str(raised.value).split("With the others as they are, ")[1].split(" ms of local")[0])
    replace(budget, budget_ms=enough).check_feasible()
    percent = float(str(raised.value).split("raise all of them by ")[1].split(" %")[0])
    budget.loosened([1 + percent / 100 + 1e-3] * 3).check_feasible()


def test_counts_are_exact():
    cells = get_space("nas-bench-201", resolution=8, width=0.25, cells_per_stage=2)
    few = map_decisions(cells.nodes, lambda _, each: OneOf(each.name, tuple(each.candidates[k] for k in (0, 1, 3))))
    for space in (SMALL, TINY, SearchSpace("few operators", few, cells.input_shape)):
        parameters, macs = parameters_model(space), macs_model(space)
        for seed in range(5):
            network = space.sample(random.Random(seed))
            assert parameters.predict(network).ms == network.params
            assert macs.predict(network).ms == network.macs


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_the_size_of_a_file_is_predicted_and_its_peak_memory_exact(format):
    size = file_size_model(TINY, format, "float32")
    peak = peak_memory_model(TINY, format, "float32")
    for seed in range(4):
        network = TINY.sample(random.Random(seed))
        assert size.predict(network).holds(network_bytes(network, format, "float32"))
        assert peak.predict(network).ms == network_peak_bytes(network, format, "float32")


def test_a_limit_on_peak_memory_forbids_candidates():
    peak = peak_memory_model(TINY, "tflite", "float32")
    amounts = [peak.predict(network).ms for network in map(TINY.sample, map(random.Random, range(30)))]
    most = float(np.quantile(sorted(amounts), 0.3, method="lower"))
    budget = Budget(1e6, TINY, parameters_model(TINY), (PeakLimit("peak-memory", most, peak, "B"),))
    rng = np.random.default_rng(0)
    for _ in range(10):
        gains = [rng.normal(size=len(d.candidates)) for d in TINY.decisions]
        assert peak.predict(best_within(budget, gains)).ms <= most
    least = peak.predict(peak.extremes(TINY)[0]).ms
    with pytest.raises(HwnasError, match=r"peak-memory of .* cannot be met"):
        replace(budget, further=(replace(budget.further[0], most=0.9 * least),)).check_feasible()


def test_each_limit_has_a_multiplier_that_rises_while_it_is_exceeded():
    first, parameters = predictors()[0], parameters_model(SMALL)
    small, large = parameters.extremes(SMALL)
    exceeded, kept = parameters.predict(small).ms, 2 * parameters.predict(large).ms
    limits = (Limit("exceeded", exceeded, parameters, ""), Limit("kept", kept, parameters, ""))
    budget, multiplier = Budget(1e3, SMALL, first, limits), Multiplier()
    logits = [torch.zeros(len(d.candidates), requires_grad=True) for d in SMALL.decisions]
    penalty, expected_ms = multiplier.penalty(budget, [logit.softmax(0) for logit in logits])
    penalty.backward()
    assert all(logit.grad.abs().max() > 0 for logit in logits if len(logit) > 1)
    multiplier.update(budget, expected_ms)
    assert multiplier.state[0] == 0 and multiplier.state[1] > 0 and multiplier.state[2] == 0
    again = Multiplier()
    again.load(multiplier.state)
    assert again.state == multiplier.state
