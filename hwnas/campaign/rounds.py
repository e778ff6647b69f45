"""Rounds: benches of one model in processes of their own, and how far they show it to be above a limit.

Runs within one process are correlated: where its memory lies, and what else the machine did then, is in all of them.
So a process counts as one observation, however many runs it took, and an interval is made over processes: A. Georges,
D. Buytaert, L. Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007; T. Kalibera, R. Jones,
"Rigorous Benchmarking in Reasonable Time", ISMM 2013. Model and reference are timed in turns within each process, and
their ratio is taken there, so that what slows down both goes out of it: L. Bulej and others, "Duet Benchmarking:
Improving Measurement Accuracy in the Cloud", ICPE 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass
from scipy import stats

from hwnas.campaign.measurement import Measurement
from hwnas.foreign import Positive

LOOKS = (4, 6, 9, 13, 20)
"""After so many rounds it is asked whether they decide; each time there are about half as many again."""
CONFIDENCE = 0.95
"""Of the interval, whichever look it is taken at: each look may err as often as the sum may, divided by their number
(Bonferroni), for who looks several times errs more often than who looks once."""
TRIMMED = 0.2
"""Of the rounds, the share of the lowest, and of the highest, that does not count: none of 4, one of 6."""
LEAST_SPREAD = 0.001
"""Standard deviation of a round, in logarithms, that is believed at least: clocks have steps, and few rounds agree by
accident."""


@checked_dataclass(frozen=True)
class Round:
    """The times of the repetitions of a model in one process, and of the reference before each of them."""

    model_us: tuple[Positive, ...] = Field(min_length=1)
    reference_us: tuple[Positive, ...] = Field(min_length=1)

    @property
    def ms(self) -> float:
        """Of the model: as `Measurement.median_ms`, of the quieter half of the repetitions."""
        return _quiet_ms(self.model_us)

    @property
    def reference_ms(self) -> float:
        """The same of the reference."""
        return _quiet_ms(self.reference_us)

    @property
    def ratio(self) -> float:
        """How many times as long as the reference the model takes."""
        return self.ms / self.reference_ms


@dataclass(frozen=True)
class Excess:
    """How far a model is above a limit, in logarithms of the ratio, and the interval that it lies in."""

    value: float
    low: float
    high: float

    def percent(self, allowed_percent: float = 0.0) -> tuple[float, float, float]:
        """Value, low and high end in percent above what the limit allows `allowed_percent` more than."""
        allowed = 1 + allowed_percent / 100
        value, low, high = (100 * (exp(each) * allowed - 1) for each in (self.value, self.low, self.high))
        return value, low, high

    def to_json(self) -> dict[str, Any]:
        """In percent above the limit."""
        value, low, high = self.percent()
        return {"above_percent": value, "interval_percent": [low, high]}


def excess(now: Sequence[float], limit: Sequence[float], exact: bool) -> Excess:
    """How far measured values are above a limit.

    The interval is of the difference of trimmed means, which a few rounds beside another program do not move: K. K.
    Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61, 1974; with an exact limit, that
    of one trimmed mean. (To leave out what lies far off and then take Student's interval is wrong in 8 % instead of 5 %
    of the cases: what is left agrees too well.)

    Args:
        now: one value per round, such as a ratio; two at least.
        limit: one value that is known exactly, or one per round of an earlier measurement. An earlier measurement of a
            single round is taken to be as uncertain as one round of now.
        exact: whether the limit is known exactly.
    """
    own = _trimmed(np.log(now))
    error, freedom, value = own.error, own.freedom, own.mean
    if exact:
        value -= log(limit[0])
    elif len(limit) == 1:
        value, error = value - log(limit[0]), error + float(np.log(now).var(ddof=1))  # of one round, not winsorised
    else:
        other = _trimmed(np.log(limit))
        value, error = value - other.mean, error + other.error
        freedom = error**2 / (own.error**2 / own.freedom + other.error**2 / other.freedom)
    tail = (1 - CONFIDENCE) / len(LOOKS) / 2
    half = float(stats.t.ppf(1 - tail, freedom)) * sqrt(error)
    return Excess(value, value - half, value + half)


@dataclass(frozen=True)
class _Trimmed:
    mean: float
    variance: float
    """Of a value."""
    error: float
    """Variance of the mean."""
    freedom: float


def _trimmed(values: NDArray[np.float64]) -> _Trimmed:
    """The mean without the lowest and highest `TRIMMED` share, and how uncertain it is, from winsorised values."""
    n = len(values)
    cut = int(TRIMMED * n)
    ordered = np.sort(values)
    middle = ordered[cut : n - cut]
    variance = max(float(np.clip(values, middle[0], middle[-1]).var(ddof=1)), LEAST_SPREAD**2)
    left = len(middle)
    return _Trimmed(float(middle.mean()), variance, (n - 1) * variance / (left * (left - 1)), left - 1)


def _quiet_ms(repetitions_us: Sequence[float]) -> float:
    return Measurement(tuple((us,) for us in repetitions_us)).median_ms


def least_disturbed(rounds: Sequence[Round], limit_percent: float) -> list[Round]:
    """The rounds in which the machine was as fast as in its fastest, but for `limit_percent`; `LOOKS[0]` at least."""
    ordered = sorted(rounds, key=lambda each: each.reference_ms)
    most_ms = ordered[0].reference_ms * (1 + limit_percent / 100)
    return [each for place, each in enumerate(ordered) if place < LOOKS[0] or each.reference_ms <= most_ms]
