"""The end of a design: the network that is returned is exported, measured, judged and written down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from hwnas.child import ChildNetwork, load_child, save_child
from hwnas.designer.comparison import better_than, compared
from hwnas.designer.config import DesignProgress
from hwnas.designer.final import FinalMeasurement, measure_models, usual_us_of
from hwnas.designer.judged import hint_of_loss
from hwnas.designer.limit_records import LimitRecord, counted_of, record_of
from hwnas.designer.result import DesignResult, Rival
from hwnas.designer.task import Task
from hwnas.errors import HwnasError
from hwnas.exporter.export import ExportOptions, export
from hwnas.exporter.exported import ExportedModel
from hwnas.files import read_json, write_json
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.wanted_budget import hint_above_slowest
from hwnas.pricing import price_of
from hwnas.report.model_card import write_model_card
from hwnas.report.pictures import save_search_picture
from hwnas.report.recorded import FOUND, MISTAKES_FILE, MODELS_FOLDER, REPORT_FILE
from hwnas.report.written import rewrite_page
from hwnas.run import SEARCHED_FOLDER, Run
from hwnas.runners import runtime_format
from hwnas.searches.frontier import save_frontier
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture
from hwnas.train.confusion import confusion
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy
from hwnas.train.export_images import export_images

LOG = logging.getLogger(__name__)

PRECISIONS = ("float32", "int8")
"""Of the files that every design has."""
MOST_CLASSES = 1000
"""With more, which class is taken for which is not kept: it would be the most of the report."""
BUDGET_PICTURE = "budget_following.png"

Children = Callable[[SearchResult], ChildNetwork]
"""The trained child of a search's result."""


@dataclass(frozen=True)
class Closed:
    """A network whose files are written and measured, and the images that they are for."""

    child: ChildNetwork
    data: ImageData
    models: list[ExportedModel]
    final: FinalMeasurement
    further_ms: dict[str, float]
    """By the names of further devices: the ms of the file that their budgets are for."""


def finish(
    task: Task,
    run: Run,
    result: SearchResult,
    results: Sequence[SearchResult],
    child_of: Children,
    rivals: Sequence[Rival],
    report: DesignProgress,
) -> DesignResult:
    """Export the network that is returned, measure it, and judge it and its frontier.

    It is the one that the search found, unless one of `rivals` is better and its files are within the budget.
    """
    save_search_picture(run.metrics(), task.budget_ms, run.folder / BUDGET_PICTURE)
    closed, found, better = _best(task, run, result, child_of(result), rivals, report)

    def fair_accuracy(child: ChildNetwork) -> float:
        return accuracy(task.judged(child, task.data), task.data.test_batches(not task.data.some_are_leaked))

    leaks, judged = closed.data.some_are_leaked, task.judged(closed.child, closed.data)
    rounded = task.precision != USUAL_PRECISION
    kept = _status_and_limits(_records(task, closed, None if better else result.architecture))
    of_the_space = {} if better else _of_the_space(task, result)
    return DesignResult(
        config=task.config,
        budget_ms=task.budget_ms,
        budget_hint=hint_above_slowest(task.budget),
        runtime=task.runtime,
        architecture=closed.child.architecture,
        drift_percent=closed.final.drift_percent(task.table, task.runtime),
        measured_ms=closed.final.measured_ms,
        precision=task.precision,
        accuracy=accuracy(judged, closed.data.test_batches()),
        accuracy_without_leaked=accuracy(judged, closed.data.test_batches(False)) if leaks else None,
        float_accuracy=accuracy(closed.child, closed.data.test_batches()) if rounded else None,
        precision_hint=hint_of_loss(closed.models, task.precision),
        data_warnings=task.data.findings.warnings(),
        models=closed.models,
        run=run.folder,
        seconds=0.0,  # not over yet
        conditions=closed.final.conditions,
        chosen=task.chosen,
        publication=task.table.publication,
        frontier=tuple(save_frontier(results, run.folder, child_of, fair_accuracy)),
        val_accuracy=(better or found).val_accuracy if found else None,
        found_against=tuple(rivals),
        returned=better.network if better else FOUND,
        searched=found if better else None,
        files_ms=closed.final.files_ms,
        **kept,
        **of_the_space,
    )


def _best(
    task: Task, run: Run, result: SearchResult, own: ChildNetwork, rivals: Sequence[Rival], report: DesignProgress
) -> tuple[Closed, Rival | None, Rival | None]:
    """The network that is returned, with its files; the search's own as it is compared; and the rival that beat it."""
    found = None
    if rivals:
        found = compared(own, task.judged(own, task.data), FOUND, 1.0, task.data, run.folder / SEARCHED_FOLDER)
    better = _kept(run, rivals, better_than(found, rivals)) if found else None
    closed = _returned(task, run, better, report) if better else None
    if closed is None or better is None:
        return _close(own, task.data, task, run, report), found, None
    if found is not None:
        save_child(own, found.folder)
        found = replace(found, measured_ms=task.measured_ms(result.architecture))
    return closed, found, better


def _kept(run: Run, rivals: Sequence[Rival], better: Rival | None) -> Rival | None:
    """The network that this run returned before, if it did; else the one that is better now."""
    before = _before(run)
    return better if before is None else next((rival for rival in rivals if rival.network == before), None)


