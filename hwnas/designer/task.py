"""The Task: everything that a design starts from, gathered and checked before time is spent on training."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from hwnas.campaign.bench import bench
from hwnas.campaign.conditions import Conditions, current_conditions
from hwnas.campaign.progress import CampaignProgress
from hwnas.child import ChildNetwork
from hwnas.designer.begun_latencies import begun_with
from hwnas.designer.choices import PHOTOS_METHOD, check_pretrained
from hwnas.designer.config import DesignConfig, DesignProgress, without_empty
from hwnas.designer.final import undisturbed_ms, usual_us_of
from hwnas.designer.further_limits import FurtherLimits, random_ms_of_all
from hwnas.designer.judged import judged_network
from hwnas.designer.shipped import choose_for
from hwnas.designer.sustained_budget import in_first_runs
from hwnas.designer.target import further_places, targets
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import predictor_of
from hwnas.latency.measuring.measure import measure
from hwnas.latency.measuring.model_files import check_can_make, network_model
from hwnas.latency.measuring.table_campaign import check_table_conditions
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.precision import USUAL_PRECISION, check_precision
from hwnas.latency.tables.shipped import table_folder
from hwnas.latency.tables.table import LatencyTable
from hwnas.latency.wanted_budget import check_none_above, hint_above_slowest, resolve_budget, told_in_ms
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

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is to be designed, for what, from what.

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
        device = load_device(config.device).with_threads(config.threads)
        runtime = config.runtime or device.runtime
        check_pretrained(config)
        first_runs = in_first_runs(config)
        config = first_runs.config
        distributed.from_first(lambda: check_can_make(runtime_format(runtime), _precision(config)))
        places = distributed.from_first(lambda: further_places(config, device, runtime))
        own_ms = partial(random_ms, device, runtime, _precision(config))
        ms = partial(random_ms_of_all, config, places, _precision(config), own_ms)
        choices = distributed.from_first(lambda: choose_for(config, folder, device, runtime, ms))
        config = choices.config
        assert config.space is not None and config.method is not None
        method = get_search(config.method)
        settings = method.resolve(_for_all_budgets(config, method) | config.settings)
        table, conditions = distributed.from_first(lambda: _known(config, device, runtime))
        first_runs.check(conditions)
        resolution = get_space(config.space, config.resolution, width=config.width).input_shape[1]
        data = _load(config, resolution, report)
        space = get_space(config.space, config.resolution, len(data.classes), config.width)
        start = _start(config, space)  # what is wrong with it is said before anything is measured
        if table is None:
            table = distributed.from_first(lambda: _measured(config, space, device, runtime, report))
        elif conditions is not None:
            _check_usable(table, config, space, conditions)
        predictor = distributed.from_first(lambda: _fitted(config, table, space, folder))
        budget_ms, *frontier_ms = _budgets_ms(config, space, predictor)
        devices = distributed.from_first(lambda: targets(config, places, space, _precision(config), folder, report))
        further = FurtherLimits.of(config, devices, space, data, runtime, predictor, _precision(config))
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
        for each_ms in (budget_ms, *frontier_ms):
            replace(task.budget, budget_ms=each_ms).check_feasible()
        return task

    def data_at(self, resolution: int, report: DesignProgress = silent) -> ImageData:
        """The images at a resolution, split and augmented alike."""
        return self.data if resolution == self.data.resolution else _load(self.config, resolution, report)

    @property
    def compares(self) -> bool:
        """Whether known networks are trained too: as a rule where they can be trained as what is found was."""
        measured = not self.table.publication and self.further.all_measured
        possible = isinstance(self.settings, FineTuningSettings) and measured
        return possible if self.config.compare is None else self.config.compare and possible

    @property
    def precision(self) -> str:
        """Of the file that the budget is for."""
        return _precision(self.config)

    def judged(self, child: ChildNetwork, data: ImageData) -> nn.Module:
        """What the accuracy of a child is taken of: the file that the budget is for, as `judged_network` makes it."""
        return judged_network(child, data, runtime_format(self.runtime), self.precision)

    @property
    def budget(self) -> Budget:
        name = f"{self.device.name}/{self.runtime}"
        return Budget(self.budget_ms, self.space, self.predictor, self.further.limits, name)

    @property
    def problem(self) -> SearchProblem:
        """What the search is to solve; with the device at hand, what it takes is measured before it is trained on."""
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
        """What was asked for, and everything that decides what is found, as JSON: runs of two ones are not mixed."""
        decided: dict[str, Any] = {"runtime": self.runtime, "settings": asdict(self.settings)}
        decided |= {"slowdown": self.slowdown, "frontier": list(self.frontier_ms)}
        return without_empty(self.config.model_dump(exclude={"amp", "compile"})) | self.problem.identity | decided


def pretrained_file(config: DesignConfig) -> Path | None:
    """The file of pretrained weights; None: the package's."""
    return None if config.pretrained in (None, "lite0") else Path(config.pretrained)


