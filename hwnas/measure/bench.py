"""Measuring one model file, of whatever origin, the way a campaign measures its entries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.measure.affinity import pinned
from hwnas.measure.conditions import Conditions, current_conditions
from hwnas.measure.device import Device
from hwnas.measure.measurement import Measurement
from hwnas.measure.timing import open_session, time_session
from hwnas.measure.visits import Visit, combine
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


def bench(model: Path | bytes, device: Device, runtime: Runtime | None = None, threads: int | None = None) -> Bench:
    """Measure a .tflite or .onnx model on a Device.

    Args:
        model: With one float32 input and one float32 output, of fixed size.
        device: Its `visits` are made one after the other, each with the model loaded anew: where its memory lies
            changes a latency by more than repeating runs shows.
        runtime: None: litert for a .tflite, onnxruntime for an .onnx.
        threads: None: as the device says.

    Raises HwnasError if the model or the runtime cannot be used, UsageError for a suffix that no runtime takes.
    """
    runtime = runtime or runtime_for(model)
    if threads is not None:
        device = device.model_copy(update={"threads": threads})
    conditions = current_conditions(device, runtime)  # before: measuring raises the load average
    with pinned(device.cores):
        visits = []
        for _ in range(device.visits):
            timing = time_session(open_session(runtime, model, device), device)
            visits.append(Visit("", tuple(timing.runs_us), drift_percent=None))
    return Bench(combine(visits, device), conditions)
