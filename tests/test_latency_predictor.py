"""The contract of LatencyPredictor, which each implementation keeps: chains and cells, with all kinds of intervals."""

import ast
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.curve import Curve
from hwnas.latency.fitting.fit import fit
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.pricing import price_of
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from tests.latency_tables import SMALL, made_table

ROOT = Path(__file__).resolve().parent.parent
CELLS = get_space("nas-bench-201", 8, width=0.5)


@dataclass(frozen=True)
class Case:
    """A predictor, and a space whose architectures it prices."""

    predictor: LatencyPredictor
    space: SearchSpace


@cache
def fitted() -> AdditivePredictor:
    return fit(made_table(SMALL, 30, seed=30), SMALL)


def bent() -> AdditivePredictor:
    straight = fitted()
    return replace(straight, curve=Curve(0.4, straight.predict(SMALL.decode([2] * 4)).ms), _costs=[])


@cache
def block_sum(space: SearchSpace) -> AdditivePredictor:
    return fit(made_table(space, 0, seed=1), space)


def copy_of(space: SearchSpace) -> SearchSpace:
    return SearchSpace("copy", space.nodes, space.input_shape)


CASES = {
    "fitted to networks": lambda: Case(fitted(), SMALL),
    "bent": lambda: Case(bent(), SMALL),
    "sum of blocks": lambda: Case(block_sum(SMALL), SMALL),
    "cells": lambda: Case(fit(made_table(CELLS, 30, seed=2), CELLS), CELLS),
    "for a proxy space": lambda: Case(ProxySpacePredictor(fitted(), SMALL), copy_of(SMALL)),
    "sum of blocks for a proxy space": lambda: Case(ProxySpacePredictor(block_sum(SMALL), SMALL), copy_of(SMALL)),
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request) -> Case:
    return request.param()


@pytest.fixture(scope="module")
def some(case) -> list[Architecture]:
    rng = random.Random(0)
    return [case.space.sample(rng) for _ in range(60)]


def one_hot(space: SearchSpace, architecture: Architecture) -> list[torch.Tensor]:
    indices = space.indices(architecture)
    return [torch.eye(len(d.candidates)).double()[i] for d, i in zip(space.decisions, indices, strict=True)]


def sum_of(case: Case, predictor: LatencyPredictor, architecture: Architecture) -> float:
    """The sum of an architecture's decision costs."""
    total, costs = predictor.decision_costs(case.space)
    code = case.space.indices(architecture)
    for cost in costs:
        total += float(cost[tuple(code[: cost.ndim])])
        code = code[cost.ndim :]
    return total


def test_every_predictor_is_among_the_cases():
    """Every class that gives the tangent of its intervals is one."""
    found = set()
    texts = [text for path in (ROOT / "hwnas").rglob("*.py") if "interval_ends" in (text := path.read_text())]
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and "interval_ends" in {getattr(part, "name", "") for part in node.body}:
                found.add(node.name)
    assert found - {"LatencyPredictor", "CostModel", "CountedModel"} == {
        type(make().predictor).__name__ for make in CASES.values()
    }


def test_many_predictions_are_those_of_each_and_lie_within_their_intervals(case, some):
    for architecture, prediction in zip(some, case.predictor.predict_many(some), strict=True):
        alone = case.predictor.predict(architecture)
        assert alone.ms == pytest.approx(prediction.ms) and alone.interval_ms == pytest.approx(prediction.interval_ms)
        assert 0 <= prediction.low_ms < prediction.ms < prediction.high_ms
        assert prediction.holds(prediction.low_ms) and prediction.holds(prediction.high_ms)
        assert not prediction.holds(0.999 * prediction.low_ms) and not prediction.holds(1.001 * prediction.high_ms)


def test_predictions_follow_from_the_sum_of_the_decision_costs(case, some):
    _, costs = case.predictor.decision_costs(case.space)
    sizes = [size for cost in costs for size in cost.shape]
    assert sizes == [len(decision.candidates) for decision in case.space.decisions]
    for architecture in some:
        ms = case.predictor.predict(architecture).ms
        assert case.predictor.curve.ms(sum_of(case, case.predictor, architecture)) == pytest.approx(ms)


def test_expected_ms_of_certain_choices_is_the_prediction_and_has_a_gradient(case, some):
    for architecture in some[:10]:
        certain = [p.requires_grad_() for p in one_hot(case.space, architecture)]
        expected_ms = case.predictor.expected_ms(case.space, certain)
        assert expected_ms.item() == pytest.approx(case.predictor.predict(architecture).ms)
        expected_ms.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in certain)


