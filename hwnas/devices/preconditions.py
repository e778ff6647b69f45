"""The Preconditions of each repetition: limits of heat and battery, and the wait until the device is within them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.transports.base import Health

READ_EVERY_S = 5.0
"""Reading the health takes a phone a tenth of a second or more, and heat takes longer than this to come and go."""


LIMITS = (
    ("the CPU is at", "temperature_celsius", "above", "max_temperature_celsius", " C"),
    ("the battery is at", "battery_celsius", "above", "max_battery_celsius", " C"),
    ("the thermal status is", "thermal_status", "above", "max_thermal_status", ""),
    ("the battery holds", "battery_percent", "below", "min_battery_percent", " %"),
)
"""In words, what of the Health must not be on which side of which limit of the Device, and the unit."""


def has_limits(device: Device) -> bool:
    """Whether a repetition on the device may have to wait at all."""
    return any(getattr(device, limit) is not None for *_, limit, _unit in LIMITS)


def unmet_preconditions(health: Health, device: Device) -> list[str]:
    """Why no repetition may begin now: ``the CPU is at 52.0 C, above 45.0 C``. What is unknown meets every limit."""
    limits = (
        (what, getattr(health, known), side, getattr(device, limit), unit) for what, known, side, limit, unit in LIMITS
    )
    return [
        f"{what} {found:g}{unit}, {side} {limit:g}{unit}"
        for what, found, side, limit, unit in limits
        if found is not None and limit is not None and (found > limit if side == "above" else found < limit)
    ]


@dataclass
class Preconditions:
    """Lets a repetition begin when the device is fit for it."""

    device: Device
    read: Callable[[], Health]
    on_health: Callable[[Health], None]
    """Called with every Health that is read, to record it."""
    on_wait: Callable[[str], None]
    """Called with the reason, every time that the device was found unfit."""
    latest: Health | None = None
    _read_at: float = field(default=-math.inf, init=False)

    def read_health(self) -> Health:
        """How the device is now."""
        self.latest = self.read()
        self._read_at = monotonic()
        self.on_health(self.latest)
        return self.latest

    def wait(self) -> bool:
        """Return when the device is fit, at once if it was a moment ago; whether it had to wait.

        Raises HwnasError after the Device's `max_wait_s`.
        """
        begin = monotonic()
        recent = self.latest if begin - self._read_at < READ_EVERY_S else None
        if recent is not None and not unmet_preconditions(recent, self.device):
            return False
        waited = False
        while reasons := unmet_preconditions(self.read_health(), self.device):
            left_s = begin + self.device.max_wait_s - monotonic()
            if left_s <= 0:
                raise HwnasError(
                    f"{self.device.name} was not fit to be measured for {self.device.max_wait_s:g} s: "
                    f"{', '.join(reasons)}. Cool or charge it and repeat the command (a table keeps its "
                    "measurements), or change these limits or max_wait_s in the device file."
                )
            waited = True
            self.on_wait(", ".join(reasons))
            sleep(min(READ_EVERY_S, left_s))
        return waited