def _start(config: DesignConfig, space: SearchSpace) -> ChildNetwork | None:
    """The largest network with the weights that the configuration names; None: they are random."""
    if config.pretrained == "none":
        return None
    return load_pretrained(largest_architecture(space), pretrained_file(config), config.seed)


def _fitted(config: DesignConfig, table: LatencyTable, space: SearchSpace, folder: Path) -> LatencyPredictor:
    """The predictor of a table; of one that the run measures by itself, that which the run in `folder` began with."""
    fitted = predictor_of(table, space)
    return fitted if config.latency else begun_with(folder, fitted, table)


def _precision(config: DesignConfig) -> str:
    return config.precision or USUAL_PRECISION


def random_ms(device: Device, runtime: str, precision: str, architecture: Architecture) -> float:
    """Median ms of a network with random weights on a device."""
    model = network_model(architecture, runtime_format(runtime), precision)
    return bench(model, device, runtime).measurement.median_ms


def _for_all_budgets(config: DesignConfig, method: Method) -> dict[str, Any]:
    """With a frontier no budget's part of the weights is trained further than the others', unless the settings say so.

    Otherwise the searches hand over half-way and train what they took for the largest budget.
    """
    hands_over = "search" in {field.name for field in fields(method.settings)}
    return {"search": 1.0} if config.frontier and hands_over else {}


def _budgets_ms(config: DesignConfig, space: SearchSpace, predictor: LatencyPredictor) -> list[float]:
    """The budget and those of the frontier in ms; what was not given in ms is said, and a budget that limits nothing.

    Raises UsageError if one of the frontier is above the budget.
    """
    wanted = (config.budget_ms, *config.frontier)
    found = [resolve_budget(each, space, predictor) for each in wanted]
    check_none_above(found[1:], found[0])
    if distributed.rank() == 0:
        for line in dict.fromkeys(filter(None, map(told_in_ms, wanted, found))):
            LOG.info("%s", line)
        if hint := hint_above_slowest(Budget(found[0], space, predictor)):
            LOG.warning("%s", hint)
    return found


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


def _known(config: DesignConfig, device: Device, runtime: str) -> tuple[LatencyTable | None, Conditions | None]:
    """The table that is named, if one is, and the conditions now, if they matter."""
    table = None if config.latency is None else LatencyTable.load(table_folder(config.latency))
    if table is not None:  # with --accept-conditions, too: no machine makes the ms of one precision those of another
        check_precision(table, _precision(config))
    if table is not None and table.publication:
        return table, None
    # not there, or not installed: say so before anything is spent
    return table, current_conditions(device, runtime, _precision(config))


def _measured(
    config: DesignConfig, space: SearchSpace, device: Device, runtime: str, report: DesignProgress
) -> LatencyTable:
    """A table measured now, as far as it was not measured before."""

    def on_repetition(now: CampaignProgress) -> None:
        report("measure", now.done, now.total, now.text)

    precision = _precision(config)
    return measure(space, device, runtime, config.tables, config.networks, on_repetition, precision).table


def _check_usable(table: LatencyTable, config: DesignConfig, space: SearchSpace, conditions: Conditions) -> None:
    """Raises HwnasError unless a measured table has all blocks of the space, under the conditions of this run."""
    if missing := table.missing(space):
        raise HwnasError(
            f"the table {config.latency} lacks {len(missing)} of the {len(space.distinct_blocks())} blocks of space "
            f"{space.name!r} for these images, among them {missing[0][0]}. Leave out --latency to have them measured, "
            "or measure them with `hwnas measure` and the same --resolution, --classes and --width."
        )
    if not config.accept_conditions:
        check_table_conditions(table.conditions, conditions, str(config.latency))
