"""Measuring one model file, of whatever origin, the way a campaign measures its entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hwnas.campaign.conditions import Conditions, conditions_of
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.repetitions import Visit, combine, visits_wanted
from hwnas.devices.device import Device
from hwnas.devices.preconditions import Gate
from hwnas.errors import UsageError
from hwnas.runners import default_runtime, is_in_process, open_runner, runtime_suffix
from hwnas.runners.base import Runner
from hwnas.runners.benchmark_model import BenchmarkModel
from hwnas.runners.operator_profile import OperatorProfile
from hwnas.runners.retrying import Visitor
from hwnas.runtimes.base import Runtime
from hwnas.sandbox import MEMORY_BYTES, run_apart
from hwnas.temporary import temporary_folder

SLOWEST_RUN_S = 10.0
"""A model whose single inference takes this long can still be measured without a longer timeout."""

COPIES = 4
"""How often the weights may lie in memory: file, copy, packed for the kernels, and one more while packing."""


@dataclass(frozen=True)
class Bench:
    """A Measurement and the Conditions it was taken under."""

    measurement: Measurement
    conditions: Conditions
    reference_us: tuple[float, ...] = ()
    """Medians of the looks at a reference model, one before each visit, where there was one."""

    def to_json(self) -> dict[str, Any]:
        """``median_ms, p5_ms, p95_ms, runs`` and the rest of the Measurement, ``conditions`` and ``reference_us``."""
        return self.measurement.to_json() | {
            "conditions": self.conditions.to_json(),
            "reference_us": list(self.reference_us),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Bench:
        """The Bench that `to_json` wrote."""
        conditions = Conditions.from_json(data["conditions"])
        return Bench(Measurement.from_json(data), conditions, tuple(data["reference_us"]))


def _silent(_: object) -> None:
    pass


def bench(
    model: Path | bytes,
    device: Device,
    runtime: Runtime | str | None = None,
    threads: int | None = None,
    reference: bytes | None = None,
    timeout_s: float | None = None,
    waiting: Callable[[str], None] = _silent,
) -> Bench:
    """Measure a .tflite or .onnx model on a Device; with this machine's Python runtimes, in a fresh process.

    What a process did before, such as training, lies in its memory and makes models a percent or two slower; and a
    damaged file that crashes a runtime must not take more with it. On a phone or a board each visit is a fresh process
    anyhow.

    Args:
        model: With one float32 input and one float32 output, of fixed size.
        device: Its `visits` are made one after the other, each with the model loaded anew: where its memory lies
            changes a latency by more than repeating runs shows.
        runtime: A runtime of this machine, or the name of one of the Device; None: the Device's own if it takes the
            model, otherwise the first that does.
        threads: None: as the device says.
        reference: A model in the runtime's format that is looked at before each visit, to tell how fast the machine is.
        timeout_s: Seconds after which the fresh process is stopped; None: what the device's visits take at most, with
            single inferences of up to `SLOWEST_RUN_S`.
        waiting: Told the reason while a phone is too hot to be measured.

    Raises:
        UsageError: For a suffix that no runtime takes, or fewer threads than one.
        HwnasError: If the device cannot be reached or stays unfit; if the runtime is missing or refuses the model,
            crashes on it, needs more than 8 GiB beside it, or does not finish in time.
    """
    chosen = runtime if isinstance(runtime, str) else runtime.name if runtime else default_runtime(device, model)
    device = device.with_threads(threads)
    with temporary_folder() as folder:

        def as_file(name: str, given: Path | bytes) -> Path:
            if isinstance(given, Path):
                return given
            path = folder / f"{name}{runtime_suffix(chosen)}"
            path.write_bytes(given)
            return path

        looked_at = None if reference is None else as_file("reference", reference)
        if is_in_process(device, chosen):
            seconds = longest_s(device, reference is not None) if timeout_s is None else timeout_s
            return _apart(as_file("model", model), device, chosen, looked_at, seconds)
        with open_runner(device, chosen) as runner:
            return bench_with(runner, as_file("model", model), device, looked_at, waiting)


def profile_operators(
    model: Path, device: Device, runtime: str | None = None, threads: int | None = None
) -> OperatorProfile:
    """What each operator of a model takes on a Device, from launches of their own: profiling makes a model slower.

    Args:
        model: With one float32 input and one float32 output, of fixed size.
        device: Where; with the path of Google's program in `benchmark_model`.
        runtime: Only ``benchmark-model`` tells of operators; it is the default here.
        threads: None: as the device says.

    Raises:
        UsageError: For another runtime, or where the program is not named.
        HwnasError: If the device cannot be reached, or the program fails or has no profiling.
    """
    if runtime not in (None, "benchmark-model"):
        raise UsageError(
            f"the runtime {runtime} does not tell what single operators take; benchmark-model, Google's program, does."
        )
    device = device.with_threads(threads)
    with open_runner(device, "benchmark-model") as runner, runner.load(model) as loaded:
        assert isinstance(loaded, BenchmarkModel)
        return loaded.profile()


def longest_s(device: Device, with_reference: bool = False) -> float:
    """Seconds that a bench on `device` takes at most, as long as no inference takes more than `SLOWEST_RUN_S`."""
    warm_up_and_runs_s = 2 * (device.max_ms / 1000 + SLOWEST_RUN_S)
    return (device.visits + device.extra_visits) * warm_up_and_runs_s * (2 if with_reference else 1)


def bench_with(
    runner: Runner,
    model: Path,
    device: Device,
    reference: Path | None = None,
    waiting: Callable[[str], None] = _silent,
) -> Bench:
    """The same with an open runner. What a lost connection costs is measured again."""

    looks_us: list[float] = []
    visits: list[Visit] = []
    conditions = conditions_of(runner, device)  # before: measuring raises the load average
    with Visitor(runner, reference, _silent) as visitor:
        gate = Gate(device, visitor.health, _silent, waiting)
        while (wanted := visits_wanted(visits, device)) > 0:
            for _ in range(wanted):
                gate.wait()
                if reference is not None:
                    looks_us.append(median(visitor.time_reference().runs_us))
                timing = visitor.time(lambda: model)
                visits.append(Visit("", tuple(timing.runs_us), drift_percent=None))
    return Bench(combine(visits, device), conditions, tuple(looks_us))


def _apart(model: Path, device: Device, runtime: str, reference: Path | None, timeout_s: float) -> Bench:
    """Run `bench_with` in a fresh process with limits."""
    task = {
        "model": str(model.absolute()),
        "device": device.model_dump(),
        "runtime": runtime,
        "reference": None if reference is None else str(reference.absolute()),
    }
    memory_bytes = MEMORY_BYTES + COPIES * _size(model)
    return Bench.from_json(
        run_apart("hwnas.campaign.bench_process", task, runtime, str(model), timeout_s, memory_bytes)
    )


def _size(model: Path) -> int:
    """Bytes of a file; 0 for one that cannot be read, which the runtime will explain."""
    try:
        return model.stat().st_size
    except OSError:
        return 0
