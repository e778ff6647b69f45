"""The Runner protocol: it times models on a device.

A Runner is one runtime on one Device: `in_process` (Python runtimes of this machine), `native` (our C program, here, on
a phone or a board), `benchmark_model` (Google's), `remote_onnx` (ONNX Runtime under a board's Python). A campaign knows
nothing else of where its models run. Implementations pass `tests/test_runners.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwnas.runners.timing import Timing
from hwnas.transports.base import Health


class LoadedModel(Protocol):
    """One model on the device, ready to be timed. A context manager: leaving it removes the model from the device."""

    input_shape: tuple[int, ...]
    """NCHW."""

    def time(self) -> Timing:
        """One visit: warm up, then time single inferences on a fixed random input, within the Device's limits.

        Raises:
            DeviceLost: the connection ended; the repetition can be made again after `Runner.reconnect`.
            HwnasError: the model cannot be run there; the message says why.
        """
        ...

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a float32 input of `input_shape`, an image-shaped output as NCHW. Raises as `time` does."""
        ...

    def __enter__(self) -> LoadedModel: ...

    def __exit__(self, *_: object) -> None: ...


class Runner(Protocol):
    """Times models on one Device with one runtime. A context manager: its programs on the device end with it."""

    runtime: str
    """The name people type after ``--runtime``, and the name of the folder that its table is in."""
    suffix: str
    """The files it takes: ``.tflite`` or ``.onnx``."""

    def identity(self) -> dict[str, Any]:
        """It must be equal before numbers are mixed: system, architecture, cpu, core_count, runtime, runtime_version,
        library_sha256, and whatever else of this runner decides a latency. The Device's own settings are added to it.
        """
        ...

    def circumstances(self) -> dict[str, Any]:
        """Recorded once when measuring begins: platform, and what else there is to know about the device."""
        ...

    def health(self) -> Health:
        """How the device is now."""
        ...

    def load(self, model: bytes | Path) -> LoadedModel:
        """Bring a model to the device. Raises HwnasError if it is missing, damaged or does not fit there."""
        ...

    def reconnect(self) -> None:
        """After DeviceLost: wait for the device and end programs that still run there. Raises DeviceLost in the end."""
        ...

    def __enter__(self) -> Runner: ...

    def __exit__(self, *_: object) -> None: ...
