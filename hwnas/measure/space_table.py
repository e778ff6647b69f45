"""From a SearchSpace to its LatencyTable: every distinct block once, and whole networks to calibrate and judge with."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwnas.latency.table import Latency, LatencyTable
from hwnas.measure.campaign import Campaign, Entry, Progress, Summary
from hwnas.measure.conditions import Conditions, check_same
from hwnas.measure.device import Device, load_device
from hwnas.measure.measurement import Measurement
from hwnas.runtimes import get_runtime
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.spec import MBConv, Shape, Spec

JOURNAL_FILE = "journal.jsonl"
TABLES_FOLDER = Path("latency_models")

REFERENCE = (MBConv(32, 32, kernel=3, expand=6), (32, 28, 28))
"""The block that witnesses drift in every campaign, so that tables of one device can be compared by it."""

PRECISION = "float32"

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples modulo 1 fill an interval evenly, however many there are."""


@dataclass(frozen=True)
class SpaceTable:
    """A measured LatencyTable and what it took: counts are of entries, that is of blocks and whole networks."""

    table: LatencyTable
    folder: Path
    entries: int
    measured: int
    reused: int
    summary: Summary


def measure(
    space: SearchSpace,
    device: Device | str = "local",
    runtime: str = "litert",
    tables: Path | str = TABLES_FOLDER,
    networks: int = 30,
    progress: Callable[[Progress], None] | None = None,
) -> SpaceTable:
    """Measure a space's blocks and some of its networks on a device: the table in ``tables/DEVICE/RUNTIME``.

    What the table's journal holds already is not measured again, so a campaign that was stopped goes on, and a second
    space adds what is new. Networks are drawn with a fixed seed, spread over the space's range of cost.

    Args:
        space: the search space.
        device: a Device, or the name of one.
        runtime: one of `hwnas.runtimes.RUNTIMES`.
        tables: the folder that tables are kept in.
        networks: how many whole networks.
        progress: called after each visit.

    Raises:
        UsageError: unknown device or runtime.
        HwnasError: the runtime is not installed; the table was measured under other conditions; the disk is full.
    """
    device = device if isinstance(device, Device) else load_device(device)
    engine = get_runtime(runtime)
    folder = Path(tables) / device.name / engine.name
    blocks = space.distinct_blocks()
    samples = spread_sample(space, networks)
    format = engine.suffix.removeprefix(".")
    entries = [
        Entry(key, str(spec), partial(_block_model, spec, shape, format)) for key, (spec, shape) in _keys(blocks)
    ]
    entries += [Entry(a.digest, f"network {a.code}", partial(network_model, a, format)) for a in samples]
    reference = reference_model(format)
    campaign = Campaign(device, engine, folder / JOURNAL_FILE, entries, reference, PRECISION)
    if progress is not None:
        campaign.progress = progress
    table = _existing(folder, campaign.conditions)
    measurements = campaign.run()
    for key, block in _keys(blocks):
        table.blocks[block] = _latency(measurements[key])
    for architecture in samples:
        table.networks[architecture] = _latency(measurements[architecture.digest])
    table.conditions = campaign.conditions.to_json() | {"summary": campaign.summary.to_json()}
    table.save(folder)
    measured = campaign.summary.entries_measured
    return SpaceTable(table, folder, len(entries), measured, len(entries) - measured, campaign.summary)


def spread_sample(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    """Distinct architectures spread over the space's range of cost, from nearly all small to nearly all large.

    Uniform samples of a long chain all cost about the same, and say little about the ends a budget asks for. Here each
    network has a leaning of its own, with which every decision prefers candidates of few or of many MACs. A larger
    sample begins with the smaller one, so that asking for more measures only what is new.
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
    macs = {d.name: [0.0] * len(d.candidates) for d in space.decisions}
    for node, shape in space.positions():
        if isinstance(node, OneOf):
            macs[node.name] = [m + spec.macs(shape) for m, spec in zip(macs[node.name], node.candidates, strict=True)]
    return [[(m - min(all_)) / ((max(all_) - min(all_)) or 1) for m in all_] for all_ in macs.values()]


def _keys(blocks: Iterable[tuple[Spec, Shape]]) -> Iterable[tuple[str, tuple[Spec, Shape]]]:
    """Each block with the name that the journal knows it by."""
    for spec, shape in blocks:
        text = json.dumps([spec.to_json(), shape], sort_keys=True)
        yield hashlib.sha256(text.encode()).hexdigest(), (spec, shape)


def _block_model(spec: Spec, input_shape: Shape, format: str) -> bytes:
    """A block with random weights as a model file."""
    from hwnas.blocks import build_block  # torch takes a second to load: `hwnas devices` and `bench` do without
    from hwnas.export import convert

    return convert(build_block(spec), (1, *input_shape), format)


def network_model(architecture: Architecture, format: str) -> bytes:
    """A whole network with random weights as a model file."""
    from hwnas.child import build_child
    from hwnas.export import convert

    return convert(build_child(architecture), (1, *architecture.input_shape), format)


def reference_model(format: str) -> bytes:
    """The model that every campaign, and a later measurement that is compared with one, looks at."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same bytes in every process: the journal knows the reference by their hash
        return _block_model(*REFERENCE, format)


def _existing(folder: Path, conditions: Conditions) -> LatencyTable:
    """The table that the folder holds, or an empty one. Raises HwnasError if it was measured otherwise."""
    if not (folder / "blocks.csv").is_file():
        return LatencyTable()
    table = LatencyTable.load(folder)
    check_same(table.conditions, conditions, folder)
    return table


def _latency(measurement: Measurement) -> Latency:
    return Latency(
        measurement.median_ms,
        measurement.p5_ms,
        measurement.p95_ms,
        measurement.runs,
        measurement.between_visits_percent,
        measurement.noisy,
    )
