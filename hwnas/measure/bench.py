"""Measuring one model file, of whatever origin, the way a campaign measures its entries, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.measure.affinity import pinned
from hwnas.measure.conditions import Conditions, current_conditions
from hwnas.measure.device import Device
from hwnas.measure.measurement import Measurement
from hwnas.measure.timing import open_session, time_session
from hwnas.measure.visits import Visit, combine, visits_wanted
from hwnas.runtimes import runtime_for
from hwnas.runtimes.base import Runtime


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


def bench(
    model: Path | bytes,
    device: Device,
    runtime: Runtime | None = None,
    threads: int | None = None,
    reference: bytes | None = None,
) -> Bench:
    """Measure a .tflite or .onnx model on a Device, in a fresh process.

    What a process did before, such as training, lies in its memory and makes models a percent or two slower; and a
    damaged file that crashes a runtime must not take more with it.

    Args:
        model: With one float32 input and one float32 output, of fixed size.
        device: Its `visits` are made one after the other, each with the model loaded anew: where its memory lies
            changes a latency by more than repeating runs shows.
        runtime: None: litert for a .tflite, onnxruntime for an .onnx.
        threads: None: as the device says.
        reference: A model in the runtime's format that is looked at before each visit, to tell how fast the machine is.

    Raises HwnasError if the model or the runtime cannot be used, UsageError for a suffix that no runtime takes.
    """
    runtime = runtime or runtime_for(model)
    device = device.with_threads(threads)
    with tempfile.TemporaryDirectory() as folder:

        def as_file(name: str, given: Path | bytes) -> Path:
            if isinstance(given, Path):
                return given
            path = Path(folder) / f"{name}{runtime.suffix}"
            path.write_bytes(given)
            return path

        looked_at = None if reference is None else as_file("reference", reference)
        return _apart(as_file("model", model), device, runtime, looked_at)


def bench_here(model: Path, device: Device, runtime: Runtime, reference: Path | None = None) -> Bench:
    """The same in this process."""
    witness = None if reference is None else open_session(runtime, reference, device)
    looks_us: list[float] = []
    conditions = current_conditions(device, runtime)  # before: measuring raises the load average
    visits: list[Visit] = []
    with pinned(device.cores):
        while (wanted := visits_wanted(visits, device)) > 0:
            for _ in range(wanted):
                if witness is not None:
                    looks_us.append(median(time_session(witness, device).runs_us))
                timing = time_session(open_session(runtime, model, device), device)
                visits.append(Visit("", tuple(timing.runs_us), drift_percent=None))
    return Bench(combine(visits, device), conditions, tuple(looks_us))


def _apart(model: Path, device: Device, runtime: Runtime, reference: Path | None) -> Bench:
    """Run `bench_here` in a fresh process: a task as JSON goes in, a Bench or an error comes out."""
    task: dict[str, Any] = {"model": str(model.absolute()), "device": device.model_dump(), "runtime": runtime.name}
    task["reference"] = None if reference is None else str(reference)
    process = subprocess.run(
        [sys.executable, "-m", "hwnas.measure.apart"], input=json.dumps(task), capture_output=True, text=True
    )
    try:
        answer = json.loads(process.stdout)
    except json.JSONDecodeError:
        reason = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise HwnasError(
            f"{runtime.name} crashed on {model} ({reason}): the file is damaged, or holds what this runtime cannot "
            f"run. Its last words: {process.stderr.strip()[-300:] or 'none'}"
        ) from None
    if "error" in answer:
        raise (UsageError if answer["usage"] else HwnasError)(answer["error"])
    return Bench.from_json(answer)
