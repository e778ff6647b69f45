"""The TableCampaign: measurements of blocks and whole networks, in one go or in rounds, on their way to a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.campaign.campaign import Campaign, Entry
from hwnas.campaign.conditions import Conditions, differences
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import CampaignProgress, CampaignSummary
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.precision import get_precision
from hwnas.latency.measuring.model_files import ModelFiles, check_can_make, reference_model
from hwnas.latency.tables.precision import USUAL_PRECISION, table_name
from hwnas.latency.tables.table import Block, Latency, LatencyTable
from hwnas.progress import silent
from hwnas.runners import open_runner
from hwnas.runners.base import Runner
from hwnas.runtimes import Runtime
from hwnas.space import Architecture
from hwnas.specs.spec import Shape, Spec
from hwnas.temporary import temporary_folder

LEFT = "left_to_cpu"
JOURNAL_FILE = "journal.jsonl"
TABLES_FOLDER = Path("latency_models")


@dataclass(frozen=True)
class SpaceTable:
    """A measured LatencyTable and its cost: counts are of entries, that is of blocks and whole networks."""

    table: LatencyTable
    folder: Path
    entries: int
    measured: int
    reused: int
    summary: CampaignSummary

    def __repr__(self) -> str:
        return f"SpaceTable({str(self.folder)!r}: {self.entries} entries, {self.measured} of them measured now)"


class TableCampaign:
    """An open table of one device, runtime and precision, which measurements are added to."""

    def __init__(self, campaign: Campaign, runner: Runner, folder: Path, model_files: ModelFiles) -> None:
        """`campaign`: of the runner; entered, and left, by `begin`."""
        self._campaign, self._runner, self._folder, self._model_files = campaign, runner, folder, model_files
        self.table = _existing(folder, campaign.conditions)
        self.keys: set[str] = set()
        """Entries asked for, measured now or before."""

    @staticmethod
    @contextmanager
    def begin(
        device: Device | Path | str,
        runtime: Runtime | str | None,
        tables: Path | str,
        progress: Callable[[CampaignProgress], None] | None = None,
        part: str = "",
        precision: str = USUAL_PRECISION,
    ) -> Iterator[TableCampaign]:
        """Open the table in ``tables/DEVICE/RUNTIME``, new or as it is, to be measured into; `result` is there after.

        `part`: a folder in that one, for a table of its own. `precision`: of the model files; the table of another one
        than float32 has a folder of its own, ``tables/DEVICE/RUNTIME-PRECISION``.

        Raises:
            UsageError: unknown device, runtime or precision, or a device of another batch than 1.
            HwnasError: the device cannot be reached or lacks the runtime; the table was measured under other
                conditions; the disk is full; a package is missing that makes files of this precision.
        """
        device = load_device(device)
        get_precision(precision)  # raises for a name that there is not
        if device.batch != 1:
            raise UsageError(
                f"a latency table is of single images, and {device.name} is measured with batch = {device.batch}, "
                "which is for `hwnas bench`. Set batch = 1 in the device file, or use another one."
            )
        with open_runner(device, runtime) as runner, temporary_folder() as models:
            folder = Path(tables) / device.name / table_name(runner.runtime, precision) / part
            model_files = ModelFiles(runner.suffix.removeprefix("."), precision, models)
            reference = reference_model(model_files.format)
            campaign = Campaign(
                device, runner, folder / JOURNAL_FILE, reference, precision, progress=progress or silent
            )
            made = TableCampaign(campaign, runner, folder, model_files)
            check_can_make(model_files.format, precision)
            with campaign:  # which locks the folder: until now another one may have written to it
                made.table = _existing(folder, campaign.conditions)
                yield made

    def measure(self, blocks: Sequence[Block], networks: Sequence[Architecture]) -> None:
        """Measure those of these that the journal lacks, and save the table with them.

        Raises HwnasError, naming them, if some cannot be measured; the table with all others is saved before.
        """
        self.measure_most(blocks, networks)
        self._campaign.raise_failures()

    def measure_most(self, blocks: Sequence[Block], networks: Sequence[Architecture]) -> dict[str, str]:
        """As `measure`; returns the reasons of those that cannot be measured, by key: a network's is its digest."""
        files = self._model_files
        keys = {_key(*block): block for block in blocks}
        distinct = {network.digest: network for network in networks}.values()
        entries = [Entry(key, str(block[0]), partial(files.of_block, key, block)) for key, block in keys.items()]
        entries += [Entry(a.digest, f"network {a.space} {a.code}", partial(files.of_network, a)) for a in distinct]
        self.keys |= {entry.key for entry in entries}
        measurements = self._campaign.measure(entries)
        latencies = {key: _latency(measurement) for key, measurement in measurements.items()}
        self.table.blocks |= {block: latencies[key] for key, block in keys.items() if key in latencies}
        self.table.networks |= {n: latencies[n.digest] for n in networks if n.digest in latencies}
        summary = self._campaign.summary.to_json()
        circumstances = _with_all_left(self.table.conditions, self._runner.circumstances())
        conditions = self._campaign.conditions
        conditions = replace(conditions, circumstances=conditions.circumstances | circumstances)
        self.table.conditions = conditions.to_json() | {"summary": summary}
        self.table.save(self._folder)
        return dict(self._campaign.failures)

    @property
    def result(self) -> SpaceTable:
        """The table, and the summary of the work for it."""
        summary = self._campaign.summary
        measured = summary.entries_measured
        return SpaceTable(self.table, self._folder, len(self.keys), measured, len(self.keys) - measured, summary)