def _before(run: Run) -> str | None:
    """The network that a run which was finished once returned; None: it was not."""
    path = run.folder / REPORT_FILE
    return read_json(path, "the report").get("returned") if path.is_file() else None


def _of_the_space(task: Task, result: SearchResult) -> dict[str, Any]:
    """The figures that are known only of a network of the searched space."""
    return {
        "prediction": task.predictor.predict(result.architecture),
        "price": price_of(result.architecture, task.table, task.predictor),
        "is_fastest": result.architecture == task.predictor.extremes(task.space)[0],
        "derivation": result.derivation,
    }


def _returned(task: Task, run: Run, better: Rival, report: DesignProgress) -> Closed | None:
    """A known network instead of the one that was found; None if its files are over the budget after all.

    What the run returned before it returns again: measured anew, files may be over the budget that were within it.
    """
    closed = _close(load_child(better.folder), task.data_at(better.resolution), task, run, report)
    if _before(run) == better.network or all(each.status != "over" for each in _records(task, closed, None)):
        return closed
    LOG.warning(
        "%s got more validation images right than the network that was found, but is over a budget as measured now",
        better.network,
    )
    return None


def _close(child: ChildNetwork, data: ImageData, task: Task, run: Run, report: DesignProgress) -> Closed:
    models = _export(child, data, task, run, report)
    measured = [] if task.table.publication else models
    final = measure_models(measured, task.device, task.runtime, report, usual_us=usual_us_of(task.table))
    further_ms: dict[str, float] = {}
    for target in filter(lambda target: target.is_measured, task.further.targets):
        place = target.place
        own = [m for m in models if m.precision == task.precision and m.format == runtime_format(place.runtime)]
        usual_us = usual_us_of(target.table)
        found = measure_models(own, place.device, place.runtime, report, everywhere=False, usual_us=usual_us)
        further_ms[target.name] = found.measured_ms[place.runtime]
        if place.device.name == task.device.name:  # of this device the more careful measurement counts everywhere
            final = final.with_further(found)
    return Closed(child, data, models, final, further_ms)


def _status_and_limits(records: Sequence[LimitRecord]) -> dict[str, Any]:
    """Over if any limit is exceeded, else as the first budget is; the limits, where there are several."""
    status = "over" if any(each.status == "over" for each in records) else records[0].status
    return {"status": status, "limits": tuple(records) if len(records) > 1 else ()}


def _records(task: Task, closed: Closed, found: Architecture | None) -> list[LimitRecord]:
    """How much of each limit is taken, the budget's first; `found`: the network, if it is of the space."""
    own, *further = task.budget.limits
    records = [record_of(own, found, closed.final.measured_ms.get(task.runtime), task.table.publication)]
    sources = {target.name: target.table.publication for target in task.further.targets}
    for limit in further:
        if limit.name in sources:
            records.append(record_of(limit, found, closed.further_ms.get(limit.name), sources[limit.name]))
        else:
            counted = (
                None if task.is_proxy else counted_of(limit, closed.child.architecture, closed.models, task.precision)
            )
            records.append(record_of(limit, found, counted))
    return records


def _export(child: ChildNetwork, data: ImageData, task: Task, run: Run, report: DesignProgress) -> list[ExportedModel]:
    """Save the child, and its model files unless it only stands for the network that was priced."""
    save_child(child, run.folder)
    if task.is_proxy:
        return []
    # with the images, the files carry labels and preprocessing, and their accuracy is known
    images, options = export_images(data), ExportOptions(list_noisy_layers=False)
    export_as = partial(export, child, run.folder / MODELS_FOLDER, images=images, options=options, progress=report)
    precisions = tuple(dict.fromkeys([task.precision, *PRECISIONS]))
    try:
        return export_as(precisions=precisions)
    except HwnasError as error:  # a package is missing, or weights cannot be rounded: what was found is kept
        if task.precision == "int8":
            raise
        models = export_as(precisions=[name for name in precisions if name != "int8"])
        LOG.warning("exported without int8: %s", error)
        return models


def write_report(found: DesignResult, task: Task, run: Run) -> None:
    """report.json, the card beside the model files, and the page."""
    data = task.data_at(found.architecture.input_shape[1])
    described = found.to_json() | _data_json(data) | {"card": task.predictor.card.to_json()}
    answers = confusion(task.judged(load_child(run.folder), data), data)
    counts = answers.counts if len(data.classes) <= MOST_CLASSES else []
    described |= {"method": task.config.method, "epochs": task.config.epochs, "confusion": counts}
    write_json(run.folder / MISTAKES_FILE, answers.mistakes_json())
    write_json(run.folder / REPORT_FILE, described)
    if found.models:
        write_model_card(run.folder / MODELS_FOLDER, described)
    rewrite_page(run.folder)


def _data_json(data: ImageData) -> dict[str, Any]:
    """The preprocessing and classes that an app needs, and the images that were left out."""
    return {
        "classes": list(data.classes),
        "preprocessing": {"resolution": data.resolution} | data.preprocessing.to_json(),
        "images": data.counts,
        "skipped": {folder: asdict(skipped) for folder, skipped in data.skipped.items()},
        "data": data.findings.to_json() | {"digest": data.digest},
    }
