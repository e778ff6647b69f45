"""Design: from a folder of images and a budget in ms to model files that were measured to meet it.

measure -> fit -> search under the budget -> export -> measure again -> within or over
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hwnas.callable_package import make_callable
from hwnas.child import ChildNetwork, save_child
from hwnas.errors import HwnasError
from hwnas.export import ExportedModel, export
from hwnas.files import read_json, write_json
from hwnas.latency import Budget, LatencyTable, Prediction, fit
from hwnas.latency.stand_in import published_predictor
from hwnas.measure import (
    Device,
    Measurement,
    bench,
    check_same,
    current_conditions,
    load_device,
    measure,
    network_model,
    reference_model,
)
from hwnas.measure import Progress as Visit
from hwnas.pricing import Price, price_of
from hwnas.report.model_card import write_model_card
from hwnas.report.pictures import save_search_picture
from hwnas.report.search_page import write_search_page
from hwnas.run import Run
from hwnas.runtimes import get_runtime, installed_runtimes
from hwnas.search import Method, SearchProblem, SearchResult, get_search
from hwnas.search.frontier import FrontierPoint, frontier, save_frontier
from hwnas.search.single_path import INDICATORS_FILE
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data
from hwnas.train.evaluate import accuracy
from hwnas.train.export_images import export_images
from hwnas.train.weights import WeightSettings

REPORT_FILE, PREDICTOR_FILE = "report.json", "predictor.json"
MODELS_FOLDER, RETRAINED_FOLDER = "models", "retrained"
BUDGET_PICTURE = "budget_following.png"

FINAL_ROUNDS = 4
"""How often each exported file is measured, in turns with the others."""

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, what is going on)."""


