"""The logits that a search of sampled paths begins with: on target, for one limit or several, and as open as can be."""

import numpy as np
import pytest
import torch

from hwnas.errors import UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.counted import parameters_model
from hwnas.latency.fitting.fit import fit
from hwnas.latency.limit import Limit
from hwnas.searches.dsnas import DSNASSettings
from hwnas.searches.first_logits import EXACT, lean_to_budget
from hwnas.searches.registry import get_search
from hwnas.supernet.relaxation import Relax, Relaxation, by_edge
from hwnas.supernet.sampled import SampledNet
from tests.latency_tables import SMALL, made_table
from tests.test_edge_logits import SMALL as EDGES
from tests.test_edge_logits import fitted as fitted_to_edges
from tests.test_latency_cells import SPACE as CELLS
from tests.test_latency_cells import made_table as table_of_cells

PREDICTORS = {
    "chain": lambda: fit(made_table(SMALL, 12, seed=0), SMALL),
    "cells": lambda: fit(table_of_cells(60, "live", noise=0.01), CELLS),
    "edges": fitted_to_edges,
}
SPACES = {"chain": SMALL, "cells": CELLS, "edges": EDGES}


def equal_logits(space, relax: Relax = Relaxation) -> SampledNet:
    net = SampledNet(space, relax)
    with torch.no_grad():
        for logits in net.alphas:
            logits.fill_(1.0)
    return net


def expected(net: SampledNet, limit: Limit) -> float:
    return float(limit.ratio(net.space, net.probabilities()).detach())


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("kind", PREDICTORS)
def test_the_expected_latency_is_the_target_from_the_start(kind, share):
    space, predictor = SPACES[kind], PREDICTORS[kind]()
    net = equal_logits(space, by_edge if kind == "edges" else Relaxation)
    least_ms, mean_ms = (
        predictor.predict(predictor.extremes(space)[0]).ms,
        float(predictor.expected_ms(space, net.probabilities()).detach()),
    )
    budget = Budget((least_ms + share * (mean_ms - least_ms)) * (1 + predictor.half_width), space, predictor)
    lean_to_budget(net, budget)
    assert 1 - EXACT <= expected(net, budget.limits[0]) <= 1


def test_of_all_with_that_latency_it_is_the_distribution_of_the_largest_entropy():
    """At a maximum every way to move probability that keeps the latency changes the entropy by nothing."""
    predictor, net = PREDICTORS["chain"](), equal_logits(SMALL)
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(SMALL))
    lean_to_budget(net, Budget(fastest + 0.3 * (slowest - fastest), SMALL, predictor))
    _, costs = predictor.decision_costs(SMALL)
    rates = []
    for probabilities, cost in zip(net.probabilities(), costs, strict=True):
        by_cost = np.polyfit(cost, probabilities.detach().log().numpy(), 1)
        np.testing.assert_allclose(np.polyval(by_cost, cost), probabilities.detach().log().numpy(), atol=1e-4)
        rates.append(by_cost[0])
    np.testing.assert_allclose(rates, rates[0], rtol=1e-3)
    assert rates[0] < 0


def test_a_budget_that_the_mean_network_keeps_changes_nothing():
    predictor, net = PREDICTORS["chain"](), equal_logits(SMALL)
    lean_to_budget(net, Budget(predictor.predict(predictor.extremes(SMALL)[1]).high_ms, SMALL, predictor))
    assert all(torch.equal(logits, torch.ones_like(logits)) for logits in net.alphas)


def test_a_budget_that_only_the_fastest_keeps_ends():
    predictor, net = PREDICTORS["chain"](), equal_logits(SMALL)
    budget = Budget(0.5 * predictor.predict(predictor.extremes(SMALL)[0]).ms, SMALL, predictor)
    lean_to_budget(net, budget)
    fastest = SMALL.indices(predictor.extremes(SMALL)[0])
    assert [int(p.argmax()) for p in net.probabilities()] == list(fastest)
    assert all(torch.isfinite(logits).all() for logits in net.alphas)


def test_several_limits_are_kept_together_and_one_of_them_is_used_up():
    predictor, parameters = PREDICTORS["chain"](), parameters_model(SMALL)
    (fastest, slowest), sizes = (
        [predictor.predict(a).ms for a in predictor.extremes(SMALL)],
        [parameters.predict(a).ms for a in parameters.extremes(SMALL)],
    )
    further = Limit("parameters", sizes[0] + 0.25 * (sizes[1] - sizes[0]), parameters, unit="")
    budget = Budget(fastest + 0.3 * (slowest - fastest), SMALL, predictor, (further,))
    net = equal_logits(SMALL)
    lean_to_budget(net, budget)
    ratios = [expected(net, limit) for limit in budget.limits]
    assert max(ratios) <= 1 + 5 * EXACT and max(ratios) >= 1 - 5 * EXACT


def test_it_is_how_dsnas_begins_unless_as_published():
    assert DSNASSettings().first_logits == "budget" and DSNASSettings.published().first_logits == "uniform"
    assert get_search("darts").settings().first_logits == "uniform"
    with pytest.raises(UsageError, match="first_logits must be one of uniform, budget"):
        DSNASSettings(first_logits="fast")  # type: ignore[arg-type]
