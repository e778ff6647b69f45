"""Conditions: what decides whether two numbers may be compared, and what may explain a surprise later."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from hwnas.errors import HwnasError
from hwnas.measure.device import Device
from hwnas.runtimes.base import Runtime


@dataclass(frozen=True)
class Conditions:
    """What a number was measured under, as JSON values; what the machine does not tell is recorded as None."""

    identity: dict[str, Any]
    """Must be equal before numbers are mixed: the machine (system, architecture, cpu, core_count), the runtime
    (runtime, runtime_version, library_sha256), and how it was used (threads, cores, batch, precision)."""
    circumstances: dict[str, Any]
    """Recorded only: device, platform, governor, frequency_mhz, temperature_celsius, load_average, hwnas_version,
    date."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Conditions:
        """The Conditions that `to_json` wrote. Raises HwnasError if a part is missing."""
        try:
            return Conditions(dict(data["identity"]), dict(data["circumstances"]))
        except (KeyError, TypeError, ValueError) as error:
            raise HwnasError(f"the conditions of a measurement are damaged ({error!r}); measure again.") from error


def current_conditions(device: Device, runtime: Runtime, precision: str | None = None) -> Conditions:
    """The Conditions of what is measured now.

    Args:
        device: Gives threads, cores and batch.
        runtime: Must be installed: its version and library hash are taken from what is loaded here.
        precision: What the models compute in, such as "float32"; None if that is not known.
    """
    identity = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "core_count": os.cpu_count(),
        "runtime": runtime.name,
        "runtime_version": runtime.version(),
        "library_sha256": runtime.library_sha256(),
        "threads": device.threads,
        "cores": device.cores if device.cores == "any" else list(device.cores),
        "batch": device.batch,
        "precision": precision,
    }
    return Conditions(identity, _circumstances(device))


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any], recorded_in: str = "the table") -> list[str]:
    """What keeps two identities from being mixed, for people: ``threads: 1 in the table, 2 now``. Empty if nothing."""
    return [
        f"{name}: {_shown(recorded, name)} in {recorded_in}, {_shown(current, name)} now"
        for name in {**recorded, **current}
        if name not in recorded or name not in current or recorded[name] != current[name]
    ]


def check_same(recorded: Mapping[str, Any], current: Conditions, place: Path | str) -> None:
    """Refuse to mix numbers of two conditions.

    Args:
        recorded: the conditions of a table, as `Conditions.to_json` wrote them.
        current: those of what is measured now.
        place: where the table is, for the message.

    Raises:
        HwnasError: they differ in what decides a latency; the message lists the differences.
    """
    if found := differences(Conditions.from_json(recorded).identity, current.identity):
        raise HwnasError(
            f"the table {place} was measured under other conditions ({'; '.join(found)}), so its numbers do not hold "
            "here. Measure anew into another folder with --tables, restore those conditions, or take the table as it "
            "is with --accept-conditions where a command offers it."
        )


def _shown(identity: Mapping[str, Any], name: str) -> str:
    value = identity.get(name)
    if name == "library_sha256" and value:
        return str(value)[:12]
    return "unknown" if value is None else str(value)


def _circumstances(device: Device) -> dict[str, Any]:
    return {
        "device": device.name,
        "platform": platform.platform(),
        "governor": _governor(0 if device.cores == "any" else device.cores[0]),
        "frequency_mhz": _frequency_mhz(),
        "temperature_celsius": _temperature_celsius(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "hwnas_version": _hwnas_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str | None:
    """The CPU's name; Linux has it under another key on each architecture, single-board computers as the board's."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        named = {key.strip(): value.strip() for key, value in fields.items()}
        for key in ("model name", "Hardware", "Model", "CPU part"):
            if named.get(key):
                return named[key]
    return platform.processor() or None


def _governor(core: int) -> str | None:
    with suppress(OSError):
        return Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor").read_text().strip()
    return None


def _frequency_mhz() -> float | None:
    with suppress(OSError, NotImplementedError, RuntimeError, AttributeError):
        frequency = psutil.cpu_freq()
        return float(frequency.current) if frequency else None
    return None


def _temperature_celsius() -> float | None:
    """The hottest sensor; psutil has the function only where the system has sensors at all."""
    with suppress(OSError, AttributeError):
        sensors = psutil.sensors_temperatures()
        return max((float(reading.current) for readings in sensors.values() for reading in readings), default=None)
    return None


def _hwnas_version() -> str | None:
    with suppress(PackageNotFoundError):
        return version("hwnas")
    return None
