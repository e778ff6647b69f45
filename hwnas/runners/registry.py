"""Every Runner by the Device's transport and the name of its runtime; from a Device to its open Runner.

A runtime of this machine's Python is registered in `hwnas.runtimes`, a program of its own here: one module and one line
in `PROGRAMS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas.devices.connection import open_transport
from hwnas.devices.device import Device
from hwnas.devices.lock import device_lock
from hwnas.errors import UsageError, unknown_name
from hwnas.runners.base import Runner
from hwnas.runners.benchmark_model import (
    BenchmarkModelGpuRunner,
    BenchmarkModelPlainRunner,
    BenchmarkModelRunner,
)
from hwnas.runners.in_process import InProcessRunner
from hwnas.runners.native import NativeRunner
from hwnas.runners.remote import RemoteRunner
from hwnas.runners.remote_onnx import RemoteOnnxRunner
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.files import model_suffix
from hwnas.transports.registry import TRANSPORTS

PROGRAMS: tuple[type[RemoteRunner], ...] = (
    NativeRunner,
    BenchmarkModelRunner,
    BenchmarkModelGpuRunner,
    BenchmarkModelPlainRunner,
    RemoteOnnxRunner,
)
"""The Runners whose models run in a program of its own, also on this machine."""

RUNNERS: dict[str, dict[str, type[RemoteRunner]]] = {
    transport: {kind.runtime: kind for kind in PROGRAMS if transport in kind.transports} for transport in TRANSPORTS
}
"""The same by the Device's transport, then by the name of the runtime."""


def runtime_names(transport: str) -> tuple[str, ...]:
    """The runtimes that a device reached by `transport` can have; a machine's own Python runtimes come first."""
    return tuple(dict.fromkeys([*(RUNTIMES if transport == "local" else ()), *RUNNERS[transport]]))


ALL_RUNTIMES = tuple(dict.fromkeys(name for transport in TRANSPORTS for name in runtime_names(transport)))
"""Every name that people can type after ``--runtime``."""


_SUFFIXES = {kind.runtime: kind.suffix for kind in PROGRAMS} | {name: each.suffix for name, each in RUNTIMES.items()}


def is_in_process(device: Device, runtime: str) -> bool:
    """Whether models run in the Python process that measures."""
    return device.transport == "local" and runtime in RUNTIMES


def runtime_suffix(name: str) -> str:
    """The files that a runtime takes: ``.tflite`` or ``.onnx``. Raises UsageError for an unknown name."""
    if name not in _SUFFIXES:
        raise unknown_name("runtime", name, ALL_RUNTIMES)
    return _SUFFIXES[name]


def runtime_format(name: str) -> str:
    """The format of the files that a runtime takes: ``tflite`` or ``onnx``. Raises UsageError for an unknown name."""
    return runtime_suffix(name).removeprefix(".")


def default_runtime(device: Device, model: bytes | Path) -> str:
    """The Device's own runtime if it takes the model, otherwise the first that does. Raises UsageError if none does."""
    suffix = model_suffix(model)
    names = runtime_names(device.transport)
    for name in (device.runtime, *names):
        if runtime_suffix(name) == suffix:
            return name
    known = sorted({runtime_suffix(name) for name in names})
    raise UsageError(
        f"no runtime takes {model!s} on {device.name}: its suffix is {suffix!r}; known suffixes: {', '.join(known)}."
    )


def resolve_runtime(device: Device, runtime: Runtime | str | None = None) -> str:
    """The name of the runtime that is meant: by its name, as a Runtime, or None for the Device's own.

    Everything that takes a runtime takes it in one of these ways, and finds it here. Raises UsageError, with the known
    names, if a Device of this kind has no such runtime.
    """
    name = device.runtime if runtime is None else runtime if isinstance(runtime, str) else runtime.name
    if name not in runtime_names(device.transport):
        raise unknown_name(f"runtime for {device.name} ({device.transport})", name, runtime_names(device.transport))
    return name


def chosen_runtime(device: Device, model: bytes | Path, runtime: Runtime | str | None = None) -> str:
    """The name of the runtime that is meant for a model: as `resolve_runtime`; None: as `default_runtime`."""
    return default_runtime(device, model) if runtime is None else resolve_runtime(device, runtime)


@contextmanager
def open_runner(device: Device, runtime: Runtime | str | None = None) -> Iterator[Runner]:
    """Connect to a device, keep every other campaign off it, and have models run there.

    Args:
        device: where.
        runtime: as `resolve_runtime` takes it.

    Raises:
        UsageError: there is no such runtime for a device of this kind.
        HwnasError: the device cannot be reached, is measured by another process, or lacks what the runtime needs.
    """
    name = resolve_runtime(device, runtime)
    if is_in_process(device, name):
        with InProcessRunner(device, RUNTIMES[name]) as here:
            yield here
        return
    transport = open_transport(device)
    with device_lock(device, transport), RUNNERS[device.transport][name](device, transport) as there:
        yield there
