"""Throttling in a journal: known healths, and known repetitions between them."""

from __future__ import annotations

from hwnas.campaign.journal import HealthRecord, Record, RepetitionRecord, StartRecord
from hwnas.campaign.repetitions import combine, repetitions_by_key, repetitions_wanted, throttled
from hwnas.devices.device import Device
from hwnas.transports.base import Health

START = StartRecord({})


def health(khz: int | None = None, status: int | None = None) -> HealthRecord:
    return HealthRecord(Health(max_frequency_khz=khz, thermal_status=status))


def repetition(us: float = 10.0) -> RepetitionRecord:
    return RepetitionRecord(entry="a", runs_us=(us,))


def marks(*records: Record) -> str:
    """Of the repetitions, in order: T for throttled."""
    found = zip(records, throttled(records), strict=True)
    return "".join("T" if slow else "-" for record, slow in found if isinstance(record, RepetitionRecord))


def test_repetitions_around_a_lowered_limit_are_throttled() -> None:
    full, low = health(khz=2_800_000), health(khz=2_400_000)
    assert (
        marks(START, full, repetition(), full, repetition(), low, repetition(), repetition(), full, repetition(), full)
        == "-TTT-"
    )
    assert marks(START, full, repetition(), full) == "-"


def test_the_full_speed_is_the_highest_that_any_process_saw() -> None:
    assert marks(START, health(khz=1_000), repetition(), health(khz=1_000)) == "-"
    assert (
        marks(START, health(khz=1_000), repetition(), health(khz=1_000), START, health(khz=2_000), repetition()) == "T-"
    )


def test_a_status_that_rises_throttles_and_one_that_falls_or_stays_does_not() -> None:
    cool, warm = health(status=0), health(status=1)
    assert marks(START, cool, repetition(), warm, repetition(), warm, repetition(), cool) == "T--"


def test_what_is_unknown_throttles_nothing() -> None:
    assert marks(START, repetition(), health(), repetition(), health(status=2), repetition()) == "---"
    assert marks(START, health(khz=2_000), repetition(), health(), repetition()) == "--"
    assert marks(repetition()) == "-"


def test_healths_of_another_process_tell_nothing() -> None:
    assert marks(START, health(khz=2_000), repetition(), START, repetition(), health(khz=1_000)) == "-T"
    assert marks(START, health(khz=1_000), START, repetition(), START, health(khz=2_000)) == "-"


def test_throttled_repetitions_are_made_again_and_do_not_count() -> None:
    device = Device(name="test", visits=2, extra_visits=2)
    full, low = health(khz=2_000), health(khz=1_000)
    records = [START, full, repetition(us=10), low, repetition(us=20), full]
    assert repetitions_wanted(repetitions_by_key(records)["a"], device) == 2
    records += [repetition(us=11), repetition(us=11.2), full]
    repetitions = repetitions_by_key(records)["a"]
    assert repetitions_wanted(repetitions, device) == 0
    measured = combine(repetitions, device)
    assert measured.runs_us == ((11.0,), (11.2,)) and not measured.noisy


def test_where_all_were_throttled_the_number_is_kept_and_marked() -> None:
    device = Device(name="test", visits=2, extra_visits=1)
    records = [
        START,
        health(khz=2_000),
        repetition(us=10),
        health(khz=1_000),
        repetition(us=20),
        repetition(us=21),
        health(khz=1_000),
    ]
    repetitions = repetitions_by_key(records)["a"]
    assert repetitions_wanted(repetitions, device) == 0
    measured = combine(repetitions, device)
    assert measured.noisy and len(measured.runs_us) == 2