def test_expected_ms_is_the_mean_over_sampled_architectures(case):
    rng, uniform = (
        random.Random(1),
        [torch.full((len(d.candidates),), 1 / len(d.candidates)) for d in case.space.decisions],
    )
    ms = [p.ms for p in case.predictor.predict_many([case.space.sample(rng) for _ in range(2000)])]
    expected_ms = float(case.predictor.expected_ms(case.space, uniform))
    assert expected_ms == pytest.approx(np.mean(ms), abs=4 * np.std(ms) / np.sqrt(len(ms)))


def test_no_architecture_is_faster_or_slower_than_the_extremes(case, some):
    fastest, slowest = case.predictor.extremes(case.space)
    assert fastest.space == slowest.space == case.space.name
    low_ms, high_ms = case.predictor.predict(fastest).ms, case.predictor.predict(slowest).ms
    assert all(low_ms * (1 - 1e-9) <= p.ms <= high_ms * (1 + 1e-9) for p in case.predictor.predict_many(some))


def test_no_prediction_above_the_largest_has_an_interval_that_ends_within(case, some):
    for end_ms in (p.high_ms for p in case.predictor.predict_many(some[:20])):
        largest_ms = case.predictor.largest_ms(end_ms) * (1 + 1e-9)
        assert all(p.ms <= largest_ms for p in case.predictor.predict_many(some) if p.high_ms <= end_ms)


def test_the_tangent_of_the_ends_is_too_early_elsewhere_and_says_nothing_where_all_are_equally_wide(case, some):
    ends = case.predictor.interval_ends(some[0])
    relative = {round(p.high_ms / p.ms, 9) for p in case.predictor.predict_many(some)}
    assert (ends is None) == (len(relative) == 1)
    if ends is None or case.predictor.curve.bend:
        return
    tangent, offset_ms = ends
    for architecture, prediction in zip(some, case.predictor.predict_many(some), strict=True):
        assert sum_of(case, tangent, architecture) + offset_ms <= prediction.high_ms * (1 + 1e-9)


def test_block_costs_add_up_to_the_sum_of_what_is_priced(case, some):
    for architecture in some[:10]:
        costs = case.predictor.block_costs(architecture)
        chain = list(case.predictor.priced(architecture).chain())
        assert all(chain[cost.place] == (cost.spec, cost.input_shape) for cost in costs)
        assert not any(cost.estimated for cost in costs)
        beyond = sum_of(case, case.predictor, architecture) - sum(cost.ms for cost in costs)
        assert beyond == pytest.approx(
            sum_of(case, case.predictor, some[0]) - sum(cost.ms for cost in case.predictor.block_costs(some[0]))
        )


def test_a_saved_predictor_is_the_same_to_a_search(case, some, tmp_path):
    case.predictor.save(tmp_path / "predictor.json")
    again = case.predictor.saved(tmp_path / "predictor.json")
    assert type(again) is type(case.predictor)
    assert again.digest == case.predictor.digest and len(again.digest) == 64
    assert again.half_width == case.predictor.half_width and again.curve == case.predictor.curve
    assert again.card == case.predictor.card
    for one, other in zip(again.predict_many(some), case.predictor.predict_many(some), strict=True):
        assert one.ms == pytest.approx(other.ms) and one.interval_ms == pytest.approx(other.interval_ms, rel=1e-4)
    (tmp_path / "predictor.json").write_text("{}")
    with pytest.raises(HwnasError):
        case.predictor.saved(tmp_path / "predictor.json")


def test_a_space_of_other_decisions_is_refused(case):
    other = SearchSpace(
        "other", (Conv(3, 16), OneOf("alone", (MBConv(16, 16, 7, 6), Skip(16, 16))), Head(16, 32, 4)), (3, 16, 16)
    )
    with pytest.raises(HwnasError):
        case.predictor.decision_costs(other)


def test_what_people_print_is_one_short_line(case, some, tmp_path):
    table, predictor = made_table(SMALL, 3, seed=0), case.predictor
    table.save(tmp_path / ("a folder of a long name " * 5))
    priced = price_of(some[0], table, predictor)
    budget, row = Budget(1.5, case.space, predictor), next(iter(table.blocks.values()))
    for printed in map(repr, (predictor, budget, predictor.card, table, row, priced, priced.prediction)):
        assert "\n" not in printed and len(printed) < 120
