"""Throttling: which parts of a campaign a device was too hot for, by the looks at its health in the journal.

A chip that grows hot lowers what its cores may run at most (``scaling_max_freq``), and Android raises its thermal
status; both come back when it has cooled down. What was measured in between tells of the heat, not of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwnas.campaign.drift import Record

Reading = dict[str, Any]


def throttled(records: Sequence[Record]) -> list[bool]:
    """For each record of a journal: whether one of the looks at the device's health around it shows a throttled core.

    That is a limit of the frequency below the highest that the journal knows (not below what the hardware could do:
    many phones never allow that), or a thermal status that rose between the two looks. What the device does not tell
    throttles nothing.
    """
    readings = [record["health"] for record in records if "health" in record]
    full_khz = max((reading.get("max_frequency_khz") or 0 for reading in readings), default=0)
    around = zip(_last_reading(records), _last_reading(records[::-1])[::-1], strict=True)
    return [_slowed(before, full_khz) or _slowed(after, full_khz) or _rose(before, after) for before, after in around]


def _slowed(reading: Reading | None, full_khz: int) -> bool:
    limit_khz = reading.get("max_frequency_khz") if reading else None
    return limit_khz is not None and limit_khz < full_khz


def _rose(before: Reading | None, after: Reading | None) -> bool:
    if not before or not after:
        return False
    first, last = before.get("thermal_status"), after.get("thermal_status")
    return first is not None and last is not None and last > first


def _last_reading(records: Sequence[Record]) -> list[Reading | None]:
    """For each record the nearest look at the health on the way to it, within one sitting."""
    seen: list[Reading | None] = []
    latest: Reading | None = None
    for record in records:
        latest = None if "start" in record else record.get("health", latest)
        seen.append(latest)
    return seen
