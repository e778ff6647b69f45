"""The last measurement of a design: the files that were exported, on the device that they are for."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from hwnas.campaign.bench import bench
from hwnas.campaign.measurement import Measurement
from hwnas.designer.config import DesignProgress
from hwnas.devices.device import Device
from hwnas.exporter.exported import ExportedModel
from hwnas.latency.measuring.model_files import reference_model
from hwnas.latency.tables.table import LatencyTable
from hwnas.runners import runtime_format
from hwnas.runtimes import installed_runtimes

FINAL_ROUNDS = 4
"""How often the file that the budget is for is measured, in turns with the others, which are half as often."""
RETAKES, PAUSE_S = 3, 1.0
"""How many times as often it is measured again at most where the machine was slower meanwhile; and the pause before."""
PATIENT_RETAKES = 9
"""How often a network is measured again while a search decides, on a machine that is as fast as usual now and then."""


@dataclass(frozen=True)
class FinalMeasurement:
    """Per runtime: median ms of the file in the first precision, which the budget is for, median microseconds of the
    reference model, the conditions. By the name of each file: the same ms per runtime."""

    measured_ms: dict[str, float]
    reference_us: dict[str, float]
    conditions: dict[str, dict[str, Any]]
    files_ms: dict[str, dict[str, float]]

    def status(self, runtime: str, budget_ms: float) -> Literal["within", "over", "predicted"]:
        """Whether the wanted runtime is within the budget."""
        if not self.measured_ms:
            return "predicted"
        return "within" if self.measured_ms[runtime] <= budget_ms else "over"

    def with_further(self, other: FinalMeasurement) -> FinalMeasurement:
        """With the values of another measurement of the same files on the same device in the place of its own."""
        files_ms = {name: own | other.files_ms.get(name, {}) for name, own in self.files_ms.items()}
        return FinalMeasurement(
            self.measured_ms | other.measured_ms,
            self.reference_us | other.reference_us,
            self.conditions | other.conditions,
            other.files_ms | files_ms,
        )

    def drift_percent(self, table: LatencyTable, runtime: str) -> float | None:
        """How much longer the reference model takes now than for the table; None if either is not known.

        No prediction is corrected by it: networks do not follow the reference closely enough for that to help.
        """
        then_us, now_us = usual_us_of(table), self.reference_us.get(runtime)
        return 100 * (now_us / then_us - 1) if then_us and now_us else None


def usual_us_of(table: LatencyTable) -> float | None:
    """How long the reference model took when the table was measured; None: the table does not say."""
    known = table.conditions.get("summary", {}).get("reference_us")
    return float(known) if known else None


@dataclass(frozen=True)
class Repetition:
    """One bench of a file: the runs of its visits in microseconds, and the reference model's medians around them."""

    runs_us: tuple[tuple[float, ...], ...]
    reference_us: tuple[float, ...]

    @property
    def slowest_us(self) -> float:
        """Of the reference: how slow the machine was at worst; 0 where there was none."""
        return max(self.reference_us, default=0.0)

    @property
    def fastest_us(self) -> float:
        """Of the reference: how fast the machine was at best; 0 where there was none."""
        return min(self.reference_us, default=0.0)

    @property
    def file_ms(self) -> float:
        """Of the file."""
        return Measurement(self.runs_us).median_ms


def undisturbed(
    repetitions: Sequence[Repetition], limit_percent: float, usual_us: float | None = None
) -> list[Repetition]:
    """The repetitions during which the machine was as fast as it usually is, or as it was at its fastest now.

    The reference model tells it, and the file itself: other programs that fill the caches slow a large network, and
    leave the reference as it is.

    Args:
        repetitions: of one file.
        limit_percent: how much slower the reference model, and the file, may be.
        usual_us: how long the reference takes as a rule; None: not known.
    """
    now_us = min((repeat.slowest_us for repeat in repetitions), default=0.0)
    allowed = 1 + limit_percent / 100
    most_us = min(now_us, usual_us or now_us) * allowed
    most_ms = min((repeat.file_ms for repeat in repetitions), default=0.0) * allowed
    return [repeat for repeat in repetitions if repeat.slowest_us <= most_us and repeat.file_ms <= most_ms]


def least_disturbed(repetitions: Sequence[Repetition], limit_percent: float) -> list[Repetition]:
    """The repetitions, at least one of any, during which the machine was as fast as it was at its fastest now.

    Where it never was by the reference model and by the file at once, the file alone tells: other programs make it
    slower, never faster.
    """
    fastest_ms = min((repeat.file_ms for repeat in repetitions), default=0.0)
    most_ms = fastest_ms * (1 + limit_percent / 100)
    return undisturbed(repetitions, limit_percent) or [each for each in repetitions if each.file_ms <= most_ms]


def is_known(repetitions: Sequence[Repetition], limit_percent: float, usual_us: float) -> bool:
    """Whether more repetitions of a file are not needed, or are not worth their time.

    They are not needed where one was undisturbed, or where the file took its least twice, once while the machine
    was as fast as usual for a moment. They are not worth it where the machine stays slower.

    Args:
        repetitions: of one file, so far.
        limit_percent: how much slower the reference model, and the file, may be.
        usual_us: how long the reference takes as a rule.
    """
    allowed = 1 + limit_percent / 100
    least_ms = min(repeat.file_ms for repeat in repetitions)
    fast = [repeat for repeat in repetitions if repeat.fastest_us <= usual_us * allowed]
    least = [repeat for repeat in repetitions if repeat.file_ms <= least_ms * allowed]
    if undisturbed(repetitions, limit_percent, usual_us) or (len(least) > 1 and any(each in fast for each in least)):
        return True
    return len(repetitions) > (PATIENT_RETAKES if fast else RETAKES)


