"""What the records of a campaign's journal mean: visits to models, and how disturbed the machine was around each.

A record is ``{"start": circumstances}`` at the beginning of a sitting, ``{"reference": digest, "runs_us": [...]}`` for
a look at the reference model, ``{"entry": key, "label": text, "runs_us": [...]}`` for a visit to an entry, or
``{"health": fields}`` for a look at how the device is. Two more are for people: ``{"lost": reason}`` where the device
was lost and came back, and ``{"failed": key, "label": text, "reason": text}`` for an entry that could not be measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas.campaign.drift import Drift, Record, fit_drift, reference_drifts_percent, slowdowns
from hwnas.campaign.measurement import Measurement, near
from hwnas.campaign.throttle import throttled
from hwnas.devices.device import Device


@dataclass(frozen=True)
class Visit:
    """One visit to one entry."""

    key: str
    runs_us: tuple[float, ...]
    drift_percent: float | None
    """Of the two looks at the reference around this visit, the one farther off its campaign median; None: no look."""
    slowdown: float = 1.0
    """How many times its usual latency the reference took at the time of this visit."""
    throttled: bool = False
    """Whether the device ran slower than it can, to keep cool."""

    @property
    def median_us(self) -> float:
        return float(np.median(self.runs_us))

    def disturbed(self, device: Device) -> bool:
        """Whether the reference was off by more than the device allows, or the device was throttled."""
        drifted = self.drift_percent is not None and abs(self.drift_percent) > device.drift_limit_percent
        return drifted or self.throttled


def visits_by_key(records: Sequence[Record]) -> dict[str, list[Visit]]:
    """The visits to each entry, as and in the order they were made."""
    drifts = reference_drifts_percent(records)
    before = _last_seen(records, drifts)
    after = _last_seen(records[::-1], drifts[::-1])[::-1]
    visits: dict[str, list[Visit]] = defaultdict(list)
    around = zip(records, slowdowns(records), throttled(records), before, after, strict=True)
    for record, slowdown, is_throttled, *neighbours in around:
        if "entry" in record:
            drift = max((drift for drift in neighbours if drift is not None), key=abs, default=None)
            visit = Visit(record["entry"], tuple(record["runs_us"]), drift, slowdown or 1.0, is_throttled)
            visits[record["entry"]].append(visit)
    return visits


def correct(visits: Mapping[str, Sequence[Visit]]) -> tuple[dict[str, list[Visit]], Drift]:
    """The visits at the machine's usual speed, as far as they follow the reference; and how far that is."""
    drift = fit_drift(
        {key: [visit.median_us for visit in made] for key, made in visits.items()},
        {key: [visit.slowdown for visit in made] for key, made in visits.items()},
    )
    return {key: [_at_usual_speed(visit, drift) for visit in made] for key, made in visits.items()}, drift


def visits_wanted(visits: Sequence[Visit], device: Device) -> int:
    """How many more visits an entry needs: until enough undisturbed ones agree, or there were too many."""
    allowed = device.visits + device.extra_visits - len(visits)
    used = _usable(visits, device)
    if len(used) < device.visits:
        return min(device.visits - len(used), allowed)
    return min(1, allowed) if _uncertain(used, device) else 0


def combine(visits: Sequence[Visit], device: Device) -> Measurement:
    """One entry's Measurement: from all undisturbed visits, or, too few, from the least disturbed.

    Visits far from the rest do not count. It is marked noisy if there were too few, and where their mean is not known
    to the drift limit.
    """
    used = _usable(visits, device)
    too_few = len(used) < device.visits
    if too_few:
        least = sorted(visits, key=lambda visit: (visit.throttled, abs(visit.drift_percent or 0.0)))[: device.visits]
        used = [visit for visit in visits if visit in least]
    drift = max((visit.drift_percent for visit in used if visit.drift_percent is not None), key=abs, default=None)
    return Measurement(tuple(visit.runs_us for visit in used), drift, noisy=too_few or _uncertain(used, device))


def _usable(visits: Sequence[Visit], device: Device) -> list[Visit]:
    """The undisturbed visits, without those that lie far from the rest."""
    undisturbed = [visit for visit in visits if not visit.disturbed(device)]
    if not undisturbed:
        return []
    close = near(np.array([visit.median_us for visit in undisturbed]))
    return [visit for visit, is_close in zip(undisturbed, close, strict=True) if is_close]


def _uncertain(visits: Sequence[Visit], device: Device) -> bool:
    """Whether the mean of the visits may be off by more than the drift limit (two standard errors)."""
    medians_us = np.array([visit.median_us for visit in visits])
    if len(medians_us) < 2:
        return False
    standard_error = medians_us.std(ddof=1) / np.sqrt(len(medians_us))
    return bool(200 * standard_error > device.drift_limit_percent * medians_us.mean())


def _at_usual_speed(visit: Visit, drift: Drift) -> Visit:
    factor = visit.slowdown**drift.coefficient
    return replace(visit, runs_us=tuple(run / factor for run in visit.runs_us)) if factor != 1 else visit


def _last_seen(records: Sequence[Record], drifts: Sequence[float | None]) -> list[float | None]:
    """For each record the nearest look at the reference on the way to it, within one sitting."""
    seen: list[float | None] = []
    latest: float | None = None
    for record, drift in zip(records, drifts, strict=True):
        latest = None if "start" in record else latest if drift is None else drift
        seen.append(latest)
    return seen
