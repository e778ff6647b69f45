"""Throttling in a journal: known looks at the health, known visits between them."""

from __future__ import annotations

from typing import Any

from hwnas.campaign.repetitions import combine, visits_by_key, visits_wanted
from hwnas.campaign.throttle import throttled
from hwnas.devices.device import Device

START: dict[str, Any] = {"start": {}}


def look(khz: int | None = None, status: int | None = None) -> dict[str, Any]:
    return {"health": {"max_frequency_khz": khz, "thermal_status": status}}


def visit(key: str = "a", us: float = 10.0) -> dict[str, Any]:
    return {"entry": key, "runs_us": [us]}


def marks(*records: dict[str, Any]) -> str:
    """Of the visits, in order: T for throttled."""
    found = zip(records, throttled(records), strict=True)
    return "".join("T" if slow else "-" for record, slow in found if "entry" in record)


def test_visits_around_a_lowered_limit_are_throttled() -> None:
    full, low = look(khz=2_800_000), look(khz=2_400_000)
    assert marks(START, full, visit(), full, visit(), low, visit(), visit(), full, visit(), full) == "-TTT-"
    assert marks(START, full, visit(), full) == "-"


def test_the_full_speed_is_the_highest_that_any_sitting_saw() -> None:
    assert marks(START, look(khz=1_000), visit(), look(khz=1_000)) == "-"
    assert marks(START, look(khz=1_000), visit(), look(khz=1_000), START, look(khz=2_000), visit()) == "T-"


def test_a_status_that_rises_throttles_and_one_that_falls_or_stays_does_not() -> None:
    cool, warm = look(status=0), look(status=1)
    assert marks(START, cool, visit(), warm, visit(), warm, visit(), cool) == "T--"


def test_what_is_unknown_throttles_nothing() -> None:
    assert marks(START, visit(), look(), visit(), look(status=2), visit()) == "---"
    assert marks(START, look(khz=2_000), visit(), look(), visit()) == "--"
    assert marks(visit()) == "-"


def test_looks_of_another_sitting_tell_nothing() -> None:
    assert marks(START, look(khz=2_000), visit(), START, visit(), look(khz=1_000)) == "-T"
    assert marks(START, look(khz=1_000), START, visit(), START, look(khz=2_000)) == "-"


def test_throttled_visits_are_taken_again_and_do_not_count() -> None:
    device = Device(name="test", visits=2, extra_visits=2)
    full, low = look(khz=2_000), look(khz=1_000)
    records = [START, full, visit(us=10), low, visit(us=20), full]
    assert visits_wanted(visits_by_key(records)["a"], device) == 2
    records += [visit(us=11), visit(us=11.2), full]
    visits = visits_by_key(records)["a"]
    assert visits_wanted(visits, device) == 0
    measured = combine(visits, device)
    assert measured.runs_us == ((11.0,), (11.2,)) and not measured.noisy


def test_where_all_were_throttled_the_number_is_kept_and_marked() -> None:
    device = Device(name="test", visits=2, extra_visits=1)
    records = [START, look(khz=2_000), visit(us=10), look(khz=1_000), visit(us=20), visit(us=21), look(khz=1_000)]
    visits = visits_by_key(records)["a"]
    assert visits_wanted(visits, device) == 0
    measured = combine(visits, device)
    assert measured.noisy and len(measured.runs_us) == 2