def _with_all_left(before: Mapping[str, Any], circumstances: dict[str, Any]) -> dict[str, Any]:
    """The circumstances of the runner, with all that a GPU left to the CPU in any part of the campaign."""
    left = {*before.get("circumstances", {}).get(LEFT, ()), *circumstances.get(LEFT, ())}
    return circumstances | ({LEFT: sorted(left)} if left else {})


def _key(spec: Spec, shape: Shape) -> str:
    """The name that the journal knows a block by."""
    return hashlib.sha256(json.dumps([spec.to_json(), shape], sort_keys=True).encode()).hexdigest()


def check_table_conditions(recorded: Mapping[str, Any], current: Conditions, place: Path | str) -> None:
    """Refuse to mix the numbers of a table with those of other conditions.

    Args:
        recorded: the conditions of the table, as `Conditions.to_json` wrote them.
        current: those of a measurement that is made now.
        place: where the table is, for the message.

    Raises:
        HwnasError: they differ in what decides a latency; the message lists the differences.
    """
    if found := differences(Conditions.from_json(recorded).identity, current.identity, "the table"):
        raise HwnasError(
            f"the table {place} was measured under other conditions ({'; '.join(found)}), so its numbers do not hold "
            "here. Measure anew into another folder with --tables, restore those conditions, or take the table as it "
            "is with --accept-conditions where a command offers it."
        )


def _existing(folder: Path, conditions: Conditions) -> LatencyTable:
    """The table that the folder holds, or an empty one. Raises HwnasError if it was measured otherwise."""
    if not (folder / "blocks.csv").is_file():
        return LatencyTable()
    table = LatencyTable.load(folder)
    if table.publication:
        raise HwnasError(
            f"{folder} holds a published table ({table.publication}), and measured numbers are never mixed with one. "
            "Measure into another folder with --tables, or delete that one."
        )
    check_table_conditions(table.conditions, conditions, folder)
    return table


def _latency(measurement: Measurement) -> Latency:
    return Latency(
        measurement.median_ms,
        measurement.p5_ms,
        measurement.p95_ms,
        measurement.runs,
        measurement.between_visits_percent,
        measurement.noisy,
        measurement.halves_percent,
        measurement.drift_percent,
    )
