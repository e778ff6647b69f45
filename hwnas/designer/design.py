"""Design: from a folder of images and a budget in ms to model files that were measured to meet it.

measure -> fit -> search under the budget -> export -> measure again -> within or over
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.child import ChildNetwork, save_child
from hwnas.designer.config import DesignConfig, DesignProgress, default_folder
from hwnas.designer.final import measure_models, usual_us_of
from hwnas.designer.result import DesignResult
from hwnas.designer.task import Task
from hwnas.errors import HwnasError
from hwnas.exporter.export import ExportOptions, export
from hwnas.exporter.exported import ExportedModel
from hwnas.files import read_json, write_json
from hwnas.latency.predictor import LatencyPredictor
from hwnas.pricing import price_of
from hwnas.progress import silent
from hwnas.report.model_card import write_model_card
from hwnas.report.pictures import save_search_picture
from hwnas.report.search_page import write_search_page
from hwnas.run import Run
from hwnas.searches.frontier import frontier, save_frontier
from hwnas.searches.result import SearchResult
from hwnas.searches.single_path import INDICATORS_FILE
from hwnas.train import distributed
from hwnas.train.data import ImageData
from hwnas.train.evaluate import accuracy
from hwnas.train.export_images import export_images
from hwnas.train.loop import open_run
from hwnas.train.threads import training_threads
from hwnas.train.weights import WeightSettings

REPORT_FILE, PREDICTOR_FILE = "report.json", "predictor.json"
MODELS_FOLDER, RETRAINED_FOLDER = "models", "retrained"
PRECISIONS = ("float32", "int8")
"""Of the files; the budget is for the first."""
BUDGET_PICTURE = "budget_following.png"

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
    task = Task.of(config, report)
    run = open_run(out or default_folder(config), task.resolved())
    kept = distributed.from_first(lambda: _kept_predictor(task, run.folder / PREDICTOR_FILE))
    task = replace(task, predictor=kept)

    def on_step(done: int, total: int, now: dict[str, float]) -> None:
        report("search", done, total, ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in now.items()))

    with training_threads(run.folder, config.train_threads) as threads:
        result = task.method.search(task.problem, run, on_step, task.settings)
        results = frontier(result, config.frontier)
        child_of = _Children(task, run, on_step)
        if config.retrain:  # by all processes; what follows, the first one does
            for found in (result, *results):
                child_of(found)
        designed = distributed.from_first(lambda: _finish(task, run, result, results, child_of, report))
    designed = replace(designed, seconds=time.perf_counter() - started, training_threads=threads.count)
    distributed.from_first(lambda: _write_report(designed, task, run))
    return designed


def _finish(
    task: Task,
    run: Run,
    result: SearchResult,
    results: Sequence[SearchResult],
    child_of: _Children,
    report: DesignProgress,
) -> DesignResult:
    """Export what was found, measure it, and judge it and its frontier."""
    config = task.config
    save_search_picture(run.metrics(), config.budget_ms, run.folder / BUDGET_PICTURE)
    models = _export(child_of(result), task, run, report)
    final = measure_models(models, task.device, task.runtime, report, usual_us=usual_us_of(task.table))

    def test_accuracy(child: ChildNetwork, leaked: bool = True) -> float:
        return accuracy(child, task.data.test_batches(leaked))

    def fair_accuracy(child: ChildNetwork) -> float:
        return test_accuracy(child, leaked=not task.data.some_are_leaked)

    best = child_of(result)
    test_share = test_accuracy(best)
    return DesignResult(
        config=config,
        runtime=task.runtime,
        status=final.status(task.runtime, config.budget_ms),
        architecture=result.architecture,
        prediction=task.predictor.predict(result.architecture),
        drift_percent=final.drift_percent(task.table, task.runtime),
        is_fastest=result.architecture == task.predictor.extremes(task.space)[0],
        measured_ms=final.measured_ms,
        accuracy=test_share,
        accuracy_without_leaked=test_accuracy(best, leaked=False) if task.data.some_are_leaked else None,
        data_warnings=task.data.findings.warnings(),
        models=models,
        run=run.folder,
        seconds=0.0,  # not over yet
        conditions=final.conditions,
        price=price_of(result.architecture, task.table, task.predictor),
        publication=task.table.publication,
        frontier=tuple(save_frontier(results, run.folder, child_of, fair_accuracy)),
        files_ms=final.files_ms,
    )


def _kept_predictor(task: Task, path: Path) -> LatencyPredictor:
    """The predictor that the run began with: a fit to the same numbers differs in its last digits on other threads."""
    with suppress(HwnasError):  # it is not there yet, or damaged, and then made again from the same table
        return task.predictor.saved(path)
    task.predictor.save(path)
    return task.predictor.saved(path)


def _export(child: ChildNetwork, task: Task, run: Run, report: DesignProgress) -> list[ExportedModel]:
    """Save the child, and its model files where there is a device to measure them on."""
    save_child(child, run.folder)
    if task.table.publication:
        return []
    # with the images, the files carry labels and preprocessing, and their accuracy is known
    images, options = export_images(task.data), ExportOptions(list_noisy_layers=False)
    export_as = partial(export, child, run.folder / MODELS_FOLDER, images=images, options=options, progress=report)
    try:
        return export_as(precisions=PRECISIONS)
    except HwnasError as error:  # a package is missing, or weights cannot be rounded: what was found is kept
        models = export_as(precisions=PRECISIONS[:1])
        logging.getLogger(__name__).warning("exported without int8: %s", error)
        return models


def _write_report(found: DesignResult, task: Task, run: Run) -> None:
    """report.json, the card beside the model files, and the page."""
    described = found.to_json() | _data_json(task.data) | {"card": task.predictor.card.to_json()}
    described |= {"method": task.config.method, "epochs": task.config.epochs}
    write_json(run.folder / REPORT_FILE, described)
    if found.models:
        write_model_card(run.folder / MODELS_FOLDER, described)
    indicators = run.folder / INDICATORS_FILE
    recorded = read_json(indicators, "the run's indicators") if indicators.is_file() else []
    write_search_page(run.folder, described, task.space, recorded, run.folder / BUDGET_PICTURE)


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


def _data_json(data: ImageData) -> dict[str, Any]:
    """What an app must know of the images, and what was left out of them."""
    return {
        "classes": list(data.classes),
        "preprocessing": {"resolution": data.resolution} | data.preprocessing.to_json(),
        "images": data.counts,
        "skipped": {folder: asdict(skipped) for folder, skipped in data.skipped.items()},
        "data": data.findings.to_json() | {"digest": data.digest},
    }
