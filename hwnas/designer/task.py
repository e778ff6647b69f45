"""The Task: everything that a design starts from, gathered and checked before time is spent on training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from hwnas.child import ChildNetwork
from hwnas.designer.choices import PHOTOS_METHOD, check_pretrained
from hwnas.designer.config import DesignConfig, DesignProgress, without_empty
from hwnas.designer.counted_limits import check_counts
from hwnas.designer.final import undisturbed_ms, usual_us_of
from hwnas.designer.further_limits import FurtherLimits, random_ms_of_all
from hwnas.designer.judged import judged_network
from hwnas.designer.shipped import choose_for
from hwnas.designer.sustained_budget import in_first_runs
from hwnas.designer.target import further_places, targets
from hwnas.designer.task_latencies import (
    budgets_in_ms,
    check_usable,
    fitted_predictor,
    for_its_table,
    known_table,
    measured_table,
    precision_of,
    random_ms,
)
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.budget import Budget
from hwnas.latency.measuring.model_files import check_can_make, network_model
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.table import LatencyTable
from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained
from hwnas.progress import silent
from hwnas.runners import runtime_format
from hwnas.searches.method import Method
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_architecture
from hwnas.train import distributed
from hwnas.train.data import ImageData, load_data
from hwnas.train.finetuning import FineTuningSettings
from hwnas.train.mixed_precision import resolve_amp


@dataclass(frozen=True)
class Task:
    """The design that is wanted: the device, the images, the space, the latencies and the search.

    Attributes:
        config: what is wanted.
        device, runtime: where the network is to run.
        method, settings: the search and its hyper-parameters.
        data: the images.
        space: for as many classes as there are.
        table: the latencies.
        predictor: fitted to them.
        budget_ms, frontier_ms: the budgets that are wanted, in ms.
        start: pretrained weights of the largest network; None: they are random.
        chosen: what was left open and how it was decided.
        slowdown: what budgets that are for sustained speed were divided by; None: they are for first runs.
        further: other limits that hold, too.
    """

    config: DesignConfig
    device: Device
    runtime: str
    method: Method
    settings: Any
    data: ImageData
    space: SearchSpace
    table: LatencyTable
    predictor: LatencyPredictor
    budget_ms: float
    frontier_ms: tuple[float, ...] = ()
    start: ChildNetwork | None = None
    chosen: tuple[str, ...] = ()
    slowdown: float | None = None
    further: FurtherLimits = field(default_factory=FurtherLimits)

    @staticmethod
    def of(config: DesignConfig, report: DesignProgress, folder: Path) -> Task:
        """Choose what is left open, load the images, measure what is not measured yet, fit, and check the budgets.

        Args:
            config: what is wanted.
            report: told what is going on.
            folder: the run's.

        Raises:
            UsageError: an unknown name or a value out of range.
            HwnasError: the device cannot be reached; infeasible budget; unusable images or table.
        """
        config = distributed.from_first(lambda: for_its_table(config))
        device = load_device(config.device).with_threads(config.threads)
        runtime = config.runtime or device.runtime
        check_pretrained(config)
        first_runs = in_first_runs(config)
        config = first_runs.config
        distributed.from_first(lambda: check_can_make(runtime_format(runtime), precision_of(config)))
        places = distributed.from_first(lambda: further_places(config, device, runtime))
        own_ms = partial(random_ms, device, runtime, precision_of(config))
        ms = partial(random_ms_of_all, config, places, precision_of(config), own_ms)
        choices = distributed.from_first(lambda: choose_for(config, folder, device, runtime, ms))
        config = choices.config
        assert config.space is not None and config.method is not None
        method = get_search(config.method)
        settings = method.resolve(_for_all_budgets(config, method) | config.settings)
        fine_tunes = isinstance(settings, FineTuningSettings)
        if config.compares and not fine_tunes:
            raise cannot_compare(f"{config.method} trains what it finds in a way of its own")
        _check_compiles(config, fine_tunes and config.compare is not False)
        table, conditions = distributed.from_first(lambda: known_table(config, device, runtime))
        first_runs.check(conditions)
        resolution = get_space(config.space, config.resolution, width=config.width).input_shape[1]
        data = _load(config, resolution, report)
        distributed.from_first(data.check_test)
        space = get_space(config.space, config.resolution, len(data.classes), config.width)
        start = _start(config, space)  # what is wrong with it is said before anything is measured
        if table is None:
            check_counts(config.limits, space)
            table = distributed.from_first(lambda: measured_table(config, space, device, runtime, report))
        elif conditions is not None:
            check_usable(table, config, space, conditions)
        predictor = distributed.from_first(lambda: fitted_predictor(config, table, space, folder))
        budget_ms, *frontier_ms = budgets_in_ms(config, space, predictor)
        devices = distributed.from_first(lambda: targets(config, places, space, precision_of(config), folder, report))
        further = FurtherLimits.of(config, devices, space, data, runtime, predictor, precision_of(config))
        task = Task(
            config,
            device,
            runtime,
            method,
            settings,
            data,
            space,
            table,
            predictor,
            budget_ms,
            tuple(frontier_ms),
            start,
            (*first_runs.said, *choices.said, *further.said),
            first_runs.slowdown,
            further,
        )
        task.check()
        return task

    def check(self) -> None:
        """Raise UsageError where nothing would be compiled, and HwnasError for a budget that cannot be met."""
        _check_compiles(self.config, self.compares)
        if self.config.compares and not self.compares:
            raise cannot_compare("not every device of a budget is at hand to be measured on")
        for each_ms in (self.budget_ms, *self.frontier_ms):
            replace(self.budget, budget_ms=each_ms).check_feasible()

    def data_at(self, resolution: int, report: DesignProgress = silent) -> ImageData:
        """The images at a resolution, split and augmented alike. Raises HwnasError if they are others by now."""
        if resolution == self.data.resolution:
            return self.data
        found = _load(self.config, resolution, report)
        if found.digest != self.data.digest:
            raise HwnasError(
                f"the images of {self.config.data!r} have changed since this began. They must stay as they are while "
                "hwnas runs; restore them and repeat the command, or begin another run with --out."
            )
        return found

    @property
    def compares(self) -> bool:
        """Whether known networks are trained too: as a rule where they can be trained as what is found was."""
        measured = not self.table.publication and self.further.all_measured
        possible = isinstance(self.settings, FineTuningSettings) and measured
        return possible and self.config.compare is not False

    @property
    def precision(self) -> str:
        """Of the file that the budget is for."""
        return precision_of(self.config)

    def judged(self, child: ChildNetwork, data: ImageData) -> nn.Module:
        """The network whose accuracy counts for a child: that of the file that the budget is for (`judged_network`)."""
        return judged_network(child, data, runtime_format(self.runtime), self.precision)

    @property
    def budget(self) -> Budget:
        name = f"{self.device.name}/{self.runtime}"
        return Budget(self.budget_ms, self.space, self.predictor, self.further.limits, name)

    @property
    def problem(self) -> SearchProblem:
        """The problem that the search solves; a derived network is measured before training goes on, if it can be."""
        measured_ms = None if self.table.publication else self.measured_ms
        config = self.config
        torch_device = distributed.join(config.torch_device)
        assert config.epochs is not None
        amp = resolve_amp(config.amp, torch_device)
        data, budget, seed = self.data, self.budget, config.seed
        more = amp, config.compile
        return SearchProblem(data, budget, config.epochs, seed, torch_device, measured_ms, self.start, *more)

    @property
    def is_proxy(self) -> bool:
        """Whether a copy of the space is searched, whose networks stand for those that are priced."""
        return isinstance(self.predictor, ProxySpacePredictor)

    def measured_ms(self, architecture: Architecture) -> float:
        """Median ms of a network with random weights on the device, undisturbed as far as that can be had."""
        model = network_model(architecture, runtime_format(self.runtime), self.precision)
        return undisturbed_ms(model, self.device, self.runtime, usual_us_of(self.table))

    def limited_ms(self, architecture: Architecture) -> float:
        """Measured ms; where a further limit leaves less room, as many ms as that share of it is of the budget."""
        return self.further.limited_ms(architecture, self.measured_ms(architecture), self.budget_ms)

    def resolved(self) -> dict[str, Any]:
        """The configuration, and all else that decides the outcome, as JSON: a run goes on with the same only."""
        decided: dict[str, Any] = {"runtime": self.runtime, "settings": asdict(self.settings)}
        decided |= {"slowdown": self.slowdown, "frontier": list(self.frontier_ms)}
        return without_empty(self.config.model_dump(exclude={"amp", "compile"})) | self.problem.identity | decided


def cannot_compare(why: str) -> UsageError:
    """The error where known networks are to be trained too, and cannot be."""
    return UsageError(
        f"--compare and --compare-with train known networks like the found one, which is impossible here: {why}. "
        "Leave them out."
    )


def _check_compiles(config: DesignConfig, compares: bool) -> None:
    """Raise UsageError where nothing would be compiled."""
    if config.compile and not (config.retrain or compares):
        raise UsageError(
            "--compile is for networks that are trained alone, and here none is: say --retrain, or leave it out."
        )


def pretrained_file(config: DesignConfig) -> Path | None:
    """The file of pretrained weights; None: the package's."""
    return None if config.pretrained in (None, "lite0") else Path(config.pretrained)


def _start(config: DesignConfig, space: SearchSpace) -> ChildNetwork | None:
    """The largest network with the weights that the configuration names; None: they are random."""
    if config.pretrained == "none":
        return None
    return load_pretrained(largest_architecture(space), pretrained_file(config), config.seed)


def _for_all_budgets(config: DesignConfig, method: Method) -> dict[str, Any]:
    """With a frontier no budget's part of the weights is trained further than the others', unless the settings say so.

    Otherwise the searches hand over half-way and train what they took for the largest budget.
    """
    hands_over = "search" in {field.name for field in fields(method.settings)}
    return {"search": 1.0} if config.frontier and hands_over else {}


def _load(config: DesignConfig, resolution: int, report: DesignProgress) -> ImageData:
    return load_data(
        config.data,
        resolution,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.workers,
        limit_train=config.limit_train,
        balance=config.balance,
        augment="photo" if config.method == PHOTOS_METHOD and config.data != "digits" else None,
        normalisation=None if config.pretrained == "none" else (IMAGENET_MEAN, IMAGENET_STD),
        progress=lambda done, total: report("images", done, total, ""),
    )
