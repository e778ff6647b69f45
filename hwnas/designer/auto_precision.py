"""A design for float32 and one for int8, and whichever file is better within the budget.

int8 is no factor: a network that is fast in it may be another one than the fast one in float32, and at another
resolution. So each precision has a whole design of its own, searched with its own table, in
``RUN/precisions/PRECISION``, which can be looked at and goes on where it was stopped. Both together take about twice
the time of one. Both tables are measured, and both budgets checked, before anything is trained.

Taken is the file that gets more validation images right; of two that get as many, the faster one. A file that measures
over the budget is not taken where another one is within. The run itself holds a copy of what was taken.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.child import load_child
from hwnas.designer.closing import write_report
from hwnas.designer.config import DesignConfig, DesignProgress, without_empty
from hwnas.designer.duration import told
from hwnas.designer.prepared import PreparedDesign
from hwnas.designer.result import DesignResult, PrecisionChoice
from hwnas.designer.task import Task
from hwnas.designer.work_record import SECONDS_FILE
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.exported import EXPORT_FILE
from hwnas.files import read_json, write_atomically, write_json
from hwnas.latency.budget import InfeasibleBudget
from hwnas.latency.tables.precision import AUTO_PRECISIONS
from hwnas.report.recorded import MODELS_FOLDER, PRECISIONS_FOLDER, REPORT_FILE
from hwnas.run import RUN_FILE, Run
from hwnas.train import distributed
from hwnas.train.evaluate import accuracy
from hwnas.train.loop import open_run

LOG = logging.getLogger(__name__)

NOT_COPIED = (RUN_FILE, ".*", "checkpoint*", "threads.json", SECONDS_FILE)
"""Files of a precision's run that only it needs to go on. Folders other than that of the model files stay there too."""


def design_best(config: DesignConfig, folder: Path, report: DesignProgress, started: float) -> DesignResult:
    """Design for each precision and return the better one, with its files copied into `folder`.

    Args:
        config: whose precision is ``auto``.
        folder: the run's.
        report: told what is going on.
        started: by ``time.perf_counter``.

    Raises:
        UsageError: one latency table is named, which can only be of one precision.
        HwnasError: as `hwnas.designer.design.design`; the budget is infeasible in every precision.
    """
    if config.latency is not None:
        raise UsageError(
            f"--precision auto needs a latency table for each of {', '.join(AUTO_PRECISIONS)}, and --latency "
            f"{config.latency} is one: leave it out to have both measured or found, or say --precision PRECISION."
        )
    run = open_run(folder, without_empty(config.model_dump()))
    prepared, left_out = _prepared(config, folder, report)
    _tell_duration(prepared)
    prepared_s = time.perf_counter() - started
    designed: dict[str, DesignResult] = {}
    for precision, each in prepared.items():
        designed[precision] = each.carry_out(partial(_report_as, report, precision), time.perf_counter())
    found = distributed.from_first(lambda: _chosen(prepared, designed, left_out, _taken_before(folder)))
    taken = next(each.precision for each in found if each.taken)
    best = _of_run(designed[taken], found, folder, prepared_s + sum(each.seconds for each in designed.values()))
    distributed.from_first(lambda: _publish(best, prepared[taken].task, run, found))
    return best


def _prepared(
    config: DesignConfig, folder: Path, report: DesignProgress
) -> tuple[dict[str, PreparedDesign], list[PrecisionChoice]]:
    """The design of each precision in which the budget can be met, and why the others are left out.

    Raises InfeasibleBudget if it can be met in none.
    """
    prepared: dict[str, PreparedDesign] = {}
    left_out: list[PrecisionChoice] = []
    for precision in AUTO_PRECISIONS:
        own = config.model_copy(update={"precision": precision})
        try:
            design = PreparedDesign.of(
                own, folder / PRECISIONS_FOLDER / precision, partial(_report_as, report, precision)
            )
        except InfeasibleBudget as error:
            left_out.append(PrecisionChoice(precision, reason=str(error)))
            continue
        if design.task.table.publication:
            raise HwnasError(
                f"{config.device} is priced with a published latency table, of {precision} files alone "
                f"({design.task.table.publication}): --precision auto needs a device that is measured. Leave it out."
            )
        prepared[precision] = design
    if not prepared:
        raise InfeasibleBudget(" ".join(f"{each.precision}: {each.reason}" for each in left_out))
    for each in left_out:
        LOG.warning("%s", each)
    return prepared, left_out


def _report_as(report: DesignProgress, precision: str, stage: str, done: int, total: int, text: str) -> None:
    report(f"{precision}: {stage}", done, total, text)


