"""Timing one session: warm up, then time single inferences until the median is known well enough."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.runtimes.base import Runtime, Session

NS_PER_MS = 1_000_000
Z_95 = 1.96
"""The normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Timing:
    """The runs of one repetition of a model."""

    runs_us: list[float]
    """Every timed run, in the order they were made."""
    warmup_us: float
    """Duration of the untimed runs before them."""

    @property
    def inference_s(self) -> float:
        """Seconds spent inside inference, warm-up included."""
        return (sum(self.runs_us) + self.warmup_us) / 1e6


def open_session(runtime: Runtime, model: bytes | Path, device: Device) -> Session:
    """Load a model to be measured on `device`. Raises HwnasError if it does not load or is of another batch size."""
    session = runtime.load(model, device.threads)
    if session.input_shape[0] != device.batch:
        raise HwnasError(
            f"the device {device.name} is measured with batch = {device.batch}, the model takes an input of "
            f"{session.input_shape}; export it with that batch size, or correct `batch` in the device file."
        )
    return session


def fixed_input(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The input that every model of this shape is timed on: random numbers, float32, the same ones everywhere."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def time_session(session: Session, device: Device) -> Timing:
    """Time single inferences of `session` on a fixed random input, within the device's limits.

    After `warmup_runs` and `warmup_ms`, runs are timed until there are `min_runs` over `min_ms` and their median is
    known to `precision_percent`, or until `max_runs` or `max_ms`; there is always one run. Every run is kept: which of
    them to trust is decided by quantiles later, never here.
    """
    session.prepare(fixed_input(session.input_shape))
    with _garbage_collector_off():
        warmup_us = _warm_up(session.invoke, device)
        return Timing(_timed_runs_us(session.invoke, device), warmup_us)


def median_precision_percent(runs_us: list[float]) -> float:
    """Half-width of the 95 % confidence interval of the median, in percent of the median; infinite below 6 runs.

    The interval lies between two order statistics, whose ranks follow from the binomial distribution (by its normal
    approximation with continuity correction), so it holds for any distribution of latencies: W. J. Conover, *Practical
    Nonparametric Statistics*, section 3.2. It assumes independent runs; a slow change shows between repetitions.
    """
    n = len(runs_us)
    if n < 6:  # the widest interval there is, from the smallest to the largest of 5 runs, covers less than 95 %
        return math.inf
    ordered = np.sort(runs_us)
    low = math.floor((n - 1 - Z_95 * math.sqrt(n)) / 2)
    return float(100 * (ordered[n - 1 - low] - ordered[low]) / 2 / np.median(ordered))


def _warm_up(invoke: Callable[[], None], device: Device) -> float:
    begin = perf_counter_ns()
    runs, elapsed_ms = 0, 0.0
    while (runs < device.warmup_runs or elapsed_ms < device.warmup_ms) and elapsed_ms < device.max_ms:
        invoke()
        runs += 1
        elapsed_ms = (perf_counter_ns() - begin) / NS_PER_MS
    return 1000 * elapsed_ms


def _timed_runs_us(invoke: Callable[[], None], device: Device) -> list[float]:
    runs_us: list[float] = []
    start = now = perf_counter_ns()
    latest = start + device.max_ms * NS_PER_MS
    next_check = device.min_runs
    while len(runs_us) < device.max_runs and now < latest:
        begin = perf_counter_ns()
        invoke()
        now = perf_counter_ns()
        runs_us.append((now - begin) / 1000)
        if len(runs_us) >= next_check:
            next_check += max(10, len(runs_us) // 4)  # sorting after every run would cost more than a short run does
            if now - start >= device.min_ms * NS_PER_MS and (
                median_precision_percent(runs_us) <= device.precision_percent
            ):
                break
    return runs_us


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    """A collection in the middle of a run would be timed with it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
