"""How many threads a training computes with, and that a run goes on with as many as it began with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json, write_json
from hwnas.train import distributed

THREADS_FILE = "threads.json"


@contextmanager
def training_threads(folder: Path, wanted: int | None = None) -> Iterator[int]:
    """Compute with so many threads here, and with as many as before afterwards. Gives their number.

    Sums of floating-point numbers depend, in their last digits, on how many threads share them. So the number is kept
    in the run folder, and a run that is continued, perhaps on another machine, computes with it.

    Args:
        folder: the run's.
        wanted: per process; None: what the run began with, and at its beginning what torch would take: the cores that
            this process may use, or OMP_NUM_THREADS.

    Raises:
        UsageError: fewer than one.
        HwnasError: the file in the run folder is damaged, or cannot be written.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"a training needs 1 thread or more, not {wanted}.")
    before = torch.get_num_threads()
    threads = distributed.from_first(lambda: _kept(folder, wanted))
    try:
        if threads != before:
            torch.set_num_threads(threads)
        yield threads
    finally:
        if threads != before:
            torch.set_num_threads(before)


def _kept(folder: Path, wanted: int | None) -> int:
    path = folder / THREADS_FILE
    if wanted is None and path.exists():
        return _read(path)
    threads = wanted or _share_of_cores()
    write_json(path, {"training_threads": threads})
    return threads


def _read(path: Path) -> int:
    kept = read_json(path, "the number of threads of this run")
    threads = kept.get("training_threads") if isinstance(kept, dict) else None
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise HwnasError(f"{path} is damaged: it holds no number of threads. Delete it, or say --train-threads.")
    return threads


def _share_of_cores() -> int:
    """What torch would take, shared out among the processes here; torchrun itself says OMP_NUM_THREADS=1."""
    if "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    return max(1, torch.get_num_threads() // distributed.processes_here())
