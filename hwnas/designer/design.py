"""Design: from a folder of images and a budget in ms to model files that were measured to meet it.

measure -> fit -> search under the budget -> export -> measure again -> within or over
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hwnas.child import ChildNetwork
from hwnas.designer.closing import finish, write_report
from hwnas.designer.comparison import compare, kept_candidates
from hwnas.designer.config import DesignConfig, DesignProgress, default_folder
from hwnas.designer.duration import expected_seconds, planned, told
from hwnas.designer.result import DesignResult
from hwnas.designer.task import Task
from hwnas.errors import HwnasError
from hwnas.latency.predictor import LatencyPredictor
from hwnas.progress import silent
from hwnas.run import Run
from hwnas.searches.frontier import frontier
from hwnas.searches.result import SearchResult
from hwnas.train import distributed
from hwnas.train.loop import CHECKPOINT_FILE, open_run
from hwnas.train.threads import training_threads
from hwnas.train.weights import WeightSettings

LOG = logging.getLogger(__name__)

PREDICTOR_FILE, RETRAINED_FOLDER = "predictor.json", "retrained"

Step = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, the newest figures)."""


def design(config: DesignConfig, out: Path | str | None = None, progress: DesignProgress | None = None) -> DesignResult:
    """Design a network for one device and one deadline.

    Repeated with the same configuration and folder, it goes on where it was stopped. With a published latency table
    nothing is measured: what is found and predicted is saved, with its weights, and no model files are written.
    In several processes, under ``torchrun``, all train one network; the first one measures, exports and writes, and all
    return the same.

    Args:
        config: what is wanted.
        out: the run folder; None: a name made of the configuration, in ``runs``.
        progress: told what is going on.

    Raises:
        UsageError: an unknown name or a value out of range.
        HwnasError: infeasible budget, unusable images or table, a device that cannot be reached, a run folder of
            something else, a full disk.
    """
    started = time.perf_counter()
    distributed.join(config.torch_device)
    report = progress if progress is not None and distributed.rank() == 0 else silent
    folder = Path(out or default_folder(config))
    task = Task.of(config, report, folder)
    run = open_run(folder, task.resolved())
    kept = distributed.from_first(lambda: _kept_predictor(task, run.folder / PREDICTOR_FILE))
    task = replace(task, predictor=kept, further=task.further.kept(run.folder))

    def on_step(done: int, total: int, now: dict[str, float]) -> None:
        report("search", done, total, ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in now.items()))

    with training_threads(run.folder, config.train_threads) as threads:
        if not (run.folder / CHECKPOINT_FILE).exists():
            _tell_duration(task, run)
        result = task.method.search(task.problem, run, on_step, task.settings)
        results: list[SearchResult] = []
        if config.frontier:  # a smaller budget's network may turn out better than the one of the largest
            result, *results = frontier(result, (task.budget_ms, *task.frontier_ms))
            results = [result] * (task.budget_ms in task.frontier_ms) + results
        child_of = _Children(task, run, on_step)
        if config.retrain:  # by all processes; what follows, the first one does
            for found in (result, *results):
                child_of(found)
        rivals = compare(task, run.folder, report) if task.compares else []
        designed = distributed.from_first(lambda: finish(task, run, result, results, child_of, rivals, report))
    designed = replace(designed, seconds=time.perf_counter() - started, training_threads=threads.count)
    distributed.from_first(lambda: write_report(designed, task, run))
    return designed


def _tell_duration(task: Task, run: Run) -> None:
    """Say how long the trainings will take, before they begin."""
    rivals = distributed.from_first(lambda: kept_candidates(task, run.folder)) if task.compares else []
    plan = planned(task.problem, task.settings, rivals)
    seconds = expected_seconds(plan, task.problem, task.settings)  # by all processes: a step waits for all of them
    if plan and distributed.rank() == 0:
        LOG.info("%s", told(seconds))


def _kept_predictor(task: Task, path: Path) -> LatencyPredictor:
    """The predictor that the run began with: a fit to the same numbers differs in its last digits on other threads."""
    with suppress(HwnasError):  # it is not there yet, or damaged, and then made again from the same table
        return task.predictor.saved(path)
    task.predictor.save(path)
    return task.predictor.saved(path)


class _Children:
    """The trained child of what was found. Budgets that lead to one architecture share it."""

    def __init__(self, task: Task, run: Run, on_step: Step) -> None:
        self._retrain, self._run, self._on_step = task.config.retrain, run, on_step
        self._weights = task.settings if isinstance(task.settings, WeightSettings) else None
        self._made: dict[str, ChildNetwork] = {}

    def __call__(self, found: SearchResult) -> ChildNetwork:
        """With the weights it inherits, or with weights of its own if that is wanted."""
        digest = found.architecture.digest
        if digest not in self._made and self._retrain:
            folder = self._run.folder / RETRAINED_FOLDER / digest[:12]
            self._made[digest] = found.retrain(folder, self._on_step, self._weights)
        elif digest not in self._made:
            self._made[digest] = found.derive()
        return self._made[digest]
