"""The Measurement: every run of one model on one Device and Runtime, and the statistics made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError

FAR = 3.5
"""Standard deviations off the median beyond which a repetition is left out: of normal noise, one in two thousand."""
MIDDLE_HALF = 0.6745
"""Half of a normal distribution lies within so many standard deviations of its median."""
NEAR_SHARE = 0.02
"""A repetition that is off by less than this is never left out."""

ROUNDING = 1e-9
"""The rounding error of a sum of weights; no run weighs as little."""


@dataclass(frozen=True)
class Measurement:
    """One model's runs by repetition. Repetitions weigh the same in every statistic, however many runs they took."""

    runs_us: tuple[tuple[float, ...], ...]
    """Microseconds of every run of every repetition."""
    drift_percent: float | None = None
    """How far, at worst, the reference was off its campaign median next to these repetitions; None: no reference."""
    noisy: bool = False
    """The repetitions disagree, or too few were undisturbed: the statistics are worth less than others."""

    def __repr__(self) -> str:
        """The statistics; the runs are thousands of numbers."""
        noisy = ", noisy" if self.noisy else ""
        return (
            f"Measurement({self.median_ms:.4g} ms, 5 to 95 %: {self.p5_ms:.4g} to {self.p95_ms:.4g} ms, "
            f"{len(self.runs_us)} repetitions, {self.runs} runs{noisy})"
        )

    def __post_init__(self) -> None:
        if not self.runs_us or not all(self.runs_us):
            raise ValueError("a Measurement needs at least one repetition, and at least one run in each")
        if not all(np.isfinite(runs).all() and min(runs) > 0 for runs in self.runs_us):
            raise ValueError("the runs of a Measurement are positive, finite numbers of microseconds")

    @property
    def runs(self) -> int:
        """Number of timed runs over all repetitions."""
        return sum(map(len, self.runs_us))

    @cached_property
    def repetition_medians_ms(self) -> tuple[float, ...]:
        """Median of each repetition."""
        return tuple(float(np.median(runs)) / 1000 for runs in self.runs_us)

    @cached_property
    def median_ms(self) -> float:
        """Mean of the medians of the quieter half of the repetitions.

        Within a repetition the median, because an interruption makes a run longer by any amount. Between repetitions
        the fastest half (the larger one of an odd number, without repetitions that lie far from the rest): other
        programs that share caches and memory with the model make a whole repetition longer, never shorter. On a shared
        machine two halves of the repetitions differ by a third less in this than in the mean of all.
        """
        medians_ms = np.array(self.repetition_medians_ms)
        together = np.sort(medians_ms[near(medians_ms)])
        mean_ms = float(together[: (len(together) + 1) // 2].mean())
        return min(max(mean_ms, self.p5_ms), self.p95_ms)  # for repetitions that agree to the last bit

    @cached_property
    def p5_ms(self) -> float:
        """95 % of the runs took longer."""
        return self._quantile_ms(0.05)

    @cached_property
    def p95_ms(self) -> float:
        """5 % of the runs took longer."""
        return self._quantile_ms(0.95)

    @property
    def spread_percent(self) -> float:
        """From the 5th to the 95th percentile, in percent of the median: the spread of single runs."""
        return 100 * (self.p95_ms - self.p5_ms) / self.median_ms

    @property
    def between_visits_percent(self) -> float:
        """From the lowest to the highest repetition median, in percent of the median; 0 for a single repetition."""
        return 100 * (max(self.repetition_medians_ms) - min(self.repetition_medians_ms)) / self.median_ms

    @property
    def halves_percent(self) -> float | None:
        """How far one half of the repetitions (every second one) is off the other, in percent; None for one."""
        if len(self.runs_us) < 2:
            return None
        first, second = (Measurement(self.runs_us[start::2]).median_ms for start in (0, 1))
        return 100 * abs(first - second) / self.median_ms

    def to_json(self) -> dict[str, Any]:
        """The statistics, for people, and the runs, from which `from_json` makes them again."""
        names = ("median_ms", "p5_ms", "p95_ms", "runs", "spread_percent", "between_visits_percent")
        statistics = {name: getattr(self, name) for name in names}
        raw = {"drift_percent": self.drift_percent, "noisy": self.noisy, "runs_us": [list(v) for v in self.runs_us]}
        return statistics | raw

    @staticmethod
    def from_json(data: dict[str, Any]) -> Measurement:
        """The Measurement that `to_json` wrote. Raises HwnasError if something is missing or no measurement at all."""
        try:
            runs_us = tuple(tuple(float(run) for run in runs) for runs in data["runs_us"])
            return Measurement(runs_us, data["drift_percent"], bool(data["noisy"]))
        except (KeyError, TypeError, ValueError) as error:
            raise HwnasError(f"a measurement is damaged ({error!r}); measure the model again.") from error

    def _quantile_ms(self, quantile: float) -> float:
        """The run below which this share of the weight lies; where that is between two runs, their mean."""
        runs_us = np.concatenate(self.runs_us)
        weights = np.concatenate([np.full(len(runs), 1 / len(runs) / len(self.runs_us)) for runs in self.runs_us])
        order = np.argsort(runs_us)
        below = np.cumsum(weights[order])
        around = np.searchsorted(below, [quantile - ROUNDING, quantile + ROUNDING])
        return float(runs_us[order][around].mean()) / 1000


def near(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the values (n,) lie near their median: within `FAR` deviations, as the middle half of them shows those,
    or within `NEAR_SHARE` of it where they agree better than that."""
    distance = np.abs(values - np.median(values))
    deviation = float(np.median(distance)) / MIDDLE_HALF
    return np.asarray(distance <= max(FAR * deviation, NEAR_SHARE * float(np.median(values))))