def undisturbed_ms(model: bytes, device: Device, runtime: str, usual_us: float | None = None) -> float:
    """Median ms of a model file, while the machine is as fast as it usually is.

    Where it is slower, as the reference model beside the file tells, both are measured again, some seconds later, until
    that `is_known`. If it stays slower, that is how fast it is.

    Args:
        model: the content of a file that the runtime takes.
        usual_us: how long the reference model takes as a rule; None: not known, and once is enough.
    """
    reference = reference_model(runtime_format(runtime)) if usual_us else None
    repetitions: list[Repetition] = []
    while True:
        measured = bench(model, device, runtime, reference=reference)
        repetitions.append(Repetition(tuple(measured.measurement.runs_us), tuple(measured.reference_us)))
        if not usual_us or is_known(repetitions, device.drift_limit_percent, usual_us):
            break
        time.sleep(PAUSE_S)
    taken = undisturbed(repetitions, device.drift_limit_percent, usual_us)
    taken = taken or least_disturbed(repetitions, device.drift_limit_percent)
    return Measurement(tuple(runs for each in taken for runs in each.runs_us)).median_ms


def measure_models(
    models: list[ExportedModel],
    device: Device,
    runtime: str,
    report: DesignProgress,
    everywhere: bool = True,
    rounds: int = FINAL_ROUNDS,
    usual_us: float | None = None,
) -> FinalMeasurement:
    """Measure the exported files: on `runtime`, and on this machine `everywhere`, with each other one installed.

    Several rounds over all of them: a machine is a percent or two slower for some seconds and faster for others, which
    no single repetition can see. Where it is slower by more, as the reference model beside the file or the file itself
    tells, the file that the budget is for is measured again, some seconds later and a limited number of times, as in a
    campaign (the device's ``drift_limit_percent``). If it stays slower, that is how fast it is.

    Args:
        usual_us: how long the reference model takes on `runtime` as a rule, such as when the table was measured.
    """
    pairs = _pairs(models, runtime, everywhere and device.transport == "local")
    references = {model.format: reference_model(model.format) for model in models}
    repetitions: dict[tuple[str, str], list[Repetition]] = defaultdict(list)
    conditions: dict[str, dict[str, Any]] = {}

    def repeat(name: str, model: ExportedModel) -> None:
        measured = bench(model.path, device, name, reference=references[model.format])
        found = Repetition(tuple(measured.measurement.runs_us), tuple(measured.reference_us))
        repetitions[name, model.path.name].append(found)
        conditions.setdefault(name, measured.conditions.to_json())

    def is_limited(name: str, model: ExportedModel) -> bool:
        return name == runtime and model.precision == models[0].precision

    def good(name: str, model: ExportedModel) -> list[Repetition]:
        usual = usual_us if name == runtime else None
        return undisturbed(repetitions[name, model.path.name], device.drift_limit_percent, usual)

    half = (rounds + 1) // 2
    planned = [pair for turn in range(rounds) for pair in pairs if turn < (rounds if is_limited(*pair) else half)]
    for done, (name, model) in enumerate(planned):
        report("measure again", done, len(planned), f"{name}, {model.precision}")
        repeat(name, model)
    if planned:
        report("measure again", len(planned), len(planned), "")
    for name, model in filter(lambda pair: is_limited(*pair), pairs):
        for _ in range(RETAKES * rounds):
            if len(good(name, model)) >= rounds:
                break
            report("measure again", len(planned), len(planned), f"{name} once more: the machine was slower")
            time.sleep(PAUSE_S)
            repeat(name, model)
    # as fast as it usually is, or, if it never was, as fast as it is now
    taken = {
        (name, model.path.name): good(name, model)
        or least_disturbed(repetitions[name, model.path.name], device.drift_limit_percent)
        for name, model in pairs
    }
    return _final(models, taken, conditions)


def _pairs(models: Sequence[ExportedModel], runtime: str, everywhere: bool) -> list[tuple[str, ExportedModel]]:
    """The files, each with a runtime to measure it on: files of the first precision on all, others on `runtime` and
    on the first other one that takes them, and so int8: some runtimes have no fast int8, and are not used for it."""
    names = list(dict.fromkeys([runtime, *(installed_runtimes() if everywhere else ())]))
    found = []
    for model in models:
        taking = [name for name in names if runtime_format(name) == model.format]
        everyone = model.precision == models[0].precision != "int8"
        found += [(name, model) for name in (taking if everyone else taking[:1])]
    return sorted(found, key=lambda pair: names.index(pair[0]))


def _final(
    models: Sequence[ExportedModel],
    taken: Mapping[tuple[str, str], Sequence[Repetition]],
    conditions: dict[str, dict[str, Any]],
) -> FinalMeasurement:
    """The medians over the repetitions that were taken, by (runtime, name of the file)."""
    files_ms: dict[str, dict[str, float]] = defaultdict(dict)
    for (name, file), found in taken.items():
        files_ms[file][name] = Measurement(tuple(runs for each in found for runs in each.runs_us)).median_ms
    first = [model.path.name for model in models if model.precision == models[0].precision]
    reference_us = {
        name: median(us for each in found for us in each.reference_us)
        for (name, file), found in taken.items()
        if file in first and any(each.reference_us for each in found)
    }
    measured_ms = {name: ms for file in first for name, ms in files_ms[file].items()}
    # in the order in which they were measured: the wanted runtime first
    return FinalMeasurement({n: measured_ms[n] for n in conditions}, reference_us, conditions, dict(files_ms))
