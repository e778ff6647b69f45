"""Finding the LatencyRange of a space on a device.

With the device at hand as much of the space is measured as that takes, and the known networks; from a table that is
named, or a published one, everything is priced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.precision import get_precision
from hwnas.latency.fitting.fit import MIN_BLOCKS_TO_ESTIMATE, MIN_NETWORKS, fit
from hwnas.latency.fitting.ready import ready_regression, unlike
from hwnas.latency.measuring.known_networks import Key, known_at, known_table, measure_known, networks_in, told
from hwnas.latency.measuring.table_campaign import TABLES_FOLDER
from hwnas.latency.measuring.until_accurate import measure_until
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.space_range import KnownLatency, LatencyRange, Source, SpaceRange
from hwnas.latency.tables.known import measured_table, published_table, shipped_instead
from hwnas.latency.tables.precision import USUAL_PRECISION, check_precision, table_name
from hwnas.latency.tables.shipped import shipped_table, table_folder
from hwnas.latency.tables.table import Block, LatencyTable, check_device
from hwnas.networks.scaling import ScaledNetwork
from hwnas.progress import silent
from hwnas.runners import resolve_runtime
from hwnas.runtimes import Runtime
from hwnas.space import Architecture, SearchSpace, check_space
from hwnas.spaces import SPACES, get_space

GOAL_MAPE = 5.0

NEAR_MACS = 4
"""A known network of so many times fewer MACs than the fastest network, or more than the slowest, is not looked at."""

PICKED = (
    "efficientnet-lite0",
    "mobilenet-v2",
    "mobilenet-v3-large",
    "mobilenet-v3-small",
    "mobilenet-v4-conv-small",
    "plain-cnn",
    "shufflenet-v2",
)
"""The known networks that are measured for a range; others are shown where they were measured before."""
NOT_PICKED = "not measured for a range; hwnas measure --networks known does it"

RangeProgress = Callable[[str, CampaignProgress], None]
"""Called with the name of the part that is measured, and how far it is."""


def latency_range(
    space: SearchSpace | Sequence[SearchSpace],
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    tables: Path | str = TABLES_FOLDER,
    latency: Path | str | None = None,
    goal_mape: float = GOAL_MAPE,
    progress: RangeProgress = silent,
    precision: str | None = None,
) -> LatencyRange:
    """The range of a space on a device: its fastest and slowest network, and known networks at its resolution.

    A device with a published table only is not asked: what that table cannot price is left out, and named.

    Args:
        space: the search space; several if they differ in their resolution only.
        device: as for `hwnas.measure`.
        runtime: as for `hwnas.measure`.
        tables: as for `hwnas.measure`.
        latency: folder of a table to take as it is; nothing is measured then, and a published one must be of the device
            if another than ``local`` is named.
        goal_mape: a space is measured until its predictor errs by no more percent, or all of it is measured.
        progress: told what is measured.
        precision: of the model files; None: that of the table which is named, or float32.

    Raises:
        UsageError: unknown device, runtime or precision; no space; beside `latency` a runtime, or another device than
            that of the table.
        HwnasError: the device cannot be reached; the table is of other conditions, another precision, damaged, or of
            another space.
    """
    spaces = [space] if isinstance(space, SearchSpace) else list(space)
    if not spaces:
        raise UsageError("a range is that of a space, and none is given; name one or more.")
    for each in spaces:
        check_space(each)
    if latency is None:
        target = load_device(device)
        precision = get_precision(precision or USUAL_PRECISION).name
        latency = _published(tables, target, resolve_runtime(target, runtime), spaces[0], precision)
        if latency is None:
            return _measured_range(spaces, target, runtime, tables, goal_mape, progress, precision)
    elif runtime is not None:
        raise UsageError("with latency nothing is measured, so that runtime would do nothing; leave it out.")
    folder = table_folder(latency)
    table = LatencyTable.load(folder)
    check_device(table, None if device == "local" else load_device(device).name)
    if precision is not None:
        check_precision(table, precision)
    return _priced_range(spaces, table, folder)


def _published(tables: Path | str, device: Device, runtime: str, space: SearchSpace, precision: str) -> Path | None:
    """The published table that a device is known by; None where it was measured, or is still to be.

    One that comes with hwnas serves where the device is not at hand.
    """
    name = table_name(runtime, precision)
    if measured := measured_table(tables, device.name, name):
        return measured if LatencyTable.load(measured).publication else None
    if published := published_table(tables, device.name, get_space(space.name) if space.name in SPACES else space):
        return published
    shipped = shipped_table(device.name, space.name) if shipped_instead(device, name, tables) else None
    return None if shipped is None else shipped.folder


def _measured_range(
    spaces: Sequence[SearchSpace],
    device: Device,
    runtime: Runtime | str | None,
    tables: Path | str,
    goal_mape: float,
    progress: RangeProgress,
    precision: str,
) -> LatencyRange:
    for space in spaces:
        stage = f"{space.name} {space.input_shape[1]} px"
        shown = partial(progress, stage)
        found = measure_until(space, goal_mape, device, runtime, tables, progress=shown, precision=precision).measured
    # all of it is there now: what was not measured at one resolution is estimated from the others, too
    predictors = [fit(found.table, space) for space in spaces]
    ends = [end for space, predictor in zip(spaces, predictors, strict=True) for end in predictor.extremes(space)]
    near, left_out = _near(spaces, ends)
    picked = {key: network for key, network in near.items() if key[0] in PICKED}
    measured = measure_known(picked, device, runtime, tables, partial(progress, "networks"), ends, precision)
    networks = networks_in(measured.measured.table, near)
    without = near.keys() - {(each.network, each.width, each.resolution) for each in networks}
    left_out |= {told(key): NOT_PICKED for key in near if key in without} | measured.failures
    ranges = _ranges(spaces, predictors, measured.measured.table)
    known = tuple(KnownLatency(network, "measured") for network in networks)
    return LatencyRange(ranges, known, left_out, found.folder, None)


def _ranges(
    spaces: Sequence[SearchSpace], predictors: Sequence[LatencyPredictor], measured: LatencyTable
) -> tuple[SpaceRange, ...]:
    pairs = zip(spaces, predictors, strict=True)
    return tuple(SpaceRange.of(space, predictor, measured) for space, predictor in pairs)


def _priced_range(spaces: Sequence[SearchSpace], table: LatencyTable, folder: Path) -> LatencyRange:
    beside, known, left_out, predictors = known_table(folder), list[KnownLatency](), dict[str, str](), []
    for space in spaces:
        _check_covers(table, space, folder)
        predictors.append(fit(table, space))
        near, far = _near([space], predictors[-1].extremes(space))
        measured = [KnownLatency(network, "measured") for network in networks_in(beside, near)]
        others = {key: network for key, network in near.items() if network not in beside.networks}
        priced, without = _price(others, table, space)
        known += measured + priced
        left_out |= far | without
    known.sort(key=lambda each: each.network.ms)
    return LatencyRange(_ranges(spaces, predictors, beside), tuple(known), left_out, folder, table.publication)


def _check_covers(table: LatencyTable, space: SearchSpace, folder: Path) -> None:
    """Raise HwnasError for a table that is about another space, or about this one at another size."""
    missing = table.missing(space)
    if missing and ready_regression(table) is not None and not unlike(table, missing):
        return
    if missing and len(table.networks_of(space)) < MIN_NETWORKS:
        raise HwnasError(
            f"the table {folder} lacks {len(missing)} of the {len(space.distinct_blocks())} blocks of space "
            f"{space.name!r} at {space.input_shape[1]} px, among them {missing[0][0]}: it is about another space, or "
            "about another resolution, width or number of classes. Ask for those it has, or measure this one with "
            f"`hwnas measure --space {space.name}` and the same options."
        )


def _near(
    spaces: Sequence[SearchSpace], ends: Sequence[Architecture]
) -> tuple[dict[Key, Architecture], dict[str, str]]:
    """The known networks at the resolutions of some spaces that may lie between `ends`; the others, with the reason."""
    last, shape = list(ends[0].chain())[-1]
    num_classes = last.output_shape(shape)[0]
    wanted = known_at([space.input_shape[1] for space in spaces], num_classes)
    least, most = min(end.macs for end in ends) / NEAR_MACS, max(end.macs for end in ends) * NEAR_MACS
    near = {key: network for key, network in wanted.items() if least <= network.macs <= most}
    return near, {
        told(key): f"{wanted[key].macs / 1e6:.3g} M MACs are far outside" for key in wanted if key not in near
    }


def _price(
    wanted: Mapping[Key, Architecture], table: LatencyTable, space: SearchSpace
) -> tuple[list[KnownLatency], dict[str, str]]:
    """The known networks that a table can price, and the reasons of those that it cannot.

    A block that the table lacks is estimated from the others, if there are enough, and some of its kind.
    """
    can, cannot = dict[Key, Architecture](), dict[str, str]()
    for key, network in wanted.items():
        lacking = [block for block in _blocks(network) if block not in table.blocks]
        if unknown := _not_estimated(table, lacking):
            cannot[told(key)] = f"the table holds no block of the kind {', '.join(unknown)}"
        else:
            can[key] = network
    if not can:
        return [], cannot
    predictor = fit(table, space, [block for network in can.values() for block in _blocks(network)])
    priced = []
    for key, network in can.items():
        prediction = predictor.predict(network)
        scaled = ScaledNetwork(*key, prediction.ms, network)
        source: Source = "estimated" if prediction.estimated else "priced"
        priced.append(KnownLatency(scaled, source, prediction.interval_ms))
    return priced, cannot


def _not_estimated(table: LatencyTable, lacking: Sequence[Block]) -> list[str]:
    """The kinds of those blocks that cannot be estimated from the table."""
    few = len(table.blocks) < MIN_BLOCKS_TO_ESTIMATE
    return sorted({spec.kind for spec, _ in lacking}) if few else unlike(table, lacking)


def _blocks(network: Architecture) -> list[Any]:
    return [block for block in network.placed_blocks() if not block[0].is_identity]
