"""The PreparedDesign: a Task and its run folder, from the search to the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hwnas.child import ChildNetwork
from hwnas.designer.begun_latencies import keep
from hwnas.designer.closing import finish, write_report
from hwnas.designer.comparison import compare, kept_candidates
from hwnas.designer.config import DesignConfig, DesignProgress
from hwnas.designer.duration import expected_seconds, planned
from hwnas.designer.int8_finetuning import FINE_TUNED_FOLDER, suited_to_int8
from hwnas.designer.result import DesignResult, Int8FineTuning
from hwnas.designer.task import Task
from hwnas.designer.work_record import Clock, as_derived_before
from hwnas.run import Run
from hwnas.searches.frontier import frontier
from hwnas.searches.result import SearchResult
from hwnas.train import distributed
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.loop import CHECKPOINT_FILE, TrainingProgress, open_run
from hwnas.train.threads import training_threads
from hwnas.train.weights import WeightSettings

RETRAINED_FOLDER = "retrained"


@dataclass(frozen=True)
class PreparedDesign:
    """A task whose every part is known and checked, and the folder of its run."""

    task: Task
    run: Run

    @staticmethod
    def of(config: DesignConfig, folder: Path, report: DesignProgress) -> PreparedDesign:
        """Measure and fit what is needed, and open the run, new or as it was left. Raises as `Task.of` and `Run`."""
        task = Task.of(config, report, folder)
        run = open_run(folder, task.resolved())
        kept = distributed.from_first(lambda: keep(run.folder, task.predictor, task.table))
        return PreparedDesign(replace(task, predictor=kept, further=task.further.kept(run.folder)), run)

    def expected_seconds(self) -> dict[str, float]:
        """Seconds by the name of each training, all still to be done; empty for a run that has begun, and for searches
        whose steps cannot be timed before (`hwnas.designer.duration.planned`)."""
        task, run = self.task, self.run
        if distributed.from_first((run.folder / CHECKPOINT_FILE).exists):  # which may be on its disk alone
            return {}
        with training_threads(run.folder, task.config.train_threads):
            rivals = distributed.from_first(lambda: kept_candidates(task, run.folder)) if task.compares else []
            plan = planned(task.problem, task.settings, rivals)
            return expected_seconds(plan, task.problem, task.settings)  # a step waits for all processes

    def carry_out(self, report: DesignProgress, started: float) -> DesignResult:
        """Search, export, measure and write the report. In several processes all return the same.

        `started`: by ``time.perf_counter``, when the work on it began: what it took is in the report.
        """
        task, run = self.task, self.run
        clock = Clock(run.folder, started)
        report = clock.ticking(report)

        def on_step(done: int, total: int, now: dict[str, float]) -> None:
            figures = (f"{name.replace('_', ' ')} {value:.3g}" for name, value in now.items())
            report("search", done, total, ", ".join(figures))

        with training_threads(run.folder, task.config.train_threads) as threads:
            result = task.method.search(task.problem, run, on_step, task.settings)
            results: list[SearchResult] = []
            if task.config.frontier:  # a smaller budget's network may turn out better than the one of the largest
                result, *results = frontier(result, (task.budget_ms, *task.frontier_ms))
                results = [result] * (task.budget_ms in task.frontier_ms) + results
            result, *results = as_derived_before(run.folder, [result, *results])
            child_of = _Children(task, run, on_step)
            if task.config.retrain or task.precision == "int8":  # by all processes; what follows, the first one does
                for found in (result, *results):
                    child_of(found)
            rivals = compare(task, run.folder, report) if task.compares else []
            designed = distributed.from_first(lambda: finish(task, run, result, results, child_of, rivals, report))
        designed = replace(
            designed,
            seconds=clock.seconds,
            training_threads=threads.count,
            int8_fine_tuning=child_of.fine_tuned.get(designed.architecture.digest),
        )
        distributed.from_first(lambda: write_report(designed, task, run))
        clock.write()
        return designed


class _Children:
    """The trained child of a search's result. Budgets that lead to one architecture share it."""

    def __init__(self, task: Task, run: Run, on_step: TrainingProgress) -> None:
        self._task, self._run, self._on_step = task, run, on_step
        self._weights = task.settings if isinstance(task.settings, WeightSettings | FineTuningSettings) else None
        self._made: dict[str, ChildNetwork] = {}
        self.fine_tuned: dict[str, Int8FineTuning] = {}
        """By the architecture's digest, of those whose int8 files lost too much."""

    def __call__(self, found: SearchResult) -> ChildNetwork:
        """With the weights it inherits, or with weights of its own if that is wanted; suited to int8 if it is for it.

        What must be trained for that, all processes train together, when it is first asked for.
        """
        digest = found.architecture.digest
        if digest not in self._made:
            child = self._trained(found, digest)
            folder = self._run.folder / FINE_TUNED_FOLDER / digest[:12]
            self._made[digest], tuned = suited_to_int8(self._task, child, self._task.data, folder, self._on_step)
            if tuned is not None:
                self.fine_tuned[digest] = tuned
        return self._made[digest]

    def _trained(self, found: SearchResult, digest: str) -> ChildNetwork:
        if not self._task.config.retrain:
            return found.derive()
        return found.retrain(self._run.folder / RETRAINED_FOLDER / digest[:12], self._on_step, self._weights)
