"""Drift: how fast the machine was at each moment of a campaign, and how much of that the entries feel.

A shared or thermally limited machine is a few percent slower for seconds or minutes at a time. Looks at a reference
model tell when. How far the entries go along with the reference is not assumed but taken from the campaign itself: the
coefficient with which each entry's visits follow it, drawn to 0 as far as it may be an accident.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Record = dict[str, Any]

STRAY = 3.0
"""Visits this many standard deviations off, as the middle half shows those, do not count for the coefficient."""
MIN_SPARE = 8
"""The visits that repeat one (all but the first of each entry) must be so many before they tell of a coefficient."""


@dataclass(frozen=True)
class Drift:
    """What the looks at the reference were used for, and what that brought: to be recorded with the numbers."""

    coefficient: float = 0.0
    """A visit while the reference took 1 % longer is taken to have lasted this many percent longer; from 0 to 1."""
    spread_percent: float | None = None
    """Standard deviation of the visits to one entry as they were made; None where nothing was visited twice."""
    corrected_spread_percent: float | None = None
    """The same after the correction."""

    def to_json(self) -> dict[str, float | None]:
        """The fields."""
        return asdict(self)


def fit_drift(medians_us: Mapping[str, Sequence[float]], slowdowns: Mapping[str, Sequence[float]]) -> Drift:
    """How far visits follow the reference.

    Args:
        medians_us: by entry, the median of each of its visits.
        slowdowns: by entry, how many times its usual latency the reference took around each of these visits.

    The estimate is least squares within entries, in logarithms; its variance is taken off its square (James-Stein), so
    that a campaign in which nothing drifts is not corrected by the noise of its looks.
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

    def spread_percent(deviations: np.ndarray) -> float:
        return 100 * float(np.sqrt(np.square(deviations[usual]).sum() / spare))

    return Drift(coefficient, spread_percent(y), spread_percent(after))


def slowdowns(records: Sequence[Record]) -> list[float | None]:
    """For each record of a journal: how many times its usual latency the reference took then.

    Between two looks of one sitting the time is interpolated, by the visits in between; before the first and after the
    last look it is theirs. None where a sitting has no look.
    """
    drifts = reference_drifts_percent(records)
    found: list[float | None] = [None] * len(records)
    starts = [0, *(i for i, record in enumerate(records) if "start" in record), len(records)]
    for begin, end in pairwise(starts):
        looks = [i for i in range(begin, end) if drifts[i] is not None]
        if looks:
            values = [1 + (drifts[i] or 0.0) / 100 for i in looks]
            found[begin:end] = np.interp(range(begin, end), looks, values).tolist()
    return found


def looks_us(records: Sequence[Record]) -> defaultdict[str, list[float]]:
    """Median microseconds of every look at each reference model, by the model's digest."""
    looks: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        if "reference" in record:
            looks[record["reference"]].append(float(np.median(record["runs_us"])))
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


def _centred(values: np.ndarray) -> np.ndarray:
    return np.asarray(values - values.mean())
