"""Visits: which of them the reference model calls disturbed, and what becomes of an entry that has such visits."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.campaign.drift import reference_drifts_percent
from hwnas.campaign.repetitions import Visit, combine, visits_by_key, visits_wanted
from hwnas.devices.device import Device

DEVICE = Device(name="test", visits=2, drift_limit_percent=3)
START: dict[str, Any] = {"start": {}}


def look(us: float, digest: str = "a") -> dict[str, Any]:
    return {"reference": digest, "runs_us": [us - 1, us, us + 1]}


def visit(key: str, us: float = 50.0) -> dict[str, Any]:
    return {"entry": key, "label": key.upper(), "runs_us": [us]}


def test_drift_is_the_worse_of_the_two_looks_around_a_visit() -> None:
    records = [START, look(100), visit("a"), look(102), visit("b"), visit("c"), look(90), visit("d")]
    drifts = {key: [v.drift_percent for v in visits] for key, visits in visits_by_key(records).items()}
    assert drifts == {key: [pytest.approx(value)] for key, value in {"a": 2, "b": -10, "c": -10, "d": -10}.items()}


def test_looks_of_another_sitting_are_no_neighbours() -> None:
    records = [START, look(100), visit("a"), START, look(150), visit("b"), look(100), look(100), START, visit("c")]
    drifts = {key: visits[0].drift_percent for key, visits in visits_by_key(records).items()}
    assert drifts == {"a": pytest.approx(0), "b": pytest.approx(50), "c": None}


def test_each_reference_model_has_its_own_usual_latency() -> None:
    records = [look(100), look(100), look(110), look(7, "b"), look(7, "b"), visit("a")]
    assert reference_drifts_percent(records) == [0, 0, pytest.approx(10), 0, 0, None]


def test_undisturbed_visits_make_the_measurement() -> None:
    visits = [Visit("a", (100.0,), 12.0), Visit("a", (50.0,), 1.0), Visit("a", (51.0,), None)]
    measurement = combine(visits, DEVICE)
    assert measurement.runs_us == ((50.0,), (51.0,))
    assert (measurement.drift_percent, measurement.noisy) == (1.0, False)


def test_with_too_few_undisturbed_visits_the_least_disturbed_are_used_and_marked() -> None:
    visits = [Visit("a", (100.0,), 12.0), Visit("a", (50.0,), 1.0), Visit("a", (50.0,), -4.0)]
    measurement = combine(visits, DEVICE)
    assert measurement.runs_us == ((50.0,), (50.0,))
    assert (measurement.drift_percent, measurement.noisy) == (-4.0, True)


def test_visits_that_disagree_are_marked() -> None:
    assert combine([Visit("a", (100.0,), 0.0), Visit("a", (104.0,), 0.0)], DEVICE).noisy
    assert not combine([Visit("a", (100.0,), 0.0), Visit("a", (102.0,), 0.0)], DEVICE).noisy


def test_of_three_visits_the_two_that_agree_make_the_measurement() -> None:
    visits = [Visit("a", (115.0,), 0.0), Visit("a", (100.0,), 0.0), Visit("a", (101.0,), 0.0)]
    measurement = combine(visits, DEVICE)
    assert sorted(measurement.runs_us) == [(100.0,), (101.0,)]
    assert not measurement.noisy


def test_an_entry_is_visited_until_enough_visits_agree_or_there_were_too_many() -> None:
    quiet, slow, slower = Visit("a", (100.0,), 0.0), Visit("a", (115.0,), 0.0), Visit("a", (130.0,), 0.0)
    disturbed = Visit("a", (100.0,), 9.0)
    assert visits_wanted([], DEVICE) == 2
    assert visits_wanted([quiet], DEVICE) == 1
    assert visits_wanted([quiet, quiet], DEVICE) == 0
    assert visits_wanted([quiet, disturbed], DEVICE) == 1
    assert visits_wanted([quiet, slow], DEVICE) == 1
    assert visits_wanted([quiet, slow, quiet], DEVICE) == 0
    assert visits_wanted([quiet, slow, slower], DEVICE) == 1
    assert visits_wanted([quiet, slow, slower, Visit("a", (150.0,), 0.0)], DEVICE) == 0  # two extra visits, at most