class DesignConfig(BaseModel):
    """What is to be designed. The options of `hwnas design`, or a TOML file of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str = "tiny"
    data: str = "digits"
    """A folder of images, or ``digits``."""
    budget_ms: float = Field(gt=0, allow_inf_nan=False)
    frontier: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    """Further budgets, none above `budget_ms`, that are answered from the same supernet."""
    device: str = "local"
    runtime: str = "litert"
    """The runtime whose latency the budget limits."""
    threads: int | None = Field(None, ge=1)
    """Threads per inference; None: as the device says."""
    latency: str | None = None
    """The folder of a latency table to use as it is; None: measure the space (or what is missing of it)."""
    tables: str = "latency_models"
    """Where measured tables are kept."""
    networks: int = Field(30, ge=5, le=1000)
    """Whole networks measured for calibration."""
    accept_conditions: bool = False
    """Use a table although it was measured under other conditions."""

    resolution: int | None = None
    """Side of the input image in pixels; None: the space's own."""
    width: float | None = None
    method: str = "dsnas"
    settings: dict[str, Any] = {}
    """Hyper-parameters of the method by name, such as those of `hwnas.search.dsnas.DSNASSettings`."""
    retrain: bool = False
    """Train what is found from scratch, for as many epochs, instead of keeping the weights it has in the supernet."""
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=2)
    limit_train: int | None = Field(None, ge=2)
    """Use only this many training images."""
    workers: int | None = Field(None, ge=0)
    """Processes that decode images; None: as many as fit this machine."""
    seed: int = Field(0, ge=0)
    torch_device: str = "cpu"

    @field_validator("frontier")
    @classmethod
    def _none_above_the_budget(cls, frontier: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        largest = info.data.get("budget_ms")
        if largest is not None and max(frontier, default=0.0) > largest:
            raise ValueError(
                f"{max(frontier):g} ms is above the budget of {largest:g} ms that is searched; raise that one."
            )
        return frontier


@dataclass(frozen=True)
class DesignResult:
    """What was designed and how it measured. Accuracy is a share from 0 to 1, on images the search never read."""

    config: DesignConfig
    status: Literal["within", "over", "predicted"]
    """The last where nothing was measured, since the latency table is a published one."""
    architecture: Architecture
    prediction: Prediction
    """At the speed that the machine has now, by the reference model: the table's, times one plus the drift."""
    drift_percent: float | None
    """How much longer the reference model takes now than when the table was measured; None: the table does not say."""
    measured_ms: dict[str, float]
    accuracy: float
    models: list[ExportedModel]
    run: Path
    seconds: float
    conditions: dict[str, dict[str, Any]]
    """What each runtime was measured under: see `hwnas.measure.Conditions`."""
    price: Price
    """Block by block, at the speed that the machine had for the table."""
    publication: str | None = None
    """Where the latency table is from, if it was not measured."""
    frontier: tuple[FrontierPoint, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "budget_ms": self.config.budget_ms,
            "device": self.config.device,
            "runtime": self.config.runtime,
            "predicted_ms": self.prediction.ms,
            "interval_ms": list(self.prediction.interval_ms),
            "drift_percent": self.drift_percent,
            "measured_ms": self.measured_ms,
            "conditions": self.conditions,
            "accuracy": self.accuracy,
            "macs": self.architecture.macs,
            "params": self.architecture.params,
            "architecture": self.architecture.to_json(),
            "price": self.price.to_json() | {"architecture": self.price.architecture.to_json()},
            "publication": self.publication,
            "models": [
                {
                    "format": model.format,
                    "precision": model.precision,
                    "path": str(model.path),
                    "bytes": model.bytes,
                    "max_relative_error": model.max_relative_error,
                }
                for model in self.models
            ],
            "frontier": [point.to_json() for point in self.frontier],
            "run": str(self.run),
            "seconds": self.seconds,
        }


def design(config: DesignConfig, out: Path | str | None = None, progress: Progress | None = None) -> DesignResult:
    """Design a network for one device and one deadline.

    Repeated with the same configuration and folder, it goes on where it was stopped. With a published latency table
    nothing is measured: what is found and predicted is saved, with its weights, and no model files are written.

    Args:
        config: what is wanted.
        out: the run folder; None: a name made of the configuration, in ``runs``.
        progress: told what is going on.

    Raises:
        UsageError: an unknown name or a value out of range.
        HwnasError: infeasible budget, unusable images or table, a run folder of something else, a full disk.
    """
    started = time.perf_counter()
    report = progress or _silent
    device, method = load_device(config.device).with_threads(config.threads), get_search(config.method)
    settings = method.resolve(_for_all_budgets(config, method) | config.settings)
    engine = get_runtime(config.runtime)
    engine.version()  # not installed: say so before anything is spent
    resolution = get_space(config.space, config.resolution, width=config.width).input_shape[1]
    data = _load(config, resolution, report)
    space = get_space(config.space, config.resolution, len(data.classes), config.width)
    table = _table(config, space, device, report)
    predictor = published_predictor(table, space) if table.publication else fit(table, space)
    budget = Budget(config.budget_ms, space, predictor)
    for limit_ms in (config.budget_ms, *config.frontier):
        replace(budget, limit_ms=limit_ms).check_feasible()
    resolved = config.model_dump() | {"settings": asdict(settings), "predictor": predictor.digest}
    run = Run(out or default_folder(config), resolved)
    predictor.save(run.folder / PREDICTOR_FILE)

    def measured_ms(architecture: Architecture) -> float:
        model = network_model(architecture, engine.suffix.removeprefix("."))
        return bench(model, device, engine).measurement.median_ms

    measure_child = None if table.publication else measured_ms
    problem = SearchProblem(data, budget, config.epochs, config.seed, config.torch_device, measure_child)

    def on_step(done: int, total: int, now: dict[str, float]) -> None:
        report("search", done, total, ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in now.items()))

    result = method.search(problem, run, on_step, settings)
    save_search_picture(run.metrics(), config.budget_ms, run.folder / BUDGET_PICTURE)
    child_of = _Children(config, settings, run, on_step)
    child = child_of(result)
    save_child(child, run.folder)
    models = []
    if not table.publication:
        report("export", 0, 1, "")
        # with the images, the files carry labels and normalisation, and their accuracy is known
        models = export(child, run.folder / MODELS_FOLDER, images=export_images(data))
        report("export", 1, 1, "")
    final = _measure_models(models, device, report)
    slowdown = _slowdown(table, final.reference_us.get(config.runtime))

    def test_accuracy(child: ChildNetwork) -> float:
        return accuracy(child, data.test_batches())

    points = save_frontier(frontier(result, config.frontier), run.folder, child_of, test_accuracy)
    found = DesignResult(
        config=config,
        status=final.status(config),
        architecture=result.architecture,
        prediction=predictor.predict(result.architecture).slowed(slowdown or 1.0),
        drift_percent=None if slowdown is None else 100 * (slowdown - 1),
        measured_ms=final.measured_ms,
        accuracy=test_accuracy(child),
        models=models,
        run=run.folder,
        seconds=time.perf_counter() - started,
        conditions=final.conditions,
        price=price_of(result.architecture, table, predictor),
        publication=table.publication,
        frontier=tuple(points),
    )
    described = found.to_json() | _data_json(data) | {"card": predictor.card.to_json()}
    described |= {"method": config.method, "epochs": config.epochs}
    write_json(run.folder / REPORT_FILE, described)
    if models:
        write_model_card(run.folder / MODELS_FOLDER, described)
    write_search_page(run.folder, described, space, _indicators(run), run.folder / BUDGET_PICTURE)
    return found


def _indicators(run: Run) -> list[dict[str, Any]]:
    """What the architecture was decided by, where the method has indicators."""
    path = run.folder / INDICATORS_FILE
    return read_json(path, "the run's indicators") if path.is_file() else []


def _for_all_budgets(config: DesignConfig, method: Method) -> dict[str, Any]:
    """With a frontier no budget's part of the weights is trained further than the others', unless the settings say so.

    Otherwise the searches hand over half-way and train what they took for the largest budget.
    """
    hands_over = "search" in {field.name for field in fields(method.settings)}
    return {"search": 1.0} if config.frontier and hands_over else {}


