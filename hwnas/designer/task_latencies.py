"""The latencies of a Task: the table, measured where none is named, its predictor, and the budgets in ms."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from hwnas.campaign.bench import bench
from hwnas.campaign.conditions import Conditions, current_conditions
from hwnas.campaign.progress import CampaignProgress
from hwnas.designer.begun_latencies import begun_with
from hwnas.designer.config import DesignConfig, DesignProgress
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import predictor_of
from hwnas.latency.measuring.measure import measure
from hwnas.latency.measuring.model_files import network_model
from hwnas.latency.measuring.table_campaign import check_table_conditions
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.tables.precision import USUAL_PRECISION, check_precision
from hwnas.latency.tables.shipped import table_folder
from hwnas.latency.tables.table import LatencyTable, check_device
from hwnas.latency.wanted_budget import check_none_above, hint_above_slowest, resolve_budget, told_in_ms
from hwnas.runners import runtime_format
from hwnas.space import Architecture, SearchSpace
from hwnas.train import distributed

LOG = logging.getLogger(__name__)


def precision_of(config: DesignConfig) -> str:
    return config.precision or USUAL_PRECISION


def random_ms(device: Device, runtime: str, precision: str, architecture: Architecture) -> float:
    """Median ms of a network with random weights on a device."""
    model = network_model(architecture, runtime_format(runtime), precision)
    return bench(model, device, runtime).measurement.median_ms


def for_its_table(config: DesignConfig) -> DesignConfig:
    """The configuration, for the device that a named published table is about where no other one is named.

    Raises UsageError for another device than that.
    """
    if config.latency is None:
        return config
    name = None if config.device == "local" else load_device(config.device).name
    about = check_device(LatencyTable.load(table_folder(config.latency)), name)
    if about is not None and name is None:
        with suppress(HwnasError):  # of a publication of one's own, whose device has no file
            load_device(about)
            return config.model_copy(update={"device": about})
    return config


def known_table(config: DesignConfig, device: Device, runtime: str) -> tuple[LatencyTable | None, Conditions | None]:
    """The table that is named, if one is, and the conditions now, if they matter."""
    table = None if config.latency is None else LatencyTable.load(table_folder(config.latency))
    if table is not None:  # with --accept-conditions, too: no machine makes the ms of one precision those of another
        check_precision(table, precision_of(config))
    if table is not None and table.publication:
        return table, None
    # not there, or not installed: say so before anything is spent
    return table, current_conditions(device, runtime, precision_of(config))


def measured_table(
    config: DesignConfig, space: SearchSpace, device: Device, runtime: str, report: DesignProgress
) -> LatencyTable:
    """A table measured now, as far as it was not measured before."""

    def on_repetition(now: CampaignProgress) -> None:
        report("measure", now.done, now.total, now.text)

    precision = precision_of(config)
    return measure(space, device, runtime, config.tables, config.networks, on_repetition, precision).table


def check_usable(table: LatencyTable, config: DesignConfig, space: SearchSpace, conditions: Conditions) -> None:
    """Raises HwnasError unless a measured table has all blocks of the space, under the conditions of this run."""
    if missing := table.missing(space):
        raise HwnasError(
            f"the table {config.latency} lacks {len(missing)} of the {len(space.distinct_blocks())} blocks of space "
            f"{space.name!r} for these images, among them {missing[0][0]}. Measure them with `hwnas measure` and the "
            "same --resolution, --classes and --width; `hwnas design` without --latency does it by itself."
        )
    if not config.accept_conditions:
        check_table_conditions(table.conditions, conditions, str(config.latency))


def fitted_predictor(config: DesignConfig, table: LatencyTable, space: SearchSpace, folder: Path) -> LatencyPredictor:
    """The predictor of a table; of one that the run measures by itself, that which the run in `folder` began with."""
    fitted = predictor_of(table, space)
    return fitted if config.latency else begun_with(folder, fitted, table, space)


def budgets_in_ms(config: DesignConfig, space: SearchSpace, predictor: LatencyPredictor) -> list[float]:
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
