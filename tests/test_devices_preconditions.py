"""Preconditions: what keeps a repetition waiting, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from hwnas.devices import preconditions
from hwnas.devices.device import Device
from hwnas.devices.preconditions import Preconditions, unmet_preconditions
from hwnas.errors import HwnasError
from hwnas.transports.base import Health

UNKNOWN = Health(*[None] * 11)
LIMITS = {
    "max_temperature_celsius": 45.0,
    "max_battery_celsius": 38.0,
    "max_thermal_status": 1,
    "min_battery_percent": 20,
}


def device(**limits: Any) -> Device:
    return Device.model_validate({"name": "test"} | limits)


def health(**known: Any) -> Health:
    return replace(UNKNOWN, **known)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"temperature_celsius": 52.5}, ["the CPU is at 52.5 C, above 45 C"]),
        ({"battery_celsius": 39.0}, ["the battery is at 39 C, above 38 C"]),
        ({"thermal_status": 2}, ["the thermal status is 2, above 1"]),
        ({"battery_percent": 19}, ["the battery holds 19 %, below 20 %"]),
        ({"temperature_celsius": 45.0, "battery_celsius": 38.0, "thermal_status": 1, "battery_percent": 20}, []),
        ({"temperature_celsius": 0.0, "thermal_status": 0}, []),
        ({}, []),
    ],
)
def test_what_forbids_a_repetition(known: dict[str, Any], said: list[str]) -> None:
    assert unmet_preconditions(health(**known), device(**LIMITS)) == said


def test_without_limits_nothing_forbids_a_repetition() -> None:
    hot = health(temperature_celsius=149.0, battery_celsius=90.0, thermal_status=6, battery_percent=0)
    assert unmet_preconditions(hot, device()) == []


class Script:
    """A device whose temperatures are told in turn, the last one for ever; and what Preconditions say of it."""

    def __init__(self, *celsius: float | None, max_wait_s: float = 60.0) -> None:
        self._next: Iterator[float | None] = iter(celsius)
        self._now: float | None = None
        self.seen: list[Health] = []
        self.waited: list[str] = []
        limited = device(**LIMITS, max_wait_s=max_wait_s)
        self.preconditions = Preconditions(limited, self._read, self.seen.append, self.waited.append)

    def _read(self) -> Health:
        self._now = next(self._next, self._now)
        return health(temperature_celsius=self._now)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "READ_EVERY_S", 0.001)


def test_a_hot_device_is_waited_for_and_every_reading_is_told() -> None:
    script = Script(50.0, 48.0, 46.0, 44.0)
    assert script.preconditions.wait()
    assert [each.temperature_celsius for each in script.seen] == [50.0, 48.0, 46.0, 44.0]
    assert [text.split(",")[0] for text in script.waited] == [f"the CPU is at {t} C" for t in (50, 48, 46)]
    assert script.preconditions.latest == health(temperature_celsius=44.0)


def test_a_fit_device_and_an_unknown_one_are_not_waited_for() -> None:
    for celsius in (44.0, None):
        script = Script(celsius)
        assert not script.preconditions.wait()
        assert script.waited == [] and len(script.seen) == 1


def test_the_health_is_not_read_before_every_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "READ_EVERY_S", 3600.0)
    script = Script(40.0)
    for _ in range(100):
        assert not script.preconditions.wait()
    assert len(script.seen) == 1
    script.preconditions.read_health()
    assert len(script.seen) == 2


def test_a_device_that_was_hot_a_moment_ago_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of a pass, after which the next one begins."""
    monkeypatch.setattr(preconditions, "READ_EVERY_S", 0.2)
    script = Script(50.0, 44.0)
    script.preconditions.read_health()
    script.preconditions.wait()
    assert script.preconditions.latest == health(temperature_celsius=44.0)


def test_waiting_ends_with_the_reason_and_the_cure() -> None:
    script = Script(50.0, max_wait_s=0.05)
    begin = monotonic()
    with pytest.raises(
        HwnasError, match=r"not fit to be measured for 0.05 s: the CPU is at 50 C, above 45 C.*keeps its measurements"
    ):
        script.preconditions.wait()
    assert monotonic() - begin >= 0.05
    with pytest.raises(HwnasError, match="for 0 s"):
        Script(50.0, max_wait_s=0.0).preconditions.wait()
