"""The RemoteRunner: the common part of all runners whose models run in a program of their own, behind a Transport."""

from __future__ import annotations

import hashlib
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from hwnas.devices.cores import check_threads, resolve_cores, usable_cores
from hwnas.devices.device import Device
from hwnas.devices.machine import allowed_count
from hwnas.foreign import Count, NotNegative, Positive, checked, parse_json
from hwnas.runners.base import LoadedModel
from hwnas.runtimes.files import read_model
from hwnas.temporary import OWNER, owner, temporary_folder
from hwnas.transports.base import Completed, DeviceError, Facts, Health, Transport
from hwnas.transports.local import Local
from hwnas.transports.own_folder import HEX
from hwnas.transports.registry import TRANSPORTS

READY = "ready"
"""The availability of a runtime that can run models on a phone or board."""

START_S = 60.0
"""How long a program may take to load a model and to finish the run it is in, on a slow device."""

MODELS_AND_INPUTS = re.compile(
    rf"(model-[0-9a-f]{{16}}|input)-{OWNER}(\.(tflite|onnx)(\.(input|output))?)?(\.[0-9a-f]{{8}}\.part)?"
)
"""The names of the models and inputs that are brought to a device."""

_OWNER = "-".join([HEX * 6] * 3)
MODEL_AND_INPUT_PATTERNS = (
    f"input-{_OWNER}",
    *(
        f"model-{HEX * 16}-{_OWNER}{suffix}{what}"
        for suffix in (".tflite", ".onnx")
        for what in ("", ".input", ".output")
    ),
)
"""The same as patterns of a shell."""


@dataclass(frozen=True)
class Report:
    """The report that hwbench and our ONNX script print in the end, as far as hwnas uses it."""

    runtime_version: str | None = None
    library_sha256: str | None = None
    """Of the script only."""
    runs_us: Annotated[tuple[Positive, ...], Field(min_length=1)] = ()
    """None without a model."""
    warmup_us: NotNegative = 0.0
    output_type: Literal["float32", "uint8", "int8"] = "float32"
    output_shape: tuple[Count, ...] = ()


