"""Repetitions: the timings of one entry in a journal, which of them were disturbed, and the Measurement of the others.

A chip that grows hot lowers what its cores may run at most (``scaling_max_freq``), and Android raises its thermal
status; both come back when it has cooled down. A repetition in between tells of the heat, not of the model. One during
which the reference model was slower or faster than usual tells of other load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas.campaign.drift import Drift, fit_drift, last_known, reference_drifts_percent, slowdowns
from hwnas.campaign.journal import HealthRecord, Record, RepetitionRecord
from hwnas.campaign.measurement import Measurement, near
from hwnas.devices.device import Device
from hwnas.transports.base import Health


@dataclass(frozen=True)
class Repetition:
    """One timing of one entry, with the state of the machine at that time."""

    key: str
    runs_us: tuple[float, ...]
    drift_percent: float | None
    """Of the reference measurements before and after, the one farther off its campaign median; None: there is none."""
    slowdown: float = 1.0
    """How many times its usual latency the reference took at this time."""
    throttled: bool = False
    """Whether the device ran slower than it can, to keep cool."""

    @property
    def median_us(self) -> float:
        return float(np.median(self.runs_us))

    def disturbed(self, device: Device) -> bool:
        """Whether the reference was off by more than the device allows, or the device was throttled."""
        drifted = self.drift_percent is not None and abs(self.drift_percent) > device.drift_limit_percent
        return drifted or self.throttled


def repetitions_by_key(records: Sequence[Record]) -> dict[str, list[Repetition]]:
    """The repetitions of each entry, as and in the order they were timed."""
    drifts = reference_drifts_percent(records)
    before = last_known(records, drifts)
    after = last_known(records[::-1], drifts[::-1])[::-1]
    found: dict[str, list[Repetition]] = defaultdict(list)
    around = zip(records, slowdowns(records), throttled(records), before, after, strict=True)
    for record, slowdown, is_throttled, *neighbours in around:
        if isinstance(record, RepetitionRecord):
            drift = max((drift for drift in neighbours if drift is not None), key=abs, default=None)
            repetition = Repetition(record.entry, record.runs_us, drift, slowdown or 1.0, is_throttled)
            found[record.entry].append(repetition)
    return found


def throttled(records: Sequence[Record]) -> list[bool]:
    """For each record of a journal: whether the device's health before or after it shows a throttled core.

    That is a limit of the frequency below the highest that the journal knows (not below what the hardware could do:
    many phones never allow that), or a thermal status that rose between the two. What the device does not tell
    throttles nothing.
    """
    healths = [record.health if isinstance(record, HealthRecord) else None for record in records]
    full_khz = max((health.max_frequency_khz or 0 for health in healths if health is not None), default=0)
    around = zip(last_known(records, healths), last_known(records[::-1], healths[::-1])[::-1], strict=True)
    return [_slowed(before, full_khz) or _slowed(after, full_khz) or _rose(before, after) for before, after in around]


def correct(made: Mapping[str, Sequence[Repetition]]) -> tuple[dict[str, list[Repetition]], Drift]:
    """The repetitions at the machine's usual speed, as far as they follow the reference; and how far that is."""
    drift = fit_drift(
        {key: [each.median_us for each in repetitions] for key, repetitions in made.items()},
        {key: [each.slowdown for each in repetitions] for key, repetitions in made.items()},
    )
    return {key: [_at_usual_speed(each, drift) for each in repetitions] for key, repetitions in made.items()}, drift


def repetitions_wanted(made: Sequence[Repetition], device: Device) -> int:
    """How many more repetitions an entry needs: until enough undisturbed ones agree, or there were too many."""
    allowed = device.visits + device.extra_visits - len(made)
    used = _usable(made, device)
    if len(used) < device.visits:
        return min(device.visits - len(used), allowed)
    return min(1, allowed) if _uncertain(used, device) else 0


def combine(made: Sequence[Repetition], device: Device) -> Measurement:
    """One entry's Measurement: from all undisturbed repetitions, or, too few, from the least disturbed.

    Repetitions far from the rest do not count. It is marked noisy if there were too few, and where their mean is not
    known to the drift limit.
    """
    used = _usable(made, device)
    too_few = len(used) < device.visits
    if too_few:
        least = sorted(made, key=lambda each: (each.throttled, abs(each.drift_percent or 0.0)))[: device.visits]
        used = [each for each in made if each in least]
    drift = max((each.drift_percent for each in used if each.drift_percent is not None), key=abs, default=None)
    return Measurement(tuple(each.runs_us for each in used), drift, noisy=too_few or _uncertain(used, device))


def _usable(made: Sequence[Repetition], device: Device) -> list[Repetition]:
    """The undisturbed repetitions, without those that lie far from the rest."""
    undisturbed = [each for each in made if not each.disturbed(device)]
    if not undisturbed:
        return []
    close = near(np.array([each.median_us for each in undisturbed]))
    return [each for each, is_close in zip(undisturbed, close, strict=True) if is_close]


def _uncertain(made: Sequence[Repetition], device: Device) -> bool:
    """Whether the mean of the repetitions may be off by more than the drift limit (two standard errors)."""
    medians_us = np.array([each.median_us for each in made])
    if len(medians_us) < 2:
        return False
    standard_error = medians_us.std(ddof=1) / np.sqrt(len(medians_us))
    return bool(200 * standard_error > device.drift_limit_percent * medians_us.mean())


def _at_usual_speed(repetition: Repetition, drift: Drift) -> Repetition:
    factor = repetition.slowdown**drift.coefficient
    return replace(repetition, runs_us=tuple(run / factor for run in repetition.runs_us)) if factor != 1 else repetition


def _slowed(health: Health | None, full_khz: int) -> bool:
    limit_khz = health.max_frequency_khz if health else None
    return limit_khz is not None and limit_khz < full_khz


def _rose(before: Health | None, after: Health | None) -> bool:
    if before is None or after is None or before.thermal_status is None or after.thermal_status is None:
        return False
    return after.thermal_status > before.thermal_status
