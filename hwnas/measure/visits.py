"""What the records of a campaign's journal mean: visits to models, and how disturbed the machine was around each.

A record is ``{"start": circumstances}`` at the beginning of a sitting, ``{"reference": digest, "runs_us": [...]}`` for
a look at the reference model, or ``{"entry": key, "label": text, "runs_us": [...]}`` for a visit to an entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.measure.device import Device
from hwnas.measure.measurement import Measurement

Record = dict[str, Any]


@dataclass(frozen=True)
class Visit:
    """One visit to one entry."""

    key: str
    runs_us: tuple[float, ...]
    drift_percent: float | None
    """Of the two looks at the reference around this visit, the one farther off its campaign median; None: no look."""

    @property
    def median_us(self) -> float:
        return float(np.median(self.runs_us))

    def disturbed(self, device: Device) -> bool:
        """Whether the reference was off by more than the device allows."""
        return self.drift_percent is not None and abs(self.drift_percent) > device.drift_limit_percent


def visits_by_key(records: Sequence[Record]) -> dict[str, list[Visit]]:
    """The visits to each entry, in the order they were made. Raises HwnasError for a record of another kind."""
    drifts = reference_drifts_percent(records)
    before = _last_seen(records, drifts)
    after = _last_seen(records[::-1], drifts[::-1])[::-1]
    visits: dict[str, list[Visit]] = defaultdict(list)
    for record, *neighbours in zip(records, before, after, strict=True):
        if "entry" in record:
            drift = max((drift for drift in neighbours if drift is not None), key=abs, default=None)
            visits[record["entry"]].append(Visit(record["entry"], tuple(_runs(record)), drift))
    return visits


def looks_us(records: Sequence[Record]) -> defaultdict[str, list[float]]:
    """Median microseconds of every look at each reference model, by the model's digest."""
    looks: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        if "reference" in record:
            looks[record["reference"]].append(float(np.median(_runs(record))))
    return looks


def reference_drifts_percent(records: Sequence[Record]) -> list[float | None]:
    """For each record: how far a look at the reference is off the median of all looks; None for other records."""
    looks = looks_us(records)
    usual = {digest: float(np.median(medians)) for digest, medians in looks.items()}
    next_look = {digest: iter(medians) for digest, medians in looks.items()}
    return [
        100 * (next(next_look[record["reference"]]) / usual[record["reference"]] - 1) if "reference" in record else None
        for record in records
    ]


def visits_wanted(visits: Sequence[Visit], device: Device) -> int:
    """How many more visits an entry needs: until enough undisturbed ones agree, or there were too many."""
    allowed = device.visits + device.extra_visits - len(visits)
    used = _agreeing([visit for visit in visits if not visit.disturbed(device)], device.visits)
    if len(used) < device.visits:
        return min(device.visits - len(used), allowed)
    return min(1, allowed) if _disagree(used, device) else 0


def combine(visits: Sequence[Visit], device: Device) -> Measurement:
    """One entry's Measurement: from the undisturbed visits that agree best, or, too few, from the least disturbed.

    It is marked noisy in the second case, and where the visits it is made of differ by more than the drift limit.
    """
    used = _agreeing([visit for visit in visits if not visit.disturbed(device)], device.visits)
    too_few = len(used) < device.visits
    if too_few:
        used = sorted(visits, key=lambda visit: abs(visit.drift_percent or 0.0))[: device.visits]
    drift = max((visit.drift_percent for visit in used if visit.drift_percent is not None), key=abs, default=None)
    return Measurement(tuple(visit.runs_us for visit in used), drift, noisy=too_few or _disagree(used, device))


def _agreeing(visits: Sequence[Visit], count: int) -> list[Visit]:
    """Those `count` visits whose medians lie closest together (all of them if there are no more)."""
    ordered = sorted(visits, key=lambda visit: visit.median_us)
    windows = [ordered[i : i + count] for i in range(max(1, len(ordered) - count + 1))]
    return min(windows, key=lambda window: window[-1].median_us - window[0].median_us if window else 0.0)


def _disagree(visits: Sequence[Visit], device: Device) -> bool:
    between = Measurement(tuple(visit.runs_us for visit in visits)).between_visits_percent
    return between > device.drift_limit_percent


def _last_seen(records: Sequence[Record], drifts: Sequence[float | None]) -> list[float | None]:
    """For each record the nearest look at the reference on the way to it, within one sitting."""
    seen: list[float | None] = []
    latest: float | None = None
    for record, drift in zip(records, drifts, strict=True):
        latest = None if "start" in record else latest if drift is None else drift
        seen.append(latest)
    return seen


def _runs(record: Record) -> list[float]:
    try:
        runs_us = [float(run) for run in record["runs_us"]]
    except (KeyError, TypeError, ValueError):
        runs_us = []
    if not runs_us or min(runs_us) <= 0:
        raise HwnasError(
            f"the journal holds a visit without valid runs ({str(record)[:60]}); delete that line, or the journal."
        )
    return runs_us
