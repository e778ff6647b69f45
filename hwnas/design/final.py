"""The last measurement of a design: the files that were exported, on the device that they are for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from hwnas.design.config import Progress
from hwnas.export import ExportedModel
from hwnas.latency import LatencyTable
from hwnas.measure import Device, Measurement, bench, reference_model
from hwnas.measure.runners import runtime_suffix
from hwnas.runtimes import installed_runtimes

FINAL_ROUNDS = 4
"""How often each exported file is measured, in turns with the others."""


@dataclass(frozen=True)
class FinalMeasurement:
    """Per runtime: median ms of the exported files, median microseconds of the reference model, the conditions."""

    measured_ms: dict[str, float]
    reference_us: dict[str, float]
    conditions: dict[str, dict[str, Any]]

    def status(self, runtime: str, budget_ms: float) -> Literal["within", "over", "predicted"]:
        """Whether the wanted runtime is within the budget."""
        if not self.measured_ms:
            return "predicted"
        return "within" if self.measured_ms[runtime] <= budget_ms else "over"

    def drift_percent(self, table: LatencyTable, runtime: str) -> float | None:
        """How much longer the reference model takes now than for the table; None if either is not known.

        No prediction is corrected by it: networks do not follow the reference closely enough for that to help.
        """
        then_us, now_us = table.conditions.get("summary", {}).get("reference_us"), self.reference_us.get(runtime)
        return 100 * (now_us / then_us - 1) if then_us and now_us else None


def measure_models(
    models: list[ExportedModel],
    device: Device,
    runtime: str,
    report: Progress,
    everywhere: bool = True,
    rounds: int = FINAL_ROUNDS,
) -> FinalMeasurement:
    """Measure the exported files: on `runtime`, and on this machine `everywhere`, with each other one installed.

    Several rounds over all of them: a machine is a percent or two slower for some seconds and faster for others, which
    no single visit can see.
    """
    names = list(
        dict.fromkeys([runtime, *(installed_runtimes() if everywhere and device.transport == "local" else ())])
    )
    pairs = [(name, model) for name in names for model in models if runtime_suffix(name) == f".{model.format}"]
    references = {model.format: reference_model(model.format) for model in models}
    visits: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    looks_us: dict[str, list[float]] = defaultdict(list)
    conditions: dict[str, dict[str, Any]] = {}
    visited = [pair for _ in range(rounds) for pair in pairs]
    for done, (name, model) in enumerate(visited):
        report("measure again", done, len(visited), name)
        measured = bench(model.path, device, name, reference=references[model.format])
        visits[name] += measured.measurement.runs_us
        looks_us[name] += measured.reference_us
        conditions[name] = measured.conditions.to_json()
    if visited:
        report("measure again", len(visited), len(visited), "")
    measured_ms = {name: Measurement(tuple(runs_us)).median_ms for name, runs_us in visits.items()}
    reference_us = {name: median(looks) for name, looks in looks_us.items()}
    return FinalMeasurement(measured_ms, reference_us, conditions)
