"""Every Runner by the Device's transport and the name of its runtime; from a Device to its open Runner.

A runtime of this machine's Python is registered in `hwnas.runtimes`, a program of its own here: one module and one line
in `PROGRAMS`. The names alone import no Runner, for which a help text need not wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import UsageError, unknown_name
from hwnas.registered import Registered
from hwnas.runtimes import RUNTIMES
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.files import model_suffix

if TYPE_CHECKING:
    from hwnas.devices.device import Device
    from hwnas.runners.base import Runner
    from hwnas.runners.remote import RemoteRunner

PROGRAMS: Registered[type[RemoteRunner]] = Registered(
    {
        "native": "hwnas.runners.native:NativeRunner",
        "benchmark-model": "hwnas.runners.benchmark_model:BenchmarkModelRunner",
        "benchmark-model-gpu": "hwnas.runners.benchmark_model:BenchmarkModelGpuRunner",
        "benchmark-model-none": "hwnas.runners.benchmark_model:BenchmarkModelPlainRunner",
        "onnxruntime": "hwnas.runners.remote_onnx:RemoteOnnxRunner",
    }
)
"""The Runners whose models run in a program of its own, also on this machine, by the name of the runtime."""

ALL_RUNTIMES = tuple(dict.fromkeys([*RUNTIMES, *PROGRAMS]))
"""Every name that people can type after ``--runtime``."""


def programs(transport: str) -> dict[str, type[RemoteRunner]]:
    """Those of `PROGRAMS` that a device reached by `transport` can have."""
    return {name: kind for name, kind in PROGRAMS.items() if transport in kind.transports}


def runtime_names(transport: str) -> tuple[str, ...]:
    """The runtimes that a device reached by `transport` can have; a machine's own Python runtimes come first."""
    return tuple(dict.fromkeys([*(RUNTIMES if transport == "local" else ()), *programs(transport)]))


def is_in_process(device: Device, runtime: str) -> bool:
    """Whether models run in the Python process that measures."""
    return device.transport == "local" and runtime in RUNTIMES


def runtime_suffix(name: str) -> str:
    """The files that a runtime takes: ``.tflite`` or ``.onnx``. Raises UsageError for an unknown name."""
    if name not in ALL_RUNTIMES:
        raise unknown_name("runtime", name, ALL_RUNTIMES)
    return RUNTIMES[name].suffix if name in RUNTIMES else PROGRAMS[name].suffix


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
    from hwnas.devices.connection import open_transport
    from hwnas.devices.lock import device_lock
    from hwnas.runners.in_process import InProcessRunner

    name = resolve_runtime(device, runtime)
    if is_in_process(device, name):
        with InProcessRunner(device, RUNTIMES[name]) as here:
            yield here
        return
    transport = open_transport(device)
    with device_lock(device, transport), PROGRAMS[name](device, transport) as there:
        yield there
