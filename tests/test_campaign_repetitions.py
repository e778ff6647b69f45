"""Repetitions: which of them the reference model calls disturbed, and the Measurement of an entry that has such."""

from __future__ import annotations

import pytest

from hwnas.campaign.drift import reference_drifts_percent
from hwnas.campaign.journal import ReferenceRecord, RepetitionRecord, StartRecord
from hwnas.campaign.repetitions import Repetition, combine, repetitions_by_key, repetitions_wanted
from hwnas.devices.device import Device

DEVICE = Device(name="test", visits=2, drift_limit_percent=3)
START = StartRecord({})


def reference(us: float, digest: str = "a") -> ReferenceRecord:
    return ReferenceRecord(digest, (us - 1, us, us + 1))


def entry(key: str, us: float = 50.0) -> RepetitionRecord:
    return RepetitionRecord(entry=key, label=key.upper(), runs_us=(us,))


def test_drift_is_the_worse_of_the_two_references_around_a_repetition() -> None:
    records = [START, reference(100), entry("a"), reference(102), entry("b"), entry("c"), reference(90), entry("d")]
    drifts = {
        key: [each.drift_percent for each in repetitions] for key, repetitions in repetitions_by_key(records).items()
    }
    assert drifts == {key: [pytest.approx(value)] for key, value in {"a": 2, "b": -10, "c": -10, "d": -10}.items()}


def test_references_of_another_process_are_no_neighbours() -> None:
    records = [
        START,
        reference(100),
        entry("a"),
        START,
        reference(150),
        entry("b"),
        reference(100),
        reference(100),
        START,
        entry("c"),
    ]
    drifts = {key: repetitions[0].drift_percent for key, repetitions in repetitions_by_key(records).items()}
    assert drifts == {"a": pytest.approx(0), "b": pytest.approx(50), "c": None}


def test_each_reference_model_has_its_own_usual_latency() -> None:
    records = [reference(100), reference(100), reference(110), reference(7, "b"), reference(7, "b"), entry("a")]
    assert reference_drifts_percent(records) == [0, 0, pytest.approx(10), 0, 0, None]


def test_undisturbed_repetitions_make_the_measurement() -> None:
    repetitions = [Repetition("a", (100.0,), 12.0), Repetition("a", (50.0,), 1.0), Repetition("a", (51.0,), None)]
    measurement = combine(repetitions, DEVICE)
    assert measurement.runs_us == ((50.0,), (51.0,))
    assert (measurement.drift_percent, measurement.noisy) == (1.0, False)


def test_with_too_few_undisturbed_repetitions_the_least_disturbed_are_used_and_marked() -> None:
    repetitions = [Repetition("a", (100.0,), 12.0), Repetition("a", (50.0,), 1.0), Repetition("a", (50.0,), -4.0)]
    measurement = combine(repetitions, DEVICE)
    assert measurement.runs_us == ((50.0,), (50.0,))
    assert (measurement.drift_percent, measurement.noisy) == (-4.0, True)


def test_repetitions_that_disagree_are_marked() -> None:
    assert combine([Repetition("a", (100.0,), 0.0), Repetition("a", (104.0,), 0.0)], DEVICE).noisy
    assert not combine([Repetition("a", (100.0,), 0.0), Repetition("a", (102.0,), 0.0)], DEVICE).noisy


def test_of_three_repetitions_the_two_that_agree_make_the_measurement() -> None:
    repetitions = [Repetition("a", (115.0,), 0.0), Repetition("a", (100.0,), 0.0), Repetition("a", (101.0,), 0.0)]
    measurement = combine(repetitions, DEVICE)
    assert sorted(measurement.runs_us) == [(100.0,), (101.0,)]
    assert not measurement.noisy


def test_an_entry_is_repeated_until_enough_repetitions_agree_or_there_were_too_many() -> None:
    quiet, slow, slower = Repetition("a", (100.0,), 0.0), Repetition("a", (115.0,), 0.0), Repetition("a", (130.0,), 0.0)
    disturbed = Repetition("a", (100.0,), 9.0)
    assert repetitions_wanted([], DEVICE) == 2
    assert repetitions_wanted([quiet], DEVICE) == 1
    assert repetitions_wanted([quiet, quiet], DEVICE) == 0
    assert repetitions_wanted([quiet, disturbed], DEVICE) == 1
    assert repetitions_wanted([quiet, slow], DEVICE) == 1
    assert repetitions_wanted([quiet, slow, quiet], DEVICE) == 0
    assert repetitions_wanted([quiet, slow, slower], DEVICE) == 1
    assert (
        repetitions_wanted([quiet, slow, slower, Repetition("a", (150.0,), 0.0)], DEVICE) == 0
    )  # two extra repetitions, at most
