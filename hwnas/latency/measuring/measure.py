"""From a SearchSpace to its LatencyTable: every distinct block once, and whole networks to calibrate and judge with."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from hwnas.arguments import whole_number
from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device
from hwnas.latency.fitting.transfer_fit import informative_sample
from hwnas.latency.measuring.table_campaign import TABLES_FOLDER, SpaceTable, TableCampaign
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.tables.table import LatencyTable
from hwnas.runtimes import Runtime
from hwnas.space import Architecture, SearchSpace, check_space
from hwnas.space.decision_macs import decision_macs

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples modulo 1 fill an interval evenly, however many there are."""


def measure(
    space: SearchSpace,
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    tables: Path | str = TABLES_FOLDER,
    networks: int = 30,
    progress: Callable[[CampaignProgress], None] | None = None,
    precision: str = USUAL_PRECISION,
) -> SpaceTable:
    """Measure a space's blocks and some of its networks on a device: the table in ``tables/DEVICE/RUNTIME``.

    Repetitions that the table's journal holds already are not made again, so a campaign that was stopped goes on, and a
    second space adds only its new blocks. Networks are drawn with a fixed seed, spread over the space's range of cost.

    Args:
        space: the search space.
        device: a Device, its name, or the path of its file.
        runtime: a Runtime of this machine, or one of `hwnas.runners.ALL_RUNTIMES`; None: the device's own.
        tables: the folder that tables are kept in.
        networks: how many whole networks.
        progress: called after each repetition.
        precision: of the model files, one of `hwnas.exporter.precision.PRECISIONS`. Int8 is calibrated with random
            inputs, which do not change what an inference takes. The table of another one than float32 is in
            ``tables/DEVICE/RUNTIME-PRECISION``.

    Raises:
        UsageError: unknown device, runtime or precision.
        HwnasError: the device cannot be reached or lacks the runtime; the table was measured under other conditions;
            the disk is full; a package is missing that makes files of this precision; some models cannot be measured
            (the table with all others is saved before).
    """
    check_space(space)
    networks = whole_number(networks, "networks", 0)
    with TableCampaign.begin(device, runtime, tables, progress, precision=precision) as campaign:
        campaign.measure(space.distinct_blocks(), spread_sample(space, networks))
    return campaign.result


def measure_like(
    known: Sequence[LatencyTable],
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    tables: Path | str = TABLES_FOLDER,
    networks: int = 10,
    progress: Callable[[CampaignProgress], None] | None = None,
    precision: str = USUAL_PRECISION,
) -> SpaceTable:
    """Measure, of the networks in known devices' tables, those that tell most about a new device; no blocks.

    `hwnas.latency.fitting.transfer_fit` then predicts the others. Arguments and errors as for `measure`; HwnasError
    also if the known tables hold no whole networks.
    """
    with TableCampaign.begin(device, runtime, tables, progress, precision=precision) as campaign:
        campaign.measure([], informative_sample(known, networks))
    return campaign.result


def spread_sample(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    """Distinct architectures spread over the space's range of cost, from nearly all small to nearly all large.

    Uniform samples of a long chain all cost about the same, and say little about the ends a budget asks for. Here each
    network has a leaning of its own, with which every decision prefers candidates of few or of many MACs. A larger
    sample begins with the smaller one, so that asking for more measures only the new ones.
    """
    rng = random.Random(seed)
    macs = _relative_macs(space)
    found: dict[str, Architecture] = {}
    for attempt in range(50 * count):
        if len(found) == min(count, space.size):
            break
        leaning = 8 * (attempt * GOLDEN_RATIO % 1 - 0.5)
        code = [rng.choices(range(len(m)), [math.exp(leaning * (x - 0.5)) for x in m])[0] for m in macs]
        architecture = space.decode(code)
        found.setdefault(architecture.digest, architecture)
    return list(found.values())


def _relative_macs(space: SearchSpace) -> list[list[float]]:
    """Per decision the MACs of each candidate, from 0 for the smallest to 1 for the largest."""
    return [[(m - min(all_)) / ((max(all_) - min(all_)) or 1) for m in all_] for all_ in decision_macs(space)]
