"""A Target: a further device whose budget a design keeps, with its table, or with one that comes with hwnas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hwnas.campaign.conditions import current_conditions
from hwnas.campaign.progress import CampaignProgress
from hwnas.designer.begun_latencies import begun_with, keep
from hwnas.designer.config import DesignConfig, DesignProgress
from hwnas.designer.final import undisturbed_ms, usual_us_of
from hwnas.designer.wanted_limits import parse_place
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.fit import predictor_of
from hwnas.latency.limit import Limit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.measuring.model_files import check_can_make, network_model
from hwnas.latency.measuring.table_campaign import check_table_conditions
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.known import shipped_instead
from hwnas.latency.tables.precision import check_precision
from hwnas.latency.tables.shipped import shipped_table, table_folder
from hwnas.latency.tables.table import LatencyTable
from hwnas.latency.wanted_budget import WantedBudget, resolve_budget
from hwnas.runners import resolve_runtime, runtime_format
from hwnas.space import Architecture, SearchSpace

REPEATABLE = 0.99
"""Share of a budget that a measurement must not exceed to be within it when it is repeated."""


@dataclass(frozen=True)
class Place:
    """A device and a runtime that a further budget is for.

    Attributes:
        asked: the device, and the runtime if one was named.
        wanted: the budget as it was asked for.
        absent: why nothing can be measured there, where a table that comes with hwnas serves instead; None: it can.
    """

    asked: str
    wanted: WantedBudget
    device: Device
    runtime: str
    latency: str | None
    absent: str | None

    @property
    def name(self) -> str:
        return f"{self.device.name}/{self.runtime}"

    def random_ms(self, precision: str, architecture: Architecture) -> float:
        """Median ms of a network with random weights; it must be at hand."""
        model = network_model(architecture, runtime_format(self.runtime), precision)
        return undisturbed_ms(model, self.device, self.runtime)


@dataclass(frozen=True)
class Target:
    """A further device with its latencies, and its budget in ms."""

    place: Place
    table: LatencyTable
    predictor: LatencyPredictor
    budget_ms: float
    precision: str

    @property
    def name(self) -> str:
        """``DEVICE/RUNTIME``; where nothing is measured, as it was asked for: a published table has no runtime."""
        return self.place.name if self.is_measured else self.place.asked

    @property
    def is_measured(self) -> bool:
        """Whether networks are measured there; else they are predicted."""
        return not self.table.publication

    def measured_ms(self, architecture: Architecture) -> float:
        """Median ms of a network with random weights, undisturbed as far as that can be had."""
        model = network_model(architecture, runtime_format(self.place.runtime), self.precision)
        return undisturbed_ms(model, self.place.device, self.place.runtime, usual_us_of(self.table))

    @property
    def limit(self) -> Limit:
        measured = self.measured_ms if self.is_measured else None
        return Limit(self.name, self.budget_ms, self.predictor, "ms", measured, REPEATABLE)

    def kept(self, folder: Path) -> Target:
        """With the predictor that the run in `folder` began with, which is open."""
        return replace(self, predictor=keep(folder, self.predictor, self.table, self.name))


def further_places(config: DesignConfig, device: Device, runtime: str) -> list[Place]:
    """The places of the further budgets.

    Args:
        config: names them.
        device, runtime: of the first budget.

    Raises:
        UsageError: an unknown device or runtime; one place twice.
    """
    seen, found = {(device.name, runtime)}, []
    for text, wanted in config.budgets.items():
        name, own = parse_place(text)
        each = load_device(name).with_threads(config.threads)
        each_runtime = own or each.runtime
        resolve_runtime(each, each_runtime)
        if (each.name, each_runtime) in seen:
            raise UsageError(
                f"there are two budgets for {each_runtime} on {each.name}, and a network can be within one only: leave "
                f"one out, or name another runtime: --budget {each.name}/RUNTIME=MS."
            )
        seen.add((each.name, each_runtime))
        latency = config.latencies.get(text)
        absent = None if latency else shipped_instead(each, each_runtime, config.tables)
        asked = each.name if own is None else f"{each.name}/{own}"
        found.append(Place(asked, wanted, each, each_runtime, latency, absent))
    return found


def targets(
    config: DesignConfig,
    places: Sequence[Place],
    space: SearchSpace,
    precision: str,
    folder: Path,
    report: DesignProgress,
) -> tuple[Target, ...]:
    """The further devices with their tables; what is not measured yet is measured. `folder`: the run's.

    Raises HwnasError: a device that cannot be reached, or a table that does not serve.
    """
    return tuple(_target(config, place, space, precision, folder, report) for place in places)


def _target(
    config: DesignConfig, place: Place, space: SearchSpace, precision: str, folder: Path, report: DesignProgress
) -> Target:
    table = _known_table(place, space, precision)
    if table is None:
        check_can_make(runtime_format(place.runtime), precision)

        def on_repetition(now: CampaignProgress) -> None:
            report(f"measure {place.name}", now.done, now.total, now.text)

        measuring = partial(measure, space, place.device, place.runtime, config.tables, config.networks)
        table = measuring(on_repetition, precision).table
    elif not table.publication:
        if missing := table.missing(space):
            raise HwnasError(
                f"the table {table.folder} lacks {len(missing)} of the {len(space.distinct_blocks())} blocks of space "
                f"{space.name!r} for these images, among them {missing[0][0]}. Measure them: `hwnas measure --space "
                f"{space.name} --device {place.device.name} --runtime {place.runtime}` with the same --resolution, "
                "--classes and --width."
            )
        if not config.accept_conditions:
            current = current_conditions(place.device, place.runtime, precision)
            check_table_conditions(table.conditions, current, str(table.folder))
    predictor = predictor_of(table, space)
    if place.latency is None and not table.publication:
        predictor = begun_with(folder, predictor, table, space, place.name)
    return Target(place, table, predictor, resolve_budget(place.wanted, space, predictor), precision)


def _known_table(place: Place, space: SearchSpace, precision: str) -> LatencyTable | None:
    """The table that is named, or one that comes with hwnas; None: it is to be measured."""
    folder = None if place.latency is None else table_folder(place.latency)
    if place.absent is not None and (shipped := shipped_table(place.device.name, space.name)):
        folder = shipped.folder
    if folder is None:
        return None
    table = LatencyTable.load(folder)
    check_precision(table, precision)
    return table


def said_of(target: Target) -> str | None:
    """A note on a further device that is not measured; None where it is."""
    if target.is_measured:
        return None
    return (
        f"{target.name} is predicted, never measured, by {target.table.folder or 'a published table'}, under the "
        f"conditions of {target.table.publication}; another build of the runtime may take half as long or twice"
    )


def check_one_size(predictor: LatencyPredictor, further: Sequence[Target]) -> None:
    """Raise HwnasError where one budget is for the networks themselves and another for larger ones of the same code."""
    proxies = {target.name: isinstance(target.predictor, ProxySpacePredictor) for target in further}
    own = isinstance(predictor, ProxySpacePredictor)
    if other := next((name for name, is_proxy in proxies.items() if is_proxy != own), None):
        raise HwnasError(
            f"the table for {'the first budget' if own else other} prices this space only at its published size, and "
            "the other budgets are for networks of the size that is searched: these are different networks. "
            "Name another space, such as tiny, whose blocks are estimated at any size, or search at the publication's "
            "own resolution and width, with images of as many classes."
        )
