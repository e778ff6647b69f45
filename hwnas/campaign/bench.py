"""The bench: one model file, of whatever origin, measured the way a campaign measures its entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

from hwnas.campaign.conditions import Conditions, conditions_of
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.repetitions import Repetition, combine, repetitions_wanted
from hwnas.devices.device import Device, load_device
from hwnas.devices.preconditions import Preconditions, has_limits
from hwnas.errors import UsageError
from hwnas.progress import silent
from hwnas.runners import chosen_runtime, is_in_process, open_runner, resolve_runtime, runtime_suffix
from hwnas.runners.base import Runner
from hwnas.runners.benchmark_model import BenchmarkModel, BenchmarkModelRunner
from hwnas.runners.operator_profile import OperatorProfile
from hwnas.runners.registry import programs
from hwnas.runners.remote import RemoteRunner
from hwnas.runners.retrying import RetryingRunner
from hwnas.runtimes.base import Runtime
from hwnas.sandbox import MEMORY_BYTES, run_sandboxed
from hwnas.temporary import temporary_folder

SLOWEST_RUN_S = 10.0
"""A model whose single inference takes this long can still be measured without a longer timeout."""

COPIES = 4
"""How often the weights may lie in memory: file, copy, packed for the kernels, and one more while packing."""


@dataclass(frozen=True)
class Bench:
    """A Measurement and its Conditions."""

    measurement: Measurement
    conditions: Conditions
    reference_us: tuple[float, ...] = ()
    """Medians of a reference model, timed once before each repetition, where there was one."""
    repetitions_us: tuple[float, ...] = ()
    """Medians of the repetitions as they were timed, also of those that the Measurement leaves out."""

    def __repr__(self) -> str:
        device, runtime = self.conditions.circumstances.get("device"), self.conditions.identity.get("runtime")
        return f"Bench({self.measurement.median_ms:.4g} ms on {device}, {runtime}, {self.measurement.runs} runs)"

    def to_json(self) -> dict[str, Any]:
        """``median_ms, p5_ms, p95_ms, runs`` and the rest of the Measurement, and the other fields."""
        return self.measurement.to_json() | {
            "conditions": self.conditions.to_json(),
            "reference_us": list(self.reference_us),
            "repetitions_us": list(self.repetitions_us),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Bench:
        """The Bench that `to_json` wrote."""
        conditions = Conditions.from_json(data["conditions"])
        repetitions_us = tuple(data["repetitions_us"])
        return Bench(Measurement.from_json(data), conditions, tuple(data["reference_us"]), repetitions_us)


def bench(
    model: Path | str | bytes,
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    threads: int | None = None,
    reference: bytes | None = None,
    timeout_s: float | None = None,
    waiting: Callable[[str], None] = silent,
) -> Bench:
    """Measure a .tflite or .onnx model on a Device; with this machine's Python runtimes, in a fresh process.

    The earlier work of a process, such as training, lies in its memory and makes models a percent or two slower; and a
    damaged file that crashes a runtime must not take more with it. On a phone or a board each repetition is a fresh
    process anyhow.

    Args:
        model: the file or its content; with one input and one output of float32, uint8 or int8, of fixed size.
        device: A Device, its name, or the path of its file. Its `visits` repetitions are made one after the other, each
            with the model loaded anew: where its memory lies changes a latency by more than repeating runs shows.
        runtime: A Runtime of this machine, or the name of one of the Device; None: the Device's own if it takes the
            model, otherwise the first that does.
        threads: None: as the device says.
        reference: A model in the runtime's format that is timed before each repetition, to tell how fast the machine
            is.
        timeout_s: Seconds after which the fresh process is stopped; None: the most that the device's repetitions take
            with single inferences of up to `SLOWEST_RUN_S`.
        waiting: called with the reason while a phone is too hot to be measured.

    Raises:
        UsageError: For an unknown device or runtime, a suffix that no runtime takes, or fewer threads than one.
        HwnasError: If the device cannot be reached or stays unfit; if the runtime is missing or refuses the model,
            crashes on it, needs more than 8 GiB beside it, or does not finish in time.
    """
    model = Path(model) if isinstance(model, str) else model
    device = load_device(device).with_threads(threads)
    chosen = chosen_runtime(device, model, runtime)
    with temporary_folder() as folder:

        def as_file(name: str, given: Path | bytes) -> Path:
            if isinstance(given, Path):
                return given
            path = folder / f"{name}{runtime_suffix(chosen)}"
            path.write_bytes(given)
            return path

        reference_file = None if reference is None else as_file("reference", reference)
        if is_in_process(device, chosen):
            seconds = longest_s(device, reference is not None) if timeout_s is None else timeout_s
            return _bench_in_sandbox(as_file("model", model), device, chosen, reference_file, seconds)
        with open_runner(device, chosen) as runner:
            return bench_with(runner, as_file("model", model), device, reference_file, waiting)


def profile_operators(
    model: Path | str,
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    threads: int | None = None,
) -> OperatorProfile:
    """The time that each operator of a model takes on a Device, from extra launches: profiling makes a model slower.

    Args:
        model: with one input and one output of float32, uint8 or int8, of fixed size.
        device: as `bench` takes it; with the path of Google's program in `benchmark_model`.
        runtime: only ``benchmark-model`` tells of operators; it is the default here.
        threads: None: as the device says.

    Raises:
        UsageError: For another runtime, or where the program is not named.
        HwnasError: If the device cannot be reached, or the program fails or has no profiling.
    """
    device = load_device(device).with_threads(threads)
    name = BenchmarkModelRunner.runtime if runtime is None else resolve_runtime(device, runtime)
    if not issubclass(programs(device.transport).get(name, RemoteRunner), BenchmarkModelRunner):
        raise UsageError(
            f"the runtime {name} does not tell what single operators take; benchmark-model, Google's program, does."
        )
    with open_runner(device, name) as runner, runner.load(Path(model)) as loaded:
        assert isinstance(loaded, BenchmarkModel)
        return loaded.profile()


def longest_s(device: Device, with_reference: bool = False) -> float:
    """Seconds that a bench on `device` takes at most, as long as no inference takes more than `SLOWEST_RUN_S`.

    Before each repetition it may wait until the device is fit to be measured.
    """
    warm_up_and_runs_s = 2 * (device.max_ms / 1000 + SLOWEST_RUN_S) * (2 if with_reference else 1)
    waits_s = device.max_wait_s if has_limits(device) else 0.0
    return (device.visits + device.extra_visits) * (device.cool_down_s + warm_up_and_runs_s + waits_s)


def bench_with(
    runner: Runner,
    model: Path,
    device: Device,
    reference: Path | None = None,
    waiting: Callable[[str], None] = silent,
) -> Bench:
    """The same with an open runner. A repetition that a lost connection interrupts is made again."""
    references_us: list[float] = []
    made: list[Repetition] = []
    conditions = conditions_of(runner, device)  # before: measuring raises the load average
    with RetryingRunner(runner, reference, silent) as retrying:
        preconditions = Preconditions(device, retrying.health, silent, waiting)
        while (wanted := repetitions_wanted(made, device)) > 0:
            for _ in range(wanted):
                sleep(device.cool_down_s)  # as a campaign: a budget is kept by models that are measured like its table
                preconditions.wait()
                if reference is not None:
                    references_us.append(median(retrying.time_reference().runs_us))
                timing = retrying.time(lambda: model)
                made.append(Repetition("", tuple(timing.runs_us), drift_percent=None))
    return _bench(made, runner, conditions, device, references_us)


def bench_again(retrying: RetryingRunner, runner: Runner, device: Device) -> Bench:
    """One repetition of the model that `retrying` holds as its reference: it stays on the device, loaded."""
    conditions = conditions_of(runner, device)
    made = [Repetition("", tuple(retrying.time_reference().runs_us), drift_percent=None)]
    return _bench(made, runner, conditions, device)


def _bench(
    made: Sequence[Repetition],
    runner: Runner,
    conditions: Conditions,
    device: Device,
    references_us: Sequence[float] = (),
) -> Bench:
    told = conditions.circumstances | runner.circumstances()  # of a GPU: what it left to the CPU
    conditions = replace(conditions, circumstances=told)
    return Bench(combine(made, device), conditions, tuple(references_us), tuple(each.median_us for each in made))


def _bench_in_sandbox(model: Path, device: Device, runtime: str, reference: Path | None, timeout_s: float) -> Bench:
    """Run `bench_with` in a fresh process with limits."""
    task = {
        "model": str(model.absolute()),
        "device": device.model_dump(),
        "runtime": runtime,
        "reference": None if reference is None else str(reference.absolute()),
    }
    memory_bytes = MEMORY_BYTES + COPIES * _size(model)
    return Bench.from_json(
        run_sandboxed("hwnas.campaign.bench_process", task, runtime, str(model), timeout_s, memory_bytes)
    )


def _size(model: Path) -> int:
    """Bytes of a file; 0 for one that cannot be read, which the runtime will explain."""
    try:
        return model.stat().st_size
    except OSError:
        return 0