class RemoteRunner(ABC):
    """A Runner that brings a program to the device when it is entered, and models when they are loaded.

    The program stays there for the next time. A subclass brings it there (`_install`), tells the part of it that
    decides a latency (`_runtime_identity`), and times models with it (`load`).
    """

    runtime: str
    suffix: str
    transports: tuple[str, ...] = tuple(TRANSPORTS)
    """The kinds of Transport that it works over."""

    @classmethod
    def availability(cls, _facts: Facts, _devices: Sequence[Device]) -> str | None:
        """Whether a phone or board can be measured with it, for people: `READY`, or what is missing; None: try it.

        Args:
            facts: as the phone or board reports them.
            devices: the Devices that it can be measured as.
        """
        return None

    @classmethod
    def availability_here(cls) -> str | None:
        """The same of this machine: the runtime's version, or what is missing; None: try it."""
        return None

    def __init__(self, device: Device, transport: Transport) -> None:
        self.device, self.transport = device, transport

    def __enter__(self) -> Self:
        self.facts = self.transport.facts()
        self.cores = resolve_cores(self.device.cores, self.facts)
        online = sum(core.online for core in self.facts.cores)
        usable = allowed_count() if isinstance(self.transport, Local) else online
        check_threads(self.device.threads, self.cores, usable, self.device.name)
        self._remove_left()
        self._install()
        return self

    def _remove_left(self) -> None:
        """Remove files of a killed hwnas: all on a device that is locked for us; here, those that nobody uses."""
        if isinstance(self.transport, Local):
            self.transport.remove_abandoned(MODELS_AND_INPUTS)
        else:
            self.transport.remove_matching(*MODEL_AND_INPUT_PATTERNS)

    def __exit__(self, *_: object) -> None:
        """Nothing is left but the program: a model goes with its LoadedModel, and no launch outlives its call."""
        return

    def identity(self) -> dict[str, Any]:
        """As `Runner.identity`, as far as the device tells."""
        return {
            "system": self.facts.system,
            "architecture": self.facts.architecture,
            "cpu": self.facts.cpu or self.facts.soc,
            "core_count": len(self.facts.cores) or None,
            "runtime": self.runtime,
            **self._runtime_identity(),
            "threads": self.device.threads,
            "cores": usable_cores(self.device.threads, self.facts.allowed_cores, self.facts)
            if self.cores == "any"
            else list(self.cores),
        }

    def circumstances(self) -> dict[str, Any]:
        """The device's facts, in full."""
        facts = self.facts
        platform = "-".join(part for part in (facts.system, facts.kernel, facts.architecture) if part)
        about = ("os_version", "kernel", "manufacturer", "model", "soc", "memory_kb")
        return {"platform": platform} | {name: getattr(facts, name) for name in about}

    def health(self) -> Health:
        """How the device is now."""
        return self.transport.health((0,) if self.cores == "any" else self.cores)

    def reconnect(self) -> None:
        """Wait for the device, end programs that still run there, and see that ours is still installed."""
        self.transport.reconnect()
        self._install()

    def bring_model(self, model: bytes | Path) -> str:
        """Put a model on the device; returns the name of its file there.

        No other load of the same model has that name, in this process or another one: each removes its own.
        """
        data = read_model(model, self.runtime, self.suffix)
        name = f"model-{hashlib.sha256(data).hexdigest()[:16]}-{owner()}{self.suffix}"
        self.bring(data, name)
        return name

    def bring(self, data: bytes, name: str, executable: bool = False) -> None:
        """Put a file on the device. Raises as `Transport.push`."""
        with temporary_folder() as folder:
            file = folder / name
            file.write_bytes(data)
            self.transport.push(file, name, executable)

    def fetch(self, name: str) -> bytes:
        """The content of a file of the device, which is then removed there. Raises as `Transport.pull`."""
        with temporary_folder() as folder:
            file = folder / name
            self.transport.pull(name, file)
            self.transport.remove(name)
            return file.read_bytes()

    def remove(self, *names: str) -> None:
        """Remove files; a device that is gone keeps them, for that must not hide what happened before."""
        with suppress(DeviceError):
            self.transport.remove(*names)

    @property
    def timeout_s(self) -> float:
        """How long one repetition may take: its warm-up and its runs may each go on until `max_ms`."""
        return START_S + 2 * self.device.max_ms / 1000

    @abstractmethod
    def load(self, model: bytes | Path) -> LoadedModel:
        """As `Runner.load`."""

    @abstractmethod
    def _install(self) -> None:
        """Bring the program to the device, unless it is there."""

    @abstractmethod
    def _runtime_identity(self) -> dict[str, Any]:
        """At least ``runtime_version`` and ``library_sha256``."""


def read_report(printed: str, described: str, device: str) -> Report:
    """The Report in the output of a program, which other programs may have written into.

    Raises DeviceError if it is not whole, HwnasError if something in it cannot be.
    """
    line = next((line for line in reversed(printed.splitlines()) if line.startswith('{"hwbench"')), "")
    with suppress(ValueError):
        found = parse_json(line)
        if isinstance(found, dict) and found.get("end") is True:
            report: Report = checked(Report, found, f"the report of {device} on {described}", "repeat the command")
            return report
    raise DeviceError(
        f"{device} said that it measured {described}, but its report is not whole (it begins {printed[:60]!r} and ends "
        f"{printed[-60:]!r}); repeat the command."
    )


def ending(done: Completed) -> str:
    """How a program ended, for people: ``ended with exit code 1``, ``was ended by SIGSEGV``."""
    if done.exit_code == 127:
        return "was not found"
    if done.exit_code == 126:
        return "cannot be executed"
    number = done.exit_code - 128
    if number in {each.value for each in signal.Signals}:
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit code {done.exit_code}"
