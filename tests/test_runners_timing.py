"""Timing: the stopping rule on known answers, the limits, and real sessions. No test asserts how fast anything is."""

from __future__ import annotations

import gc
import math
from time import sleep

import numpy as np
import pytest
from scipy.stats import binom

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.runners.timing import median_precision_percent, open_session, time_session
from hwnas.runtimes import RUNTIMES, available_runtimes, installed_runtimes
from tests.small_models import feature_net, model_bytes


class SleepingSession:
    """A Session whose inference is a sleep: `sleep` never returns early, so limits in ms have known outcomes."""

    input_shape = (1, 2)

    def __init__(self, sleep_ms: float = 0.0) -> None:
        self.sleep_ms, self.invoked, self.prepared, self.garbage_collector_on = sleep_ms, 0, 0, False

    def prepare(self, x: np.ndarray) -> None:
        assert x.shape == self.input_shape and x.dtype == np.float32
        self.prepared += 1

    def invoke(self) -> None:
        self.invoked += 1
        self.garbage_collector_on |= gc.isenabled()
        sleep(self.sleep_ms / 1000)

    def run(self, x: np.ndarray) -> np.ndarray:
        return x


def device(**limits: float) -> Device:
    return Device.model_validate({"name": "test", "warmup_ms": 0, "min_ms": 0, "max_ms": 60_000} | limits)


@pytest.mark.parametrize(
    ("runs_us", "percent"),
    [
        ([7.0] * 5, math.inf),
        ([7.0] * 6, 0.0),
        ([10.0, 60.0, 20.0, 50.0, 30.0, 40.0], 100 * 25 / 35),  # n = 6: the whole range, coverage 96.9 %
        (list(range(1, 10)), 100 * 3 / 5),  # n = 9: the 2nd and the 8th, coverage 96.1 %
        (list(range(1, 26)), 100 * 5 / 13),  # n = 25: the 8th and the 18th, coverage 95.7 %
    ],
)
def test_precision_of_the_median_known_answers(runs_us: list[float], percent: float) -> None:
    assert median_precision_percent(runs_us) == pytest.approx(percent)


def test_precision_of_the_median_ignores_outliers() -> None:
    assert median_precision_percent([1.0] * 90 + [1000.0] * 10) == 0


def test_interval_of_the_median_covers_it_as_often_as_it_says() -> None:
    """Exact binomial coverage of [x_(j+1), x_(n-j)], for the j that the precision of 0 .. n-1 reveals."""
    for n in [*range(6, 200), 500, 1000, 2000]:
        half_width = median_precision_percent(list(np.arange(n) + 1.0)) / 100 * (n + 1) / 2
        j = round((n - 1) / 2 - half_width)
        assert 1 - 2 * binom.cdf(j, n, 0.5) > 0.945, n


def test_stops_at_min_runs_when_that_is_precise_enough() -> None:
    session = SleepingSession()
    timing = time_session(session, device(warmup_runs=4, min_runs=11, precision_percent=1e9))
    assert (len(timing.runs_us), session.invoked, session.prepared) == (11, 15, 1)


def test_stops_at_max_runs_when_the_median_stays_unknown() -> None:
    timing = time_session(SleepingSession(0.05), device(min_runs=5, max_runs=40, precision_percent=1e-9))
    assert len(timing.runs_us) == 40


def test_slow_models_end_at_max_ms_before_min_runs() -> None:
    session = SleepingSession(20)
    timing = time_session(session, device(min_runs=20, max_ms=50, warmup_runs=2))
    assert 1 <= len(timing.runs_us) <= 3  # begun at 0, 20 and 40 ms or later
    assert min(timing.runs_us) >= 20_000
    assert timing.warmup_us >= 40_000
    assert timing.inference_s == pytest.approx((sum(timing.runs_us) + timing.warmup_us) / 1e6)


def test_even_one_run_over_the_limit_is_a_result() -> None:
    session = SleepingSession(20)
    assert len(time_session(session, device(max_ms=1)).runs_us) == 1
    assert session.invoked == 2


def test_fast_models_are_timed_for_min_ms() -> None:
    timing = time_session(SleepingSession(1), device(min_runs=2, min_ms=30, precision_percent=1e9))
    assert sum(timing.runs_us) >= 25_000


def test_warm_up_lasts_warmup_ms() -> None:
    assert time_session(SleepingSession(1), device(warmup_ms=15, warmup_runs=1, min_runs=1)).warmup_us >= 15_000


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_is_off_meanwhile_and_as_before_afterwards(enabled: bool) -> None:
    session = SleepingSession()
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        time_session(session, device())
        assert gc.isenabled() == enabled
    finally:
        gc.enable() if before else gc.disable()
    assert not session.garbage_collector_on


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_real_sessions(name: str) -> None:
    if name not in installed_runtimes():
        pytest.skip(available_runtimes()[name])
    runtime = RUNTIMES[name]
    session = open_session(runtime, model_bytes(feature_net(), runtime.suffix), device())
    runs_us = time_session(session, device(min_runs=20)).runs_us
    assert len(runs_us) >= 20 and min(runs_us) > 0


def test_another_batch_size_is_refused() -> None:
    with pytest.raises(HwnasError, match=r"batch = 4, the model takes an input of \(1, 3, 20, 12\)"):
        open_session(RUNTIMES["litert"], model_bytes(feature_net(), ".tflite"), device(batch=4))
