"""This machine: what it is, and how it is at the moment, as far as it tells."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from hwnas.transports.base import Health

CPUFREQ = "/sys/devices/system/cpu/cpu{core}/cpufreq/{name}"
"""Where Linux says how fast a core runs; many virtual machines have no such folder."""

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux keeps its control groups, and says which of them this process is in."""


def machine_identity() -> dict[str, Any]:
    """What must be equal before numbers of two machines are mixed: system, architecture, cpu, core_count."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "core_count": os.cpu_count(),
    }


def cpu_quota_cores(hierarchy: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float | None:
    """How many cores' worth of time Linux grants this process, as ``docker run --cpus`` limits it; None: no limit.

    The narrowest limit of its control group and of those around it counts; of version 1 there is one file for both.
    """
    names = [line.split(":", 2)[2].lstrip("/") for line in _lines(own) if line.startswith("0::")]
    around = [folder for name in names for folder in (Path(name), *Path(name).parents)]
    limits = [_lines(hierarchy / folder / "cpu.max") for folder in around]
    pairs = [tuple(lines[0].split()) for lines in limits if lines]
    one = [_lines(hierarchy / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    pairs += [(one[0][0], one[1][0])] if all(one) else []
    shares = [int(quota) / int(period) for quota, period in pairs if quota.isdigit() and int(period)]
    return min(shares, default=None)


def machine_health(core: int = 0) -> Health:
    """How this machine is now, and at what speed `core` runs. It costs about a millisecond and starts no process."""
    battery_percent, plugged = _battery()
    return Health(
        governor=_cpufreq(core, "scaling_governor"),
        frequency_khz=_frequency_khz(),
        max_frequency_khz=_as_int(_cpufreq(core, "scaling_max_freq")),
        temperature_celsius=_temperature_celsius(),
        battery_celsius=None,
        battery_percent=battery_percent,
        plugged=plugged,
        thermal_status=None,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        # not the time since `psutil.boot_time`: that moves when somebody sets the clock
        uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None,
        free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
    )


def _lines(path: Path) -> list[str]:
    """Of a file; none where it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _cpu_model() -> str | None:
    """The CPU's name; Linux has it under another key on each architecture, single-board computers as the board's."""
    fields = dict(line.split(":", 1) for line in _lines(Path("/proc/cpuinfo")) if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    for key in ("model name", "Hardware", "Model", "CPU part"):
        if named.get(key):
            return named[key]
    return platform.processor() or None


def _cpufreq(core: int, name: str) -> str | None:
    with suppress(OSError):
        return Path(CPUFREQ.format(core=core, name=name)).read_text().strip()
    return None


def _as_int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _frequency_khz() -> int | None:
    with suppress(OSError, NotImplementedError, RuntimeError, AttributeError):
        frequency = psutil.cpu_freq()
        return round(1000 * frequency.current) if frequency else None
    return None


def _temperature_celsius() -> float | None:
    """The hottest sensor; psutil has the function only where the system has sensors at all."""
    with suppress(OSError, AttributeError):
        sensors = psutil.sensors_temperatures()
        return max((float(reading.current) for readings in sensors.values() for reading in readings), default=None)
    return None


def _battery() -> tuple[int | None, bool | None]:
    """Percent and whether it is plugged in; psutil has the function only where a machine can have a battery."""
    with suppress(OSError, AttributeError):
        battery = psutil.sensors_battery()
        return (None, None) if battery is None else (round(battery.percent), battery.power_plugged)
    return None, None