def _tell_duration(prepared: Mapping[str, PreparedDesign]) -> None:
    """Say, before anything is trained, that there are two trainings, and how long both take as far as that is known."""
    seconds = {
        f"{what} in {precision}": s
        for precision, each in prepared.items()
        for what, s in each.expected_seconds().items()
    }
    if distributed.rank() > 0:
        return
    if len(prepared) > 1:
        LOG.info("%s are designed one after the other, which takes about twice as long as one", " and ".join(prepared))
    if seconds:
        LOG.info("%s", told(seconds))


def _chosen(
    prepared: Mapping[str, PreparedDesign],
    designed: Mapping[str, DesignResult],
    left_out: Sequence[PrecisionChoice],
    before: str | None,
) -> tuple[PrecisionChoice, ...]:
    """The outcome in each precision. One is chosen: that of `before`, if the run chose it once."""
    found = [_judged(prepared[precision].task, result) for precision, result in designed.items()]
    again = next((each for each in found if each.precision == before), None)
    best = again or better_file(found)
    return (*(replace(each, taken=each is best) for each in found), *left_out)


def better_file(found: Sequence[PrecisionChoice]) -> PrecisionChoice:
    """The one within the budget that gets most validation images right, of equal ones the fastest; if none is within,
    the fastest."""

    def ms(choice: PrecisionChoice) -> float:
        assert choice.measured_ms is not None
        return choice.measured_ms

    within = [each for each in found if each.status == "within"]
    if not within:
        return min(found, key=ms)
    return max(within, key=lambda each: (each.val_accuracy, -ms(each)))


def _judged(task: Task, result: DesignResult) -> PrecisionChoice:
    """The file of a design on the validation images."""
    child = load_child(result.run)
    data = task.data_at(child.architecture.input_shape[1])
    return PrecisionChoice(
        precision=task.precision,
        val_accuracy=accuracy(task.judged(child, data), data.val_batches()),
        accuracy=result.accuracy,
        measured_ms=result.measured_ms[result.runtime],
        status=result.status,
        folder=result.run,
    )


def _taken_before(folder: Path) -> str | None:
    """The precision that a finished run has taken: measured anew, another one might be a little better."""
    with suppress(HwnasError, KeyError, TypeError, AttributeError):
        return str(read_json(folder / REPORT_FILE, "the report")["precision"])
    return None


def _of_run(best: DesignResult, found: Sequence[PrecisionChoice], folder: Path, seconds: float) -> DesignResult:
    """The result of the whole run, whose files are in `folder`."""
    models = [replace(model, path=folder / MODELS_FOLDER / model.path.name) for model in best.models]
    taken = next(each for each in found if each.taken)
    others = "; ".join(str(each) for each in found if each is not taken)
    said = f"{taken.precision} of {' and '.join(AUTO_PRECISIONS)}: {taken}; {others}"
    return replace(
        best, run=folder, models=models, precisions=tuple(found), chosen=(*best.chosen, said), seconds=seconds
    )


def _publish(best: DesignResult, task: Task, run: Run, found: Sequence[PrecisionChoice]) -> None:
    """Copy what was taken into the run, so that every command takes it for that, and write its report and page."""
    source = next(each.folder for each in found if each.taken)
    assert source is not None
    skipped = shutil.ignore_patterns(*NOT_COPIED)(str(source), [path.name for path in source.iterdir()])
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in skipped:
            _copy(path, run.folder / path.name)
    _publish_models(source / MODELS_FOLDER, run.folder / MODELS_FOLDER)
    write_report(best, task, run)


def _publish_models(source: Path, models: Path) -> None:
    """Copy the model files. What a person exported of the same network stays, with its entries; files of another
    network go."""
    now, before = (_exported(folder) for folder in (source, models))
    same = before.get("weights_sha256") == now["weights_sha256"]
    others = [file for file in before.get("files", ()) if not (source / Path(file["path"]).name).exists()]
    if not same:
        for file in others:
            (models / Path(file["path"]).name).unlink(missing_ok=True)
    for path in sorted(source.rglob("*")):
        if path.is_file() and path != source / EXPORT_FILE:
            _copy(path, models / path.relative_to(source))
    # last: what is copied again after a stop still finds what a person exported
    write_json(models / EXPORT_FILE, now | {"files": [*now["files"], *(others if same else ())]})


def _copy(path: Path, to: Path) -> None:
    write_atomically(to, lambda temporary: shutil.copyfile(path, temporary))


def _exported(models: Path) -> dict[str, Any]:
    """The ``export.json`` of a folder of models; empty where there is none that can be read."""
    with suppress(HwnasError):
        found = read_json(models / EXPORT_FILE, "the export")
        if isinstance(found, dict) and all("path" in file for file in found.get("files", ())):
            return found
    return {}
