"""How many threads a training computes with: what is asked for, what the run began with, or the fastest number."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor

from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json, write_json
from hwnas.random_state import own_random_state
from hwnas.train import distributed

THREADS_FILE = "threads.json"

ROUNDS = 5
"""Steps that are timed with each number of threads; one before them warms up."""

HOPELESS = 3.0
"""How many times the seconds of the shortest first step a number may take and still be tried again."""

MEASURING_S = 5.0
"""After so many seconds the round that has begun is the last one."""

WORTH_STEPS = 20
"""A shorter training is over before a choice would help, and has one thread."""

TIE = 1.05
"""How much longer a step may take with fewer threads than with the fastest number: they leave cores to others."""


class Steps(Protocol):
    """A training that can be timed, since its state can be put back."""

    step_count: int
    total_steps: int

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TrainingThreads:
    """The number of threads of a run's trainings, which may be chosen only when its first training begins.

    Attributes:
        count: threads per process.
        settled: whether torch computes with them already.
    """

    def __init__(self, folder: Path, wanted: int | None) -> None:
        self._path = folder / THREADS_FILE
        self._most = max(1, torch.get_num_threads() // distributed.processes_here())
        count, measured = distributed.from_first(lambda: self._kept(wanted))
        self._chosen = count is not None
        self.count = count or 1
        self.settled = not measured

    def settle(self, trainer: Steps, first_batch: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Compute with `count` threads from now on; choose them by timing steps if the run has no number yet."""
        if not self._chosen and trainer.step_count < trainer.total_steps:
            counts = distributed.from_first(lambda: self._candidates(trainer))
            seconds = _step_seconds(trainer, first_batch(), counts) if len(counts) > 1 else {}
            self.count = distributed.from_first(lambda: self._choose(counts, seconds))
            self._chosen = True
        torch.set_num_threads(self.count)
        self.settled = True

    def _candidates(self, trainer: Steps) -> list[int]:
        """The numbers to time; a single one where there is no choice, or no time for it."""
        if trainer.step_count > 0 or trainer.total_steps < WORTH_STEPS:
            return [1]
        return sorted({1, max(1, self._most // 2), self._most})

    def _choose(self, counts: Sequence[int], seconds: Mapping[int, float]) -> int:
        """The fastest number, kept in the run folder and said."""
        count = fastest(seconds) if seconds else counts[0]
        write_json(self._path, {"training_threads": count, "seconds_per_step": {str(n): seconds[n] for n in seconds}})
        if seconds:
            steps = [f"{1 / s:.3g} steps/s with {n} thread{'s' * (n > 1)}" for n, s in seconds.items()]
            logging.getLogger(__name__).info(
                "Training with %d thread%s per process: %s.", count, "s" * (count > 1), ", ".join(steps)
            )
        return count

    def _kept(self, wanted: int | None) -> tuple[int | None, bool]:
        """The number of threads, None where it is to be chosen, and whether it is, or was, chosen by timing steps."""
        if wanted is None and self._path.exists():
            return _read(self._path)
        if wanted is None and "OMP_NUM_THREADS" not in os.environ:
            return None, True
        count = wanted or torch.get_num_threads()
        write_json(self._path, {"training_threads": count})
        return count, False


_current: TrainingThreads | None = None
"""Those of the run that is at work."""


@contextmanager
def training_threads(folder: Path, wanted: int | None = None) -> Iterator[TrainingThreads]:
    """Train with one number of threads here, and compute with as many as before afterwards.

    Sums of floating-point numbers depend, in their last digits, on how many threads share them. So the number is kept
    in the run folder, and a run that is continued, perhaps on another machine, computes with it. Where it is chosen by
    timing steps, everything before the first training is computed by one thread, now and when the run goes on.

    Args:
        folder: the run's.
        wanted: per process; None: what the run began with; at its beginning OMP_NUM_THREADS, else the fastest of one
            thread, half of the cores that this process may use, and all of them, which the first training times.

    Raises:
        UsageError: fewer than one.
        HwnasError: the file in the run folder is damaged, or cannot be written.
    """
    global _current
    if wanted is not None and wanted < 1:
        raise UsageError(f"a training needs 1 thread or more, not {wanted}.")
    before, outer = torch.get_num_threads(), _current
    _current = TrainingThreads(folder, wanted)
    try:
        torch.set_num_threads(_current.count if _current.settled else 1)
        yield _current
    finally:
        _current = outer
        torch.set_num_threads(before)


def settle_threads(trainer: Steps, first_batch: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Where a run trains that has no number of threads yet, choose it; it is that of all its trainings.

    Args:
        trainer: what is trained; its state, and torch's random numbers, are afterwards as before.
        first_batch: gives the images (N, C, H, W) and labels (N,) that steps are timed with.
    """
    if _current is not None and not _current.settled:
        _current.settle(trainer, first_batch)


def fastest(seconds: Mapping[int, float]) -> int:
    """The number of threads with the shortest step; of those that are about as fast, the fewest."""
    shortest = min(seconds.values())
    return min(count for count, s in seconds.items() if s <= TIE * shortest)


def _step_seconds(trainer: Steps, batch: tuple[Tensor, Tensor], counts: Sequence[int]) -> dict[int, float]:
    """The median seconds of the trainer's next step by the number of threads, taken in turn.

    It is one step again and again: each starts from the state that the trainer is in now, and draws the same path. On
    a busy machine a step of many threads can take half a minute: a number that is far behind is not tried again.
    """
    state = copy.deepcopy(trainer.state_dict())

    def step_s(count: int) -> float:
        torch.set_num_threads(count)
        begun = time.perf_counter()
        trainer.step(*batch)
        taken = time.perf_counter() - begun
        trainer.load_state_dict(copy.deepcopy(state))
        return taken

    started = time.perf_counter()
    with own_random_state():
        # the first process decides which steps are made: in each of them all processes wait for each other
        first = {count: step_s(count) for count in counts}
        left = distributed.from_first(lambda: [n for n in counts if first[n] <= HOPELESS * min(first.values())])
        seconds: dict[int, list[float]] = {count: [] for count in left}
        for _ in range(ROUNDS if len(left) > 1 else 0):
            for count in left:
                seconds[count].append(step_s(count))
            if distributed.from_first(lambda: time.perf_counter() - started > MEASURING_S):
                break
    return {count: median(seconds.get(count) or [first[count]]) for count in counts}


def _read(path: Path) -> tuple[int, bool]:
    """The number of threads of a run, and whether it was chosen by timing steps."""
    kept = read_json(path, "the number of threads of this run")
    threads = kept.get("training_threads") if isinstance(kept, dict) else None
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise HwnasError(f"{path} is damaged: it holds no number of threads. Delete it, or say --train-threads.")
    return threads, "seconds_per_step" in kept