class _Children:
    """The trained child of what was found. Budgets that lead to one architecture share it."""

    def __init__(self, config: DesignConfig, settings: Any, run: Run, on_step: Callable[..., None]) -> None:
        self._config, self._run, self._on_step = config, run, on_step
        self._weights = settings if isinstance(settings, WeightSettings) else None
        self._made: dict[str, ChildNetwork] = {}

    def __call__(self, found: SearchResult) -> ChildNetwork:
        """With the weights it inherits, or with weights of its own if that is wanted."""
        digest = found.architecture.digest
        if digest not in self._made and self._config.retrain:
            folder = self._run.folder / RETRAINED_FOLDER / digest[:12]
            self._made[digest] = found.retrain(folder, self._on_step, self._weights)
        elif digest not in self._made:
            self._made[digest] = found.take()
        return self._made[digest]


def _data_json(data: ImageData) -> dict[str, Any]:
    """What an app must know of the images, and what was left out of them."""
    return {
        "classes": list(data.classes),
        "preprocessing": {"resolution": data.resolution, "mean": list(data.mean), "std": list(data.std)},
        "images": data.counts,
        "skipped": {folder: asdict(skipped) for folder, skipped in data.skipped.items()},
    }


def default_folder(config: DesignConfig) -> Path:
    """A run folder named for what is wanted: ``runs/tiny-digits-0.5ms-litert-1a2b3c``."""
    text = json.dumps(config.model_dump(), sort_keys=True)
    name = f"{config.space}-{Path(config.data).name}-{config.budget_ms:g}ms-{config.runtime}"
    return Path("runs") / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _silent(_stage: str, _done: int, _total: int, _text: str) -> None:
    pass


def _load(config: DesignConfig, resolution: int, report: Progress) -> ImageData:
    return load_data(
        config.data,
        resolution,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.workers,
        limit_train=config.limit_train,
        progress=lambda done, total: report("images", done, total, ""),
    )


def _table(config: DesignConfig, space: SearchSpace, device: Device, report: Progress) -> LatencyTable:
    """The table that is named, if it was measured as this run will be; otherwise one measured now."""
    if config.latency is None:

        def on_visit(visit: Visit) -> None:
            report("measure", visit.done, visit.total, visit.text)

        return measure(space, device, config.runtime, config.tables, config.networks, on_visit).table
    table = LatencyTable.load(config.latency)
    if table.publication:
        return table  # what it lacks is said by who prices with it, and its conditions are nobody's here
    if missing := table.missing(space):
        raise HwnasError(
            f"the table {config.latency} lacks {len(missing)} of the {len(space.distinct_blocks())} blocks of space "
            f"{space.name!r} for these images, among them {missing[0][0]}. Leave out --latency to have them measured, "
            "or measure them with `hwnas measure` and the same --resolution, --classes and --width."
        )
    if not config.accept_conditions:
        check_same(table.conditions, current_conditions(device, get_runtime(config.runtime), "float32"), config.latency)
    return table


@dataclass(frozen=True)
class _FinalMeasurement:
    """Per runtime: median ms of the exported files, median microseconds of the reference model, the conditions."""

    measured_ms: dict[str, float]
    reference_us: dict[str, float]
    conditions: dict[str, dict[str, Any]]

    def status(self, config: DesignConfig) -> Literal["within", "over", "predicted"]:
        """Whether the wanted runtime is within the budget."""
        if not self.measured_ms:
            return "predicted"
        return "within" if self.measured_ms[config.runtime] <= config.budget_ms else "over"


def _measure_models(models: list[ExportedModel], device: Device, report: Progress) -> _FinalMeasurement:
    """Measure the exported files on every runtime that is installed.

    Several rounds over all of them: a machine is a percent or two slower for some seconds and faster for others, which
    no single visit can see.
    """
    pairs = [(r, m) for r in installed_runtimes().values() for m in models if r.suffix == f".{m.format}"]
    references = {model.format: reference_model(model.format) for model in models}
    visits: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    looks_us: dict[str, list[float]] = defaultdict(list)
    conditions: dict[str, dict[str, Any]] = {}
    rounds = [pair for _ in range(FINAL_ROUNDS) for pair in pairs]
    for done, (runtime, model) in enumerate(rounds):
        report("measure again", done, len(rounds), runtime.name)
        measured = bench(model.path, device, runtime, reference=references[model.format])
        visits[runtime.name] += measured.measurement.runs_us
        looks_us[runtime.name] += measured.reference_us
        conditions[runtime.name] = measured.conditions.to_json()
    if rounds:
        report("measure again", len(rounds), len(rounds), "")
    measured_ms = {name: Measurement(tuple(runs_us)).median_ms for name, runs_us in visits.items()}
    reference_us = {name: median(looks) for name, looks in looks_us.items()}
    return _FinalMeasurement(measured_ms, reference_us, conditions)


def _slowdown(table: LatencyTable, reference_us: float | None) -> float | None:
    """How many times longer the reference model takes now than for the table; None if either is not known."""
    then_us = table.conditions.get("summary", {}).get("reference_us")
    return reference_us / then_us if then_us and reference_us else None


make_callable(__name__, design)
