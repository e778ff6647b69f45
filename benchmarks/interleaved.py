"""Latencies of several model files, so measured that their ratios can be trusted on a machine that is busy.

The files run in turns within one process, in random order: a busy moment hits all of them. And all are loaded anew in
every round: where weights happen to lie in memory changes the latency of one file by some percent for as long as it is
loaded.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from hwnas.runtimes import Session

ROUND_MS = 250.0
"""How long every file runs per round, about."""

TURNS = (8, 200)
"""Fewest and most runs of every file per round."""


class ChannelFirst:
    """A session on a .tflite that keeps images as NCHW, which sessions take for NHWC: this one undoes that."""

    def __init__(self, session: Session) -> None:
        self._session = session
        batch, width, channels, height = session.input_shape
        self.input_shape = (batch, channels, height, width)

    def prepare(self, x: np.ndarray) -> None:
        self._session.prepare(x.transpose(0, 3, 1, 2))

    def invoke(self) -> None:
        self._session.invoke()

    def run(self, x: np.ndarray) -> np.ndarray:
        y = self._session.run(x.transpose(0, 3, 1, 2))
        return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def interleaved_ms(files: dict[str, Callable[[], Session]], x: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Median latency of every file in every round.

    Args:
        files: Name -> what loads the file.
        x: Input of all of them, float32 NCHW.
        rounds: How often all are loaded anew.

    Returns:
        Name -> milliseconds of one inference, one number per round.
    """
    order = random.Random(0)
    medians_ms: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        sessions = {name: load() for name, load in files.items()}
        slowest_ms = 0.0
        for session in sessions.values():
            session.prepare(x)
            session.invoke()
            slowest_ms = max(slowest_ms, _run_ms(session))
        turns = int(min(max(TURNS[0], ROUND_MS / slowest_ms), TURNS[1]))
        runs_ms: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(turns):
            for name in order.sample(list(files), len(files)):
                runs_ms[name].append(_run_ms(sessions[name]))
        for name, values in runs_ms.items():
            medians_ms[name].append(statistics.median(values))
    return medians_ms


def _run_ms(session: Session) -> float:
    start = time.perf_counter_ns()
    session.invoke()
    return (time.perf_counter_ns() - start) / 1e6
