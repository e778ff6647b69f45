"""Before a design trains, it says how long that will take."""

import pytest
import torch

from hwnas.designer.duration import expected_seconds, planned, told
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.networks.registry import get_network
from hwnas.networks.scaling import ScaledNetwork
from hwnas.searches.dsnas import DSNASSettings
from hwnas.searches.once_for_all import OnceForAllSettings
from hwnas.searches.problem import SearchProblem
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_architecture
from hwnas.train.data import load_data
from tests.latency_tables import made_table

SPACE = get_space("tiny", 8)
RIVAL = ScaledNetwork("plain-cnn", 1.0, 16, 0.1, get_network("plain-cnn", 1.0, 16, 10))


@pytest.fixture(scope="module")
def problem():
    data = load_data("digits", 8, batch_size=32, limit_train=320, workers=0)
    predictor = fit(made_table(SPACE, 12, seed=0), SPACE)
    return SearchProblem(data, Budget(predictor.predict(largest_architecture(SPACE)).ms, SPACE, predictor), epochs=10)


def test_all_steps_of_the_search_and_of_each_known_network_are_planned(problem):
    plan = planned(problem, OnceForAllSettings(largest=0.2, search=0.5), [RIVAL])
    largest = largest_architecture(SPACE)
    assert [(each.what, each.steps) for each in plan] == [
        ("search", 20),
        ("search", 30),
        ("search", 50),
        ("plain-cnn", 100),
    ]
    assert [each.network == largest for each in plan] == [True, False, False, False]
    assert [each.teacher for each in plan] == [None, largest, largest, None]


def test_a_method_that_trains_otherwise_is_not_guessed_at(problem):
    assert planned(problem, DSNASSettings(), []) == []


def test_steps_are_timed_and_leave_random_numbers_as_they_were(problem):
    before = torch.random.get_rng_state()
    settings = OnceForAllSettings()
    plan = planned(problem, settings, [RIVAL])
    once = expected_seconds(plan, problem, settings)
    assert set(once) == {"search", "plain-cnn"}
    assert all(seconds > 0 for seconds in once.values())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_is_told_in_minutes(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    seconds = {"search": 700.0, "plain-cnn": 90.0}
    assert told(seconds) == "training takes about 13 min with 1 thread: 12 for search, 1.5 for plain-cnn"
