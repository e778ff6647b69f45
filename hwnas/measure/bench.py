"""Measuring one model file, of whatever origin, the way a campaign measures its entries, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
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

    def to_json(self) -> dict[str, Any]:
        """``median_ms, p5_ms, p95_ms, runs`` and the rest of the Measurement, and ``conditions``."""
        return self.measurement.to_json() | {"conditions": self.conditions.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Bench:
        """The Bench that `to_json` wrote."""
        return Bench(Measurement.from_json(data), Conditions.from_json(data["conditions"]))


def bench(model: Path | bytes, device: Device, runtime: Runtime | None = None, threads: int | None = None) -> Bench:
    """Measure a .tflite or .onnx model on a Device, in a fresh process.

    What a process did before, such as training, lies in its memory and makes models a percent or two slower; and a
    damaged file that crashes a runtime must not take more with it.

    Args:
        model: With one float32 input and one float32 output, of fixed size.
        device: Its `visits` are made one after the other, each with the model loaded anew: where its memory lies
            changes a latency by more than repeating runs shows.
        runtime: None: litert for a .tflite, onnxruntime for an .onnx.
        threads: None: as the device says.

    Raises HwnasError if the model or the runtime cannot be used, UsageError for a suffix that no runtime takes.
    """
    runtime = runtime or runtime_for(model)
    device = device.with_threads(threads)
    if isinstance(model, Path):
        return _apart(model, device, runtime)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{runtime.suffix}"
        path.write_bytes(model)
        return _apart(path, device, runtime)


def bench_here(model: Path, device: Device, runtime: Runtime) -> Bench:
    """The same in this process."""
    conditions = current_conditions(device, runtime)  # before: measuring raises the load average
    visits: list[Visit] = []
    with pinned(device.cores):
        while (wanted := visits_wanted(visits, device)) > 0:
            for _ in range(wanted):
                timing = time_session(open_session(runtime, model, device), device)
                visits.append(Visit("", tuple(timing.runs_us), drift_percent=None))
    return Bench(combine(visits, device), conditions)


def _apart(model: Path, device: Device, runtime: Runtime) -> Bench:
    """Run `bench_here` in a fresh process: a task as JSON goes in, a Bench or an error comes out."""
    task = {"model": str(model.absolute()), "device": device.model_dump(), "runtime": runtime.name}
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
