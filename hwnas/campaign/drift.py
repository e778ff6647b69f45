"""Drift: how fast the machine was at each moment of a campaign, and how much of that the entries feel.

A shared or thermally limited machine is a few percent slower for seconds or minutes at a time. Measurements of a
reference model tell when. How far the entries go along with the reference is not assumed but taken from the campaign
itself: the coefficient with which each entry's repetitions follow it, drawn to 0 as far as it may be an accident.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hwnas.campaign.journal import Record, ReferenceRecord, StartRecord

T = TypeVar("T")

STRAY = 3.0
"""Repetitions this many standard deviations off, as the middle half shows those, do not count for the coefficient."""
MIN_SPARE = 8
"""So many repetitions besides the first of each entry are needed before they tell of a coefficient."""


@dataclass(frozen=True)
class Drift:
    """How far repetitions are corrected by the reference, and the gain of that: to be recorded with the numbers."""

    coefficient: float = 0.0
    """A repetition while the reference took 1 % longer is taken to have lasted this many percent longer; 0 to 1."""
    spread_percent: float | None = None
    """Standard deviation of the repetitions of one entry as they were timed; None where nothing was repeated."""
    corrected_spread_percent: float | None = None
    """The same after the correction."""

    def to_json(self) -> dict[str, float | None]:
        """The fields."""
        return asdict(self)


def fit_drift(medians_us: Mapping[str, Sequence[float]], slowdowns: Mapping[str, Sequence[float]]) -> Drift:
    """How far repetitions follow the reference.

    Args:
        medians_us: by entry, the median of each of its repetitions.
        slowdowns: by entry, how many times its usual latency the reference took around each of these repetitions.

    The estimate is least squares within entries, in logarithms; its variance is taken off its square (James-Stein), so
    that a campaign in which nothing drifts is not corrected by the noise of its reference measurements.
    """
    log_ms = [_centred(np.log(values)) for values in medians_us.values() if len(values) > 1]
    drifts = [_centred(np.log(slowdowns[key])) for key, values in medians_us.items() if len(values) > 1]
    if not log_ms:
        return Drift()
    y, x = np.concatenate(log_ms), np.concatenate(drifts)
    spare = len(y) - len(log_ms)
    usual = np.abs(y) <= STRAY * np.median(np.abs(y)) / 0.6745
    coefficient = 0.0
    square = float(x[usual] @ x[usual])
    if spare >= MIN_SPARE and square > 0:
        slope = float(x[usual] @ y[usual]) / square
        left = y[usual] - slope * x[usual]
        variance = float(left @ left) / max(spare - 1, 1) / square
        coefficient = float(np.clip(slope - variance / slope, 0.0, 1.0)) if slope > 0 else 0.0
    after = y - coefficient * x

    def spread_percent(deviations: NDArray[np.float64]) -> float:
        return 100 * float(np.sqrt(np.square(deviations[usual]).sum() / spare))

    return Drift(coefficient, spread_percent(y), spread_percent(after))


def slowdowns(records: Sequence[Record]) -> list[float | None]:
    """For each record of a journal: how many times its usual latency the reference took then.

    Between two reference measurements of one process the time is interpolated, by the repetitions in between; before
    the first and after the last it is theirs. None where a process has none.
    """
    drifts = reference_drifts_percent(records)
    found: list[float | None] = [None] * len(records)
    starts = [0, *(i for i, record in enumerate(records) if isinstance(record, StartRecord)), len(records)]
    for begin, end in pairwise(starts):
        measured = [i for i in range(begin, end) if drifts[i] is not None]
        if measured:
            values = [1 + (drifts[i] or 0.0) / 100 for i in measured]
            found[begin:end] = np.interp(range(begin, end), measured, values).tolist()
    return found


def reference_medians_us(records: Sequence[Record]) -> defaultdict[str, list[float]]:
    """Median microseconds of every measurement of each reference model, by the model's digest."""
    medians: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        if isinstance(record, ReferenceRecord):
            medians[record.reference].append(float(np.median(record.runs_us)))
    return medians


def reference_drifts_percent(records: Sequence[Record]) -> list[float | None]:
    """For each reference measurement how far it is off the median of all of them; None for other records."""
    medians = reference_medians_us(records)
    usual = {digest: float(np.median(values)) for digest, values in medians.items()}
    following = {digest: iter(values) for digest, values in medians.items()}
    return [
        100 * (next(following[record.reference]) / usual[record.reference] - 1)
        if isinstance(record, ReferenceRecord)
        else None
        for record in records
    ]


def last_known(records: Sequence[Record], values: Sequence[T | None]) -> list[T | None]:
    """For each record the latest of its own and earlier values that is not None, within one process."""
    known: list[T | None] = []
    latest: T | None = None
    for record, value in zip(records, values, strict=True):
        latest = None if isinstance(record, StartRecord) else latest if value is None else value
        known.append(latest)
    return known


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values - values.mean())
