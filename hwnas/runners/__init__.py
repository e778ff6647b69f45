"""Runners: what times models on a device, wherever it is. Adding one is one module and one line in `RUNNERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas.devices.connection import open_transport
from hwnas.devices.device import TRANSPORTS, Device
from hwnas.devices.lock import held
from hwnas.errors import UsageError, unknown_name
from hwnas.runners.base import Runner
from hwnas.runners.in_process import InProcessRunner
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.files import is_tflite
from hwnas.transports.base import Transport

Opener = Callable[[Device, Transport], Runner]


def _native(device: Device, transport: Transport) -> Runner:
    from hwnas.runners.native import NativeRunner

    return NativeRunner(device, transport)


def _benchmark_model(device: Device, transport: Transport) -> Runner:
    from hwnas.runners.benchmark_model import BenchmarkModelRunner

    return BenchmarkModelRunner(device, transport)


def _remote_onnx(device: Device, transport: Transport) -> Runner:
    from hwnas.runners.remote_onnx import RemoteOnnxRunner

    return RemoteOnnxRunner(device, transport)


RUNNERS: dict[str, dict[str, Opener]] = {
    "local": {"native": _native, "benchmark-model": _benchmark_model},
    "adb": {"native": _native, "benchmark-model": _benchmark_model},
    "ssh": {"native": _native, "benchmark-model": _benchmark_model, "onnxruntime": _remote_onnx},
}
"""What runs models as a program of its own: by the Device's transport, then by the name of the runtime."""


def runtime_names(transport: str) -> tuple[str, ...]:
    """The runtimes that a device reached by `transport` can have; a machine's own Python runtimes come first."""
    return tuple(dict.fromkeys([*(RUNTIMES if transport == "local" else ()), *RUNNERS[transport]]))


ALL_RUNTIMES = tuple(dict.fromkeys(name for transport in TRANSPORTS for name in runtime_names(transport)))
"""Every name that people can type after ``--runtime``."""


def is_in_process(device: Device, runtime: str) -> bool:
    """Whether models run in the Python process that measures."""
    return device.transport == "local" and runtime in RUNTIMES


def runtime_suffix(name: str) -> str:
    """The files that a runtime takes: ``.tflite`` or ``.onnx``."""
    return RUNTIMES[name].suffix if name in RUNTIMES else ".tflite"


def default_runtime(device: Device, model: bytes | Path) -> str:
    """The Device's own runtime if it takes the model, otherwise the first that does. Raises UsageError if none does."""
    if isinstance(model, bytes):
        suffix = ".tflite" if is_tflite(model) else ".onnx"
    else:
        suffix = model.suffix.lower()
    names = runtime_names(device.transport)
    for name in (device.runtime, *names):
        if runtime_suffix(name) == suffix:
            return name
    known = sorted({runtime_suffix(name) for name in names})
    raise UsageError(
        f"no runtime takes {model!s} on {device.name}: its suffix is {suffix!r}; known suffixes: {', '.join(known)}."
    )


@contextmanager
def open_runner(device: Device, runtime: Runtime | str | None = None) -> Iterator[Runner]:
    """Reach a device, keep every other campaign off it, and have models run there.

    Args:
        device: where.
        runtime: A name, or a Runtime of this machine; None: the Device's own.

    Raises:
        UsageError: there is no such runtime for a device of this kind.
        HwnasError: the device cannot be reached, is measured by another process, or lacks what the runtime needs.
    """
    name = device.runtime if runtime is None else runtime if isinstance(runtime, str) else runtime.name
    if name not in runtime_names(device.transport):
        raise unknown_name(f"runtime for {device.name} ({device.transport})", name, runtime_names(device.transport))
    if is_in_process(device, name):
        with InProcessRunner(device, RUNTIMES[name]) as here:
            yield here
        return
    transport = open_transport(device)
    with held(device, transport), RUNNERS[device.transport][name](device, transport) as there:
        yield there
