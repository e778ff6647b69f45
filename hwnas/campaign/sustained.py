"""Sustained speed: one model run without a pause for minutes, with the heat and the clock of the device beside it.

A phone that has been at work for a while runs slower than at first, by how much differs between phones, and even their
order does: on one of four chips a network went from 196 to about 400 ms in half an hour
(https://github.com/microsoft/MegaDetector/issues/34).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hwnas.campaign.bench import Bench, bench, bench_again
from hwnas.campaign.conditions import ConditionsJson
from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.files import read_json
from hwnas.foreign import Finite, Ms, NotNegative, checked
from hwnas.progress import silent
from hwnas.runners import is_in_process, open_runner
from hwnas.runners.retrying import RetryingRunner

SAMPLE_S = 4.0
"""Duration of a sample: most of the time the device is at work, little goes into loading the model."""
FIRST = 3
"""So many samples are the first runs, which tables and budgets are of."""
LONGEST_MINUTES = 24 * 60
MOST_RUNS = 100_000
"""Of a sample."""
NO_LIMITS = {
    "cool_down_s": 0.0,
    "max_temperature_celsius": None,
    "max_battery_celsius": None,
    "max_thermal_status": None,
}
"""The heat is measured, so nobody waits for it to go."""
CURE = "write it again with `hwnas bench MODEL --minutes 10 --out FILE.json`"


class Sample(BaseModel):
    """Some seconds of runs, and how the device was just before. None: it does not tell."""

    model_config = ConfigDict(frozen=True)

    at_s: NotNegative
    """Since the beginning, at the sample's end."""
    ms: Ms
    """Median."""
    temperature_celsius: Finite | None = None
    """Of the hottest CPU sensor."""
    frequency_khz: NotNegative | None = None
    max_frequency_khz: NotNegative | None = None
    """The highest frequency that the first core may run at."""
    thermal_status: int | None = None


class Sustained(BaseModel):
    """The speed that a device keeps up."""

    model_config = ConfigDict(frozen=True)

    model: str
    minutes: Annotated[float, Field(gt=0, le=LONGEST_MINUTES)]
    """As was asked for."""
    samples: tuple[Sample, ...] = Field(min_length=1)
    conditions: ConditionsJson

    @field_validator("samples")
    @classmethod
    def _in_order(cls, samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
        """The sustained speed is read off the last ones."""
        if any(later.at_s < earlier.at_s for earlier, later in pairwise(samples)):
            raise ValueError("at_s must not fall from one sample to the next")
        return samples

    @property
    def first_ms(self) -> float:
        """Median of the first `FIRST` samples."""
        return median(each.ms for each in self.samples[:FIRST])

    @property
    def sustained_ms(self) -> float:
        """Median of the samples in the last third of the time."""
        end_s = self.samples[-1].at_s
        return median(each.ms for each in self.samples if each.at_s >= end_s * 2 / 3)

    @property
    def slowdown(self) -> float:
        """How many times as long as at first a run takes at last."""
        return self.sustained_ms / self.first_ms

    def to_json(self) -> dict[str, Any]:
        """The figures, for people, and the samples, from which `read_sustained` makes them again."""
        figures = {name: getattr(self, name) for name in ("first_ms", "sustained_ms", "slowdown")}
        return figures | self.model_dump(mode="json")


def sustain(
    model: Path,
    device: Device,
    runtime: str,
    minutes: float,
    keep: Callable[[Sustained], None] = silent,
    progress: Callable[[str, int, int, str], None] = silent,
) -> Sustained:
    """Run a model for so many minutes.

    Args:
        model: with one input and one output of float32, uint8 or int8, of fixed size.
        runtime: one of the device's.
        keep: called after every sample with all there are: whatever ends this early, they are not lost.
        progress: called with stage, seconds done, seconds in all, and the newest sample.

    Raises UsageError for less than no time, or more than a day; else as `bench`.
    """
    if not 0 < minutes <= LONGEST_MINUTES:  # NaN is neither
        raise UsageError(f"a device is watched for more than 0 minutes and a day at most, not {minutes:g}; such as 10.")
    samples: list[Sample] = []
    begin, told = monotonic(), model.name
    with _sampling(model, device, runtime, minutes) as sample:
        while True:
            progress("bench", round(min(monotonic() - begin, 60 * minutes)), round(60 * minutes), told)
            made = sample()
            samples.append(_sample(made, monotonic() - begin))
            found = Sustained(
                model=model.name, minutes=minutes, samples=tuple(samples), conditions=made.conditions.to_json()
            )
            keep(found)
            told = f"{samples[-1].ms:.4g} ms"
            if samples[-1].at_s >= 60 * minutes:
                progress("bench", round(60 * minutes), round(60 * minutes), told)
                return found


def read_sustained(path: Path) -> Sustained:
    """The Sustained that `to_json` wrote. Raises HwnasError for a file that is missing, damaged, or something else."""
    what = "the sustained speed"
    found: Sustained = checked(Sustained, read_json(path, what, CURE), f"{what} {path}", CURE)
    return found


@contextmanager
def _sampling(model: Path, device: Device, runtime: str, minutes: float) -> Iterator[Callable[[], Bench]]:
    """A function that measures one sample: on this machine in fresh processes, elsewhere with the model loaded once,
    since a device rests while a model is brought to it."""
    sample_ms = 1000 * min(SAMPLE_S, 60 * minutes / (3 * FIRST))
    once = {"visits": 1, "extra_visits": 0, "min_ms": sample_ms, "max_ms": sample_ms, "max_runs": MOST_RUNS}
    busy = device.model_copy(update=once | NO_LIMITS)
    if is_in_process(busy, runtime):
        yield lambda: bench(model, busy, runtime)
        return
    with open_runner(busy, runtime) as runner, RetryingRunner(runner, model, silent) as retrying:
        yield lambda: bench_again(retrying, runner, busy)


def _sample(made: Bench, at_s: float) -> Sample:
    told = made.conditions.circumstances
    names = ("temperature_celsius", "frequency_khz", "max_frequency_khz", "thermal_status")
    return Sample(at_s=at_s, ms=made.measurement.median_ms, **{name: told.get(name) for name in names})
